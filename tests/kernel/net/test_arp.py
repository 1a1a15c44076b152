import pytest
from net_station import OUR_MAC, OURS, THEIR_MAC, THEIRS, in_process
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Ether

from nooks_lab.kernel.net.arp import MAX_ENTRIES, MAX_QUEUED, NUD_REACHABLE, REACHABLE_TIME
from nooks_lab.kernel.net.sock import SocketError


def address(text):
    return int.from_bytes(bytes(map(int, text.split("."))), "big")


def neighbour(lab, text):
    return next((n for n in lab.kernel.inet.arp.entries() if n.primary_key == address(text)), None)


def forget(lab, text):
    """Let an entry that a test has made be dropped, as a full table would."""
    entry = neighbour(lab, text)
    if entry is not None:
        lab.kernel.inet.arp._destroy(entry)


def arps(station):
    return [frame[ARP] for frame in station.received if ARP in frame]


def send_datagram(lab, data, to):
    with lab.kernel.inet.udp_socket() as socket:
        return socket.sendto(data, to, 9)


def test_a_request_for_our_address_is_answered(lab, station):
    station.ask_for(OURS)
    lab.run(0.001)
    (reply,) = arps(station)
    assert (reply.op, reply.psrc, reply.hwsrc) == (2, OURS, OUR_MAC)
    assert (reply.pdst, reply.hwdst) == (THEIRS, THEIR_MAC)
    assert station.received[0][Ether].dst == THEIR_MAC


def test_a_request_for_another_address_is_not_answered(lab, station):
    station.ask_for("10.0.0.3")
    lab.run(0.001)
    assert station.received == []


def test_a_probe_for_our_address_is_answered_and_not_learned(lab, station):
    station.ask_for(OURS, psrc="0.0.0.0")
    lab.run(0.001)
    assert len(arps(station)) == 1
    assert neighbour(lab, "0.0.0.0") is None


def test_a_request_teaches_the_senders_address(lab, station):
    station.ask_for(OURS, psrc="10.0.0.7", hwsrc="02:00:00:00:00:07")
    lab.run(0.001)
    entry = neighbour(lab, "10.0.0.7")
    assert (entry.nud_state, entry.ha[:6].hex(":")) == (NUD_REACHABLE, "02:00:00:00:00:07")
    forget(lab, "10.0.0.7")


def test_an_address_of_another_network_is_not_learned(lab, station):
    station.ask_for(OURS, psrc="192.168.1.1")
    lab.run(0.001)
    assert neighbour(lab, "192.168.1.1") is None


def test_a_reply_that_nobody_asked_for_is_not_learned(lab, station):
    station.ask_for(OURS, op=2, psrc="10.0.0.8")
    lab.run(0.001)
    assert neighbour(lab, "10.0.0.8") is None


def test_packets_wait_for_the_answer_and_the_oldest_make_room(lab, station):
    forget(lab, THEIRS)
    station.arp = False

    def send_all():
        for number in range(MAX_QUEUED + 2):
            send_datagram(lab, bytes([number]), THEIRS)

    in_process(lab, send_all)
    lab.run(0.001)
    (request,) = arps(station)
    assert (request.op, request.pdst, request.psrc) == (1, THEIRS, OURS)
    station.ask_for(OURS, op=2)
    lab.run(0.001)
    sent = [packet[UDP].load for packet in station.packets(UDP)]
    assert sent == [bytes([number]) for number in range(2, MAX_QUEUED + 2)]


def test_resolution_gives_up_after_three_requests(lab, station, count):
    def send_and_wait():
        with lab.kernel.inet.udp_socket() as socket:
            socket.sendto(b"x", "10.0.0.9", 9)
            with pytest.raises(SocketError, match="does not answer to ARP") as raised:
                socket.recvfrom(timeout=10)
            return raised.value.errno

    began = lab.kernel.timers.jiffies
    assert in_process(lab, send_and_wait) == 113
    assert 290 <= lab.kernel.timers.jiffies - began <= 310
    assert [request.pdst for request in arps(station)] == ["10.0.0.9"] * 3
    assert count("Arp", "Failures") == 1
    assert neighbour(lab, "10.0.0.9") is None


def test_an_old_answer_is_asked_for_again(lab, station):
    entry = neighbour(lab, THEIRS)
    entry.confirmed = lab.kernel.timers.jiffies - REACHABLE_TIME - 1
    in_process(lab, lambda: send_datagram(lab, b"x", THEIRS))
    lab.run(0.001)
    assert [request.op for request in arps(station)] == [1]
    assert len(station.packets(UDP)) == 1


def test_the_table_does_not_grow_without_end(lab, station):
    for number in range(MAX_ENTRIES + 20):
        station.ask_for(OURS, psrc=f"10.0.0.{100 + number}")
        lab.run(0.0001)
    assert len(list(lab.kernel.inet.arp.entries())) == MAX_ENTRIES
    assert neighbour(lab, f"10.0.0.{100 + MAX_ENTRIES + 19}") is not None
    for entry in list(lab.kernel.inet.arp.entries()):
        lab.kernel.inet.arp._destroy(entry)
    station.ask_for(OURS)


@pytest.mark.parametrize(
    "fields",
    [{"hwtype": 6}, {"ptype": 0x86DD}, {"hwlen": 8}, {"plen": 16}, {"op": 9}, {"hwsrc": "ff:" * 5 + "ff"}],
)
def test_nonsense_is_counted_and_dropped(lab, station, count, fields):
    station.ask_for(OURS, **fields)
    lab.run(0.001)
    assert station.received == []
    assert count("Arp", "InErrors") == 1


def test_a_broadcast_needs_no_resolution(lab, station):
    in_process(lab, lambda: send_datagram(lab, b"all", "10.0.0.255"))
    lab.run(0.001)
    (frame,) = station.received
    assert (frame[Ether].dst, frame[IP].dst) == ("ff:ff:ff:ff:ff:ff", "10.0.0.255")
