"""What came of a campaign, counted as the paper counts (sections 5.2.1 and 5.2.2)."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nooks_lab.campaign.interval import wilson
from nooks_lab.campaign.outcome import Outcome
from nooks_lab.campaign.settings import Settings
from nooks_lab.campaign.store import Outline
from nooks_lab.machine.clock import CPU_HZ

NON_FATAL = (Outcome.PROCESS_KILLED, Outcome.FAILURE, Outcome.RECOVERY_FAILED)
"""The outcomes that the paper's figure 7 counts: the system runs, and the extension's service is gone or wrong.

Silent corruption is none of them: nobody who uses the system could have seen it.
"""


@dataclass(frozen=True)
class RemainingCrash:
    """A crash that Nooks did not prevent; a replay of its number shows how it came about."""

    extension: str
    number: int
    reason: str


@dataclass(frozen=True)
class Summary:
    """One extension's trials, or several extensions' together.

    Attributes
    ----------
    extension : str
    trials : int
        Numbers that were tried natively and under Nooks; a number with one side only counts nowhere.
    native, nooks : dict of Outcome to int
    eliminated_crashes : int
        Native crashes whose trial of the same number under Nooks, with the same faults, did not crash.
    new_crashes : int
        Crashes under Nooks whose native trial did not crash.
    remaining : tuple of RemainingCrash
        All crashes under Nooks.
    activated : int
        Faults that the CPU ran, natively.
    recoveries, recovery_cycles : int
        Of all trials under Nooks.
    leaking : int
        Trials that are called recovered although something leaked: none, or the classifier is wrong.
    with_loss : int
        Recovered trials on whose way the workload was told of errors, or got data that are wrong.
    corrupt_disks : int
        Recovered trials that left files or directories lost or corrupt (section 5.2.3).
    """

    extension: str
    trials: int
    native: dict[Outcome, int]
    nooks: dict[Outcome, int]
    eliminated_crashes: int
    new_crashes: int
    remaining: tuple[RemainingCrash, ...]
    activated: int
    recoveries: int
    recovery_cycles: int
    leaking: int
    with_loss: int
    corrupt_disks: int

    @property
    def native_crashes(self) -> int:
        """System crashes natively."""
        return self.native[Outcome.CRASH]

    @property
    def nooks_crashes(self) -> int:
        """System crashes under Nooks."""
        return self.nooks[Outcome.CRASH]

    @property
    def eliminated(self) -> float | None:
        """The share of native crashes that Nooks eliminated; None when there was no native crash."""
        return self.eliminated_crashes / self.native_crashes if self.native_crashes else None

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of that share."""
        return wilson(self.eliminated_crashes, self.native_crashes)

    @property
    def eliminated_by_count(self) -> float | None:
        """One minus crashes under Nooks over native crashes, whichever trials they were.

        This is the paper's arithmetic (313 of 317).  It differs from the share when a trial crashes only under Nooks.
        """
        return 1 - self.nooks_crashes / self.native_crashes if self.native_crashes else None

    @property
    def native_failures(self) -> int:
        """Non-fatal extension failures natively."""
        return sum(self.native[outcome] for outcome in NON_FATAL)

    @property
    def nooks_failures(self) -> int:
        """Non-fatal extension failures under Nooks."""
        return sum(self.nooks[outcome] for outcome in NON_FATAL)

    @property
    def seconds_per_recovery(self) -> float | None:
        """Simulated seconds; None when nothing was recovered."""
        return self.recovery_cycles / self.recoveries / CPU_HZ if self.recoveries else None

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain data; shares lie between 0 and 1."""
        return {
            "extension": self.extension,
            "trials": self.trials,
            "native": {outcome.value: count for outcome, count in self.native.items()},
            "nooks": {outcome.value: count for outcome, count in self.nooks.items()},
            "eliminated": self.eliminated,
            "wilson": list(self.interval),
            "eliminated_by_count": self.eliminated_by_count,
            "native_crashes": self.native_crashes,
            "nooks_crashes": self.nooks_crashes,
            "new_crashes": self.new_crashes,
            "non_fatal": {"native": self.native_failures, "nooks": self.nooks_failures},
            "faults_activated": self.activated,
            "recoveries": self.recoveries,
            "seconds_per_recovery": self.seconds_per_recovery,
            "recovered_with_leaks": self.leaking,
            "recovered_with_loss": self.with_loss,
            "recovered_with_corrupt_disk": self.corrupt_disks,
            "remaining_crashes": [
                {"extension": crash.extension, "number": crash.number, "reason": crash.reason}
                for crash in self.remaining
            ],
        }


def summarise(extension: str, outlines: Iterable[Outline]) -> Summary:
    """Count one extension's trials, which come in the order of their numbers."""
    native, nooks = Counter[Outcome](), Counter[Outcome]()
    pairs = eliminated = new = activated = recoveries = cycles = leaking = with_loss = corrupt_disks = 0
    remaining = []
    before: Outline | None = None
    for outline in outlines:
        if before is None or before.number != outline.number:
            before = outline
            continue
        pairs += 1
        native[before.outcome] += 1
        nooks[outline.outcome] += 1
        activated += before.activated
        crashed = before.outcome is Outcome.CRASH
        if outline.outcome is Outcome.CRASH:
            new += not crashed
            remaining.append(RemainingCrash(extension, outline.number, outline.reason))
        else:
            eliminated += crashed
        recoveries += outline.recoveries
        cycles += outline.recovery_cycles
        if outline.outcome is Outcome.RECOVERED:
            leaking += outline.leaked
            with_loss += outline.wrong
            corrupt_disks += outline.corrupt_disk
    return Summary(
        extension,
        pairs,
        {outcome: native[outcome] for outcome in Outcome},
        {outcome: nooks[outcome] for outcome in Outcome},
        eliminated,
        new,
        tuple(remaining),
        activated,
        recoveries,
        cycles,
        leaking,
        with_loss,
        corrupt_disks,
    )


def together(summaries: Sequence[Summary]) -> Summary:
    """Return the sum over several extensions."""
    return Summary(
        ", ".join(summary.extension for summary in summaries),
        sum(summary.trials for summary in summaries),
        {outcome: sum(summary.native[outcome] for summary in summaries) for outcome in Outcome},
        {outcome: sum(summary.nooks[outcome] for summary in summaries) for outcome in Outcome},
        sum(summary.eliminated_crashes for summary in summaries),
        sum(summary.new_crashes for summary in summaries),
        tuple(crash for summary in summaries for crash in summary.remaining),
        sum(summary.activated for summary in summaries),
        sum(summary.recoveries for summary in summaries),
        sum(summary.recovery_cycles for summary in summaries),
        sum(summary.leaking for summary in summaries),
        sum(summary.with_loss for summary in summaries),
        sum(summary.corrupt_disks for summary in summaries),
    )


def campaign_json(
    summaries: Sequence[Summary], settings: Settings, trials_per_second: float | None
) -> dict[str, Any]:
    """Return a campaign as plain data: the sum of its extensions, and each of several under ``extensions``.

    Parameters
    ----------
    trials_per_second : float or None
        Native and Nooks each counted; None when nobody ran a trial.
    """
    data = together(summaries).to_json() | {
        "faults": settings.faults,
        "seed": settings.seed,
        "classes": list(settings.classes),
        "placement": settings.placement,
        "panic_on_oops": settings.panic_on_oops,
        "nanny": settings.nanny,
        "sync": settings.sync,
        "trials_per_s": trials_per_second,
    }
    if len(summaries) > 1:
        data["extensions"] = [summary.to_json() for summary in summaries]
    return data
