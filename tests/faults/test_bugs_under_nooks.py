"""What Nooks makes of each bug; some it does not notice, and some it cannot mend."""

import re
from functools import cache

import pytest
from measured_bugs import MEASURED, RECOVERED

from nooks_lab.faults.bugs.library import faulty_driver, find_bug, manual_bugs
from nooks_lab.faults.bugs.provoke import Provoked, provoke


@cache
def under_nooks(name: str) -> Provoked:
    return provoke(find_bug(name), nooks=True)


@pytest.mark.parametrize("name", MEASURED)
def test_under_nooks_a_bug_does_what_was_measured(name: str) -> None:
    provoked, measured = under_nooks(name), MEASURED[name]
    assert provoked.outcome == measured.nooks, provoked
    assert re.fullmatch(measured.trigger, provoked.triggers[0] if provoked.triggers else "")
    assert provoked.object_sha256 == faulty_driver(find_bug(name)).sha256
    if measured.nooks is RECOVERED:
        assert (provoked.leaked, provoked.damaged) == ({}, ())


@pytest.mark.parametrize("name", [bug.id for bug in manual_bugs()])
def test_each_of_the_papers_bugs_is_detected_and_recovered_once(name: str) -> None:
    provoked = under_nooks(name)
    assert provoked.outcome is RECOVERED
    assert len(provoked.triggers) == 1
    calls = ("sprintf", "kfree", "pci_map_single", "free_irq")
    checked = provoked.triggers[0].split(":")[0] in calls
    assert provoked.detection == ("parameter check" if checked else "exception")


def test_an_endless_loop_that_calls_the_kernel_is_a_livelock() -> None:
    assert under_nooks("es1371-endless-poll").detection == "livelock"
    assert under_nooks("es1371-interrupt-not-acknowledged").detection == "livelock"


def test_what_is_only_kept_is_released_when_the_driver_is_unloaded() -> None:
    assert under_nooks("3c59x-open-leak").leaked == {}
    assert under_nooks("pcnet32-error-path-leak").leaked == {"slab objects": 1, "tracker entries": 1}
