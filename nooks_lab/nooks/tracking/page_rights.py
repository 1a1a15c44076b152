"""Do a domain's page tables say what was granted, and grants what its objects need?  Part of ``validate()``."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from nooks_lab.kernel.kernel import Kernel
from nooks_lab.kernel.page_table import PAGE_OFFSET
from nooks_lab.machine.memory import PAGE_MASK, PAGE_SIZE
from nooks_lab.machine.paging import RW, A, D, P
from nooks_lab.nooks.isolation.domain import STACK_SIZE, Domain
from nooks_lab.nooks.tracking.tracker import TrackedObject

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks

_LARGEST_ORDER = 9


def check_page_table(kernel: Kernel, domain: Domain) -> Iterator[str]:
    """Compare with the kernel's table and the page tracker: the same frames, and writable what was granted."""
    granted = {page for page, _, _ in domain.page_tracker.granted()}
    theirs = kernel.page_table.mapped()
    own = dict(_entries(kernel, domain.directory))
    for page, entry in theirs.items():
        mine = own.pop(page, 0)
        if (mine ^ entry) & ~(RW | A | D):
            yield f"page {page:08x}: its entry {mine:08x} is out of step with the kernel's {entry:08x}"
        elif bool(mine & RW) != (page in granted):
            yield f"page {page:08x} is {'writable' if mine & RW else 'read-only'}, which its grants do not say"
        granted.discard(page)
    for page in own:
        yield f"page {page:08x} is mapped in the domain and not in the kernel"
    for page in sorted(granted):
        yield f"page {page:08x} is granted but not mapped"


def _entries(kernel: Kernel, directory: int) -> Iterator[tuple[int, int]]:
    """Yield linear address and entry of every present page, user addresses included."""
    words = kernel.machine.memory.words
    for slot in range(1024):
        pde = int(words[(directory >> 2) + slot])
        if pde & P:
            table = (pde & PAGE_MASK) >> 2
            for index, entry in enumerate(words[table : table + 1024]):
                if entry & P:
                    yield slot << 22 | index << 12, int(entry)


def check_grants(nooks: "Nooks", domain: Domain, objects: list[TrackedObject]) -> Iterator[str]:
    """Compare the page tracker's counts with all that the domain has pages for.

    Parameters
    ----------
    objects : list of TrackedObject
        Its long-lived objects.
    """
    needed = _needed(nooks, domain, objects)
    counts = {page: count for page, count, _ in domain.page_tracker.granted()}
    for page in sorted(needed.keys() | counts.keys()):
        count, need = counts.get(page, 0), needed[page]
        if count != need:
            yield f"page {page:08x} is granted {count} times, and in use {need} times"


def _needed(nooks: "Nooks", domain: Domain, objects: list[TrackedObject]) -> Counter[int]:
    """Return how many grants each page should have."""
    needed: Counter[int] = Counter()
    # Every page of a heap slab is granted, whatever blocks lie in it.
    for slab in domain.heap.slabs():
        cache = nooks.kernel.types.view("kmem_cache", slab.cache)
        needed.update(_pages(slab.s_mem, PAGE_SIZE << min(cache.order, _LARGEST_ORDER)))
    for stack in [*domain.idle_stacks, *domain.busy_stacks.values()]:
        needed.update(_pages(stack.base, STACK_SIZE))
    for module in nooks.loaded(domain):
        if module.image is not None:
            start, end = module.image.writable
            # A module gets its data when its init is called.
            if module.init_result is not None or domain.page_tracker.count(start):
                needed.update(_pages(start, end - start))
    if nooks.descriptors is not None:
        # A task switch writes the busy bits of TSS descriptors, in whichever page table is in force.
        needed.update(_pages(nooks.descriptors, 1))
    for tracked in objects:
        needed.update(_pages(*mapped_range(tracked)))
    return needed


def mapped_range(tracked: TrackedObject) -> tuple[int, int]:
    """Return address and size of the pages that an object has granted to its domain; the size may be 0."""
    first, second, _ = tracked.detail
    if tracked.type == "pages":
        return tracked.kernel, PAGE_SIZE << min(first, _LARGEST_ORDER)
    if tracked.type in ("vmalloc area", "ioremap area", "consistent memory"):
        return tracked.kernel, first
    if tracked.type == "sk_buff":
        return first, second - first
    if tracked.type == "buffer_head":
        return first, second
    if tracked.type == "page":
        return first, PAGE_SIZE
    return 0, 0


def _pages(address: int, size: int) -> range:
    end = min(address + size, 1 << 32)
    return range(max(address, PAGE_OFFSET) & PAGE_MASK, end, PAGE_SIZE) if size > 0 else range(0)
