import pytest
from net_station import OURS, THEIRS, in_process
from scapy.layers.inet import ICMP, IP, UDP

from nooks_lab.kernel.net.checksum import transport_checksum
from nooks_lab.kernel.net.sock import SocketError
from nooks_lab.kernel.net.udp import RCVBUF


def as_int(text):
    return int.from_bytes(bytes(map(int, text.split("."))), "big")


def received(lab, station, sends, size=65535, port=5000, **options):
    """Bind a socket, let ``sends`` send, and return what ``recvfrom`` returns."""

    def body():
        with lab.kernel.inet.udp_socket() as socket:
            socket.bind(port)
            sends()
            return socket.recvfrom(size, timeout=0.1)

    return in_process(lab, body)


@pytest.mark.parametrize("size", [0, 1, 100, 1472])
def test_a_datagram_is_sent_with_a_sound_checksum(lab, station, count, size):
    def send():
        with lab.kernel.inet.udp_socket() as socket:
            socket.bind(4000)
            return socket.sendto(bytes(size), THEIRS, 53)

    assert in_process(lab, send) == size
    lab.run(0.001)
    (packet,) = station.packets(UDP)
    datagram = bytes(packet)[20 : packet.len]
    assert (packet[UDP].sport, packet[UDP].dport, packet[UDP].len) == (4000, 53, 8 + size)
    assert transport_checksum(as_int(OURS), as_int(THEIRS), 17, datagram) == 0
    assert count("Udp", "OutDatagrams") == 1


def test_a_checksum_of_zero_is_sent_as_its_other_form(lab, station):
    def send():
        with lab.kernel.inet.udp_socket() as socket:
            socket.bind(4000)
            zero = transport_checksum(as_int(OURS), as_int(THEIRS), 17, bytes.fromhex("0fa00035000a00000000"))
            socket.sendto(zero.to_bytes(2, "big"), THEIRS, 53)

    in_process(lab, send)
    lab.run(0.001)
    assert station.packets(UDP)[0][UDP].chksum == 0xFFFF


@pytest.mark.parametrize("size", [0, 1, 18, 1472])
def test_a_datagram_is_received(lab, station, size):
    data = bytes(number & 0xFF for number in range(size))

    def sends():
        return station.send(UDP(sport=1234, dport=5000) / data)

    assert received(lab, station, sends) == (data, (THEIRS, 1234))


def test_a_datagram_is_cut_off_at_the_buffers_end(lab, station):
    def sends():
        return station.send(UDP(sport=1234, dport=5000) / b"0123456789")

    assert received(lab, station, sends, size=4)[0] == b"0123"


def test_a_checksum_of_zero_is_not_verified(lab, station):
    def sends():
        return station.send(UDP(sport=1234, dport=5000, chksum=0) / b"data")

    assert received(lab, station, sends)[0] == b"data"


@pytest.mark.parametrize("fields", [{"chksum": 0x4242}, {"len": 7}, {"len": 100}])
def test_an_unsound_datagram_is_counted_and_dropped(lab, station, count, fields):
    def sends():
        return station.send(UDP(**({"sport": 1234, "dport": 5000} | fields)) / b"data")

    with pytest.raises(SocketError) as raised:
        received(lab, station, sends)
    assert raised.value.errno == 11
    assert count("Udp", "InErrors") == 1


def test_what_lies_behind_the_length_is_no_data(lab, station):
    def sends():
        return station.send(UDP(sport=1234, dport=5000, len=10, chksum=0) / b"data")

    assert received(lab, station, sends)[0] == b"da"


def test_recvfrom_sleeps_until_a_datagram_comes(lab, station):
    clock = lab.machine.clock

    def body():
        with lab.kernel.inet.udp_socket() as socket:
            socket.bind(5000)
            began = clock.now
            data, _ = socket.recvfrom()
            return data, clock.now - began

    thread = lab.kernel.start("server", body)
    frame = bytes.fromhex("000e0c3344550200000000010800") + bytes(
        IP(src=THEIRS, dst=OURS) / UDP(sport=1, dport=5000) / b"late"
    )
    lab.peer.send_at(clock.now + 50_000_000, frame)
    lab.kernel.wait(thread)
    data, waited = thread.result
    assert data == b"late"
    assert 45_000_000 < waited < 60_000_000


