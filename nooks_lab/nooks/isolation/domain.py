"""Lightweight kernel protection domains (paper, section 4.1).

A domain sees the kernel's addresses through page tables of its own, in which every kernel page is
read-only but those that were granted to it.
"""

from array import array
from dataclasses import dataclass

from nooks_lab.kernel.kernel import Kernel
from nooks_lab.kernel.page_table import KERNEL_PAGE, PAGE_OFFSET, phys_to_virt, virt_to_phys
from nooks_lab.kernel.structs import Types
from nooks_lab.machine.memory import PAGE_MASK, PAGE_SIZE
from nooks_lab.machine.paging import RW, P, PageFault
from nooks_lab.nooks.isolation.heap import Heap
from nooks_lab.nooks.isolation.page_tracker import Grant, PageTracker

STACK_SIZE = 8192

GRANT_CYCLES = 60
"""Granting or revoking one page: its entry in the page table and in the page tracker, both out of the cache."""

TABLE_ENTRY_CYCLES = 8
"""Copying one page-table entry into a new domain's table, one after the other."""

DOMAIN_PAGES = 32
"""What a new domain takes at most: page tables, the page tracker's tables, a stack, the first heap pages."""

HEAP_PAGES = 1024
"""The heap's limit where no policy says otherwise: a quarter of RAM."""


class BadParameter(Exception):  # noqa: N818 - the extension's mistake, an event of the guest
    """An extension passed something to the kernel that the wrapper's check refused."""


class ForbiddenPageError(ValueError):
    """A domain was to be granted a page that no domain may write."""


@dataclass
class Stack:
    """A stack of the domain's pool; ``esp`` is where the next call on it starts while it is in use."""

    base: int
    esp: int


