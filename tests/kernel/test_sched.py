"""Processes: sleeping, waking, timeouts, dying."""

from collections.abc import Iterator

import pytest

import nooks_lab as nl
from nooks_lab.kernel.bug import KernelBug
from nooks_lab.kernel.kernel import Kernel, TaskDied
from nooks_lab.kernel.sched import TASK_INTERRUPTIBLE, TASK_UNINTERRUPTIBLE
from nooks_lab.kernel.timers import CYCLES_PER_JIFFY
from nooks_lab.machine.paging import PageFault


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    with nl.boot() as lab:
        yield lab.kernel


def test_a_process_returns_what_its_body_returns_and_leaves_nothing(kernel: Kernel) -> None:
    free_pages = kernel.pages.nr_free_pages
    pids = [kernel.in_task("work", lambda: kernel.sched.current.pid) for _ in range(5)]
    assert pids == list(range(pids[0], pids[0] + 5))
    assert kernel.pages.nr_free_pages == free_pages
    assert kernel.sched.current.pid == 0


def test_a_process_has_its_name_and_its_own_stack(kernel: Kernel) -> None:
    def look() -> tuple[bytes, bool]:
        current = kernel.sched.current
        return current.comm, current.address < kernel.machine.cpu.esp < current.address + 8192

    assert kernel.in_task("a-name-that-is-too-long", look) == (b"a-name-that-is-", True)


def test_a_sleeper_is_woken_by_its_queue(kernel: Kernel) -> None:
    queue = make_queue(kernel)
    order = []

    def sleeper() -> None:
        order.append("sleeps")
        kernel.sched.interruptible_sleep_on(queue)
        order.append("woken")

    def waker() -> None:
        order.append("wakes")
        kernel.sched.wake_up(queue, TASK_INTERRUPTIBLE, 1)

    thread = kernel.start("sleeper", sleeper)
    kernel.run(CYCLES_PER_JIFFY)
    assert thread.task.state == TASK_INTERRUPTIBLE
    kernel.in_task("waker", waker)
    kernel.wait(thread)
    assert order == ["sleeps", "wakes", "woken"]
    assert waiters(kernel, queue) == 0


def make_queue(kernel: Kernel) -> int:
    queue = kernel.slab.zalloc(kernel.types.size("__wait_queue_head"))
    head = queue + kernel.types.offset("__wait_queue_head", "task_list")
    kernel.memory.set_u32(head, head)
    kernel.memory.set_u32(head + 4, head)
    return queue


def waiters(kernel: Kernel, queue: int) -> int:
    head = queue + kernel.types.offset("__wait_queue_head", "task_list")
    count, at = 0, kernel.memory.u32(head)
    while at != head:
        count, at = count + 1, kernel.memory.u32(at)
    return count


def test_waking_another_state_leaves_the_sleeper(kernel: Kernel) -> None:
    queue = make_queue(kernel)
    thread = kernel.start("sleeper", lambda: kernel.sched.sleep_on(queue))
    kernel.run(CYCLES_PER_JIFFY)
    kernel.in_task("waker", lambda: kernel.sched.wake_up(queue, TASK_INTERRUPTIBLE, 0))
    assert thread.task.state == TASK_UNINTERRUPTIBLE
    kernel.in_task("waker", lambda: kernel.sched.wake_up(queue, TASK_UNINTERRUPTIBLE, 0))
    kernel.wait(thread)


def test_all_sleepers_of_a_queue_wake_in_order(kernel: Kernel) -> None:
    queue = make_queue(kernel)
    woken: list[int] = []

    def sleeper(number: int) -> None:
        kernel.sched.sleep_on(queue)
        woken.append(number)

    threads = [kernel.start("sleeper", lambda number=number: sleeper(number)) for number in range(4)]
    kernel.run(CYCLES_PER_JIFFY)
    assert waiters(kernel, queue) == 4
    kernel.in_task("waker", lambda: kernel.sched.wake_up(queue, TASK_UNINTERRUPTIBLE, 0))
    for thread in threads:
        kernel.wait(thread)
    assert woken == [0, 1, 2, 3]


@pytest.mark.parametrize("timeout", [1, 2, 7])
def test_a_timeout_ends_a_sleep_after_that_many_jiffies(kernel: Kernel, timeout: int) -> None:
    def sleep() -> tuple[int, int]:
        start = kernel.timers.jiffies
        kernel.sched.set_task_state(kernel.sched.current.address, TASK_INTERRUPTIBLE)
        left = kernel.sched.schedule_timeout(timeout)
        return kernel.timers.jiffies - start, left

    assert kernel.in_task("sleeper", sleep) == (timeout, 0)


def test_an_early_waking_returns_the_jiffies_left(kernel: Kernel) -> None:
    queue = make_queue(kernel)
    thread = kernel.start("sleeper", lambda: kernel.sched.interruptible_sleep_on_timeout(queue, 50))
    kernel.run(10 * CYCLES_PER_JIFFY)
    kernel.in_task("waker", lambda: kernel.sched.wake_up(queue, TASK_INTERRUPTIBLE, 1))
    kernel.wait(thread)
    assert 39 <= thread.result <= 41


def test_a_process_that_faults_dies_alone(kernel: Kernel) -> None:
    free_pages = kernel.pages.nr_free_pages
    with pytest.raises(TaskDied, match="process bad was killed by signal 11"):
        kernel.in_task("bad", lambda: kernel.memory.u32(0x1234))
    assert kernel.in_task("good", lambda: 42) == 42
    assert kernel.pages.nr_free_pages == free_pages


def test_a_fault_outside_any_process_is_not_hidden(kernel: Kernel) -> None:
    with pytest.raises(PageFault):
        kernel.memory.u32(0x1234)


def test_waiting_in_an_interrupt_is_a_bug_of_the_kernels(kernel: Kernel) -> None:
    """Also while the idle task is the one interrupted: no Python program is to be told then."""
    kernel.irq_stat.local_irq_count += 1
    try:
        with pytest.raises(KernelBug, match="waiting in interrupt"):
            kernel.sched.must_be_process()
    finally:
        kernel.irq_stat.local_irq_count -= 1


def test_a_process_that_the_kernel_takes_for_the_idle_task_cannot_wait(kernel: Kernel) -> None:
    """Somebody has written to its task_struct; it is no Python program that has to be told to use a process."""

    def process() -> None:
        kernel.sched.current.pid = 0
        try:
            with pytest.raises(KernelBug, match="waiting in the idle task"):
                kernel.sched.must_be_process()
        finally:
            kernel.sched.current.pid = pid

    pid = kernel.memory.u32(kernel.variable("last_pid")) + 1
    kernel.in_task("victim", process)
