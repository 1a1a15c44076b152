"""How a trial can end; every trial ends in exactly one of these ways."""

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
