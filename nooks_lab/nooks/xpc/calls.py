"""Extension procedure calls (paper, section 4.1).

``nooks_driver_call`` enters an extension, ``nooks_kernel_call`` leaves it for the kernel.  Both save the
caller's context on its stack, change stack and page table, call, and change back.  Arguments stay where
they are: addresses mean the same in every domain.  Deferred calls run where control passes anyway.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from nooks_lab.kernel.bug import KernelBug
from nooks_lab.kernel.kernel import Kernel
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.machine.paging import PageFault
from nooks_lab.nooks.isolation.domain import BadParameter, Domain, Stack

T = TypeVar("T")

_CONTEXT = ("ebx", "esi", "edi", "ebp", "esp", "eflags", "cr3")
_FRAME = struct.Struct(f"<{len(_CONTEXT)}I")

SAVE_CYCLES = 60
"""Pushing seven registers, EFLAGS and CR3 among them; the CR3 loads and the misses count themselves."""

STACK_CYCLES = 20
"""Finding the stack to go on with: a short look-up."""

RESTORE_CYCLES = 70
"""Popping them; ``popf`` alone takes most of it."""

XPC_WORK = 1_500
"""What a call of the kernel counts of the work that an extension may do before it returns: contexts, page tables,
shadow copies, checks.
"""

LIVELOCK_CYCLES = CPU_HZ
"""How long, one second, extension and kernel may call each other without an end before that counts as livelock."""


class ExtensionFault(Exception):  # noqa: N818 - an event of the guest
    """An extension has failed; unwinds its task to where the kernel called it."""

    def __init__(self, domain: Domain, trigger: str) -> None:
        super().__init__(trigger)
        self.domain, self.trigger = domain, trigger


def _nothing(_domain: Domain) -> None:
    """No deferred calls, and nobody waits for the last task to leave a failed domain."""


@dataclass
class Frame:
    """One call into a domain.

    Attributes
    ----------
    kernel_esp : int
        Where the kernel's stack stands meanwhile.
    entered, slept : int
        Cycle of the entry, and cycles that the task has slept since.
    thread : bool
        The bottom of a thread of the extension's own: it need not return, only sleep now and then.
    """

    domain: Domain
    kernel_esp: int
    entered: int
    slept: int = 0
    thread: bool = False


class Xpc:
    """The two calls, and the chain of domains that each task is in.

    Attributes
    ----------
    entering : callable (domain)
        Called in the kernel's domain before an extension runs: deferred calls into it, shadow copies.
    at_kernel_call, at_return : callable (domain)
        Called in the kernel's domain when the extension calls the kernel, and when it returns to it.
    on_left : callable (domain)
        Told when a task has left a failed domain.
    livelock_cycles : int
        See ``LIVELOCK_CYCLES``.
    inside : Domain or None
        Whose code the CPU runs; None while it runs the kernel's.  The paper keeps ``current`` in such a variable too.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel, self._cpu, self._memory = kernel, kernel.machine.cpu, kernel.memory
        self._clock = kernel.machine.clock
        self._frames: dict[int, list[Frame]] = {}
        self.entered_from: Domain | None = None
        self.inside: Domain | None = None
        self.entering: Callable[[Domain], None] = _nothing
        self.at_kernel_call: Callable[[Domain], None] = _nothing
        self.at_return: Callable[[Domain], None] = _nothing
        self.on_left: Callable[[Domain], None] = _nothing
        self.livelock_cycles = LIVELOCK_CYCLES
        self.driver_calls = 0
        self.kernel_calls = 0

    @property
    def total(self) -> int:
        """All XPCs, both ways."""
        return self.driver_calls + self.kernel_calls

    def _chain(self) -> tuple[int, list[Frame]]:
        pid = self._kernel.sched.current_pid()
        chain = self._frames.get(pid)
        if chain is None:
            chain = self._frames[pid] = []
        return pid, chain

    def current_domain(self) -> Domain:
        """Return the domain that the running task is in.

        Raises
        ------
        LookupError
            When it is in none.
        """
        _, chain = self._chain()
        if not chain:
            raise LookupError("the current task is in no domain")
        return chain[-1].domain

    def tasks_in(self, domain: Domain) -> list[int]:
        """Return the pids of tasks that are in or beneath a domain."""
        return [pid for pid, chain in self._frames.items() if any(f.domain is domain for f in chain)]

    def is_occupied(self, domain: Domain) -> bool:
        """Tell whether any task is in or beneath a domain."""
        for chain in self._frames.values():
            for frame in chain:
                if frame.domain is domain:
                    return True
        return False

    def innermost(self, pid: int) -> Domain | None:
        """Return the domain that a task entered last and has not left, or None."""
        chain = self._frames.get(pid)
        return chain[-1].domain if chain else None

    def _save_context(self) -> int:
        """Push the caller's context on its own stack; returns where it lies."""
        cpu = self._cpu
        at = cpu.esp - _FRAME.size & 0xFFFFFFFF
        self._memory.write(at, _FRAME.pack(*map(cpu.get, _CONTEXT)))
        self._clock.block.now += SAVE_CYCLES
        return at

    def _find_stack(self, domain: Domain, pid: int) -> Stack:
        self._clock.block.now += STACK_CYCLES
        return domain.stack(pid)

    def _restore_context(self, at: int) -> None:
        self._clock.block.now += RESTORE_CYCLES
        ebx, esi, edi, ebp, esp, eflags, cr3 = _FRAME.unpack(self._memory.read(at, _FRAME.size))
        # CR3 first: the stack that ESP will name may be out of reach in the other page table.
        self._cpu.load_cr3(cr3)
        self._cpu.set_registers(
            {"ebx": ebx, "esi": esi, "edi": edi, "ebp": ebp, "esp": esp, "eflags": eflags}
        )

    def nooks_driver_call(self, domain: Domain, function: int, *arguments: int) -> int:
        """Call an extension's function in its domain; returns EAX.

        Raises
        ------
        ExtensionFault
            When the extension failed in this call.
        """
        return self.enter(domain, lambda: self._kernel.execution.call(function, *arguments))

    def run_thread(self, domain: Domain, function: int, argument: int) -> int:
        """Run a thread of an extension's from its beginning to its end; see :meth:`nooks_driver_call`."""
        return self.enter(domain, lambda: self._kernel.execution.call(function, argument), thread=True)

    def enter(self, domain: Domain, call: Callable[[], int], thread: bool = False) -> int:
        """Make a call of machine code inside a domain; see :meth:`nooks_driver_call`."""
        if domain.failed:
            raise ExtensionFault(domain, f"call into the failed domain {domain.name}")
        self.guarded(domain, self.entering, domain)
        self.driver_calls += 1
        pid, chain = self._chain()
        at = self._save_context()
        nested = pid in domain.busy_stacks
        try:
            stack = self._find_stack(domain, pid)
        except MemoryError as error:
            raise ExtensionFault(domain, str(error)) from error
        chain.append(Frame(domain, at, self._clock.block.now, thread=thread))
        # None, unless an extension has jumped here itself; then it is what the CPU comes back to.
        outer, self.inside = self.inside, domain
        self._cpu.load_cr3(domain.directory)
        self._cpu.set("esp", stack.esp)
        try:
            result = call()
        finally:
            chain.pop()
            if not chain:
                self._frames.pop(pid, None)
            # The kernel's page table first: what the domain left in CR3 is not to be trusted.
            self.inside = outer
            self._cpu.load_cr3(self._kernel.page_table.directory)
            self._restore_context(at)
            if not nested:
                domain.release_stack(pid)
            if domain.failed:
                self.on_left(domain)
        self.guarded(domain, self.at_return, domain)
        return result

    def guarded(self, domain: Domain, body: Callable[..., T], *arguments: Any) -> T:
        """Do the kernel's part of a call; what goes wrong in it is the failure of the extension that made it."""
        try:
            return body(*arguments)
        except BadParameter as refused:
            raise ExtensionFault(domain, str(refused)) from refused
        except MemoryError as short:
            raise ExtensionFault(domain, str(short)) from short
        except (PageFault, KernelBug) as met:
            # A pointer that no check caught: the wrapper, not the kernel's own work, followed it.
            raise ExtensionFault(domain, f"wrapper of a kernel call: {met}") from met

    def nooks_kernel_call(self, body: Callable[[Domain], T]) -> T:
        """Leave the running domain and execute a wrapper's body in the kernel.

        Raises
        ------
        ExtensionFault
            When a check of the body refused a parameter, the domain failed meanwhile, or extension and kernel have
            been calling each other for too long.
        """
        self.kernel_calls += 1
        self._kernel.execution.work_besides += XPC_WORK
        pid, chain = self._chain()
        frame = chain[-1]
        domain = frame.domain
        at = self._save_context()
        stack = self._find_stack(domain, pid)
        outer_esp, stack.esp = stack.esp, at
        self.inside = None
        self._cpu.load_cr3(self._kernel.page_table.directory)
        self._cpu.set("esp", frame.kernel_esp)
        try:
            result: T = self.guarded(domain, self._run_in_kernel, frame, body)
        finally:
            stack.esp = outer_esp
        if domain.failed:
            raise ExtensionFault(domain, f"domain {domain.name} failed beneath this call")
        self.inside = domain
        self._restore_context(at)
        return result

    def _run_in_kernel(self, frame: Frame, body: Callable[[Domain], T]) -> T:
        self._check_livelock(frame)
        self.at_kernel_call(frame.domain)
        result = body(frame.domain)
        self.entering(frame.domain)
        return result

    def _check_livelock(self, frame: Frame) -> None:
        busy = self._clock.block.now - frame.entered - frame.slept
        if busy > self.livelock_cycles:
            raise ExtensionFault(
                frame.domain, f"livelock: after {busy:,} cycles the extension still calls the kernel"
            )

    def stay(self) -> Domain:
        """Begin a wrapper that runs in the domain, without a call of the kernel; returns the domain.

        Raises
        ------
        ExtensionFault
            When the extension has been at it for too long.  (One that fails meanwhile leaves when that interrupt ends.)
        """
        _, chain = self._chain()
        self._check_livelock(chain[-1])
        return chain[-1].domain

    def slept(self, cycles: int) -> None:
        """The running task has slept: that time does not count as busy."""
        _, chain = self._chain()
        for frame in chain:
            frame.slept += cycles
            if frame.thread:
                frame.entered, frame.slept = self._clock.block.now, 0

    # An exception or interrupt that comes while the CPU is in a domain finds the domain's stack and page
    # table.  Its handler is the kernel's, and must change to the kernel's before it does anything.

    def kernel_entered(self) -> tuple[int, int, Domain, int] | None:
        """Behind the entry code: change to the kernel's stack and page table; returns what to go back to."""
        self.entered_from = None
        # Not by CR3: an extension that has loaded the kernel's page table, as it can, is at fault all the same.
        if self.inside is None:
            return None
        pid, chain = self._chain()
        if not chain:
            return None
        frame = chain[-1]
        self.entered_from = frame.domain
        stack = frame.domain.busy_stacks[pid]
        token = (self._cpu.cr3, self._cpu.esp, frame.domain, stack.esp)
        stack.esp = self._cpu.esp
        self.inside = None
        self._cpu.load_cr3(self._kernel.page_table.directory)
        self._cpu.set("esp", frame.kernel_esp)
        return token

    def kernel_left(self, token: Any) -> None:
        """Before the handler returns: back to where the CPU was."""
        if token is None:
            return
        cr3, esp, domain, outer_esp = token
        if domain.failed:
            raise ExtensionFault(domain, f"domain {domain.name} failed in an interrupt")
        domain.busy_stacks[self._kernel.sched.current_pid()].esp = outer_esp
        self.inside = domain
        self._cpu.load_cr3(cr3)
        self._cpu.set("esp", esp)
