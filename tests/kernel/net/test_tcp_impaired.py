"""TCP over a bad wire, against two other implementations: scapy's segments and the station's own TCP."""

import random
from collections.abc import Callable

import pytest
from impaired_wire import ImpairedWire
from net_station import OURS, THEIRS, Station
from scapy.layers.inet import TCP
from scapy.packet import Packet
from tcp_peer import WRAP, TcpPeer

from nooks_lab.faults import census
from nooks_lab.kernel.sched import Thread
from nooks_lab.lab import Lab
from nooks_lab.station.station import TcpStation

PORT = 7000
IMPAIRMENTS = {
    "loss": (0.12, 0.0, 0.0),
    "duplicates": (0.0, 0.3, 0.0),
    "reordering": (0.0, 0.0, 0.25),
    "all": (0.06, 0.1, 0.1),
}
LIMIT = 90.0
"""Simulated seconds that an exchange may take."""


def server(lab: Lab, answer: bytes, got: list[bytes], connections: int = 1) -> Thread:
    """A process that reads each connection to its end, and then answers."""

    def body() -> None:
        with lab.kernel.inet.tcp_socket() as listener:
            listener.bind(PORT)
            listener.listen()
            for _ in range(connections):
                with listener.accept(timeout=LIMIT) as connection:
                    received = b""
                    while data := connection.recv(timeout=LIMIT):
                        received += data
                    got.append(received)
                    connection.send(answer, timeout=LIMIT)

    thread = lab.kernel.start("server", body)
    thread.detached = True
    lab.run(0.001)
    return thread


def until(lab: Lab, done: Callable[[], bool], tick: Callable[[], None], step: float = 0.01) -> None:
    for _ in range(int(LIMIT / step)):
        lab.run(step)
        tick()
        if done():
            return
    raise AssertionError("the exchange did not end")


class StubbornPeer(TcpPeer):
    """Sends again, at every tick, what has not been acknowledged (go back N)."""

    def __init__(self, *arguments: object, **options: object) -> None:
        self.log: list[tuple[int, str, bytes, dict[str, object]]] = []
        super().__init__(*arguments, **options)
        self.acknowledged = self.seq

    def send(self, flags: str, data: bytes = b"", **fields: object) -> None:
        if data or set(flags) & set("SF"):
            self.log.append((self.seq, flags, data, fields))
        super().send(flags, data, **fields)

    def take(self, packet: Packet) -> None:
        if self.closed:
            # The lab has forgotten the connection, and resets a late duplicate of its last segment.
            return
        if TCP in packet and packet[TCP].dport == self.port and packet[TCP].flags.A:
            ahead = (packet[TCP].ack - self.acknowledged) % WRAP
            if ahead < WRAP // 2:
                self.acknowledged += ahead
        super().take(packet)

    def tick(self) -> None:
        for seq, flags, data, fields in self.log:
            if seq + len(data) + (1 if set(flags) & set("SF") else 0) > self.acknowledged:
                # One only: the rest may be on its way.
                super().send(flags, data, **({"seq": seq % WRAP} | fields))
                return


def payloads(seed: int) -> tuple[bytes, bytes]:
    dice = random.Random(seed)
    return dice.randbytes(30_000), dice.randbytes(40_000)


def settle(lab: Lab, tick: Callable[[], None] = lambda: None) -> None:
    until(lab, lambda: not lab.kernel.inet.tcp.table.connections(), tick, 0.1)
    lab.run(0.1)


@pytest.fixture
def nothing_left(lab):
    lab.run(0.02)
    before = census.take(lab)
    yield
    settle(lab)
    assert not any(census.take(lab).more_than(before).values())


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", IMPAIRMENTS)
def test_scapys_segments_over_a_bad_wire(lab, nothing_left, kind, seed):
    station = Station(lab)
    upload, download = payloads(seed)
    got: list[bytes] = []
    server(lab, download, got)
    peer = StubbornPeer(station, 4000 + seed, PORT, upload, end_first=True)
    station.script = peer.take
    with ImpairedWire(lab, seed, *IMPAIRMENTS[kind]) as wire:
        peer.connect()
        until(lab, lambda: peer.closed, peer.tick)
    assert got == [upload]
    assert peer.received == download
    assert not peer.reset
    assert wire.lost + wire.twice + wire.late > 5


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", IMPAIRMENTS)
def test_the_stations_tcp_over_a_bad_wire(lab, nothing_left, kind, seed):
    station = TcpStation(lab.peer, THEIRS)
    upload, download = payloads(seed)
    got: list[bytes] = []
    server(lab, download, got)
    received = bytearray()
    with ImpairedWire(lab, 100 + seed, *IMPAIRMENTS[kind]) as wire:
        connection = station.connect(OURS, PORT)
        connection.send(upload)
        connection.end()

        def tick() -> None:
            received.extend(connection.read())

        until(lab, lambda: connection.closed, tick)
    assert got == [upload]
    assert bytes(received) == download
    assert not connection.error
    assert wire.lost + wire.twice + wire.late > 5


@pytest.mark.parametrize("limit", [1, 100, 1460])
def test_a_peer_with_a_small_window_gets_it_all(lab, nothing_left, limit):
    station = TcpStation(lab.peer, THEIRS)
    download = random.Random(limit).randbytes(40 * limit)
    server(lab, download, [])
    connection, received = station.connect(OURS, PORT), bytearray()
    connection.limit = limit
    connection.end()

    def tick() -> None:
        received.extend(connection.read())

    until(lab, lambda: connection.closed, tick)
    assert bytes(received) == download


def test_a_thousand_connections_over_a_bad_wire_leave_nothing_behind(lab, nothing_left):
    station = TcpStation(lab.peer, THEIRS)
    count, got = 1000, []
    server(lab, b"answer", got, count)
    done = failed = started = 0
    active = []
    with ImpairedWire(lab, 5, 0.01, 0.02, 0.02):
        while done < count:
            while len(active) < 40 and started < count:
                started += 1
                connection = station.connect(OURS, PORT)
                connection.send(f"request {started}".encode())
                connection.end()
                active.append(connection)
            lab.run(0.005)
            for connection in [each for each in active if each.closed]:
                active.remove(connection)
                done += 1
                failed += connection.read() != b"answer" or bool(connection.error)
        settle(lab)
    assert failed == 0
    assert len(set(got)) == count
