"""The phases of a recovery, in their order (paper, section 4.5); each an object with a name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nooks_lab.extensions import UnknownExtension
from nooks_lab.kernel.kernel import FATAL
from nooks_lab.kernel.module import Module, ModuleError
from nooks_lab.kernel.sched import TASK_INTERRUPTIBLE, TASK_RUNNING, TASK_UNINTERRUPTIBLE, Thread
from nooks_lab.machine.memory import PAGE_SIZE
from nooks_lab.machine.pci import COMMAND, COMMAND_MASTER
from nooks_lab.nooks.isolation.domain import DOMAIN_PAGES, Domain
from nooks_lab.nooks.recovery.record import Recovery
from nooks_lab.nooks.tracking.object_types import TYPES
from nooks_lab.nooks.tracking.tracker import TrackedObject
from nooks_lab.nooks.xpc.calls import ExtensionFault
from nooks_lab.toolchain.compiler import CompileError
from nooks_lab.toolchain.elf import ElfError

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks

OBJECT_CYCLES = 270
"""Releasing one object: its look-up, and the kernel function that frees it (150 cycles, as ``kfree``)."""

MASK_CYCLES = 300
"""As ``disable_irq``."""

PATIENCE = 20
"""Jiffies that a task gets to leave the extension after it was woken, and others to give memory back."""


@dataclass(frozen=True)
class Phase:
    """One phase: its name, and its work on a recovery."""

    name: str
    work: Callable[["Nooks", Recovery], None]


def safe_types() -> list[str]:
    """Return the object types that no device can reach."""
    return [name for name, kind in TYPES.items() if not kind.dma]


def device_types() -> list[str]:
    """Return the object types that a device could still reach."""
    return [name for name, kind in TYPES.items() if kind.dma]


def mask_lines(nooks: "Nooks", domain: Domain) -> list[int]:
    """Mask a domain's interrupt lines; returns which."""
    lines = nooks.lines(domain)
    for line in lines:
        nooks.kernel.machine.clock.advance(MASK_CYCLES)
        nooks.kernel.irq.disable_irq(line)
    return lines


def unmask_lines(nooks: "Nooks", lines: list[int]) -> None:
    """Undo :func:`mask_lines` on every line that still has a handler."""
    for line in lines:
        if nooks.kernel.irq.actions(line):
            nooks.kernel.irq.enable_irq(line)


def disable_interrupts(nooks: "Nooks", recovery: Recovery) -> None:
    """Mask the device's lines at once: nobody is left to acknowledge it, and it would livelock the CPU."""
    recovery.lines = mask_lines(nooks, recovery.failed_domain)


def unwind_tasks(nooks: "Nooks", recovery: Recovery) -> None:
    """Wake the tasks that sleep in or beneath the extension, so that they leave it with an error.

    A task that sleeps in another extension that this one has called is only woken, as by a signal: that extension
    is innocent, and returns by itself.  Who sleeps uninterruptibly is left, and reported.
    """
    domain, sched = recovery.failed_domain, nooks.kernel.sched
    for pid in nooks.xpc.tasks_in(domain):
        thread = sched.threads.get(pid)
        if pid in recovery.blocked:
            continue
        if thread is None or not _leaves(nooks, domain, pid, thread, recovery.trigger):
            recovery.blocked.append(pid)
            nooks.kernel.log(f"nooks: task {pid} cannot be unwound from {recovery.extension}\n")


def _leaves(nooks: "Nooks", domain: Domain, pid: int, thread: Thread, trigger: str) -> bool:
    """Make a task leave the domain; True when it has."""
    sched = nooks.kernel.sched
    innermost = nooks.xpc.innermost(pid) is domain
    state = thread.task.state
    if state not in (TASK_RUNNING, TASK_INTERRUPTIBLE, TASK_UNINTERRUPTIBLE):
        return False
    if state == TASK_UNINTERRUPTIBLE:
        # It cannot be woken; but who waits for a disk does not wait for long.
        pass
    elif state == TASK_INTERRUPTIBLE and innermost:
        sched.unwind(thread, ExtensionFault(domain, trigger))
    else:
        thread.task.sigpending = 1
        sched.wake_up_process(thread.task.address)
    for _ in range(PATIENCE):
        if pid not in nooks.xpc.tasks_in(domain):
            break
        sched.set_task_state(sched.current.address, TASK_INTERRUPTIBLE)
        sched.schedule_timeout(1)
    if pid in sched.threads:
        thread.task.sigpending = 0
    return pid not in nooks.xpc.tasks_in(domain)


