"""Failures that meet: in sequence, at once, beneath each other, during recovery; and those without a fault."""

from collections.abc import Iterator

import armed_driver
import census
import pytest
from armed_driver import BROADCAST, NETMASK, OURS, answer, arm, ping, strike
from companion import BOTTOM, Companion, Relay

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.kernel import execution
from nooks_lab.kernel.errno import EIO
from nooks_lab.kernel.execution import Hang
from nooks_lab.kernel.module import ModuleError
from nooks_lab.kernel.sched import TASK_INTERRUPTIBLE, TASK_UNINTERRUPTIBLE
from nooks_lab.lab import Lab
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.nooks.manager import Nooks
from nooks_lab.nooks.recovery import storm
from nooks_lab.nooks.tracking.validate import validate
from nooks_lab.toolchain.elf import ObjectFile

NIC_LINE = 11


class System:
    """The e1000 and three companions, each in a domain of its own."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        assert lab.nooks is not None
        self.nooks: Nooks = lab.nooks
        self.relay = Relay(lab)
        self.companions = [Companion(lab, name) for name in "abc"]
        self.a, self.b, self.c = self.companions
        for each in self.companions:
            each.load()

    def renew(self) -> None:
        """A domain's pool of stacks grows with the tasks that are in it at a time; that of a new one has one."""
        for each in self.companions:
            self.nooks.recover(each.name)
            self.lab.run(0.1)
        self.settle()

    def settle(self) -> None:
        """Let everything end that is under way."""
        self.lab.run(0.3)
        assert self.nooks.recovery.running == []

    def census(self) -> census.Census:
        return census.take(self.lab)

    def domains(self) -> dict[str, int]:
        """The number of each extension's domain; a recovered one has another."""
        return {each.name: each.number for each in self.nooks.domains}

    def failed_since(self, done: int) -> list[str]:
        """Who has been recovered since; every one of them well, and without a leak."""
        recoveries = self.nooks.recoveries[done:]
        assert all((each.ok, each.leaked, each.blocked) == (True, 0, []) for each in recoveries)
        return [each.extension for each in recoveries]


@pytest.fixture(scope="module")
def booted() -> Iterator[System]:
    with armed_driver.boot_up(armed_driver.armed_driver()) as lab:
        system = System(lab)
        # The first recovery of each sets up what stays.
        system.nooks.recover("e1000")
        system.renew()
        assert ping(lab)
        yield system


@pytest.fixture
def system(booted: System) -> Iterator[System]:
    """Whatever a test does, nothing has leaked afterwards, and the network works."""
    booted.renew()
    assert ping(booted.lab)
    before = booted.census()
    yield booted
    booted.renew()
    assert ping(booted.lab)
    assert booted.census() == before
    assert validate(booted.nooks) == []
    assert sorted(booted.domains()) == ["a", "b", "c", "e1000"]
    assert booted.nooks.recovery.lingering == []


# In sequence


def test_faults_in_sequence_are_recovered_one_after_the_other(system: System) -> None:
    done = len(system.nooks.recoveries)
    expected = []
    for place in ("interrupt", "transmit", "timer", "transmit", "interrupt"):
        strike(system.lab, place, 0)
        for companion, flag in ((system.a, "crash_in_timer"), (system.b, "crash_in_interrupt")):
            companion.set(flag, 1)
            companion.pulse_after(1000)
            system.lab.run(0.2)
        expected += ["e1000", "a", "b"]
    assert system.failed_since(done) == expected


def test_a_fault_in_the_midst_of_anothers_recovery(system: System) -> None:
    done = len(system.nooks.recoveries)
    system.c.set("crash_in_timer", 1)

    def slow() -> None:
        """The start-up script of a sleeps, and c fails meanwhile."""
        system.lab.kernel.sched.set_task_state(system.lab.kernel.sched.current.address, TASK_INTERRUPTIBLE)
        system.lab.kernel.sched.schedule_timeout(20)

    system.nooks.recovery.scripts["a"] = [slow]
    try:
        system.nooks.recover("a")
        system.settle()
    finally:
        del system.nooks.recovery.scripts["a"]
    assert system.failed_since(done) == ["c", "a"]


# At once


def test_two_extensions_fail_in_the_same_tick(system: System) -> None:
    done, others = len(system.nooks.recoveries), system.domains()
    system.a.set("crash_in_timer", 1)
    system.b.set("crash_in_timer", 1)
    system.settle()
    assert sorted(system.failed_since(done)) == ["a", "b"]
    first, second = system.nooks.recoveries[done:]
    # Within one tick; the second is noted while the first one's recovery has not begun its work.
    assert abs(first.started - second.started) < CPU_HZ // 100 // 2
    assert {name: system.domains()[name] for name in ("c", "e1000")} == {
        name: others[name] for name in ("c", "e1000")
    }


