"""Trials that take no machine: a pure function of the specification, for tests of what goes on around trials."""

import functools
import hashlib
import os
import time
from pathlib import Path

from nooks_lab import extensions
from nooks_lab.campaign.outcome import Outcome
from nooks_lab.campaign.trial import FaultRecord, TrialResult, TrialSpec

NATIVE = (
    Outcome.CRASH,
    Outcome.PROCESS_KILLED,
    Outcome.NO_EFFECT,
    Outcome.FAILURE,
    Outcome.SILENT_CORRUPTION,
)
NOOKS = (Outcome.RECOVERED, Outcome.RECOVERED, Outcome.NO_EFFECT, Outcome.FAILURE, Outcome.RECOVERY_FAILED)


@functools.cache
def object_sha256(extension: str) -> str:
    return extensions.extension(extension).sha256


def trial(spec: TrialSpec) -> TrialResult:
    """One number in five crashes natively; every tenth of those still does under Nooks."""
    digest = hashlib.sha256(f"{spec.extension} {spec.seed} {spec.number}".encode()).digest()
    kind, dice = digest[0] % 5, digest[1] % 10
    outcome = (NOOKS if spec.nooks else NATIVE)[kind]
    if spec.nooks and kind == 0 and dice == 0:
        outcome = Outcome.CRASH
    recovered = int(outcome in (Outcome.RECOVERED, Outcome.RECOVERY_FAILED))
    return TrialResult(
        spec,
        outcome,
        f"reason {kind}, “quoted”",
        object_sha256(spec.extension),
        tuple(_fault(digest, index) for index in range(spec.faults)),
        recovered,
        recovered * 1_700_000,
        1000 + int.from_bytes(digest[2:4], "big"),
        {"kmalloc": 2} if outcome is Outcome.RECOVERY_FAILED else {},
        ("one, wrong",) if outcome is Outcome.FAILURE else (),
        ("FAT differs\nin two lines",) if kind == 4 else (),
        ("an event",),
    )


def _fault(digest: bytes, index: int) -> FaultRecord:
    offset = digest[4 + index]
    return FaultRecord(
        "text", offset, 0xC1800000 + offset, "f", "f.c:1", "90", "91", "nop", "xchg", bool(offset & 1)
    )


def slow_trial(spec: TrialSpec) -> TrialResult:
    """The same, in 4 ms."""
    time.sleep(0.004)
    return trial(spec)


def _dies(spec: TrialSpec, *, again: bool) -> None:
    """Kill this worker in trial 5 under Nooks; the file named in the environment says that it has been."""
    mark = Path(os.environ["STAND_IN_DEATHS"])
    if (spec.number, spec.nooks) == (5, True) and (again or not mark.exists()):
        with mark.open("a") as file:
            file.write("died\n")
        os.kill(os.getpid(), 9)


def dies_once(spec: TrialSpec) -> TrialResult:
    _dies(spec, again=False)
    return slow_trial(spec)


def dies_always(spec: TrialSpec) -> TrialResult:
    _dies(spec, again=True)
    return slow_trial(spec)


def raises(spec: TrialSpec) -> TrialResult:
    if spec.number == 7:
        raise RuntimeError("the host\nfails")
    return trial(spec)
