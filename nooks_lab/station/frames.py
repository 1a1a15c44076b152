"""Frames as they stand on the wire: ARP (RFC 826), IPv4 (RFC 791), ICMP's echo (RFC 792), TCP (RFC 793)."""

import struct
from typing import NamedTuple

from nooks_lab.machine.ethernet import ones_complement_sum

ETH_ARP, ETH_IP = b"\x08\x06", b"\x08\x00"
ARP_REQUEST, ARP_REPLY = 1, 2
ICMP, TCP = 1, 6
ECHO_REPLY, ECHO = 0, 8
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
MSS = 1460
"""Ethernet's 1500 bytes without two headers."""
DEFAULT_MSS = 536
WRAP = 1 << 32

Address = tuple[bytes, int]
"""An IP address and a port."""

_ETHERNET = 14
_IP = struct.Struct("!BBHHHBBH4s4s")
_TCP = struct.Struct("!HHIIBBHHH")
_ARP = struct.Struct("!HHBBH6s4s6s4s")
_ECHO = struct.Struct("!BBHHH")


class ArpPacket(NamedTuple):
    """Who asks or answers, and for which address."""

    operation: int
    sender: bytes
    sender_ip: bytes
    target_ip: bytes


class IpPacket(NamedTuple):
    """A received IPv4 packet, by what matters of its header."""

    protocol: int
    source: bytes
    destination: bytes
    data: bytes


class EchoMessage(NamedTuple):
    """An echo request, or the reply to one."""

    kind: int
    identifier: int
    number: int
    data: bytes


class TcpSegment(NamedTuple):
    """A received segment; ``mss`` is 0 when no option says it."""

    source: Address
    destination: Address
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


def read_ip(frame: bytes) -> IpPacket | None:
    """Return the IPv4 packet in a frame; None when there is none, it is a fragment, or its checksum is wrong."""
    if frame[12:14] != ETH_IP or len(frame) < _ETHERNET + _IP.size:
        return None
    version, _, total, _, fragment, _, protocol, _, source, destination = _IP.unpack_from(frame, _ETHERNET)
    header = (version & 15) * 4
    packet = frame[_ETHERNET : _ETHERNET + total]
    if version >> 4 != 4 or fragment & 0x3FFF or len(packet) != total or not _IP.size <= header <= total:
        return None
    if not _intact(packet[:header]):
        return None
    return IpPacket(protocol, source, destination, packet[header:])


def write_ip(
    macs: tuple[bytes, bytes], protocol: int, source: bytes, destination: bytes, data: bytes, number: int = 0
) -> bytes:
    """Return a frame with an IPv4 packet.

    Parameters
    ----------
    macs : (bytes, bytes)
        Station addresses of sender and receiver.
    number : int
        Its identification.
    """
    header = _IP.pack(
        0x45, 0, _IP.size + len(data), number & 0xFFFF, 0x4000, 64, protocol, 0, source, destination
    )
    return macs[1] + macs[0] + ETH_IP + _with_checksum(header, 10) + data


def read_echo(packet: IpPacket) -> EchoMessage | None:
    """Return the echo message in a packet, or None."""
    if packet.protocol != ICMP or len(packet.data) < _ECHO.size or not _intact(packet.data):
        return None
    kind, code, _, identifier, number = _ECHO.unpack_from(packet.data)
    if code or kind not in (ECHO, ECHO_REPLY):
        return None
    return EchoMessage(kind, identifier, number, packet.data[_ECHO.size :])


def write_echo(message: EchoMessage) -> bytes:
    """Return an echo message as a packet carries it."""
    head = _ECHO.pack(message.kind, 0, 0, message.identifier, message.number)
    return _with_checksum(head + message.data, 2)


def read_segment(packet: IpPacket) -> TcpSegment | None:
    """Return the TCP segment in a packet; None when there is none, or a checksum or length is wrong."""
    segment = packet.data
    if packet.protocol != TCP or len(segment) < _TCP.size:
        return None
    if not _intact(_pseudo_header(packet.source, packet.destination, len(segment)) + segment):
        return None
    source_port, port, seq, ack, offset, flags, window, _, _ = _TCP.unpack_from(segment)
    size = (offset >> 4) * 4
    if not _TCP.size <= size <= len(segment):
        return None
    return TcpSegment(
        (packet.source, source_port),
        (packet.destination, port),
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
    source: Address, destination: Address, seq: int, ack: int, flags: int, window: int, data: bytes = b""
) -> bytes:
    """Return a TCP segment as a packet carries it; SYN announces the largest segment."""
    options = struct.pack("!BBH", 2, 4, MSS) if flags & SYN else b""
    offset = (_TCP.size + len(options)) // 4 << 4
    fields = (source[1], destination[1], seq % WRAP, ack % WRAP, offset, flags, window)
    segment = _TCP.pack(*fields, 0, 0) + options + data
    check = 0xFFFF ^ ones_complement_sum(_pseudo_header(source[0], destination[0], len(segment)) + segment)
    return segment[:16] + check.to_bytes(2, "big") + segment[18:]


def _pseudo_header(source: bytes, destination: bytes, length: int) -> bytes:
    return source + destination + struct.pack("!BBH", 0, TCP, length)


def _intact(data: bytes) -> bool:
    """Tell whether the checksum in the data is right."""
    return ones_complement_sum(data) == 0xFFFF


def _with_checksum(data: bytes, at: int) -> bytes:
    """Return data with their Internet checksum, which is 0 so far, at an offset."""
    return data[:at] + (0xFFFF ^ ones_complement_sum(data)).to_bytes(2, "big") + data[at + 2 :]
