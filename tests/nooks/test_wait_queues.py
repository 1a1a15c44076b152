"""Sleeping and waking on the queues of an extension; the kernel keeps a version of its own of each."""

from collections.abc import Iterator

import census
import napper
import pytest

import nooks_lab as nl
from nooks_lab.kernel.sched import TASK_INTERRUPTIBLE, TASK_UNINTERRUPTIBLE, Thread
from nooks_lab.lab import Lab
from nooks_lab.nooks.manager import Nooks
from nooks_lab.nooks.tracking.validate import validate

UNINTERRUPTIBLE, INTERRUPTIBLE, UNINTERRUPTIBLE_5, INTERRUPTIBLE_5, INTERRUPTIBLE_500 = range(5)
"""What ``doze`` of the driver does: kind of sleep, and its time-out in jiffies."""

EIO = -5 & 0xFFFFFFFF


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with nl.boot(nooks=True) as booted:
        booted.insmod(napper.driver())
        # Stacks for four tasks, and the kernel's version of the queue, stay.
        for task in [napper.calls(booted, "doze", INTERRUPTIBLE_5) for _ in range(4)]:
            booted.kernel.wait(task)
        yield booted


@pytest.fixture(autouse=True)
def nothing_leaks(lab: Lab) -> Iterator[None]:
    before = census.take(lab)
    yield
    assert census.take(lab) == before
    assert validate(manager(lab)) == []


def manager(lab: Lab) -> Nooks:
    assert lab.nooks is not None
    return lab.nooks


def asleep(lab: Lab, name: str, *arguments: int) -> Thread:
    """Start a call, and let it run until its task sleeps."""
    task = napper.calls(lab, name, *arguments)
    lab.run(0.001)
    assert task.task.state in (TASK_INTERRUPTIBLE, TASK_UNINTERRUPTIBLE)
    return task


def wakes(lab: Lab, task: Thread) -> int:
    """Return what a call comes back with now; its task must be awake."""
    lab.run(0.001)
    assert task.run.dead
    lab.kernel.wait(task)
    return int(task.result)


@pytest.mark.parametrize(
    ("kind", "state", "result"),
    [
        (UNINTERRUPTIBLE, TASK_UNINTERRUPTIBLE, 100),
        (INTERRUPTIBLE, TASK_INTERRUPTIBLE, 101),
    ],
)
def test_who_sleeps_is_woken_by_the_extension(lab: Lab, kind: int, state: int, result: int) -> None:
    task = asleep(lab, "doze", kind)
    assert task.task.state == state
    napper.do(lab, "rouse", TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE ^ state)
    lab.run(0.001)
    napper.do(lab, "rouse", state)
    assert wakes(lab, task) == result


def test_a_wake_up_of_interruptible_tasks_leaves_the_others_asleep(lab: Lab) -> None:
    task = asleep(lab, "doze", UNINTERRUPTIBLE)
    napper.do(lab, "rouse", TASK_INTERRUPTIBLE)
    lab.run(0.1)
    assert task.task.state == TASK_UNINTERRUPTIBLE
    napper.do(lab, "rouse", TASK_UNINTERRUPTIBLE)
    assert wakes(lab, task) == 100


@pytest.mark.parametrize("kind", [UNINTERRUPTIBLE_5, INTERRUPTIBLE_5])
def test_a_sleep_ends_with_its_time(lab: Lab, kind: int) -> None:
    task = asleep(lab, "doze", kind)
    lab.run(0.03)
    assert not task.run.dead
    lab.run(0.03)
    assert wakes(lab, task) == 0


@pytest.mark.parametrize("kind", [UNINTERRUPTIBLE_5, INTERRUPTIBLE_5])
def test_who_is_woken_before_its_time_hears_what_was_left(lab: Lab, kind: int) -> None:
    task = asleep(lab, "doze", kind)
    lab.run(0.02)
    napper.do(lab, "rouse_all")
    assert wakes(lab, task) in (2, 3)


def test_all_sleepers_are_woken(lab: Lab) -> None:
    tasks = [asleep(lab, "doze", kind) for kind in (UNINTERRUPTIBLE, INTERRUPTIBLE, INTERRUPTIBLE_500)]
    napper.do(lab, "rouse_all")
    assert [wakes(lab, task) for task in tasks][:2] == [100, 101]


