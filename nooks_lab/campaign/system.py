"""The booted system that trials start from: warmed up, known to work, and counted."""

from dataclasses import dataclass, field

import nooks_lab as nl
from nooks_lab.campaign.files import have_files
from nooks_lab.campaign.trial import TrialSpec
from nooks_lab.faults import census, idle_extension, injector
from nooks_lab.faults.checksums import kernel_checksums
from nooks_lab.kernel.module import Module
from nooks_lab.lab import Lab
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.nooks.recovery.policy import Policy, Rule
from nooks_lab.workloads import registry
from nooks_lab.workloads.workload import Workload, WorkloadResult

WARM_UP = 2
"""Recoveries before the census: they set up what stays, such as page tables and wrappers."""

TICK = CPU_HZ // 100
PATIENCE = 300
"""Ticks that a recovery may take."""


class BrokenSystem(RuntimeError):  # noqa: N818 - the sentence is for the user
    """The workload does not even come out right without a fault; one sentence that says how."""


@dataclass(frozen=True)
class SystemKey:
    """What distinguishes one booted system from another."""

    extension: str
    nooks: bool
    sync: bool

    @classmethod
    def of(cls, spec: TrialSpec) -> "SystemKey":
        """Return the one that a trial needs."""
        return cls(spec.extension, spec.nooks, spec.nooks and spec.sync)


@dataclass
class TrialSystem:
    """A system before its trials.

    Attributes
    ----------
    lab, workload
        The running system, with the extension loaded and in service.
    good : WorkloadResult
        What comes of the workload without a fault.
    cycles : int
        How long that takes, in simulated cycles.
    objects : Census
        What the kernel holds when all that a run has begun is over.
    checksums : dict
        Of what no failure of the extension may change.
    idle : Module
        An innocent extension.
    """

    lab: Lab
    workload: Workload
    good: WorkloadResult
    cycles: int
    objects: census.Census
    idle: Module = field(repr=False)
    checksums: dict[str, int] = field(default_factory=dict, repr=False)

    def fingerprint(self) -> dict[str, int]:
        """Return the checksums as they are now."""
        return kernel_checksums(self.lab) | idle_extension.checksums(self.lab, self.idle)


def boot_system(key: SystemKey) -> TrialSystem:
    """Boot a system, load the extension, and run the workload without a fault.

    Under Nooks the extension is recovered a few times before anything is counted.

    Raises
    ------
    NoWorkload
        When nothing puts the extension to work.
    BrokenSystem
        When the workload does not come out right.
    """
    workload = registry.trial_workload(key.extension)
    policy = Policy(default=Rule(sync=key.sync)) if key.nooks else None
    lab = nl.boot(nooks=key.nooks, devices=workload.devices, policy=policy)
    try:
        workload.set_up(lab)
        injector.prepare(lab.kernel.modules.loaded[key.extension].object)
        idle = idle_extension.load(lab)
        good = _run(workload, lab)
        for _ in range(WARM_UP if lab.nooks is not None else 0):
            assert lab.nooks is not None
            lab.nooks.recover(key.extension, "warm-up")
            settle(lab)
            _run(workload, lab)
        begun = lab.machine.clock.now
        again = _run(workload, lab)
        if again.digest != good.digest:
            raise BrokenSystem(f"{workload.name} comes out differently the second time")
        cycles = lab.machine.clock.now - begun
        workload.rest(lab)
        objects = census.take(lab)
        have_files(workload, lab)
        system = TrialSystem(lab, workload, again, cycles, objects, idle)
        system.checksums = system.fingerprint()
    except BaseException:
        lab.close()
        raise
    return system


def _run(workload: Workload, lab: Lab) -> WorkloadResult:
    result = workload.run(lab)
    if not result.ok:
        raise BrokenSystem(f"{workload.name} comes out wrong without a fault: {result.wrong[0]}")
    return result


def settle(lab: Lab) -> None:
    """Let every recovery that is under way come to its end, within ``PATIENCE``."""
    if lab.nooks is None:
        return
    for _ in range(PATIENCE):
        if not lab.nooks.recovery.running:
            return
        lab.kernel.run(TICK)
