"""validate() is silent about a healthy system, and names whatever is damaged."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import armed_driver
import napper
import pytest
from corruptions import CORRUPTIONS, Victim, interesting_words
from hypothesis import given, settings
from hypothesis import strategies as st

import nooks_lab as nl
from nooks_lab.lab import Lab
from nooks_lab.machine.machine import Snapshot
from nooks_lab.machine.paging import PageFault
from nooks_lab.nooks.isolation.domain import Domain
from nooks_lab.nooks.manager import Nooks
from nooks_lab.nooks.recovery.phases import FIRST, PHASES, Phase
from nooks_lab.nooks.recovery.record import Recovery
from nooks_lab.nooks.tracking.validate import validate


@pytest.fixture(scope="module")
def healthy() -> Iterator[tuple[Victim, Snapshot]]:
    with armed_driver.boot_up("e1000") as lab:
        yield Victim(lab), lab.machine.save()


@pytest.fixture
def victim(healthy: tuple[Victim, Snapshot]) -> Iterator[Victim]:
    victim, snapshot = healthy
    assert validate(victim.nooks) == []
    yield victim
    victim.lab.machine.load(snapshot)


def manager(lab: Lab) -> Nooks:
    assert lab.nooks is not None
    return lab.nooks


# Healthy


def test_nothing_is_wrong_from_boot_to_unloading() -> None:
    with nl.boot(nooks=True) as lab:
        nooks = manager(lab)
        assert validate(nooks) == []
        lab.insmod("e1000")
        assert validate(nooks) == []
        lab.insmod(napper.driver())
        assert validate(nooks) == []
        lab.kernel.ifconfig_up("eth0")
        assert validate(nooks) == []
        lab.kernel.ifconfig_down("eth0")
        for name in ("e1000", "napper"):
            lab.kernel.rmmod(name)
            assert validate(nooks) == []
        assert nooks.domains == []


def test_nothing_is_wrong_with_traffic_in_flight(healthy: tuple[Victim, Snapshot]) -> None:
    victim, snapshot = healthy
    lab, held = victim.lab, set()
    for turn in range(30):
        lab.peer.send(armed_driver.BROADCAST)
        lab.kernel.send_frame("eth0", armed_driver.BROADCAST)
        if turn % 3 == 0:
            lab.run(0.0002)
        assert validate(victim.nooks) == []
        held.add(len(victim.objects("sk_buff")))
    assert len(held) > 1
    lab.machine.load(snapshot)


@pytest.mark.parametrize("place", ["interrupt", "transmit", "timer"])
def test_nothing_is_wrong_after_recovery(place: str) -> None:
    with armed_driver.boot_up(armed_driver.armed_driver()) as lab:
        armed_driver.strike(lab, place, 0)
        assert manager(lab).recoveries[-1].ok
        assert validate(manager(lab)) == []
        assert armed_driver.ping(lab)
        assert validate(manager(lab)) == []


def test_nothing_is_wrong_in_the_middle_of_recovery(monkeypatch: pytest.MonkeyPatch) -> None:
    with armed_driver.boot_up(armed_driver.armed_driver()) as lab:
        nooks = manager(lab)
        run = nooks.recovery._run
        seen: dict[str, list[str]] = {}

        def run_and_look(recovery: Recovery, phase: Phase) -> None:
            run(recovery, phase)
            seen[phase.name] = validate(nooks)

        monkeypatch.setattr(nooks.recovery, "_run", run_and_look)
        armed_driver.strike(lab, "interrupt", 0)
        assert list(seen) == [phase.name for phase in (FIRST, *PHASES)]
        assert not any(seen.values()), seen


def test_nothing_is_wrong_while_calls_are_in_progress() -> None:
    with nl.boot(nooks=True) as lab:
        lab.insmod(napper.driver())
        nooks = manager(lab)
        tasks = [napper.ioctl(lab, napper.NAP, 5), napper.calls(lab, "doze", 3), napper.calls(lab, "doze", 2)]
        lab.run(0.02)
        (domain,) = nooks.domains
        assert len(nooks.xpc.tasks_in(domain)) == 3
        (ifreq,) = nooks.tracker.call_objects(tasks[0].task.address)
        assert ifreq.type == "ifreq"
        assert "wait queue" in [tracked.type for tracked in nooks.tracker.objects(domain)]
        assert validate(nooks) == []
        for task in tasks:
            lab.kernel.wait(task)
        assert validate(nooks) == []


def test_nothing_is_wrong_in_an_interrupt(
    healthy: tuple[Victim, Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    victim, snapshot = healthy
    nooks = victim.nooks
    seen: list[tuple[list[str], list[str]]] = []
    run = nooks.xpc.nooks_kernel_call

    def look(body: Callable[[Domain], Any]) -> Any:
        idle = victim.kernel.variable("init_task_union")
        seen.append(([each.type for each in nooks.tracker.call_objects(idle)], validate(nooks)))
        return run(body)

    monkeypatch.setattr(nooks.xpc, "nooks_kernel_call", look)
    victim.lab.peer.send(armed_driver.BROADCAST)
    victim.lab.run(0.01)
    assert (["pt_regs"], []) in seen
    assert [problems for _, problems in seen] == [[]] * len(seen)
    victim.lab.machine.load(snapshot)


# Damaged


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_damage_is_found_and_named(victim: Victim, name: str) -> None:
    expected = CORRUPTIONS[name](victim)
    victim.lab.machine.cpu.tlb.flush()
    assert expected in validate(victim.nooks)


def test_damage_to_an_object_of_a_call_is_found() -> None:
    with nl.boot(nooks=True) as lab:
        lab.insmod(napper.driver())
        nooks = manager(lab)
        task = napper.ioctl(lab, napper.NAP, 50)
        lab.run(0.02)
        (ifreq,) = nooks.tracker.call_objects(task.task.address)
        record = nooks.types.view("nooks_object", ifreq.address)
        for member, value, problem in (
            ("extension", 0, "ifreq 00000000: the extension's version 00000000 is no block of its heap"),
            (
                "kernel",
                ifreq.extension,
                f"ifreq {ifreq.extension:08x}: the extension may write the kernel's version {ifreq.extension:08x}",
            ),
        ):
            healthy = getattr(record, member)
            setattr(record, member, value)
            assert validate(nooks) == [f"domain napper: {problem}"]
            setattr(record, member, healthy)
        record.type = 0
        pid = task.task.pid
        assert validate(nooks) == [f"task {pid}: its table record {ifreq.address:08x} has the unknown type 0"]


def test_damage_to_a_wait_queue_is_found() -> None:
    with nl.boot(nooks=True) as lab:
        lab.insmod(napper.driver())
        nooks = manager(lab)
        napper.calls(lab, "wait_by_hand", 50)
        lab.run(0.02)
        held = {tracked.type: tracked for tracked in nooks.tracker.objects(nooks.domains[0])}
        waiter, queue = held["waiter"], held["wait queue"]
        view = lab.kernel.types.view("__wait_queue", waiter.kernel)
        view.task += 4
        assert validate(nooks) == [
            f"domain napper: waiter {waiter.extension:08x}: its task {view.task:08x} is none",
            f"domain napper: wait queue {queue.extension:08x}: "
            f"who waits on it at {waiter.kernel:08x} is {view.task:08x}, which is no task",
        ]


def test_damage_to_a_region_is_found() -> None:
    with nl.boot(nooks=True) as lab:
        lab.insmod(napper.driver())
        nooks = manager(lab)
        resource = napper.do(lab, "claim", 0x300, 16) & 0xFFFFFFFF
        assert validate(nooks) == []
        lab.kernel.types.view("resource", resource).end += 1
        assert validate(nooks) == [
            f"domain napper: resource {resource:08x}: its region 00000300 of 16 bytes is not claimed"
        ]


# Whatever is damaged, validate() itself does not fall over it

values = st.one_of(
    st.sampled_from([0, 1, 2, 0x10, 0x7FFFFFFF, 0xFFFFFFFF, 0xC0000000, 0xFEBC0000, 0x5A5A5A5A]),
    st.integers(0, 0xFFFFFFFF),
    # Or another word of the system's: a pointer that was right somewhere else.
    st.integers(0, 1 << 20).map(lambda number: ~number),
)


@given(st.lists(st.tuples(st.integers(0, 1 << 20), values), min_size=1, max_size=3))
@settings(max_examples=150)
def test_validate_never_raises(healthy: tuple[Victim, Snapshot], damage: list[tuple[int, int]]) -> None:
    victim, snapshot = healthy
    words, memory = interesting_words(victim), victim.memory
    before = [memory.u32(address) for address in words]
    for place, value in damage:
        word = before[~value % len(before)] if value < 0 else value
        try:
            memory.set_u32(words[place % len(words)], word)
        except PageFault:
            continue
    victim.lab.machine.cpu.tlb.flush()
    findings = validate(victim.nooks)
    assert all(isinstance(finding, str) and finding for finding in findings)
    victim.lab.machine.load(snapshot)
    assert validate(victim.nooks) == []


def test_no_flipped_bit_of_a_records_links_type_owner_or_kernel_address_goes_unnoticed(
    healthy: tuple[Victim, Snapshot],
) -> None:
    victim, _ = healthy
    chance = random.Random(7)
    objects = victim.nooks.tracker.objects(victim.domain)
    for member in ("next", "next_version", "domain", "type", "kernel"):
        for tracked in chance.sample(objects, 12):
            record = victim.record(tracked)
            value = getattr(record, member)
            setattr(record, member, value ^ 1 << chance.randrange(32))
            assert validate(victim.nooks) != [], (member, tracked)
            setattr(record, member, value)
    assert validate(victim.nooks) == []
