"""Fifteen mistakes of real programmers: what they do to plain Linux, and what Nooks makes of them."""

import re
from dataclasses import dataclass, replace
from functools import cache

import armed_driver
import census
import pytest
from armed_driver import ping
from provocations import PARAMETERS, PROVOCATIONS

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.faults.manual_bugs import (
    ManualBug,
    UnknownBug,
    catalogue,
    faulty_driver,
    faulty_source,
    manual_bug,
)
from nooks_lab.faults.wild_store import PatchError
from nooks_lab.lab import Lab
from nooks_lab.machine.exceptions import NAMES
from nooks_lab.replay import SYSTEM_ENDS, end_of
from nooks_lab.toolchain.elf import ObjectFile

BUGS = [bug.id for bug in catalogue()]


@dataclass(frozen=True)
class Measured:
    """What came of a bug: natively, and under Nooks how it was noticed and with which words."""

    native: str
    detection: str
    trigger: str


MEASURED = {
    "null-check-1": Measured(
        "panic", "exception", r"page fault: read of 000000\w\w at e1000_alloc_rx_buffers .*"
    ),
    "null-check-2": Measured("oops", "exception", r"page fault: write to 00000000 at memset .*"),
    # pci_unmap_single of junk comes first, but it is deferred: the CPU meets the next store before it is checked.
    "null-check-3": Measured("oops", "exception", r"page fault: write to 00000008 at e1000_clean_ring .*"),
    "stack-1": Measured("panic", "exception", r"page fault: read of \w{8} at e1000_blink_led .*"),
    "stack-2": Measured("oops", "exception", r"page fault: read of \w{8} at e1000_clean_ring .*"),
    "stack-3": Measured("silent", "parameter check", r"sprintf: \w{8} is no memory of domain e1000"),
    "heap-1": Measured("oops", "exception", r"page fault: write to 5a5a5a62 at e1000_clean_ring .*"),
    "heap-2": Measured("oops", "exception", r"page fault: write to \w{8} at e1000_ioctl .*"),
    "heap-3": Measured("oops", "exception", r"page fault: write to \w{8} at e1000_ioctl .*"),
    "user-pointer-1": Measured("silent", "exception", r"page fault: read of 0804\w{4} at e1000_ioctl .*"),
    "user-pointer-2": Measured("silent", "exception", r"page fault: write to 0804\w{4} at e1000_ioctl .*"),
    "user-pointer-3": Measured("oops", "exception", r"page fault: write to 08058000 at memcpy .*"),
    "double-free-1": Measured("oops", "parameter check", r"kfree: \w{8} is no object of domain e1000"),
    # The second free is an inline that counts the junk of the first one down: nobody notices.
    # Natively the second free is an inline that counts down the junk of the first one: nobody notices.
    "double-free-2": Measured(
        "silent", "parameter check", r"pci_map_single: 5a5a5a5a is no buffer of domain e1000"
    ),
    "double-free-3": Measured(
        "silent", "parameter check", r"free_irq: \w{8} is no irqaction of domain e1000"
    ),
}


@cache
def compiled(name: str) -> ObjectFile:
    return faulty_driver(manual_bug(name))


def boot_up(name: str, *, nooks: bool) -> Lab:
    """Boot with the good driver and change it for the faulty one, so that memory has been used before."""
    lab = nl.boot(nooks=nooks)
    lab.peer.on_frame = armed_driver.answer
    for what, parameters in (("e1000", None), (compiled(name), PARAMETERS.get(name))):
        if lab.kernel.modules.loaded:
            lab.kernel.ifconfig_down("eth0")
            lab.kernel.rmmod("e1000")
        lab.insmod(what, parameters)
        bring_up(lab)
        assert ping(lab)
    return lab


def bring_up(lab: Lab) -> None:
    assert lab.ifup("eth0", armed_driver.OURS, armed_driver.NETMASK) == 0
    lab.run(0.05)


def detection(trigger: str) -> str:
    """A failure that the CPU noticed is named by its exception, any other by the function that refused."""
    return "exception" if trigger.split(":")[0] in NAMES.values() else "parameter check"


