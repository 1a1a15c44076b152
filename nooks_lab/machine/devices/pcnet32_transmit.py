"""The transmit side of the PCnet controllers: from the driver's ring to the line.

Source: AMD publication 20550 (Am79C971), sections "Transmit Operation" and "Transmit Descriptors".
"""

from dataclasses import dataclass

from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.machine.devices import pcnet32_registers as reg
from nooks_lab.machine.devices.device import MasterAbort, PciDevice
from nooks_lab.machine.devices.pcnet32_descriptors import (
    ENP,
    ERR,
    OWN,
    STP,
    TX_ADD_FCS,
    TX_BUFF,
    TX_DEF,
    TX_LCAR,
    TX_LTINT,
    TX_ONE,
    TX_UFLO,
    Descriptor,
)
from nooks_lab.machine.devices.pcnet32_interrupts import InterruptLogic
from nooks_lab.machine.devices.pcnet32_registers import CSR4_APAD_XMT, MODE_DXMTFCS
from nooks_lab.machine.devices.pcnet32_rings import TRANSMIT, Ring
from nooks_lab.machine.ethernet import FAST_ETHERNET, FCS_BYTES, frame_check_sequence, line_cycles, pad

LONGEST_FRAME = 1514
"""A longer one, without check sequence, babbles."""

FETCH_CYCLES = CPU_HZ // 1_000_000
"""Until a descriptor and the beginning of its buffer are on the chip: about one microsecond."""

LONGEST_TRANSMIT = 16_384
"""Bytes of a frame after which this model's transmitter gives up; none comes near it that is meant to be one."""

_PCI_CLOCK_HZ = 33_000_000
_RESULT = OWN | ERR | TX_LTINT | TX_ONE | TX_DEF


@dataclass(frozen=True)
class Gathered:
    """A frame's buffers and descriptors.

    Attributes
    ----------
    data : bytes
        The contents of its buffers.
    first, count : int
        Its descriptors in the ring.
    control : int
        TMD1 of the first descriptor; its ADD_FCS counts for the frame.
    wants_interrupt : bool
        LTINT of the last descriptor.
    whole : bool
        False when a buffer is still the driver's before the frame's end, or there is no end.
    """

    data: bytes
    first: int
    count: int
    control: int
    wants_interrupt: bool
    whole: bool


def gather(device: PciDevice, ring: Ring) -> Gathered:
    """Read a frame whose first descriptor is the current one and the controller's.

    Raises
    ------
    MasterAbort
        When a descriptor or a buffer lies nowhere.
    """
    first = ring.current
    start = descriptor = ring.read(first)
    pieces = [device.dma_read(descriptor.buffer, descriptor.length)]
    room = LONGEST_TRANSMIT - descriptor.length
    whole = True
    while not descriptor.control & ENP:
        descriptor = ring.read(first + len(pieces))
        if len(pieces) == ring.count or not descriptor.control & OWN or descriptor.length > room:
            whole = False
            break
        pieces.append(device.dma_read(descriptor.buffer, descriptor.length))
        room -= descriptor.length
    last_wants = bool(descriptor.control & TX_LTINT)
    return Gathered(b"".join(pieces), first, len(pieces), start.control, last_wants, whole)


def frame_on_line(gathered: Gathered, mode: int, csr4: int) -> tuple[bytes, bool]:
    """Return the frame as it goes out, without check sequence, and whether its check sequence is right.

    Parameters
    ----------
    mode, csr4 : int
        CSR15 and CSR4.
    """
    frame = gathered.data
    if csr4 & CSR4_APAD_XMT:
        # Padding implies a check sequence of the controller's own.
        return pad(frame), True
    if mode & MODE_DXMTFCS and not gathered.control & TX_ADD_FCS:
        frame, check = frame[:-FCS_BYTES], frame[-FCS_BYTES:]
        return frame, check == frame_check_sequence(frame)
    return frame, True


def give_back(ring: Ring, first: int, count: int, errors: int) -> None:
    """Write a frame's descriptors back to the driver; the last one tells its errors (bits of TMD2).

    Raises
    ------
    MasterAbort
        When a descriptor lies nowhere.
    """
    for number in range(first, first + count):
        descriptor: Descriptor = ring.read(number)
        descriptor.control &= ~_RESULT
        descriptor.status = 0
        if errors and number == first + count - 1:
            descriptor.control |= ERR
            descriptor.status = errors
        ring.write_back(number, descriptor)
    ring.advance(count)


def skip(ring: Ring) -> None:
    """Give back a descriptor without STP that no frame begins with, and go on to the next.

    Raises
    ------
    MasterAbort
        When it lies nowhere.
    """
    give_back(ring, ring.current, 1, 0)


