"""The Sound Blaster 16: its digital signal processor (DSP 4.05) with DMA, and its mixer, on the ISA bus.

Not modelled: FM synthesis, the MIDI port, ADPCM, direct mode, recording while it plays.  What it records is
silence: nothing is plugged in.  The record keeps samples as they come from memory; volumes do not change them.

Source: Creative Labs, Sound Blaster Series Hardware Programming Guide, chapters 2 to 4 and 6.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

from nooks_lab.machine.bus import Bus
from nooks_lab.machine.clock import CPU_HZ, Clock
from nooks_lab.machine.devices import sb16_mixer as mixer
from nooks_lab.machine.devices.dac import BURST_CYCLES, Output, Played, SampleFormat
from nooks_lab.machine.devices.isa import IsaDevice
from nooks_lab.machine.dma import DmaController
from nooks_lab.machine.interrupts import InterruptController

BASE = 0x220
MIXER_INDEX, MIXER_DATA, DSP_RESET, DSP_READ, DSP_WRITE, DSP_STATUS, DSP_ACK_16 = 4, 5, 6, 10, 12, 14, 15

VERSION = (4, 5)
COPYRIGHT = b"COPYRIGHT (C) CREATIVE TECHNOLOGY LTD, 1992.\0"
READY = 0xAA

_MICROSECOND = CPU_HZ // 1_000_000
RESET_CYCLES = 30 * _MICROSECOND
"""From the fall of the reset bit until AAh can be read; the guide promises 100 us at most."""
COMMAND_CYCLES = 2 * _MICROSECOND
"""How long the DSP is busy with a byte; what is written meanwhile is lost."""

OUTPUT_BUFFER = 64
"""Bytes that wait for the CPU at most."""

SLOWEST, FASTEST = 5_000, 45_000
IRQ_8, IRQ_16 = 1, 2

_AUTO, _INPUT = 0x04, 0x08
_STEREO, _SIGNED = 0x20, 0x10


@dataclass(frozen=True)
class Transfer:
    """A DMA command in progress.

    Attributes
    ----------
    block, left : int
        Bytes of a block, and what is left of this one.
    auto : bool
        A new block begins when one is done.
    leaving : bool
        It ends with this block (commands D9h and DAh).
    paused : bool
        Stopped by D0h or D5h.
    source : str
        ``memory``, ``silence`` (command 80h), or ``input`` (it records).
    """

    format: SampleFormat
    block: int
    left: int
    auto: bool = False
    leaving: bool = False
    paused: bool = False
    source: str = "memory"

    @property
    def irq(self) -> int:
        """Bit of IRQ_STATUS for its interrupts."""
        return IRQ_8 if self.format.bits == 8 else IRQ_16


@dataclass
class Sb16State:
    """All that changes in the card; every value is immutable but ``output``."""

    mixer: bytes
    index: int = 0
    in_reset: bool = False
    answers: bytes = b""
    """What the DSP has to say; the first byte stays in the data register when it has been read."""
    last: int = 0xFF
    ready_at: int = 0
    busy_until: int = 0
    command: bytes = b""
    rate: int = 11_025
    block: int = 1
    """Bytes less one of a block of the 8-bit commands without a length of their own, from command 48h."""
    speaker: bool = False
    test: int = 0
    pending: int = 0
    transfer: Transfer | None = None
    output: Output = field(default_factory=Output)
    interrupts: int = 0
    """Edges on its interrupt line since power-on."""


class Sb16(IsaDevice):
    """A Sound Blaster 16.

    Parameters
    ----------
    name : str
        Its name among the clock's parts.
    base : int
        First of its 16 ports.
    irq, dma, dma16 : int
        The line and the channels that its configuration has given it; the mixer can change them.
    """

    def __init__(
        self, name: str = "sb16", base: int = BASE, irq: int = 5, dma: int = 1, dma16: int = 5
    ) -> None:
        # The FM synthesiser's ports are its own, too, but nobody answers there.
        super().__init__(name, (*range(base + 4, base + 7), base + 10, base + 12, base + 14, base + 15))
        self.base = base
        self.state = Sb16State(mixer.power_on(irq, dma, dma16))
        self._commands = _commands(self)

    def plug(self, bus: Bus, clock: Clock, pic: InterruptController, dma: DmaController) -> None:
        """Connect the card to a machine."""
        super().plug(bus, clock, pic, dma)
        dma.clients.append(self)

    @property
    def played(self) -> tuple[Played, ...]:
        """All that its converter has played since power-on."""
        return self.state.output.record.pieces

    # Ports

    def port_read(self, port: int, size: int) -> int:
        """Read a register."""
        self.catch_up()
        value = self._read(port - self.base)
        return value if size == 1 else value | ~0xFF & (1 << 8 * size) - 1

    def _read(self, offset: int) -> int:
        state = self.state
        if offset == MIXER_INDEX:
            return state.index
        if offset == MIXER_DATA:
            return state.pending if state.index == mixer.IRQ_STATUS else mixer.read(state.mixer, state.index)
        if offset == DSP_READ:
            if self._has_answer():
                state.last, state.answers = state.answers[0], state.answers[1:]
            return state.last
        if offset == DSP_WRITE:
            return 0xFF if self.clock.now < state.busy_until or state.in_reset else 0x7F
        if offset == DSP_STATUS:
            state.pending &= ~IRQ_8
            return 0xFF if self._has_answer() else 0x7F
        if offset == DSP_ACK_16:
            state.pending &= ~IRQ_16
        return 0xFF

    def _has_answer(self) -> bool:
        return bool(self.state.answers) and self.clock.now >= self.state.ready_at

    def port_write(self, port: int, size: int, value: int) -> None:  # noqa: ARG002 - an 8-bit device
        """Write a register."""
        self.catch_up()
        value &= 0xFF
        offset, state = port - self.base, self.state
        if offset == MIXER_INDEX:
            state.index = value
        elif offset == MIXER_DATA:
            state.mixer = mixer.write(state.mixer, state.index, value)
        elif offset == DSP_RESET:
            self._write_reset(value)
        elif offset == DSP_WRITE and self.clock.now >= state.busy_until and not state.in_reset:
            self._take(value)

    def _write_reset(self, value: int) -> None:
        state = self.state
        if value & 1:
            self.clock.cancel(self.name, "fetch")
            self.state = Sb16State(
                state.mixer,
                state.index,
                in_reset=True,
                output=state.output,
                interrupts=state.interrupts,
            )
        elif state.in_reset:
            state.in_reset = False
            state.answers, state.ready_at = bytes((READY,)), self.clock.now + RESET_CYCLES
            state.busy_until = state.ready_at

    # The DSP's commands

    def _take(self, value: int) -> None:
        """Take a byte of a command; with the last one it is carried out."""
        state = self.state
        state.busy_until = self.clock.now + COMMAND_CYCLES
        state.command += bytes((value,))
        arguments, act = self._commands.get(state.command[0], (0, None))
        if len(state.command) == 1 + arguments:
            command, state.command = state.command, b""
            if act is not None:
                act(command)

    def answer(self, *values: int) -> None:
        """Put bytes where the CPU can read them; what does not fit is lost."""
        self.state.answers = (self.state.answers + bytes(values))[:OUTPUT_BUFFER]

    def set_rate(self, rate: int) -> None:
        """Set the sampling rate; it counts from now on, also for a transfer that runs."""
        self.state.rate = min(max(rate, SLOWEST), FASTEST)
        if self._running() is not None:
            self._go()

    def start(self, transfer: Transfer) -> None:
        """Begin a transfer in place of any other."""
        self.state.transfer = transfer
        self._go()

    def start_8_bit(self, command: bytes) -> None:
        """Begin a transfer as the Sound Blaster 2.0 knows it: 8 bits, unsigned, mono."""
        auto = command[0] in (0x1C, 0x2C, 0x90, 0x98)
        block = 1 + (int.from_bytes(command[1:], "little") if len(command) == 3 else self.state.block)
        source = "input" if command[0] in (0x24, 0x2C, 0x98, 0x99) else "memory"
        self.start(Transfer(SampleFormat(), block, block, auto, source=source))

    def start_any(self, command: bytes) -> None:
        """Begin a transfer by commands B0h to CFh, which say all about it; the length counts samples."""
        bits = 16 if command[0] & 0xF0 == 0xB0 else 8
        sample_format = SampleFormat(bits, bool(command[1] & _SIGNED), 2 if command[1] & _STEREO else 1)
        block = (1 + int.from_bytes(command[2:], "little")) * (bits // 8)
        source = "input" if command[0] & _INPUT else "memory"
        self.start(Transfer(sample_format, block, block, bool(command[0] & _AUTO), source=source))

    def start_silence(self, command: bytes) -> None:
        """Play silence for a time, and interrupt (command 80h)."""
        length = 1 + int.from_bytes(command[1:], "little")
        self.start(Transfer(SampleFormat(), length, length, source="silence"))

    def pause(self, bits: int, paused: bool) -> None:
        """Pause the transfer or let it go on, if it has samples of that many bits."""
        transfer = self.state.transfer
        if transfer is not None and transfer.format.bits == bits:
            self.state.transfer = dataclasses.replace(transfer, paused=paused)
            self._go()

    def leave(self, bits: int, leaving: bool) -> None:
        """Let the transfer end with this block, or not, if it has samples of that many bits."""
        transfer = self.state.transfer
        if transfer is not None and transfer.format.bits == bits:
            self.state.transfer = dataclasses.replace(transfer, leaving=leaving)

    def trigger(self, irq: int) -> None:
        """Interrupt because software asks for it (commands F2h and F3h)."""
        self._interrupt(irq)

    # Playing

    def _running(self) -> Transfer | None:
        transfer = self.state.transfer
        return None if transfer is None or transfer.paused else transfer

    def _go(self) -> None:
        """Start the converter anew at the rate as it is now."""
        self.clock.cancel(self.name, "fetch")
        if self._running() is not None:
            self.state.output.pace.start(self.clock.now, self.state.rate)
            self._plan()

    def _plan(self) -> None:
        transfer = self._running()
        if transfer is not None:
            frames = -(-transfer.left // transfer.format.frame_bytes)
            ends = self.state.output.pace.cycle_of(frames)
            self.clock.at(
                max(min(ends, self.clock.now + BURST_CYCLES), self.clock.now + 1), self.name, "fetch"
            )

    def fetch(self) -> None:
        """Event: samples are due, or the block is done."""
        self.catch_up()
        self._plan()

    def catch_up(self) -> None:
        """Take from memory what is due by now, and end blocks."""
        pace = self.state.output.pace
        transfer = self._running()
        while transfer is not None and (frames := pace.due(self.clock.now)):
            wanted = min(frames * transfer.format.frame_bytes, transfer.left)
            done = self._move(transfer, wanted)
            if not done:
                # The controller does not answer: the converter stands still until it does.
                pace.start(self.clock.now, self.state.rate)
                return
            self.state.transfer = dataclasses.replace(transfer, left=transfer.left - done)
            if done == transfer.left:
                self._end_block(transfer)
            transfer = self._running()

    def _move(self, transfer: Transfer, wanted: int) -> int:
        """Move bytes between memory and the converter; returns how many."""
        output, sample_format = self.state.output, transfer.format
        channel = mixer.dma_channel(self.state.mixer, sample_format.bits)
        frames = -(-wanted // sample_format.frame_bytes)
        if transfer.source == "silence":
            data = sample_format.silence * wanted
        elif channel is None:
            return 0
        elif transfer.source == "input":
            taken = self.dma.write(channel, (sample_format.silence * frames)[:wanted])
            output.pace.take(-(-taken // sample_format.frame_bytes))
            return taken
        else:
            data = self.dma.read(channel, wanted)
        first = output.pace.take(-(-len(data) // sample_format.frame_bytes))
        output.record = output.record.add(first, output.pace.rate, sample_format, data)
        return len(data)

    def _end_block(self, transfer: Transfer) -> None:
        goes_on = transfer.auto and not transfer.leaving
        self.state.transfer = dataclasses.replace(transfer, left=transfer.block) if goes_on else None
        self._interrupt(transfer.irq)

    def _interrupt(self, irq: int) -> None:
        line = mixer.interrupt_line(self.state.mixer)
        # The line is up until every cause is acknowledged, and the controller hears only its rise.
        if not self.state.pending and line is not None:
            self.state.interrupts += 1
            self.pic.pulse(line)
        self.state.pending |= irq

    def save(self) -> Sb16State:
        """Return a copy of the state; what was played is in it by reference."""
        return dataclasses.replace(self.state, output=self.state.output.copy())

    def load(self, state: Sb16State) -> None:
        """Take the state back."""
        self.state = dataclasses.replace(state, output=state.output.copy())


Act = Callable[[bytes], None]


def _commands(card: Sb16) -> dict[int, tuple[int, Act | None]]:
    """Return for each command how many bytes follow it, and what it does; a command that is not here does nothing."""

    def set_block(command: bytes) -> None:
        card.state.block = int.from_bytes(command[1:], "little")

    def set_speaker(command: bytes) -> None:
        card.state.speaker = command[0] == 0xD1

    def write_test(command: bytes) -> None:
        card.state.test = command[1]

    table: dict[int, tuple[int, Act | None]] = {
        0x10: (1, None),
        **dict.fromkeys((0x14, 0x24), (2, card.start_8_bit)),
        # High speed, where a length is that of command 48h also for a single block.
        **dict.fromkeys((0x1C, 0x2C, 0x90, 0x91, 0x98, 0x99), (0, card.start_8_bit)),
        0x38: (1, None),
        0x40: (1, lambda command: card.set_rate(1_000_000 // (256 - command[1]))),
        0x41: (2, lambda command: card.set_rate(int.from_bytes(command[1:], "big"))),
        0x42: (2, lambda command: card.set_rate(int.from_bytes(command[1:], "big"))),
        0x45: (0, lambda _: card.leave(8, False)),
        0x47: (0, lambda _: card.leave(16, False)),
        0x48: (2, set_block),
        0x80: (2, card.start_silence),
        **dict.fromkeys(range(0xB0, 0xD0), (3, card.start_any)),
        0xD0: (0, lambda _: card.pause(8, True)),
        0xD1: (0, set_speaker),
        0xD3: (0, set_speaker),
        0xD4: (0, lambda _: card.pause(8, False)),
        0xD5: (0, lambda _: card.pause(16, True)),
        0xD6: (0, lambda _: card.pause(16, False)),
        0xD8: (0, lambda _: card.answer(0xFF if card.state.speaker else 0x00)),
        0xD9: (0, lambda _: card.leave(16, True)),
        0xDA: (0, lambda _: card.leave(8, True)),
        0xE0: (1, lambda command: card.answer(~command[1] & 0xFF)),
        0xE1: (0, lambda _: card.answer(*VERSION)),
        0xE3: (0, lambda _: card.answer(*COPYRIGHT)),
        0xE4: (1, write_test),
        0xE8: (0, lambda _: card.answer(card.state.test)),
        0xF2: (0, lambda _: card.trigger(IRQ_8)),
        0xF3: (0, lambda _: card.trigger(IRQ_16)),
    }
    return table
