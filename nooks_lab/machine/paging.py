"""Two-level IA-32 paging: entry bits, the page walk and the page fault.

Source: Intel SDM volume 3A, chapter 4 (32-bit paging).
"""

from typing import Protocol

from nooks_lab.machine.memory import PAGE_MASK

# Bits of page-directory and page-table entries (SDM table 4-5, 4-6).
P = 0x001
RW = 0x002
US = 0x004
PWT = 0x008
PCD = 0x010
A = 0x020
D = 0x040
PS = 0x080
G = 0x100

# Bits of a page fault's error code (SDM figure 4-12).
PF_PRESENT = 0x1
PF_WRITE = 0x2

CR0_PE = 0x00000001
CR0_WP = 0x00010000
CR0_PG = 0x80000000


class PageFault(Exception):  # noqa: N818 - the CPU's own word, and an event of the guest rather than an error of ours
    """A #PF of the guest.

    Parameters
    ----------
    address : int
        Linear address whose access faulted (what CR2 will hold).
    error_code : int
        ``PF_PRESENT`` for a protection violation, ``PF_WRITE`` for a write.
    """

    def __init__(self, address: int, error_code: int) -> None:
        super().__init__(f"page fault at {address:08x}, error code {error_code:04x}")
        self.address = address
        self.error_code = error_code


class Walker(Protocol):
    """What the MMU asks of a page walk; an exercise replaces it."""

    def walk(self, words: memoryview, cr3: int, cr0: int, address: int, write: bool) -> int:
        """Translate a linear address.

        Parameters
        ----------
        words : memoryview of 32-bit words
            Physical memory; the word at physical address ``a`` is ``words[a >> 2]``.
        cr3, cr0 : int
            The CPU's control registers at this moment.
        address : int
            32-bit linear address.
        write : bool
            True when the access writes.

        Returns
        -------
        int
            Frame address (bits 31..12) with the effective ``RW``, ``D`` and ``P`` bits.

        Raises
        ------
        PageFault
            When an entry is not present, or the write is not allowed.
        """


class PageWalker:
    """The walk as the 82540EM's contemporaries did it: directory, then table, accessed and dirty bits set.

    All of the guest runs at ring 0, where ``RW`` counts only while CR0.WP is set (SDM 4.6).

    For the CPU's own accesses ``tlb.c`` makes the same walk.
    """

    def walk(self, words: memoryview, cr3: int, cr0: int, address: int, write: bool) -> int:
        """Translate a linear address; see :class:`Walker`."""
        limit = len(words)
        pde_at = (cr3 & PAGE_MASK | address >> 20 & 0xFFC) >> 2
        if pde_at >= limit:
            raise PageFault(address, PF_WRITE if write else 0)
        pde = words[pde_at]
        if not pde & P:
            raise PageFault(address, PF_WRITE if write else 0)
        pte_at = (pde & PAGE_MASK | address >> 10 & 0xFFC) >> 2
        if pte_at >= limit:
            raise PageFault(address, PF_WRITE if write else 0)
        pte = words[pte_at]
        if not pte & P:
            raise PageFault(address, PF_WRITE if write else 0)
        rights = pde & pte & RW
        if write and not rights and cr0 & CR0_WP:
            raise PageFault(address, PF_PRESENT | PF_WRITE)
        if not pde & A:
            words[pde_at] = pde | A
        seen = pte | A | (D if write else 0)
        if seen != pte:
            words[pte_at] = seen
        return seen & (PAGE_MASK | D) | rights | P
