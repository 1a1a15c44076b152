"""What every PCI device model shares: its place on the bus, its interrupt line, its state."""

import copy
from typing import Any

from nooks_lab.machine.bus import Bus, MmioRegion
from nooks_lab.machine.clock import Clock
from nooks_lab.machine.interrupts import InterruptController
from nooks_lab.machine.pci import (
    COMMAND_IO,
    COMMAND_MASTER,
    STATUS_MASTER_ABORT,
    BaseAddress,
    PciBus,
    PciFunction,
)


class MasterAbort(Exception):  # noqa: N818 - what happens on the bus, not a mistake of the program
    """Nobody answered the address of a device's DMA."""


class PciDevice:
    """A PCI device with registers in memory, in I/O space, or in both.

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
                bus.add_ports(self, *range(bar.base, bar.base + bar.size))
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

    def dma_read(self, address: int, size: int) -> bytes:
        """Read RAM as bus master.

        Raises
        ------
        MasterAbort
            When any of it is no RAM; the status register records it.
        """
        self._check_target(address, size)
        return self.bus.dma_read(address, size)

    def dma_write(self, address: int, data: bytes) -> None:
        """Write RAM as bus master.

        Raises
        ------
        MasterAbort
            When any of it is no RAM; the status register records it.
        """
        self._check_target(address, len(data))
        self.bus.dma_write(address, data)

    def _check_target(self, address: int, size: int) -> None:
        if address + size > self.bus.memory.size:
            self.function.record(STATUS_MASTER_ABORT)
            raise MasterAbort(f"{self.name}: no target at {address:08x}")

    def mmio_read(self, bar: int, offset: int, size: int) -> int:  # noqa: ARG002
        """Return what the CPU reads at ``offset`` of a memory region; ones, unless the device says more."""
        return (1 << 8 * size) - 1

    def mmio_write(self, bar: int, offset: int, size: int, value: int) -> None:
        """Take what the CPU writes at ``offset`` of a memory region."""

    def io_read(self, bar: int, offset: int, size: int) -> int:  # noqa: ARG002
        """Return what ``in`` reads at ``offset`` of an I/O region; ones, unless the device says more."""
        return (1 << 8 * size) - 1

    def io_write(self, bar: int, offset: int, size: int, value: int) -> None:
        """Take what ``out`` writes at ``offset`` of an I/O region."""

    def port_read(self, port: int, size: int) -> int:
        """Answer ``in``, as long as the command register lets the device answer in I/O space."""
        bar = self._io_region(port)
        if bar is None:
            return (1 << 8 * size) - 1
        return self.io_read(bar, port - self.function.bars[bar].base, size)

    def port_write(self, port: int, size: int, value: int) -> None:
        """Answer ``out``; see :meth:`port_read`."""
        bar = self._io_region(port)
        if bar is not None:
            self.io_write(bar, port - self.function.bars[bar].base, size, value)

    def _io_region(self, port: int) -> int | None:
        if not self.function.command() & COMMAND_IO:
            return None
        return next(index for index, bar in enumerate(self.function.bars) if _holds(bar, port))

    def save(self) -> tuple[Any, bytes]:
        """Return the device's state and its configuration space."""
        return copy.deepcopy(self.state), bytes(self.function.space)

    def load(self, saved: tuple[Any, bytes]) -> None:
        """Take back what :meth:`save` returned."""
        self.state = copy.deepcopy(saved[0])
        self.function.space[:] = saved[1]


def _holds(bar: BaseAddress, port: int) -> bool:
    return bar.io and bar.base <= port < bar.base + bar.size
