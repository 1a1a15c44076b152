"""Lightweight kernel protection domains (paper, section 4.1).

A domain sees the kernel's addresses through page tables of its own, in which every kernel page is
read-only but those that are the domain's.
"""

from dataclasses import dataclass, field
from typing import Any

from nooks_lab.kernel.kernel import Kernel
from nooks_lab.kernel.page_table import KERNEL_PAGE, PAGE_OFFSET, virt_to_phys
from nooks_lab.kernel.slab import SIZES, SlabAllocator
from nooks_lab.machine.memory import PAGE_MASK, PAGE_SIZE
from nooks_lab.machine.paging import RW, P, PageFault

STACK_SIZE = 8192


class BadParameter(Exception):  # noqa: N818 - the extension's mistake, an event of the guest
    """An extension passed something to the kernel that the wrapper's check refused."""


@dataclass
class Stack:
    """A stack of the domain's pool; ``esp`` is where the next call on it starts while it is in use."""

    base: int
    esp: int


class DomainPages:
    """Gives the domain's heap its pages, and takes their write right away when they are freed."""

    def __init__(self, kernel: Kernel, domain: "Domain") -> None:
        self._pages, self._domain = kernel.pages, domain
        self.blocks: dict[int, int] = {}

    def alloc(self, order: int) -> int:
        """Return 2**order writable pages, or 0."""
        address = self._pages.alloc(order)
        if address:
            self.blocks[address] = order
            self._domain.grant(address, PAGE_SIZE << order, "heap")
        return address

    def free(self, address: int, order: int) -> None:
        """Take pages back."""
        self._domain.revoke(address, PAGE_SIZE << order)
        del self.blocks[address]
        self._pages.free(address, order)

    def page(self, address: int) -> int:
        """``virt_to_page``."""
        return self._pages.page(address)

    def in_direct_map(self, address: int) -> bool:
        """Tell whether an address lies in RAM's direct map."""
        return self._pages.in_direct_map(address)


@dataclass
class Domain:
    """One protection domain.

    Attributes
    ----------
    directory : int
        Physical address of its page directory.
    writable : dict
        Linear address of every page it may write, and what the page is.
    failed : bool
        It has faulted; nobody calls into it any more.
    """

    kernel: Kernel = field(repr=False)
    number: int
    name: str
    directory: int = 0
    writable: dict[int, str] = field(default_factory=dict, repr=False)
    grants: dict[int, int] = field(default_factory=dict, repr=False)
    failed: bool = False
    modules: list[str] = field(default_factory=list)
    idle_stacks: list[Stack] = field(default_factory=list, repr=False)
    busy_stacks: dict[int, Stack] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self._words = self.kernel.machine.memory.words
        self._tables: list[int] = []
        self.directory = virt_to_phys(self._new_table())
        for address, pte in self.kernel.page_table.mapped().items():
            self.page_table_changed(address, pte)
        caches = self.kernel.slab.zalloc(len(SIZES) * self.kernel.types.size("kmem_cache"))
        self._caches = caches
        self.pages = DomainPages(self.kernel, self)
        heap_pages: Any = self.pages
        self.heap = SlabAllocator(
            self.kernel.types,
            self.kernel.memory,
            heap_pages,
            caches,
            self.kernel.variable("slab_redzone"),
            self.kernel.slab,
        )

    def _new_table(self) -> int:
        table = self.kernel.pages.get_zeroed_page()
        if not table:
            raise MemoryError(f"no memory for a page table of domain {self.name}")
        self._tables.append(table)
        return table

    def page_table_changed(self, address: int, pte: int) -> None:
        """Follow a change of the kernel's page table: same frame, but read-only unless it is ours."""
        if address < PAGE_OFFSET:
            return
        if not pte & P:
            self.writable.pop(address, None)
            self.grants.pop(address, None)
        elif address not in self.writable:
            pte &= ~RW
        slot = (self.directory >> 2) + (address >> 22)
        if not self._words[slot] & P:
            if not pte & P:
                return
            self._words[slot] = virt_to_phys(self._new_table()) | KERNEL_PAGE
        self._words[((self._words[slot] & PAGE_MASK) >> 2) + (address >> 12 & 0x3FF)] = pte

    def grant(self, address: int, size: int, reason: str) -> None:
        """Let the domain write the pages of a range; grants of one page are counted."""
        for page in range(address & PAGE_MASK, address + size, PAGE_SIZE):
            self.writable.setdefault(page, reason)
            self.grants[page] = self.grants.get(page, 0) + 1
            self.page_table_changed(page, self.kernel.page_table.pte(page))

    def revoke(self, address: int, size: int) -> None:
        """Undo one :meth:`grant`."""
        for page in range(address & PAGE_MASK, address + size, PAGE_SIZE):
            left = self.grants.get(page, 0) - 1
            if left > 0:
                self.grants[page] = left
            elif page in self.writable:
                del self.writable[page]
                self.grants.pop(page, None)
                self.page_table_changed(page, self.kernel.page_table.pte(page))

    def may_write(self, address: int, size: int = 1) -> bool:
        """Tell whether every byte of a range is the domain's to write."""
        return all(
            page in self.writable for page in range(address & PAGE_MASK, address + max(size, 1), PAGE_SIZE)
        )

    def check_writable(self, address: int, size: int, what: str) -> None:
        """Parameter check of a pointer that the kernel will write through.

        Raises
        ------
        BadParameter
            Unless the whole range is the domain's own.
        """
        if not self.may_write(address, size):
            raise BadParameter(f"{what}: {address:08x} is no memory of domain {self.name}")

    def read(self, address: int, size: int, what: str) -> bytes:
        """Read what an extension's pointer points to.

        Raises
        ------
        BadParameter
            When it points to nothing.
        """
        if address < PAGE_OFFSET:
            raise BadParameter(f"{what}: {address:08x} is no kernel address")
        try:
            return self.kernel.memory.read(address, size)
        except PageFault as fault:
            raise BadParameter(f"{what}: {fault.address:08x} is not mapped") from fault

    def stack(self, pid: int) -> Stack:
        """Return the stack that a task uses here: the one it is on already, or one from the pool."""
        stack = self.busy_stacks.get(pid)
        if stack is None:
            stack = self.idle_stacks.pop() if self.idle_stacks else self._new_stack()
            self.busy_stacks[pid] = stack
        return stack

    def _new_stack(self) -> Stack:
        # vmalloc, for the unmapped guard page behind each area: an overflow faults.
        base = self.kernel.vmalloc.alloc(STACK_SIZE)
        if not base:
            raise MemoryError(f"no memory for a stack of domain {self.name}")
        self.grant(base, STACK_SIZE, "stack")
        return Stack(base, base + STACK_SIZE - 16)

    def release_stack(self, pid: int) -> None:
        """Give a task's stack back to the pool."""
        self.idle_stacks.append(self.busy_stacks.pop(pid))

    def destroy(self) -> None:
        """Free the domain's heap, stacks and page tables."""
        for address, order in list(self.pages.blocks.items()):
            self.pages.free(address, order)
        self._free_heap_descriptors()
        for stack in [*self.idle_stacks, *self.busy_stacks.values()]:
            self.kernel.vmalloc.free(stack.base)
        self.idle_stacks, self.busy_stacks = [], {}
        for table in self._tables:
            self.kernel.pages.free(table, 0)
        self._tables = []
        self.directory = 0

    def _free_heap_descriptors(self) -> None:
        for descriptor in self.heap.descriptors():
            self.kernel.slab.free(descriptor)
        self.kernel.slab.free(self._caches)
