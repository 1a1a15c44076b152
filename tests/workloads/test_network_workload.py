"""Pings and streams through a network driver: the same result natively and under Nooks, and no damage unseen."""

from collections.abc import Callable

import pytest

import nooks_lab as nl
from nooks_lab.kernel.page_table import PAGE_OFFSET
from nooks_lab.lab import Lab
from nooks_lab.machine.ethernet import pad
from nooks_lab.workloads import registry
from nooks_lab.workloads.network import MESSAGE, Network
from nooks_lab.workloads.workload import Workload, WorkloadResult

NETWORK_DRIVERS = [name for name in registry.names() if isinstance(registry.brief_workload(name), Network)]


def run(
    workload: Workload, *, nooks: bool, before: Callable[[Lab], None] = lambda lab: None
) -> WorkloadResult:
    with nl.boot(nooks=nooks, devices=workload.devices) as lab:
        workload.set_up(lab)
        before(lab)
        return workload.run(lab)


@pytest.mark.parametrize("driver", NETWORK_DRIVERS)
def test_the_result_is_the_same_natively_and_under_nooks(driver: str) -> None:
    native, nooks = (run(Network(driver, seed=3), nooks=nooks) for nooks in (False, True))
    assert native.ok
    assert native.digest == nooks.digest
    assert nooks.ok
    assert nooks.counts["bytes"] == native.counts["bytes"] == 2 * 2 * MESSAGE
    assert nooks.counts["pings answered"] == 8


def test_seed_and_size_make_the_work() -> None:
    small = run(Network("e1000", seed=3, messages=1, pings=1), nooks=False)
    other = run(Network("e1000", seed=4, messages=1, pings=1), nooks=False)
    assert small.ok
    assert other.ok
    assert small.digest != other.digest
    assert small.counts["bytes"] == 2 * MESSAGE
    assert small.counts["pings answered"] == 2


def test_a_recovery_in_the_middle_costs_retransmissions_and_nothing_else() -> None:
    workload = registry.brief_workload("e1000")
    with nl.boot(nooks=True, devices=workload.devices) as lab:
        workload.set_up(lab)
        quiet = workload.run(lab)
        frames: list[bytes] = []

        def fail_soon(_device: object, frame: bytes) -> None:
            frames.append(frame)
            if len(frames) == 100:
                lab.kernel.memory.write(*poison)

        image = lab.kernel.modules.loaded["e1000"].image
        intr = image.symbols["e1000_intr"]
        poison = (lab.kernel.page_table.pte(intr) & ~0xFFF) + PAGE_OFFSET + (intr & 0xFFF), b"\x0f\x0b"
        with lab.kernel.tap(fail_soon):
            disturbed = workload.run(lab)
        assert [recovery.ok for recovery in lab.nooks.recoveries] == [True]
    assert disturbed.ok
    assert disturbed.digest == quiet.digest
    assert quiet.counts["retransmitted"] == 0 < disturbed.counts["retransmitted"]


def test_a_driver_that_changes_a_byte_is_found_out() -> None:
    """TCP's checksum is made by software, so a byte that a card spoils never reaches a socket; here one does."""

    def spoil(lab: Lab) -> None:
        tcp = lab.kernel.inet.tcp
        take = tcp._take
        done = []

        def spoiled(sk: object, size: int) -> bytes:
            data = take(sk, size)
            if data and not done:
                done.append(1)
                return bytes((data[0] ^ 1,)) + data[1:]
            return data

        tcp._take = spoiled

    result = run(registry.brief_workload("e1000"), nooks=False, before=spoil)
    assert not result.ok
    (sentence,) = result.wrong
    assert sentence.startswith("receive-stream: byte 0 arrived as")


def test_a_dead_wire_is_told_and_not_waited_for_without_end() -> None:
    def cut(lab: Lab) -> None:
        lab.peer.on_frame = None

    result = run(Network("e1000", messages=1, pings=1), nooks=False, before=cut)
    assert not result.ok
    assert len(result.wrong) == 4
    assert result.wrong[0] == "ping 1 to the station: no answer, 5 times"


def test_the_station_takes_no_spoiled_segment() -> None:
    seen: list[int] = []

    def flip(lab: Lab) -> None:
        end = lab.nic.wire_end
        send = end.send

        def spoiled(frame: bytes, departs: int | None = None) -> None:
            if len(frame) > 1000 and len(seen) < 3:
                seen.append(len(frame))
                frame = frame[:700] + bytes((frame[700] ^ 0x40,)) + frame[701:]
            send(pad(frame), departs)

        end.send = spoiled

    result = run(Network("e1000", pings=0), nooks=False, before=flip)
    assert len(seen) == 3
    assert result.ok


def test_an_extension_without_a_workload_is_named() -> None:
    with pytest.raises(registry.NoWorkload, match=r"no workload for 'floppy'; there are some for: .*e1000"):
        registry.brief_workload("floppy")
