"""The DMA controllers of an AT: two Intel 8237A in cascade, and the page registers beside them.

Channels 0 to 3 move bytes within 64 KiB, channels 5 to 7 move words within 128 KiB; channel 4 is the cascade.
A device on the ISA bus asks for a number of units (DRQ), and the controller moves them as its channel is programmed.

Not modelled: memory to memory, block and cascade modes, compressed timing, rotating priority; the controller moves
what a device asks for at once.

Source: Intel 8237A data sheet; IBM PC AT Technical Reference (page registers, the second controller's wiring).
"""

import copy
from dataclasses import dataclass, field
from typing import Protocol

from nooks_lab.machine.bus import Bus

CHANNELS = 8
CASCADE = 4

PAGE_PORTS = {0x87: 0, 0x83: 1, 0x81: 2, 0x82: 3, 0x8F: 4, 0x8B: 5, 0x89: 6, 0x8A: 7}
"""Page register port to channel."""

_FIRST, _SECOND = 0x00, 0xC0
_COMMAND, _REQUEST, _SINGLE_MASK, _MODE, _CLEAR_FLIP_FLOP, _MASTER_CLEAR, _CLEAR_MASK, _ALL_MASK = range(
    8, 16
)
_COMMAND_DISABLE = 0x04

MODE_TRANSFER, MODE_VERIFY, MODE_WRITE, MODE_READ = 0x0C, 0x00, 0x04, 0x08
"""Bits 3-2 of the mode register: read is from memory to the device."""
MODE_AUTO_INIT, MODE_DECREMENT = 0x10, 0x20


class DmaClient(Protocol):
    """A device that uses channels of the controller."""

    def catch_up(self) -> None:
        """Move what is due by now: somebody is about to look at the channels."""


@dataclass
class DmaChannel:
    """One channel's registers; addresses and counts in units of the channel, a byte or a word."""

    base_address: int = 0
    base_count: int = 0
    address: int = 0
    count: int = 0
    page: int = 0
    mode: int = 0
    masked: bool = True


@dataclass
class DmaState:
    """Both controllers, lower channels first."""

    channels: list[DmaChannel] = field(default_factory=lambda: [DmaChannel() for _ in range(CHANNELS)])
    terminal: int = 0
    """Channels that have reached terminal count since the status was read, a bit each."""
    high_byte: list[bool] = field(default_factory=lambda: [False, False])
    """The flip-flop: whether the next access to an address or a count is to its high byte."""
    command: list[int] = field(default_factory=lambda: [0, 0])