def test_the_extension_sees_whether_anyone_waits(lab: Lab) -> None:
    assert napper.do(lab, "active") == 0
    first, second = asleep(lab, "doze", INTERRUPTIBLE_500), asleep(lab, "wait_by_hand", 500)
    assert napper.do(lab, "active") == 1
    lab.kernel.sched.wake_up_process(first.task.address)
    assert wakes(lab, first) > 490
    assert napper.do(lab, "active") == 1
    napper.do(lab, "rouse_all")
    assert wakes(lab, second) > 490
    assert napper.do(lab, "active") == 0


def test_a_waiter_is_an_object_while_it_waits(lab: Lab) -> None:
    nooks = manager(lab)
    (domain,) = nooks.domains

    def waiters() -> list[tuple[int, int]]:
        held = nooks.tracker.objects(domain)
        return [(each.extension, each.kernel) for each in held if each.type == "waiter"]

    task = asleep(lab, "wait_by_hand", 500)
    ((own, kernel),) = waiters()
    assert own == napper.symbol(lab, "waiter")
    assert lab.kernel.types.view("__wait_queue", kernel).task == task.task.address
    assert not domain.may_write(kernel)
    napper.do(lab, "rouse", TASK_INTERRUPTIBLE)
    assert wakes(lab, task) > 490
    assert waiters() == []


def test_the_kernel_follows_no_list_of_the_extensions(lab: Lab) -> None:
    task = asleep(lab, "doze", INTERRUPTIBLE)
    queue = napper.symbol(lab, "queue")
    lab.kernel.memory.write(queue, b"\xff" * lab.kernel.types.size("__wait_queue_head"))
    napper.do(lab, "rouse_all")
    assert wakes(lab, task) == 101
    assert napper.do(lab, "active") == 0


def test_the_extension_wakes_a_task_by_its_address(lab: Lab) -> None:
    task = asleep(lab, "doze", INTERRUPTIBLE_500)
    assert napper.do(lab, "wake", task.task.address) == 1
    assert wakes(lab, task) > 490
    spinner = lab.kernel.start("ready", lambda: 1)
    assert napper.do(lab, "wake", spinner.task.address) == 0
    lab.kernel.wait(spinner)


# The extension fails while a task sleeps on its queue


@pytest.mark.parametrize("call", ["doze 0", "doze 1", "doze 4", "wait_by_hand 500"])
def test_a_task_asleep_on_a_queue_survives_the_end_of_its_extension(call: str) -> None:
    name, argument = call.split()
    with nl.boot(nooks=True) as booted:
        booted.insmod(napper.driver())
        nooks = manager(booted)
        for _ in range(2):
            before = census.take(booted)
            task = asleep(booted, name, int(argument))
            assert napper.do(booted, "fault") == -5
            booted.run(0.5)
            recovery = nooks.recoveries[-1]
            # Whoever sleeps uninterruptibly is woken when the queue is released, after the unwinding.
            assert recovery.blocked == ([task.task.pid] if call == "doze 0" else [])
            assert (recovery.ok, recovery.leaked) == (True, 0)
            assert task.run.dead
            booted.kernel.wait(task)
            assert task.result & 0xFFFFFFFF == EIO
            assert len(nooks.domains) == 1
            assert validate(nooks) == []
            assert napper.do(booted, "active") == 0
        # The second time round every stack and table is there already.
        assert census.take(booted) == before
        assert "BUG" not in booted.dmesg()


def test_a_late_sleeper_writes_neither_a_freed_queue_nor_its_successors() -> None:
    with nl.boot(nooks=True) as booted:
        booted.insmod(napper.driver())
        nooks, memory = manager(booted), booted.kernel.memory
        task = asleep(booted, "doze", UNINTERRUPTIBLE)
        old = napper.symbol(booted, "queue")
        held = nooks.tracker.objects(nooks.domains[0])
        (queue,) = (each for each in held if each.type == "wait queue")
        seen: list[bytes] = []

        def reloaded() -> None:
            """The successor runs, and the sleeper does not yet: mark the queue's place, look at the kernel's."""
            assert not task.run.dead
            memory.write(old, b"\x77" * 12)
            seen.append(memory.read(queue.kernel, 32))

        nooks.recovery.scripts["napper"] = [reloaded]
        assert napper.do(booted, "fault") == -5
        booted.run(0.5)
        assert task.run.dead
        assert nooks.recoveries[-1].ok
        assert napper.symbol(booted, "queue") == old
        assert memory.read(old, 12) == b"\x77" * 12
        assert [memory.read(queue.kernel, 32)] == seen
