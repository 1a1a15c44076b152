import pytest
from net_station import OURS, THEIRS, in_process
from scapy.layers.inet import ICMP, IP, UDP, IPerror, UDPerror

from nooks_lab.kernel.net.checksum import checksum


def answer(station):
    """Let the station answer echo requests."""

    def script(packet):
        if ICMP in packet and packet[ICMP].type == 8:
            station.send(ICMP(type=0, id=packet[ICMP].id, seq=packet[ICMP].seq) / packet[ICMP].payload)

    station.script = script


def ping(lab, *arguments, **options):
    return in_process(lab, lambda: lab.kernel.inet.ping(*arguments, **options))


@pytest.mark.parametrize("size", [0, 1, 18, 56, 1471, 1472])
def test_an_echo_request_is_answered(lab, station, size):
    data = bytes(number & 0xFF for number in range(size))
    station.send(ICMP(id=0x1234, seq=7) / data)
    lab.run(0.001)
    (reply,) = station.packets(ICMP)
    message = bytes(reply)[20 : reply.len]
    assert (reply[ICMP].type, reply[ICMP].id, reply[ICMP].seq) == (0, 0x1234, 7)
    assert message[8:] == data
    assert checksum(message) == 0


@pytest.mark.parametrize("fields", [{"chksum": 0x1111}, {"type": 3, "code": 3}])
def test_what_needs_no_answer_gets_none(lab, station, fields):
    station.send(ICMP(**fields) / b"data")
    lab.run(0.001)
    assert station.received == []


def test_a_truncated_message_is_counted(lab, station, count):
    station.send(bytes(ICMP(id=1))[:7], proto=1)
    lab.run(0.001)
    assert station.received == []
    assert count("Icmp", "InErrors") == 1


def test_a_broadcast_request_is_not_answered(lab, station, count):
    station.send(ICMP(id=1), dst="10.0.0.255")
    lab.run(0.001)
    assert station.received == []
    assert count("Icmp", "InEchos") == 1


def test_a_port_without_a_socket_is_reported(lab, station, count):
    station.send(UDP(sport=1000, dport=2000) / b"is anybody there?")
    lab.run(0.001)
    (report,) = station.packets(ICMP)
    assert (report[ICMP].type, report[ICMP].code) == (3, 3)
    assert (report[IPerror].src, report[IPerror].dst) == (THEIRS, OURS)
    assert (report[UDPerror].sport, report[UDPerror].dport) == (1000, 2000)
    assert report.len == 20 + 8 + 20 + 8
    assert checksum(bytes(report)[20 : report.len]) == 0
    assert count("Udp", "NoPorts") == 1


def test_a_broadcast_to_a_port_without_a_socket_is_not_reported(lab, station):
    station.send(UDP(sport=1000, dport=2000) / b"x", dst="255.255.255.255")
    lab.run(0.001)
    assert station.received == []


@pytest.mark.parametrize("size", [0, 56, 1472])
def test_ping_measures_the_round_trip(lab, station, size):
    answer(station)
    cycles = ping(lab, THEIRS, size, 3)
    (request,) = station.packets(ICMP)
    assert (request[ICMP].type, request[ICMP].seq, request.len) == (8, 3, 28 + size)
    assert 10_000 < cycles < 10_000_000


def test_ping_returns_none_without_a_reply(lab, station):
    began = lab.kernel.timers.jiffies
    assert ping(lab, THEIRS, timeout=0.5) is None
    assert 50 <= lab.kernel.timers.jiffies - began <= 52


def test_ping_ignores_other_replies(lab, station):
    def script(packet):
        echo = packet[ICMP]
        station.send(ICMP(type=0, id=echo.id + 1, seq=echo.seq) / echo.payload)
        station.send(ICMP(type=0, id=echo.id, seq=echo.seq + 1) / echo.payload)
        station.send(ICMP(type=0, id=echo.id, seq=echo.seq) / b"other data")
        station.send(ICMP(type=0, id=echo.id, seq=echo.seq) / echo.payload, src="10.0.0.5")

    station.script = script
    assert ping(lab, THEIRS, timeout=0.1) is None


def test_ping_ends_early_when_the_host_does_not_answer_to_arp(lab, station):
    assert ping(lab, "10.0.0.50", timeout=60) is None


def test_ping_ends_early_when_a_router_reports_an_error(lab, station):
    station.script = lambda packet: station.send(ICMP(type=3, code=1) / bytes(packet)[:28])
    began = lab.kernel.timers.jiffies
    assert ping(lab, THEIRS, timeout=60) is None
    assert lab.kernel.timers.jiffies - began < 5


def test_two_processes_get_their_own_replies(lab, station):
    answer(station)
    first = lab.kernel.start("ping", lambda: lab.kernel.inet.ping(THEIRS, 10))
    second = lab.kernel.start("ping", lambda: lab.kernel.inet.ping(THEIRS, 1000))
    lab.kernel.wait(first)
    lab.kernel.wait(second)
    assert first.result
    assert second.result


def test_an_error_about_a_packet_that_we_never_sent_is_ignored(lab, station):
    station.send(ICMP(type=3, code=3) / IP(src=OURS, dst=THEIRS) / UDP(sport=7, dport=7))
    station.send(ICMP(type=3, code=3) / IP(src="10.9.9.9", dst=THEIRS) / UDP(sport=7, dport=7))
    station.send(ICMP(type=3, code=3) / b"\x45")
    lab.run(0.001)
    assert station.received == []
