"""The task ``kupdated``: writes back what has been dirty for long (Linux 2.4 ``fs/buffer.c``).

It lives as long as a filesystem with a device is mounted.
"""

from collections.abc import Callable
from typing import Any

from nooks_lab.kernel.block.buffer_cache import BufferCache
from nooks_lab.kernel.fs.parts import FsParts
from nooks_lab.kernel.fs.supers import Supers
from nooks_lab.kernel.sched import TASK_INTERRUPTIBLE
from nooks_lab.kernel.timers import HZ

INTERVAL = 5 * HZ
"""Jiffies between two rounds."""


class Kupdate:
    """The task, made when the first device is mounted.

    Attributes
    ----------
    spawn : callable (name, body)
        Makes a process that nobody waits for; set by the kernel.
    """

    def __init__(self, parts: FsParts, supers: Supers, buffers: BufferCache) -> None:
        self._parts, self._supers, self._buffers = parts, supers, buffers
        self.spawn: Callable[[str, Callable[[], Any]], Any] = lambda name, body: None
        self._thread: Any = None

    def start(self) -> None:
        """See that the task runs."""
        if self._thread is None or self._thread.run.dead:
            self._thread = self.spawn("kupdated", self._run)

    def _mounted(self) -> bool:
        return any(sb.s_bdev for sb in self._supers.supers())

    def _run(self) -> None:
        sched = self._parts.sched
        while True:
            sched.set_task_state(sched.current.address, TASK_INTERRUPTIBLE)
            sched.schedule_timeout(INTERVAL)
            if not self._mounted():
                return
            self.once()

    def once(self) -> None:
        """One round: super blocks and inodes into buffers, and old buffers to disk."""
        self._supers.sync_metadata()
        self._buffers.write_old()