@pytest.mark.parametrize("name", BUGS)
def test_nooks_detects_the_bug_and_recovers_the_driver(name: str) -> None:
    with boot_up(name, nooks=True) as lab:
        nooks = lab.nooks
        assert nooks is not None
        before = census.take(lab)
        PROVOCATIONS[name](lab)
        lab.run(0.3)
        (recovery,) = nooks.recoveries
        assert re.fullmatch(MEASURED[name].trigger, recovery.trigger)
        assert detection(recovery.trigger) == MEASURED[name].detection
        assert (recovery.ok, recovery.leaked) == (True, 0)
        assert ping(lab)
        assert census.take(lab) == before
        assert armed_driver.module(lab).object.sha256 == compiled(name).sha256


@pytest.mark.parametrize("name", BUGS)
def test_natively_the_same_bytes_do_what_was_measured(name: str) -> None:
    with boot_up(name, nooks=False) as lab:
        assert armed_driver.module(lab).object.sha256 == compiled(name).sha256
        outcome = "silent"
        try:
            PROVOCATIONS[name](lab)
            lab.run(0.3)
        except SYSTEM_ENDS as event:
            outcome, _ = end_of(event)
        assert outcome == MEASURED[name].native
        assert ("Oops" in lab.dmesg() or "kernel BUG" in lab.dmesg()) == (outcome != "silent")
        if outcome == "silent":
            bring_up(lab)
            assert ping(lab)


def test_a_pointer_never_set_makes_the_driver_overwrite_its_own_code_unnoticed() -> None:
    with boot_up("stack-3", nooks=False) as lab:
        image = armed_driver.module(lab).image
        assert image is not None
        start, end = image.text
        code = lab.kernel.memory.read(start, end - start)
        PROVOCATIONS["stack-3"](lab)
        assert lab.kernel.memory.read(start, end - start) != code
        assert ping(lab)


@pytest.mark.parametrize("nooks", [False, True])
def test_the_unchanged_driver_survives_every_provocation(nooks: bool) -> None:
    with nl.boot(nooks=nooks) as lab:
        lab.peer.on_frame = armed_driver.answer
        lab.insmod("e1000", {"TxDescriptors": 1024})
        for provoke in PROVOCATIONS.values():
            bring_up(lab)
            provoke(lab)
            bring_up(lab)
            assert ping(lab)
            lab.kernel.ifconfig_down("eth0")
        assert "Oops" not in lab.dmesg()
        assert lab.nooks is None or lab.nooks.recoveries == []


def test_there_are_three_places_of_each_of_the_papers_mistakes() -> None:
    kinds = [bug.kind for bug in catalogue()]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "null check removed": 3,
        "uninitialised stack variable": 3,
        "uninitialised heap variable": 3,
        "user pointer dereferenced": 3,
        "double free": 3,
    }
    assert len(set(BUGS)) == len({(bug.before, bug.after) for bug in catalogue()}) == 15
    assert set(BUGS) == set(PROVOCATIONS) == set(MEASURED)


@pytest.mark.parametrize("bug", catalogue(), ids=BUGS)
def test_a_bug_changes_the_function_that_it_names(bug: ManualBug) -> None:
    text = extensions.source("e1000").read_text()
    start = re.search(rf"^static .*\b{bug.function}\(.*\)\n{{", text, re.MULTILINE)
    assert start is not None
    end = text.index("\n}\n", start.end())
    assert start.end() < text.index(bug.before) < end
    changed = faulty_source(bug)
    assert changed[: start.end()] == text[: start.end()]
    assert changed.endswith(text[end:])


@pytest.mark.parametrize("before", ["no such text", "return -EFAULT;"])
def test_a_text_that_does_not_stand_there_once_is_refused(before: str) -> None:
    bug = replace(catalogue()[0], id="mine", before=before)
    times = extensions.source("e1000").read_text().count(before)
    assert times != 1
    with pytest.raises(
        PatchError, match=rf"^mine: e1000.c has this text {times} times, not once: '{before}'$"
    ):
        faulty_source(bug)


def test_an_unknown_bug_is_refused_by_name() -> None:
    with pytest.raises(UnknownBug, match="unknown bug 'null-check-4'; there are: null-check-1, "):
        manual_bug("null-check-4")
