"""Whatever a peer sends, the kernel counts it and goes on."""

import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from net_station import OUR_MAC, OURS, THEIR_MAC, THEIRS
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether

from nooks_lab.kernel.net.checksum import checksum, transport_checksum

MACS = bytes.fromhex((OUR_MAC + THEIR_MAC).replace(":", ""))
OUR_ADDRESS, THEIR_ADDRESS = 0x0A000002, 0x0A000001

hostile = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def victim(lab, station):
    """A kernel with a socket of every kind open; its replies are not answered."""
    inet = lab.kernel.inet
    with inet.udp_socket() as udp, inet.tcp_socket() as listener:
        udp.bind(53)
        listener.bind(80)
        listener.listen(4)
        yield lab
        for sk in inet.tcp.table.connections():
            station.send(TCP(sport=sk.dport, dport=80, flags="R", seq=sk.tp.rcv_nxt))
            lab.run(0.0005)
    for entry in list(inet.arp.entries()):
        if entry.primary_key != THEIR_ADDRESS:
            inet.arp._destroy(entry)
    station.ask_for(OURS)


def arrives(lab, frame):
    lab.peer.send(frame)
    lab.run(0.0001)


def ip(protocol, payload, length=None):
    total = 20 + len(payload) if length is None else length
    header = struct.pack("!BBHHHBBHII", 0x45, 0, total, 1, 0, 64, protocol, 0, THEIR_ADDRESS, OUR_ADDRESS)
    return header[:10] + checksum(header).to_bytes(2, "big") + header[12:] + payload


def test_random_bytes_behind_the_ethernet_header(victim):
    @hostile
    @given(st.sampled_from([b"\x08\x00", b"\x08\x06"]), st.binary(max_size=200))
    def receive(ethertype, data):
        arrives(victim, MACS + ethertype + data)

    receive()


def test_random_payloads_of_every_protocol(victim):
    @hostile
    @given(st.sampled_from([1, 6, 17]), st.binary(max_size=120), st.none() | st.integers(0, 0xFFFF))
    def receive(protocol, data, length):
        arrives(victim, MACS + b"\x08\x00" + ip(protocol, data, length))

    receive()


def test_random_segments_with_a_right_checksum(victim):
    """What only a checksum keeps out above gets in here: any flags, numbers, offsets and options."""

    @hostile
    @given(
        st.integers(1, 3),
        st.integers(0, 0xFFFFFFFF) | st.integers(0, 3),
        st.integers(0, 0xFFFFFFFF),
        st.integers(5, 15),
        st.integers(0, 255),
        st.integers(0, 0xFFFF),
        st.binary(max_size=60),
    )
    def receive(port, seq, ack, offset, flags, window, rest):
        sockets = victim.kernel.inet.tcp.table.connections()
        if sockets and ack % 2:
            seq, ack = sockets[0].tp.rcv_nxt + seq % 4 - 1 & 0xFFFFFFFF, sockets[0].tp.snd_nxt
        segment = struct.pack("!HHIIBBHHH", port, 80, seq, ack, offset << 4, flags, window, 0, 0) + rest
        total = transport_checksum(THEIR_ADDRESS, OUR_ADDRESS, 6, segment)
        segment = segment[:16] + total.to_bytes(2, "big") + segment[18:]
        arrives(victim, MACS + b"\x08\x00" + ip(6, segment))

    receive()


@pytest.mark.parametrize("packet", [ICMP(id=1) / b"data", UDP(dport=53) / b"data", TCP(dport=80) / b"data"])
def test_every_truncation_of_a_good_packet(victim, packet):
    good = bytes(IP(src=THEIRS, dst=OURS) / packet)
    for length in range(len(good)):
        arrives(victim, bytes(Ether(src=THEIR_MAC, dst=OUR_MAC))[:12] + b"\x08\x00" + good[:length])


def test_a_packet_that_claims_to_come_from_ourselves(victim, station):
    """The LAND attack: a listener that answers itself."""
    station.send(TCP(sport=80, dport=80, flags="S"), src=OURS)
    victim.run(0.01)
    assert station.received == []
    assert victim.kernel.inet.tcp.table.connections() == []
