"""Recovery of a failed extension (paper, section 4.4): the phases, in their order, and who runs them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nooks_lab.kernel.modules import Module, ModuleError
from nooks_lab.machine.pci import COMMAND, COMMAND_MASTER
from nooks_lab.nooks.domain import Domain
from nooks_lab.nooks.tracker import TYPES
from nooks_lab.nooks.xpc import ExtensionFault
from nooks_lab.toolchain.elf import ElfError

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks

OBJECT_CYCLES = 270
"""Releasing one object: its look-up, and the kernel function that frees it (150 cycles, as ``kfree``)."""

MASK_CYCLES = 300
"""As ``disable_irq``."""

SAFE = [name for name, kind in TYPES.items() if not kind.dma]
REACHABLE_BY_DEVICE = [name for name, kind in TYPES.items() if kind.dma]


@dataclass
class Recovery:
    """One recovery.

    Attributes
    ----------
    phases : list of (name, cycles)
    leaked : int
        Objects of the failed domain that are still tracked at the end.
    ok : bool
        The extension runs again.
    restart : bool
        False when the extension failed while another recovery was starting it: then it is given up.
    started : int
        Cycle of the failure.
    """

    extension: str
    trigger: str
    started: int
    phases: list[tuple[str, int]] = field(default_factory=list)
    leaked: int = 0
    ok: bool = False
    restart: bool = True
    domain: Domain | None = field(default=None, repr=False)
    module: Module | None = field(default=None, repr=False)
    lines: list[int] = field(default_factory=list, repr=False)

    @property
    def cycles(self) -> int:
        """Cycles that all phases took."""
        return sum(cycles for _, cycles in self.phases)


Phase = tuple[str, Callable[["Nooks", Recovery], None]]


def _live(recovery: Recovery) -> tuple[Domain, Module]:
    assert recovery.domain is not None
    assert recovery.module is not None
    return recovery.domain, recovery.module


def disable_interrupts(nooks: "Nooks", recovery: Recovery) -> None:
    """Mask the device's lines at once: nobody is left to acknowledge it, and it would livelock the CPU."""
    domain, _ = _live(recovery)
    for tracked in nooks.tracker.objects(domain):
        if tracked.type == "irqaction":
            recovery.lines.append(tracked.detail[0])
            nooks.kernel.machine.clock.advance(MASK_CYCLES)
            nooks.kernel.irq.disable_irq(tracked.detail[0])


def unwind_tasks(nooks: "Nooks", recovery: Recovery) -> None:
    """Wake the tasks that sleep in or beneath the extension, so that they leave it with an error."""
    domain, _ = _live(recovery)
    for pid in nooks.xpc.tasks_in(domain):
        thread = nooks.kernel.sched.threads.get(pid)
        if thread is not None and nooks.kernel.sched.unwind(thread, ExtensionFault(domain, recovery.trigger)):
            while pid in nooks.xpc.tasks_in(domain):
                nooks.kernel.sched.schedule()
        else:
            nooks.kernel.log(f"nooks: task {pid} cannot be unwound from {recovery.extension}\n")


def release_objects(nooks: "Nooks", recovery: Recovery) -> None:
    """Release what no device can reach."""
    _release(nooks, _live(recovery)[0], SAFE)


def _release(nooks: "Nooks", domain: Domain, kinds: list[str]) -> None:
    released = nooks.tracker.release(domain, kinds)
    nooks.kernel.machine.clock.advance(released * OBJECT_CYCLES)


def unload(nooks: "Nooks", recovery: Recovery) -> None:
    """Free the module's memory."""
    nooks.kernel.modules.unload(_live(recovery)[1])


def reload(nooks: "Nooks", recovery: Recovery) -> None:
    """Load the same object in a new domain, call its init, and run its start-up script."""
    _, module = _live(recovery)
    if not recovery.restart:
        nooks.kernel.log(f"nooks: {module.name} disabled: it failed while it was started again\n")
        return
    try:
        fresh = nooks.kernel.modules.load(module.name, module.object, module.parameters)
    except (ModuleError, ElfError) as error:
        nooks.kernel.log(f"nooks: {module.name} disabled: {error}\n")
        return
    result = nooks.kernel.modules.init(fresh)
    if result:
        nooks.kernel.log(f"nooks: {module.name} disabled: its init returned {result}\n")
        nooks.kernel.modules.unload(fresh)
        return
    for step in nooks.recovery.scripts.get(module.name, []):
        step()
    domain = nooks.domain_of(module.name)
    recovery.ok = domain is not None and not domain.failed


