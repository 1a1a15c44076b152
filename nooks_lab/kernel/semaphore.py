"""Semaphores (Linux 2.4 ``arch/i386/kernel/semaphore.c``)."""

from collections.abc import Callable
from typing import Any

from nooks_lab.kernel.errno import EINTR
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.lists import init_list_head
from nooks_lab.kernel.sched import TASK_INTERRUPTIBLE, TASK_UNINTERRUPTIBLE, Scheduler
from nooks_lab.kernel.structs import Types


class Semaphores:
    """Sleeping locks; ``count`` says how many more may enter, and never goes below zero here."""

    def __init__(self, types: Types, sched: Scheduler) -> None:
        self._types, self._sched = types, sched

    def init(self, sem: int, count: int = 1) -> None:
        """``sema_init``; for extensions it is an inline."""
        semaphore = self._view(sem)
        semaphore.count.counter, semaphore.sleepers = count, 0
        init_list_head(self._types.memory, semaphore.wait.task_list.address)

    def _view(self, sem: int) -> Any:
        return self._types.view("semaphore", sem)

    def enter(self, semaphore: Any, sleep: Callable[[int], object]) -> None:
        """Wait until there is room, and take it.

        Parameters
        ----------
        sleep : callable (wait queue)
            Sleeps until the queue is woken.
        """
        while semaphore.count.counter <= 0:
            self._sched.must_be_process()
            semaphore.sleepers += 1
            try:
                sleep(semaphore.wait.address)
            finally:
                semaphore.sleepers -= 1
        semaphore.count.counter -= 1

    @export(cycles=30, sleeps=True)
    def down(self, sem: int) -> None:
        """Enter; sleeps uninterruptibly while there is no room."""
        self.enter(self._view(sem), self._sched.sleep_on)

    @export(cycles=30, sleeps=True)
    def down_interruptible(self, sem: int) -> int:
        """Enter, or give up with ``-EINTR`` at a signal."""
        semaphore = self._view(sem)
        while semaphore.count.counter <= 0:
            self._sched.must_be_process()
            if self._sched.current.sigpending:
                return -EINTR
            semaphore.sleepers += 1
            try:
                self._sched.interruptible_sleep_on(semaphore.wait.address)
            finally:
                semaphore.sleepers -= 1
        semaphore.count.counter -= 1
        return 0

    @export(cycles=30)
    def down_trylock(self, sem: int) -> int:
        """Enter if there is room; returns whether there was none."""
        semaphore = self._view(sem)
        if semaphore.count.counter <= 0:
            return 1
        semaphore.count.counter -= 1
        return 0

    @export(cycles=30)
    def up(self, sem: int) -> None:
        """Leave, and wake those who wait."""
        semaphore = self._view(sem)
        semaphore.count.counter += 1
        if semaphore.sleepers:
            self._sched.wake_up(semaphore.wait.address, TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE, 0)
