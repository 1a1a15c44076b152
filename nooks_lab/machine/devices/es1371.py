"""The Ensoniq AudioPCI 97: ES1371 with its sample rate converter, its codec, and three DMA channels.

Not modelled: UART, joystick, the legacy registers, and the end and start increments of DAC2.  What it records is
silence: nothing is plugged in.  The record keeps samples as they come from memory, with the rate that the converter
is set to; volumes do not change them.

Source: Ensoniq, AudioPCI 97 (ES1371) specification.
"""

import dataclasses
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.machine.devices import ac97
from nooks_lab.machine.devices import es1371_registers as reg
from nooks_lab.machine.devices.dac import BURST_CYCLES, Output, Played, SampleFormat
from nooks_lab.machine.devices.device import MasterAbort, PciDevice
from nooks_lab.machine.pci import BaseAddress, PciFunction

VENDOR_ID = 0x1274
DEVICE_ID = 0x1371
CLASS_AUDIO = 0x040100
REVISION = 8

SRC_CYCLES = CPU_HZ // 1_000_000
"""An access to the converter's RAM: about a microsecond."""
CODEC_CYCLES = CPU_HZ // 48_000
"""An access to the codec takes one frame of the AC-link."""

SLOWEST, FASTEST = 100, 48_000 * 4
"""What a nonsense pitch is taken for, in frames a second."""

_CHANNELS = range(3)


@dataclass
class ChannelState:
    """One DMA channel: the frame in memory, and the count of samples to the next interrupt.

    Attributes
    ----------
    address, size : int
        Physical address of the frame, and its length in 32-bit words less one.
    position : int
        Bytes taken of the frame.
    reload, left : int
        Value of the sample count register, and frames left less one.
    running : bool
        Enabled, not paused, not stopped by its count.
    """

    address: int = 0
    size: int = 0
    position: int = 0
    reload: int = 0
    left: int = 0
    running: bool = False
    stopped: bool = False
    pending: bool = False
    output: Output = field(default_factory=Output)

    def copy(self) -> "ChannelState":
        """Return an equal one that does not change with this one."""
        return dataclasses.replace(self, output=self.output.copy())


@dataclass
class Es1371State:
    """All that changes in the controller."""

    control: int = 0
    page: int = 0
    serial: int = 0
    src: int = 0
    src_ram: tuple[int, ...] = (0,) * reg.SRC_RAM_WORDS
    src_busy_until: int = 0
    codec: int = 0
    codec_done_at: int = 0
    codec_registers: tuple[int, ...] = field(default_factory=ac97.reset)
    channels: list[ChannelState] = field(default_factory=lambda: [ChannelState() for _ in _CHANNELS])
    asserted: bool = False
    interrupts: int = 0
    """Times the interrupt line has been asserted since power-on."""

    def copy(self) -> "Es1371State":
        """Return an equal one that does not change with this one; what was played is in both by reference."""
        return dataclasses.replace(self, channels=[channel.copy() for channel in self.channels])


