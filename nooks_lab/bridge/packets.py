"""Frames as they stand on the wire: ARP (RFC 826), IPv4 (RFC 791), TCP (RFC 793)."""

import struct
from dataclasses import dataclass

from nooks_lab.machine.ethernet import ones_complement_sum

ETH_ARP, ETH_IP = b"\x08\x06", b"\x08\x00"
ARP_REQUEST, ARP_REPLY = 1, 2
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
MSS = 1460
"""Ethernet's 1500 bytes without two headers."""
DEFAULT_MSS = 536
WRAP = 1 << 32

_ETHERNET = 14
_IP = struct.Struct("!BBHHHBBH4s4s")
_TCP = struct.Struct("!HHIIBBHHH")
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_PROTOCOL = 6


@dataclass(frozen=True)
class ArpPacket:
    """Who asks or answers, and for which address."""

    operation: int
    sender: bytes
    sender_ip: bytes
    target_ip: bytes


@dataclass(frozen=True)
class TcpSegment:
    """A received segment; ``source`` is (IP address, port), ``mss`` is 0 when no option says it."""

    source: tuple[bytes, int]
    destination: tuple[bytes, int]
    seq: int
    ack: int
    flags: int
    window: int
    data: bytes
    mss: int


def read_arp(frame: bytes) -> ArpPacket | None:
    """Return the ARP packet in a frame, or None."""
    if frame[12:14] != ETH_ARP or len(frame) < _ETHERNET + _ARP.size:
        return None
    fields = _ARP.unpack_from(frame, _ETHERNET)
    if fields[:4] != (1, 0x0800, 6, 4):
        return None
    return ArpPacket(fields[4], fields[5], fields[6], fields[8])


def write_arp(operation: int, mac: bytes, ip: bytes, target: bytes, target_ip: bytes) -> bytes:
    """Return a frame with an ARP packet; a request goes to everybody."""
    destination = b"\xff" * 6 if operation == ARP_REQUEST else target
    packet = _ARP.pack(1, 0x0800, 6, 4, operation, mac, ip, target, target_ip)
    return destination + mac + ETH_ARP + packet


def read_segment(frame: bytes) -> TcpSegment | None:
    """Return the TCP segment in a frame; None when there is none, or a checksum or length is wrong."""
    if frame[12:14] != ETH_IP or len(frame) < _ETHERNET + _IP.size:
        return None
    version, _, total, _, fragment, _, protocol, _, source, destination = _IP.unpack_from(frame, _ETHERNET)
    header = (version & 15) * 4
    packet = frame[_ETHERNET : _ETHERNET + total]
    if version >> 4 != 4 or protocol != _PROTOCOL or fragment & 0x3FFF or len(packet) != total:
        return None
    segment = packet[header:]
    if header < _IP.size or len(segment) < _TCP.size or _sum(packet[:header]):
        return None
    if _sum(_pseudo_header(source, destination, len(segment)) + segment):
        return None
    source_port, port, seq, ack, offset, flags, window, _, _ = _TCP.unpack_from(segment)
    size = (offset >> 4) * 4
    if not _TCP.size <= size <= len(segment):
        return None
    return TcpSegment(
        (source, source_port),
        (destination, port),
        seq,
        ack,
        flags,
        window,
        segment[size:],
        _mss(segment[_TCP.size : size]),
    )


def _mss(options: bytes) -> int:
    while options and options[0]:
        if options[0] == 1:
            options = options[1:]
            continue
        if len(options) < 2 or options[1] < 2:
            return 0
        if options[0] == 2 and options[1] == 4 and len(options) >= 4:
            return int.from_bytes(options[2:4], "big")
        options = options[options[1] :]
    return 0


def write_segment(
    macs: tuple[bytes, bytes],
    source: tuple[bytes, int],
    destination: tuple[bytes, int],
    seq: int,
    ack: int,
    flags: int,
    window: int,
    data: bytes = b"",
    identification: int = 0,
) -> bytes:
    """Return a frame with a TCP segment; SYN announces the largest segment.

    Parameters
    ----------
    macs : (bytes, bytes)
        Station addresses of sender and receiver.
    source, destination : (bytes, int)
        IP address and port.
    """
    options = struct.pack("!BBH", 2, 4, MSS) if flags & SYN else b""
    offset = (_TCP.size + len(options)) // 4 << 4
    fields = (source[1], destination[1], seq % WRAP, ack % WRAP, offset, flags, window)
    segment = _TCP.pack(*fields, 0, 0) + options + data
    check = 0xFFFF ^ ones_complement_sum(_pseudo_header(source[0], destination[0], len(segment)) + segment)
    segment = segment[:16] + check.to_bytes(2, "big") + segment[18:]
    total = _IP.size + len(segment)
    header = _IP.pack(
        0x45, 0, total, identification & 0xFFFF, 0x4000, 64, _PROTOCOL, 0, source[0], destination[0]
    )
    check = 0xFFFF ^ ones_complement_sum(header)
    header = header[:10] + check.to_bytes(2, "big") + header[12:]
    return macs[1] + macs[0] + ETH_IP + header + segment


def _pseudo_header(source: bytes, destination: bytes, length: int) -> bytes:
    return source + destination + struct.pack("!BBH", 0, _PROTOCOL, length)


def _sum(data: bytes) -> int:
    """Return 0 when the checksum in the data is right."""
    return 0xFFFF ^ ones_complement_sum(data)
