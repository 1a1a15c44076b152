"""Each class of faults does to a running function what it says: the CPU runs the changed bytes."""

from collections.abc import Iterator

import pytest
from specimen import booted, call, fault_in, injected, specimen

from nooks_lab.faults.injector import PlannedFault, strike
from nooks_lab.faults.injector.change import BitFlip, Detour, removed
from nooks_lab.kernel.kernel import Hang
from nooks_lab.lab import Lab


@pytest.fixture(params=[False, True], ids=["native", "nooks"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with booted(nooks=request.param) as lab:
        yield lab


@pytest.fixture
def native() -> Iterator[Lab]:
    with booted(nooks=False) as lab:
        yield lab


def buffers(lab: Lab) -> tuple[int, int]:
    """Two buffers that the extension may write: allocated by itself."""
    to, source = call(lab, "allocates", 8192), call(lab, "allocates", 8192)
    lab.kernel.memory.fill(source, 8192, 0x77)
    lab.kernel.memory.fill(to, 8192, 0)
    return to, source


@pytest.mark.parametrize("amount", [1, 2, 1022, 1024, 3072])
def test_a_copy_overruns_by_as_many_bytes_as_were_drawn(lab: Lab, amount: int) -> None:
    to, source = buffers(lab)
    fault = fault_in("copy overrun", "copies")
    fault = type(fault)(fault.kind, fault.offset, fault.length, Detour(argument=2, amount=amount))
    injection = injected(lab, fault)
    assert not injection.records()[0].activated
    assert call(lab, "copies", to, source, 16) == 7
    copied = lab.kernel.memory.read(to, 8192)
    assert copied == b"\x77" * (16 + amount) + bytes(8192 - 16 - amount)
    (record,) = injection.records()
    assert record.activated
    assert f"addl ${amount if amount < 10 else hex(amount)}, 0xc(%esp); jmp" in record.disassembly_after
    assert record.disassembly_before.startswith("call")
    assert record.symbol == "copies"


def test_an_inline_copy_of_constant_length_overruns(native: Lab) -> None:
    to, source = buffers(native)
    injection = injected(native, fault_in("copy overrun", "copies_inline"))
    call(native, "copies_inline", to, source)
    copied = native.kernel.memory.read(to, 8192).rstrip(b"\0")
    assert len(copied) > 16
    assert injection.records()[0].activated


@pytest.mark.parametrize("function", ["allocates", "allocates_last"])
def test_an_allocation_fails_and_allocates_nothing(lab: Lab, function: str) -> None:
    assert call(lab, function, 100) != 0
    before = lab.kernel.slab.active()
    injection = injected(lab, fault_in("allocation failure", function))
    assert call(lab, function, 100) == 0
    assert lab.kernel.slab.active() == before
    assert injection.records()[0].activated


def test_memory_is_not_freed(lab: Lab) -> None:
    heap = lab.kernel.slab if lab.nooks is None else lab.nooks.domain_with("specimen").heap
    block = call(lab, "allocates", 100)
    assert heap.size_of(block) == 128
    injected(lab, fault_in("leak", "frees"))
    call(lab, "frees", block)
    assert heap.size_of(block) == 128


@pytest.mark.parametrize("function", ["allocates", "allocates_last"])
def test_memory_is_freed_while_it_is_in_use(lab: Lab, function: str) -> None:
    heap = lab.kernel.slab if lab.nooks is None else lab.nooks.domain_with("specimen").heap
    injection = injected(lab, fault_in("free", function))
    block = call(lab, function, 100)
    assert block != 0
    assert heap.size_of(block) is None
    assert injection.records()[0].activated


def test_interrupts_stay_off(native: Lab) -> None:
    assert call(native, "restores") == 1
    injected(native, fault_in("interrupt state", "restores"))
    assert call(native, "restores") == 0


def test_a_function_that_loops_for_ever_hangs_the_native_system(native: Lab) -> None:
    injection = injected(native, fault_in("endless loop", "takes"))
    with pytest.raises(Hang):
        call(native, "takes", 1, 2)
    assert injection.records()[0].activated


def test_a_removed_parameter_load_leaves_what_the_register_held(lab: Lab) -> None:
    assert call(lab, "takes", 5, 7) == 22
    fault = fault_in("interface", "takes", lambda change: change == removed(3))
    injection = injected(lab, fault)
    assert call(lab, "takes", 5, 7) != 22
    assert injection.records()[0].activated


def test_another_parameter_is_loaded(lab: Lab) -> None:
    neighbour = fault_in(
        "interface",
        "takes",
        lambda change: change != removed(3),
        lambda site: site.frame_displacement() == 8,
    )
    injected(lab, neighbour)
    assert call(lab, "takes", 5, 7) == 3 * 7 + 7


def test_a_branch_is_inverted_and_then_removed(lab: Lab) -> None:
    assert call(lab, "decides", 2) == 0
    assert call(lab, "decides", 9) == 9
    inverted = fault_in("branch", "decides", lambda change: change.keep[0] == 0xFF)
    injected(lab, inverted)
    assert call(lab, "decides", 2) == 2
    assert call(lab, "decides", 9) == 2
    nops = fault_in("branch", "decides", lambda change: change.keep[0] == 0)
    injected(lab, nops)
    assert (call(lab, "decides", 1), call(lab, "decides", 8)) == (1, 8)


def test_a_loop_ends_after_its_first_round(lab: Lab) -> None:
    assert call(lab, "counts", 4) == 1111
    injected(lab, fault_in("loop", "counts"))
    assert call(lab, "counts", 4) == 1


def test_a_local_variable_is_not_initialised(lab: Lab) -> None:
    assert call(lab, "local") == 42
    injected(lab, fault_in("init", "local"))
    assert call(lab, "local") != 42


def test_a_reloaded_module_at_the_same_address_does_not_count_as_activation(native: Lab) -> None:
    before = native.kernel.modules.loaded["specimen"].base
    fault = fault_in("nop", "takes")
    injection = injected(native, fault)
    native.kernel.rmmod("specimen")
    native.insmod(specimen())
    assert native.kernel.modules.loaded["specimen"].base == before
    assert call(native, "takes", 5, 7) == 22
    assert not injection.records()[0].activated


def test_withdrawn_faults_leave_no_hook_and_no_part(native: Lab) -> None:
    parts = set(native.machine.clock.parts)
    snapshot = native.machine.save()
    injection = injected(native, fault_in("copy overrun", "copies"), fault_in("nop", "takes"))
    injection.withdraw()
    assert set(native.machine.clock.parts) == parts
    native.machine.load(snapshot)
    assert call(native, "takes", 5, 7) == 22
    assert not any(each.activated for each in injection.records())


def test_a_flip_that_finds_no_object_stops_looking(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, looks = lab.machine.cpu, []
    look = cpu.registers_in_hook
    monkeypatch.setattr(strike, "MOST_BLOCKS", 50)
    monkeypatch.setattr(cpu, "registers_in_hook", lambda: looks.append(None) or look())
    injection = injected(lab, PlannedFault("heap", 0, 0, BitFlip("heap", 0.0, 0, 0)))
    assert call(lab, "spins", 1000) == 1
    assert len(looks) == 50
    assert not injection.records()[0].activated
    block = call(lab, "allocates", 64)
    call(lab, "frees", block)
    assert len(looks) == 50
