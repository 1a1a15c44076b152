"""The host itself: an address, its neighbours, and any number of TCP connections."""

import copy
from ipaddress import IPv4Address
from typing import Any, NamedTuple, Protocol

from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.machine.peer import Peer
from nooks_lab.station.connection import Connection
from nooks_lab.station.frames import (
    ACK,
    ARP_REPLY,
    ARP_REQUEST,
    ECHO,
    ECHO_REPLY,
    FIN,
    ICMP,
    RST,
    SYN,
    TCP,
    WRAP,
    Address,
    EchoMessage,
    TcpSegment,
    read_arp,
    read_echo,
    read_ip,
    read_segment,
    write_arp,
    write_echo,
    write_ip,
    write_segment,
)

MAC = bytes.fromhex("020000000001")
"""Locally administered."""

_FIRST_PORT, _LAST_PORT = 10000, 65000
_ISS_STEP = 64_021
_ARP_PERIOD = CPU_HZ // 5
_LINGER = 2 * CPU_HZ
"""Cycles for which the last acknowledgement of an ended connection can be repeated."""

Key = tuple[Address, int]
"""A connection's far end, and its own port."""


class Service(Protocol):
    """What a port is for."""

    def accepted(self, connection: Connection) -> None:
        """Somebody has asked for a connection; what is sent now goes when it is open."""

    def changed(self, connection: Connection) -> None:
        """Something has come, room has come to write, or an end."""

    def save(self) -> Any:
        """Return the state as plain data."""

    def load(self, state: Any) -> None:
        """Take the state back."""


class _Unsent(NamedTuple):
    """A packet that waits for its receiver's station address."""

    protocol: int
    destination: bytes
    data: bytes


def _nobody(_connection: Connection) -> None:
    """A connection whose user looks at it from time to time."""


