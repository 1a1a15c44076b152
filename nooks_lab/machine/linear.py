"""Linear memory: what software at ring 0 sees, through the page tables.

Kernel code written in Python reads and writes guest memory here, so that a corrupted pointer faults it
as it would fault machine code, and so that its page touches count as TLB misses.
"""

from nooks_lab.machine.bus import Bus
from nooks_lab.machine.memory import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE, PhysicalMemory
from nooks_lab.machine.paging import RW, D, P
from nooks_lab.machine.tlb import Tlb

LAST_PAGE = 0xFFFFF
WRITTEN = RW | D | P
"""What the TLB knows of a page that has been written."""


class LinearMemory:
    """Reads and writes by linear address; every method raises :class:`~nooks_lab.machine.paging.PageFault`
    where the page tables say so.
    """

    def __init__(self, memory: PhysicalMemory, tlb: Tlb, bus: Bus) -> None:
        self._memory = memory
        self._words = memory.words
        self._bytes = memory.bytes
        self._size = memory.size
        self._code_frames = memory.code_frames
        self._tlb = tlb
        self._entries = tlb.entries
        self._bus = bus

    def physical(self, address: int, write: bool = False) -> int:
        """Translate a linear address to a physical one."""
        return self._tlb.lookup(address & 0xFFFFFFFF, write) & PAGE_MASK | address & 0xFFF

    def u32(self, address: int) -> int:
        """Read a 32-bit word."""
        if address & 3:
            return int.from_bytes(self.read(address, 4), "little")
        # A hit is looked up here: a call of Python's costs as much as all the rest.
        entry = self._entries[address >> PAGE_SHIFT & LAST_PAGE]
        if not entry & P:
            entry = self._tlb.lookup(address & 0xFFFFFFFF, False)
        at = entry & PAGE_MASK | address & 0xFFF
        return self._words[at >> 2] if at < self._size else self._bus.mmio_read(at, 4)

    def set_u32(self, address: int, value: int) -> None:
        """Write a 32-bit word."""
        if address & 3:
            self.write(address, (value & 0xFFFFFFFF).to_bytes(4, "little"))
            return
        entry = self._entries[address >> PAGE_SHIFT & LAST_PAGE]
        if entry & WRITTEN != WRITTEN:
            entry = self._tlb.lookup(address & 0xFFFFFFFF, True)
        at = entry & PAGE_MASK | address & 0xFFF
        if at < self._size:
            self._words[at >> 2] = value & 0xFFFFFFFF
            if self._code_frames[at >> PAGE_SHIFT]:
                self._memory.code_written = True
        else:
            self._bus.mmio_write(at, 4, value & 0xFFFFFFFF)

    def u8(self, address: int) -> int:
        """Read a byte."""
        at = self.physical(address)
        return int(self._bytes[at]) if at < self._size else self._bus.mmio_read(at, 1)

    def set_u8(self, address: int, value: int) -> None:
        """Write a byte."""
        self.write(address, bytes((value & 0xFF,)))

    def u16(self, address: int) -> int:
        """Read a 16-bit word."""
        return int.from_bytes(self.read(address, 2), "little")

    def set_u16(self, address: int, value: int) -> None:
        """Write a 16-bit word."""
        self.write(address, (value & 0xFFFF).to_bytes(2, "little"))

    def read(self, address: int, size: int) -> bytes:
        """Read ``size`` bytes, page by page."""
        offset = address & 0xFFF
        if offset + size <= PAGE_SIZE:
            entry = self._entries[address >> PAGE_SHIFT & LAST_PAGE]
            if not entry & P:
                entry = self._tlb.lookup(address & 0xFFFFFFFF, False)
            at = entry & PAGE_MASK | offset
            if at < self._size:
                return self._bytes[at : at + size].tobytes()
            return self._read_bus(at, size)
        first = PAGE_SIZE - offset
        parts = [self.read(address, first)]
        address, size = address + first, size - first
        while size > 0:
            take = min(size, PAGE_SIZE)
            parts.append(self.read(address, take))
            address, size = address + take, size - take
        return b"".join(parts)

    def write(self, address: int, data: bytes | memoryview) -> None:
        """Write bytes, page by page; pages before a faulting one have been written, as by ``rep movsb``."""
        size = len(data)
        if 0 < size <= PAGE_SIZE - (address & 0xFFF):
            entry = self._entries[address >> PAGE_SHIFT & LAST_PAGE]
            if entry & WRITTEN != WRITTEN:
                entry = self._tlb.lookup(address & 0xFFFFFFFF, True)
            at = entry & PAGE_MASK | address & 0xFFF
            if at < self._size:
                self._bytes[at : at + size] = data
                if self._code_frames[at >> PAGE_SHIFT]:
                    self._memory.code_written = True
            else:
                self._write_bus(at, data)
            return
        done = 0
        while done < size:
            take = min(size - done, PAGE_SIZE - (address & 0xFFF))
            at = self.physical(address, True)
            if at < self._size:
                self._memory.write(at, data[done : done + take])
            else:
                self._write_bus(at, data[done : done + take])
            address, done = address + take, done + take

    def fill(self, address: int, size: int, byte: int) -> None:
        """Write ``size`` bytes of one value."""
        self.write(address, bytes((byte,)) * size)

    def string(self, address: int, limit: int = PAGE_SIZE) -> bytes:
        """Read a NUL-terminated string of at most ``limit`` bytes, without its NUL."""
        parts: list[bytes] = []
        while limit > 0:
            chunk = self.read(address, min(limit, PAGE_SIZE - (address & 0xFFF)))
            end = chunk.find(0)
            if end >= 0:
                parts.append(chunk[:end])
                break
            parts.append(chunk)
            address, limit = address + len(chunk), limit - len(chunk)
        return b"".join(parts)

    def _read_bus(self, at: int, size: int) -> bytes:
        return b"".join(self._bus.mmio_read(at + i, 1).to_bytes(1, "little") for i in range(size))

    def _write_bus(self, at: int, data: bytes | memoryview) -> None:
        for offset, byte in enumerate(data):
            self._bus.mmio_write(at + offset, 1, byte)

    def close(self) -> None:
        """Let go of the RAM views, so that the RAM can be freed."""
        del self._words, self._bytes, self._entries
