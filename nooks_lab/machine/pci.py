"""PCI configuration space, reached by configuration mechanism #1.

Source: PCI Local Bus Specification 2.2, chapter 6 and section 3.2.2.3.2.
"""

import struct
from dataclasses import dataclass, field

CONFIG_ADDRESS = 0xCF8
CONFIG_DATA = 0xCFC

COMMAND = 0x04
COMMAND_IO = 0x1
COMMAND_MEMORY = 0x2
COMMAND_MASTER = 0x4
STATUS = 0x06
STATUS_MASTER_ABORT = 0x2000
BASE_ADDRESS_0 = 0x10
INTERRUPT_LINE = 0x3C

_STATUS_ERRORS = 0xF900
"""Bits of the status register that record an error until a one is written there."""


@dataclass(frozen=True)
class BaseAddress:
    """One base address register: where the firmware put the region, and how large it is."""

    base: int
    size: int
    io: bool = False


@dataclass
class PciFunction:
    """A function's 256 bytes of configuration space.

    Parameters
    ----------
    device : int
        Device number on bus 0 (the function number is always 0).
    bars : tuple of BaseAddress
        Regions in order, from BAR 0.
    """

    device: int
    vendor_id: int
    device_id: int
    class_code: int
    revision: int
    irq: int
    bars: tuple[BaseAddress, ...]
    subsystem_vendor: int = 0
    subsystem: int = 0
    space: bytearray = field(default_factory=lambda: bytearray(256))

    def __post_init__(self) -> None:
        struct.pack_into("<HHHH", self.space, 0, self.vendor_id, self.device_id, 0, 0x0200)
        struct.pack_into("<I", self.space, 8, self.class_code << 8 | self.revision)
        for index, bar in enumerate(self.bars):
            struct.pack_into("<I", self.space, BASE_ADDRESS_0 + 4 * index, bar.base | bar.io)
        struct.pack_into("<HH", self.space, 0x2C, self.subsystem_vendor, self.subsystem)
        self.space[INTERRUPT_LINE] = self.irq
        self.space[0x3D] = 1

    def command(self) -> int:
        """Return the command register."""
        return int.from_bytes(self.space[COMMAND : COMMAND + 2], "little")

    def record(self, error: int) -> None:
        """Set an error bit of the status register."""
        status = int.from_bytes(self.space[STATUS : STATUS + 2], "little") | error
        self.space[STATUS : STATUS + 2] = status.to_bytes(2, "little")

    def read(self, offset: int, size: int) -> int:
        """Read configuration space."""
        return int.from_bytes(self.space[offset : offset + size], "little")

    def write(self, offset: int, size: int, value: int) -> None:
        """Write configuration space; read-only bytes stay, and BARs answer the sizing probe."""
        value &= (1 << 8 * size) - 1
        bar = (offset - BASE_ADDRESS_0) // 4
        if BASE_ADDRESS_0 <= offset < BASE_ADDRESS_0 + 24:
            if bar < len(self.bars) and size == 4:
                region = self.bars[bar]
                kept = value & ~(region.size - 1) & 0xFFFFFFFF | region.io
                struct.pack_into("<I", self.space, BASE_ADDRESS_0 + 4 * bar, kept)
            return
        data = value.to_bytes(size, "little")
        for position, byte in enumerate(data, offset):
            if (
                COMMAND <= position < COMMAND + 2
                or position in (0x0C, 0x0D, INTERRUPT_LINE)
                or position >= 0x40
            ):
                self.space[position & 0xFF] = byte
            elif STATUS <= position < STATUS + 2:
                self.space[position] &= ~(byte & _STATUS_ERRORS >> 8 * (position - STATUS))


class PciBus:
    """Bus 0 behind ports 0xCF8 and 0xCFC."""

    def __init__(self) -> None:
        self.name = "pci"
        self.functions: dict[int, PciFunction] = {}
        self.address = 0

    def add(self, function: PciFunction) -> None:
        """Plug a function into its device number.

        Raises
        ------
        ValueError
            When the number is taken.
        """
        if function.device in self.functions:
            raise ValueError(f"PCI device number {function.device} is taken")
        self.functions[function.device] = function

    def config_read(self, device: int, offset: int, size: int) -> int:
        """Read a function's configuration space; an empty slot reads as ones."""
        function = self.functions.get(device)
        return function.read(offset, size) if function else (1 << 8 * size) - 1

    def config_write(self, device: int, offset: int, size: int, value: int) -> None:
        """Write a function's configuration space."""
        function = self.functions.get(device)
        if function:
            function.write(offset, size, value)

    def _selected(self, port: int) -> tuple[int, int] | None:
        if not self.address & 0x80000000 or self.address >> 16 & 0xFF or self.address >> 8 & 7:
            return None
        return self.address >> 11 & 0x1F, self.address & 0xFC | port & 3

    def port_read(self, port: int, size: int) -> int:
        """Read CONFIG_ADDRESS or, through CONFIG_DATA, the selected register."""
        if port == CONFIG_ADDRESS:
            return self.address & (1 << 8 * size) - 1
        selected = self._selected(port)
        return self.config_read(*selected, size) if selected else (1 << 8 * size) - 1

    def port_write(self, port: int, size: int, value: int) -> None:
        """Write CONFIG_ADDRESS or, through CONFIG_DATA, the selected register."""
        if port == CONFIG_ADDRESS:
            if size == 4:
                self.address = value
            return
        selected = self._selected(port)
        if selected:
            self.config_write(*selected, size, value)

    def save(self) -> int:
        """Return CONFIG_ADDRESS; each function saves its own space."""
        return self.address

    def load(self, state: int) -> None:
        """Take CONFIG_ADDRESS back."""
        self.address = state