class DmaController:
    """The pair of 8237A and the page registers, on the bus."""

    def __init__(self, bus: Bus) -> None:
        self.name = "dma"
        self.state = DmaState()
        self.clients: list[DmaClient] = []
        self._bus = bus
        bus.add_ports(self, *range(_FIRST, _FIRST + 16), *range(_SECOND, _SECOND + 32, 2), *PAGE_PORTS)

    # What a device sees

    def unit_bytes(self, channel: int) -> int:
        """Return the bytes that a channel moves at a time."""
        return 1 if channel < CASCADE else 2

    def enabled(self, channel: int) -> bool:
        """Tell whether the channel would answer its device's request."""
        state = self.state
        if channel == CASCADE or state.channels[channel].masked:
            return False
        return not state.command[channel >> 2] & _COMMAND_DISABLE

    def read(self, channel: int, size: int) -> bytes:
        """Move bytes from memory to the device that asks.

        Parameters
        ----------
        size : int
            Bytes that the device asks for; a 16-bit channel moves whole words.

        Returns
        -------
        bytes
            Fewer when the channel is masked, reaches terminal count without auto-initialisation, or is
            programmed for another direction.
        """
        parts = []
        for address, length in self._spans(channel, size, MODE_READ):
            if self.state.channels[channel].mode & MODE_DECREMENT:
                parts.append(self._backwards(channel, address, length))
            else:
                parts.append(self._bus.dma_read(address, length))
        return b"".join(parts)

    def write(self, channel: int, data: bytes) -> int:
        """Move bytes from the device to memory; returns how many the channel took."""
        done = 0
        for address, length in self._spans(channel, len(data), MODE_WRITE):
            piece = data[done : done + length]
            if self.state.channels[channel].mode & MODE_DECREMENT:
                unit = self.unit_bytes(channel)
                for at in range(0, length, unit):
                    self._bus.dma_write(address - at, piece[at : at + unit])
            else:
                self._bus.dma_write(address, piece)
            done += length
        return done

    def _backwards(self, channel: int, address: int, length: int) -> bytes:
        unit = self.unit_bytes(channel)
        return b"".join(self._bus.dma_read(address - at, unit) for at in range(0, length, unit))

    def _spans(self, channel: int, size: int, direction: int) -> list[tuple[int, int]]:
        """Advance a channel by up to ``size`` bytes; returns the physical address and length of each piece.

        With decreasing addresses a piece is named by its first, highest unit.
        """
        unit = self.unit_bytes(channel)
        registers = self.state.channels[channel]
        spans = []
        left = size // unit
        while left > 0 and self.enabled(channel) and registers.mode & MODE_TRANSFER == direction:
            down = registers.mode & MODE_DECREMENT
            to_wrap = registers.address + 1 if down else 0x10000 - registers.address
            units = min(left, registers.count + 1, to_wrap)
            spans.append((self._physical(channel), units * unit))
            left -= units
            registers.address = (registers.address - units if down else registers.address + units) & 0xFFFF
            registers.count = registers.count - units & 0xFFFF
            if registers.count == 0xFFFF:
                self._reach_terminal_count(channel)
        return spans

    def _physical(self, channel: int) -> int:
        registers = self.state.channels[channel]
        if channel < CASCADE:
            return registers.page << 16 | registers.address
        # The second controller drives A1 to A16, and the page register only A17 to A23.
        return (registers.page & 0xFE) << 16 | registers.address << 1

    def _reach_terminal_count(self, channel: int) -> None:
        registers = self.state.channels[channel]
        self.state.terminal |= 1 << channel
        if registers.mode & MODE_AUTO_INIT:
            registers.address, registers.count = registers.base_address, registers.base_count
        else:
            registers.masked = True

    # Ports

    def port_read(self, port: int, size: int) -> int:
        """Read a current address, a current count, a status or a page register."""
        for client in self.clients:
            client.catch_up()
        value = self._read(port)
        return value if size == 1 else value | ~0xFF & (1 << 8 * size) - 1

    def _read(self, port: int) -> int:
        if port in PAGE_PORTS:
            return self.state.channels[PAGE_PORTS[port]].page
        controller, register = _decode(port)
        if register < 8:
            registers = self.state.channels[4 * controller + (register >> 1)]
            return self._byte(controller, registers.count if register & 1 else registers.address)
        if register == _COMMAND:
            shift = 4 * controller
            reached = self.state.terminal >> shift & 15
            self.state.terminal &= ~(15 << shift)
            return reached
        return 0xFF

    def _byte(self, controller: int, word: int) -> int:
        high = self.state.high_byte[controller]
        self.state.high_byte[controller] = not high
        return word >> 8 if high else word & 0xFF

    def port_write(self, port: int, size: int, value: int) -> None:  # noqa: ARG002 - an 8-bit device
        """Write a register."""
        for client in self.clients:
            client.catch_up()
        value &= 0xFF
        if port in PAGE_PORTS:
            self.state.channels[PAGE_PORTS[port]].page = value
            return
        controller, register = _decode(port)
        if register < 8:
            self._write_channel(controller, register, value)
        else:
            self._write_control(controller, register, value)

    def _write_channel(self, controller: int, register: int, value: int) -> None:
        registers = self.state.channels[4 * controller + (register >> 1)]
        high = self.state.high_byte[controller]
        self.state.high_byte[controller] = not high
        # Base and current register are written together.
        before = registers.base_count if register & 1 else registers.base_address
        word = before & 0xFF | value << 8 if high else before & 0xFF00 | value
        if register & 1:
            registers.base_count = registers.count = word
        else:
            registers.base_address = registers.address = word

    def _write_control(self, controller: int, register: int, value: int) -> None:
        state, first = self.state, 4 * controller
        channels = state.channels[first : first + 4]
        if register == _COMMAND:
            state.command[controller] = value
        elif register == _SINGLE_MASK:
            channels[value & 3].masked = bool(value & 4)
        elif register == _MODE:
            channels[value & 3].mode = value & ~3
        elif register == _CLEAR_FLIP_FLOP:
            state.high_byte[controller] = False
        elif register == _MASTER_CLEAR:
            state.high_byte[controller], state.command[controller] = False, 0
            state.terminal &= ~(15 << first)
            for each in channels:
                each.masked = True
        elif register == _CLEAR_MASK:
            for each in channels:
                each.masked = False
        elif register == _ALL_MASK:
            for index, each in enumerate(channels):
                each.masked = bool(value >> index & 1)

    def save(self) -> DmaState:
        """Return a copy of the registers."""
        return _copied(self.state)

    def load(self, state: DmaState) -> None:
        """Take the registers back."""
        self.state = _copied(state)


def _decode(port: int) -> tuple[int, int]:
    """Return controller and register; the second controller's registers lie two ports apart."""
    return (0, port - _FIRST) if port < _SECOND else (1, port - _SECOND >> 1)


def _copied(state: DmaState) -> DmaState:
    return DmaState(
        [copy.copy(channel) for channel in state.channels],
        state.terminal,
        list(state.high_byte),
        list(state.command),
    )
