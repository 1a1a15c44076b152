"""The station at the far end of a network workload's wire: ARP, echo, and a TCP of its own (RFC 793).

It shares no code with the kernel's TCP, so that a mistake of one does not cancel out in the other.  It takes
connections on ``SINK``, which keeps what comes, and on ``SOURCE``, which sends what the workload gave it.
"""

import copy
import struct
from dataclasses import dataclass, field
from typing import Any

from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.machine.ethernet import BROADCAST, ones_complement_sum
from nooks_lab.machine.peer import Peer

ADDRESS, STATION = bytes((10, 0, 0, 1)), bytes.fromhex("020000000001")
"""Its own IP address and station address."""

SINK, SOURCE = 9, 19
"""The ports of the discard and character generator protocols (RFC 863, RFC 864)."""

_MSS = 1460
_WINDOW = 0xFFFF
_RTO = CPU_HZ // 5
_MOST_DOUBLINGS = 4
_DUPLICATES = 3
_FIN, _SYN, _RST, _PSH, _ACK = 1, 2, 4, 8, 16
_WRAP = 1 << 32
_ARP, _IP = b"\x08\x06", b"\x08\x00"
_ICMP, _TCP = 1, 6
_ECHO_REPLY, _ECHO = 0, 8
_FIRST_SEQUENCE = 1_000_000

Address = tuple[bytes, int]


@dataclass
class Connection:
    """One connection, from this end.

    Attributes
    ----------
    data : bytes
        What this end sends; its FIN follows, as soon as ``ending``.
    received : bytearray
        What has arrived in order.
    ended : bool
        The other end's FIN has arrived.
    iss, irs : int
        The first sequence number behind this end's SYN, and that of the other end's SYN.
    sent, acknowledged : int
        Bytes of ``data`` and FIN that are on the way or arrived, and that arrived for certain.
    """

    far: Address
    port: int
    iss: int
    irs: int
    rcv_nxt: int
    data: bytes = b""
    ending: bool = False
    received: bytearray = field(default_factory=bytearray)
    early: dict[int, bytes] = field(default_factory=dict)
    ended: bool = False
    fin_at: int | None = None
    sent: int = 0
    acknowledged: int = 0
    window: int = 0
    due: int | None = None
    doublings: int = 0
    duplicates: int = 0

    @property
    def length(self) -> int:
        """Sequence numbers behind the SYN that this end has to send by now."""
        return len(self.data) + self.ending


