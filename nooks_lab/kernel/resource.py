"""I/O and memory regions that drivers claim (Linux 2.4 ``kernel/resource.c``)."""

from nooks_lab.kernel.exports import export
from nooks_lab.kernel.slab import SlabAllocator
from nooks_lab.kernel.structs import Types
from nooks_lab.machine.linear import LinearMemory

IORESOURCE_BUSY = 0x80000000


class Resources:
    """The claimed regions below ``ioport_resource`` and ``iomem_resource``."""

    def __init__(self, types: Types, memory: LinearMemory, slab: SlabAllocator) -> None:
        self._types, self._memory, self._slab = types, memory, slab

    @export(name="__request_region", cycles=300)
    def request_region(self, parent: int, start: int, n: int, name: int) -> int:
        """Claim a region; 0 when any of it is taken, when it is empty, or not all in its tree."""
        root = self._types.view("resource", parent)
        end = start + n - 1 & 0xFFFFFFFF
        if end < start or start < root.start or end > root.end:
            return 0
        link = root.offset_of("child")
        while at := self._memory.u32(link):
            taken = self._types.view("resource", at)
            if taken.start > end:
                break
            if taken.end >= start:
                return 0
            link = taken.offset_of("sibling")
        new = self._slab.zalloc(self._types.size("resource"))
        if new:
            claimed = self._types.view("resource", new)
            claimed.name, claimed.start, claimed.end, claimed.parent = name, start, end, parent
            claimed.flags, claimed.sibling = IORESOURCE_BUSY, self._memory.u32(link)
            self._memory.set_u32(link, new)
        return new

    @export(name="__release_region", cycles=300)
    def release_region(self, parent: int, start: int, n: int) -> None:
        """Give a claimed region back."""
        link = self._types.view("resource", parent).offset_of("child")
        while at := self._memory.u32(link):
            taken = self._types.view("resource", at)
            if (taken.start, taken.end) == (start, start + n - 1):
                self._memory.set_u32(link, taken.sibling)
                self._slab.free(at)
                return
            link = taken.offset_of("sibling")

    def claimed(self, parent: int) -> list[tuple[int, int]]:
        """Return the claimed regions, first and last address of each."""
        found = []
        at = self._types.view("resource", parent).child
        while at:
            taken = self._types.view("resource", at)
            found.append((taken.start, taken.end))
            at = taken.sibling
        return found
