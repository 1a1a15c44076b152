"""The object tracker: who holds what, under which two addresses, and until when."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import armed_driver
import census
import napper
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nooks_lab as nl
from nooks_lab.kernel.bug import KernelBug
from nooks_lab.kernel.kernel import TaskDied
from nooks_lab.lab import Lab
from nooks_lab.machine.memory import PAGE_SIZE
from nooks_lab.machine.paging import RW
from nooks_lab.nooks.isolation.domain import BadParameter, Domain
from nooks_lab.nooks.isolation.page_tracker import Grant
from nooks_lab.nooks.manager import Nooks
from nooks_lab.nooks.tracking.object_types import BY_NUMBER, TYPES, Lifetime
from nooks_lab.nooks.tracking.tracker import BUCKETS, CorruptRecord, TrackedObject, bucket
from nooks_lab.nooks.tracking.validate import validate

DOMAINS = 3
KINDS = [kind.name for kind in TYPES.values() if kind.lifetime is not Lifetime.CALL]
# Few addresses, and several of them in one chain, so that the model meets every kind of collision.
ADDRESSES = [0xC0800000 + offset for offset in (0, 32, 64, 0x10, 32 * 64 + 0x20000, 0x40000, 0x7FFFE0)]


@pytest.fixture(scope="module")
def bare() -> Iterator[Lab]:
    with nl.boot(nooks=True) as lab:
        nooks = manager(lab)
        for number in range(DOMAINS):
            nooks.new_domain(f"model-{number}")
        yield lab


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with nl.boot(nooks=True) as booted:
        booted.insmod(napper.driver())
        # Two tasks in the driver make the stacks that its domain keeps from then on.
        for task in [napper.ioctl(booted, napper.NAP, 2) for _ in range(2)]:
            booted.kernel.wait(task)
        yield booted


def manager(lab: Lab) -> Nooks:
    assert lab.nooks is not None
    return lab.nooks


def only_domain(lab: Lab) -> Domain:
    (domain,) = manager(lab).domains
    return domain


# Against a model


@dataclass
class Model:
    """What a tracker is for, in plain Python: the objects of all domains, oldest first."""

    objects: list[tuple[int, TrackedObject]] = field(default_factory=list)

    def find(self, domain: int, kind: str, extension: int) -> TrackedObject | None:
        for owner, tracked in reversed(self.objects):
            if (owner, tracked.type, tracked.extension) == (domain, kind, extension):
                return tracked
        return None

    def by_kernel(self, kind: str, kernel: int) -> tuple[int, TrackedObject] | None:
        for owner, tracked in reversed(self.objects):
            if (tracked.type, tracked.kernel) == (kind, kernel):
                return owner, tracked
        return None

    def of(self, domain: int) -> list[TrackedObject]:
        return [tracked for owner, tracked in self.objects if owner == domain]

    def remove(self, domain: int, tracked: TrackedObject) -> None:
        self.objects.remove((domain, tracked))


domains = st.integers(0, DOMAINS - 1)
kinds = st.sampled_from(KINDS[:4] + KINDS[-3:])
addresses = st.sampled_from(ADDRESSES)
words = st.lists(st.integers(0, 0xFFFFFFFF), max_size=3).map(tuple)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), domains, kinds, addresses, addresses, words),
        st.tuples(st.just("remove"), domains, kinds, addresses),
        st.tuples(st.just("find"), domains, kinds, addresses),
        st.tuples(st.just("by_kernel"), kinds, addresses),
        st.tuples(st.just("release"), domains, st.sets(kinds, max_size=3)),
    ),
    max_size=40,
)


@given(steps)
@settings(max_examples=60)
def test_the_tracker_does_what_a_list_would(bare: Lab, steps: list[tuple[Any, ...]]) -> None:
    nooks = manager(bare)
    tracker, model = nooks.tracker, Model()
    records = bare.kernel.slab.active()
    for what, *arguments in steps:
        if what == "add":
            number, kind, kernel, extension, detail = arguments
            tracked = tracker.add(nooks.domains[number], kind, kernel, extension, *detail)
            assert (tracked.type, tracked.kernel, tracked.extension) == (kind, kernel, extension)
            assert tracked.detail == (*detail, 0, 0, 0)[:3]
            assert tracker.owner(tracked) is nooks.domains[number]
            model.objects.append((number, tracked))
        elif what == "by_kernel":
            found, expected = tracker.by_kernel(*arguments), model.by_kernel(*arguments)
            assert (found and found[1]) == (expected and expected[1])
            assert found is None or expected is None or found[0] is nooks.domains[expected[0]]
        elif what == "release":
            release(nooks, model, *arguments)
        else:
            number, kind, extension = arguments
            held = tracker.find(nooks.domains[number], kind, extension)
            assert held == model.find(number, kind, extension)
            if what == "remove" and held is not None:
                tracker.remove(held)
                model.remove(number, held)
        for number, domain in enumerate(nooks.domains):
            assert tracker.objects(domain) == model.of(number)
    for number in range(DOMAINS):
        release(nooks, model, number, set(KINDS))
    assert model.objects == []
    assert bare.kernel.slab.active() == records


def release(nooks: Nooks, model: Model, number: int, kinds: set[str]) -> None:
    """Release in both; the newest goes first, and is forgotten by the time it is released."""
    domain, order = nooks.domains[number], []

    def give_back(owner: Domain, tracked: TrackedObject) -> None:
        assert owner is domain
        assert tracked not in nooks.tracker.objects(domain)
        order.append(tracked)

    doomed = [tracked for tracked in reversed(model.of(number)) if tracked.type in kinds]
    assert nooks.tracker.release(domain, kinds, give_back) == len(doomed)
    assert order == doomed
    for tracked in doomed:
        model.remove(number, tracked)


def test_the_chosen_addresses_do_collide() -> None:
    number = TYPES[KINDS[0]].number
    assert len({bucket(number, address) for address in ADDRESSES}) < len(ADDRESSES)
    assert all(0 <= bucket(kind, address) < BUCKETS for kind in BY_NUMBER for address in ADDRESSES)


def test_an_object_that_ends_with_another_is_not_released_twice(bare: Lab) -> None:
    nooks = manager(bare)
    domain, tracker = nooks.domains[0], nooks.tracker
    older = tracker.add(domain, "net_device_stats", 0xC0900000, 0xC0900000)
    newer = tracker.add(domain, "net_device", 0xC0901000, 0xC0902000)
    released = []

    def give_back(_owner: Domain, tracked: TrackedObject) -> None:
        released.append(tracked)
        if tracked == newer:
            tracker.remove(older)

    tracker.release(domain, ["net_device", "net_device_stats"], give_back)
    assert released == [newer]
    assert tracker.objects(domain) == []


def test_one_domain_does_not_hold_anothers_object(bare: Lab) -> None:
    nooks = manager(bare)
    first, second, _ = nooks.domains
    tracked = nooks.tracker.add(first, "heap block", 0xC0900000, 0xC0900000)
    assert nooks.tracker.check(first, "heap block", 0xC0900000, "kfree") == tracked
    for domain, kind, address in (
        (second, "heap block", 0xC0900000),
        (first, "pages", 0xC0900000),
        (first, "heap block", 0xC0900020),
    ):
        with pytest.raises(
            BadParameter, match=f"^kfree: {address:08x} is no {kind} of domain {domain.name}$"
        ):
            nooks.tracker.check(domain, kind, address, "kfree")
    nooks.tracker.remove(tracked)


def test_no_memory_for_a_record_is_the_extensions_bad_luck(
    bare: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    nooks = manager(bare)
    monkeypatch.setattr(bare.kernel.slab, "alloc", lambda size: 0)
    with pytest.raises(BadParameter, match=r"^no memory to track a timer_list$"):
        nooks.tracker.add(nooks.domains[0], "timer_list", 1, 2)
    assert nooks.tracker.find(nooks.domains[0], "timer_list", 2) is None


@pytest.mark.parametrize("event", ["interrupt", "transmit"])
def test_no_memory_to_track_a_packet_or_an_interrupt_fails_the_extension(
    event: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with armed_driver.boot_up("e1000") as booted:
        nooks, counts = manager(booted), []
        for _ in range(3):
            with monkeypatch.context() as short:
                no_memory_once(booted, short)
                if event == "interrupt":
                    booted.peer.send(armed_driver.BROADCAST)
                    booted.run(0.0001)
                else:
                    booted.kernel.send_frame("eth0", armed_driver.BROADCAST)
            booted.run(0.1)
            assert armed_driver.ping(booted)
            assert validate(nooks) == []
            counts.append(census.take(booted))
        what = "pt_regs" if event == "interrupt" else "sk_buff"
        assert [recovery.trigger for recovery in nooks.recoveries] == [f"no memory to track a {what}"] * 3
        assert all(recovery.ok and recovery.leaked == 0 for recovery in nooks.recoveries)
        assert counts[1] == counts[2]


def test_no_memory_to_track_an_ioctl_fails_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with nl.boot(nooks=True) as booted:
        booted.insmod(napper.driver())
        with monkeypatch.context() as short:
            no_memory_once(booted, short)
            task = napper.ioctl(booted, napper.NAP, 2)
            booted.kernel.wait(task)
        assert task.result == (-5, 2)
        booted.run(0.1)
        (recovery,) = manager(booted).recoveries
        assert (recovery.trigger, recovery.ok) == ("no memory to track a ifreq", True)


def no_memory_once(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next record of the tracker's gets no memory."""
    allocate, record = lab.kernel.slab.alloc, manager(lab).types.size("nooks_object")
    refused: list[int] = []

    def alloc(size: int) -> int:
        if size == record and not refused:
            refused.append(size)
            return 0
        return allocate(size)

    monkeypatch.setattr(lab.kernel.slab, "alloc", alloc)


