"""User memory and copies to and from it (Linux 2.4 ``asm/uaccess.h``)."""

from collections.abc import Callable

from nooks_lab.kernel.errno import EFAULT
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.page_alloc import PageAllocator
from nooks_lab.kernel.page_table import PAGE_OFFSET, PageTable, virt_to_phys
from nooks_lab.machine.linear import LinearMemory
from nooks_lab.machine.memory import PAGE_SIZE
from nooks_lab.machine.paging import RW, US, A, D, P, PageFault

USER_BASE = 0x08048000
"""Where a process's pages lie, as the linker puts them on i386."""
USER_PAGES = 16


class UserMemory:
    """The pages of the one user address space, and copies that survive a bad pointer.

    Attributes
    ----------
    limit : callable -> int
        Up to where the running task's pointers may go (``current->addr_limit``).
    """

    def __init__(self, memory: LinearMemory, table: PageTable, pages: PageAllocator) -> None:
        self._memory, self._table, self._pages = memory, table, pages
        self._next = USER_BASE
        self.limit: Callable[[], int] = lambda: PAGE_OFFSET

    def boot(self) -> None:
        """Map the user pages."""
        for index in range(USER_PAGES):
            frame = virt_to_phys(self._pages.get_zeroed_page())
            self._table.set_pte(USER_BASE + index * PAGE_SIZE, frame | P | RW | US | A | D)

    def place(self, data: bytes) -> int:
        """Put bytes into user memory, as a program would hold them; returns their address."""
        size = len(data) + 15 & ~15
        if self._next + size > USER_BASE + USER_PAGES * PAGE_SIZE:
            self._next = USER_BASE
        address, self._next = self._next, self._next + size
        self._memory.write(address, data)
        return address

    def copy_out(self, to: int, data: bytes) -> int:
        """Write bytes to user memory; 0, or EFAULT when it is none."""
        try:
            if to + len(data) > PAGE_OFFSET:
                return EFAULT
            self._memory.write(to, data)
        except PageFault:
            return EFAULT
        return 0

    def copy_in(self, source: int, size: int) -> bytes:
        """Return bytes of user memory; none when it is none."""
        try:
            return self._memory.read(source, size) if source + size <= PAGE_OFFSET else b""
        except PageFault:
            return b""

    @export(cycles=200)
    def copy_to_user(self, to: int, from_: int, n: int) -> int:
        """Copy to user memory; returns the bytes that could not be copied."""
        return self._copy(to, from_, n, to)

    @export(cycles=200)
    def copy_from_user(self, to: int, from_: int, n: int) -> int:
        """Copy from user memory; returns the bytes that could not be copied."""
        return self._copy(to, from_, n, from_)

    def _copy(self, to: int, source: int, size: int, user: int) -> int:
        if user + size > self.limit():
            return size
        done = 0
        while done < size:
            at = source + done
            take = min(size - done, PAGE_SIZE - (at & 0xFFF), PAGE_SIZE - (to + done & 0xFFF))
            try:
                self._memory.write(to + done, self._memory.read(at, take))
            except PageFault as fault:
                # Only the user's pointer has a fixup; the kernel's own one oopses.
                if fault.address >= PAGE_OFFSET:
                    raise
                return size - done
            done += take
        return 0
