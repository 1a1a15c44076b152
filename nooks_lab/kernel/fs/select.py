"""Waiting for several files at once (Linux 2.4 ``fs/select.c``)."""

from collections.abc import Sequence
from typing import Any

from nooks_lab.kernel.errno import EINTR, EINVAL, ENOMEM
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.fs.file_error import FileError, checked
from nooks_lab.kernel.fs.file_table import NR_OPEN, FileTable
from nooks_lab.kernel.fs.parts import FsParts
from nooks_lab.kernel.sched import MAX_SCHEDULE_TIMEOUT, TASK_INTERRUPTIBLE, TASK_RUNNING
from nooks_lab.kernel.timers import HZ
from nooks_lab.machine.memory import PAGE_SIZE

POLLIN, POLLOUT, POLLERR, POLLHUP, POLLNVAL = 0x01, 0x04, 0x08, 0x10, 0x20
POLLRDNORM, POLLWRNORM = 0x40, 0x100
DEFAULT_POLLMASK = POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM
"""Of a file whose driver has no ``poll``: reading and writing never wait."""


class Select:
    """``poll``."""

    def __init__(self, parts: FsParts, table: FileTable) -> None:
        self._parts, self._memory, self._table = parts, parts.memory, table
        size = parts.types.size
        self._entry, self._page = size("poll_table_entry"), size("poll_table_page")

    def poll(self, fds: Sequence[tuple[int, int]], timeout: int) -> list[int]:
        """Wait until something can be done with one of some files.

        Parameters
        ----------
        fds : sequence of (descriptor, events)
        timeout : int
            Milliseconds, for at most so long; negative for however long it takes.

        Returns
        -------
        list of int
            For each file what can be done, of what was asked for, and what is wrong with it.

        Raises
        ------
        FileError
            EINTR when a signal comes first.
        """
        if len(fds) > NR_OPEN:
            raise FileError(EINVAL, f"poll of {len(fds)} files")
        jiffies = MAX_SCHEDULE_TIMEOUT if timeout < 0 else -(-timeout * HZ // 1000)
        with self._parts.on_stack(self._parts.types.size("poll_table_struct")) as room:
            wait = self._parts.view("poll_table_struct", room)
            wait.error, wait.table = 0, 0
            try:
                return self._wait(fds, jiffies, room)
            finally:
                self._parts.sched.current.state = TASK_RUNNING
                self._free(wait.table)

    def _wait(self, fds: Sequence[tuple[int, int]], jiffies: int, wait: int) -> list[int]:
        sched, noted = self._parts.sched, wait
        while True:
            # Whoever wakes the process while it still asks is not missed.
            sched.set_task_state(sched.current.address, TASK_INTERRUPTIBLE)
            found: list[int] = []
            for fd, events in fds:
                found.append(self._ask(fd, events, 0 if any(found) else noted))
            noted = 0
            if any(found) or not jiffies:
                return found
            checked(self._parts.view("poll_table_struct", wait).error, "poll")
            if sched.current.sigpending:
                raise FileError(EINTR, "poll")
            jiffies = sched.schedule_timeout(jiffies)

    def _ask(self, fd: int, events: int, wait: int) -> int:
        """Return what can be done with a file; ``wait`` is the poll table, 0 when nobody will wait."""
        try:
            file = self._table.get(fd)
        except FileError:
            return POLLNVAL
        try:
            operation = self._table.operation(file, "poll")
            mask = self._parts.call(operation, file.address, wait) if operation else DEFAULT_POLLMASK
        finally:
            self._table.put(file)
        return mask & (events | POLLERR | POLLHUP)

    @export(cycles=120, name="__pollwait")
    def pollwait(self, filp: int, wait_address: int, p: int) -> None:
        """Put the process on a queue of a file's, until its call of ``poll`` ends."""
        wait = self._parts.view("poll_table_struct", p)
        entry = self._new_entry(wait)
        if not entry:
            wait.error = -ENOMEM
            return
        struct = self._parts.view("poll_table_entry", entry)
        struct.filp, struct.wait_address = filp, wait_address
        self._table.view(filp).f_count.counter += 1
        struct.wait.flags, struct.wait.task = 0, self._parts.sched.current.address
        self._parts.sched.add_wait_queue(wait_address, struct.wait.address)

    def _new_entry(self, wait: Any) -> int:
        """``poll_get_entry``: return room for another entry, on a new page when the last one is full."""
        table = wait.table
        page = self._parts.view("poll_table_page", table) if table else None
        if page is None or page.entry + self._entry > table + PAGE_SIZE:
            new = self._parts.pages.get_zeroed_page()
            if not new:
                return 0
            page = self._parts.view("poll_table_page", new)
            page.next, page.entry = table, new + self._page
            wait.table = new
        entry = int(page.entry)
        page.entry = entry + self._entry
        return entry

    def _free(self, table: int) -> None:
        """``poll_freewait``: leave every queue, and give the files up."""
        while table:
            page = self._parts.view("poll_table_page", table)
            for entry in range(table + self._page, page.entry, self._entry):
                struct = self._parts.view("poll_table_entry", entry)
                self._parts.sched.remove_wait_queue(struct.wait_address, struct.wait.address)
                self._table.put(self._table.view(struct.filp))
            following = page.next
            self._parts.pages.free(table, 0)
            table = following
