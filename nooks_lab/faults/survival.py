"""An extension survives its workload: a fault each run, recovery after recovery, and then a look at what is left.

The paper's experiment with 400 trials (section 5.2) boots a system for each.  Here one system goes on, so that
whatever a recovery leaves behind adds up until the census finds it.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import nooks_lab as nl
from nooks_lab.faults import census, idle_extension
from nooks_lab.faults.checksums import kernel_checksums
from nooks_lab.faults.poisoned_text import Poisoner, Trace, plan, tracing
from nooks_lab.kernel.kernel import FATAL
from nooks_lab.lab import Lab
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.nooks.manager import Nooks
from nooks_lab.nooks.tracking.validate import validate
from nooks_lab.workloads.workload import Workload, WorkloadResult

WARM_UP = 3
"""Recoveries before the first census: they set up what stays, such as page tables and wrappers."""

MOST_DORMANT = 50
"""Faults in a row that nobody meets, before the search for one that somebody does is given up."""

_TICK = CPU_HZ // 100
_PATIENCE = 500
"""Ticks that a recovery may take."""
_MOST_SENTENCES = 20


@dataclass
class Survival:
    """What has come of it so far.

    Attributes
    ----------
    extension, workload, seed
        Of what.
    object_sha256 : str
        The extension's object.
    recoveries : int
        Those that ended with the extension running again.
    runs, runs_ok : int
        Runs of the workload with a fault, and those of them that came out right all the same.
    dormant : int
        Faults that nobody met; they were taken out again after the run.
    not_recovered : int
        Recoveries that failed.
    by_function, by_trigger : Counter
        Recoveries by the function that was poisoned, and by what was noticed.
    left_behind : dict
        At the end, how much more there is of each kind than before; all 0 when nothing leaks.
    damaged : tuple of str
        The parts of the kernel and of the idle extension whose checksum is another at the end.
    final : WorkloadResult or None
        The last run, without a fault.
    intact : bool
        Its result is that of the first run, which no fault had preceded.
    problems : list of str
        What validation of the tracker found, and what ended the system.
    wrong : list of str
        What was wrong in the runs that did not come out right; the first of it.
    cycles : list of int
        Of each recovery.
    """

    extension: str
    workload: str
    seed: int
    object_sha256: str
    recoveries: int = 0
    runs: int = 0
    runs_ok: int = 0
    dormant: int = 0
    not_recovered: int = 0
    by_function: Counter[str] = field(default_factory=Counter)
    by_trigger: Counter[str] = field(default_factory=Counter)
    left_behind: dict[str, int] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()
    final: WorkloadResult | None = None
    intact: bool = False
    problems: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    cycles: list[int] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Every recovery succeeded, nothing leaked or was damaged, and the workload runs as at first."""
        return not (
            self.not_recovered
            or any(self.left_behind.values())
            or self.damaged
            or self.problems
            or not self.intact
        )

    def to_json(self) -> dict[str, Any]:
        """Return the findings as plain data."""
        return {
            "extension": self.extension,
            "workload": self.workload,
            "seed": self.seed,
            "object_sha256": self.object_sha256,
            "recoveries": self.recoveries,
            "runs": self.runs,
            "runs_ok": self.runs_ok,
            "dormant": self.dormant,
            "not_recovered": self.not_recovered,
            "by_function": dict(sorted(self.by_function.items())),
            "by_trigger": dict(sorted(self.by_trigger.items())),
            "left_behind": dict(self.left_behind),
            "damaged": list(self.damaged),
            "intact": self.intact,
            "clean": self.clean,
            "problems": list(self.problems),
            "wrong": list(self.wrong),
            "median_cycles": sorted(self.cycles)[len(self.cycles) // 2] if self.cycles else 0,
        }


def survive(
    workload: Workload,
    extension: str,
    recoveries: int = 200,
    seed: int = 0,
    progress: Callable[[Survival], object] = lambda _: None,
) -> Survival:
    """Run a workload under Nooks again and again, with a fault in the extension each time.

    Parameters
    ----------
    workload : Workload
        It is set up once, by itself.
    extension : str
        The extension to poison, by the name it is loaded under.
    recoveries : int
        After how many to look at what they have left.
    seed : int
        Of the faults.
    progress : callable (Survival)
        Called after every run.

    Raises
    ------
    NothingSeen
        When the workload runs none of the extension's code.
    LookupError
        When the workload does not load such an extension.
    ValueError
        When the workload comes out wrong even without a fault, or ``recoveries`` is negative.
    """
    if recoveries < 0:
        raise ValueError(f"{recoveries} recoveries cannot be waited for")
    with _Survivor(workload, extension, seed) as survivor:
        return survivor.run(recoveries, progress)


class _Survivor:
    """The system that has to survive."""

    def __init__(self, workload: Workload, extension: str, seed: int) -> None:
        self._workload, self._extension, self._seed = workload, extension, seed
        self._number = self._dormant_in_a_row = 0
        self.lab: Lab = nl.boot(nooks=True, devices=workload.devices)
        try:
            workload.set_up(self.lab)
            self._idle = idle_extension.load(self.lab)
            self._trace, self._first = self._trace_run()
        except BaseException:
            self.lab.close()
            raise
        self._poisoner = Poisoner(self.lab, extension)
        self.findings = self._fresh_findings()

    def _fresh_findings(self) -> Survival:
        obj = self.lab.kernel.modules.loaded[self._extension].object
        return Survival(self._extension, self._workload.name, self._seed, obj.sha256)

    def _trace_run(self) -> tuple[Trace, WorkloadResult]:
        with tracing(self.lab, self._extension) as trace:
            result = self._workload.run(self.lab)
        if not result.ok:
            raise ValueError(f"{self._workload.name} comes out wrong without a fault: {result.wrong[0]}")
        seen = trace()
        plan(seen, 0)
        return seen, result

    @property
    def _nooks(self) -> Nooks:
        assert self.lab.nooks is not None
        return self.lab.nooks

    def run(self, recoveries: int, progress: Callable[[Survival], object]) -> Survival:
        if not self._recover(WARM_UP, lambda _: None):
            return self.findings
        warm = self.findings
        self.findings = self._fresh_findings()
        self.findings.problems, self.findings.not_recovered = warm.problems, warm.not_recovered
        # Before both censuses stands a run without a fault: a driver and its domain grow with use.
        if self._quiet_run() is None:
            return self.findings
        before, checksums = census.take(self.lab), self._checksums()
        if self._recover(recoveries, progress):
            self._judge(before, checksums)
        return self.findings

    def _quiet_run(self) -> WorkloadResult | None:
        """Run the workload without a fault; None when the system dies of it."""
        try:
            result = self._workload.run(self.lab)
            self._settle()
        except FATAL as end:
            self.findings.problems.append(f"a run without a fault: {type(end).__name__}: {end}")
            return None
        return result

    def _recover(self, count: int, progress: Callable[[Survival], object]) -> bool:
        """Recover so often; False when the system or the extension is gone for good."""
        findings = self.findings
        while findings.recoveries < count:
            try:
                self._one_fault()
            except FATAL as end:
                findings.problems.append(f"fault {self._number}: {type(end).__name__}: {end}")
                return False
            progress(findings)
            if self._extension not in self.lab.kernel.modules.loaded:
                findings.problems.append(f"fault {self._number}: {self._extension} is not loaded any more")
                return False
            if self._dormant_in_a_row >= MOST_DORMANT:
                findings.problems.append(f"{MOST_DORMANT} faults in a row were met by nobody")
                return False
        return True

    def _one_fault(self) -> None:
        findings, done = self.findings, len(self._nooks.recoveries)
        poison = plan(self._trace, f"{self._seed}/{self._number}")
        self._number += 1
        self._poisoner.arm(poison)
        result = self._workload.run(self.lab)
        self._settle()
        self._poisoner.disarm()
        findings.runs += 1
        findings.runs_ok += result.ok
        if not result.ok and len(findings.wrong) < _MOST_SENTENCES:
            findings.wrong += (f"fault {self._number}: {sentence}" for sentence in result.wrong)
        new = self._nooks.recoveries[done:]
        findings.dormant += not new
        self._dormant_in_a_row = 0 if new else self._dormant_in_a_row + 1
        for recovery in new:
            findings.cycles.append(recovery.cycles)
            if not recovery.ok or recovery.leaked:
                findings.not_recovered += 1
                continue
            findings.recoveries += 1
            findings.by_function[poison.instruction.function] += 1
            findings.by_trigger[recovery.trigger.partition(" at ")[0].partition(":")[0]] += 1

    def _settle(self) -> None:
        """Let a recovery end that is under way, and the tasks that have ended be reaped."""
        for _ in range(_PATIENCE):
            self.lab.kernel.run(_TICK)
            if not self._nooks.recovery.running:
                break
        self._workload.rest(self.lab)

    def _judge(self, before: census.Census, checksums: dict[str, int]) -> None:
        findings = self.findings
        findings.final = self._quiet_run()
        if findings.final is None:
            return
        findings.intact = findings.final.ok and findings.final.digest == self._first.digest
        findings.left_behind = census.take(self.lab).more_than(before)
        findings.damaged = tuple(
            part for part, checksum in self._checksums().items() if checksum != checksums[part]
        )
        findings.problems += validate(self._nooks)

    def _checksums(self) -> dict[str, int]:
        return kernel_checksums(self.lab) | idle_extension.checksums(self.lab, self._idle)

    def __enter__(self) -> "_Survivor":
        return self

    def __exit__(self, *_: object) -> None:
        self.lab.close()
