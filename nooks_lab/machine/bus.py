"""The bus: which device answers an MMIO address or an I/O port, and DMA from devices into RAM."""

from dataclasses import dataclass
from typing import Protocol

from nooks_lab.machine.clock import Clock
from nooks_lab.machine.memory import PhysicalMemory


class MmioDevice(Protocol):
    """A device with registers in physical address space."""

    def mmio_read(self, bar: int, offset: int, size: int) -> int:
        """Return the register value at ``offset`` bytes into region ``bar``."""

    def mmio_write(self, bar: int, offset: int, size: int, value: int) -> None:
        """Write a register."""


class PortDevice(Protocol):
    """A device that answers I/O ports."""

    def port_read(self, port: int, size: int) -> int:
        """Return what ``in`` reads from the port."""

    def port_write(self, port: int, size: int, value: int) -> None:
        """Take what ``out`` writes to the port."""


@dataclass(frozen=True)
class MmioRegion:
    """Physical addresses ``base`` to ``base + size`` that belong to region ``bar`` of a device."""

    base: int
    size: int
    device: MmioDevice
    bar: int


MMIO_CYCLES = 400
"""An uncached access over PCI: about 250 ns at 1.7 GHz."""

PORT_CYCLES = 1_000
"""A port access through the ISA bridge: about 600 ns."""


class Bus:
    """Routes accesses to devices; an address that nobody answers reads as ones and swallows writes."""

    def __init__(self, memory: PhysicalMemory, clock: Clock) -> None:
        self.name = "bus"
        self.memory = memory
        self.clock = clock
        self.regions: list[MmioRegion] = []
        self.ports: dict[int, PortDevice] = {}
        self.mmio_accesses = self.port_accesses = 0

    def add_region(self, region: MmioRegion) -> None:
        """Let a device answer a physical region.

        Raises
        ------
        ValueError
            When it overlaps RAM or another device's region.
        """
        if region.base < self.memory.size:
            raise ValueError(f"MMIO region at {region.base:#x} overlaps RAM")
        for other in self.regions:
            if region.base < other.base + other.size and other.base < region.base + region.size:
                raise ValueError(f"MMIO regions at {region.base:#x} and {other.base:#x} overlap")
        self.regions.append(region)

    def add_ports(self, device: PortDevice, *ports: int) -> None:
        """Let a device answer the given I/O ports.

        Raises
        ------
        ValueError
            When another one answers one of them already.
        """
        for port in ports:
            if self.ports.setdefault(port, device) is not device:
                raise ValueError(f"I/O port {port:#x} is taken")

    def mmio_read(self, address: int, size: int) -> int:
        """Read a physical address outside RAM."""
        self.clock.block.now += MMIO_CYCLES
        self.mmio_accesses += 1
        for region in self.regions:
            offset = address - region.base
            if 0 <= offset < region.size:
                return region.device.mmio_read(region.bar, offset, size)
        return (1 << 8 * size) - 1

    def mmio_write(self, address: int, size: int, value: int) -> None:
        """Write a physical address outside RAM."""
        self.clock.block.now += MMIO_CYCLES
        self.mmio_accesses += 1
        for region in self.regions:
            offset = address - region.base
            if 0 <= offset < region.size:
                region.device.mmio_write(region.bar, offset, size, value)
                return

    def port_read(self, port: int, size: int) -> int:
        """Execute ``in``."""
        self.clock.block.now += PORT_CYCLES
        self.port_accesses += 1
        device = self.ports.get(port)
        return device.port_read(port, size) if device else (1 << 8 * size) - 1

    def port_write(self, port: int, size: int, value: int) -> None:
        """Execute ``out``."""
        self.clock.block.now += PORT_CYCLES
        self.port_accesses += 1
        device = self.ports.get(port)
        if device:
            device.port_write(port, size, value)

    def dma_read(self, address: int, size: int) -> bytes:
        """Let a device read RAM by physical address; no page table stands in its way."""
        return self.memory.read(address, size)

    def dma_write(self, address: int, data: bytes) -> None:
        """Let a device write RAM by physical address; no page table stands in its way."""
        self.memory.write(address, data)

    def save(self) -> tuple[int, int]:
        """Return the access counters; the bus holds nothing else that changes."""
        return self.mmio_accesses, self.port_accesses

    def load(self, state: tuple[int, int]) -> None:
        """Take the counters back."""
        self.mmio_accesses, self.port_accesses = state
