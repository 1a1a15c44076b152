"""The TLB: translations seen since the last flush, shared by the CPU's own accesses and Python's.

The CPU's go through ``tlb.c``; its ``struct tlb`` and :class:`TlbBlock` are one declaration made twice.
"""

import ctypes
from pathlib import Path

from nooks_lab.machine.clock import Clock
from nooks_lab.machine.host_memory import host_memory
from nooks_lab.machine.memory import PAGE_MASK, PAGE_SHIFT, PhysicalMemory
from nooks_lab.machine.paging import (
    CR0_PG,
    CR0_WP,
    PF_PRESENT,
    PF_WRITE,
    RW,
    D,
    P,
    PageFault,
    PageWalker,
    Walker,
)

TLB_MISS_CYCLES = 30
"""A page walk that finds both entries in the caches: about 30 cycles on a Pentium 4."""

WALK = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_uint32, ctypes.c_int)

_PAGES = 1 << 20
_DROPPED = 0x800
"""The entry of a page forgotten since the last flush; 0 is that of a page not touched at all."""


class TlbBlock(ctypes.Structure):
    """The part of the TLB that ``tlb.c`` works on."""

    _fields_ = (
        ("entries", ctypes.c_void_p),
        ("touched", ctypes.c_void_p),
        ("words", ctypes.c_void_p),
        ("code_frames", ctypes.c_void_p),
        ("now", ctypes.c_void_p),
        ("read_registers", ctypes.c_void_p),
        ("walk", WALK),
        ("misses", ctypes.c_uint64),
        ("miss_cycles", ctypes.c_uint32),
        ("word_count", ctypes.c_uint32),
        ("touched_count", ctypes.c_uint32),
        ("cr3", ctypes.c_uint32),
        ("cr0", ctypes.c_uint32),
        ("fault_address", ctypes.c_uint32),
        ("fault_code", ctypes.c_uint32),
        ("fault_access", ctypes.c_uint32),
    )


class Tlb:
    """Translations seen since the last flush, so that each page's first touch is one counted miss.

    Unicorn keeps a TLB of its own whose size follows the host's wall time; it is a cache of this one,
    and a refill that finds its page here is no miss.  So the count is the same on every machine.

    Parameters
    ----------
    memory : PhysicalMemory
        Where the page tables lie.
    clock : Clock
        Charged for every miss.
    walker : Walker
        Asked at every miss.  In place of the built-in :class:`PageWalker`, ``tlb.c`` walks itself, as it does.
    library : Path
        The shared library compiled from ``tlb.c``.
    """

    def __init__(self, memory: PhysicalMemory, clock: Clock, walker: Walker, library: Path) -> None:
        self.words = memory.words
        self.walker = walker
        # Only in place of the built-in walker, whose twin it has.
        self.walks_in_c = type(walker) is PageWalker
        self.code = ctypes.CDLL(str(library))
        self._clock = clock.block
        # Untouched pages of the map cost the host nothing, and a guest touches few.
        self._map = host_memory(2 * _PAGES * ctypes.sizeof(ctypes.c_uint32))
        self._whole = memoryview(self._map).cast("I")
        self.entries, self._touched = self._whole[:_PAGES], self._whole[_PAGES:]
        # Held, so that the array cannot move.
        self._code_frames = ctypes.c_char.from_buffer(memory.code_frames)
        self.block = TlbBlock(
            entries=ctypes.addressof(ctypes.c_char.from_buffer(self.entries)),
            touched=ctypes.addressof(ctypes.c_char.from_buffer(self._touched)),
            words=memory.address,
            code_frames=ctypes.addressof(self._code_frames),
            now=ctypes.addressof(clock.block),
            miss_cycles=TLB_MISS_CYCLES,
            word_count=len(memory.words),
        )
        self._pointer = ctypes.byref(self.block)
        self._lookup = self.code.tlb_lookup
        self._lookup.restype = ctypes.c_uint32

    def load(self, cr3: int, cr0: int) -> None:
        """Follow the CPU's control registers; a change of CR3, or of PG or WP, flushes (SDM 4.10.4.1)."""
        self.code.tlb_load(self._pointer, cr3, cr0)

    def flush(self) -> None:
        """Forget every translation, as a load of CR3 does."""
        self.code.tlb_flush(self._pointer)

    def invalidate(self, address: int) -> None:
        """Forget one page (INVLPG)."""
        page = address >> PAGE_SHIFT
        if self.entries[page]:
            self.entries[page] = _DROPPED

    def lookup(self, address: int, write: bool) -> int:
        """Return frame and rights of a linear address, walking on a miss.

        Raises
        ------
        PageFault
            As the walker does; the page's entry is dropped, as the CPU drops it (SDM 4.10.4.1).
        """
        if self.walks_in_c:
            found: int = self._lookup(self._pointer, address, write)
            if not found:
                raise PageFault(address, self.block.fault_code)
            return found
        entry = self.entries[address >> PAGE_SHIFT]
        needed = RW | D | P if write else P
        if entry & needed == needed:
            return entry
        if not self.block.cr0 & CR0_PG:
            return address & PAGE_MASK | RW | D | P
        try:
            return self._find(address, write, entry)
        except PageFault:
            self.invalidate(address)
            raise

    def _find(self, address: int, write: bool, entry: int) -> int:
        if not entry & P:
            self.block.misses += 1
            self._clock.now += TLB_MISS_CYCLES
        elif not entry & RW and self.block.cr0 & CR0_WP:
            raise PageFault(address, PF_PRESENT | PF_WRITE)
        elif entry & D:
            return entry
        entry = self.walk(address, write)
        self._store(address >> PAGE_SHIFT, entry)
        return entry

    def walk(self, address: int, write: bool) -> int:
        """Ask the walker, without a look at the entries and without counting a miss.

        Raises
        ------
        PageFault
            As the walker does.
        """
        found = self.walker.walk(self.words, self.block.cr3, self.block.cr0, address, write)
        # A walk that came back found the page present, whatever a student's walker says.
        return found & 0xFFFFFFFF | P

    def _store(self, page: int, entry: int) -> None:
        if not self.entries[page]:
            self._touched[self.block.touched_count] = page
            self.block.touched_count += 1
        self.entries[page] = entry

    def save(self) -> dict[int, int]:
        """Return the entries by page number."""
        touched = self._touched[: self.block.touched_count]
        return {page: self.entries[page] for page in touched if self.entries[page] & P}

    def restore(self, entries: dict[int, int]) -> None:
        """Take back entries from :meth:`save`."""
        self.flush()
        for page, entry in entries.items():
            self._store(page, entry)

    def close(self) -> None:
        """Give the memory back to the host; the machine must not run afterwards."""
        self._touched.release()
        self.entries.release()
        self._whole.release()
        self._map.close()