class TcpStation:
    """Answers on behalf of host 10.0.0.1.

    Parameters
    ----------
    peer : Peer
        The scripted station whose wire it uses.

    Attributes
    ----------
    source : bytes
        What each connection to ``SOURCE`` is sent.
    connections : dict
        By the other end's address and port, and the own port; also those that have ended.
    echoes : list of bytes
        Data of the echo replies that arrived.
    retransmitted : int
        Segments sent again.
    """

    def __init__(self, peer: Peer) -> None:
        self.name = f"tcp of {peer.name}"
        self._peer, self._clock = peer, peer.clock
        self.source = b""
        self.connections: dict[tuple[Address, int], Connection] = {}
        self.echoes: list[bytes] = []
        self.retransmitted = 0
        self._lab_station = BROADCAST
        self._sequence = _FIRST_SEQUENCE
        self._clock.parts[self.name] = self
        peer.on_frame = self._frame

    def forget(self) -> None:
        """Drop all connections and echoes: the next run of the workload begins."""
        self._clock.cancel(self.name, "timer")
        self.connections.clear()
        self.echoes.clear()
        self._peer.received.clear()

    def save(self) -> Any:
        """Return every connection's state, and the rest; the timers are the clock's."""
        return copy.deepcopy(
            (
                self.source,
                self.connections,
                self.echoes,
                self.retransmitted,
                self._lab_station,
                self._sequence,
            )
        )

    def load(self, state: Any) -> None:
        """Take back what :meth:`save` returned."""
        (
            self.source,
            self.connections,
            self.echoes,
            self.retransmitted,
            self._lab_station,
            self._sequence,
        ) = copy.deepcopy(state)

    def ping(self, address: bytes, number: int, data: bytes) -> None:
        """Send an echo request."""
        body = struct.pack(">BBHHH", _ECHO, 0, 0, 1, number) + data
        self._send_ip(address, _ICMP, _with_checksum(body, 2))

    # What arrives

    def _frame(self, _peer: Peer, frame: bytes) -> None:
        if frame[12:14] == _ARP:
            self._arp(frame)
        elif frame[12:14] == _IP and ones_complement_sum(frame[14:34]) == 0xFFFF:
            (length,) = struct.unpack_from(">H", frame, 16)
            source, body = frame[26:30], frame[34 : 14 + length]
            if frame[30:34] != ADDRESS:
                return
            self._lab_station = frame[6:12]
            if frame[23] == _ICMP and ones_complement_sum(body) == 0xFFFF:
                self._icmp(source, body)
            elif frame[23] == _TCP and _tcp_sum(source, ADDRESS, body) == 0xFFFF:
                self._tcp(source, body)

    def _arp(self, frame: bytes) -> None:
        operation, sender, address, _, wanted = struct.unpack_from(">H6s4s6s4s", frame, 20)
        if operation == 1 and wanted == ADDRESS:
            reply = frame[14:20] + struct.pack(">H6s4s6s4s", 2, STATION, ADDRESS, sender, address)
            self._peer.send(sender + STATION + _ARP + reply)

    def _icmp(self, source: bytes, body: bytes) -> None:
        if body[0] == _ECHO:
            self._send_ip(source, _ICMP, _with_checksum(bytes(4) + body[4:], 2))
        elif body[0] == _ECHO_REPLY:
            self.echoes.append(body[8:])

    def _tcp(self, source: bytes, segment: bytes) -> None:
        far_port, port, seq, ack, offset, flags, window = struct.unpack_from(">HHIIBBH", segment)
        data = segment[offset >> 4 << 2 :]
        key = (source, far_port), port
        connection = self.connections.get(key)
        if flags & _RST:
            if connection is not None:
                connection.due = None
            return
        if flags & _SYN:
            # A SYN that came twice is answered alike, and a new one begins anew.
            if connection is None or connection.irs != seq:
                connection = self._open(key, seq)
            if connection is not None:
                self._send(connection, _SYN | _ACK, connection.iss - 1, b"")
            return
        if connection is None:
            self._reset(key, ack)
            return
        self._take_ack(connection, ack, window, empty=not data and not flags & _FIN)
        if data or flags & _FIN:
            self._take_data(connection, seq, data, bool(flags & _FIN))
        self._send_more(connection)

    def _open(self, key: tuple[Address, int], seq: int) -> Connection | None:
        far, port = key
        if port not in (SINK, SOURCE):
            self._reset(key, 0)
            return None
        self._sequence = (self._sequence + 64_000) % _WRAP
        connection = Connection(far, port, self._sequence, seq, (seq + 1) % _WRAP)
        if port == SOURCE:
            connection.data, connection.ending = self.source, True
        self.connections[key] = connection
        return connection

    def _take_ack(self, connection: Connection, ack: int, window: int, *, empty: bool) -> None:
        connection.window = window
        done = (ack - connection.iss) % _WRAP
        if not connection.acknowledged < done <= connection.length:
            # The same acknowledgement again: a segment is missing (RFC 2581, section 3.2).
            waiting = connection.sent > connection.acknowledged == done
            connection.duplicates += empty and waiting
            if connection.duplicates == _DUPLICATES:
                self._segment(connection, done, again=True)
            return
        connection.acknowledged = done
        connection.sent = max(connection.sent, done)
        connection.duplicates = connection.doublings = 0
        connection.due = None

    def _take_data(self, connection: Connection, seq: int, data: bytes, fin: bool) -> None:
        ahead = (seq - connection.rcv_nxt) % _WRAP
        if ahead >= _WRAP // 2:
            data, ahead = data[_WRAP - ahead :], 0
        position = len(connection.received) + ahead
        if fin:
            connection.fin_at = position + len(data)
        if data:
            connection.early[position] = max(connection.early.get(position, b""), data, key=len)
        self._join(connection)
        self._send(connection, _ACK, connection.iss + connection.sent, b"")

    def _join(self, connection: Connection) -> None:
        """Move what is in order now to what is received."""
        before = len(connection.received)
        for position in sorted(connection.early):
            if position > len(connection.received):
                break
            data = connection.early.pop(position)
            connection.received += data[len(connection.received) - position :]
        arrived = len(connection.received) - before
        if not connection.ended and connection.fin_at == len(connection.received):
            connection.ended = connection.ending = True
            arrived += 1
        connection.rcv_nxt = (connection.rcv_nxt + arrived) % _WRAP

    # What is sent

    def _send_more(self, connection: Connection) -> None:
        """Send what the window has room for; a closed one is probed when the timer fires."""
        edge = connection.acknowledged + connection.window
        while connection.sent < connection.length and connection.sent < edge:
            self._segment(connection, connection.sent)
        if connection.due is None and connection.acknowledged < connection.length:
            self._start_timer(connection)

    def _segment(self, connection: Connection, at: int, *, again: bool = False) -> None:
        room = max(1, connection.acknowledged + connection.window - at)
        data = connection.data[at : at + min(_MSS, room)]
        last = at + len(data) == len(connection.data) and connection.ending
        flags = _ACK | (_PSH if data else 0) | (_FIN if last else 0)
        self._send(connection, flags, connection.iss + at, data)
        connection.sent = max(connection.sent, at + len(data) + last)
        self.retransmitted += again

    def _start_timer(self, connection: Connection) -> None:
        connection.due = self._clock.now + (_RTO << connection.doublings)
        self._clock.at(connection.due, self.name, "timer", connection.far, connection.port)

    def timer(self, far: Address, port: int) -> None:
        """A connection's retransmission timer: go back to what is not acknowledged."""
        connection = self.connections.get((far, port))
        if connection is None or connection.due is None or self._clock.now < connection.due:
            return
        connection.doublings = min(connection.doublings + 1, _MOST_DOUBLINGS)
        connection.sent, connection.duplicates, connection.due = connection.acknowledged, 0, None
        self._segment(connection, connection.sent, again=True)
        self._send_more(connection)

    def _send(self, connection: Connection, flags: int, seq: int, data: bytes) -> None:
        options = struct.pack(">BBH", 2, 4, _MSS) if flags & _SYN else b""
        header = (connection.port, connection.far[1], seq % _WRAP, connection.rcv_nxt)
        self._send_tcp(connection.far[0], header, flags, options, data)

    def _reset(self, key: tuple[Address, int], seq: int) -> None:
        (address, far_port), port = key
        self._send_tcp(address, (port, far_port, seq, 0), _RST, b"", b"")

    def _send_tcp(
        self, address: bytes, header: tuple[int, int, int, int], flags: int, options: bytes, data: bytes
    ) -> None:
        offset = 20 + len(options) << 2
        segment = struct.pack(">HHIIBBHHH", *header, offset, flags, _WINDOW, 0, 0) + options + data
        total = ~_tcp_sum(ADDRESS, address, segment) & 0xFFFF
        self._send_ip(address, _TCP, segment[:16] + struct.pack(">H", total) + segment[18:])

    def _send_ip(self, address: bytes, protocol: int, body: bytes) -> None:
        header = struct.pack(
            ">BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, 0x4000, 64, protocol, 0, ADDRESS, address
        )
        packet = _with_checksum(header, 10) + body
        self._peer.send(self._lab_station + STATION + _IP + packet)


def _with_checksum(data: bytes, at: int) -> bytes:
    """Return data with its Internet checksum, which is 0 so far, at an offset."""
    return data[:at] + struct.pack(">H", ~ones_complement_sum(data) & 0xFFFF) + data[at + 2 :]


def _tcp_sum(source: bytes, destination: bytes, segment: bytes) -> int:
    return ones_complement_sum(source + destination + struct.pack(">HH", _TCP, len(segment)) + segment)
