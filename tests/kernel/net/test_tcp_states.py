"""RFC 793's "SEGMENT ARRIVES", segment by segment."""

import pytest
from net_station import OURS, THEIRS, in_process
from scapy.layers.inet import TCP
from scapy.packet import Raw
from tcp_peer import RawClient, payload, segments

from nooks_lab.kernel.net.sock import SocketError
from nooks_lab.kernel.net.tcp_input import MAX_OUT_OF_ORDER
from nooks_lab.kernel.net.tcp_segment import State

DATA = b"0123456789"


@pytest.fixture
def raw(station):
    return RawClient(station)


@pytest.fixture
def listener(lab, station):
    with lab.kernel.inet.tcp_socket() as socket:
        socket.bind(80)
        socket.listen(4)
        yield socket


@pytest.fixture
def connected(lab, listener, raw):
    """A connection in state ESTABLISHED; ``raw`` is its other end."""
    raw.handshake()
    with in_process(lab, listener.accept) as socket:
        yield socket
        if socket.address and socket.sk.state != State.CLOSED:
            raw.send("RA", seq=socket.sk.tp.rcv_nxt)


def read(lab, socket, size=65535):
    return in_process(lab, lambda: socket.recv(size, timeout=0))


def error_of(lab, call):
    with pytest.raises(SocketError) as raised:
        in_process(lab, call)
    return raised.value.errno


# CLOSED and LISTEN


def test_a_syn_for_no_socket_is_reset(raw):
    (reset,) = raw.send("S")
    assert (str(reset.flags), reset.seq, reset.ack) == ("RA", 0, 5001)


def test_data_for_no_socket_is_reset_at_the_acknowledged_number(raw):
    (reset,) = raw.send("PA", DATA, ack=777)
    assert (str(reset.flags), reset.seq) == ("R", 777)


def test_a_reset_is_never_answered(raw):
    assert raw.send("R") == []
    assert raw.send("RA") == []


def test_an_ack_for_a_listener_is_reset(raw, listener):
    (reset,) = raw.send("A", ack=4242)
    assert (str(reset.flags), reset.seq) == ("R", 4242)


def test_a_listener_ignores_resets_and_nonsense(raw, listener):
    assert raw.send("R") == []
    assert raw.send("F") == []
    assert raw.send("") == []


def test_a_full_backlog_drops_syns(lab, station, listener):
    clients = [RawClient(station, port=4000 + number) for number in range(6)]
    answered = [bool(client.send("S")) for client in clients]
    assert answered == [True] * 4 + [False] * 2
    for client in clients[:4]:
        client.send("R", seq=5001)
    assert lab.kernel.inet.tcp.table.connections() == []
    assert clients[4].send("S")


def test_closing_a_listener_resets_who_was_not_accepted(lab, station, raw, listener):
    raw.handshake()
    half_open = RawClient(station, port=4444)
    half_open.send("S")
    station.forget()
    in_process(lab, listener.close)
    lab.run(0.001)
    assert {(str(segment.flags), segment.dport) for segment in segments(station)} == {
        ("RA", 3333),
        ("RA", 4444),
    }
    assert lab.kernel.inet.tcp.table.connections() == []


# SYN-RECEIVED


def test_a_repeated_syn_is_answered_again(raw, listener):
    (first,) = raw.send("S")
    (second,) = raw.send("S")
    assert (first.seq, first.ack, str(second.flags)) == (second.seq, second.ack, "SA")
    raw.send("R", seq=5001)


def test_a_wrong_acknowledgement_of_our_syn_is_reset(lab, raw, listener):
    (answer,) = raw.send("S")
    (reset,) = raw.send("A", seq=5001, ack=answer.seq + 100)
    assert (str(reset.flags), reset.seq) == ("R", answer.seq + 100)
    (sk,) = lab.kernel.inet.tcp.table.connections()
    assert sk.state == State.SYN_RECEIVED
    raw.send("R", seq=5001)


