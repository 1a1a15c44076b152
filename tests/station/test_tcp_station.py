"""The station's TCP: whatever arrives, in whatever order, it takes each byte once, and says nothing to nonsense."""

import struct

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from nooks_lab.machine.clock import CPU_HZ, Clock
from nooks_lab.machine.peer import Peer
from nooks_lab.machine.wire import Wire
from nooks_lab.station.connection import Connection
from nooks_lab.station.station import MAC, TcpStation
from nooks_lab.workloads import stream_services
from nooks_lab.workloads.stream_services import SINK, SOURCE

LAB, LAB_MAC, FAR = "10.0.0.2", "00:0e:0c:33:44:55", "10.0.0.1"
DATA = bytes(range(256)) * 40


class Other:
    """The lab's end of the wire, played by scapy."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.lab, far = Peer("lab", self.clock), Peer("far", self.clock)
        Wire(self.lab, far)
        self.station = TcpStation(far)
        self.sink, self.source = stream_services.listen(self.station)

    def run(self, seconds: float = 0.001) -> None:
        until = self.clock.now + int(seconds * CPU_HZ)
        while (event := self.clock.next_event()) is not None and event <= until:
            self.clock.advance(max(0, event - self.clock.now))
            self.clock.run_due()
        self.clock.advance(max(0, until - self.clock.now))

    def say(self, packet: Packet) -> list[Packet]:
        self.lab.received.clear()
        self.lab.send(bytes(Ether(src=LAB_MAC, dst=MAC.hex(":")) / packet))
        self.run()
        return self.heard()

    def heard(self) -> list[Packet]:
        return [Ether(frame) for _, frame in self.lab.received]

    def tcp(
        self, port: int, flags: str, seq: int, ack: int = 0, data: bytes = b"", window: int = 65535
    ) -> list[Packet]:
        segment = TCP(sport=4000, dport=port, flags=flags, seq=seq % 2**32, ack=ack % 2**32, window=window)
        return [heard[TCP] for heard in self.say(IP(src=LAB, dst=FAR) / segment / Raw(data)) if TCP in heard]

    def connect(self, port: int, seq: int = 100) -> int:
        (answer,) = self.tcp(port, "S", seq)
        assert str(answer.flags) == "SA"
        assert answer.ack == (seq + 1) % 2**32
        self.tcp(port, "A", seq + 1, answer.seq + 1)
        return int(answer.seq) + 1

    @property
    def connection(self) -> Connection:
        return self.station.connections[(bytes((10, 0, 0, 2)), 4000), SINK]


def payload(segment: TCP) -> bytes:
    ip = segment.underlayer
    return bytes(segment)[segment.dataofs * 4 : ip.len - ip.ihl * 4]


def test_arp_and_echo_are_answered() -> None:
    other = Other()
    (reply,) = other.say(ARP(op=1, hwsrc=LAB_MAC, psrc=LAB, pdst=FAR))
    assert (reply[ARP].op, reply[ARP].hwsrc, reply[ARP].pdst) == (2, MAC.hex(":"), LAB)
    assert other.say(ARP(op=1, hwsrc=LAB_MAC, psrc=LAB, pdst="10.0.0.9")) == []
    (echo,) = other.say(IP(src=LAB, dst=FAR) / ICMP(type=8, id=7, seq=3) / Raw(DATA[:600]))
    assert (echo[ICMP].type, echo[ICMP].id, echo[ICMP].seq, bytes(echo[Raw])) == (0, 7, 3, DATA[:600])


@given(st.lists(st.tuples(st.integers(0, 4999), st.integers(1, 1460)), max_size=30), st.randoms())
def test_the_sink_takes_every_byte_once_in_whatever_order(pieces: list[tuple[int, int]], dice) -> None:
    other = Other()
    data = DATA[:5000]
    first = 2**32 - 2000
    seq = first + 1
    ours = other.connect(SINK, first)
    whole = [(at, 1000) for at in range(0, 5000, 1000)] + pieces
    dice.shuffle(whole)
    for at, length in whole:
        other.tcp(SINK, "PA", seq + at, ours, data[at : at + length])
    answers = other.tcp(SINK, "FA", seq + 5000, ours)
    assert other.sink.streams == [data]
    assert other.connection.ended
    assert answers[0].ack == (seq + 5001) % 2**32
    assert str(answers[-1].flags) == "FA"


def test_the_source_sends_all_and_goes_back_to_what_was_lost() -> None:
    other = Other()
    other.source.data = DATA
    (answer,) = other.tcp(SOURCE, "S", 100)
    got = bytearray()
    iss = int(answer.seq) + 1
    ended = False
    sent = other.tcp(SOURCE, "A", 101, iss, window=4000)
    for number in range(200):
        for segment in sent:
            at = (segment.seq - iss) % 2**32
            # Every fifth segment is lost on its way.
            if at == len(got) and (number % 5 or not payload(segment)):
                got += payload(segment)
                ended = ended or "F" in str(segment.flags)
        if ended:
            break
        sent = other.tcp(SOURCE, "A", 101, iss + len(got), window=4000)
        if not sent:
            other.lab.received.clear()
            other.run(4)
            sent = [heard[TCP] for heard in other.heard()]
    assert bytes(got) == DATA
    assert ended
    assert other.station.retransmitted > 0


def test_a_connection_to_another_port_is_reset() -> None:
    (answer,) = Other().tcp(80, "S", 100)
    assert "R" in str(answer.flags)


@given(st.binary(max_size=200), st.integers(0, 255), st.booleans())
def test_nonsense_is_no_traceback(body: bytes, protocol: int, checksummed: bool) -> None:
    other = Other()
    packet = bytes(IP(src=LAB, dst=FAR, proto=protocol) / Raw(body))
    if not checksummed:
        packet = packet[:10] + struct.pack(">H", 0xBEEF) + packet[12:]
    frame = MAC + bytes.fromhex("000e0c334455") + b"\x08\x00" + packet
    other.lab.send(frame)
    other.lab.send(MAC + bytes.fromhex("000e0c334455") + body)
    other.run()