# Bytes in guest memory


def test_a_record_is_a_struct_in_guest_memory(bare: Lab) -> None:
    nooks = manager(bare)
    domain, tracker = nooks.domains[1], nooks.tracker
    tracked = tracker.add(domain, "irqaction", 0xC0900000, 0xC0A00000, 11, 22, 33)
    record = nooks.types.view("nooks_object", tracked.address)
    assert record.type == TYPES["irqaction"].number
    assert (record.kernel, record.extension) == (0xC0900000, 0xC0A00000)
    assert (record.domain, record.serial, [*record.detail]) == (
        domain.record.address,
        tracked.serial,
        [11, 22, 33],
    )
    assert domain.record.objects[bucket(record.type, 0xC0A00000)] == tracked.address
    assert tracker.record.versions[bucket(record.type, 0xC0900000)] == tracked.address
    record.extension = 0xC0A00001
    assert tracker.objects(domain)[0].extension == 0xC0A00001
    record.extension = 0xC0A00000
    tracker.remove(tracked)


def test_no_domain_may_write_the_records(lab: Lab) -> None:
    domain = only_domain(lab)
    objects = manager(lab).tracker.objects(domain)
    assert objects
    assert not any(domain.may_write(tracked.address) for tracked in objects)
    assert not domain.may_write(domain.record.address)
    assert not domain.may_write(manager(lab).tracker.record.address)


