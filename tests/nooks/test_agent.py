"""The recovery agent: what it decides, what it does, and how it ends when it fails itself."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import armed_driver
import census
import pytest
from armed_driver import BROADCAST, NETMASK, OURS, answer, arm, ping, strike

import nooks_lab as nl
from nooks_lab.kernel.sched import TASK_INTERRUPTIBLE
from nooks_lab.lab import Lab
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.machine.devices import e1000_registers as reg
from nooks_lab.nooks.manager import Nooks
from nooks_lab.nooks.recovery.agent import RecoveryAgent
from nooks_lab.nooks.recovery.manager import RecoveryManager
from nooks_lab.nooks.recovery.phases import FIRST, LAST, PHASES, Phase
from nooks_lab.nooks.recovery.policy import GiveUp, Policy, Rule
from nooks_lab.nooks.recovery.record import Recovery
from nooks_lab.nooks.tracking.validate import validate


@contextmanager
def booted(rule: Rule | None = None, **mechanisms) -> Iterator[Lab]:
    """The armed driver, up and answering, under an isolation manager with this rule for it."""
    with nl.boot() as lab:
        lab.nooks = Nooks(lab.kernel, Policy(rule or Rule()), **mechanisms)
        lab.peer.on_frame = answer
        load(lab)
        yield lab


def load(lab: Lab) -> None:
    lab.insmod(armed_driver.armed_driver())
    assert lab.ifup("eth0", OURS, NETMASK) == 0
    lab.run(0.05)
    assert ping(lab)


def manager(lab: Lab) -> Nooks:
    assert lab.nooks is not None
    return lab.nooks


def unloaded(lab: Lab) -> census.Census:
    lab.kernel.ifconfig_down("eth0")
    lab.kernel.rmmod("e1000")
    lab.run(0.02)
    return census.take(lab)


def ends_disabled(lab: Lab, break_it: Callable[[], None] = lambda: None, reason: str = "") -> Recovery:
    """Have the driver fail, and check that it ends as one that was unloaded by hand.

    The rest of the system goes on, every decision is in the log, and the module can be loaded again.
    """
    nooks = manager(lab)
    before = unloaded(lab)
    load(lab)
    break_it()
    strike(lab, "interrupt", 0)
    lab.run(0.5)
    assert (nooks.recovery.running, nooks.recovery.lingering, nooks.domains) == ([], [], [])
    recovery = nooks.recoveries[-1]
    assert (recovery.ok, recovery.leaked, recovery.extension) == (False, 0, "e1000")
    assert any(f"disabled: {reason}" in each for each in recovery.decisions), recovery.decisions
    assert all(each in lab.dmesg() for each in recovery.decisions)
    assert census.take(lab) == before
    assert validate(nooks) == []
    assert lab.kernel.in_task("somebody", lambda: 7) == 7
    for _ in range(5):
        lab.peer.send(BROADCAST)
    lab.run(0.05)
    assert census.take(lab) == before
    return recovery


def runs_by_hand(lab: Lab) -> None:
    load(lab)
    assert manager(lab).domains[0].modules == ["e1000"]


# What it decides


def test_a_failed_extension_is_restarted_and_every_decision_is_logged():
    with booted() as lab:
        strike(lab, "interrupt", 0)
        (recovery,) = manager(lab).recoveries
        assert recovery.ok
        assert recovery.decisions == [f"e1000 failed: {recovery.trigger}", "e1000 is restarted"]
        for each in recovery.decisions:
            assert f"nooks-agent: {each}\n" in lab.dmesg()
        assert ping(lab)


def test_changed_parameters_reach_the_new_instance():
    with booted(Rule(parameters={"RxDescriptors": 32, "TxDescriptors": 128})) as lab:

        def rings() -> tuple[int, int]:
            registers = lab.nic.state.registers
            return registers[reg.RDLEN >> 2] // 16, registers[reg.TDLEN >> 2] // 16

        assert rings() == (64, 64)
        strike(lab, "interrupt", 0)
        assert rings() == (32, 128)
        assert "nooks-agent: e1000 is restarted, RxDescriptors=32, TxDescriptors=128\n" in lab.dmesg()
        assert ping(lab)
        strike(lab, "interrupt", 0)
        assert rings() == (32, 128)


def test_parameters_given_by_hand_stay_unless_policy_changes_them():
    with nl.boot() as lab:
        lab.nooks = Nooks(lab.kernel, Policy(Rule(parameters={"RxDescriptors": 32})))
        lab.insmod(armed_driver.armed_driver(), {"RxDescriptors": 128, "TxDescriptors": 256})
        lab.ifup("eth0", OURS, NETMASK)
        lab.run(0.05)
        strike(lab, "interrupt", 0)
        registers = lab.nic.state.registers
        assert [registers[each >> 2] // 16 for each in (reg.RDLEN, reg.TDLEN)] == [32, 256]


class WithSpare(RecoveryManager):
    """Knows an extension ``spare``: the e1000 as it is, without a bug."""

    def replacement(self, name):
        return super().replacement("e1000" if name == "spare" else name)


def test_another_module_takes_its_place_and_inherits_the_start_up_script():
    policy = Policy(by_extension={"e1000": Rule("replace", "spare", {"RxDescriptors": 32})})
    with nl.boot() as lab:
        lab.nooks = nooks = Nooks(lab.kernel, policy, recovery=WithSpare)
        lab.peer.on_frame = answer
        # A parameter that the other module does not have.
        lab.insmod(armed_driver.armed_driver(), {"bug_place": 0})
        lab.ifup("eth0", OURS, NETMASK)
        lab.run(0.05)
        strike(lab, "interrupt", 0)
        assert nooks.recoveries[-1].ok
        assert list(lab.kernel.modules.loaded) == ["spare"]
        assert nooks.domain_of("e1000") is None
        assert "nooks-agent: e1000 is replaced by spare\n" in lab.dmesg()
        assert ping(lab)
        held = []
        for _ in range(2):
            nooks.recover("spare")
            lab.run(0.1)
            assert ping(lab)
            held.append(census.take(lab))
        assert [(each.extension, each.ok) for each in nooks.recoveries[1:]] == [("spare", True)] * 2
        assert held[0] == held[1]


def test_a_replacement_that_there_is_not_ends_disabled():
    with booted(Rule("replace", "e2000")) as lab:
        ends_disabled(lab, reason="unknown extension 'e2000'")
        runs_by_hand(lab)


def test_policy_can_disable():
    with booted(Rule("disable")) as lab:
        ends_disabled(lab, reason="policy says so")
        runs_by_hand(lab)


def test_who_asked_to_be_notified_is_unless_policy_says_no():
    for notify in (True, False):
        with booted(Rule(notify=notify)) as lab:
            told: list[tuple[str, str]] = []
            manager(lab).recovery.agent.notified.append(
                lambda recovery, told=told: told.append((recovery.extension, recovery.trigger))
            )
            strike(lab, "interrupt", 0)
            assert told == ([("e1000", manager(lab).recoveries[0].trigger)] if notify else [])
            assert manager(lab).recoveries[0].ok


def test_it_gives_up_after_so_many_failures_in_so_many_cycles():
    with booted(Rule(give_up=GiveUp(3, 5 * CPU_HZ))) as lab:
        nooks = manager(lab)
        for _ in range(2):
            strike(lab, "interrupt", 0)
        # Two are forgotten, so that three more are needed.
        lab.run(6.0)
        for turn in range(3):
            assert nooks.recoveries[-1].ok
            strike(lab, "interrupt", 4 * turn)
        assert [each.ok for each in nooks.recoveries] == [True] * 4 + [False]
        assert "nooks-agent: e1000 is disabled: 3 failures in 8,500,000,000 cycles\n" in lab.dmesg()
        assert (nooks.domains, lab.kernel.modules.loaded) == ([], {})


def test_caches_are_written_back_before_anything_is_released():
    with booted(Rule(sync=True)) as lab:
        nooks = manager(lab)
        (domain,) = nooks.domains
        held: list[int] = []
        nooks.recovery.agent.sync.append(lambda: held.append(len(nooks.tracker.objects(domain))))
        before = len(nooks.tracker.objects(domain))
        arm(lab, "interrupt", 0)
        lab.peer.send(BROADCAST)
        lab.run(0.1)
        # The packet whose interrupt failed was the receive ring's already.
        assert held == [before]
        assert nooks.recoveries[0].ok
        log = lab.dmesg()
        assert log.index("caches are written back") < log.index("nooks: e1000 recovered")


def test_without_sync_in_the_policy_nothing_is_written_back():
    with booted() as lab:
        manager(lab).recovery.agent.sync.append(lambda: pytest.fail("nobody asked for it"))
        strike(lab, "interrupt", 0)
        assert manager(lab).recoveries[0].ok


# How it fails


class Confused(RecoveryAgent):
    """Raises instead of deciding."""

    def decide(self, recovery, earlier):
        raise ZeroDivisionError("no idea\nat all")


class Faulty(RecoveryAgent):
    """Its task follows a NULL pointer and is killed by the oops, as any process."""

    def decide(self, recovery, earlier):
        super().decide(recovery, earlier)
        self._nooks.kernel.execution.system_call(lambda: self._nooks.kernel.memory.u32(0))


@pytest.mark.parametrize(
    ("agent", "reason"),
    [(Confused, "the agent died (deciding): no idea"), (Faulty, "the agent died (deciding): exit code 11")],
)
def test_an_agent_that_dies_deciding_leaves_the_extension_disabled(agent, reason):
    with booted(recovery=lambda nooks: RecoveryManager(nooks, agent=agent)) as lab:
        recovery = ends_disabled(lab, reason=reason)
        assert [name for name, _ in recovery.phases] == [FIRST.name, LAST.name]
        runs_by_hand(lab)


def killed(nooks: Nooks, recovery: Recovery) -> None:
    nooks.kernel.execution.system_call(lambda: nooks.kernel.memory.u32(0))


def confused(nooks: Nooks, recovery: Recovery) -> None:
    raise RuntimeError


@pytest.mark.parametrize("work", [killed, confused])
@pytest.mark.parametrize("at", range(len(PHASES)))
def test_an_agent_that_dies_in_any_phase_leaves_the_extension_disabled(at, work):
    order = (*PHASES[:at], Phase(f"instead of {PHASES[at].name}", work), *PHASES[at + 1 :])
    with booted(recovery=lambda nooks: RecoveryManager(nooks, order)) as lab:
        died = "exit code 11" if work is killed else "RuntimeError"
        ends_disabled(lab, reason=f"the agent died (instead of {PHASES[at].name}): {died}")
        runs_by_hand(lab)


def test_an_agent_that_dies_half_way_through_a_phase_leaves_nothing_either():
    def half(nooks: Nooks, recovery: Recovery) -> None:
        PHASES[3].work(nooks, recovery)
        killed(nooks, recovery)

    order = (*PHASES[:3], Phase("reload", half), PHASES[4])
    with booted(recovery=lambda nooks: RecoveryManager(nooks, order)) as lab:
        ends_disabled(lab, reason="the agent died (reload): exit code 11")
        runs_by_hand(lab)


def test_a_notify_that_raises_leaves_the_extension_disabled():
    def tell(recovery: Recovery) -> None:
        raise ConnectionError("the mail server does not answer")

    with booted() as lab:
        manager(lab).recovery.agent.notified.append(tell)
        ends_disabled(lab, reason="the agent died (deciding): the mail server does not answer")
        manager(lab).recovery.agent.notified.clear()
        runs_by_hand(lab)


def test_a_start_up_script_that_dies_leaves_the_extension_disabled():
    for step, reason in [
        (lambda lab: lab.kernel.memory.u32(0), "e1000 disabled: its start-up script died: "),
        (lambda lab: {}["eth7"], "e1000 disabled: its start-up script died: 'eth7'"),
        (lambda lab: -19, "e1000 disabled: its start-up script returned -19"),
    ]:
        with booted() as lab:

            def break_it(lab=lab, step=step) -> None:
                manager(lab).recovery.scripts["e1000"].append(lambda: step(lab))

            recovery = ends_disabled(lab, break_it, "its start-up script")
            assert recovery.decisions[-1].startswith(reason)
            manager(lab).recovery.scripts.clear()
            runs_by_hand(lab)


def test_a_start_up_script_whose_open_faults_leaves_the_extension_disabled():
    with booted(Rule(parameters={"bug_place": armed_driver.NUMBERS["open"]})) as lab:
        ends_disabled(lab, reason="it failed while it was started again")
        assert [each.ok for each in manager(lab).recoveries] == [False, False]
        runs_by_hand(lab)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"bug_place": armed_driver.NUMBERS["probe"]}, "its init returned -5"),
        ({"no_such_parameter": 1}, "module e1000 has no parameter no_such_parameter"),
    ],
)
def test_a_reload_that_fails_leaves_the_extension_disabled(parameters, reason):
    with booted(Rule(parameters=parameters)) as lab:
        ends_disabled(lab, reason=reason)
        runs_by_hand(lab)


def fails_without_memory(lab: Lab, take: Callable[[int], int], seconds: float) -> None:
    """The driver fails at a time when somebody holds all the pairs of pages that there are; a kernel stack is one."""
    kernel, taken = lab.kernel, []
    arm(lab, "interrupt", 0)
    while page := take(1):
        taken.append(page)
    lab.peer.send(BROADCAST)
    lab.run(seconds)
    for page in taken:
        kernel.pages.free(page, 1)


def test_the_agent_has_memory_kept_for_it():
    """What it cannot give the driver is another matter: that is told of no memory, too, and disabled in good order."""
    with booted() as lab:
        nooks = manager(lab)
        fails_without_memory(lab, lab.kernel.pages.alloc, 0.02)
        (recovery,) = nooks.recoveries
        assert [name for name, _ in recovery.phases] == [FIRST.name, *(each.name for each in PHASES)]
        assert recovery.decisions[-1] == "e1000 disabled: its start-up script returned -12"
        assert (recovery.leaked, nooks.domains) == (0, [])
        runs_by_hand(lab)


def test_without_memory_for_the_agent_the_extension_stays_disabled_until_it_is_unloaded():
    with booted() as lab:
        nooks, kernel = manager(lab), lab.kernel
        before = unloaded(lab)
        load(lab)
        fails_without_memory(lab, kernel.pages.alloc_from_reserve, 0.02)
        (recovery,) = nooks.recoveries
        assert not recovery.ok
        assert "nooks: e1000 is disabled: no memory for the kernel stack of task nooks-agent" in lab.dmesg()
        lab.run(0.1)
        kernel.ifconfig_down("eth0")
        kernel.rmmod("e1000")
        lab.run(0.02)
        assert nooks.domains == []
        assert census.take(lab) == before
        runs_by_hand(lab)


# The order of the phases


def bystander(lab: Lab, size: int, seen: list[tuple[str, str]]) -> Phase:
    """Somebody who allocates what is free just then, and looks after a while whether it is still his."""

    def work(nooks: Nooks, recovery: Recovery) -> None:
        kernel = nooks.kernel
        pages = [kernel.pages.alloc(0) for _ in range(size)]
        # Zeros, as of get_zeroed_page: no descriptor that the device finds there names other memory by chance.
        for page in pages:
            kernel.memory.fill(page, 4096, 0)
        before = checksum(lab, pages)
        for _ in range(20):
            lab.peer.send(BROADCAST)
        kernel.sched.set_task_state(kernel.sched.current.address, TASK_INTERRUPTIBLE)
        kernel.sched.schedule_timeout(2)
        seen.append((before, checksum(lab, pages)))
        for page in pages:
            kernel.pages.free(page, 0)

    return Phase("somebody allocates memory", work)


def checksum(lab: Lab, pages: list[int]) -> str:
    return hashlib.sha256(b"".join(lab.kernel.memory.read(page, 4096) for page in pages)).hexdigest()


@pytest.mark.parametrize("device_memory_first", [False, True])
def test_device_memory_released_before_the_device_is_reset_is_written_by_it(device_memory_first):
    with nl.boot() as lab:
        seen: list[tuple[str, str]] = []
        *early, reload, release = PHASES
        watch = bystander(lab, 2048, seen)
        order = (*early, release, watch, reload) if device_memory_first else (*early, reload, release, watch)
        lab.nooks = Nooks(lab.kernel, recovery=lambda nooks: RecoveryManager(nooks, order))
        lab.peer.on_frame = answer
        load(lab)
        strike(lab, "interrupt", 0)
        (recovery,) = lab.nooks.recoveries
        assert [name for name, _ in recovery.phases] == [phase.name for phase in (FIRST, *order)]
        ((before, after),) = seen
        assert (after != before) == device_memory_first
        assert recovery.ok
        assert ping(lab)
