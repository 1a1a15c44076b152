"""The page allocator: buddy lists over ``mem_map``, all in guest memory (Linux 2.4 ``mm/page_alloc.c``)."""

from collections.abc import Callable

from nooks_lab.kernel.bug import KernelBug
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.lists import init_list_head, list_add, list_del, list_empty
from nooks_lab.kernel.page_table import PAGE_OFFSET, phys_to_virt, virt_to_phys
from nooks_lab.kernel.structs import Types
from nooks_lab.machine.linear import LinearMemory
from nooks_lab.machine.memory import PAGE_SHIFT, PAGE_SIZE

MAX_ORDER = 10
_NOT_FREE = 0xFFFFFFFF

BALANCE_RATIO, BALANCE_MIN, BALANCE_MAX = 128, 20, 255
"""``zone_balance_ratio``, ``_min`` and ``_max``: which share of a zone's pages is kept back, and its bounds."""

JUNK = 0x5A
"""What freed pages and objects are filled with, so that a use after free meets nonsense."""


class PageAllocator:
    """Free blocks of 2**order pages; ``page.private`` of a free block's first page holds its order.

    Parameters
    ----------
    types, memory
        The kernel's structs and memory.
    mem_map, free_area : int
        Addresses of the page array and of the free lists.
    nr_free : int
        Address of the counter ``nr_free_pages``.
    pages : int
        Page frames in RAM.

    Attributes
    ----------
    pages_min : int
        So many free pages are kept for those who must have them so that others get memory back (``PF_MEMALLOC``).
    may_dip : callable
        Tells whether the running task is one of those.
    reclaim : callable
        Frees what caches hold only for speed; returns how much.
    """

    def __init__(
        self, types: Types, memory: LinearMemory, mem_map: int, free_area: int, nr_free: int, pages: int
    ) -> None:
        self._memory, self._pages = memory, pages
        self.mem_map, self._free_area, self._nr_free = mem_map, free_area, nr_free
        self._page_size = types.size("page")
        self._flags = types.offset("page", "flags")
        self._count = types.offset("page", "count")
        self._private = types.offset("page", "private")
        self._virtual = types.offset("page", "virtual")
        self._area_size = types.size("free_area")
        self._reserved = 1 << 14
        self.pages_min = max(BALANCE_MIN, min(pages // BALANCE_RATIO, BALANCE_MAX))
        self.may_dip: Callable[[], bool] = lambda: False
        self.reclaim: Callable[[], int] = lambda: 0
        self._reclaiming = False

    def boot(self, first_free: int) -> None:
        """Describe every frame and free those from physical address ``first_free`` on."""
        memory = self._memory
        for order in range(MAX_ORDER):
            init_list_head(memory, self._free_area + order * self._area_size)
        blank = bytearray(self._page_size)
        for frame in range(self._pages):
            entry = bytearray(blank)
            reserved = frame < first_free >> PAGE_SHIFT
            entry[self._flags : self._flags + 4] = (self._reserved if reserved else 0).to_bytes(4, "little")
            entry[self._count : self._count + 4] = (1).to_bytes(4, "little")
            entry[self._private : self._private + 4] = _NOT_FREE.to_bytes(4, "little")
            entry[self._virtual : self._virtual + 4] = phys_to_virt(frame << PAGE_SHIFT).to_bytes(4, "little")
            memory.write(self.mem_map + frame * self._page_size, bytes(entry))
        frame = first_free >> PAGE_SHIFT
        while frame < self._pages:
            order = MAX_ORDER - 1
            while frame & (1 << order) - 1 or frame + (1 << order) > self._pages:
                order -= 1
            self._free_block(frame, order)
            frame += 1 << order

    def page(self, address: int) -> int:
        """``virt_to_page``: address of the ``struct page`` of an address in the direct map."""
        return self.mem_map + (virt_to_phys(address) >> PAGE_SHIFT) * self._page_size

    def in_direct_map(self, address: int) -> bool:
        """Tell whether an address lies in the direct map of RAM."""
        return PAGE_OFFSET <= address < PAGE_OFFSET + (self._pages << PAGE_SHIFT)

    @property
    def nr_free_pages(self) -> int:
        """Free pages, as the kernel's counter says."""
        return self._memory.u32(self._nr_free)

    @property
    def nr_available(self) -> int:
        """Free pages that the running task can have: without ``PF_MEMALLOC`` not the last ``pages_min``."""
        return self.nr_free_pages if self.may_dip() else max(0, self.nr_free_pages - self.pages_min)

    def try_to_free_pages(self, count: int) -> bool:
        """Have the caches freed until the running task can have so many pages; tells whether it can."""
        while self.nr_available < count and self.reclaim():
            pass
        return self.nr_available >= count

    @export(cycles=200)
    def __get_free_pages(self, gfp_mask: int, order: int) -> int:
        return self.alloc(order)

    @export(cycles=150)
    def free_pages(self, addr: int, order: int) -> None:
        """Give back what ``__get_free_pages`` returned; 0 is allowed.

        Raises
        ------
        KernelBug
            When there can be no such block.
        """
        if not addr:
            return
        if order >= MAX_ORDER or not self.in_direct_map(addr):
            raise KernelBug(f"free_pages of {addr:08x}, order {order}, which is no block of pages")
        self.free(addr, order)

    def alloc(self, order: int) -> int:
        """Return the linear address of 2**order pages, or 0 when no such block is left.

        Before it gives up, it has the caches freed of what is in them only for speed.
        """
        address = self._alloc(order)
        if not address and not self._reclaiming:
            self._reclaiming = True
            try:
                while not address and self.reclaim():
                    address = self._alloc(order)
            finally:
                self._reclaiming = False
        return address

    def alloc_from_reserve(self, order: int) -> int:
        """:meth:`alloc` for a task that will get memory back: the last pages, too."""
        return self.alloc(order) or self._take_block(order)

    def _alloc(self, order: int) -> int:
        left = self._memory.u32(self._nr_free) - (1 << order)
        return 0 if left < self.pages_min and not self.may_dip() else self._take_block(order)

    def _take_block(self, order: int) -> int:
        memory = self._memory
        for larger in range(order, MAX_ORDER):
            head = self._free_area + larger * self._area_size
            if list_empty(memory, head):
                continue
            page = memory.u32(head)
            self._take(page, larger)
            frame = (page - self.mem_map) // self._page_size
            while larger > order:
                larger -= 1
                self._put(frame + (1 << larger), larger)
            memory.set_u32(page + self._count, 1)
            memory.set_u32(self._nr_free, memory.u32(self._nr_free) - (1 << order))
            return phys_to_virt(frame << PAGE_SHIFT)
        return 0

    def get_zeroed_page(self) -> int:
        """Return a page of zeros, or 0."""
        address = self.alloc(0)
        if address:
            self._memory.fill(address, PAGE_SIZE, 0)
        return address

    def free(self, address: int, order: int) -> None:
        """Free a block: its bytes become junk, and it joins its free buddies."""
        self._memory.fill(address, PAGE_SIZE << order, JUNK)
        self._free_block(virt_to_phys(address) >> PAGE_SHIFT, order)

    def _free_block(self, frame: int, order: int) -> None:
        memory = self._memory
        memory.set_u32(self._nr_free, memory.u32(self._nr_free) + (1 << order))
        memory.set_u32(self.mem_map + frame * self._page_size + self._count, 0)
        while order < MAX_ORDER - 1:
            buddy = frame ^ 1 << order
            page = self.mem_map + buddy * self._page_size
            if buddy >= self._pages or memory.u32(page + self._private) != order:
                break
            self._take(page, order)
            frame &= ~(1 << order)
            order += 1
        self._put(frame, order)

    def _put(self, frame: int, order: int) -> None:
        page = self.mem_map + frame * self._page_size
        self._memory.set_u32(page + self._private, order)
        list_add(self._memory, page, self._free_area + order * self._area_size)

    def _take(self, page: int, _order: int) -> None:
        list_del(self._memory, page)
        self._memory.set_u32(page + self._private, _NOT_FREE)
