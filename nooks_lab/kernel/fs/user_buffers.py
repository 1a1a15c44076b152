"""Memory of processes for the calls on files: what a program would have as its buffers."""

from collections.abc import Iterator
from contextlib import contextmanager

from nooks_lab.kernel.fs.parts import FsParts
from nooks_lab.kernel.page_table import PageTable, virt_to_phys
from nooks_lab.machine.memory import PAGE_SIZE
from nooks_lab.machine.paging import RW, US, A, D, P

BASE = 0x0A000000
"""Where they lie: in user addresses, behind the pages of the program itself."""

SIZE = 4 * PAGE_SIZE


class UserBuffers:
    """Buffers of ``SIZE`` bytes, each used by one call at a time and kept for the next."""

    def __init__(self, parts: FsParts, table: PageTable) -> None:
        self._parts, self._table = parts, table
        self._idle: list[int] = []
        self._made = 0

    @contextmanager
    def one(self, data: bytes = b"") -> Iterator[int]:
        """Have a buffer, whose address is yielded, with ``data`` at its start.

        Raises
        ------
        MemoryError
            When there is no memory for another one.
        """
        address = self._idle.pop() if self._idle else self._make()
        try:
            self._parts.memory.write(address, data)
            yield address
        finally:
            self._idle.append(address)

    def _make(self) -> int:
        address = BASE + self._made * SIZE
        for offset in range(0, SIZE, PAGE_SIZE):
            page = self._parts.pages.get_zeroed_page()
            if not page:
                raise MemoryError("no memory for a process's buffer")
            self._table.set_pte(address + offset, virt_to_phys(page) | P | RW | US | A | D)
        self._made += 1
        return address
