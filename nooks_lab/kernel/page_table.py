"""The kernel's page directory and tables: the direct map, and pages mapped above it.

Every change of an entry goes through :meth:`PageTable.set_pte`, which is one of the hook points.
"""

from collections.abc import Callable, Iterator

from nooks_lab.kernel.hooks import Hooks
from nooks_lab.machine.machine import Machine
from nooks_lab.machine.memory import PAGE_MASK, PAGE_SIZE
from nooks_lab.machine.paging import CR0_PG, CR0_WP, RW, A, D, P

PAGE_OFFSET = 0xC0000000
"""Linear address of physical address 0, as in Linux on i386."""

KERNEL_PAGE = P | RW | A | D


def virt_to_phys(address: int) -> int:
    """``__pa``: physical address of an address in the direct map."""
    return address - PAGE_OFFSET


def phys_to_virt(address: int) -> int:
    """``__va``: address in the direct map of a physical address."""
    return address + PAGE_OFFSET


class PageTable:
    """``swapper_pg_dir`` and its tables, in guest memory.

    Parameters
    ----------
    machine : Machine
        The PC; paging is still off.
    start : int
        Physical address, page-aligned, of free memory for the directory and the first tables.
    hooks : Hooks
        Told of every changed entry.
    """

    def __init__(self, machine: Machine, start: int, hooks: Hooks) -> None:
        self._machine = machine
        self._words = machine.memory.words
        self._hooks = hooks
        self.directory = start
        self._next = start + PAGE_SIZE
        self._allocate: Callable[[], int] | None = None
        machine.memory.write(start, bytes(PAGE_SIZE))
        for physical in range(0, machine.memory.size, PAGE_SIZE):
            self.set_pte(phys_to_virt(physical), physical | KERNEL_PAGE)

    @property
    def end(self) -> int:
        """Physical address behind the last table made before the page allocator."""
        return self._next

    def turn_on(self) -> None:
        """Load CR3 and set CR0.PG, and CR0.WP so that read-only pages hold in ring 0 too."""
        self._machine.cpu.load_cr3(self.directory)
        self._machine.cpu.load_cr0(CR0_PG | CR0_WP)

    def use_allocator(self, get_zeroed_page: Callable[[], int]) -> None:
        """From now on new page tables come from the page allocator (a linear address each)."""
        self._allocate = get_zeroed_page

    def _new_table(self) -> int:
        if self._allocate is not None:
            return virt_to_phys(self._allocate())
        table = self._next
        self._next += PAGE_SIZE
        self._machine.memory.write(table, bytes(PAGE_SIZE))
        return table

    def pte(self, address: int) -> int:
        """Return the page-table entry of a linear address, 0 when there is no table."""
        pde = self._words[self.directory + (address >> 20 & 0xFFC) >> 2]
        if not pde & P:
            return 0
        return int(self._words[(pde & PAGE_MASK) + (address >> 10 & 0xFFC) >> 2])

    def set_pte(self, address: int, value: int) -> None:
        """Change one entry, flush its translation, and tell the hook."""
        slot = self.directory + (address >> 20 & 0xFFC) >> 2
        pde = self._words[slot]
        if not pde & P:
            pde = self._new_table() | KERNEL_PAGE
            self._words[slot] = pde
        at = (pde & PAGE_MASK) + (address >> 10 & 0xFFC) >> 2
        before = self._words[at]
        self._words[at] = value
        if before & P and self._machine.cpu.cr0 & CR0_PG:
            self._machine.cpu.invlpg(address)
        self._hooks.page_table_changed(address & PAGE_MASK, value)

    def tables(self) -> Iterator[tuple[int, list[int]]]:
        """Yield the page tables of the kernel's part: number of the directory's entry, and the 1,024 entries."""
        for slot in range(PAGE_OFFSET >> 22, 1024):
            pde = self._words[(self.directory >> 2) + slot]
            if pde & P:
                table = (pde & PAGE_MASK) >> 2
                yield slot, self._words[table : table + 1024].tolist()

    def mapped(self) -> dict[int, int]:
        """Return every present entry of the kernel's part: linear page address to entry."""
        return {
            slot << 22 | index << 12: entry
            for slot, entries in self.tables()
            for index, entry in enumerate(entries)
            if entry & P
        }
