"""A poisoned instruction is met where the workload is known to pass, natively and under Nooks."""

from collections.abc import Iterator

import capstone
import pytest

import nooks_lab as nl
from nooks_lab.faults.poisoned_text import ENCODINGS, NothingSeen, Poisoner, Trace, plan, tracing
from nooks_lab.kernel.kernel import Panic
from nooks_lab.lab import Lab
from nooks_lab.workloads.network import Network


def booted(*, nooks: bool) -> tuple[Lab, Network]:
    workload = Network("e1000", messages=1, pings=1)
    lab = nl.boot(nooks=nooks, devices=workload.devices)
    workload.set_up(lab)
    return lab, workload


def run_twice(workload: Network, lab: Lab) -> None:
    """The fault may come at the very end of the first run."""
    assert workload.run(lab).ok
    assert workload.run(lab).ok


@pytest.fixture(scope="module")
def native() -> Iterator[tuple[Lab, Network, Trace]]:
    lab, workload = booted(nooks=False)
    with lab:
        with tracing(lab, "e1000") as trace:
            assert workload.run(lab).ok
        yield lab, workload, trace()


def test_the_trace_holds_whole_instructions_of_functions_that_ran(native: tuple[Lab, Network, Trace]) -> None:
    lab, _, trace = native
    module = lab.kernel.modules.loaded["e1000"]
    functions = {each.function for each in trace.instructions}
    assert {"e1000_intr", "e1000_xmit_frame"} <= functions
    assert not {"e1000_probe", "e1000_open", "e1000_remove"} & functions
    disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32)
    for each in trace.instructions:
        code = lab.kernel.memory.read(module.base + each.offset, each.length)
        (decoded,) = disassembler.disasm_lite(code, 0)
        assert decoded[1] == each.length
    assert list(trace.moments) == sorted(trace.moments)


def test_plans_are_seeded_and_fit_in_their_instructions(native: tuple[Lab, Network, Trace]) -> None:
    trace = native[2]
    plans = [plan(trace, seed) for seed in range(300)]
    assert plans == [plan(trace, seed) for seed in range(300)]
    assert {each.encoding for each in plans} == set(ENCODINGS)
    assert {each.instruction.function for each in plans} == {each.function for each in trace.instructions}
    assert all(len(ENCODINGS[each.encoding]) <= each.instruction.length for each in plans)


def test_nothing_can_be_poisoned_that_never_runs() -> None:
    lab, _ = booted(nooks=False)
    with lab:
        with tracing(lab, "e1000") as trace:
            pass
        with pytest.raises(NothingSeen, match="none of the extension's code"):
            plan(trace(), 1)
        with (
            pytest.raises(LookupError, match="no extension 'sb99' is loaded; there are: e1000"),
            tracing(lab, "sb99"),
        ):
            pass


def test_disarming_gives_the_text_back(native: tuple[Lab, Network, Trace]) -> None:
    lab, _, trace = native
    module = lab.kernel.modules.loaded["e1000"]
    before = lab.kernel.memory.read(module.base, module.size)
    poisoner = Poisoner(lab, "e1000")
    for seed in range(20):
        poison = plan(trace, seed)
        poisoner.arm(poison)
        poisoner.strike()
        at = module.base + poison.instruction.offset
        code = ENCODINGS[poison.encoding]
        assert poisoner.struck
        assert lab.kernel.memory.read(at, len(code)) == code
        assert poisoner.disarm()
    after = lab.kernel.memory.read(module.base, module.size)
    start, end = (address - module.base for address in module.image.text)
    assert after[start:end] == before[start:end]


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_the_same_fault_kills_the_native_system_and_is_recovered_under_nooks(
    native: tuple[Lab, Network, Trace], encoding: str
) -> None:
    trace = native[2]
    seed = next(
        seed
        for seed in range(1000)
        if (each := plan(trace, seed)).encoding == encoding and each.instruction.function == "e1000_intr"
    )
    lab, workload = booted(nooks=False)
    with lab:
        Poisoner(lab, "e1000").arm(plan(trace, seed))
        with pytest.raises(Panic, match="killing interrupt handler"):
            run_twice(workload, lab)
        assert "EIP is at e1000_intr [e1000]" in lab.dmesg()
    lab, workload = booted(nooks=True)
    with lab:
        Poisoner(lab, "e1000").arm(plan(trace, seed))
        run_twice(workload, lab)
        assert [recovery.ok for recovery in lab.nooks.recoveries] == [True]
