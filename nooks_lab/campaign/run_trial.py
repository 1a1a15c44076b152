"""Runs one trial: a copy of a booted machine, faults, the workload, and a look at what has become of it."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from nooks_lab.campaign.child import can_fork, in_child
from nooks_lab.campaign.files import judge_files
from nooks_lab.campaign.outcome import Observation, judge
from nooks_lab.campaign.system import SystemKey, TrialSystem, boot_system, settle
from nooks_lab.campaign.trial import TrialResult, TrialSpec
from nooks_lab.faults import census
from nooks_lab.faults.injector import PAPER_CLASSES, Injection, PlannedFault, choose
from nooks_lab.kernel.execution import BUSY_LIMIT
from nooks_lab.kernel.fs.file_error import FileError
from nooks_lab.kernel.kernel import FATAL, Hang, Panic, TaskDied, TripleFault
from nooks_lab.kernel.sched import ForkFailed
from nooks_lab.lab import Lab
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.nooks.recovery.record import Recovery
from nooks_lab.workloads.workload import WorkloadResult

TRIAL_SECONDS = 5
"""Simulated seconds that a workload gets; without a fault it takes less than one."""

MOST_WORK = 4 * BUSY_LIMIT
"""Work that it gets, in instructions; without a fault it takes less than a million.  It is that of 40,000 interrupts:
more than a storm has in the 10 ms after which Nooks, and the 20 ms after which the kernel, calls it one.
"""

_LOOK = CPU_HZ // 20

SYSTEMS = 2
"""Booted systems that a process keeps: an extension's two, with and without Nooks."""

T = TypeVar("T")

_WORDS = {Panic: "panic", Hang: "hang", TripleFault: "reset"}


class OutOfTime(BaseException):
    """The trial's simulated time is over, or its work."""


def run_trial(spec: TrialSpec, fork: bool | None = None) -> TrialResult:
    """Run one trial.

    Parameters
    ----------
    fork : bool, optional
        Whether in a forked copy of a machine that this process keeps, or on one booted for it; the result is the
        same.  By default in a copy, where the host can fork.

    Raises
    ------
    UnknownFaultClass, NothingQualifies, NoWorkload, UnknownExtension
        When there is no such trial.
    ChildDied
        When the host fails, as it should not.
    """
    if can_fork() if fork is None else fork:
        system = kept_system(SystemKey.of(spec))
        return in_child(partial(_try, system, spec, _plan(system, spec)))
    system = boot_system(SystemKey.of(spec))
    with system.lab:
        return _try(system, spec, _plan(system, spec))


def _plan(system: TrialSystem, spec: TrialSpec) -> tuple[PlannedFault, ...]:
    """Choose the faults; before there is a child, so that the caller learns of it when there are none to choose."""
    module = system.lab.kernel.modules.loaded[spec.extension]
    seed = f"{spec.seed}/{spec.number}"
    return choose(module, seed, spec.faults, spec.classes or PAPER_CLASSES, spec.placement)


_kept: OrderedDict[SystemKey, TrialSystem] = OrderedDict()


def kept_system(key: SystemKey) -> TrialSystem:
    """Return a booted system that this process keeps, for its children only; the one used least recently goes."""
    if key not in _kept:
        while len(_kept) >= SYSTEMS:
            _kept.popitem(last=False)[1].lab.close()
        _kept[key] = boot_system(key)
    _kept.move_to_end(key)
    return _kept[key]


@dataclass
class _Trial:
    """A trial under way."""

    system: TrialSystem
    spec: TrialSpec
    earlier: int = 0
    result: WorkloadResult | None = None
    end: str = ""
    stuck: bool = False
    wrong: list[str] = field(default_factory=list)

    @property
    def lab(self) -> Lab:
        return self.system.lab

    @property
    def recoveries(self) -> list[Recovery]:
        """Those of this trial, also those that have not come to their end."""
        nooks = self.lab.nooks
        return [*nooks.recovery.done[self.earlier :], *nooks.recovery.running] if nooks is not None else []

    def within(self, work: Callable[[], T]) -> T | None:
        """Do a part of the trial within its simulated time; None when the system dies of it or time is over."""
        machine, execution = self.lab.machine, self.lab.kernel.execution
        deadline = machine.clock.now + TRIAL_SECONDS * CPU_HZ
        most = execution.work() + MOST_WORK

        def look() -> None:
            if machine.clock.now >= deadline or execution.work() > most:
                raise OutOfTime
            machine.horizon = min(deadline, machine.clock.now + _LOOK)

        machine.horizon, machine.at_horizon = machine.clock.now + _LOOK, look
        try:
            return work()
        except FATAL as end:
            self.end = f"{_WORDS[type(end)]}: {end}"
        except OutOfTime:
            self.stuck = True
        except ForkFailed as short:
            self.wrong.append(str(short))
        return None

    @property
    def lives(self) -> bool:
        return not self.end and not self.stuck


