"""What every ISA device model shares: its ports, its interrupt line, its DMA channels, its state."""

from abc import ABC, abstractmethod
from typing import Any

from nooks_lab.machine.bus import Bus
from nooks_lab.machine.clock import Clock
from nooks_lab.machine.dma import DmaController
from nooks_lab.machine.interrupts import InterruptController


class IsaDevice(ABC):
    """A device on the ISA bus: no configuration space, ports at fixed places, an edge-triggered interrupt.

    Parameters
    ----------
    name : str
        The device's name among the clock's parts; unique in its machine.
    ports : tuple of int
        The I/O ports that it answers.
    """

    def __init__(self, name: str, ports: tuple[int, ...]) -> None:
        self.name = name
        self.ports = ports
        self.bus: Bus
        self.clock: Clock
        self.pic: InterruptController
        self.dma: DmaController

    def plug(self, bus: Bus, clock: Clock, pic: InterruptController, dma: DmaController) -> None:
        """Connect the device to a machine.

        Raises
        ------
        ValueError
            When another device answers one of its ports.
        """
        taken = [port for port in self.ports if port in bus.ports]
        if taken:
            raise ValueError(f"I/O port {taken[0]:#x} of {self.name} is taken")
        self.bus, self.clock, self.pic, self.dma = bus, clock, pic, dma
        clock.parts[self.name] = self
        bus.add_ports(self, *self.ports)

    @abstractmethod
    def port_read(self, port: int, size: int) -> int:
        """Return what ``in`` reads from the port."""

    @abstractmethod
    def port_write(self, port: int, size: int, value: int) -> None:
        """Take what ``out`` writes to the port."""

    @abstractmethod
    def save(self) -> Any:
        """Return the state as plain data."""

    @abstractmethod
    def load(self, state: Any) -> None:
        """Take the state back."""
