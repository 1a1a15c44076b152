"""``vmalloc`` and ``ioremap``: pages mapped above the direct map (Linux 2.4 ``mm/vmalloc.c``)."""

from typing import Any

from nooks_lab.kernel.exports import export
from nooks_lab.kernel.page_alloc import PageAllocator
from nooks_lab.kernel.page_table import KERNEL_PAGE, PageTable, phys_to_virt
from nooks_lab.kernel.slab import SlabAllocator
from nooks_lab.kernel.structs import Types
from nooks_lab.machine.linear import LinearMemory
from nooks_lab.machine.memory import PAGE_MASK, PAGE_SIZE
from nooks_lab.machine.paging import PCD

VMALLOC_START = 0xC1800000
"""Eight megabytes above the direct map of 16 MiB, so that a stray pointer just above RAM faults."""
VMALLOC_END = 0xFE000000
_VM_IOREMAP, _VM_ALLOC = 1, 2


class Vmalloc:
    """Areas above the direct map, each followed by an unmapped guard page.

    Parameters
    ----------
    vmlist : int
        Address of the kernel's list of areas, in order of address.
    """

    def __init__(
        self,
        types: Types,
        memory: LinearMemory,
        table: PageTable,
        pages: PageAllocator,
        slab: SlabAllocator,
        vmlist: int,
    ) -> None:
        self._types, self._memory, self._table = types, memory, table
        self._pages, self._slab, self._vmlist = pages, slab, vmlist

    @export(cycles=1_000)
    def vmalloc(self, size: int) -> int:
        """Allocate pages that are contiguous in linear addresses only; 0 when there are none."""
        return self.alloc(size)

    @export(cycles=1_000)
    def vfree(self, addr: int) -> None:
        """Free what ``vmalloc`` returned; an unknown address is reported and left alone, as Linux does."""
        self.free(addr)

    @export(cycles=1_000)
    def ioremap(self, offset: int, size: int) -> int:
        """Map device registers at a physical address, uncached; 0 when there is no room, or nothing to map."""
        if not size or offset + size > 1 << 32:
            return 0
        first = offset & PAGE_MASK
        length = (offset + size + PAGE_SIZE - 1 & PAGE_MASK) - first
        area = self._get_area(length, _VM_IOREMAP)
        if area is None:
            return 0
        for at in range(0, length, PAGE_SIZE):
            self._table.set_pte(area.addr + at, first + at | KERNEL_PAGE | PCD)
        return int(area.addr + (offset & 0xFFF))

    @export(cycles=1_000)
    def iounmap(self, addr: int) -> None:
        """Undo ``ioremap``."""
        self.free(addr & PAGE_MASK)

    def alloc(self, size: int) -> int:
        """Return the address of a new area of ``size`` bytes, or 0."""
        length = size + PAGE_SIZE - 1 & PAGE_MASK
        if not length or length >> 12 > self._pages.nr_available:
            return 0
        area = self._get_area(length, _VM_ALLOC)
        if area is None:
            return 0
        for at in range(0, length, PAGE_SIZE):
            page = self._pages.alloc(0)
            if not page:
                self.free(area.addr)
                return 0
            self._table.set_pte(area.addr + at, page - phys_to_virt(0) | KERNEL_PAGE)
        return int(area.addr)

    def _get_area(self, length: int, flags: int) -> Any:
        """``get_vm_area``: the lowest gap that fits the area and its guard page."""
        length += PAGE_SIZE
        address, link = VMALLOC_START, self._vmlist
        while entry := self._memory.u32(link):
            area = self._types.view("vm_struct", entry)
            if area.addr >= address + length:
                break
            address = area.addr + area.size
            link = area.offset_of("next")
        if address + length > VMALLOC_END:
            return None
        new = self._slab.alloc(self._types.size("vm_struct"))
        if not new:
            return None
        area = self._types.view("vm_struct", new)
        area.flags, area.addr, area.size, area.next = flags, address, length, self._memory.u32(link)
        self._memory.set_u32(link, new)
        return area

    def area(self, address: int) -> Any:
        """Return the area that starts at an address, or None."""
        return next((area for area in self.areas() if area.addr == address), None)

    def areas(self) -> list[Any]:
        """Return all areas in order of address."""
        found = []
        entry = self._memory.u32(self._vmlist)
        while entry:
            found.append(self._types.view("vm_struct", entry))
            entry = found[-1].next
        return found

    def free(self, address: int) -> bool:
        """Unmap an area and free its pages; False when there is no area at that address."""
        link = self._vmlist
        while entry := self._memory.u32(link):
            area = self._types.view("vm_struct", entry)
            if area.addr == address:
                self._memory.set_u32(link, area.next)
                for at in range(address, address + area.size - PAGE_SIZE, PAGE_SIZE):
                    pte = self._table.pte(at)
                    if pte:
                        self._table.set_pte(at, 0)
                        if area.flags & _VM_ALLOC:
                            self._pages.free(phys_to_virt(pte & PAGE_MASK), 0)
                self._slab.free(entry)
                return True
            link = area.offset_of("next")
        return False