def test_all_fail_at_once_and_one_of_them_while_the_wire_is_busy(system: System) -> None:
    done = len(system.nooks.recoveries)
    for each in system.companions:
        each.set("crash_in_timer", 1)
    arm(system.lab, "interrupt", 0)
    for _ in range(10):
        system.lab.peer.send(BROADCAST)
    system.settle()
    assert sorted(system.failed_since(done)) == ["a", "b", "c", "e1000"]


# Beneath each other


ROUTES = ("aba", "abc", "aab")


@pytest.mark.parametrize("route", ROUTES)
def test_a_nested_call_comes_back(system: System, route: str) -> None:
    begin = system.relay.lay(*(getattr(system, name) for name in route))
    assert system.lab.kernel.in_task("caller", begin) == BOTTOM


@pytest.mark.parametrize("when", ["crash_before", "crash_behind"])
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("route", ROUTES)
def test_a_fault_three_calls_deep_costs_the_one_that_made_it(
    system: System, route: str, depth: int, when: str
) -> None:
    done, before = len(system.nooks.recoveries), system.domains()
    begin = system.relay.lay(*(getattr(system, name) for name in route))
    culprit = route[depth - 1]
    getattr(system, culprit).set(when, depth)
    for each in system.companions:
        each.set("answer", 0)
    assert system.lab.kernel.in_task("caller", begin) == -EIO
    # Whoever has called the culprit gets an error for an answer; whoever it has called is done, or never was.
    for name in set(route) - {culprit}:
        called_it = route.index(name) + 1 < depth
        expected = -EIO if called_it else BOTTOM if when == "crash_behind" else 0
        assert getattr(system, name).get("answer") == expected
    system.settle()
    assert system.failed_since(done) == [culprit]
    assert all(system.domains()[name] == before[name] for name in "abc" if name != culprit)