def state(lab: Lab) -> tuple[object, ...]:
    """All that isolation keeps of a domain, as Python sees it now."""
    nooks, domain = manager(lab), only_domain(lab)
    objects = nooks.tracker.objects(domain)
    return (
        objects,
        [nooks.tracker.by_kernel(tracked.type, tracked.kernel) == (domain, tracked) for tracked in objects],
        list(domain.page_tracker.granted()),
        {page: domain.pte(page) & RW for page in lab.kernel.page_table.mapped()},
        [domain.heap.size_of(tracked.extension) for tracked in objects],
        domain.heap.pages.held,
        domain.failed,
        nooks.queues(domain).kernel_calls.waiting(),
        nooks.tracker.record.serial,
    )


def test_a_snapshot_brings_tables_grants_and_page_rights_back() -> None:
    with armed_driver.boot_up("e1000") as booted:
        nooks, domain = manager(booted), only_domain(booted)
        before, snapshot = state(booted), booted.machine.save()
        for _ in range(5):
            booted.peer.send(armed_driver.BROADCAST)
            booted.kernel.send_frame("eth0", armed_driver.BROADCAST)
        block = domain.heap.alloc(20_000)
        nooks.tracker.add(domain, "heap block", block, block)
        page = booted.kernel.pages.alloc(0)
        domain.grant(page, PAGE_SIZE, Grant.PACKET)
        nooks.interposition.defer_kernel_call(domain, "copy back net_device", 0)
        domain.fail()
        changed = state(booted)
        assert all(now != then for now, then in zip(changed[2:], before[2:], strict=True))
        assert changed[0] != before[0]
        booted.machine.load(snapshot)
        assert state(booted) == before
        assert validate(nooks) == []
        assert armed_driver.ping(booted)
        assert validate(nooks) == []


