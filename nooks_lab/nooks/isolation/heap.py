"""A domain's private heap: the kernel's own allocator on pages that the domain may write."""

from typing import TYPE_CHECKING

from nooks_lab.kernel.kernel import Kernel
from nooks_lab.kernel.slab import SIZES, SlabAllocator
from nooks_lab.machine.memory import PAGE_SIZE
from nooks_lab.nooks.isolation.page_tracker import Grant

if TYPE_CHECKING:
    from nooks_lab.nooks.isolation.domain import Domain


class DomainPages:
    """Gives the heap its pages, and takes their write right away when they are freed.

    Parameters
    ----------
    limit : int
        The most pages that the heap may have at a time.

    Attributes
    ----------
    refused : int
        How often the limit has refused pages.
    """

    def __init__(self, kernel: Kernel, domain: "Domain", limit: int) -> None:
        self._pages, self._domain, self.limit = kernel.pages, domain, limit
        self._memory, self._held = kernel.memory, domain.record.offset_of("heap_pages")
        self.refused = 0

    @property
    def held(self) -> int:
        """How many pages are in use; the count stands in the domain's record."""
        return self._memory.u32(self._held)

    def alloc(self, order: int) -> int:
        """Return 2**order writable pages, or 0."""
        if self.held + (1 << order) > self.limit:
            self.refused += 1
            return 0
        address = self._pages.alloc(order)
        if address:
            self._memory.set_u32(self._held, self.held + (1 << order))
            self._domain.grant(address, PAGE_SIZE << order, Grant.HEAP)
        return address

    def free(self, address: int, order: int) -> None:
        """Take pages back."""
        self._domain.revoke(address, PAGE_SIZE << order)
        self._memory.set_u32(self._held, self.held - (1 << order))
        self._pages.free(address, order)

    def page(self, address: int) -> int:
        """``virt_to_page``."""
        return self._pages.page(address)

    def in_direct_map(self, address: int) -> bool:
        """Tell whether an address lies in RAM's direct map."""
        return self._pages.in_direct_map(address)


class Heap(SlabAllocator):
    """``kmalloc`` of one domain; the descriptors of its slabs stay in the kernel's memory.

    Attributes
    ----------
    pages : DomainPages
        Its pages, their number and limit.
    """

    def __init__(self, kernel: Kernel, domain: "Domain", limit: int) -> None:
        self._kernel = kernel
        self.pages = DomainPages(kernel, domain, limit)
        self._cache_array = kernel.slab.zalloc(len(SIZES) * kernel.types.size("kmem_cache"))
        if not self._cache_array:
            raise MemoryError(f"no memory for the heap of domain {domain.name}")
        super().__init__(
            kernel.types,
            kernel.memory,
            self.pages,
            self._cache_array,
            kernel.variable("slab_redzone"),
            kernel.slab,
        )

    def destroy(self) -> None:
        """Give every page and descriptor back."""
        for slab in self.slabs():
            self.release_slab(slab)
        self._kernel.slab.free(self._cache_array)
