"""The wire, the scripted peer, and two clocks kept in step."""

from dataclasses import dataclass

import pytest

from nooks_lab.machine.clock import Clock
from nooks_lab.machine.ethernet import (
    arrival_cycles,
    insert_tag,
    is_tagged,
    line_cycles,
    ones_complement_sum,
    strip_tag,
    tag_of,
)
from nooks_lab.machine.peer import Peer
from nooks_lab.machine.wire import LATENCY, Loss, Wire, run_joined

STEP = 300


@dataclass
class PeerMachine:
    """A clock with one peer, run in instructions of a few hundred cycles as a CPU would be."""

    clock: Clock
    peer: Peer
    furthest_ahead: int = 0
    other: "PeerMachine | None" = None

    @property
    def now(self) -> int:
        return self.clock.now

    def run_until(self, cycle: int) -> None:
        while self.clock.now < cycle:
            self.clock.advance(STEP)
            self.clock.run_due()
        if self.other:
            self.furthest_ahead = max(self.furthest_ahead, self.clock.now - self.other.now)


def peer_machine(name: str) -> PeerMachine:
    clock = Clock()
    return PeerMachine(clock, Peer(name, clock))


def pump(clock: Clock) -> None:
    while (when := clock.next_event()) is not None:
        clock.advance(max(0, when - clock.now))
        clock.run_due()


def test_line_time_is_that_of_gigabit_ethernet() -> None:
    assert line_cycles(1514) == pytest.approx(1538 * 8 * 1.7, abs=1)
    assert line_cycles(10) == line_cycles(60) == pytest.approx(84 * 8 * 1.7, abs=1)
    assert line_cycles(60) - arrival_cycles(60) == pytest.approx(12 * 8 * 1.7, abs=1)


def test_frames_queue_for_the_line() -> None:
    clock = Clock()
    first, second = Peer("first", clock), Peer("second", clock)
    Wire(first, second, latency=500)
    first.send(b"a" * 60)
    first.send(b"b" * 1514)
    second.send(b"c" * 60)
    pump(clock)
    assert first.received == [(arrival_cycles(60) + 500, b"c" * 60)]
    assert second.received == [
        (arrival_cycles(60) + 500, b"a" * 60),
        (line_cycles(60) + arrival_cycles(1514) + 500, b"b" * 1514),
    ]


def test_a_peer_sends_by_its_script_and_answers() -> None:
    clock = Clock()
    asker = Peer("asker", clock)
    answerer = Peer("answerer", clock, on_frame=lambda peer, frame: peer.send(frame[::-1]))
    Wire(asker, answerer)
    asker.send_at(10_000, bytes(range(64)))
    pump(clock)
    assert answerer.received[0][0] == 10_000 + arrival_cycles(64) + LATENCY
    assert asker.received == [(10_000 + 2 * (arrival_cycles(64) + LATENCY), bytes(range(64))[::-1])]


def test_a_peer_without_a_wire_says_so() -> None:
    with pytest.raises(RuntimeError, match="peer 'lonely' is not connected to a wire"):
        Peer("lonely", Clock()).send(b"hello")


def test_a_wire_without_latency_is_refused() -> None:
    clock = Clock()
    with pytest.raises(ValueError, match="latency 0"):
        Wire(Peer("first", clock), Peer("second", clock), latency=0)


def test_frames_in_flight_survive_a_snapshot() -> None:
    clock = Clock()
    first, second = Peer("first", clock), Peer("second", clock)
    Wire(first, second)
    first.send(b"a" * 60)
    first.send(b"b" * 60)
    saved = clock.save(), first.save(), second.save()
    pump(clock)
    before = list(second.received)
    clock.load(saved[0])
    first.load(saved[1])
    second.load(saved[2])
    assert second.received == []
    pump(clock)
    assert second.received == before


def joined(rounds: int) -> tuple[PeerMachine, PeerMachine]:
    """Let two machines play ping-pong for some rounds, and send other frames between."""
    one, two = peer_machine("one"), peer_machine("two")
    one.other, two.other = two, one
    wire = Wire(one.peer, two.peer)
    one.peer.on_frame = two.peer.on_frame = lambda peer, frame: peer.send(frame + b"!")
    one.peer.send_at(1_000, b"ping".ljust(60, b"."))
    two.peer.send_at(1_500, b"pong".ljust(60, b"."))
    run_joined((one, two), rounds * (wire.lookahead + STEP), wire.lookahead)
    assert max(one.furthest_ahead, two.furthest_ahead) <= wire.lookahead + STEP
    return one, two


def test_two_clocks_are_kept_in_step() -> None:
    one, two = joined(20)
    for machine in (one, two):
        times = [when for when, _ in machine.peer.received]
        assert len(times) > 10
        assert times == sorted(times)
    shortest = arrival_cycles(60) + LATENCY
    assert all(
        shortest <= answer - question < shortest + 2 * STEP
        for (question, asked) in one.peer.received
        for (answer, answered) in two.peer.received
        if answered == asked + b"!"
    )


def test_joined_runs_are_deterministic() -> None:
    assert [machine.peer.received for machine in joined(15)] == [
        machine.peer.received for machine in joined(15)
    ]


def test_a_machine_that_stands_still_is_named() -> None:
    @dataclass
    class Stuck:
        now: int = 7

        def run_until(self, cycle: int) -> None:
            pass

    with pytest.raises(RuntimeError, match="joined machine 0 stopped at cycle 7 of 10"):
        run_joined([Stuck()], 10, 100)


def test_tags_and_sums() -> None:
    frame = bytes(range(60))
    tagged = insert_tag(frame, 0x8100, 0x2005)
    assert is_tagged(tagged, 0x8100)
    assert not is_tagged(frame, 0x8100)
    assert tag_of(tagged) == 0x2005
    assert strip_tag(tagged) == frame
    assert ones_complement_sum(b"") == ones_complement_sum(bytes(9)) == 0
    assert ones_complement_sum(b"\xff\xff") == 0xFFFF
    assert ones_complement_sum(b"\xff\xff\x00\x01") == 1
    assert ones_complement_sum(bytes.fromhex("45000073000040004011b861c0a80001c0a800c7")) == 0xFFFF


def frames_through(loss: Loss | None, count: int = 400) -> tuple[list[bytes], list[bytes]]:
    clock = Clock()
    first, second = Peer("first", clock), Peer("second", clock)
    Wire(first, second, loss=loss)
    for number in range(count):
        first.send(number.to_bytes(60, "big"))
        second.send(number.to_bytes(60, "big"))
    pump(clock)
    return [frame for _, frame in first.received], [frame for _, frame in second.received]


def test_a_bad_wire_loses_its_share_by_seed_and_in_each_direction_for_itself() -> None:
    kept = frames_through(Loss(seed=1, share=0.25))
    assert kept == frames_through(Loss(seed=1, share=0.25))
    assert kept != frames_through(Loss(seed=2, share=0.25))
    assert kept[0] != kept[1]
    for frames in kept:
        assert 260 < len(frames) < 340
        assert frames == sorted(frames)
    assert frames_through(Loss(1, 0.0)) == frames_through(None)
    assert frames_through(Loss(1, 1.0)) == ([], [])


def test_a_share_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"cannot lose -0\.1 of its frames"):
        Loss(1, -0.1)
