"""The recovery manager (paper, section 4.5): starts recoveries, runs their phases, keeps their records."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from nooks_lab import extensions
from nooks_lab.kernel.kernel import FATAL
from nooks_lab.kernel.sched import PF_MEMALLOC
from nooks_lab.nooks.isolation.domain import Domain
from nooks_lab.nooks.recovery import phases
from nooks_lab.nooks.recovery.agent import RecoveryAgent
from nooks_lab.nooks.recovery.phases import FIRST, LAST, PHASES, Phase
from nooks_lab.nooks.recovery.record import Recovery
from nooks_lab.nooks.recovery.storm import StormDetector
from nooks_lab.toolchain.elf import ObjectFile

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks


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
        self.storms = StormDetector(nooks.kernel.machine.clock, nooks.kernel.irq_stat)
        self._masked: dict[int, list[int]] = {}

    def owns(self, domain: Domain) -> bool:
        """Tell whether a domain is being recovered."""
        return any(recovery.domain is domain for recovery in self.running)

    def begun(self, extension: str) -> int:
        """Return how many recoveries of an extension have begun since boot."""
        return sum(each.extension == extension for each in (*self.done, *self.running))

    def left(self, domain: Domain) -> None:
        """A task has left a failed domain; the last one ends a domain that recovery had to leave behind.

        A task of its own does that: the wrapper that the last one comes back to still has to do with the domain.
        """
        if domain in self.lingering and not self._nooks.xpc.tasks_in(domain):
            self.lingering.remove(domain)
            reaper = self._nooks.kernel.start(
                "nooks-reaper", lambda: self._nooks.dissolve(domain), PF_MEMALLOC
            )
            reaper.detached = True

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
        recovery.while_starting = any(each.successor is domain for each in self.running)
        self.running.append(recovery)
        self._run(recovery, FIRST)
        try:
            agent = kernel.start("nooks-agent", lambda: self._agent(recovery, earlier), PF_MEMALLOC)
        except MemoryError as short:
            # Nothing can be done now; whoever unloads the extension by hand has it released.
            self._disable(recovery, str(short))
            self._masked[domain.number] = recovery.lines
            self._end(recovery)
        else:
            agent.detached = True

    def _agent(self, recovery: Recovery, earlier: list[Recovery]) -> None:
        """The agent's task.  It may die of what it does; then the extension is disabled, and all is released.

        What a dead agent leaves undone is done as its task exits, as a kernel cleans up behind a process.
        """
        doing = "deciding"
        try:
            self.agent.decide(recovery, earlier)
            for phase in self._order:
                doing = phase.name
                self._run(recovery, phase)
        except FATAL:
            raise
        except Exception as death:  # noqa: BLE001 - the agent is a user's program: whatever it dies of
            self._disable(recovery, f"the agent died ({doing}): {phases.words(death)}")
            self._run(recovery, LAST)
        self._end(recovery)

    def _disable(self, recovery: Recovery, reason: str) -> None:
        recovery.restart = recovery.ok = False
        recovery.decisions.append(f"{recovery.extension} is disabled: {reason}")
        self._nooks.kernel.log(f"nooks: {recovery.decisions[-1]}\n")

    def _end(self, recovery: Recovery) -> None:
        recovery.domain = recovery.successor = None
        self.running.remove(recovery)
        self.done.append(recovery)
        if recovery.ok:
            self._nooks.kernel.log(f"nooks: {recovery.extension} recovered\n")

    def _run(self, recovery: Recovery, phase: Phase) -> None:
        clock = self._nooks.kernel.machine.clock
        begun = clock.now
        try:
            phase.work(self._nooks, recovery)
        finally:
            recovery.phases.append((phase.name, clock.now - begun))
