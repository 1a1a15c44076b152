"""Recovery: a wild store anywhere costs the driver, not the system, and nothing leaks."""

from collections.abc import Iterator

import armed_driver
import census
import pytest
from armed_driver import NUMBERS, arm, boot_up, ping, provoke, strike, symbol

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.kernel.modules import ModuleError, Modules
from nooks_lab.lab import Lab
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.nooks.recovery.phases import FIRST, PHASES, device_types, safe_types
from nooks_lab.nooks.tracking.tracker import TrackedObject

PLACES = ("interrupt", "transmit", "timer")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with boot_up(armed_driver.armed_driver()) as booted:
        # The first recovery sets up what stays: page tables of the kernel, wrappers, a second stack.
        strike(booted, "interrupt", 0)
        assert ping(booted)
        yield booted


def wild_address(lab: Lab, target: str) -> int:
    if target == "NULL":
        return 0
    if target == "own text":
        return symbol(lab, "e1000_intr")
    return lab.kernel.variable("idt_table") + 8 * 200


STORES = [(place, target) for place in PLACES for target in ("kernel", "NULL", "own text")]


@pytest.mark.parametrize(("place", "target"), STORES)
def test_a_wild_store_is_recovered_and_leaks_nothing(lab: Lab, place: str, target: str) -> None:
    nooks = lab.nooks
    assert nooks is not None
    address = wild_address(lab, target)
    kernel_page = lab.kernel.memory.read(lab.kernel.variable("idt_table"), 2048)
    before, done = census.take(lab), len(nooks.recoveries)
    domain = nooks.domains[0]
    strike(lab, place, address)
    assert len(nooks.recoveries) == done + 1
    recovery = nooks.recoveries[-1]
    assert (recovery.ok, recovery.leaked) == (True, 0)
    assert domain not in nooks.domains
    assert lab.kernel.memory.read(lab.kernel.variable("idt_table"), 2048) == kernel_page
    assert ping(lab)
    assert census.take(lab) == before
    assert recovery.trigger.startswith(f"page fault: write to {address:08x} at e1000_")


def test_a_recovered_system_holds_what_a_just_loaded_one_does() -> None:
    with boot_up(armed_driver.armed_driver()) as lab:
        lab.kernel.ifconfig_down("eth0")
        lab.kernel.rmmod("e1000")
        lab.insmod(armed_driver.armed_driver())
        lab.ifup("eth0", armed_driver.OURS, armed_driver.NETMASK)
        lab.run(0.05)
        assert ping(lab)
        loaded = census.take(lab)
        strike(lab, "interrupt", 0)
        assert ping(lab)
        recovered = census.take(lab)
    assert recovered == loaded


def test_twenty_recoveries_hold_what_two_do(lab: Lab) -> None:
    nooks = lab.nooks
    assert nooks is not None
    counts = []
    for turn in range(20):
        arm(lab, PLACES[turn % 2], 4 * turn)
        for _ in range(3):
            lab.peer.send(armed_driver.BROADCAST)
        provoke(lab, PLACES[turn % 2])
        lab.run(0.05)
        counts.append(census.take(lab))
    assert counts[19] == counts[1]
    assert all(recovery.ok and recovery.leaked == 0 for recovery in nooks.recoveries)


def test_unloading_after_recovery_leaves_what_unloading_before_left() -> None:
    with boot_up(armed_driver.armed_driver()) as lab:

        def unloaded() -> census.Census:
            lab.kernel.ifconfig_down("eth0")
            lab.kernel.rmmod("e1000")
            lab.run(0.01)
            return census.take(lab)

        before = unloaded()
        lab.insmod(armed_driver.armed_driver())
        lab.ifup("eth0", armed_driver.OURS, armed_driver.NETMASK)
        lab.run(0.05)
        for place in PLACES:
            strike(lab, place, 0)
        assert lab.nooks is not None
        assert len(lab.nooks.recoveries) == 3
        assert unloaded() == before
        assert lab.nooks.domains == []


def test_the_phases_run_in_their_order(lab: Lab) -> None:
    nooks = lab.nooks
    assert nooks is not None
    strike(lab, "interrupt", 0)
    recovery = nooks.recoveries[-1]
    assert [name for name, _ in recovery.phases] == [phase.name for phase in (FIRST, *PHASES)]
    assert [name for name, _ in recovery.phases] == [
        "disable interrupts",
        "unwind tasks",
        "release objects",
        "unload",
        "reload",
        "release device memory",
    ]
    assert recovery.cycles == sum(cycles for _, cycles in recovery.phases)
    assert recovery.cycles > 0


