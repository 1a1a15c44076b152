"""What every workload offers: it is set up on a booted system, runs, and judges its own result."""

from dataclasses import dataclass, field
from typing import Protocol

from nooks_lab.lab import Lab
from nooks_lab.machine.clock import CPU_HZ


@dataclass(frozen=True)
class WorkloadResult:
    """What came of a workload.

    Attributes
    ----------
    ok : bool
        Whether all that was asked for arrived, and arrived intact.
    digest : str
        SHA-256 of what arrived at the far end: samples played, bytes received, files read back, pages fetched.
        The same natively and under Nooks.
    wrong : tuple of str
        What did not come out as it should, a sentence each; empty when all is well.
    counts : dict of str to int
        What was done: packets, bytes, files, pages.
    unnoticed : tuple of str
        Those of ``wrong`` that nobody in the system was told of: every call had succeeded, and what arrived is not
        what was sent.
    """

    ok: bool
    digest: str
    wrong: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    unnoticed: tuple[str, ...] = ()


REST = CPU_HZ // 25
"""Cycles in which the tasks that have ended are reaped."""


class Workload(Protocol):
    """A workload of one extension.

    Attributes
    ----------
    name : str
        Its own name, as the paper's where it has one (``play-mp3``, ``compile-local``).
    devices : tuple of str
        The cards that the PC must be fitted with (:data:`nooks_lab.cards.CARDS`).
    """

    name: str
    devices: tuple[str, ...]

    def set_up(self, lab: Lab) -> None:
        """Load the extension, bring it into service, and leave with recovery the script that does so again."""

    def run(self, lab: Lab) -> WorkloadResult:
        """Do the work once.

        A failed call, a killed process or a recovery on the way goes into the result; what ends the whole
        system is raised.

        Raises
        ------
        Panic, Hang, TripleFault
            When the system dies of it.
        """

    def rest(self, lab: Lab) -> None:
        """Let simulated time pass until all that a run has begun is over: then what is left can be counted."""
