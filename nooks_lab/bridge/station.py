"""The station at the far end of a wire: an address, ARP, and any number of TCP connections to the simulated PC."""

from collections.abc import Callable
from ipaddress import IPv4Address

from nooks_lab.bridge.connection import Connection
from nooks_lab.bridge.packets import (
    ACK,
    ARP_REPLY,
    ARP_REQUEST,
    FIN,
    RST,
    SYN,
    WRAP,
    TcpSegment,
    read_arp,
    read_segment,
    write_arp,
    write_segment,
)
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.machine.peer import Peer

MAC = bytes.fromhex("020000000001")
"""Locally administered."""

_FIRST_PORT, _LAST_PORT = 10000, 65000
_ISS_STEP = 64_021
_ARP_PERIOD = CPU_HZ // 5
_LINGER = 2 * CPU_HZ
"""Cycles for which the last acknowledgement of an ended connection can be repeated."""


def _nobody(_connection: Connection) -> None:
    pass


class TcpStation:
    """A host of its own on the simulated wire.

    Nothing happens by itself: what arrives is handled as it comes, and :meth:`tick` does what is due.

    Parameters
    ----------
    peer : Peer
        The station's connector.
    address, pc : str
        Its own IP address, and that of the simulated PC, in dotted notation.
    """

    def __init__(self, peer: Peer, address: str = "10.0.0.1", pc: str = "10.0.0.2") -> None:
        self._peer = peer
        self._ip, self._pc = IPv4Address(address).packed, IPv4Address(pc).packed
        self._pc_mac = b""
        self._waiting: list[tuple[int, int, int, int, int, int, bytes]] = []
        self._asked_at = -_ARP_PERIOD
        self._port, self._iss, self._identification = _FIRST_PORT, 1, 0
        self.connections: dict[int, Connection] = {}
        self._ended: dict[int, tuple[int, Connection]] = {}
        peer.on_frame = self._frame

    @property
    def now(self) -> int:
        """The clock, in cycles."""
        return self._peer.clock.now

    def connect(self, port: int, changed: Callable[[Connection], None] = _nobody) -> Connection:
        """Open a connection to a port of the PC's; it is told to ``changed`` what becomes of it."""

        def transmit(connection: Connection, seq: int, flags: int, data: bytes) -> None:
            ack = connection.rcv_nxt if flags & ACK else 0
            self._send(connection.port, port, seq, ack, flags, connection.window, data)

        while self._port in self.connections or self._port in self._ended:
            self._next_port()
        own = self._port
        self._next_port()
        self._iss = (self._iss + _ISS_STEP) % WRAP
        connection = Connection(own, self._iss, transmit, lambda: self.now, changed)
        self.connections[own] = connection
        return connection

    def _next_port(self) -> None:
        self._port = self._port + 1 if self._port < _LAST_PORT else _FIRST_PORT

    def tick(self) -> None:
        """Do what is due: retransmissions, ARP, the end of what has ended."""
        if self._waiting and self.now - self._asked_at >= _ARP_PERIOD:
            self._ask()
        for connection in list(self.connections.values()):
            connection.tick()
            if connection.closed:
                del self.connections[connection.port]
                if not connection.error:
                    self._ended[connection.port] = (self.now + _LINGER, connection)
        for port, (until, _) in list(self._ended.items()):
            if self.now >= until:
                del self._ended[port]

    # Frames

    def _frame(self, peer: Peer, frame: bytes) -> None:
        peer.received.clear()
        arp = read_arp(frame)
        if arp is not None:
            if arp.sender_ip == self._pc:
                self._pc_mac = arp.sender
                self._send_waiting()
            if arp.operation == ARP_REQUEST and arp.target_ip == self._ip:
                peer.send(write_arp(ARP_REPLY, MAC, self._ip, arp.sender, arp.sender_ip))
            return
        segment = read_segment(frame)
        if segment is not None and segment.destination[0] == self._ip:
            self._segment(segment)

    def _segment(self, segment: TcpSegment) -> None:
        port = segment.destination[1]
        connection = self.connections.get(port)
        if connection is not None:
            connection.receive(segment)
            return
        ended = self._ended.get(port)
        if ended is not None and segment.flags & FIN:
            connection = ended[1]
            self._send(port, segment.source[1], segment.ack, connection.rcv_nxt, ACK, connection.window, b"")
        elif ended is None and not segment.flags & RST:
            self._refuse(segment)

    def _refuse(self, segment: TcpSegment) -> None:
        """Answer what belongs to no connection (RFC 793, page 36)."""
        own, port = segment.destination[1], segment.source[1]
        if segment.flags & ACK:
            self._send(own, port, segment.ack, 0, RST, 0, b"")
        else:
            length = len(segment.data) + bool(segment.flags & SYN) + bool(segment.flags & FIN)
            self._send(own, port, 0, segment.seq + length, RST | ACK, 0, b"")

    def _send(self, own: int, port: int, seq: int, ack: int, flags: int, window: int, data: bytes) -> None:
        packet = (own, port, seq, ack, flags, window, data)
        if not self._pc_mac:
            self._waiting.append(packet)
            if self.now - self._asked_at >= _ARP_PERIOD:
                self._ask()
            return
        self._put(*packet)

    def _put(self, own: int, port: int, seq: int, ack: int, flags: int, window: int, data: bytes) -> None:
        self._identification += 1
        frame = write_segment(
            (MAC, self._pc_mac),
            (self._ip, own),
            (self._pc, port),
            seq,
            ack,
            flags,
            window,
            data,
            self._identification,
        )
        self._peer.send(frame)

    def _ask(self) -> None:
        self._asked_at = self.now
        self._peer.send(write_arp(ARP_REQUEST, MAC, self._ip, bytes(6), self._pc))

    def _send_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for packet in waiting:
            self._put(*packet)
