"""One trial: a booted machine, some faults, the extension's workload, an outcome (paper, section 5.2.1)."""

from dataclasses import asdict, dataclass
from typing import Any

from nooks_lab.campaign.outcome import Outcome
from nooks_lab.faults.injector.placement import Placement
from nooks_lab.faults.injector.record import FaultRecord


@dataclass(frozen=True)
class TrialSpec:
    """What is to be tried; the same specification gives the same result, to the byte.

    Attributes
    ----------
    extension : str
    seed, number : int
        The campaign's seed, and which trial of it; together they choose the faults.
    nooks : bool
        Under Nooks, or natively; the faults are the same.
    faults : int
        How many are injected.
    classes : tuple of str
        The classes of faults to choose from; empty for the paper's eight.
    placement : str
        ``uniform`` over the qualifying instructions, or ``as-released``.
    panic_on_oops : bool
        Natively: an oops in process context ends the system too.
    nanny : bool
        Under Nooks: probe the service after the workload, and recover it explicitly when it is gone.
    sync : bool
        VFAT: write the cache to disk before a recovery releases it.
    """

    extension: str
    seed: int
    number: int
    nooks: bool
    faults: int = 5
    classes: tuple[str, ...] = ()
    placement: Placement = "uniform"
    panic_on_oops: bool = False
    nanny: bool = False
    sync: bool = True


@dataclass(frozen=True)
class TrialResult:
    """What came of a trial.

    Attributes
    ----------
    spec : TrialSpec
    outcome : Outcome
    reason : str
        What decided it, in one sentence: the panic's message, what set recovery off, what was wrong.
    object_sha256 : str
        Of the extension's object file.
    faults : tuple of FaultRecord
    recoveries : int
        How many there were, successful or not.
    recovery_cycles : int
        Simulated cycles that they took together.
    cycles : int
        Simulated cycles of the whole trial.
    leaked : dict
        Kind of object to how many too many there are afterwards; empty when none.
    wrong : tuple of str
        What was wrong with the workload's result, a sentence each.
    disk : tuple of str
        VFAT: what fsck.fat and the files' checksums say against the disk afterwards.
    events : tuple of str
        What happened in the system, in order: the kernel's log, recoveries.
    """

    spec: TrialSpec
    outcome: Outcome
    reason: str
    object_sha256: str
    faults: tuple[FaultRecord, ...] = ()
    recoveries: int = 0
    recovery_cycles: int = 0
    cycles: int = 0
    leaked: dict[str, int] | None = None
    wrong: tuple[str, ...] = ()
    disk: tuple[str, ...] = ()
    events: tuple[str, ...] = ()

    @property
    def activated(self) -> int:
        """How many of the faults the CPU ran."""
        return sum(fault.activated for fault in self.faults)

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain data."""
        return asdict(self) | {"activated": self.activated}


__all__ = ["FaultRecord", "Placement", "TrialResult", "TrialSpec"]
