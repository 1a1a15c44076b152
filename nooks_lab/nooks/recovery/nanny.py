"""A nanny (paper, section 5.2.2): notices an extension that fails in silence, and asks for its recovery.

No check of the isolation manager sees a driver that merely stops doing its work.  Somebody who uses the service does:
the nanny is a task that tries it again and again.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from nooks_lab.kernel.bug import KernelBug
from nooks_lab.kernel.kernel import FATAL
from nooks_lab.kernel.sched import TASK_INTERRUPTIBLE, TaskKilled, Thread
from nooks_lab.kernel.timers import CYCLES_PER_JIFFY
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.machine.paging import PageFault

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks

OOPS = (PageFault, KernelBug, TaskKilled)
"""What the kernel's own work for a probe may die of; it kills the nanny, as any process."""


class Nanny:
    """Probes a service; after so many failures in a row it has the extension behind it recovered.

    Parameters
    ----------
    nooks : Nooks or None
        The isolation manager; natively there is none, and the nanny does nothing.
    extension : str
        Whose service it is.
    probe : callable
        Tries the service, in the nanny's task; a result that is false or None, or an exception, is a failure.  For a
        network, ``lambda: kernel.inet.ping(address, timeout=0.2) is not None``.
    every : int
        Cycles between two probes, rounded up to a tick.
    patience : int
        Failures in a row that trigger recovery.

    Attributes
    ----------
    probes, failures, recoveries : int
        How many there were; recoveries are those that the nanny asked for.
    detections : list of int
        For each of those, the cycles since the service was last known to be well.

    Raises
    ------
    ValueError
        When ``every`` or ``patience`` is not positive.
    """

    def __init__(
        self,
        nooks: "Nooks | None",
        extension: str,
        probe: Callable[[], object],
        every: int = CPU_HZ,
        patience: int = 3,
    ) -> None:
        for name, value in (("every", every), ("patience", patience)):
            if value <= 0:
                raise ValueError(f"{name} is {value}; it must be positive")
        self._nooks, self._extension, self._probe = nooks, extension, probe
        self._ticks, self._patience = -(-every // CYCLES_PER_JIFFY), patience
        self._task: Thread | None = None
        self._resting = False
        self._in_a_row = 0
        self._well_at = 0
        self.probes = self.failures = self.recoveries = 0
        self.detections: list[int] = []

    @property
    def running(self) -> bool:
        """Tell whether the nanny's task lives."""
        return self._task is not None and not self._task.run.dead

    def start(self) -> None:
        """Begin to probe, as a task of the simulated system."""
        if self._nooks is not None and not self.running:
            nooks = self._nooks
            self._task = nooks.kernel.start("nooks-nanny", lambda: self._watch(nooks))
            self._task.detached = True

    def stop(self) -> None:
        """Probe no more; a probe that is under way is still finished."""
        task, self._task = self._task, None
        if self._nooks is not None and task is not None and self._resting:
            self._nooks.kernel.sched.wake_up_process(task.task.address)

    def _watch(self, nooks: "Nooks") -> None:
        self._well(nooks)
        me = self._task
        while True:
            self._rest(nooks)
            if self._task is not me:
                return
            begun = nooks.recovery.begun(self._extension)
            # A recovery that runs already, or that comes while the probe waits, explains every failure.
            if self._is_cared_for(nooks) or self._ask() or nooks.recovery.begun(self._extension) != begun:
                self._well(nooks)
            else:
                self._note_failure(nooks)

    def _rest(self, nooks: "Nooks") -> None:
        sched = nooks.kernel.sched
        sched.set_task_state(sched.current.address, TASK_INTERRUPTIBLE)
        self._resting = True
        sched.schedule_timeout(self._ticks)
        self._resting = False

    def _is_cared_for(self, nooks: "Nooks") -> bool:
        """Tell whether the extension is being recovered, or has gone: then there is nothing to ask for."""
        domain = nooks.domain_of(self._extension)
        running = any(each.extension == self._extension for each in nooks.recovery.running)
        return running or domain is None or domain.failed

    def _ask(self) -> bool:
        self.probes += 1
        try:
            well = self._probe()
        except (*FATAL, *OOPS):
            raise
        except Exception:  # noqa: BLE001 - whatever a probe meets, the service has not answered it
            well = None
        if well is None or well is False:
            self.failures += 1
            return False
        return True

    def _well(self, nooks: "Nooks") -> None:
        self._in_a_row, self._well_at = 0, nooks.kernel.machine.clock.now

    def _note_failure(self, nooks: "Nooks") -> None:
        self._in_a_row += 1
        nooks.kernel.log(
            f"nooks-nanny: {self._extension} does not answer ({self._in_a_row} of {self._patience})\n"
        )
        if self._in_a_row < self._patience:
            return
        self.recoveries += 1
        self.detections.append(nooks.kernel.machine.clock.now - self._well_at)
        reason = f"the nanny's probe failed {self._in_a_row} times in a row"
        nooks.kernel.log(f"nooks-nanny: asks for recovery of {self._extension}\n")
        self._well(nooks)
        nooks.recover(self._extension, reason)
