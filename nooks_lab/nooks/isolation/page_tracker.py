"""The page tracker: which pages a domain may write, why, and how often they were granted (paper, section 4.4).

Its tables lie in guest memory beside the domain's page tables, one word for each entry of theirs.
"""

from collections.abc import Iterator
from enum import IntEnum

from nooks_lab.kernel.kernel import Kernel
from nooks_lab.kernel.page_table import PAGE_OFFSET, virt_to_phys

_FIRST_SLOT = PAGE_OFFSET >> 22
_SLOTS = 1024 - _FIRST_SLOT
_COUNT = 0xFFFF


class Grant(IntEnum):
    """Why a page is the domain's to write."""

    HEAP = 1
    STACK = 2
    MODULE_DATA = 3
    PACKET = 4
    DMA = 5
    DEVICE_REGISTERS = 6
    DISK_BLOCK = 7
    PAGE_CACHE = 8
    DESCRIPTORS = 9

    @property
    def label(self) -> str:
        """The name as pictures and reports show it."""
        return "dma" if self is Grant.DMA else self.name.lower().replace("_", " ")


class PageTracker:
    """One domain's granted pages.

    Parameters
    ----------
    kernel : Kernel
        Gives the memory for the tables.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._words, self._pages, self._slab = kernel.machine.memory.words, kernel.pages, kernel.slab
        self.address = kernel.slab.zalloc(4 * _SLOTS)
        if not self.address:
            raise MemoryError("no memory for a domain's page tracker")
        self._first = (virt_to_phys(self.address) >> 2) - _FIRST_SLOT

    def _slot(self, page: int) -> int:
        return self._first + (page >> 22)

    def _word(self, page: int) -> int | None:
        """Return the index of a page's word in physical memory, or None when it has none yet."""
        table = self._words[self._first + (page >> 22)]
        return (virt_to_phys(table) >> 2) + (page >> 12 & 0x3FF) if table else None

    def count(self, page: int) -> int:
        """Return how many grants of a page are in force."""
        word = self._word(page)
        return 0 if word is None else int(self._words[word]) & _COUNT

    def add_table(self, page: int) -> None:
        """Make room for the notes of the pages around one; a new page table of the domain needs it."""
        table = self._pages.get_zeroed_page()
        if not table:
            raise MemoryError("no memory for a domain's page tracker")
        self._words[self._slot(page)] = table

    def add(self, page: int, reason: Grant) -> None:
        """Count one more grant of a mapped page; the first one's reason is the page's."""
        word = self._word(page)
        assert word is not None
        entry = self._words[word]
        self._words[word] = entry + 1 if entry & _COUNT else 1 | reason << 16

    def drop(self, page: int) -> int:
        """Count one grant less; returns how many are left, -1 when there was none."""
        word = self._word(page)
        if word is None or not self._words[word] & _COUNT:
            return -1
        entry = self._words[word] - 1
        self._words[word] = entry if entry & _COUNT else 0
        return int(entry) & _COUNT

    def forget(self, page: int) -> None:
        """A page is no longer mapped: no grant of it is left."""
        word = self._word(page)
        if word is not None:
            self._words[word] = 0

    def granted(self) -> Iterator[tuple[int, int, int]]:
        """Yield address, number of grants and reason of every granted page, lowest first."""
        for slot in range(_SLOTS):
            table = self._words[(virt_to_phys(self.address) >> 2) + slot]
            if table:
                first = virt_to_phys(table) >> 2
                for index, entry in enumerate(self._words[first : first + 1024]):
                    if entry:
                        yield (_FIRST_SLOT + slot) << 22 | index << 12, entry & _COUNT, entry >> 16

    def destroy(self) -> None:
        """Give the tables' memory back."""
        for slot in range(_SLOTS):
            table = self._words[(virt_to_phys(self.address) >> 2) + slot]
            if table:
                self._pages.free(int(table), 0)
        self._slab.free(self.address)