def release_objects(nooks: "Nooks", recovery: Recovery) -> None:
    """Release what no device can reach; if policy says so, caches are written back before.

    What is in the buffer cache is the only copy of what a filesystem was told to write (paper, section 5.2.3).
    """
    if recovery.rule.sync:
        sync(nooks, recovery.failed_domain)
    release(nooks, recovery.failed_domain, safe_types())


def sync(nooks: "Nooks", domain: Domain) -> None:
    """Write every dirty block of the devices that a domain's filesystems are mounted from.

    That is the cache as the kernel has it: blocks of metadata, and pages of files by way of their buffers, through the
    block layer.  None of the failed extension's code is called, so that a dirty inode that its filesystem has not yet
    put into a block (Linux does that with ``write_inode``) is lost.  Our VFAT puts a file's entry into its block when
    the file is closed, so that what remains are files that were open, and the clusters that they had.

    Without it, release drops the pages of files (``invalidate_inodes``) while the closing of the device still writes
    the blocks of metadata (``blkdev_put``, as in Linux 2.4): the directories then name files of the right length with
    the wrong contents.  ``fsck.fat`` finds nothing wrong with those, so that its complaints alone, mostly lost clusters
    of files under way, tell nothing of what synchronising is good for: the files must be read and compared.
    """
    for tracked in nooks.tracker.objects(domain, ["super_block"]):
        dev = nooks.kernel.types.view("super_block", tracked.kernel).s_dev
        if nooks.kernel.fs.buffers.sync_buffers(dev):
            nooks.kernel.log(f"nooks: {domain.name}: not every block could be written back\n")


def release(nooks: "Nooks", domain: Domain, kinds: list[str]) -> None:
    """Release every object of some types that a domain still holds."""
    nooks.fs.detach(domain)
    released = nooks.tracker.release(
        domain, kinds, lambda owner, tracked: TYPES[tracked.type].release(nooks, owner, tracked)
    )
    nooks.kernel.machine.clock.advance(released * OBJECT_CYCLES)


def unload(nooks: "Nooks", recovery: Recovery) -> None:
    """Free the modules' memory, the last loaded first; one that was unloaded meanwhile is not started again."""
    loaded = nooks.kernel.modules.loaded
    recovery.modules = [module for module in recovery.modules if loaded.get(module.name) is module]
    for module in reversed(recovery.modules):
        nooks.kernel.modules.unload(module)
    nooks.forget_modules(module.name for module in recovery.modules)


def reload(nooks: "Nooks", recovery: Recovery) -> None:
    """Load the same objects in a new domain, call their init, and run the start-up script."""
    if not recovery.restart:
        return
    _wait_for_memory(nooks, recovery.modules)
    fresh: list[Module] = []
    # A module that stacks on others and fails in its init is left out: its own loader has been told.
    for module in (each for each in recovery.modules if each.init_result == 0):
        problem = _start_again(nooks, recovery, module, fresh)
        if problem:
            _give_up(nooks, recovery, fresh, f"{module.name} disabled: {problem}")
            return
    if not fresh:
        recovery.restart = False
        return
    problem = _start_up(nooks, recovery, fresh[0].name)
    domain = recovery.successor
    # One that has failed in the script has a recovery of its own.
    if problem and domain is not None and not domain.failed:
        _give_up(nooks, recovery, fresh, f"{fresh[0].name} disabled: {problem}")
    alive = domain is not None and domain in nooks.domains and not domain.failed
    recovery.ok = recovery.restart and alive


