"""Faults in a running driver: activation is the truth, nothing else is disturbed, and only the guest suffers."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import TypeVar

import pytest

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.campaign.child import can_fork, in_child
from nooks_lab.faults.injector import CLASSES, FaultRecord, Injection, PlannedFault, choose, prepare
from nooks_lab.faults.injector.change import Rewrite
from nooks_lab.faults.injector.text import text_of
from nooks_lab.kernel.kernel import FATAL
from nooks_lab.lab import Lab
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.workloads.registry import trial_workload

T = TypeVar("T")

LONGEST = 3 * CPU_HZ
"""Simulated time of a trial; a few take for ever, since somebody waits for what never comes."""


class OutOfTime(BaseException):
    pass


def out_of_time() -> None:
    raise OutOfTime


@cache
def system(extension: str, nooks: bool) -> tuple[Lab, Callable[[], str]]:
    """A running system, and its workload, which says how it ended; for forked copies only."""
    workload = trial_workload(extension)
    lab = nl.boot(nooks=nooks, devices=workload.devices)
    workload.set_up(lab)
    prepare(lab.kernel.modules.loaded[extension].object)

    def run() -> str:
        machine = lab.machine
        machine.horizon, machine.at_horizon = machine.clock.now + LONGEST, out_of_time
        try:
            result = workload.run(lab)
        except (*FATAL, OutOfTime) as end:
            return type(end).__name__
        if lab.nooks is not None and lab.nooks.recoveries:
            return "recovered"
        return "right" if result.ok else "wrong"

    return lab, run


@pytest.fixture(scope="module", autouse=True)
def systems() -> Iterator[None]:
    yield
    system.cache_clear()


def on_its_own(body: Callable[[], T]) -> T:
    """Do something to a copy of the system; where the host cannot fork, to a system that nobody uses afterwards."""
    if can_fork():
        return in_child(body)
    try:
        return body()
    finally:
        system.cache_clear()


@cache
def cycles_of(extension: str, nooks: bool) -> int:
    """How long the workload takes without a fault."""
    lab, run = system(extension, nooks)

    def body() -> int:
        begun = lab.machine.clock.now
        run()
        return lab.machine.clock.now - begun

    return on_its_own(body)


def trial(
    extension: str, nooks: bool, planned: tuple[PlannedFault, ...]
) -> tuple[str, tuple[FaultRecord, ...]]:
    window = cycles_of(extension, nooks) // 2
    lab, run = system(extension, nooks)

    def body() -> tuple[str, tuple[FaultRecord, ...]]:
        injection = Injection(lab, extension, planned, window)
        injection.inject()
        end = run()
        return end, injection.records()

    return on_its_own(body)


def executed(
    extension: str, nooks: bool, planned: tuple[PlannedFault, ...]
) -> tuple[set[int], tuple[bool, ...]]:
    """Trace a run, block by block: the offsets that were run, and what the flags said meanwhile."""
    lab, run = system(extension, nooks)
    module = lab.kernel.modules.loaded[extension]
    text = text_of(module.object)

    def body() -> tuple[set[int], tuple[bool, ...]]:
        blocks: set[tuple[int, int]] = set()
        injection = Injection(lab, extension, planned)
        injection.inject()
        with lab.machine.cpu.traced(*module.image.text, lambda at, size: blocks.add((at, size))):
            run()
        offsets = {
            each.offset
            for at, size in blocks
            for each in text.instructions
            if at <= module.base + each.offset < at + size
        }
        return offsets, tuple(each.activated for each in injection.records())

    return on_its_own(body)


def harmless(extension: str, count: int) -> tuple[PlannedFault, ...]:
    """Faults that change nothing, all over the text: what runs is what would have run anyway."""
    lab, _ = system(extension, False)
    instructions = text_of(lab.kernel.modules.loaded[extension].object).instructions
    return tuple(
        PlannedFault("nop", each.offset, each.length, Rewrite(b"\xff" * each.length, bytes(each.length)))
        for each in instructions[:: len(instructions) // count]
    )


@pytest.mark.parametrize("nooks", [False, True], ids=["native", "nooks"])
def test_activation_is_what_a_trace_shows(nooks: bool) -> None:
    planned = harmless("e1000", 400)
    offsets, flags = executed("e1000", nooks, planned)
    expected = tuple(fault.offset in offsets for fault in planned)
    assert flags == expected
    assert 50 < sum(flags) < len(flags) - 50
    # Without the trace it is the same.
    end, records = trial("e1000", nooks, planned)
    assert end == "right"
    assert tuple(each.activated for each in records) == expected


@pytest.mark.parametrize("nooks", [False, True], ids=["native", "nooks"])
def test_watching_changes_neither_cycles_nor_instructions(nooks: bool) -> None:
    planned = harmless("e1000", 400)

    def body(watched: bool) -> dict[str, int]:
        lab, run = system("e1000", nooks)
        if watched:
            Injection(lab, "e1000", planned).inject()
        assert run() == "right"
        return lab.machine.counters()

    assert on_its_own(lambda: body(True)) == on_its_own(lambda: body(False))


def test_two_trials_with_the_same_seed_are_one() -> None:
    lab, _ = system("e1000", True)
    module = lab.kernel.modules.loaded["e1000"]
    for seed in range(4):
        planned = choose(module, f"twice {seed}", 5, tuple(CLASSES))
        assert trial("e1000", True, planned) == trial("e1000", True, planned)


@pytest.mark.parametrize("kind", ["source", "destination", "pointer", "text", "nop"])
def test_instruction_faults_that_run_do_harm_natively(kind: str) -> None:
    lab, _ = system("e1000", False)
    module = lab.kernel.modules.loaded["e1000"]
    ends = {}
    for seed in range(40):
        end, records = trial("e1000", False, choose(module, f"{kind} {seed}", 5, (kind,)))
        assert {each.kind for each in records} == {kind}
        if end != "right":
            assert any(each.activated for each in records)
            ends[end] = True
            break
    assert ends


@pytest.mark.parametrize("nooks", [False, True], ids=["native", "nooks"])
@pytest.mark.parametrize("kind", ["stack", "heap"])
def test_bits_flip_in_what_the_extension_works_with(kind: str, nooks: bool) -> None:
    lab, _ = system("e1000", nooks)
    module = lab.kernel.modules.loaded["e1000"]
    _, records = trial("e1000", nooks, choose(module, "flip", 3, (kind,)))
    struck = [each for each in records if each.activated]
    assert struck
    for each in struck:
        assert (int(each.before, 16) ^ int(each.after, 16)).bit_count() == 1
        assert not module.holds(each.address)
        assert each.symbol.startswith("e1000_")
        assert each.line
        assert "(%esp)" in each.disassembly_before or "points into" in each.disassembly_before


@pytest.mark.parametrize("extension", extensions.names())
@pytest.mark.parametrize("nooks", [False, True], ids=["native", "nooks"])
def test_all_classes_in_all_extensions_hurt_only_the_guest(extension: str, nooks: bool) -> None:
    lab, _ = system(extension, nooks)
    module = lab.kernel.modules.loaded[extension]
    for seed in range(3):
        planned = choose(module, f"everything {seed}", 8, tuple(CLASSES))
        _, records = trial(extension, nooks, planned)
        assert [each.kind for each in records] == [fault.kind for fault in planned]
        for fault, each in zip(planned, records, strict=True):
            if fault.length:
                assert each.address == module.base + each.offset
                assert len(each.before) == len(each.after) == 2 * fault.length
                assert each.disassembly_before
                assert each.disassembly_after != each.disassembly_before
                assert each.line.rpartition(":")[2].isdigit()


def test_a_text_fault_inverts_a_bit_of_the_relocated_bytes() -> None:
    with nl.boot() as native, nl.boot(nooks=True) as nooks:
        labs = (native, nooks)
        modules = [lab.insmod("e1000") for lab in labs]
        call = next(each for each in text_of(modules[0].object).instructions if each.callee == "printk")
        bit = PlannedFault("text", call.offset, 5, Rewrite(b"\xff" * 5, b"\0\0\x10\0\0"))
        records = []
        for lab, module in zip(labs, modules, strict=True):
            injection = Injection(lab, "e1000", (bit,))
            injection.inject()
            (record,) = injection.records()
            records.append(record)
            assert lab.kernel.memory.read(module.base + call.offset, 5).hex() == record.after
            assert int(record.before, 16) ^ int(record.after, 16) == 0x100000
        assert records[0].before != records[1].before


def test_only_a_loaded_extension_can_be_injected_into() -> None:
    with nl.boot() as lab, pytest.raises(LookupError, match="no extension 'sb' is loaded; there are: none"):
        Injection(lab, "sb", ())