class TcpStation:
    """A host of its own on the simulated wire.

    It is a part of the clock of its peer, and of a snapshot; what is due happens by itself.

    Parameters
    ----------
    peer : Peer
        The station's connector.
    address : str
        Its own IP address, in dotted notation.

    Attributes
    ----------
    connections : dict
        Those that have not come to their end, by the far end and the own port.
    services : dict
        By port.
    echoes : list of bytes
        Data of the echo replies that have come.
    heard_at : int
        The cycle at which the last segment came.
    """

    def __init__(self, peer: Peer, address: str = "10.0.0.1") -> None:
        self.name = _name(peer)
        self._peer, self._clock = peer, peer.clock
        self._ip = IPv4Address(address).packed
        self.services: dict[int, Service] = {}
        self.connections: dict[Key, Connection] = {}
        self._ended: dict[Key, tuple[int, Connection]] = {}
        self.echoes: list[bytes] = []
        self.heard_at = 0
        self._neighbours: dict[bytes, bytes] = {}
        self._unsent: list[_Unsent] = []
        self._asked_at = -_ARP_PERIOD
        self._port, self._iss, self._number = _FIRST_PORT, 1, 0
        self._retransmitted = 0
        self._wakes_at: int | None = None
        self._clock.cancel(self.name, "tick")
        self._clock.parts[self.name] = self
        peer.on_frame = self._frame

    @staticmethod
    def on(peer: Peer, address: str = "10.0.0.1") -> "TcpStation":
        """Return the station that there is on a peer, or a new one."""
        there = peer.clock.parts.get(_name(peer))
        return there if isinstance(there, TcpStation) else TcpStation(peer, address)

    @property
    def now(self) -> int:
        """The clock, in cycles."""
        return self._clock.now

    @property
    def retransmitted(self) -> int:
        """Segments that were sent again, on any connection."""
        return self._retransmitted + sum(each.retransmitted for each in self.connections.values())

    def listen(self, port: int, service: Service) -> None:
        """Take connections to a port."""
        self.services[port] = service

    def connect(self, address: str, port: int) -> Connection:
        """Open a connection to another host's port."""
        far = IPv4Address(address).packed, port
        while (far, self._port) in self.connections or (far, self._port) in self._ended:
            self._next_port()
        connection = self._connection(far, self._port)
        self._next_port()
        connection.connect()
        return connection

    def ping(self, address: str, number: int, data: bytes) -> None:
        """Send an echo request."""
        self._send(ICMP, IPv4Address(address).packed, write_echo(EchoMessage(ECHO, 1, number, data)))

    def forget(self) -> None:
        """Drop all connections and echoes without a word."""
        self._retransmitted = self.retransmitted
        self.connections.clear()
        self._ended.clear()
        self.echoes.clear()

    def _next_port(self) -> None:
        self._port = self._port + 1 if self._port < _LAST_PORT else _FIRST_PORT

    def _connection(self, far: Address, port: int) -> Connection:
        self._iss = (self._iss + _ISS_STEP) % WRAP
        connection = self._restored(far, port)
        self.connections[far, port] = connection
        return connection

    def _restored(self, far: Address, port: int) -> Connection:
        service = self.services.get(port)
        changed = service.changed if service is not None else _nobody
        return Connection(port, far, self._iss, self._transmit, lambda: self.now, self._wake, changed)

    def save(self) -> Any:
        """Return every connection's state, and the rest; when it wakes is in the clock's queue."""
        connections = {key: each.state for key, each in self.connections.items()}
        ended = {key: (until, each.state) for key, (until, each) in self._ended.items()}
        services = {port: service.save() for port, service in self.services.items()}
        return copy.deepcopy((connections, ended, services, self._plain()))

    def _plain(self) -> tuple[Any, ...]:
        return (
            self.echoes,
            self.heard_at,
            self._neighbours,
            self._unsent,
            self._asked_at,
            self._port,
            self._iss,
            self._number,
            self._retransmitted,
            self._wakes_at,
        )

    def load(self, saved: Any) -> None:
        """Take back what :meth:`save` returned; a connection that was there then is the same object still."""
        connections, ended, services, plain = copy.deepcopy(saved)
        (
            self.echoes,
            self.heard_at,
            self._neighbours,
            self._unsent,
            self._asked_at,
            self._port,
            self._iss,
            self._number,
            self._retransmitted,
            self._wakes_at,
        ) = plain
        there = self.connections
        self.connections = {key: there.get(key) or self._restored(*key) for key in connections}
        for key, state in connections.items():
            self.connections[key].state = state
        self._ended = {key: (until, self._restored(*key)) for key, (until, _) in ended.items()}
        for key, (_, state) in ended.items():
            self._ended[key][1].state = state
        for port, state in services.items():
            self.services[port].load(state)

    # What is due

    def _wake(self, cycle: int) -> None:
        """Be woken at a cycle; a later one that has been asked for is found again when it comes to it."""
        if self._wakes_at is None or cycle < self._wakes_at:
            self._wakes_at = cycle
            self._clock.at(cycle, self.name, "tick")

    def tick(self) -> None:
        """Event: do what is due: retransmissions, ARP, the end of what has ended."""
        if self._wakes_at is None or self.now < self._wakes_at:
            # An earlier one has done this one's work.
            return
        self._wakes_at = None
        if self._unsent and self.now - self._asked_at >= _ARP_PERIOD:
            self._ask()
        for connection in list(self.connections.values()):
            connection.time_out()
            self._put_away_if_closed(connection)
        for key, (until, _) in list(self._ended.items()):
            if self.now >= until:
                del self._ended[key]
        moments = [each.due for each in self.connections.values() if each.due is not None]
        moments += [until for until, _ in self._ended.values()]
        moments += [self._asked_at + _ARP_PERIOD] if self._unsent else []
        if moments:
            self._wake(min(moments))

    def _put_away_if_closed(self, connection: Connection) -> None:
        key = connection.far, connection.port
        if connection.closed and self.connections.get(key) is connection:
            del self.connections[key]
            self._retransmitted += connection.retransmitted
            if not connection.error:
                self._ended[key] = (self.now + _LINGER, connection)
                self._wake(self.now + _LINGER)

    # Frames

    def _frame(self, peer: Peer, frame: bytes) -> None:
        peer.received.clear()
        arp = read_arp(frame)
        if arp is not None:
            if arp.target_ip == self._ip:
                self._learn(arp.sender_ip, arp.sender)
                if arp.operation == ARP_REQUEST:
                    peer.send(write_arp(ARP_REPLY, MAC, self._ip, arp.sender, arp.sender_ip))
            return
        packet = read_ip(frame)
        if packet is None or packet.destination != self._ip:
            return
        self._learn(packet.source, frame[6:12])
        segment = read_segment(packet)
        if segment is not None:
            self._segment(segment)
            return
        echo = read_echo(packet)
        if echo is not None and echo.kind == ECHO:
            self._send(ICMP, packet.source, write_echo(echo._replace(kind=ECHO_REPLY)))
        elif echo is not None:
            self.echoes.append(echo.data)

    def _learn(self, address: bytes, mac: bytes) -> None:
        self._neighbours[address] = mac
        if self._unsent:
            unsent, self._unsent = self._unsent, []
            for packet in unsent:
                self._send(*packet)

    def _segment(self, segment: TcpSegment) -> None:
        self.heard_at = self.now
        key = segment.source, segment.destination[1]
        connection = self.connections.get(key)
        if connection is not None:
            connection.receive(segment)
            self._put_away_if_closed(connection)
            return
        ended = self._ended.get(key)
        if segment.flags & (SYN | ACK | RST) == SYN and key[1] in self.services:
            self._ended.pop(key, None)
            connection = self._connection(*key)
            self.services[key[1]].accepted(connection)
            connection.accept(segment)
        elif ended is not None and segment.flags & FIN:
            last = ended[1]
            self._say(*key, segment.ack, last.acknowledgement, ACK, last.window)
        elif ended is None and not segment.flags & RST:
            self._refuse(segment)

    def _refuse(self, segment: TcpSegment) -> None:
        """Answer what belongs to no connection (RFC 793, page 36)."""
        far, own = segment.source, segment.destination[1]
        if segment.flags & ACK:
            self._say(far, own, segment.ack, 0, RST, 0)
        else:
            length = len(segment.data) + bool(segment.flags & SYN) + bool(segment.flags & FIN)
            self._say(far, own, 0, segment.seq + length, RST | ACK, 0)

    def _transmit(self, connection: Connection, seq: int, flags: int, data: bytes) -> None:
        ack = connection.acknowledgement if flags & ACK else 0
        self._say(connection.far, connection.port, seq, ack, flags, connection.window, data)

    def _say(
        self, far: Address, own: int, seq: int, ack: int, flags: int, window: int, data: bytes = b""
    ) -> None:
        self._send(TCP, far[0], write_segment((self._ip, own), far, seq, ack, flags, window, data))

    def _send(self, protocol: int, destination: bytes, data: bytes) -> None:
        mac = self._neighbours.get(destination)
        if mac is None:
            self._unsent.append(_Unsent(protocol, destination, data))
            if self.now - self._asked_at >= _ARP_PERIOD:
                self._ask()
            return
        self._number += 1
        self._peer.send(write_ip((MAC, mac), protocol, self._ip, destination, data, self._number))

    def _ask(self) -> None:
        self._asked_at = self.now
        for address in dict.fromkeys(packet.destination for packet in self._unsent):
            self._peer.send(write_arp(ARP_REQUEST, MAC, self._ip, bytes(6), address))
        self._wake(self.now + _ARP_PERIOD)


def _name(peer: Peer) -> str:
    return f"tcp of {peer.name}"
