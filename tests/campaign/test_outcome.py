"""The rules that decide a trial's outcome, one by one, and that every trial has one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nooks_lab.campaign.outcome import Observation, Outcome, judge

TOLD = ("send-stream: connection timed out, 2 times",)
UNTOLD = ("send-stream: byte 7 arrived as 0x01 and was 0x00",)


@pytest.mark.parametrize(
    ("seen", "outcome", "reason"),
    [
        (Observation(), Outcome.NO_EFFECT, ""),
        (Observation(end="panic: Aiee", recoveries=1, wrong=TOLD), Outcome.CRASH, "panic: Aiee"),
        (Observation(recoveries=1), Outcome.RECOVERED, ""),
        (Observation(recoveries=1, wrong=TOLD, disk=("x is lost",)), Outcome.RECOVERED, ""),
        (Observation(recoveries=1, killed=1), Outcome.RECOVERED, ""),
        (
            Observation(recoveries=2, not_recovered=("e1000 is disabled",)),
            Outcome.RECOVERY_FAILED,
            "e1000 is disabled",
        ),
        (
            Observation(recoveries=1, stuck=True),
            Outcome.RECOVERY_FAILED,
            "the workload hangs after the recovery",
        ),
        (
            Observation(recoveries=1, serves=False, wrong=TOLD),
            Outcome.RECOVERY_FAILED,
            f"the service is not back: {TOLD[0]}",
        ),
        (
            Observation(recoveries=1, leaked={"timers": 1, "tasks": 2}),
            Outcome.RECOVERY_FAILED,
            "left behind: 1 timers, 2 tasks",
        ),
        (Observation(recoveries=1, damaged=("idt",)), Outcome.RECOVERY_FAILED, "changed: idt"),
        (Observation(killed=2, wrong=TOLD), Outcome.PROCESS_KILLED, "an oops killed 2 processes"),
        (Observation(stuck=True), Outcome.FAILURE, "the workload hangs"),
        (Observation(wrong=(*UNTOLD, *TOLD), unnoticed=UNTOLD), Outcome.FAILURE, TOLD[0]),
        (Observation(wrong=UNTOLD, unnoticed=UNTOLD), Outcome.SILENT_CORRUPTION, UNTOLD[0]),
        (Observation(damaged=("text",)), Outcome.SILENT_CORRUPTION, "text"),
        (Observation(disk=("x is lost",)), Outcome.SILENT_CORRUPTION, "x is lost"),
    ],
)
def test_the_first_rule_that_fits_decides(seen: Observation, outcome: Outcome, reason: str) -> None:
    assert judge(seen) == (outcome, reason)


SENTENCES = st.lists(st.text(min_size=1, max_size=5), max_size=2).map(tuple)


@given(
    seen=st.builds(
        Observation,
        end=st.sampled_from(["", "hang: x"]),
        recoveries=st.integers(0, 2),
        not_recovered=SENTENCES,
        serves=st.booleans(),
        leaked=st.dictionaries(st.sampled_from(["pages", "timers"]), st.integers(1, 3)),
        damaged=SENTENCES,
        killed=st.integers(0, 2),
        stuck=st.booleans(),
        wrong=SENTENCES,
        unnoticed=SENTENCES,
        disk=SENTENCES,
    )
)
def test_every_trial_has_an_outcome_and_all_but_two_have_a_reason(seen: Observation) -> None:
    outcome, reason = judge(seen)
    assert isinstance(outcome, Outcome)
    assert bool(reason) == (outcome not in (Outcome.NO_EFFECT, Outcome.RECOVERED))
    if outcome is Outcome.RECOVERED:
        assert not seen.leaked
        assert not seen.damaged
        assert seen.serves
