"""Interrupt lines of the kernel, and the regions that drivers claim."""

from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nooks_lab as nl
from nooks_lab.kernel.errno import EBUSY, EINVAL
from nooks_lab.kernel.exports import Signature
from nooks_lab.kernel.irq import SA_SHIRQ
from nooks_lab.kernel.kernel import Kernel
from nooks_lab.kernel.sched import TASK_INTERRUPTIBLE
from nooks_lab.kernel.timers import HZ
from nooks_lab.machine.bus import PORT_CYCLES
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.toolchain.layouts import FunctionType

LINE = 9


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    with nl.boot() as lab:
        yield lab.kernel


@pytest.fixture(scope="module")
def shared() -> Iterator[Kernel]:
    with nl.boot() as lab:
        yield lab.kernel


@pytest.fixture
def add_handler(kernel: Kernel) -> Callable[[Callable[[int, int, int], None]], int]:
    """Give a Python function an address that ``request_irq`` takes."""
    word = kernel.layouts.functions["kmalloc"].params[0][1]
    void = kernel.layouts.functions["kfree"].result
    prototype = FunctionType(void, (("irq", word), ("dev_id", word), ("regs", word)), False)
    return lambda function: kernel.execution.add_function("handler", function, Signature(prototype))


def test_a_handler_gets_its_line_and_its_device(kernel: Kernel, add_handler: Callable[..., int]) -> None:
    seen = []

    def handler(irq: int, dev_id: int, regs: int) -> None:
        seen.append((irq, dev_id, kernel.sched.in_interrupt()))

    assert kernel.irq.request_irq(LINE, add_handler(handler), 0, 0, 0x1234) == 0
    kernel.machine.pic.pulse(LINE)
    kernel.run(1000)
    assert seen == [(LINE, 0x1234, True)]
    kernel.irq.free_irq(LINE, 0x1234)
    kernel.machine.pic.pulse(LINE)
    kernel.run(1000)
    assert len(seen) == 1


def test_a_level_line_fires_until_the_device_lets_go(kernel: Kernel, add_handler: Callable[..., int]) -> None:
    calls = []

    def handler(irq: int, dev_id: int, regs: int) -> None:
        calls.append(irq)
        if len(calls) == 5:
            kernel.machine.pic.release(LINE, "device")

    kernel.irq.request_irq(LINE, add_handler(handler), 0, 0, 1)
    kernel.machine.pic.hold(LINE, "device")
    kernel.run(100_000)
    assert len(calls) == 5


def test_a_line_that_nobody_quiets_does_not_outlast_the_run(
    kernel: Kernel, add_handler: Callable[..., int]
) -> None:
    calls: list[int] = []
    kernel.irq.request_irq(LINE, add_handler(lambda irq, dev_id, regs: calls.append(irq)), 0, 0, 1)
    kernel.machine.pic.hold(LINE, "device")
    end = kernel.machine.clock.now + 400_000
    kernel.run(400_000)
    assert len(calls) > 50
    assert end <= kernel.machine.clock.now < end + 10_000


@pytest.mark.parametrize(("line", "accesses"), [(LINE - 4, 4), (LINE, 5)])
def test_the_interrupt_controller_takes_its_port_accesses(
    kernel: Kernel, add_handler: Callable[..., int], line: int, accesses: int
) -> None:
    clock = kernel.machine.clock
    calls: list[int] = []
    kernel.irq.request_irq(line, add_handler(lambda irq, dev_id, regs: calls.append(clock.now)), 0, 0, 1)
    kernel.machine.pic.hold(line, "device")
    kernel.run(100_000)
    between = {later - earlier for earlier, later in pairwise(calls[5:])}
    assert accesses * PORT_CYCLES < min(between)
    assert max(between) < (accesses + 1) * PORT_CYCLES


def test_a_task_that_an_interrupt_wakes_on_the_way_to_hlt_runs_at_once(
    kernel: Kernel, add_handler: Callable[..., int]
) -> None:
    sched, clock = kernel.sched, kernel.machine.clock
    asleep: list[int] = []
    kernel.irq.request_irq(
        LINE, add_handler(lambda irq, dev_id, regs: sched.wake_up_process(asleep[0])), 0, 0, 1
    )

    def body() -> int:
        asleep.append(sched.current.address)
        sched.set_task_state(asleep[0], TASK_INTERRUPTIBLE)
        kernel.machine.pic.pulse(LINE)
        begun = clock.now
        sched.schedule_timeout(10)
        return clock.now - begun

    assert kernel.in_task("sleeper", body) < CPU_HZ // HZ // 10


