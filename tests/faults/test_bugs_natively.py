"""What plain Linux makes of each bug."""

from functools import cache

import pytest
from measured_bugs import MEASURED

from nooks_lab.campaign.outcome import Outcome
from nooks_lab.faults.bugs.library import find_bug
from nooks_lab.faults.bugs.provoke import Provoked, provoke


@cache
def natively(name: str) -> Provoked:
    return provoke(find_bug(name), nooks=False)


@pytest.mark.parametrize("name", MEASURED)
def test_natively_a_bug_does_what_was_measured(name: str) -> None:
    provoked = natively(name)
    assert provoked.outcome == MEASURED[name].native, provoked
    assert not provoked.triggers
    if provoked.outcome is Outcome.PROCESS_KILLED:
        assert "EIP is at" in provoked.reason or "kernel BUG" in provoked.reason


def test_a_pointer_never_set_makes_the_driver_overwrite_its_own_code_unnoticed() -> None:
    provoked = natively("stack-3")
    assert provoked.damaged == ("text of e1000",)
    assert (provoked.failed, provoked.killed) == ((), ())


@pytest.mark.parametrize("name", ["3c59x-open-leak", "3c90x-packet-not-freed", "pcnet32-error-path-leak"])
def test_what_a_leak_has_cost_is_counted(name: str) -> None:
    assert natively(name).leaked["slab objects"] >= 1
