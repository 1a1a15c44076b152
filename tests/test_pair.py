"""Two machines on one wire: netperf both ways, natively and under Nooks, with loss, and when one of them dies."""

import pytest

from nooks_lab import extensions
from nooks_lab.cards import CARD_OF, UnknownCard
from nooks_lab.faults.poisoned_text import ENCODINGS
from nooks_lab.lab import Lab
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.machine.wire import Loss
from nooks_lab.pair import FAR, DeadMachine, Pair, boot_pair
from nooks_lab.workloads import registry
from nooks_lab.workloads.netperf import Stream, Test, netperf

OTHER_DRIVERS = [
    name for name in registry.names() if extensions.CLASSES[name] == "network" and name != "e1000"
]

LINE_RATE = 949.3
"""Megabits of TCP data that Gigabit Ethernet carries in a second: 1,460 of 1,538 byte times."""


def streams(**options: object) -> dict[str, Stream]:
    with boot_pair(**options) as pair:
        pair.set_up("e1000")
        tests: tuple[Test, Test] = ("receive-stream", "send-stream")
        return {test: netperf(pair, test, messages=8, seed=5) for test in tests}


@pytest.fixture(scope="module")
def native() -> dict[str, Stream]:
    return streams()


@pytest.fixture(scope="module")
def nooks() -> dict[str, Stream]:
    return streams(nooks=True)


@pytest.mark.parametrize("test", ["receive-stream", "send-stream"])
def test_streams_arrive_and_isolation_costs_cpu(
    native: dict[str, Stream], nooks: dict[str, Stream], test: str
) -> None:
    plain, isolated = native[test], nooks[test]
    assert plain.ok, plain.wrong
    assert isolated.ok, isolated.wrong
    assert plain.digest == isolated.digest
    assert plain.arrived == plain.size == 8 * 32768
    assert 0.5 * LINE_RATE < isolated.megabits_per_second <= plain.megabits_per_second < LINE_RATE
    assert 0 < plain.near_cpu < isolated.near_cpu < 1
    assert 0 < plain.far_cpu < isolated.far_cpu < 1
    assert plain.retransmitted == 0


def test_a_run_is_the_same_every_time(nooks: dict[str, Stream]) -> None:
    assert streams(nooks=True) == nooks


@pytest.mark.parametrize("isolated", [False, True, (True, False)])
def test_tcp_survives_a_wire_that_loses_frames(isolated: bool | tuple[bool, bool]) -> None:
    for test, stream in streams(nooks=isolated, loss=Loss(seed=2, share=0.02)).items():
        assert stream.ok, (test, stream.wrong)
        assert stream.retransmitted > 0


def test_clocks_are_kept_in_step() -> None:
    with boot_pair() as pair:
        pair.set_up("e1000")
        near, far = pair.near.lab.machine, pair.far.lab.machine
        apart: list[int] = []
        pair.near.lab.kernel.net.taps.append(
            lambda _device, _frame: apart.append(near.clock.now - far.clock.now)
        )
        assert netperf(pair, "receive-stream", messages=4).ok
        assert len(apart) > 80
        # A machine notices its horizon only where machine code ends: a kernel function or two later.
        assert max(map(abs, apart)) < CPU_HZ // 10_000


@pytest.mark.parametrize("driver", OTHER_DRIVERS)
def test_other_drivers_make_a_pair_too(driver: str) -> None:
    with boot_pair(nooks=(True, False), device=CARD_OF[driver]) as pair:
        pair.set_up(driver)
        for test in ("receive-stream", "send-stream"):
            stream = netperf(pair, test, messages=4)
            assert stream.ok, stream.wrong
            assert stream.megabits_per_second > 50


def poison(lab: Lab, function: str) -> None:
    image = lab.kernel.modules.loaded["e1000"].image
    assert image is not None
    at = lab.kernel.page_table.pte(image.symbols[function]) & ~0xFFF | image.symbols[function] & 0xFFF
    lab.machine.memory.write(at, ENCODINGS["ud2"])


def poisoned_stream(pair: Pair, side: str) -> Stream:
    pair.set_up("e1000")
    assert netperf(pair, "receive-stream", messages=1).ok
    poison((pair.near if side == "near" else pair.far).lab, "e1000_intr")
    return netperf(pair, "receive-stream", messages=4)


@pytest.mark.parametrize("side", ["near", "far"])
def test_a_driver_that_fails_on_either_side_is_recovered_and_the_stream_goes_on(side: str) -> None:
    with boot_pair(nooks=(side == "near", side == "far")) as pair:
        stream = poisoned_stream(pair, side)
        assert stream.ok, stream.wrong
        lab = (pair.near if side == "near" else pair.far).lab
        assert lab.nooks is not None
        assert [recovery.ok for recovery in lab.nooks.recoveries] == [True]
        assert pair.near.alive
        assert pair.far.alive


def test_a_machine_that_dies_leaves_the_other_alive() -> None:
    with boot_pair() as pair:
        stream = poisoned_stream(pair, "near")
        assert not stream.ok
        assert stream.wrong == "the near machine died: Aiee, killing interrupt handler!"
        assert not pair.near.alive
        assert pair.far.alive
        ping = pair.do(lambda _: 1, lambda lab: lab.kernel.in_task("ping", lambda: lab.kernel.inet.ping(FAR)))
        assert ping[0] is None
        pair.far.end = pair.near.end
        with pytest.raises(DeadMachine, match="both machines"):
            pair.run(0.1)


def test_each_machine_can_be_run_alone_afterwards() -> None:
    with boot_pair() as pair:
        pair.set_up("e1000")
        lab = pair.near.lab
        before = lab.machine.clock.now
        lab.run(0.1)
        assert lab.machine.clock.now - before >= CPU_HZ // 10
        assert netperf(pair, "send-stream", messages=1).ok


def test_wrong_cards_tests_and_shares_are_named() -> None:
    with pytest.raises(UnknownCard, match="unknown device 'ne2000'"):
        boot_pair(device="ne2000")
    with pytest.raises(ValueError, match=r"cannot lose 1\.5 of its frames"):
        Loss(1, 1.5)
    with pytest.raises(
        ValueError, match="1,000,000,000 and 100,000,000 bits a second do not fit on one wire"
    ):
        boot_pair(device="e1000", far_device="pcnet32")
    with boot_pair() as pair, pytest.raises(ValueError, match="unknown test 'duplex'"):
        netperf(pair, "duplex")  # type: ignore[arg-type]