# Damage is a guest's event


def test_a_record_of_no_type_is_a_bug_of_the_guest(bare: Lab) -> None:
    nooks = manager(bare)
    domain, tracker = nooks.domains[2], nooks.tracker
    tracked = tracker.add(domain, "pages", 0xC0900000, 0xC0900000)
    record = nooks.types.view("nooks_object", tracked.address)
    record.type = 200
    with pytest.raises(KernelBug, match=f"^record {tracked.address:08x} has the unknown type 200$"):
        tracker.find(domain, "pages", 0xC0900000)
    record.type, record.domain = tracked_number(tracked), 0xC0900000
    with pytest.raises(KernelBug, match=f"^record {tracked.address:08x} names no domain, but c0900000$"):
        tracker.by_kernel("pages", 0xC0900000)
    record.domain = domain.record.address
    record.next = tracked.address
    with pytest.raises(CorruptRecord, match=r"^the chain at [0-9a-f]{8} has no end$"):
        tracker.objects(domain)
    record.next = 0
    tracker.remove(tracked)


def tracked_number(tracked: TrackedObject) -> int:
    return TYPES[tracked.type].number


def test_a_wrapper_that_meets_a_damaged_record_ends_its_task_and_not_the_host() -> None:
    with nl.boot(nooks=True) as booted:
        booted.insmod(napper.driver())
        nooks = manager(booted)
        block = napper.do(booted, "get_memory", 100) & 0xFFFFFFFF
        tracked = nooks.tracker.find(only_domain(booted), "heap block", block)
        assert tracked is not None
        nooks.types.view("nooks_object", tracked.address).type = 99
        problem = f"record {tracked.address:08x} has the unknown type 99"
        # Recovery cannot work with such a table either; the task dies of it as of any BUG().
        with pytest.raises(TaskDied, match=r"^process give_memory was killed by signal 11$"):
            napper.do(booted, "give_memory", block)
        assert f"nooks: napper failed: wrapper of a kernel call: {problem}" in booted.dmesg()
        assert f"kernel BUG: {problem}" in booted.dmesg()
        booted.run(0.1)


# Objects of one call