class Es1371(PciDevice):
    """An AudioPCI 97 on the PCI bus.

    Parameters
    ----------
    name : str
        Its name among the clock's parts.
    device, irq : int
        PCI device number and interrupt line.
    base : int
        Where the firmware put its 64 ports.
    """

    state: Es1371State

    def __init__(self, name: str = "es1371", device: int = 3, irq: int = 11, base: int = 0xC000) -> None:
        function = PciFunction(
            device=device,
            vendor_id=VENDOR_ID,
            device_id=DEVICE_ID,
            class_code=CLASS_AUDIO,
            revision=REVISION,
            irq=irq,
            bars=(BaseAddress(base, reg.PORTS, io=True),),
            subsystem_vendor=VENDOR_ID,
            subsystem=DEVICE_ID,
        )
        super().__init__(name, function)
        self.state = Es1371State()

    @property
    def played(self) -> tuple[Played, ...]:
        """All that its DAC2 has played since power-on."""
        return self.state.channels[reg.DAC2].output.record.pieces

    # Registers

    def io_read(self, bar: int, offset: int, size: int) -> int:  # noqa: ARG002
        """Return a register, or part of one."""
        self.catch_up()
        value = self._read_register(offset & ~3)
        return value >> 8 * (offset & 3) & (1 << 8 * size) - 1

    def io_write(self, bar: int, offset: int, size: int, value: int) -> None:  # noqa: ARG002
        """Write a register, or part of one; one half of an SRC or CODEC access is none."""
        self.catch_up()
        register, shift = offset & ~3, 8 * (offset & 3)
        mask = (1 << 8 * size) - 1 << shift & 0xFFFFFFFF
        value = value << shift & mask
        if mask != 0xFFFFFFFF:
            if register in (reg.SRC, reg.CODEC):
                return
            value |= self._kept(register) & ~mask
        self._write_register(register, value)

    def _kept(self, register: int) -> int:
        """Return what stands in a register of which only a part is written."""
        if register in reg.COUNT:
            return self.state.channels[reg.COUNT[register]].reload
        window = reg.FRAME.get((self.state.page, register))
        if window is not None and window[1] == "size":
            return self.state.channels[window[0]].size
        return self._read_register(register)

    def _read_register(self, register: int) -> int:
        state = self.state
        if register == reg.CONTROL:
            return state.control
        if register == reg.STATUS:
            return self._status()
        if register == reg.MEMORY_PAGE:
            return state.page
        if register == reg.SRC:
            return self._read_src()
        if register == reg.CODEC:
            return self._read_codec()
        if register == reg.SERIAL:
            return state.serial
        if register in reg.COUNT:
            channel = state.channels[reg.COUNT[register]]
            return channel.left << 16 | channel.reload
        window = reg.FRAME.get((state.page, register))
        if window is not None:
            channel = state.channels[window[0]]
            return channel.address if window[1] == "address" else channel.position >> 2 << 16 | channel.size
        return 0

    def _write_register(self, register: int, value: int) -> None:
        state = self.state
        if register == reg.CONTROL:
            self._write_control(value)
        elif register == reg.MEMORY_PAGE:
            state.page = value & 0x0F
        elif register == reg.SRC:
            self._write_src(value)
        elif register == reg.CODEC:
            self._write_codec(value)
        elif register == reg.SERIAL:
            self._write_serial(value)
        elif register in reg.COUNT:
            channel = state.channels[reg.COUNT[register]]
            channel.reload = channel.left = value & 0xFFFF
        elif (window := reg.FRAME.get((state.page, register))) is not None:
            self._write_frame(state.channels[window[0]], window[1], value)
        self._settle()

    def _write_control(self, value: int) -> None:
        if value & reg.CONTROL_SYNC_RES:
            self.state.codec_registers = ac97.reset()
        for index, channel in enumerate(self.state.channels):
            if not value & reg.CONTROL_ENABLE[index]:
                # A channel that is enabled anew begins at the start of its frame, with a full count.
                channel.position, channel.left, channel.stopped = 0, channel.reload, False
        self.state.control = value & reg.CONTROL_WRITABLE

    def _write_serial(self, value: int) -> None:
        self.state.serial = value & reg.SERIAL_WRITABLE
        for index, channel in enumerate(self.state.channels):
            # An interrupt is acknowledged by taking its enable bit away.
            if not value & reg.SERIAL_INTERRUPT[index]:
                channel.pending = False
            if not value & reg.SERIAL_STOP[index]:
                channel.stopped = False
        if value & reg.SERIAL_RELOAD:
            channel = self.state.channels[reg.DAC1]
            channel.left = channel.reload

    def _write_frame(self, channel: ChannelState, what: str, value: int) -> None:
        if what == "address":
            channel.address = value & ~3
            channel.position = 0
        else:
            channel.size = value & 0xFFFF
            channel.position = min(value >> 16, channel.size) << 2

    # The sample rate converter and the codec

    def _read_src(self) -> int:
        state = self.state
        if self.clock.now < state.src_busy_until:
            return state.src & ~reg.SRC_DATA | reg.SRC_BUSY
        return state.src & ~reg.SRC_DATA | state.src_ram[state.src >> reg.SRC_ADDRESS_SHIFT]

    def _write_src(self, value: int) -> None:
        state = self.state
        if self.clock.now < state.src_busy_until:
            return
        address = value >> reg.SRC_ADDRESS_SHIFT
        if value & reg.SRC_WRITE:
            ram = list(state.src_ram)
            ram[address] = value & reg.SRC_DATA
            state.src_ram = tuple(ram)
        state.src = value & (0x7F << reg.SRC_ADDRESS_SHIFT | reg.SRC_CONTROL)
        state.src_busy_until = self.clock.now + SRC_CYCLES

    def rate(self, index: int) -> int:
        """Return the rate, in frames a second, that the converter is set to for a channel."""
        base = reg.SRC_RAM[index]
        whole = self.state.src_ram[base + reg.SRC_INTEGER] >> 10
        pitch = whole << 15 | self.state.src_ram[base + reg.SRC_FRACTION] & 0x7FFF
        return min(max(pitch * reg.SRC_UNIT_HZ + (1 << 14) >> 15, SLOWEST), FASTEST)

    def _read_codec(self) -> int:
        state = self.state
        if self.clock.now < state.codec_done_at:
            return state.codec & 0x00FFFFFF & ~reg.CODEC_READ | reg.CODEC_BUSY
        return state.codec

    def _write_codec(self, value: int) -> None:
        state = self.state
        if self.clock.now < state.codec_done_at:
            return
        address = value >> reg.CODEC_ADDRESS_SHIFT & 0x7E
        if value & reg.CODEC_READ:
            data = ac97.read(state.codec_registers, address)
            state.codec = reg.CODEC_READY | address << reg.CODEC_ADDRESS_SHIFT | data
        else:
            state.codec_registers = ac97.write(state.codec_registers, address, value & 0xFFFF)
            state.codec = address << reg.CODEC_ADDRESS_SHIFT | value & 0xFFFF
        state.codec_done_at = self.clock.now + CODEC_CYCLES

    # Channels

    def format(self, index: int) -> SampleFormat:
        """Return a channel's sample format; 8 bits are unsigned, 16 are signed."""
        mode = self.state.serial >> reg.SERIAL_MODE_SHIFT[index]
        bits = 16 if mode & reg.SERIAL_16_BIT else 8
        return SampleFormat(bits, bits == 16, 2 if mode & reg.SERIAL_STEREO else 1)

    def _may_run(self, index: int) -> bool:
        state = self.state
        if not state.control & reg.CONTROL_ENABLE[index] or state.serial & reg.SERIAL_PAUSE[index]:
            return False
        off = state.src & (reg.SRC_DISABLE | reg.SRC_DISABLE_CHANNEL[index])
        return not off and not state.channels[index].stopped

    def _settle(self) -> None:
        """After a write: start and stop channels as the registers say, and drive the interrupt."""
        for index, channel in enumerate(self.state.channels):
            runs = self._may_run(index)
            if runs and (not channel.running or channel.output.pace.rate != self.rate(index)):
                channel.output.pace.start(self.clock.now, self.rate(index))
            channel.running = runs
        self.clock.cancel(self.name, "fetch")
        self._plan()
        self._drive_interrupt()

    def _plan(self) -> None:
        now = self.clock.now
        ends = [
            channel.output.pace.cycle_of(channel.left + 1)
            for channel in self.state.channels
            if channel.running
        ]
        if ends:
            self.clock.at(max(min(*ends, now + BURST_CYCLES), now + 1), self.name, "fetch")

    def fetch(self) -> None:
        """Event: samples are due, or a count is through."""
        self.catch_up()
        self._plan()

    def catch_up(self) -> None:
        """Move what is due by now."""
        for index, channel in enumerate(self.state.channels):
            while channel.running and (due := channel.output.pace.due(self.clock.now)):
                self._move(index, channel, min(due, channel.left + 1))
        self._drive_interrupt()

    def _move(self, index: int, channel: ChannelState, frames: int) -> None:
        """Move frames between memory and a converter, and count them."""
        sample_format, pace = self.format(index), channel.output.pace
        size = frames * sample_format.frame_bytes
        first = pace.take(frames)
        if self.may_master():
            if index == reg.ADC:
                self._store(channel, sample_format.silence * frames)
            else:
                data = self._load(channel, size)
                channel.output.record = channel.output.record.add(first, pace.rate, sample_format, data)
        channel.left -= frames
        if channel.left < 0:
            channel.left = channel.reload
            if self.state.serial & reg.SERIAL_INTERRUPT[index]:
                channel.pending = True
            if self.state.serial & reg.SERIAL_STOP[index]:
                channel.stopped, channel.running = True, False

    def _load(self, channel: ChannelState, size: int) -> bytes:
        parts = []
        for address, length in self._spans(channel, size):
            try:
                parts.append(self.dma_read(address, length))
            except MasterAbort:
                parts.append(b"\xff" * length)
        return b"".join(parts)

    def _store(self, channel: ChannelState, data: bytes) -> None:
        done = 0
        for address, length in self._spans(channel, len(data)):
            with suppress(MasterAbort):
                self.dma_write(address, data[done : done + length])
            done += length

    def _spans(self, channel: ChannelState, size: int) -> list[tuple[int, int]]:
        """Advance in the frame, which is a ring; returns physical address and length of each piece."""
        spans, limit = [], (channel.size + 1) * 4
        while size > 0:
            length = min(size, limit - channel.position)
            spans.append((channel.address + channel.position & 0xFFFFFFFF, length))
            size -= length
            channel.position = (channel.position + length) % limit
        return spans

    # Interrupts

    def _status(self) -> int:
        causes = sum(
            cause
            for cause, channel in zip(reg.STATUS_CAUSE, self.state.channels, strict=True)
            if channel.pending
        )
        return causes | (reg.STATUS_INTR if causes else 0)

    def _drive_interrupt(self) -> None:
        wanted = any(channel.pending for channel in self.state.channels)
        if wanted != self.state.asserted:
            self.state.asserted = wanted
            self.state.interrupts += wanted
            self.set_interrupt(wanted)

    def save(self) -> tuple[Any, bytes]:
        """Return a copy of the state and the configuration space."""
        return self.state.copy(), bytes(self.function.space)

    def load(self, saved: tuple[Any, bytes]) -> None:
        """Take back what :meth:`save` returned."""
        self.state = saved[0].copy()
        self.function.space[:] = saved[1]