def test_data_with_the_last_step_of_the_handshake_is_taken(lab, raw, listener):
    (answer,) = raw.send("S")
    raw.send("PA", DATA, seq=5001, ack=answer.seq + 1)
    with in_process(lab, listener.accept) as socket:
        assert read(lab, socket) == DATA
        raw.send("R", seq=socket.sk.tp.rcv_nxt)


def test_an_unanswered_syn_received_goes_away(lab, raw, listener):
    raw.send("S")
    lab.run(30)
    assert lab.kernel.inet.tcp.table.connections() == []


# ESTABLISHED


def test_data_out_of_order_are_put_in_order(lab, raw, connected):
    early = raw.send("PA", b"56789", seq=raw.seq + 5)
    assert [answer.ack for answer in early] == [raw.seq]
    (answer,) = raw.send("PA", b"01234")
    assert answer.ack == raw.seq + 10
    assert read(lab, connected) == DATA


@pytest.mark.parametrize(
    "pieces",
    [
        [(0, 10), (0, 10)],
        [(0, 6), (3, 10)],
        [(4, 10), (0, 6)],
        [(6, 8), (2, 10), (0, 4)],
        [(8, 10), (4, 6), (0, 2), (2, 4), (6, 8)],
        [(2, 10), (2, 5), (0, 2)],
        [(2, 5), (2, 10), (0, 3)],
        [(5, 6), (5, 6), (0, 5), (6, 10)],
    ],
)
def test_overlapping_data_are_read_once(lab, raw, connected, pieces):
    for start, end in pieces:
        answers = raw.send("PA", DATA[start:end], seq=raw.seq + start)
    assert answers[-1].ack == raw.seq + 10
    assert read(lab, connected) == DATA


def test_a_fin_that_comes_early_waits_for_its_data(lab, raw, connected):
    raw.send("FPA", b"56789", seq=raw.seq + 5)
    assert connected.sk.state == State.ESTABLISHED
    (answer,) = raw.send("PA", b"01234")
    assert answer.ack == raw.seq + 11
    assert connected.sk.state == State.CLOSE_WAIT
    assert read(lab, connected) == DATA
    assert read(lab, connected) == b""


def test_small_data_share_a_packet(lab, raw, connected):
    for _ in range(50):
        raw.send("PA", b"x" * 20, wait=0.0001)
        raw.seq += 20
    assert connected.sk.receive_queue.qlen == 1
    assert read(lab, connected) == b"x" * 1000


def test_the_window_closes_as_the_buffer_fills_and_opens_when_it_is_read(lab, station, raw, connected):
    total = 0
    for _ in range(40):
        (answer,) = raw.send("PA", bytes(1460))
        total += answer.ack - raw.seq
        raw.seq = answer.ack
        if not answer.window:
            break
    assert answer.window == 0
    assert connected.sk.rmem_alloc == total <= connected.sk.rcvbuf
    (probed,) = raw.send("PA", b"x")
    assert (probed.ack, probed.window) == (raw.seq, 0)
    station.forget()
    assert len(read(lab, connected)) == total
    lab.run(0.001)
    (update,) = segments(station)
    assert update.window >= 2 * 1460


def test_a_segment_outside_of_the_window_is_only_acknowledged(lab, raw, connected):
    for seq in (raw.seq - 20, raw.seq + 40_000, raw.seq - 2**31):
        (answer,) = raw.send("PA", DATA, seq=seq % 2**32)
        assert (str(answer.flags), answer.ack) == ("A", raw.seq)
    assert error_of(lab, lambda: connected.recv(timeout=0)) == 11


def test_an_acknowledgement_of_what_was_never_sent_is_answered(raw, connected):
    (answer,) = raw.send("A", ack=raw.ack + 100)
    assert (str(answer.flags), answer.ack) == ("A", raw.seq)


def test_a_segment_without_ack_is_dropped(lab, raw, connected):
    assert raw.send("P", DATA) == []
    assert error_of(lab, lambda: connected.recv(timeout=0)) == 11


