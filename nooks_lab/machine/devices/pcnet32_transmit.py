"""How the PCnet controllers gather a frame from the driver's transmit ring.

Source: AMD publication 20550 (Am79C971), sections "Transmit Operation" and "Transmit Descriptors".
"""

from dataclasses import dataclass

from nooks_lab.machine.devices.device import PciDevice
from nooks_lab.machine.devices.pcnet32_descriptors import (
    ENP,
    ERR,
    OWN,
    STP,
    TX_ADD_FCS,
    TX_DEF,
    TX_LTINT,
    TX_ONE,
    Descriptor,
)
from nooks_lab.machine.devices.pcnet32_registers import CSR4_APAD_XMT, MODE_DXMTFCS
from nooks_lab.machine.devices.pcnet32_rings import Ring
from nooks_lab.machine.ethernet import FCS_BYTES, frame_check_sequence, pad

LONGEST_TRANSMIT = 16_384
"""Bytes of a frame after which this model's transmitter gives up; none comes near it that is meant to be one."""

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
