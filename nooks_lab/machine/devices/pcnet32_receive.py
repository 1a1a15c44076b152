"""The receive side of the PCnet controllers: from the line, or the loopback, into the driver's ring.

Source: AMD publication 20550 (Am79C971), sections "Receive Operation" and "Receive Descriptors".
"""

from nooks_lab.machine.devices import pcnet32_registers as reg
from nooks_lab.machine.devices.device import MasterAbort, PciDevice
from nooks_lab.machine.devices.pcnet32_descriptors import (
    ENP,
    ERR,
    OWN,
    RX_BUFF,
    RX_RESULT,
    STP,
    Descriptor,
)
from nooks_lab.machine.devices.pcnet32_filter import match
from nooks_lab.machine.devices.pcnet32_interrupts import InterruptLogic
from nooks_lab.machine.devices.pcnet32_rings import RECEIVE, Ring
from nooks_lab.machine.ethernet import SHORTEST_FRAME, frame_check_sequence

_HEADER = 14
_SHORTEST_DATA = SHORTEST_FRAME - _HEADER


def stored_bytes(frame: bytes, strip: bool) -> bytes:
    """Return what is stored of a frame: with its check sequence, or stripped of that and of its padding.

    Parameters
    ----------
    strip : bool
        ASTRP_RCV is set: a frame whose IEEE 802.3 length field tells that it was padded loses what was added.
    """
    length = int.from_bytes(frame[12:14], "big")
    if strip and length < _SHORTEST_DATA:
        return frame[: _HEADER + length]
    return frame + frame_check_sequence(frame)


def store_frame(device: PciDevice, ring: Ring, data: bytes, matched: int) -> bool:
    """Write a frame into the buffers at the ring's current descriptors, and these back.

    A frame that finds too few buffers is cut off, and its last descriptor says so (BUFF).

    Parameters
    ----------
    data : bytes
        What is stored of the frame.
    matched : int
        The match bits of the last descriptor.

    Returns
    -------
    bool
        False when not even the first descriptor is the controller's, and the frame is lost.

    Raises
    ------
    MasterAbort
        When a descriptor or a buffer lies nowhere.
    """
    first = ring.current
    filled: list[Descriptor] = []
    position = 0
    while len(filled) < ring.count and (not filled or position < len(data)):
        descriptor = ring.read(first + len(filled))
        if not descriptor.control & OWN:
            break
        piece = data[position : position + descriptor.length]
        device.dma_write(descriptor.buffer, piece)
        position += len(piece)
        filled.append(descriptor)
    for number, descriptor in enumerate(filled):
        descriptor.control &= ~(OWN | RX_RESULT)
        descriptor.status = 0
        if number == 0:
            descriptor.control |= STP
        if number == len(filled) - 1:
            if position < len(data):
                descriptor.control |= ERR | RX_BUFF
            else:
                descriptor.control |= ENP | matched
                descriptor.status = len(data)
        ring.write_back(first + number, descriptor)
    ring.advance(len(filled))
    return bool(filled)


class Receiver(InterruptLogic):
    """Receives frames."""

    def loop_back(self, frame: bytes) -> None:
        """Event: a frame has come back through the loopback."""
        self._take(frame)

    def receive(self, frame: bytes) -> None:
        """Take a frame off the wire; without a link there is nothing to hear, and in loopback nobody listens."""
        if self.state.phy.link and not self.state.csr[reg.MODE] & reg.MODE_LOOP:
            self._take(frame)

    def _take(self, frame: bytes) -> None:
        csr = self.state.csr
        if not csr[reg.CSR0] & reg.CSR0_RXON or len(frame) < 14:
            return
        if len(frame) < SHORTEST_FRAME and not csr[reg.CSR124] & reg.CSR124_RPA:
            return
        matched = match(frame, csr)
        if matched is None:
            return
        if csr[reg.CSR5] & reg.CSR5_SPND or not self.may_master():
            self._miss()
            return
        data = stored_bytes(frame, bool(csr[reg.CSR4] & reg.CSR4_ASTRP_RCV))
        try:
            stored = store_frame(self, Ring(self, csr, RECEIVE, self._style), data, matched)
        except MasterAbort:
            self._system_error()
            return
        if stored:
            self._cause(reg.CSR0_RINT)
        else:
            self._miss()

    def _miss(self) -> None:
        csr = self.state.csr
        csr[reg.MFC] = csr[reg.MFC] + 1 & 0xFFFF
        if not csr[reg.MFC]:
            csr[reg.CSR4] |= reg.CSR4_MFCO
        self._cause(reg.CSR0_MISS)