def test_an_object_of_a_call_ends_with_it_and_is_only_this_tasks(lab: Lab) -> None:
    nooks, domain, kernel = manager(lab), only_domain(lab), lab.kernel
    held = census.take(lab)

    def body() -> None:
        task = kernel.sched.current.address
        with nooks.tracker.call_object(domain, "ifreq", 0xC0900000, 0xC0A00000) as outer:
            assert nooks.tracker.find(domain, "ifreq", 0xC0A00000) == outer
            with nooks.tracker.call_object(domain, "sockaddr", 0xC0900000, 0xC0B00000) as inner:
                assert nooks.tracker.call_objects(task) == [inner, outer]
                assert outer not in nooks.tracker.objects(domain)
            with pytest.raises(RuntimeError), nooks.tracker.call_object(domain, "ifreq", 1, 2):
                raise RuntimeError
            assert nooks.tracker.call_objects(task) == [outer]
        assert nooks.tracker.call_objects(task) == []
        assert nooks.tracker.find(domain, "ifreq", 0xC0A00000) is None

    kernel.in_task("ioctl", body)
    assert census.take(lab) == held


def test_another_domain_does_not_see_the_object_of_a_call(bare: Lab) -> None:
    nooks = manager(bare)
    first, second, _ = nooks.domains
    with nooks.tracker.call_object(first, "ifreq", 1, 2) as tracked:
        assert nooks.tracker.find(first, "ifreq", 2) == tracked
        assert nooks.tracker.find(second, "ifreq", 2) is None


def test_calls_of_one_task_may_end_in_any_order(bare: Lab) -> None:
    nooks = manager(bare)
    task = bare.kernel.sched.current.address
    with ExitStack() as later:
        inner = nooks.tracker.call_object(nooks.domains[0], "ifreq", 1, 2)
        inner.__enter__()
        second = later.enter_context(nooks.tracker.call_object(nooks.domains[1], "ifreq", 3, 4))
        inner.__exit__(None, None, None)
        assert nooks.tracker.call_objects(task) == [second]
    assert nooks.tracker.call_objects(task) == []


def test_two_tasks_asleep_in_calls_have_an_object_each(lab: Lab) -> None:
    nooks, domain = manager(lab), only_domain(lab)
    held = census.take(lab)
    tasks = [napper.ioctl(lab, napper.NAP, 5), napper.ioctl(lab, napper.NAP, 5)]
    lab.run(0.02)
    objects = [nooks.tracker.call_objects(thread.task.address) for thread in tasks]
    assert [[tracked.type for tracked in each] for each in objects] == [["ifreq"], ["ifreq"]]
    (first,), (second,) = objects
    assert first.kernel != second.kernel
    assert first.extension != second.extension
    for tracked in (first, second):
        assert nooks.tracker.owner(tracked) is domain
        assert domain.may_write(tracked.extension)
        assert not domain.may_write(tracked.kernel)
    for thread in tasks:
        lab.kernel.wait(thread)
    assert [thread.result for thread in tasks] == [(0, 77), (0, 77)]
    assert census.take(lab) == held
    assert validate(nooks) == []


@pytest.mark.parametrize("command", [napper.CRASH, napper.NAP_AND_CRASH])
def test_a_fault_ends_the_objects_of_its_call(command: int) -> None:
    with nl.boot(nooks=True) as booted:
        booted.insmod(napper.driver())
        nooks = manager(booted)
        failing(booted, command)
        before = census.take(booted)
        failing(booted, command)
        assert census.take(booted) == before
        assert [recovery.ok for recovery in nooks.recoveries] == [True, True]
        assert validate(nooks) == []


def failing(lab: Lab, command: int) -> None:
    """Two tasks are in a call; the driver fails in the one of the second."""
    sleeper = napper.ioctl(lab, napper.NAP, 30)
    lab.run(0.01)
    victim = napper.ioctl(lab, command, 3)
    lab.kernel.wait(victim)
    lab.kernel.wait(sleeper)
    assert (victim.result[0], sleeper.result[0]) == (-5, -5)
    lab.run(0.1)