class Domain:
    """One protection domain.

    Parameters
    ----------
    types : Types
        The layouts of ``nooks.h`` over guest memory.
    number : int
        Unique since boot.
    name : str
        The first extension in it.
    heap_pages : int
        Limit of its heap.

    Attributes
    ----------
    record : view of struct nooks_domain
        Its directory, its tables of objects, and whether it has failed.
    modules : list of str
        The extensions in it, in the order of their loading.
    timers_fired : (int, int)
        A jiffy, and how many of its timers have expired in it so far.
    idle_stacks, busy_stacks
        Its pool of stacks; a busy one belongs to the task (pid) that is in the domain.
    """

    def __init__(
        self, kernel: Kernel, types: Types, number: int, name: str, heap_pages: int = HEAP_PAGES
    ) -> None:
        self.kernel, self.number, self.name = kernel, number, name
        self.modules: list[str] = []
        self.timers_fired = (0, 0)
        self.idle_stacks: list[Stack] = []
        self.busy_stacks: dict[int, Stack] = {}
        self._words, self._memory = kernel.machine.memory.words, kernel.memory
        address = kernel.slab.zalloc(types.size("nooks_domain"))
        if not address:
            raise MemoryError(f"no memory for domain {name}")
        self.record = types.view("nooks_domain", address)
        self.record.number = number
        self._failed = self.record.offset_of("failed")
        self.directory = virt_to_phys(self._new_table())
        self.record.directory = self.directory
        self.page_tracker = PageTracker(kernel)
        self.record.granted = self.page_tracker.address
        self._copy_kernel_tables()
        self.heap = Heap(kernel, self, heap_pages)

    def __repr__(self) -> str:
        return f"<domain {self.number}: {', '.join(self.modules) or self.name}>"

    @property
    def failed(self) -> bool:
        """It has failed; nobody calls into it any more."""
        return bool(self._memory.u32(self._failed))

    def fail(self) -> None:
        """Mark it failed."""
        self.kernel.memory.set_u32(self._failed, 1)

    # Page tables

    def _new_table(self) -> int:
        table = self.kernel.pages.get_zeroed_page()
        if not table:
            raise MemoryError(f"no memory for a page table of domain {self.name}")
        return table

    def _copy_kernel_tables(self) -> None:
        """Map all that the kernel maps, read-only: nothing is granted yet."""
        for slot, entries in self.kernel.page_table.tables():
            own = self._add_table(slot << 22)
            copied = array("I", [pte & ~RW if pte & P else 0 for pte in entries])
            self._words[own >> 2 : (own >> 2) + len(copied)] = memoryview(copied)
            self.kernel.machine.clock.advance(TABLE_ENTRY_CYCLES * (len(copied) - copied.count(0)))

    def _add_table(self, address: int) -> int:
        """Make a page table for the 4 MiB around an address; returns its physical address."""
        table = virt_to_phys(self._new_table())
        self._words[(self.directory >> 2) + (address >> 22)] = table | KERNEL_PAGE
        self.page_tracker.add_table(address)
        return table

    def page_table_changed(self, address: int, pte: int) -> None:
        """Follow a change of the kernel's page table: same frame, but read-only unless it is granted."""
        if address < PAGE_OFFSET:
            return
        if not pte & P:
            self.page_tracker.forget(address)
        elif not self.page_tracker.count(address):
            pte &= ~RW
        slot = (self.directory >> 2) + (address >> 22)
        if not self._words[slot] & P:
            if not pte & P:
                return
            self._add_table(address)
        self._words[((self._words[slot] & PAGE_MASK) >> 2) + (address >> 12 & 0x3FF)] = pte

    def pte(self, address: int) -> int:
        """Return the domain's page-table entry of a linear address, 0 when there is no table."""
        pde = self._words[(self.directory >> 2) + (address >> 22)]
        return int(self._words[((pde & PAGE_MASK) >> 2) + (address >> 12 & 0x3FF)]) if pde & P else 0

    def grant(self, address: int, size: int, reason: Grant) -> None:
        """Let the domain write the pages of a range; grants of one page are counted.

        Raises
        ------
        ForbiddenPageError
            When a page is not mapped, or holds the kernel's image or the domain's own page directory.
        """
        pages = range(address & PAGE_MASK, address + size, PAGE_SIZE)
        for page in pages:
            self._check_grantable(page, reason)
        self.kernel.machine.clock.advance(GRANT_CYCLES * len(pages))
        for page in pages:
            self.page_tracker.add(page, reason)
            self.page_table_changed(page, self.kernel.page_table.pte(page))

    def _check_grantable(self, page: int, reason: Grant) -> None:
        if page < PAGE_OFFSET or not self.kernel.page_table.pte(page) & P:
            problem = "it is not mapped"
        elif page < phys_to_virt(self.kernel.first_free) or page == phys_to_virt(self.directory):
            problem = "it belongs to the kernel itself"
        else:
            return
        raise ForbiddenPageError(
            f"cannot grant page {page:08x} as {reason.label} to domain {self.name}: {problem}"
        )

    def revoke(self, address: int, size: int) -> None:
        """Undo one :meth:`grant`."""
        pages = range(address & PAGE_MASK, address + size, PAGE_SIZE)
        self.kernel.machine.clock.advance(GRANT_CYCLES * len(pages))
        for page in pages:
            if self.page_tracker.drop(page) == 0:
                self.page_table_changed(page, self.kernel.page_table.pte(page))

    def expose(self, page: int) -> None:
        """Let the domain write a mapped page without a grant, for one store of log-only mode."""
        pde = self._words[(self.directory >> 2) + (page >> 22)]
        slot = ((pde & PAGE_MASK) >> 2) + (page >> 12 & 0x3FF)
        if pde & P and self._words[slot] & P:
            self._words[slot] |= RW
            self.kernel.machine.cpu.invlpg(page)

    def cover(self, page: int) -> None:
        """Undo :meth:`expose`: the page's rights are what its grants say."""
        self.page_table_changed(page, self.kernel.page_table.pte(page))
        self.kernel.machine.cpu.invlpg(page)

    @property
    def writable(self) -> dict[int, str]:
        """Linear address of every granted page, and why it was granted."""
        return {page: Grant(reason).label for page, _, reason in self.page_tracker.granted()}

    # What wrappers ask

    def may_write(self, address: int, size: int = 1) -> bool:
        """Tell whether every byte of a range is the domain's to write."""
        if address < PAGE_OFFSET:
            return False
        for page in range(address & PAGE_MASK, address + max(size, 1), PAGE_SIZE):
            if self.pte(page) & (P | RW) != P | RW:
                return False
        return True

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

    # Stacks

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
        self.grant(base, STACK_SIZE, Grant.STACK)
        return Stack(base, base + STACK_SIZE - 16)

    def release_stack(self, pid: int) -> None:
        """Give a task's stack back to the pool."""
        self.idle_stacks.append(self.busy_stacks.pop(pid))

    def destroy(self) -> None:
        """Free the domain's heap, stacks and page tables."""
        self.heap.destroy()
        for stack in [*self.idle_stacks, *self.busy_stacks.values()]:
            self.kernel.vmalloc.free(stack.base)
        self.idle_stacks, self.busy_stacks = [], {}
        self.page_tracker.destroy()
        directory = self.directory >> 2
        for slot in range(PAGE_OFFSET >> 22, 1024):
            pde = self._words[directory + slot]
            if pde & P:
                self.kernel.pages.free(phys_to_virt(int(pde) & PAGE_MASK), 0)
        self.kernel.pages.free(phys_to_virt(self.directory), 0)
        self.kernel.slab.free(self.record.address)
