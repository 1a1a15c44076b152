"""TCP's states, sequence numbers and segments (RFC 793, sections 3.1 to 3.3)."""

import struct
from enum import IntEnum
from typing import NamedTuple

from nooks_lab.kernel.net.checksum import transport_checksum
from nooks_lab.kernel.net.ipv4 import IPPROTO_TCP, Packet

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
HEADER_SIZE = 20
DEFAULT_MSS = 536
"""What a peer takes that does not say otherwise (RFC 1122, section 4.2.2.6)."""
MIN_MSS = 64
"""A peer that asks for less would have its data cut into segments that are all header."""

_HEADER = struct.Struct("!HHIIBBHHH")
_CHECKSUM = 16
_END, _NOP, _MSS = 0, 1, 2


class State(IntEnum):
    """``sock.state`` of a TCP socket, with Linux's numbers and RFC 793's names."""

    ESTABLISHED = 1
    SYN_SENT = 2
    SYN_RECEIVED = 3
    FIN_WAIT_1 = 4
    FIN_WAIT_2 = 5
    TIME_WAIT = 6
    CLOSED = 7
    CLOSE_WAIT = 8
    LAST_ACK = 9
    LISTEN = 10
    CLOSING = 11


def before(a: int, b: int) -> bool:
    """Tell whether sequence number ``a`` comes before ``b``; they are 32 bits wide and wrap."""
    return (a - b) & 0x80000000 != 0


def after(a: int, b: int) -> bool:
    """Tell whether sequence number ``a`` comes after ``b``."""
    return before(b, a)


class Segment(NamedTuple):
    """A segment as RFC 793 speaks of it: SEG.SEQ, SEG.ACK, SEG.LEN, SEG.WND and the control bits.

    Attributes
    ----------
    source, source_port : int
        The peer.
    destination, destination_port : int
        Ourselves.
    data_at, data_length : int
        Where in the IP payload the data are, in bytes.
    mss : int
        From the option, or the default.
    """

    source: int
    destination: int
    source_port: int
    destination_port: int
    seq: int
    ack: int
    flags: int
    window: int
    mss: int
    data_at: int
    data_length: int

    @property
    def length(self) -> int:
        """SEG.LEN: data bytes, with SYN and FIN counted."""
        return self.data_length + (self.flags & SYN != 0) + (self.flags & FIN != 0)

    @property
    def end(self) -> int:
        """The sequence number behind the segment."""
        return self.seq + self.length & 0xFFFFFFFF


def parse(packet: Packet, verify: bool) -> Segment | None:
    """Return a received segment, or None when its header or checksum is wrong.

    Parameters
    ----------
    verify : bool
        Whether the checksum is still to be verified; a controller may have done it.
    """
    data = packet.payload
    if len(data) < HEADER_SIZE:
        return None
    source_port, destination_port, seq, ack, offset, flags, window, _, _ = _HEADER.unpack_from(data)
    size = offset >> 4 << 2
    if not HEADER_SIZE <= size <= len(data):
        return None
    if verify and transport_checksum(packet.source, packet.destination, IPPROTO_TCP, data):
        return None
    return Segment(
        packet.source,
        packet.destination,
        source_port,
        destination_port,
        seq,
        ack,
        flags,
        window,
        _mss_option(data[HEADER_SIZE:size]) if flags & SYN else DEFAULT_MSS,
        size,
        len(data) - size,
    )


def _mss_option(options: bytes) -> int:
    """Return the maximum segment size that SYN's options announce, or the default."""
    at = 0
    while at < len(options) and options[at] != _END:
        if options[at] == _NOP:
            at += 1
            continue
        length = options[at + 1] if at + 1 < len(options) else 0
        if length < 2:
            break
        if options[at] == _MSS and length == 4 and at + 4 <= len(options):
            return max(MIN_MSS, int.from_bytes(options[at + 2 : at + 4], "big"))
        at += length
    return DEFAULT_MSS


def build(
    source: tuple[int, int],
    destination: tuple[int, int],
    seq: int,
    ack: int,
    flags: int,
    window: int,
    data: bytes = b"",
    mss: int = 0,
) -> bytes:
    """Return a segment with its checksum.

    Parameters
    ----------
    source, destination : (int, int)
        Address and port, in host order.
    mss : int
        Announced as an option when it is not 0.
    """
    options = struct.pack("!BBH", _MSS, 4, mss) if mss else b""
    offset = HEADER_SIZE + len(options) >> 2 << 4
    header = _HEADER.pack(
        source[1] & 0xFFFF, destination[1] & 0xFFFF, seq, ack, offset, flags & 0xFF, window & 0xFFFF, 0, 0
    )
    segment = header + options + data
    total = transport_checksum(source[0], destination[0], IPPROTO_TCP, segment)
    return segment[:_CHECKSUM] + total.to_bytes(2, "big") + segment[_CHECKSUM + 2 :]