def test_sharers_of_a_line_are_all_called_in_order(kernel: Kernel, add_handler: Callable[..., int]) -> None:
    seen: list[int] = []
    handler = add_handler(lambda irq, dev_id, regs: seen.append(dev_id))
    for device in (0x100, 0x200, 0x300):
        assert kernel.irq.request_irq(LINE, handler, SA_SHIRQ, 0, device) == 0
    kernel.irq.free_irq(LINE, 0x200)
    kernel.machine.pic.pulse(LINE)
    kernel.run(1000)
    assert seen == [0x100, 0x300]
    kernel.irq.free_irq(LINE, 0x100)
    assert not kernel.machine.pic.masked(LINE)
    kernel.irq.free_irq(LINE, 0x300)
    assert kernel.machine.pic.masked(LINE)


@pytest.mark.parametrize(
    ("first", "second", "result"),
    [(0, 0, -EBUSY), (SA_SHIRQ, 0, -EBUSY), (0, SA_SHIRQ, -EBUSY), (SA_SHIRQ, SA_SHIRQ, 0)],
)
def test_a_line_is_shared_only_when_both_agree(kernel: Kernel, first: int, second: int, result: int) -> None:
    assert kernel.irq.request_irq(LINE, 0xC0100000, first, 0, 1) == 0
    assert kernel.irq.request_irq(LINE, 0xC0100000, second, 0, 2) == result


@pytest.mark.parametrize(
    ("irq", "handler", "flags", "device"),
    [(16, 1, 0, 1), (0xFFFFFFFF, 1, 0, 1), (LINE, 0, 0, 1), (LINE, 1, SA_SHIRQ, 0)],
    ids=["no such line", "line -1", "no handler", "shared without a device"],
)
def test_a_bad_request_is_invalid(kernel: Kernel, irq: int, handler: int, flags: int, device: int) -> None:
    active = kernel.slab.active()
    assert kernel.irq.request_irq(irq, handler, flags, 0, device) == -EINVAL
    assert kernel.slab.active() == active


def test_disabling_nests_and_keeps_the_interrupt(kernel: Kernel, add_handler: Callable[..., int]) -> None:
    seen: list[int] = []
    kernel.irq.request_irq(LINE, add_handler(lambda irq, dev_id, regs: seen.append(irq)), 0, 0, 1)
    kernel.irq.disable_irq(LINE)
    kernel.irq.disable_irq(LINE)
    kernel.machine.pic.pulse(LINE)
    kernel.run(1000)
    kernel.irq.enable_irq(LINE)
    kernel.run(1000)
    assert seen == []
    kernel.irq.enable_irq(LINE)
    kernel.run(1000)
    assert seen == [LINE]


def test_freeing_what_nobody_requested_does_nothing(kernel: Kernel) -> None:
    active = kernel.slab.active()
    kernel.irq.free_irq(LINE, 1)
    kernel.irq.free_irq(99, 1)
    assert kernel.slab.active() == active


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 12), st.booleans()), max_size=25))
def test_regions_never_overlap_and_all_come_back(shared: Kernel, steps: list[tuple[int, int, bool]]) -> None:
    kernel = shared
    parent = kernel.variable("iomem_resource")
    before, active = kernel.resources.claimed(parent), kernel.slab.active()
    held: dict[int, int] = {}
    for start, size, claim in steps:
        if claim:
            free = all(start + size <= other or other + n <= start for other, n in held.items())
            assert bool(kernel.resources.request_region(parent, start, size, 0)) == free
            if free:
                held[start] = size
        elif start in held:
            kernel.resources.release_region(parent, start, held.pop(start))
        assert [(a, b) for a, b in kernel.resources.claimed(parent) if b < 1000] == [
            (a, a + n - 1) for a, n in sorted(held.items())
        ]
    for start, size in held.items():
        kernel.resources.release_region(parent, start, size)
    assert (kernel.resources.claimed(parent), kernel.slab.active()) == (before, active)