def test_a_reset_ends_the_connection_with_an_error(lab, raw, connected, count):
    raw.send("PA", DATA)
    raw.send("R", seq=raw.seq + 10)
    assert read(lab, connected) == DATA
    assert error_of(lab, lambda: connected.recv(timeout=0)) == 104
    assert read(lab, connected) == b""
    assert error_of(lab, lambda: connected.send(b"x")) == 32
    assert count("Tcp", "EstabResets") == 1


def test_a_reset_outside_of_the_window_is_ignored(lab, raw, connected):
    assert raw.send("R", seq=raw.seq - 10) == []
    assert raw.send("R", seq=raw.seq + 50_000) == []
    assert connected.sk.state == State.ESTABLISHED


def test_a_syn_in_the_window_resets_the_connection(lab, raw, connected):
    answers = raw.send("SA", seq=raw.seq + 10)
    assert "R" in str(answers[-1].flags)
    assert error_of(lab, lambda: connected.recv(timeout=0)) == 104


def test_urgent_data_stay_in_the_stream(lab, raw, connected):
    raw.send("UPA", DATA, urgptr=5)
    assert read(lab, connected) == DATA


def test_too_many_early_packets_are_dropped(lab, raw, connected):
    for number in range(MAX_OUT_OF_ORDER + 10):
        raw.send("PA", b"x", seq=raw.seq + 2 + 2 * number, wait=0.0001)
    assert connected.sk.tp.out_of_order_queue.qlen == MAX_OUT_OF_ORDER


def test_the_third_acknowledgement_without_news_calls_for_the_missing_segment(
    lab, station, raw, connected, count
):
    station.forget()
    in_process(lab, lambda: connected.send(bytes(6 * 536)))
    lab.run(0.0005)
    sent = sorted({segment.seq for segment in segments(station)})
    assert len(sent) == 6
    answers = [raw.send("A", ack=sent[1], wait=0.0002) for _ in range(4)]
    assert [[segment.seq for segment in again] for again in answers] == [[], [], [], [sent[1]]]
    # A partial acknowledgement says that one more is missing; one of everything ends the recovery.
    assert [segment.seq for segment in raw.send("A", ack=sent[3], wait=0.0002)] == [sent[3]]
    assert raw.send("A", ack=sent[5] + 536, wait=0.0002) == []
    assert count("Tcp", "RetransSegs") == 2


# Closing


def test_closing_with_unread_data_resets(lab, station, raw, connected):
    raw.send("PA", DATA)
    station.forget()
    in_process(lab, connected.close)
    lab.run(0.001)
    assert [str(segment.flags) for segment in segments(station)] == ["RA"]


def test_data_after_close_are_reset(lab, raw, connected):
    in_process(lab, connected.close)
    lab.run(0.001)
    (reset,) = raw.send("PA", DATA, ack=raw.ack + 1)
    assert "R" in str(reset.flags)
    assert lab.kernel.inet.tcp.table.connections() == []


def test_both_sides_close_at_once(lab, raw, connected):
    sk = connected.sk
    in_process(lab, connected.close)
    assert sk.state == State.FIN_WAIT_1
    (answer,) = [segment for segment in raw.send("FA") if not segment.flags.F]
    assert (sk.state, answer.ack) == (State.CLOSING, raw.seq + 1)
    raw.send("A", seq=raw.seq + 1, ack=raw.ack + 1)
    assert sk.state == State.TIME_WAIT


def test_time_wait_acknowledges_a_repeated_fin_and_ends(lab, raw, connected):
    sk = connected.sk
    in_process(lab, connected.close)
    raw.send("FA", ack=raw.ack + 1)
    assert sk.state == State.TIME_WAIT
    lab.run(0.8)
    (answer,) = raw.send("FA", ack=raw.ack + 1)
    assert answer.ack == raw.seq + 1
    lab.run(0.8)
    assert lab.kernel.inet.tcp.table.connections() != []
    lab.run(0.3)
    assert lab.kernel.inet.tcp.table.connections() == []