@pytest.mark.parametrize("culprit", "abc")
def test_a_fault_in_interrupt_handlers_nested_in_each_other(
    system: System, culprit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel calls a, whose work b's handler interrupts, which c's handler interrupts."""
    done, before = len(system.nooks.recoveries), system.domains()
    a, b, c = system.companions
    b.set("interrupt_ticks", 1)
    system.lab.run(0.02)
    b.pulse_after(CPU_HZ // 1000)
    # The innermost handler is c's, or a's own: the kernel has called a, interrupted it, and calls it again.
    (a if culprit == "a" else c).pulse_after(CPU_HZ // 500)
    getattr(system, culprit).set("crash_in_interrupt", 1)
    deep: list[int] = []
    entered = system.nooks.xpc.enter

    def watch(domain, call):
        chain = system.nooks.xpc._frames.get(system.lab.kernel.sched.current_pid(), [])
        deep.append(len(chain))
        return entered(domain, call)

    monkeypatch.setattr(system.nooks.xpc, "enter", watch)
    result = system.lab.kernel.in_task("caller", lambda: a.call("wait_for_ticks", 2))
    assert max(deep) >= 2
    assert result == (-EIO if culprit == "a" else 1)
    system.settle()
    assert system.failed_since(done) == [culprit]
    assert all(system.domains()[name] == before[name] for name in "abc" if name != culprit)


# While somebody sleeps


def test_a_fault_in_one_extension_leaves_a_sleeper_in_another_alone(system: System) -> None:
    done = len(system.nooks.recoveries)
    system.b.set("nap_at", 1)
    system.b.set("nap_state", TASK_INTERRUPTIBLE)
    kernel = system.lab.kernel
    begun = kernel.machine.clock.now
    sleeper = kernel.start("sleeper", lambda: system.b.call("step", 1))
    system.lab.run(0.05)
    assert system.nooks.xpc.tasks_in(system.b.domain) == [sleeper.task.pid]
    system.a.set("crash_in_timer", 1)
    system.lab.run(0.3)
    assert system.failed_since(done) == ["a"]
    kernel.wait(sleeper)
    # It has slept its three seconds, and come back as if nothing had been.
    assert kernel.machine.clock.now - begun >= 3 * CPU_HZ - CPU_HZ // 100
    assert (sleeper.result, system.b.get("woken")) == (-4, 0)
    system.b.set("nap_at", 0)


def test_a_task_asleep_beneath_a_failed_extension_comes_back_through_the_other(system: System) -> None:
    """The kernel calls a, which has b called; the task sleeps there while a fails."""
    done, before = len(system.nooks.recoveries), system.domains()
    system.b.set("nap_at", 2)
    system.b.set("nap_state", TASK_INTERRUPTIBLE)
    kernel = system.lab.kernel
    sleeper = kernel.start("sleeper", system.relay.lay(system.a, system.b))
    system.lab.run(0.05)
    assert system.nooks.xpc.innermost(sleeper.task.pid) is system.b.domain
    system.a.set("crash_in_timer", 1)
    begun = kernel.machine.clock.now
    kernel.wait(sleeper)
    assert kernel.machine.clock.now - begun < CPU_HZ // 2
    # b has returned by itself, woken early as by a signal; a has not.
    assert (sleeper.result, system.b.get("answer")) == (-EIO, -4)
    assert system.b.get("woken") > 200
    system.b.set("nap_at", 0)
    system.settle()
    assert system.failed_since(done) == ["a"]
    assert system.domains()["b"] == before["b"]


def test_a_task_asleep_in_the_failed_extension_that_another_has_called(system: System) -> None:
    done, before = len(system.nooks.recoveries), system.domains()
    system.b.set("nap_at", 2)
    system.b.set("nap_state", TASK_INTERRUPTIBLE)
    sleeper = system.lab.kernel.start("sleeper", system.relay.lay(system.a, system.b))
    system.lab.run(0.05)
    system.b.set("crash_in_timer", 1)
    system.lab.kernel.wait(sleeper)
    # a got an error from b, and passed it on.
    assert (sleeper.result, system.a.get("answer")) == (-EIO, -EIO)
    system.settle()
    assert system.failed_since(done) == ["b"]
    assert system.domains()["a"] == before["a"]


def test_an_uninterruptible_sleeper_blocks_complete_recovery_and_is_reported(system: System) -> None:
    nooks, kernel = system.nooks, system.lab.kernel
    done, failed = len(nooks.recoveries), system.a.domain
    system.a.set("nap_at", 1)
    system.a.set("nap_state", TASK_UNINTERRUPTIBLE)
    sleeper = kernel.start("sleeper", lambda: system.a.call("step", 1))
    pid = sleeper.task.pid
    system.lab.run(0.05)
    system.a.set("crash_in_timer", 1)
    system.lab.run(0.5)
    (recovery,) = nooks.recoveries[done:]
    assert (recovery.ok, recovery.leaked, recovery.blocked) == (True, 0, [pid])
    assert f"nooks: task {pid} cannot be unwound from a\n" in system.lab.dmesg()
    assert nooks.recovery.lingering == [failed]
    # The new instance works while the old domain's stack is still in use.
    assert system.a.domain is not failed
    assert kernel.in_task("caller", lambda: system.a.call("wait_for_ticks", 1)) == 1
    kernel.wait(sleeper)
    assert sleeper.result == -EIO
    system.lab.run(0.02)
    assert failed not in nooks.domains


@pytest.mark.parametrize("interruptible", [1, 0])
def test_a_sleeper_on_a_queue_of_the_failed_extensions(system: System, interruptible: int) -> None:
    done = len(system.nooks.recoveries)
    sleepers = [
        system.lab.kernel.start("sleeper", lambda: system.a.call("doze", interruptible)) for _ in range(2)
    ]
    system.lab.run(0.05)
    pids = [sleeper.task.pid for sleeper in sleepers]
    assert system.nooks.xpc.tasks_in(system.a.domain) == pids
    system.a.set("crash_in_timer", 1)
    for sleeper in sleepers:
        system.lab.kernel.wait(sleeper)
        assert sleeper.result == -EIO
    system.settle()
    (recovery,) = system.nooks.recoveries[done:]
    # Nobody else would wake them: that the queue is released does.
    assert (recovery.ok, recovery.leaked) == (True, 0)
    assert recovery.blocked == ([] if interruptible else pids)


def napping_ioctl() -> ObjectFile:
    text = armed_driver.armed_source()
    body = text.index("\tswitch (cmd) {", text.index("static int e1000_ioctl("))
    nap = "\tset_task_state(current, TASK_UNINTERRUPTIBLE);\n\tschedule_timeout(100);\n"
    path = extensions.source("e1000")
    return extensions.build("e1000.c", text[:body] + nap + text[body:], include=(path.parent,))


def test_a_wrapper_that_outlives_the_recovery_cleans_up_in_a_domain_that_is_there() -> None:
    """The ioctl's copy of the argument lies on the heap of the failed domain, and is freed when the task is back."""
    with armed_driver.boot_up(napping_ioctl()) as lab:
        kernel, nooks = lab.kernel, lab.nooks
        assert nooks is not None
        strike(lab, "interrupt", 0)
        assert ping(lab)
        before = census.take(lab)
        ifreq = kernel.slab.zalloc(kernel.types.size("ifreq"))
        device = kernel.net.by_name("eth0")
        caller = kernel.start("ethtool", lambda: kernel.net.ioctl(device, ifreq, 0x8947))
        pid = caller.task.pid
        lab.run(0.05)
        strike(lab, "interrupt", 0)
        kernel.wait(caller)
        kernel.slab.free(ifreq)
        lab.run(0.02)
        assert caller.result == -EIO
        assert nooks.recoveries[-1].blocked == [pid]
        assert nooks.recovery.lingering == []
        assert len(nooks.domains) == 1
        assert ping(lab)
        assert census.take(lab) == before
        assert validate(nooks) == []


# Without a fault


def test_an_extension_that_waits_for_ever_is_stopped_after_a_second(system: System) -> None:
    done = len(system.nooks.recoveries)
    kernel = system.lab.kernel
    begun = kernel.machine.clock.now
    assert kernel.in_task("caller", lambda: system.a.call("chatter", 0)) == -EIO
    assert CPU_HZ <= kernel.machine.clock.now - begun < 1.1 * CPU_HZ
    system.settle()
    assert system.failed_since(done) == ["a"]
    assert system.nooks.recoveries[-1].trigger.startswith("livelock: after 1,7")


def unacknowledging(instead: str = "udelay(100);") -> ObjectFile:
    """The e1000 with a handler that, once armed, does not read the register that quiets the device."""
    text = armed_driver.armed_source()
    body = text.index("\twhile (work-- > 0) {\n", text.index("static void e1000_intr("))
    bug = f"\tif (bug_place == 7) {{\n\t\t{instead}\n\t\treturn;\n\t}}\n"
    path = extensions.source("e1000")
    return extensions.build("e1000.c", text[:body] + bug + text[body:], include=(path.parent,))


@pytest.mark.parametrize("nooks", [False, True])
def test_a_handler_that_never_acknowledges_storms_for_ever_unless_it_is_recovered(nooks: bool) -> None:
    with nl.boot(nooks=nooks) as lab:
        lab.peer.on_frame = answer
        lab.insmod(unacknowledging())
        assert lab.ifup("eth0", OURS, NETMASK) == 0
        lab.run(0.05)
        assert ping(lab)
        lab.kernel.memory.set_u32(armed_driver.symbol(lab, "bug_place"), 7)
        lab.peer.send(BROADCAST)

        def interrupts() -> int:
            return lab.machine.interrupts_delivered.get(NIC_LINE, 0)

        before, begun = interrupts(), lab.machine.clock.now
        if not nooks:
            # Each takes 100 us and a little: there is no time that is not spent in the handler.
            with pytest.raises(Hang, match="interrupts leave the CPU no time"):
                lab.run(5)
            assert (interrupts() - before) * 100e-6 > 0.95 * (lab.machine.clock.now - begun) / CPU_HZ
            return
        lab.run(0.5)
        first, before = interrupts() - before, interrupts()
        lab.run(0.5)
        second = interrupts() - before
        assert lab.nooks is not None
        (recovery,) = lab.nooks.recoveries
        assert (recovery.ok, recovery.leaked) == (True, 0)
        assert recovery.trigger.startswith("livelock: interrupts of line 11 have taken ")
        # The detector's window is a hundredth of a second, and the first may have begun before the storm.
        assert 90 < first < 200
        assert second < 10
        assert ping(lab)


def test_a_storm_of_short_interrupts_is_recovered_however_much_work_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As much work for its time as a driver's with many accesses and calls.
    monkeypatch.setattr(execution, "BUSY_LIMIT", execution.BUSY_LIMIT // 4)
    with nl.boot(nooks=True) as lab:
        lab.peer.on_frame = answer
        lab.insmod(unacknowledging(""))
        assert lab.ifup("eth0", OURS, NETMASK) == 0
        lab.run(0.05)
        lab.kernel.memory.set_u32(armed_driver.symbol(lab, "bug_place"), 7)
        lab.peer.send(BROADCAST)
        lab.run(0.5)
        assert lab.nooks is not None
        (recovery,) = lab.nooks.recoveries
        assert (recovery.ok, recovery.leaked) == (True, 0)
        assert recovery.trigger.startswith("livelock: interrupts of line 11 have taken ")
        assert ping(lab)


def test_heavy_but_honest_traffic_is_no_storm(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    # A fifth of the detector's window, which is stricter, and takes a fifth of the time.
    window = storm.STORM_CYCLES // 5
    monkeypatch.setattr(storm, "STORM_CYCLES", window)
    done, begun = len(system.nooks.recoveries), system.lab.machine.clock.now
    frame = BROADCAST + bytes(1400)
    got: list[int] = []
    with system.lab.kernel.tap(lambda device, data: got.append(len(data))):
        # A gigabit a second, for longer than a window.
        for _ in range(2_500):
            system.lab.peer.send(frame)
        system.lab.run(0.05)
    assert system.lab.peer.line_free_at - begun > 1.4 * window
    assert len(got) > 1_000
    assert system.failed_since(done) == []


# Asked for


def test_recovery_of_an_extension_that_there_is_not_names_those_there_are(system: System) -> None:
    with pytest.raises(
        LookupError, match=r"^no extension 'e100' runs in a domain; there are: a, b, c, e1000$"
    ):
        system.nooks.recover("e100")


def test_recovery_can_be_asked_for(system: System) -> None:
    done = len(system.nooks.recoveries)
    system.nooks.recover("b", "an operator wants it")
    system.nooks.recover("b", "another one, too")
    system.settle()
    assert system.failed_since(done) == ["b"]
    assert system.nooks.recoveries[-1].trigger == "an operator wants it"


# While it is loaded, and unloaded


def test_a_failed_init_masks_its_line_and_releases_everything(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = system.lab
    lab.kernel.rmmod("c")
    before = system.census()
    # Its device pulls the line from the moment on that somebody listens, so that init gets no further.
    monkeypatch.setattr(storm, "STORM_CYCLES", CPU_HZ // 1000)
    lab.machine.pic.hold(system.c.line, "its device")
    done = len(system.nooks.recoveries)
    interrupts = lab.machine.interrupts_delivered.get(system.c.line, 0)
    with pytest.raises(ModuleError, match="init_module returned error 5"):
        system.c.load(crash_in_init=1)
    assert "c failed in its init: livelock: interrupts of line " in lab.dmesg()
    lab.run(0.3)
    assert system.failed_since(done) == []
    assert lab.machine.pic.masked(system.c.line)
    assert lab.machine.interrupts_delivered.get(system.c.line, 0) - interrupts < 1000
    assert system.census() == before
    lab.machine.pic.release(system.c.line, "its device")
    system.c.load()
    system.c.pulse_after(1000)
    lab.run(0.1)
    assert system.c.get("interrupts") == 1


def test_a_fault_in_cleanup_still_unloads(system: System) -> None:
    lab, done = system.lab, len(system.nooks.recoveries)
    lab.kernel.rmmod("c")
    lab.run(0.1)
    before = system.census()
    system.c.load()
    system.c.set("crash_in_cleanup", 1)
    lab.kernel.rmmod("c")
    lab.run(0.3)
    (recovery,) = system.nooks.recoveries[done:]
    # Nobody wants it back.
    assert (recovery.ok, recovery.leaked) == (False, 0)
    assert system.census() == before
    system.c.load()


def crashing_when_closed() -> ObjectFile:
    text = armed_driver.armed_source()
    body = text.index("\te1000_down(adapter);", text.index("static int e1000_close("))
    bug = "\tif (bug_place == 8)\n\t\t*(volatile int *)bug_address = 1;\n"
    path = extensions.source("e1000")
    return extensions.build("e1000.c", text[:body] + bug + text[body:], include=(path.parent,))


def test_a_fault_while_the_interface_goes_down_is_recovered() -> None:
    with armed_driver.boot_up(crashing_when_closed()) as lab:
        strike(lab, "interrupt", 0)
        assert ping(lab)
        before = census.take(lab)
        assert lab.nooks is not None
        lab.kernel.memory.set_u32(armed_driver.symbol(lab, "bug_place"), 8)
        lab.kernel.ifconfig_down("eth0")
        lab.run(0.2)
        assert [(each.ok, each.leaked) for each in lab.nooks.recoveries] == [(True, 0)] * 2
        assert "at e1000_close" in lab.nooks.recoveries[-1].trigger
        # The start-up script has brought it up again.
        assert ping(lab)
        assert census.take(lab) == before
