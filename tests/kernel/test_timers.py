"""Kernel timers: order, moving, stopping, and jiffies that wrap."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nooks_lab as nl
from nooks_lab.kernel.exports import Signature
from nooks_lab.kernel.kernel import Kernel
from nooks_lab.kernel.timers import CYCLES_PER_JIFFY
from nooks_lab.machine.clock import CPU_HZ


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    with nl.boot() as lab:
        yield lab.kernel


def make_timers(kernel: Kernel, count: int) -> tuple[list[int], list[tuple[int, int]]]:
    """Return timers whose function notes data and jiffies, and the notes."""
    fired: list[tuple[int, int]] = []

    def note(data: int) -> None:
        assert kernel.sched.in_interrupt()
        fired.append((data, kernel.timers.jiffies))

    prototype = kernel.layouts.functions["dev_watchdog"]
    function = kernel.execution.add_function("note", note, Signature(prototype))
    size = kernel.types.size("timer_list")
    block = kernel.slab.zalloc(size * count)
    timers = [block + size * index for index in range(count)]
    for index, address in enumerate(timers):
        timer = kernel.types.view("timer_list", address)
        timer.function, timer.data = function, index
    return timers, fired


@settings(max_examples=15)
@given(st.lists(st.integers(-3, 12), min_size=1, max_size=10), st.sampled_from([0, 0xFFFFFFFA, 0x7FFFFFFA]))
def test_timers_fire_at_their_jiffy_in_order_even_when_jiffies_wraps(delays: list[int], start: int) -> None:
    with nl.boot() as lab:
        kernel = lab.kernel
        kernel.memory.set_u32(kernel.variable("jiffies"), start)
        timers, fired = make_timers(kernel, len(delays))
        for timer, delay in zip(timers, delays, strict=True):
            kernel.types.view("timer_list", timer).expires = start + delay & 0xFFFFFFFF
            kernel.timers.add_timer(timer)
        kernel.run(14 * CYCLES_PER_JIFFY)
        expected = sorted(range(len(delays)), key=lambda index: (delays[index], index))
        assert fired == [(index, start + max(1, delays[index]) & 0xFFFFFFFF) for index in expected]
        assert kernel.timers.pending() == []


def test_a_stopped_timer_does_not_fire(kernel: Kernel) -> None:
    (timer,), fired = make_timers(kernel, 1)
    kernel.timers.mod_timer(timer, kernel.timers.jiffies + 2)
    assert kernel.timers.del_timer(timer) == 1
    assert kernel.timers.del_timer(timer) == 0
    kernel.run(5 * CYCLES_PER_JIFFY)
    assert fired == []


def test_mod_timer_moves_a_timer(kernel: Kernel) -> None:
    (timer,), fired = make_timers(kernel, 1)
    start = kernel.timers.jiffies
    assert kernel.timers.mod_timer(timer, start + 2) == 0
    assert kernel.timers.mod_timer(timer, start + 4) == 1
    kernel.run(7 * CYCLES_PER_JIFFY)
    assert fired == [(0, start + 4)]


def test_starting_a_running_timer_twice_leaves_it(kernel: Kernel) -> None:
    (timer,), fired = make_timers(kernel, 1)
    kernel.types.view("timer_list", timer).expires = kernel.timers.jiffies + 1
    kernel.timers.add_timer(timer)
    kernel.timers.add_timer(timer)
    kernel.run(4 * CYCLES_PER_JIFFY)
    assert len(fired) == 1


def test_jiffies_count_a_hundred_a_second(kernel: Kernel) -> None:
    before = kernel.timers.jiffies
    kernel.run(100 * CYCLES_PER_JIFFY + 10_000)
    assert kernel.timers.jiffies - before == 100


@given(usecs=st.integers(0, 0xFFFFFFFF))
def test_no_delay_takes_a_second(kernel: Kernel, usecs: int) -> None:
    begun = kernel.machine.clock.now
    kernel.timers.udelay(usecs)
    waited = kernel.machine.clock.now - begun
    assert waited < CPU_HZ
    if usecs < 1_000_000:
        assert waited == pytest.approx(usecs * CPU_HZ / 1_000_000, rel=0.001, abs=1)