def begins_frame(descriptor: Descriptor) -> bool:
    """Tell whether a frame starts here."""
    return bool(descriptor.control & STP)


class Transmitter(InterruptLogic):
    """Polls its ring and sends frames."""

    def _may_transmit(self) -> bool:
        state = self.state
        return bool(
            state.csr[reg.CSR0] & reg.CSR0_TXON
            and not state.suspending
            and not state.csr[reg.CSR5] & reg.CSR5_SPND
        )

    def _start_transmitter(self) -> None:
        if self._may_transmit() and not self.state.transmitting:
            self.state.transmitting = True
            self.clock.after(FETCH_CYCLES, self.name, "fetch_transmit")

    def _queue_poll(self) -> None:
        """Look at the ring again after the time of CSR47, unless software has undertaken to demand each look."""
        state = self.state
        if self._may_transmit() and not state.csr[reg.CSR4] & reg.CSR4_DPOLL and not state.poll_queued:
            state.poll_queued = True
            clocks = 0x10000 - (state.csr[reg.POLLINT] & ~0xF)
            self.clock.after(clocks * CPU_HZ // _PCI_CLOCK_HZ, self.name, "poll_transmit")

    def poll_transmit(self) -> None:
        """Event: the polling interval is over."""
        self.state.poll_queued = False
        if not self.state.csr[reg.CSR4] & reg.CSR4_DPOLL:
            self._start_transmitter()
        self._queue_poll()

    def fetch_transmit(self) -> None:
        """Event: the descriptor whose turn it is has been read; a frame that begins there goes out."""
        state, csr = self.state, self.state.csr
        state.transmitting = False
        if not self._may_transmit():
            self._suspend_when_idle()
            return
        if not self.may_master():
            self._wait_for_bus("fetch_transmit")
            return
        csr[reg.CSR0] &= ~reg.CSR0_TDMD
        ring = Ring(self, csr, TRANSMIT, self._style)
        try:
            descriptor = ring.read(ring.current)
            if not descriptor.control & OWN:
                self._queue_poll()
            elif begins_frame(descriptor):
                self._send(ring)
            else:
                skip(ring)
                self._start_transmitter()
        except MasterAbort:
            self._system_error()

    def _send(self, ring: Ring) -> None:
        state, csr = self.state, self.state.csr
        gathered = gather(self, ring)
        frame, intact = frame_on_line(gathered, csr[reg.MODE], csr[reg.CSR4])
        loops = csr[reg.MODE] & reg.MODE_LOOP
        errors = 0
        if not gathered.whole:
            errors = TX_BUFF | TX_UFLO
        elif not (loops or state.phy.link):
            errors = TX_LCAR
        csr[reg.CSR4] |= reg.CSR4_TXSTRT
        if len(frame) > LONGEST_FRAME:
            csr[reg.CSR0] |= reg.CSR0_BABL
        # A frame whose check sequence is wrong takes its time on the line, and nobody keeps it.
        if not errors and intact:
            if loops:
                self.clock.after(line_cycles(len(frame), FAST_ETHERNET), self.name, "loop_back", frame)
            elif self.wire_end is not None:
                self.wire_end.send(frame)
        state.transmitting = True
        self.clock.after(
            line_cycles(len(frame), FAST_ETHERNET),
            self.name,
            "finish_transmit",
            gathered.first,
            gathered.count,
            errors,
            gathered.wants_interrupt,
        )
        self._drive_interrupt()

    def finish_transmit(self, first: int, count: int, errors: int, wants_interrupt: bool) -> None:
        """Event: a frame has left; its descriptors go back to the driver."""
        state, csr = self.state, self.state.csr
        state.transmitting = False
        try:
            give_back(Ring(self, csr, TRANSMIT, self._style), first, count, errors)
        except MasterAbort:
            self._system_error()
            return
        if errors & TX_UFLO and not csr[reg.CSR3] & reg.CSR3_DXSUFLO:
            csr[reg.CSR0] &= ~reg.CSR0_TXON
        unwanted = csr[reg.CSR5] & reg.CSR5_TOKINTD and not errors
        if not unwanted and (wants_interrupt or not csr[reg.CSR5] & reg.CSR5_LTINTEN):
            self._cause(reg.CSR0_TINT)
        self._suspend_when_idle()
        self._start_transmitter()

    def _suspend_when_idle(self) -> None:
        if self.state.suspending and not self.state.transmitting:
            self.state.suspending = False
            self.state.csr[reg.CSR5] |= reg.CSR5_SPND
