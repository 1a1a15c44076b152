"""Trials of real extensions: the same each time, in a fork and without, and judged by what is there."""

from dataclasses import replace

import pytest

from nooks_lab.campaign.outcome import Outcome
from nooks_lab.campaign.run_trial import SYSTEMS, kept_system, run_trial
from nooks_lab.campaign.system import SystemKey
from nooks_lab.campaign.trial import TrialResult, TrialSpec
from nooks_lab.faults.injector import NothingQualifies, UnknownFaultClass

CRASHING = TrialSpec("e1000", 1, 15, nooks=False)
"""A trial that ends in a panic natively."""


@pytest.fixture(scope="module")
def some() -> list[TrialResult]:
    return [
        run_trial(TrialSpec("e1000", 1, number, nooks)) for number in range(12) for nooks in (False, True)
    ]


def test_both_sides_get_the_same_faults(some: list[TrialResult]) -> None:
    for native, nooks in zip(some[::2], some[1::2], strict=True):
        assert native.object_sha256 == nooks.object_sha256
        assert [(f.kind, f.offset, f.symbol) for f in native.faults] == [
            (f.kind, f.offset, f.symbol) for f in nooks.faults
        ]
        assert len(native.faults) == 5


def test_native_crashes_are_recovered_under_nooks_and_leave_nothing(some: list[TrialResult]) -> None:
    crashed = [
        (native, nooks)
        for native, nooks in zip(some[::2], some[1::2], strict=True)
        if native.outcome is Outcome.CRASH
    ]
    assert len(crashed) >= 3
    for native, nooks in crashed:
        assert native.reason.split(":")[0] in ("panic", "hang", "reset")
        assert nooks.outcome is Outcome.RECOVERED
        assert nooks.recoveries >= 1
        assert nooks.recovery_cycles > 0
        assert not nooks.leaked
        assert any("recovered" in event for event in nooks.events)


def test_without_an_activated_fault_nothing_happens(some: list[TrialResult]) -> None:
    quiet = [result for result in some if not result.activated]
    assert quiet
    assert {result.outcome for result in quiet} == {Outcome.NO_EFFECT}


@pytest.mark.parametrize("nooks", [False, True])
def test_a_trial_is_the_same_again_and_without_fork(nooks: bool) -> None:
    spec = replace(CRASHING, nooks=nooks)
    first = run_trial(spec)
    assert run_trial(spec) == first
    assert run_trial(spec, fork=False) == first


def test_without_faults_there_is_no_effect() -> None:
    for nooks in (False, True):
        result = run_trial(TrialSpec("e1000", 1, 0, nooks, faults=0))
        assert (result.outcome, result.faults, result.recoveries) == (Outcome.NO_EFFECT, (), 0)


def test_panic_on_oops_turns_a_killed_process_into_a_crash() -> None:
    killed = next(
        spec
        for number in range(60)
        if run_trial(spec := TrialSpec("sb", 1, number, nooks=False)).outcome is Outcome.PROCESS_KILLED
    )
    result = run_trial(replace(killed, panic_on_oops=True))
    assert (result.outcome, result.reason) == (Outcome.CRASH, "panic: Fatal exception")


def test_a_nanny_recovers_what_fails_in_silence() -> None:
    failed = next(
        spec
        for number in range(80)
        if run_trial(spec := TrialSpec("e1000", 1, number, nooks=True)).outcome is Outcome.FAILURE
    )
    result = run_trial(replace(failed, nanny=True))
    assert result.outcome is Outcome.RECOVERED
    assert "the nanny's probe failed" in " ".join(result.events)


def test_a_process_keeps_two_systems() -> None:
    for nooks in (False, True):
        kept_system(SystemKey("e1000", nooks, nooks))
    first = kept_system(SystemKey("e1000", False, False))
    assert kept_system(SystemKey("e1000", False, False)) is first
    assert SYSTEMS == 2


@pytest.mark.parametrize("fork", [False, None])
def test_what_there_is_not_is_told(fork: bool | None) -> None:
    with pytest.raises(UnknownFaultClass, match="no-such"):
        run_trial(replace(CRASHING, classes=("no-such",)), fork=fork)
    with pytest.raises(NothingQualifies, match="no instruction of vfat qualifies for: interrupt state"):
        run_trial(TrialSpec("vfat", 1, 0, nooks=False, classes=("interrupt state",)), fork=fork)
