"""Physical RAM, shared without copies between the CPU and Python."""

import ctypes

from nooks_lab.machine.host_memory import host_memory

PAGE_SIZE = 4096
PAGE_SHIFT = 12
PAGE_MASK = 0xFFFFF000


class PhysicalMemory:
    """The bytes of the machine's RAM, starting at physical address 0.

    Parameters
    ----------
    size : int
        Bytes of RAM; a multiple of the page size.
    """

    def __init__(self, size: int) -> None:
        if size <= 0 or size % PAGE_SIZE:
            raise ValueError(f"RAM size {size} is not a positive multiple of {PAGE_SIZE} bytes")
        self.size = size
        self._map = host_memory(size)
        self.bytes = memoryview(self._map)
        self.words = self.bytes.cast("I")
        self.halves = self.bytes.cast("H")
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        # One byte a frame, so that C can note it: 1 where code was fetched from.
        self.code_frames = bytearray(size >> PAGE_SHIFT)
        self.code_written = False

    def read(self, address: int, size: int) -> bytes:
        """Return ``size`` bytes at a physical address; beyond RAM they are ones, as on an open bus."""
        data = bytes(self.bytes[address : address + size]) if address < self.size else b""
        return data + b"\xff" * (size - len(data))

    def write(self, address: int, data: bytes | memoryview) -> None:
        """Store bytes at a physical address; what lies beyond RAM is lost, as on an open bus."""
        room = self.size - address
        if room > 0 and data:
            self.bytes[address : address + min(len(data), room)] = data[:room]
            self.touched(address, len(data))

    def touched(self, address: int, size: int) -> None:
        """Note that Python or a device wrote here: translated code of these frames is stale.

        The CPU's own stores need no such note; Unicorn sees them.
        """
        if self.code_frames.find(1, address >> PAGE_SHIFT, (address + size - 1 >> PAGE_SHIFT) + 1) >= 0:
            self.code_written = True

    def close(self) -> None:
        """Give the memory back to the host; the machine must not run afterwards."""
        self.words.release()
        self.halves.release()
        self.bytes.release()
        self._map.close()
