"""The recovery manager (paper, section 4.5): starts recoveries, runs their phases, keeps their records."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from nooks_lab import extensions
from nooks_lab.kernel.bug import KernelBug
from nooks_lab.kernel.module import ModuleError
from nooks_lab.kernel.sched import TaskKilled
from nooks_lab.machine.paging import PageFault
from nooks_lab.nooks.isolation.domain import Domain
from nooks_lab.nooks.recovery import phases
from nooks_lab.nooks.recovery.agent import RecoveryAgent
from nooks_lab.nooks.recovery.phases import FIRST, PHASES, Phase
from nooks_lab.nooks.recovery.record import Recovery
from nooks_lab.nooks.recovery.storm import StormDetector
from nooks_lab.nooks.xpc.calls import ExtensionFault
from nooks_lab.toolchain.elf import ObjectFile

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks

GUEST_EVENTS = (TaskKilled, ExtensionFault, PageFault, KernelBug, ModuleError)
"""What may end the agent's task."""


class RecoveryManager:
    """Starts recoveries and keeps their records.

    Parameters
    ----------
    order : tuple of Phase
        What the agent does, in order; an exercise may swap two.
    agent : callable
        Makes the agent.

    Attributes
    ----------
    scripts : dict
        The start-up script of each extension: what is done after its init.
    """

    def __init__(
        self,
        nooks: "Nooks",
        order: tuple[Phase, ...] = PHASES,
        agent: Callable[["Nooks"], RecoveryAgent] = RecoveryAgent,
    ) -> None:
        self._nooks, self._order = nooks, order
        self.agent = agent(nooks)
        self.done: list[Recovery] = []
        self.running: list[Recovery] = []
        self.lingering: list[Domain] = []
        self.scripts: dict[str, list[Callable[[], object]]] = {}
        self.storms = StormDetector(nooks.kernel.machine.clock)
        self._masked: dict[int, list[int]] = {}

    def owns(self, domain: Domain) -> bool:
        """Tell whether a domain is being recovered."""
        return any(recovery.domain is domain for recovery in self.running)

    def left(self, domain: Domain) -> None:
        """A task has left a failed domain; the last one ends a domain that recovery had to leave behind."""
        if domain in self.lingering and not self._nooks.xpc.tasks_in(domain):
            self.lingering.remove(domain)
            self._nooks.dissolve(domain)

    def replacement(self, name: str) -> ObjectFile:
        """Return the object of an extension that takes another's place."""
        return extensions.extension(name)

    def mask_lines(self, domain: Domain) -> None:
        """An extension has failed in its init: its interrupts go off until its objects are released."""
        self._masked[domain.number] = phases.mask_lines(self._nooks, domain)

    def release_everything(self, domain: Domain) -> None:
        """Release all that a domain holds which is about to end without recovery."""
        nooks = self._nooks
        phases.release(nooks, domain, phases.safe_types())
        phases.stop_dma(nooks, domain)
        phases.release(nooks, domain, phases.device_types())
        phases.unmask_lines(nooks, self._masked.pop(domain.number, []))

    def start(self, domain: Domain, trigger: str) -> None:
        """Begin: interrupts off now, the rest in the agent's task."""
        kernel = self._nooks.kernel
        recovery = Recovery(
            domain.name,
            trigger,
            kernel.machine.clock.now,
            self._nooks.policy.of(domain.name),
            domain=domain,
            modules=self._nooks.loaded(domain),
        )
        earlier = [each for each in self.done if each.extension == domain.name]
        recovery.while_starting = any(each.extension == domain.name for each in self.running)
        self.running.append(recovery)
        self._run(recovery, FIRST)
        agent = kernel.start("nooks-agent", lambda: self._agent(recovery, earlier))
        agent.detached = True

    def _agent(self, recovery: Recovery, earlier: list[Recovery]) -> None:
        """The agent's task.  It may die of what it does; then the extension is disabled, and all is released."""
        left = list(self._order)
        try:
            self._decide(recovery, earlier)
            while left:
                self._run(recovery, left.pop(0))
        except GUEST_EVENTS as death:
            self._disable(recovery, f"the agent died: {death}")
            for phase in left:
                self._run(recovery, phase)
        recovery.domain = None
        self.running.remove(recovery)
        self.done.append(recovery)
        if recovery.ok:
            self._nooks.kernel.log(f"nooks: {recovery.extension} recovered\n")

    def _decide(self, recovery: Recovery, earlier: list[Recovery]) -> None:
        try:
            self.agent.decide(recovery, earlier)
        except GUEST_EVENTS:
            raise
        except Exception as failure:  # noqa: BLE001 - the agent is a user's program: whatever it dies of
            self._disable(recovery, f"the agent failed: {failure}")

    def _disable(self, recovery: Recovery, reason: str) -> None:
        recovery.restart = recovery.ok = False
        recovery.decisions.append(f"{recovery.extension} is disabled: {reason}")
        self._nooks.kernel.log(f"nooks: {recovery.decisions[-1]}\n")

    def _run(self, recovery: Recovery, phase: Phase) -> None:
        clock = self._nooks.kernel.machine.clock
        begun = clock.now
        phase.work(self._nooks, recovery)
        recovery.phases.append((phase.name, clock.now - begun))
