"""TCP between the kernel and a peer that scapy speaks."""

import itertools
import random

import pytest
from net_station import OURS, THEIRS, in_process
from scapy.layers.inet import ICMP, IP, TCP
from tcp_peer import TcpPeer, payload, segments

from nooks_lab.kernel.net.sock import SocketError
from nooks_lab.kernel.net.tcp_segment import State


def serve(lab, body, port=80, backlog=128):
    """Start a process that accepts one connection and runs ``body`` on it."""

    def server():
        with lab.kernel.inet.tcp_socket() as listener:
            listener.bind(port)
            listener.listen(backlog)
            with listener.accept(timeout=5) as connection:
                return body(connection)

    thread = lab.kernel.start("server", server)
    lab.run(0.0001)
    return thread


def client(lab, body, port=8080):
    """Run ``body`` on a socket connected to the station."""

    def run():
        with lab.kernel.inet.tcp_socket() as socket:
            socket.connect(THEIRS, port, timeout=60)
            return body(socket)

    return in_process(lab, run)


def receive_all(socket, timeout=30):
    parts = []
    while part := socket.recv(timeout=timeout):
        parts.append(part)
    return b"".join(parts)


def pattern(length):
    return bytes((number * 7 + number // 251) & 0xFF for number in range(length))


def answer(socket, data):
    """An HTTP-like server: a request, an answer, the end."""
    request = socket.recv(timeout=5)
    socket.send(data, timeout=60)
    return request


def test_a_client_fetches_data_through_handshake_and_fin(lab, station, count):
    thread = serve(lab, lambda socket: answer(socket, b"<p>hello</p>"))
    peer = TcpPeer(station, 4000, 80, b"GET /\r\n")
    station.script = peer.take
    peer.connect()
    lab.kernel.wait(thread)
    lab.run(0.01)
    assert thread.result == b"GET /\r\n"
    assert peer.received == b"<p>hello</p>"
    assert peer.closed
    assert not peer.reset
    syn, *rest = station.packets(TCP)
    assert str(syn[TCP].flags) == "SA"
    assert dict(syn[TCP].options)["MSS"] == 1460
    assert all("A" in str(packet[TCP].flags) for packet in rest)
    assert (count("Tcp", "PassiveOpens"), count("Tcp", "CurrEstab"), count("Tcp", "RetransSegs")) == (1, 0, 0)
    (sk,) = lab.kernel.inet.tcp.table.connections()
    assert sk.state == State.TIME_WAIT
    lab.run(1.1)
    assert lab.kernel.inet.tcp.table.connections() == []


def test_every_segment_has_a_checksum_that_scapy_computes_too(lab, station):
    thread = serve(lab, lambda socket: answer(socket, pattern(4001)))
    peer = TcpPeer(station, 4000, 80, b"GET /\r\n")
    station.script = peer.take
    peer.connect()
    lab.kernel.wait(thread)
    lab.run(0.01)
    for packet in station.packets(TCP):
        again = IP(bytes(packet)[: packet.len])
        del again[TCP].chksum
        del again.chksum
        again = IP(bytes(again))
        assert (again[TCP].chksum, again.chksum) == (packet[TCP].chksum, packet.chksum)


def test_the_lab_connects_and_talks(lab, station, count):
    peer = TcpPeer(station, 8080, 0, b"welcome")

    def script(packet):
        peer.lab_port = packet[TCP].sport
        peer.take(packet)

    station.script = script

    def talk(socket):
        greeting = socket.recv(timeout=1)
        socket.send(b"thanks")
        return greeting, socket.getpeername(), socket.getsockname()[0]

    assert client(lab, talk) == (b"welcome", (THEIRS, 8080), OURS)
    lab.run(0.01)
    assert peer.received == b"thanks"
    assert peer.closed
    assert count("Tcp", "ActiveOpens") == 1


@pytest.mark.parametrize("lost_number", [0, 1, 3])
def test_a_lost_segment_is_sent_again(lab, station, count, lost_number):
    seen = []

    def lost(packet):
        if not payload(packet):
            return False
        seen.append(packet[TCP].seq)
        return len(seen) - 1 == lost_number

    thread = serve(lab, lambda socket: answer(socket, pattern(6000)))
    peer = TcpPeer(station, 4000, 80, b"GET /\r\n", lost)
    station.script = peer.take
    peer.connect()
    lab.kernel.wait(thread)
    lab.run(5)
    assert peer.received == pattern(6000)
    assert peer.closed
    assert count("Tcp", "RetransSegs") >= 1


@pytest.mark.parametrize("flags", ["S", "F"])
def test_a_lost_syn_or_fin_is_sent_again(lab, station, flags):
    lost_once = []

    def lost(packet):
        if flags in str(packet[TCP].flags) and not lost_once:
            lost_once.append(packet)
            return True
        return False

    thread = serve(lab, lambda socket: answer(socket, b"data"))
    peer = TcpPeer(station, 4000, 80, b"GET /\r\n", lost)
    station.script = peer.take
    peer.connect()
    lab.kernel.wait(thread)
    lab.run(1)
    assert lost_once
    assert peer.received == b"data"
    assert peer.closed


def test_retransmissions_double_their_distance_and_end(lab, station, count):
    peer = TcpPeer(station, 4000, 80, lost=lambda packet: bool(payload(packet)))
    station.script = peer.take

    def send(socket):
        socket.send(b"into the void")
        with pytest.raises(SocketError, match="does not answer") as raised:
            socket.recv()
        return raised.value.errno

    thread = serve(lab, send)
    peer.connect()
    lab.kernel.wait(thread)
    assert thread.result == 110
    assert count("Tcp", "RetransSegs") == 6
    times = [when for when, frame in lab.peer.received if b"into the void" in frame][-7:]
    steps = [round((b - a) / 17_000_000) for a, b in itertools.pairwise(times)]
    assert steps == [20, 40, 80, 160, 320, 640]


@pytest.mark.parametrize("loss", [0.0, 0.05, 0.2])
def test_a_large_answer_arrives_whole_whatever_is_lost(lab, station, loss):
    data, luck = pattern(60_000), random.Random(7)
    thread = serve(lab, lambda socket: answer(socket, data))
    peer = TcpPeer(station, 4000, 80, b"GET /\r\n", lambda packet: luck.random() < loss)
    station.script = peer.take
    peer.connect()
    lab.kernel.wait(thread)
    for _ in range(120):
        if not peer.closed:
            lab.run(0.5)
    assert peer.received == data
    # The peer repeats nothing; when its FIN was lost, the lab waits for it in vain.
    for sk in lab.kernel.inet.tcp.table.connections():
        peer.send("R", seq=sk.tp.rcv_nxt)


def test_a_large_upload_arrives_whole(lab, station):
    data = pattern(20_000)
    thread = serve(lab, receive_all)
    peer = TcpPeer(station, 4000, 80, data, end_first=True)
    station.script = peer.take
    peer.connect()
    lab.kernel.wait(thread)
    assert thread.result == data


def test_the_peers_segment_size_is_kept(lab, station):
    thread = serve(lab, lambda socket: answer(socket, pattern(3000)))
    peer = TcpPeer(station, 4000, 80, b"GET /\r\n", mss=500)
    station.script = peer.take
    peer.connect()
    lab.kernel.wait(thread)
    lab.run(0.01)
    assert peer.received == pattern(3000)
    assert max(len(payload(packet)) for packet in station.packets(TCP)) == 500


def test_the_peers_window_is_kept(lab, station):
    thread = serve(lab, lambda socket: answer(socket, pattern(5000)))
    peer = TcpPeer(station, 4000, 80, b"GET /\r\n", window=700)
    station.script = peer.take
    peer.connect()
    lab.kernel.wait(thread)
    lab.run(1)
    assert peer.received == pattern(5000)
    assert max(len(payload(packet)) for packet in station.packets(TCP)) == 700


def test_a_closed_window_is_probed_until_it_opens(lab, station):
    thread = serve(lab, lambda socket: answer(socket, b"patience"))
    peer = TcpPeer(station, 4000, 80, b"GET /\r\n", window=0)
    probes = []

    def script(packet):
        is_probe = peer.open and packet[TCP].seq == (peer.ack - 1) % 2**32 and not payload(packet)
        peer.take(packet)
        if is_probe:
            probes.append(lab.machine.clock.now)
            if len(probes) == 3:
                peer.window = 1000
            peer.send("A")

    station.script = script
    peer.connect()
    lab.kernel.wait(thread)
    lab.run(3)
    assert peer.received == b"patience"
    assert len(probes) == 3
    assert probes[2] - probes[1] > 1.5 * (probes[1] - probes[0])


def test_a_closed_window_without_answers_ends_the_connection(lab, station):
    peer = TcpPeer(station, 4000, 80, window=0, lost=lambda packet: peer.open)
    station.script = peer.take

    def send(socket):
        socket.send(b"x")
        with pytest.raises(SocketError) as raised:
            socket.recv()
        return raised.value.errno

    thread = serve(lab, send)
    peer.connect()
    lab.kernel.wait(thread)
    assert thread.result == 110


def test_a_refused_connection_is_an_error(lab, station, count):
    def refuse(packet):
        station.send(TCP(sport=8080, dport=packet[TCP].sport, flags="RA", seq=0, ack=packet[TCP].seq + 1))

    station.script = refuse
    with pytest.raises(SocketError, match="nothing listens") as raised:
        client(lab, lambda socket: None)
    assert raised.value.errno == 111
    assert count("Tcp", "AttemptFails") == 1


def test_a_reset_with_a_wrong_number_refuses_nothing(lab, station):
    peer = TcpPeer(station, 8080, 0, b"welcome")

    def script(packet):
        if not peer.open:
            wrong = packet[TCP].seq + 77
            station.send(TCP(sport=8080, dport=packet[TCP].sport, flags="RA", seq=0, ack=wrong))
        peer.lab_port = packet[TCP].sport
        peer.take(packet)

    station.script = script
    assert client(lab, lambda socket: socket.recv(timeout=1)) == b"welcome"
    lab.run(0.01)


def test_connecting_to_a_host_that_does_not_answer_to_arp(lab, station):
    def connect():
        with lab.kernel.inet.tcp_socket() as socket:
            socket.connect("10.0.0.66", 80)

    with pytest.raises(SocketError, match="does not answer to ARP") as raised:
        in_process(lab, connect)
    assert raised.value.errno == 113


def test_connecting_ends_at_the_timeout(lab, station):
    def connect():
        with lab.kernel.inet.tcp_socket() as socket:
            socket.connect(THEIRS, 80, timeout=0.5)

    began = lab.kernel.timers.jiffies
    with pytest.raises(SocketError, match="does not answer") as raised:
        in_process(lab, connect)
    assert raised.value.errno == 110
    assert lab.kernel.timers.jiffies - began < 60
    assert {segment.seq for segment in segments(station)} == {segments(station)[0].seq}


def test_an_icmp_error_ends_an_attempt(lab, station):
    station.script = lambda packet: station.send(ICMP(type=3, code=0) / bytes(packet)[:28])
    with pytest.raises(SocketError) as raised:
        client(lab, lambda socket: None)
    assert raised.value.errno == 101


def test_both_sides_open_at_once(lab, station):
    state = {}

    def script(packet):
        segment = packet[TCP]
        if str(segment.flags) == "S":
            state["ack"] = segment.seq + 1
            station.send(TCP(sport=8080, dport=segment.sport, flags="S", seq=100, window=5000))
        elif str(segment.flags) == "SA":
            fields = {"sport": 8080, "dport": segment.sport, "seq": 101, "ack": state["ack"]}
            station.send(TCP(flags="A", window=5000, **fields))
            station.send(TCP(flags="FPA", window=5000, **fields) / b"both")
        elif segment.flags.F:
            fields = {"sport": 8080, "dport": segment.sport, "seq": 106, "ack": segment.seq + 1}
            station.send(TCP(flags="A", window=5000, **fields))

    station.script = script
    assert client(lab, receive_all) == b"both"
    lab.run(0.1)
    assert lab.kernel.inet.tcp.table.connections() == []


def test_our_half_may_end_first(lab, station):
    peer = TcpPeer(station, 8080, 0)

    def script(packet):
        peer.lab_port = packet[TCP].sport
        had_ended = peer.peer_ended
        peer.sent_fin = (not had_ended and "F" in str(packet[TCP].flags)) or peer.sent_fin
        peer.take(packet)
        if peer.peer_ended and not had_ended:
            peer.sent_fin = False
            peer.say(b"and one more thing")
            peer.end()

    station.script = script

    def talk(socket):
        socket.send(b"question")
        socket.shutdown()
        with pytest.raises(SocketError) as raised:
            socket.send(b"x")
        return receive_all(socket), raised.value.errno

    assert client(lab, talk) == (b"and one more thing", 32)
    assert peer.received == b"question"


def test_many_connections_at_once(lab, station):
    number = 40

    def echo(connection):
        with connection:
            connection.send(connection.recv(timeout=1).upper())

    def server():
        with lab.kernel.inet.tcp_socket() as listener:
            listener.bind(80)
            listener.listen()
            for _ in range(number):
                echo(listener.accept(timeout=5))

    thread = lab.kernel.start("server", server)
    lab.run(0.0001)
    peers = {4000 + n: TcpPeer(station, 4000 + n, 80, b"hello %d" % n) for n in range(number)}
    station.script = lambda packet: peers[packet[TCP].dport].take(packet)
    for n, peer in enumerate(peers.values()):
        peer.connect()
        if n % 10 == 9:
            lab.run(0.002)
    lab.kernel.wait(thread)
    lab.run(2)
    assert [peer.received for peer in peers.values()] == [b"HELLO %d" % n for n in range(number)]
    assert all(peer.closed for peer in peers.values())


def test_two_processes_of_the_lab_talk_to_each_other(lab, station):
    data = pattern(50_000)
    thread = serve(lab, lambda socket: (receive_all(socket), socket.send(b"received"))[0])

    def talk():
        with lab.kernel.inet.tcp_socket() as socket:
            socket.connect(OURS, 80)
            socket.send(data)
            socket.shutdown()
            return receive_all(socket)

    assert in_process(lab, talk) == b"received"
    lab.kernel.wait(thread)
    assert thread.result == data
    assert station.received == []


def test_initial_sequence_numbers_grow_from_connection_to_connection(lab, station):
    def attempt():
        with lab.kernel.inet.tcp_socket() as socket, pytest.raises(SocketError):
            socket.connect(THEIRS, 1, timeout=0.01)

    for _ in range(3):
        in_process(lab, attempt)
    first, second, third = (segment.seq for segment in segments(station))
    assert (second - first) % 2**32 >= 64_000
    assert (third - second) % 2**32 >= 64_000


def test_a_connections_state_is_in_guest_memory(lab, station):
    peer = TcpPeer(station, 4000, 80)
    station.script = peer.take
    thread = serve(lab, lambda socket: socket.recv(timeout=1))
    peer.connect()
    lab.run(0.001)
    (sk,) = lab.kernel.inet.tcp.table.connections()
    view = lab.kernel.types.view("sock", sk.address)
    assert (view.state, view.num, view.dport) == (State.ESTABLISHED, 80, 4000)
    assert view.tp.rcv_nxt == 1001
    peer.end()
    lab.kernel.wait(thread)
    assert thread.result == b""
