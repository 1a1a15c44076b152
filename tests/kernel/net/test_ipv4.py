import struct

import pytest
from net_station import OUR_MAC, OURS, THEIR_MAC, THEIRS, in_process
from scapy.layers.inet import ICMP, IP, IPOption
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from nooks_lab.kernel.net.checksum import checksum
from nooks_lab.kernel.net.sock import SocketError

ECHO = ICMP(id=1, seq=1) / b"data"


@pytest.mark.parametrize("name", ["iphdr", "icmphdr", "udphdr", "tcphdr"])
def test_python_unpacks_headers_as_large_as_the_compilers(lab, name):
    from nooks_lab.kernel.net import icmp, ipv4, tcp_segment, udp

    module = {"iphdr": ipv4, "icmphdr": icmp, "udphdr": udp, "tcphdr": tcp_segment}[name]
    assert module._HEADER.size == lab.kernel.types.size(name)


@pytest.mark.parametrize("length", [0, 1, 2, 19, 20, 1499])
def test_the_checksum_is_scapys(length):
    from scapy.utils import checksum as scapy_checksum

    data = bytes(range(256)) * 6
    assert checksum(data[:length]) == scapy_checksum(data[:length])


@pytest.mark.parametrize(
    ("fields", "counter"),
    [
        ({"chksum": 0x1234}, "InHdrErrors"),
        ({"version": 6}, "InHdrErrors"),
        ({"ihl": 4}, "InHdrErrors"),
        ({"ihl": 15}, "InHdrErrors"),
        ({"len": 19}, "InHdrErrors"),
        ({"len": 1400}, "InHdrErrors"),
        ({"dst": "10.0.0.3"}, "InAddrErrors"),
        ({"src": "10.0.0.255"}, "InAddrErrors"),
        ({"src": "224.0.0.1"}, "InAddrErrors"),
        ({"src": "127.0.0.1"}, "InAddrErrors"),
        ({"src": OURS}, "InAddrErrors"),
        ({"flags": "MF"}, "ReasmFails"),
        ({"frag": 10}, "ReasmFails"),
        ({"proto": 99}, "InUnknownProtos"),
    ],
)
def test_a_bad_header_is_counted_and_dropped(lab, station, count, fields, counter):
    station.send(ECHO, **fields)
    lab.run(0.001)
    assert station.received == []
    assert count("Ip", counter) == 1
    assert count("Ip", "InReceives") == 1


def test_options_are_skipped(lab, station):
    station.send(ECHO, options=[IPOption(b"\x01\x01\x01\x00")])
    lab.run(0.001)
    (reply,) = station.packets(ICMP)
    assert reply[ICMP].type == 0


def test_ethernets_padding_is_no_data(lab, station):
    station.send_frame(
        Ether(src=THEIR_MAC, dst=OUR_MAC) / IP(src=THEIRS, dst=OURS) / ICMP(id=1, seq=1) / Raw(b"")
    )
    lab.run(0.001)
    (reply,) = station.packets(ICMP)
    assert reply.len == 28


def test_what_is_sent_has_a_sound_header(lab, station):
    for _ in range(2):
        station.send(ECHO)
    lab.run(0.001)
    first, second = station.packets(ICMP)
    assert (first.version, first.ihl, first.ttl, first.src, first.dst) == (4, 5, 64, OURS, THEIRS)
    assert checksum(bytes(first)[:20]) == 0
    assert second.id == first.id + 1


def test_a_packet_beyond_the_mtu_is_refused(lab, station, count):
    with pytest.raises(SocketError, match="MTU") as raised:
        in_process(lab, lambda: lab.kernel.inet.ping(THEIRS, 1473))
    assert raised.value.errno == 90
    assert count("Ip", "FragFails") == 1


def test_a_destination_without_a_route_is_refused(lab, station, count):
    with pytest.raises(SocketError, match="no interface leads"):
        in_process(lab, lambda: lab.kernel.inet.ping("192.168.1.1"))
    assert count("Ip", "OutNoRoutes") == 1


def test_other_networks_are_reached_through_the_gateway(lab, station):
    station.script = lambda packet: station.send(
        ICMP(type=0, id=packet[ICMP].id, seq=packet[ICMP].seq) / packet[ICMP].payload, src=packet.dst
    )
    lab.kernel.inet.configure("eth0", OURS, "255.255.255.0", gateway=THEIRS)
    assert in_process(lab, lambda: lab.kernel.inet.ping("192.168.1.1"))
    assert station.received[0][Ether].dst == THEIR_MAC
    lab.kernel.inet.configure("eth0", OURS, "255.255.255.0")


def test_a_device_that_is_down_refuses_packets(lab, station):
    lab.kernel.ifconfig_down("eth0")
    with pytest.raises(SocketError, match="device is down"):
        in_process(lab, lambda: lab.kernel.inet.ping(THEIRS))
    lab.kernel.ifconfig_up("eth0")
    lab.run(0.05)


def test_packets_to_ourselves_do_not_leave(lab, station):
    assert in_process(lab, lambda: lab.kernel.inet.ping(OURS))
    assert station.received == []


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        (("eth7", OURS, "255.255.255.0"), LookupError, "no network device eth7"),
        (("eth0", "10.0.0", "255.255.255.0"), ValueError, "10.0.0"),
        (("eth0", OURS, "255.0.255.0"), ValueError, "255.0.255.0"),
    ],
)
def test_a_wrong_configuration_is_one_clear_sentence(lab, arguments, error, sentence):
    with pytest.raises(error, match=sentence):
        lab.kernel.inet.configure(*arguments)


def test_the_address_survives_its_driver(lab, station):
    lab.kernel.ifconfig_down("eth0")
    lab.kernel.rmmod("e1000")
    with pytest.raises(SocketError, match="no interface leads"):
        in_process(lab, lambda: lab.kernel.inet.ping(THEIRS))
    lab.insmod("e1000")
    lab.kernel.ifconfig_up("eth0")
    lab.run(0.05)
    station.send(ECHO)
    lab.run(0.001)
    assert len(station.packets(ICMP)) == 1


def test_a_corrupted_length_faults_as_machine_code_would(lab):
    from nooks_lab.kernel.kernel import Panic

    # The memory that the packet claims ends with RAM: the softirq's fault is a panic, not a traceback.
    def receive():
        skb = lab.kernel.skbs.make(bytes(60))
        view = lab.kernel.skbs.view(skb)
        view.dev, view.len = lab.kernel.net.by_name("eth0").address, 0x7FFFFFFF
        view.protocol, view.mac.raw = struct.unpack("<H", b"\x08\x00")[0], view.data
        with lab.kernel.inet.icmp._bh:
            lab.kernel.net.netif_rx(skb)

    snapshot = lab.machine.save()
    with pytest.raises(Panic, match="Aiee"):
        lab.kernel.in_task("driver", receive)
    assert "Unable to handle kernel paging request" in lab.dmesg()
    lab.machine.load(snapshot)