def test_what_the_device_can_reach_is_released_last(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    nooks = lab.nooks
    assert nooks is not None
    failed = nooks.domains[0]
    order: list[str] = []
    remove, load = nooks.tracker.remove, Modules.load

    def record_remove(tracked: TrackedObject) -> None:
        if tracked.domain == failed.record.address:
            order.append(tracked.type)
        remove(tracked)

    def record_load(self, *arguments):  # type: ignore[no-untyped-def]
        order.append("reload")
        return load(self, *arguments)

    monkeypatch.setattr(nooks.tracker, "remove", record_remove)
    monkeypatch.setattr(Modules, "load", record_load)
    arm(lab, "timer", 0)
    provoke(lab, "timer")
    before, after = order[: order.index("reload")], order[order.index("reload") + 1 :]
    assert set(before) <= set(safe_types())
    assert set(after) <= set(device_types())
    assert {"net_device", "registered_netdev", "pci_driver"} <= set(before)
    assert {"consistent memory", "sk_buff", "dma mapping", "irqaction"} <= set(after)


def test_a_driver_that_cannot_be_loaded_again_is_disabled() -> None:
    with boot_up(armed_driver.armed_driver()) as lab:
        nooks = lab.nooks
        assert nooks is not None
        armed_driver.module(lab).object = extensions.build("e1000.c", "int init_module(void) { return -5; }")
        strike(lab, "interrupt", 0)
        (recovery,) = nooks.recoveries
        assert (recovery.ok, recovery.leaked) == (False, 0)
        assert "nooks: e1000 disabled: its init returned -5" in lab.dmesg()
        assert nooks.domains == []
        assert lab.kernel.modules.loaded == {}
        disabled = census.take(lab)
        assert (disabled.net_devices, disabled.modules, disabled.regions) == ((), (), ())
        for _ in range(5):
            lab.peer.send(armed_driver.BROADCAST)
        lab.run(0.5)
        assert census.take(lab) == disabled
        lab.insmod("e1000")
        assert lab.ifup("eth0", armed_driver.OURS, armed_driver.NETMASK) == 0
        lab.run(0.05)
        assert ping(lab)
        lab.kernel.ifconfig_down("eth0")
        lab.kernel.rmmod("e1000")
        assert census.take(lab) == disabled


def test_a_fault_beneath_init_fails_the_load_and_is_not_recovered() -> None:
    with nl.boot(nooks=True) as lab:
        lab.insmod("e1000")
        lab.kernel.rmmod("e1000")
        before = census.take(lab)
        with pytest.raises(ModuleError, match=r"^module e1000: init_module returned error 5$"):
            lab.insmod(armed_driver.armed_driver(), {"bug_place": NUMBERS["probe"]})
        lab.run(0.5)
        assert "nooks: e1000 failed in its init: page fault: write to 00000000 at e1000_probe" in lab.dmesg()
        assert lab.nooks is not None
        assert (lab.nooks.domains, lab.nooks.recoveries) == ([], [])
        assert census.take(lab) == before
        lab.insmod("e1000")


def test_a_driver_whose_probe_faults_again_is_disabled() -> None:
    with boot_up(armed_driver.armed_driver()) as lab:
        armed_driver.module(lab).parameters = {"bug_place": NUMBERS["probe"]}
        strike(lab, "interrupt", 0)
        lab.run(0.5)
        assert lab.nooks is not None
        (recovery,) = lab.nooks.recoveries
        assert (recovery.ok, recovery.leaked) == (False, 0)
        assert "nooks: e1000 disabled: its init returned -5" in lab.dmesg()
        assert (lab.nooks.domains, lab.kernel.modules.loaded) == ([], {})


def test_a_driver_whose_open_faults_again_is_disabled() -> None:
    with boot_up(armed_driver.armed_driver()) as lab:
        armed_driver.module(lab).parameters = {"bug_place": NUMBERS["open"]}
        strike(lab, "interrupt", 0)
        lab.run(0.5)
        assert "disabled" in lab.dmesg()
        assert lab.nooks is not None
        assert (lab.nooks.domains, lab.kernel.modules.loaded) == ([], {})


def test_a_fault_in_a_process_in_open_comes_back_as_an_error() -> None:
    with nl.boot(nooks=True) as lab:
        lab.peer.on_frame = armed_driver.answer
        lab.insmod(armed_driver.armed_driver())
        arm(lab, "open", 0)
        assert lab.kernel.ifconfig_up("eth0") == -5
        lab.run(0.1)
        assert lab.nooks is not None
        (recovery,) = lab.nooks.recoveries
        assert (recovery.ok, recovery.leaked) == (True, 0)
        assert lab.ifup("eth0", armed_driver.OURS, armed_driver.NETMASK) == 0
        lab.run(0.05)
        assert ping(lab)


@pytest.mark.parametrize("state", ["TASK_INTERRUPTIBLE", "TASK_UNINTERRUPTIBLE"])
def test_a_task_that_sleeps_in_the_driver_leaves_it_with_an_error(state: str) -> None:
    text = armed_driver.armed_source()
    body = text.index("\tif (new_mtu <", text.index("static int e1000_change_mtu("))
    nap = f"\tset_task_state(current, {state});\n\tschedule_timeout(300);\n"
    path = extensions.source("e1000")
    obj = extensions.build("e1000.c", text[:body] + nap + text[body:], include=(path.parent,))
    with boot_up(obj) as lab:
        kernel, nooks = lab.kernel, lab.nooks
        assert nooks is not None
        strike(lab, "interrupt", 0)
        assert ping(lab)
        before = census.take(lab)
        device = kernel.net.by_name("eth0")
        address, change = device.address, device.change_mtu
        sleeper = kernel.start("ifconfig", lambda: kernel.execution.call(change, address, 1400))
        lab.run(0.02)
        assert nooks.xpc.tasks_in(nooks.domains[0]) != []
        failed = kernel.machine.clock.now
        strike(lab, "interrupt", 0)
        kernel.wait(sleeper)
        assert sleeper.result & 0xFFFFFFFF == -5 & 0xFFFFFFFF
        # Whoever cannot be woken sleeps to the end.
        assert (kernel.machine.clock.now - failed < CPU_HZ) == (state == "TASK_INTERRUPTIBLE")
        recovery = nooks.recoveries[-1]
        assert (recovery.ok, recovery.leaked) == (True, 0)
        assert nooks.xpc.tasks_in(nooks.domains[0]) == []
        assert ping(lab)
        assert census.take(lab) == before


def test_the_interrupt_line_works_again(lab: Lab) -> None:
    strike(lab, "interrupt", 0)
    got: list[bytes] = []
    with lab.kernel.tap(lambda device, frame: got.append(frame)):
        for _ in range(10):
            lab.peer.send(armed_driver.BROADCAST)
        lab.run(0.02)
    assert got == [armed_driver.BROADCAST] * 10