def _try(system: TrialSystem, spec: TrialSpec, planned: tuple[PlannedFault, ...]) -> TrialResult:
    lab, trial = system.lab, _Trial(system, spec)
    kernel, module = lab.kernel, lab.kernel.modules.loaded[spec.extension]
    if spec.panic_on_oops:
        kernel.memory.set_u32(kernel.variable("panic_on_oops"), 1)
    trial.earlier = len(lab.nooks.recovery.done) if lab.nooks is not None else 0
    killed, log, begun = kernel.traps.killed, len(lab.dmesg()), lab.machine.clock.now
    injection = Injection(lab, spec.extension, planned, window=system.cycles)
    injection.inject()
    trial.result = trial.within(lambda: system.workload.run(lab))
    if trial.lives:
        trial.within(lambda: settle(lab))
    if not trial.end and spec.nanny:
        _nanny(trial)
    # Before the service is used again: whoever does may write anew what the recovery has lost.
    left = _disk(trial) if trial.recoveries and trial.lives else None
    serves = _serves(trial) if trial.recoveries and trial.lives else True
    leaked: dict[str, int] = {}
    damaged: tuple[str, ...] = ()
    if not trial.end:
        damaged = _damaged(system)
        if trial.recoveries and serves:
            leaked = {kind: n for kind, n in census.take(lab).more_than(system.objects).items() if n > 0}
    # Those that the judging of a disk brings about are no longer the trial's.
    recoveries, killed = trial.recoveries, kernel.traps.killed - killed
    disk = () if trial.end else _disk(trial, unmount=True) if left is None else left
    result = trial.result
    seen = Observation(
        trial.end,
        len(recoveries),
        tuple(_failure(each) for each in recoveries if not each.ok),
        serves,
        leaked,
        damaged,
        killed,
        trial.stuck,
        (*(result.wrong if result is not None else ()), *trial.wrong),
        result.unnoticed if result is not None else (),
        disk,
    )
    outcome, reason = judge(seen)
    return TrialResult(
        spec,
        outcome,
        reason or (recoveries[0].trigger if recoveries else ""),
        module.object.sha256,
        injection.records(),
        seen.recoveries,
        sum(each.cycles for each in recoveries),
        lab.machine.clock.now - begun,
        leaked,
        seen.wrong,
        seen.disk,
        tuple(lab.dmesg()[log:].splitlines()),
    )


def _serves(trial: _Trial) -> bool:
    """After a recovery: tell whether the workload comes out right again, as its user would find out."""
    again = trial.within(lambda: trial.system.workload.run(trial.lab))
    if trial.lives:
        trial.within(lambda: trial.system.workload.rest(trial.lab))
    if again is not None and not again.ok:
        trial.wrong += again.wrong
    return again is not None and again.ok


def _nanny(trial: _Trial) -> None:
    """Somebody who uses the service finds it gone, or waits in vain, and asks for recovery (paper, section 5.2.2)."""
    result, nooks = trial.result, trial.lab.nooks
    if nooks is None or trial.recoveries or (result is not None and result.ok):
        return
    gone = trial.stuck
    if not gone:
        probe = trial.within(lambda: trial.system.workload.run(trial.lab))
        gone = trial.stuck or (probe is not None and not probe.ok and not trial.recoveries)
    if gone and not trial.end:
        trial.stuck = False
        trial.within(lambda: nooks.recover(trial.spec.extension, "the nanny's probe failed"))
        if trial.lives:
            trial.within(lambda: settle(trial.lab))


def _damaged(system: TrialSystem) -> tuple[str, ...]:
    now = system.fingerprint()
    return tuple(part for part, checksum in system.checksums.items() if now[part] != checksum)


def _disk(trial: _Trial, *, unmount: bool = False) -> tuple[str, ...]:
    """Judge the disk of a system that lives: with everything written, or unmounted, where that succeeds."""
    work, before = trial.system.workload, (trial.end, trial.stuck)
    try:
        found = (
            trial.within(lambda: judge_files(work, trial.lab, unmount=unmount, sync=not unmount))
            if not trial.stuck
            else None
        )
    except (FileError, TaskDied):
        found = None
    trial.end, trial.stuck = before
    return judge_files(work, trial.lab) if found is None else found


def _failure(recovery: Recovery) -> str:
    """Return why a recovery is not ok."""
    if recovery.decisions and not recovery.restart:
        return recovery.decisions[-1]
    return f"{recovery.extension} did not come back after: {recovery.trigger}"
