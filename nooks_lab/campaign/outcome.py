"""How a trial can end; every trial ends in exactly one of these ways."""

from dataclasses import dataclass, field
from enum import StrEnum


class Outcome(StrEnum):
    """The outcomes of a trial (paper, section 5.2.2, and finer where it has one word for several)."""

    NO_EFFECT = "no effect"
    """The workload came out right, and nothing was killed or recovered."""

    CRASH = "crash"
    """The whole system is gone: a panic, a hang or a reset of the CPU."""

    PROCESS_KILLED = "process killed"
    """Linux killed a process for an exception in process context; the rest of the system runs."""

    FAILURE = "failure"
    """A non-fatal extension failure: its service is gone or wrong although the system runs, and somebody can see it."""

    RECOVERED = "recovered"
    """Nooks recovered the extension; its service runs again, nothing leaked."""

    RECOVERY_FAILED = "recovery failed"
    """Nooks began to recover the extension, but its service did not come back, or something leaked."""

    SILENT_CORRUPTION = "silent corruption"
    """Nobody noticed anything, and the data are wrong: only the end-to-end checks differ."""


@dataclass(frozen=True)
class Observation:
    """All that was seen of a trial, and what its outcome is judged by.

    Attributes
    ----------
    end : str
        What the whole system died of; empty when it lives.
    recoveries : int
        How many there were.
    not_recovered : tuple of str
        Of those that failed, a sentence each.
    serves : bool
        After a recovery: whether the workload, tried once more, came out right.
    leaked : dict
        After a recovery: the kinds of object there are more of than before, and how many.
    damaged : tuple of str
        What no failure of the extension may change, and has changed: parts of the kernel, an innocent extension.
    killed : int
        Processes that an oops has killed.
    stuck : bool
        The workload has not come to its end although the system runs.
    wrong, unnoticed : tuple of str
        Of the workload's result, as :class:`~nooks_lab.workloads.workload.WorkloadResult` has them.
    disk : tuple of str
        What was found wrong with a disk.
    """

    end: str = ""
    recoveries: int = 0
    not_recovered: tuple[str, ...] = ()
    serves: bool = True
    leaked: dict[str, int] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()
    killed: int = 0
    stuck: bool = False
    wrong: tuple[str, ...] = ()
    unnoticed: tuple[str, ...] = ()
    disk: tuple[str, ...] = ()


def judge(seen: Observation) -> tuple[Outcome, str]:
    """Return a trial's outcome, and what decided it; the first rule that fits counts.

    1. The system has died: a crash, whatever was before.
    2. Nooks has recovered: it is recovered when every recovery succeeded, the service runs again, no object is left
       behind and nothing else was touched.  What was lost on the way (``wrong``, ``disk``) is not held against it:
       everybody was told.  Otherwise the recovery has failed.
    3. A process was killed by an oops.
    4. The workload hangs, or was told of an error: a failure that is not fatal.
    5. The workload's data are wrong and nobody was told, or a disk, the kernel or another extension is damaged:
       silent corruption.
    6. Nothing of all that: no effect.
    """
    if seen.end:
        return Outcome.CRASH, seen.end
    if seen.recoveries:
        return _judge_recovery(seen)
    if seen.killed:
        return Outcome.PROCESS_KILLED, f"an oops killed {seen.killed} process{'es' * (seen.killed > 1)}"
    if seen.stuck:
        return Outcome.FAILURE, "the workload hangs"
    told = [sentence for sentence in seen.wrong if sentence not in seen.unnoticed]
    if told:
        return Outcome.FAILURE, told[0]
    silent = (*seen.unnoticed, *seen.damaged, *seen.disk)
    if silent:
        return Outcome.SILENT_CORRUPTION, silent[0]
    return Outcome.NO_EFFECT, ""


def _judge_recovery(seen: Observation) -> tuple[Outcome, str]:
    if seen.not_recovered:
        return Outcome.RECOVERY_FAILED, seen.not_recovered[0]
    if seen.stuck:
        return Outcome.RECOVERY_FAILED, "the workload hangs after the recovery"
    if not seen.serves:
        return (
            Outcome.RECOVERY_FAILED,
            f"the service is not back: {seen.wrong[0] if seen.wrong else 'unknown'}",
        )
    if seen.leaked:
        kinds = ", ".join(f"{count} {kind}" for kind, count in seen.leaked.items())
        return Outcome.RECOVERY_FAILED, f"left behind: {kinds}"
    if seen.damaged:
        return Outcome.RECOVERY_FAILED, f"changed: {', '.join(seen.damaged)}"
    return Outcome.RECOVERED, ""