def test_the_last_task_in_a_dead_domain_leaves_no_object_behind() -> None:
    with nl.boot(nooks=True) as booted:
        booted.insmod(napper.driver())
        nooks = manager(booted)
        failing(booted, napper.CRASH)
        before = census.take(booted)
        # Nobody can wake it, so its domain outlives the recovery, and ends when the task has left it.
        sleeper = napper.ioctl(booted, napper.DEEP_SLEEP, 60)
        booted.run(0.01)
        booted.kernel.wait(napper.ioctl(booted, napper.CRASH))
        booted.run(0.3)
        assert nooks.recoveries[-1].ok
        assert len(nooks.domains) == 2
        assert [tracked.type for tracked in nooks.tracker.call_objects(sleeper.task.address)] == ["ifreq"]
        assert validate(nooks) == []
        booted.kernel.wait(sleeper)
        assert sleeper.result[0] == -5
        # A task of its own ends the domain, when the wrapper that the sleeper came back to is done with it.
        booted.run(0.01)
        assert len(nooks.domains) == 1
        assert census.take(booted) == before
        assert validate(nooks) == []


# Timers


def timers(lab: Lab) -> list[TrackedObject]:
    return [
        tracked for tracked in manager(lab).tracker.objects(only_domain(lab)) if tracked.type == "timer_list"
    ]


def test_a_timer_is_an_object_until_it_fires(lab: Lab) -> None:
    held, fired = census.take(lab), napper.do(lab, "how_often")
    assert napper.do(lab, "start_timer", 3) == 0
    (timer,) = timers(lab)
    assert timer.lifetime == "timer"
    assert timer.kernel in lab.kernel.timers.pending()
    assert timer.extension == napper.symbol(lab, "timer")
    assert napper.do(lab, "start_timer", 5) == 1
    assert [each.serial for each in timers(lab)] == [timer.serial]
    lab.run(0.03)
    assert len(timers(lab)) == napper.do(lab, "runs") == 1
    lab.run(0.04)
    assert (timers(lab), napper.do(lab, "runs")) == ([], 0)
    assert napper.do(lab, "how_often") == fired + 10
    assert census.take(lab) == held


def test_a_timer_that_is_stopped_never_fires(lab: Lab) -> None:
    held, fired = census.take(lab), napper.do(lab, "how_often")
    napper.do(lab, "start_timer", 3)
    assert (napper.do(lab, "stop_timer"), napper.do(lab, "stop_timer")) == (1, 0)
    assert timers(lab) == []
    lab.run(0.06)
    assert napper.do(lab, "how_often") == fired
    assert census.take(lab) == held


# Two versions


def test_both_versions_lead_to_the_same_pair(lab: Lab) -> None:
    nooks, domain = manager(lab), only_domain(lab)
    (device,) = (each for each in nooks.tracker.objects(domain) if each.type == "net_device")
    assert device.kernel == lab.kernel.net.devices()[0].address
    assert device.kernel != device.extension
    assert nooks.tracker.find(domain, "net_device", device.extension) == device
    assert nooks.tracker.by_kernel("net_device", device.kernel) == (domain, device)
    assert nooks.tracker.find(domain, "net_device", device.kernel) is None
    assert nooks.tracker.by_kernel("net_device", device.extension) is None


def test_the_newest_of_two_objects_with_one_kernel_version_is_found(bare: Lab) -> None:
    # While a failed driver's device memory waits for its release, its successor has the same device.
    nooks = manager(bare)
    old, new, _ = nooks.domains
    first = nooks.tracker.add(old, "pci_dev", 0xC0900000, 0xC0900000)
    second = nooks.tracker.add(new, "pci_dev", 0xC0900000, 0xC0900000)
    assert nooks.tracker.by_kernel("pci_dev", 0xC0900000) == (new, second)
    nooks.tracker.remove(second)
    assert nooks.tracker.by_kernel("pci_dev", 0xC0900000) == (old, first)
    nooks.tracker.remove(first)
    assert nooks.tracker.by_kernel("pci_dev", 0xC0900000) is None