def test_an_echo_server_answers_many(lab, station):
    def body():
        with lab.kernel.inet.udp_socket() as socket:
            socket.bind(7)
            for _ in range(20):
                data, sender = socket.recvfrom(timeout=1)
                socket.sendto(data.upper(), *sender)

    thread = lab.kernel.start("echo", body)
    for number in range(20):
        station.send(UDP(sport=2000 + number, dport=7) / f"hello {number}")
    lab.kernel.wait(thread)
    lab.run(0.001)
    answers = {packet[UDP].dport: packet[UDP].load for packet in station.packets(UDP)}
    assert answers == {2000 + number: f"HELLO {number}".encode() for number in range(20)}


def test_a_broadcast_reaches_the_port(lab, station):
    def sends():
        return station.send(UDP(sport=68, dport=5000) / b"all", dst="10.0.0.255")

    assert received(lab, station, sends)[0] == b"all"


def test_a_refused_datagram_is_an_error_of_the_next_call(lab, station):
    station.script = lambda packet: station.send(ICMP(type=3, code=3) / bytes(packet)[:28])

    def body():
        with lab.kernel.inet.udp_socket() as socket:
            socket.sendto(b"x", THEIRS, 9)
            socket.recvfrom(timeout=1)

    with pytest.raises(SocketError, match="nothing listens") as raised:
        in_process(lab, body)
    assert raised.value.errno == 111


def test_a_full_socket_drops_datagrams(lab, station, count):
    def body():
        with lab.kernel.inet.udp_socket() as socket:
            socket.bind(5000)
            with lab.kernel.inet.udp_socket() as timer:
                for _ in range(50):
                    station.send(UDP(sport=1, dport=5000) / bytes(1000))
                with pytest.raises(SocketError):
                    timer.recvfrom(timeout=0.02)
            return socket.sk.rmem_alloc

    assert 0 < in_process(lab, body) <= RCVBUF
    assert 0 < count("Udp", "InErrors") < 50


def test_a_port_belongs_to_one_socket(lab, station):
    def body():
        with lab.kernel.inet.udp_socket() as first, lab.kernel.inet.udp_socket() as second:
            first.bind(5000)
            second.bind(5000)

    with pytest.raises(SocketError, match="bound to UDP port 5000"):
        in_process(lab, body)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [((5000, "10.0.0.77"), "10.0.0.77 is not an address"), ((70000,), "70000 is no port")],
)
def test_a_wrong_address_is_one_clear_sentence(lab, station, arguments, sentence):
    def body():
        with lab.kernel.inet.udp_socket() as socket:
            socket.bind(*arguments)

    with pytest.raises(SocketError, match=sentence):
        in_process(lab, body)


def test_the_kernel_chooses_different_ports(lab, station):
    def body():
        with lab.kernel.inet.udp_socket() as first, lab.kernel.inet.udp_socket() as second:
            first.bind(0)
            second.bind(0)
            return first.getsockname()[1], second.getsockname()[1]

    first, second = in_process(lab, body)
    assert first != second
    assert first >= 32768


def test_closing_wakes_who_waits(lab, station):
    socket = lab.kernel.inet.udp_socket()
    socket.bind(5000)

    def wait():
        with pytest.raises(SocketError, match="closed while a process waited") as raised:
            socket.recvfrom()
        return raised.value.errno

    thread = lab.kernel.start("reader", wait)
    lab.run(0.02)
    in_process(lab, socket.close)
    lab.kernel.wait(thread)
    assert thread.result == 9


def test_a_signal_interrupts_the_wait(lab, station):
    def wait():
        with lab.kernel.inet.udp_socket() as socket:
            socket.recvfrom()

    def guarded():
        with pytest.raises(SocketError, match="signal") as raised:
            wait()
        return raised.value.errno

    thread = lab.kernel.start("reader", guarded)
    lab.run(0.02)
    thread.task.sigpending = 1
    lab.kernel.sched.wake_up_process(thread.task.address)
    lab.kernel.wait(thread)
    assert thread.result == 4


def test_waiting_outside_of_a_process_is_refused(lab, station):
    with lab.kernel.inet.udp_socket() as socket, pytest.raises(RuntimeError, match=r"kernel\.in_task"):
        socket.recvfrom()


def test_a_closed_socket_is_of_no_use(lab, station):
    socket = lab.kernel.inet.udp_socket()
    socket.close()
    socket.close()
    with pytest.raises(SocketError, match="socket is closed"):
        socket.bind(5000)
