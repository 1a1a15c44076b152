"""The nanny: it notices a driver that has fallen silent, and leaves a recovery that runs alone."""

from collections.abc import Iterator

import census
import pytest
from armed_driver import NETMASK, OURS, THEIRS, answer, arm, armed_source, module, ping, symbol

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.kernel.timers import CYCLES_PER_JIFFY
from nooks_lab.lab import Lab
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.nooks.recovery.nanny import Nanny
from nooks_lab.toolchain.elf import ObjectFile

EVERY = CPU_HZ // 10


def deaf_driver() -> ObjectFile:
    """The e1000 with a bug that breaks no rule: once armed, it drops whatever it is to send."""
    text = armed_source()
    at = text.index("\tif (skb->len == 0", text.index("static int e1000_xmit_frame("))
    drop = "\tif (bug_place == 9) {\n\t\tdev_kfree_skb_any(skb);\n\t\treturn 0;\n\t}\n"
    path = extensions.source("e1000")
    return extensions.build("e1000.c", text[:at] + drop + text[at:], include=(path.parent,))


def fall_silent(lab: Lab) -> None:
    lab.kernel.memory.set_u32(symbol(lab, "bug_place"), 9)


def boot(nooks: bool) -> Lab:
    lab = nl.boot(nooks=nooks)
    lab.peer.on_frame = answer
    lab.insmod(deaf_driver())
    assert lab.ifup("eth0", OURS, NETMASK) == 0
    lab.run(0.05)
    assert ping(lab)
    return lab


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with boot(nooks=True) as booted:
        assert booted.nooks is not None
        booted.nooks.recover("e1000")
        booted.run(0.2)
        assert ping(booted)
        yield booted


def hired(lab: Lab, patience: int = 3) -> Nanny:
    probe = lambda: lab.kernel.inet.ping(THEIRS, timeout=0.05)  # noqa: E731 - as a notebook writes it
    nanny = Nanny(lab.nooks, "e1000", probe, EVERY, patience)
    nanny.start()
    return nanny


def test_a_healthy_driver_is_left_alone(lab: Lab) -> None:
    assert lab.nooks is not None
    before, recoveries = census.take(lab), len(lab.nooks.recoveries)
    nanny = hired(lab)
    lab.run(1.0)
    assert 8 <= nanny.probes <= 10
    assert (nanny.failures, nanny.recoveries, nanny.detections) == (0, 0, [])
    assert len(lab.nooks.recoveries) == recoveries
    nanny.stop()
    lab.run(0.02)
    assert not nanny.running
    assert census.take(lab) == before


@pytest.mark.parametrize("patience", [1, 3])
def test_a_silent_driver_is_recovered_after_so_many_probes(lab: Lab, patience: int) -> None:
    nooks = lab.nooks
    assert nooks is not None
    before, recoveries = census.take(lab), len(nooks.recoveries)
    nanny = hired(lab, patience)
    lab.run(0.15)
    fall_silent(lab)
    lab.run(0.5 + 0.2 * patience)
    nanny.stop()
    lab.run(0.1)
    assert len(nooks.recoveries) == recoveries + 1
    recovery = nooks.recoveries[-1]
    assert (recovery.ok, recovery.leaked) == (True, 0)
    assert recovery.trigger == f"the nanny's probe failed {patience} times in a row"
    assert (nanny.failures, nanny.recoveries) == (patience, 1)
    # From the last answer on: so many rests, and so many time-outs of the probe.
    (detection,) = nanny.detections
    whole = patience * (EVERY + CPU_HZ // 20)
    assert whole - 2 * CYCLES_PER_JIFFY <= detection <= whole + 2 * patience * CYCLES_PER_JIFFY
    for said in (
        f"nooks-nanny: e1000 does not answer ({patience} of {patience})",
        "asks for recovery of e1000",
    ):
        assert said in lab.dmesg()
    assert ping(lab)
    assert census.take(lab) == before


def test_it_does_not_ask_again_while_a_recovery_runs(lab: Lab) -> None:
    nooks = lab.nooks
    assert nooks is not None
    nanny = hired(lab, patience=1)
    recoveries = len(nooks.recoveries)

    def slow() -> None:
        """A start-up script that takes its time: the driver cannot answer until it has ended."""
        sched = lab.kernel.sched
        sched.set_task_state(sched.current.address, 1)
        sched.schedule_timeout(60)

    nooks.recovery.scripts["e1000"].insert(0, slow)
    try:
        nooks.recover("e1000", "an operator")
        lab.run(1.0)
    finally:
        nooks.recovery.scripts["e1000"].remove(slow)
        nanny.stop()
        lab.run(0.02)
    assert len(nooks.recoveries) == recoveries + 1
    assert nooks.recoveries[-1].trigger == "an operator"
    assert nanny.recoveries == 0
    assert ping(lab)


def test_a_fault_that_nooks_sees_itself_is_no_business_of_the_nannys(lab: Lab) -> None:
    nooks = lab.nooks
    assert nooks is not None
    nanny = hired(lab)
    arm(lab, "transmit", 0)
    recoveries = len(nooks.recoveries)
    lab.run(0.6)
    nanny.stop()
    lab.run(0.02)
    assert nanny.recoveries == 0
    assert len(nooks.recoveries) == recoveries + 1
    assert nooks.recoveries[-1].trigger.startswith("page fault: write to 00000000 at e1000_xmit_frame")


def test_a_probe_that_raises_has_failed(lab: Lab) -> None:
    nooks = lab.nooks
    assert nooks is not None

    def broken() -> None:
        raise LookupError("no such service")

    nanny = Nanny(nooks, "e1000", broken, EVERY, patience=1000)
    nanny.start()
    lab.run(0.35)
    nanny.stop()
    lab.run(0.02)
    assert nanny.probes == nanny.failures == 3


def test_an_extension_that_has_gone_is_not_asked_for() -> None:
    with boot(nooks=True) as lab:
        nanny = hired(lab, patience=1)
        lab.kernel.ifconfig_down("eth0")
        lab.kernel.rmmod("e1000")
        lab.run(0.5)
        assert (nanny.recoveries, nanny.probes) == (0, 0)
        lab.insmod(deaf_driver())
        lab.ifup("eth0", OURS, NETMASK)
        lab.run(0.5)
        assert nanny.probes > 0
        fall_silent(lab)
        lab.run(0.5)
        assert nanny.recoveries == 1
        nanny.stop()
        assert ping(lab)


def test_natively_it_does_nothing() -> None:
    with boot(nooks=False) as lab:
        tasks = len(lab.kernel.sched.threads)
        nanny = hired(lab)
        assert len(lab.kernel.sched.threads) == tasks
        fall_silent(lab)
        lab.run(1.0)
        nanny.stop()
        assert (nanny.running, nanny.probes, nanny.recoveries) == (False, 0, 0)
        assert module(lab).name == "e1000"
        assert not ping(lab)


@pytest.mark.parametrize(("name", "value"), [("every", 0), ("every", -1), ("patience", 0)])
def test_a_senseless_period_is_refused(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"^{name} is {value}; it must be positive$"):
        Nanny(None, "e1000", lambda: True, **{name: value})