def test_a_new_syn_ends_time_wait(lab, raw, listener, connected):
    in_process(lab, connected.close)
    raw.send("FA", ack=raw.ack + 1)
    (answer,) = raw.send("S", seq=raw.seq + 1000)
    assert str(answer.flags) == "SA"
    raw.send("R", seq=raw.seq + 1001)


def test_fin_wait_2_does_not_last_for_ever(lab, raw, connected):
    sk = connected.sk
    in_process(lab, connected.close)
    raw.send("A", ack=raw.ack + 1)
    assert sk.state == State.FIN_WAIT_2
    lab.run(61)
    assert lab.kernel.inet.tcp.table.connections() == []


def test_close_wait_becomes_last_ack_and_ends(lab, raw, connected):
    sk = connected.sk
    raw.send("FA")
    assert sk.state == State.CLOSE_WAIT
    in_process(lab, connected.close)
    assert sk.state == State.LAST_ACK
    raw.send("A", seq=raw.seq + 1, ack=raw.ack + 1)
    assert lab.kernel.inet.tcp.table.connections() == []


def test_sequence_numbers_wrap(lab, station, listener):
    raw = RawClient(station, port=3334)
    raw.seq = 2**32 - 5
    (answer,) = raw.send("S")
    raw.send("A", seq=2**32 - 4, ack=answer.seq + 1)
    with in_process(lab, listener.accept) as socket:
        raw.send("PA", b"56789", seq=1, ack=answer.seq + 1)
        (reply,) = raw.send("PA", b"01234", seq=2**32 - 4, ack=answer.seq + 1)
        assert reply.ack == 6
        assert read(lab, socket) == DATA
        raw.send("R", seq=6)


# The calls


def test_the_calls_say_what_is_wrong(lab, station, connected):
    inet = lab.kernel.inet
    with inet.tcp_socket() as other:
        assert error_of(lab, other.listen) == 22
        assert error_of(lab, other.accept) == 22
        assert error_of(lab, other.recv) == 107
        assert error_of(lab, lambda: other.send(b"x")) == 32
        assert error_of(lab, other.shutdown) == 107
        assert error_of(lab, lambda: other.bind(80)) == 98
        assert error_of(lab, lambda: other.bind(81, "10.0.0.9")) == 99
        assert error_of(lab, lambda: other.connect("192.168.7.7", 80)) == 101
        assert error_of(lab, lambda: other.connect("10.0.0.255", 80)) == 22
    assert error_of(lab, lambda: connected.connect(THEIRS, 80)) == 106
    assert error_of(lab, lambda: connected.bind(90)) == 22
    assert connected.getsockname() == (OURS, 80)
    assert connected.getpeername() == (THEIRS, 3333)


def test_send_returns_what_fitted_at_the_timeout(lab, raw, connected):
    taken = in_process(lab, lambda: connected.send(bytes(200_000), timeout=0.1))
    assert 0 < taken < 200_000
    assert connected.sk.wmem_queued >= connected.sk.sndbuf


@pytest.mark.parametrize("fields", [{"chksum": 1}, {"dataofs": 4}, {"dataofs": 15}])
def test_an_unsound_segment_is_counted_and_dropped(lab, raw, connected, count, fields):
    assert raw.send("PA", DATA, **fields) == []
    assert count("Tcp", "InErrs") == 1


@pytest.mark.parametrize(
    "options", ["0204", "02", "020405", "0300", "0301", "01010101", "00000000", "020400010"]
)
def test_nonsense_among_the_options_is_survived(lab, station, listener, options):
    data = bytes.fromhex(options.ljust(8, "0")[:8])
    header = TCP(sport=3335, dport=80, flags="S", seq=1, dataofs=6)
    station.send(Raw(bytes(header)[:20] + data), proto=6)
    lab.run(0.001)
    station.forget()
    segment = header / Raw(data)
    station.send(segment)
    lab.run(0.001)
    (answer,) = segments(station)
    assert str(answer.flags) == "SA"
    assert payload(answer) == b""
    station.send(TCP(sport=3335, dport=80, flags="R", seq=2))
    lab.run(0.001)
