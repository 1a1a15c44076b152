"""What every PCI device model shares: its place on the bus, its interrupt line, its state."""

import copy
from abc import ABC, abstractmethod
from typing import Any

from nooks_lab.machine.bus import Bus, IoRegion, MmioRegion
from nooks_lab.machine.clock import Clock
from nooks_lab.machine.interrupts import InterruptController
from nooks_lab.machine.pci import COMMAND_MASTER, PciBus, PciFunction


class PciDevice(ABC):
    """A PCI device with registers in memory or in I/O space.

    Everything a snapshot must keep lies in ``state``, a dataclass of plain values.

    Parameters
    ----------
    name : str
        The device's name among the clock's parts; unique in its machine.
    function : PciFunction
        Its configuration space.
    """

    state: Any

    def __init__(self, name: str, function: PciFunction) -> None:
        self.name = name
        self.function = function
        self.bus: Bus
        self.clock: Clock
        self.pic: InterruptController

    def plug(self, bus: Bus, clock: Clock, pic: InterruptController, pci: PciBus) -> None:
        """Connect the device to a machine."""
        self.bus, self.clock, self.pic = bus, clock, pic
        pci.add(self.function)
        clock.parts[self.name] = self
        for index, bar in enumerate(self.function.bars):
            if bar.io:
                bus.add_ports(IoRegion(bar.base, self, index), *range(bar.base, bar.base + bar.size))
            else:
                bus.add_region(MmioRegion(bar.base, bar.size, self, index))

    def set_interrupt(self, asserted: bool) -> None:
        """Drive the level-triggered INTA# line."""
        if asserted:
            self.pic.hold(self.function.irq, self.name)
        else:
            self.pic.release(self.function.irq, self.name)

    def may_master(self) -> bool:
        """Tell whether the command register lets the device do DMA."""
        return bool(self.function.command() & COMMAND_MASTER)

    @abstractmethod
    def mmio_read(self, bar: int, offset: int, size: int) -> int:
        """Return what the CPU reads at ``offset`` of a region."""

    @abstractmethod
    def mmio_write(self, bar: int, offset: int, size: int, value: int) -> None:
        """Take what the CPU writes at ``offset`` of a region."""

    def io_read(self, bar: int, offset: int, size: int) -> int:  # noqa: ARG002
        """Return what the CPU reads at ``offset`` of a region of I/O ports."""
        return (1 << 8 * size) - 1

    def io_write(self, bar: int, offset: int, size: int, value: int) -> None:  # noqa: B027
        """Take what the CPU writes at ``offset`` of a region of I/O ports."""

    def save(self) -> tuple[Any, bytes]:
        """Return the device's state and its configuration space."""
        return copy.deepcopy(self.state), bytes(self.function.space)

    def load(self, saved: tuple[Any, bytes]) -> None:
        """Take back what :meth:`save` returned."""
        self.state = copy.deepcopy(saved[0])
        self.function.space[:] = saved[1]