def release_device_memory(nooks: "Nooks", recovery: Recovery) -> None:
    """Only now, with the device reset by its new driver, release what it could reach; then its interrupts."""
    domain, _ = _live(recovery)
    if not recovery.ok:
        _stop_dma(nooks, domain)
    _release(nooks, domain, REACHABLE_BY_DEVICE)
    recovery.leaked = len(nooks.tracker.objects(domain))
    if nooks.xpc.tasks_in(domain):
        nooks.kernel.log(f"nooks: a task sleeps on in {recovery.extension}; its domain stays\n")
        nooks.recovery.lingering.append(domain)
    else:
        nooks.dissolve(domain)
    for line in recovery.lines:
        if nooks.kernel.irq.actions(line):
            nooks.kernel.irq.enable_irq(line)


def _stop_dma(nooks: "Nooks", domain: Domain) -> None:
    """Without a new driver nobody resets the device: take bus mastering from it."""
    for tracked in nooks.tracker.objects(domain):
        if tracked.type == "pci regions":
            slot = nooks.kernel.types.view("pci_dev", tracked.kernel).devfn >> 3
            bus = nooks.kernel.machine.pci
            bus.config_write(slot, COMMAND, 2, bus.config_read(slot, COMMAND, 2) & ~COMMAND_MASTER)


FIRST: Phase = ("disable interrupts", disable_interrupts)
"""Runs at the failure itself, in whatever context that is."""

PHASES: tuple[Phase, ...] = (
    ("unwind tasks", unwind_tasks),
    ("release objects", release_objects),
    ("unload", unload),
    ("reload", reload),
    ("release device memory", release_device_memory),
)
"""Run by the recovery agent, a task of its own."""


class RecoveryManager:
    """Starts recoveries and keeps their records.

    Parameters
    ----------
    phases : tuple of (name, function)
        What the agent does, in order; an exercise may swap two.
    """

    def __init__(self, nooks: "Nooks", phases: tuple[Phase, ...] = PHASES) -> None:
        self._nooks, self._phases = nooks, phases
        self.done: list[Recovery] = []
        self.running: list[Recovery] = []
        self.lingering: list[Domain] = []
        self.scripts: dict[str, list[Callable[[], object]]] = {}

    def owns(self, domain: Domain) -> bool:
        """Tell whether a domain is being recovered."""
        return any(recovery.domain is domain for recovery in self.running)

    def left(self, domain: Domain) -> None:
        """A task has left a failed domain; the last one ends a domain that recovery had to leave behind."""
        if domain in self.lingering and not self._nooks.xpc.tasks_in(domain):
            self.lingering.remove(domain)
            self._nooks.dissolve(domain)

    def start(self, domain: Domain, trigger: str) -> None:
        """Begin: interrupts off now, the rest in the agent's task."""
        kernel = self._nooks.kernel
        module = kernel.modules.loaded[domain.modules[0]]
        recovery = Recovery(domain.name, trigger, kernel.machine.clock.now, domain=domain, module=module)
        recovery.restart = all(other.extension != domain.name for other in self.running)
        self.running.append(recovery)
        self._run(recovery, FIRST)
        agent = kernel.start("nooks-agent", lambda: self._agent(recovery))
        agent.detached = True

    def _agent(self, recovery: Recovery) -> None:
        for phase in self._phases:
            self._run(recovery, phase)
        self.running.remove(recovery)
        self.done.append(recovery)
        self._nooks.kernel.log(f"nooks: {recovery.extension} recovered\n" if recovery.ok else "")

    def _run(self, recovery: Recovery, phase: Phase) -> None:
        name, work = phase
        clock = self._nooks.kernel.machine.clock
        begun = clock.now
        work(self._nooks, recovery)
        recovery.phases.append((name, clock.now - begun))