def _wait_for_memory(nooks: "Nooks", modules: list[Module]) -> None:
    """Wait a little, while memory is short, for others to give some back, as every ``GFP_KERNEL`` does in Linux."""
    pages, sched = nooks.kernel.pages, nooks.kernel.sched
    wanted = DOMAIN_PAGES + sum(-(-module.size // PAGE_SIZE) for module in modules)
    for _ in range(PATIENCE):
        if pages.try_to_free_pages(wanted):
            break
        sched.set_task_state(sched.current.address, TASK_INTERRUPTIBLE)
        sched.schedule_timeout(1)


def _start_up(nooks: "Nooks", recovery: Recovery, name: str) -> str:
    """Run the start-up script, which a module that replaces another inherits; returns what went wrong."""
    script = nooks.recovery.scripts.get(recovery.extension, [])
    if script:
        nooks.recovery.scripts.setdefault(name, script)
    for step in script:
        try:
            result = step()
        except FATAL:
            raise
        except Exception as death:  # noqa: BLE001 - the script is a user's program: whatever it dies of
            return f"its start-up script died: {words(death)}"
        if isinstance(result, int) and result < 0:
            return f"its start-up script returned {result}"
    return ""


def words(death: Exception) -> str:
    """Return what a program died of, in one line."""
    text = str(death).partition("\n")[0]
    return text or type(death).__name__


def _give_up(nooks: "Nooks", recovery: Recovery, fresh: list[Module], decision: str) -> None:
    """Unload what was started again so far."""
    recovery.restart = False
    recovery.decisions.append(decision)
    nooks.kernel.log(f"nooks: {decision}\n")
    for module in reversed(fresh):
        nooks.kernel.modules.unload(module)


def _start_again(nooks: "Nooks", recovery: Recovery, old: Module, fresh: list[Module]) -> str:
    """Load one module and call its init; returns what went wrong, or an empty string."""
    modules, rule = nooks.kernel.modules, nooks.policy.of(old.name)
    try:
        if rule.action == "replace":
            # The other's parameters mean nothing to the module that takes its place.
            name, obj, given = rule.replacement, nooks.recovery.replacement(rule.replacement), rule.parameters
        else:
            name, obj, given = old.name, old.object, {**old.parameters, **rule.parameters}
        with nooks.placing_in(recovery.successor):
            module = modules.load(name, obj, given)
    except (ModuleError, ElfError, CompileError, UnknownExtension) as error:
        return str(error).partition("\n")[0]
    fresh.append(module)
    recovery.successor = nooks.domain_of(name)
    result = modules.init(module)
    return f"its init returned {result}" if result else ""


def release_device_memory(nooks: "Nooks", recovery: Recovery) -> None:
    """Only now, with the device reset by its new driver, release what it could reach; then its interrupts."""
    domain = recovery.failed_domain
    # Unless the reload is still to come: then the device runs on, into memory that is free.
    if recovery.ok or not recovery.restart:
        stop_dma(nooks, domain)
    release(nooks, domain, device_types())
    recovery.leaked = len(nooks.tracker.objects(domain))
    _end_domain(nooks, recovery, domain)
    unmask_lines(nooks, recovery.lines)
    recovery.lines = []


def _end_domain(nooks: "Nooks", recovery: Recovery, domain: Domain) -> None:
    if nooks.xpc.tasks_in(domain):
        nooks.kernel.log(f"nooks: a task sleeps on in {recovery.extension}; its domain stays\n")
        nooks.recovery.lingering.append(domain)
    else:
        nooks.dissolve(domain)


def clear_away(nooks: "Nooks", recovery: Recovery) -> None:
    """Do what a dead agent has left undone, in whichever phase it died: nothing of the extension stays."""
    domain, successor = recovery.failed_domain, recovery.successor
    if successor is not None and successor in nooks.domains and not successor.failed:
        for module in reversed(nooks.loaded(successor)):
            nooks.kernel.modules.unload(module)
    if domain in nooks.domains and domain not in nooks.recovery.lingering:
        for work in (unwind_tasks, release_objects, unload, release_device_memory):
            work(nooks, recovery)


def stop_dma(nooks: "Nooks", domain: Domain) -> None:
    """Nobody resets a device that no new driver has taken over: take bus mastering from it."""
    bus = nooks.kernel.machine.pci
    for tracked in nooks.tracker.objects(domain, ["pci regions", "resource"]):
        for slot in _devices_of(nooks, tracked):
            bus.config_write(slot, COMMAND, 2, bus.config_read(slot, COMMAND, 2) & ~COMMAND_MASTER)


def _devices_of(nooks: "Nooks", tracked: TrackedObject) -> list[int]:
    """Return the slots of the PCI devices whose regions an object stands for.

    A driver claims the regions of a device by ``pci_request_regions``, or one by one by ``request_region``.
    """
    if tracked.type == "pci regions":
        return [nooks.kernel.types.view("pci_dev", tracked.kernel).devfn >> 3]
    tree, start, size = tracked.detail
    return [
        device.devfn >> 3
        for device in nooks.kernel.pci.devices()
        if any(
            nooks.kernel.pci.tree(region) == tree and region.start < start + size and start <= region.end
            for region in device.resource
        )
    ]


FIRST = Phase("disable interrupts", disable_interrupts)
"""Runs at the failure itself, in whatever context that is."""

PHASES = (
    Phase("unwind tasks", unwind_tasks),
    Phase("release objects", release_objects),
    Phase("unload", unload),
    Phase("reload", reload),
    Phase("release device memory", release_device_memory),
)
"""Run by the recovery agent, a task of its own."""

LAST = Phase("clear away", clear_away)
"""Runs when the agent has died."""
