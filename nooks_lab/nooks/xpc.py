"""Extension procedure calls (paper, section 4.1).

``nooks_driver_call`` enters an extension, ``nooks_kernel_call`` leaves it for the kernel.  Both save the
caller's context on its stack, change stack and page table, call, and change back.  Arguments stay where
they are: addresses mean the same in every domain.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from nooks_lab.kernel.bug import KernelBug
from nooks_lab.kernel.kernel import Kernel
from nooks_lab.machine.paging import PageFault
from nooks_lab.nooks.domain import BadParameter, Domain

T = TypeVar("T")

_CONTEXT = ("ebx", "esi", "edi", "ebp", "esp", "eflags", "cr3")
_FRAME = struct.Struct(f"<{len(_CONTEXT)}I")

XPC_CYCLES = 150
"""Saving and restoring a context and finding a stack; the CR3 load and the misses count themselves."""


class ExtensionFault(Exception):  # noqa: N818 - an event of the guest
    """An extension has failed; unwinds its task to where the kernel called it."""

    def __init__(self, domain: Domain, trigger: str) -> None:
        super().__init__(trigger)
        self.domain, self.trigger = domain, trigger


def _nothing(_domain: Domain) -> None:
    """Nobody waits for the last task to leave a failed domain."""


@dataclass
class Frame:
    """One call into a domain: whom it entered, and where the kernel's stack stands meanwhile."""

    domain: Domain
    kernel_esp: int


class Xpc:
    """The two calls, and the chain of domains that each task is in."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel, self._cpu, self._memory = kernel, kernel.machine.cpu, kernel.memory
        self._frames: dict[int, list[Frame]] = {}
        self.entered_from: Domain | None = None
        self.on_left: Callable[[Domain], None] = _nothing
        self.driver_calls = 0
        self.kernel_calls = 0

    @property
    def total(self) -> int:
        """All XPCs, both ways."""
        return self.driver_calls + self.kernel_calls

    def _chain(self) -> tuple[int, list[Frame]]:
        pid = self._kernel.sched.current_pid()
        return pid, self._frames.setdefault(pid, [])

    def tasks_in(self, domain: Domain) -> list[int]:
        """Return the pids of tasks that are in or beneath a domain."""
        return [pid for pid, chain in self._frames.items() if any(f.domain is domain for f in chain)]

    def _save_context(self) -> int:
        """Push the caller's context on its own stack; returns where it lies."""
        cpu = self._cpu
        at = cpu.esp - _FRAME.size & 0xFFFFFFFF
        self._memory.write(at, _FRAME.pack(*map(cpu.get, _CONTEXT)))
        self._kernel.machine.clock.advance(XPC_CYCLES)
        return at

    def _restore_context(self, at: int) -> None:
        values = dict(zip(_CONTEXT, _FRAME.unpack(self._memory.read(at, _FRAME.size)), strict=True))
        # CR3 first: the stack that ESP will name may be out of reach in the other page table.
        self._cpu.load_cr3(values.pop("cr3"))
        self._cpu.set_registers(values)

    def nooks_driver_call(self, domain: Domain, function: int, *arguments: int) -> int:
        """Call an extension's function in its domain; returns EAX.

        Raises
        ------
        ExtensionFault
            When the extension failed in this call.
        """
        return self.enter(domain, lambda: self._kernel.execution.call(function, *arguments))

    def enter(self, domain: Domain, call: Callable[[], int]) -> int:
        """Make a call of machine code inside a domain; see :meth:`nooks_driver_call`."""
        if domain.failed:
            raise ExtensionFault(domain, f"call into the failed domain {domain.name}")
        self.driver_calls += 1
        pid, chain = self._chain()
        at = self._save_context()
        nested = pid in domain.busy_stacks
        stack = domain.stack(pid)
        chain.append(Frame(domain, at))
        self._cpu.load_cr3(domain.directory)
        self._cpu.set("esp", stack.esp)
        try:
            return call()
        finally:
            chain.pop()
            if not chain:
                self._frames.pop(pid, None)
            # The kernel's page table first: what the domain left in CR3 is not to be trusted.
            self._cpu.load_cr3(self._kernel.page_table.directory)
            self._restore_context(at)
            if not nested:
                domain.release_stack(pid)
            if domain.failed:
                self.on_left(domain)

    def nooks_kernel_call(self, body: Callable[[Domain], T]) -> T:
        """Leave the running domain and execute a wrapper's body in the kernel.

        Raises
        ------
        ExtensionFault
            When a check of the body refused a parameter, or the domain failed meanwhile.
        """
        self.kernel_calls += 1
        pid, chain = self._chain()
        frame = chain[-1]
        domain = frame.domain
        at = self._save_context()
        stack = domain.busy_stacks[pid]
        outer_esp, stack.esp = stack.esp, at
        self._cpu.load_cr3(self._kernel.page_table.directory)
        self._cpu.set("esp", frame.kernel_esp)
        try:
            result = body(domain)
        except BadParameter as refused:
            raise ExtensionFault(domain, str(refused)) from refused
        except (PageFault, KernelBug) as met:
            # A pointer that no check caught: the wrapper, not the kernel's own work, followed it.
            raise ExtensionFault(domain, f"wrapper of a kernel call: {met}") from met
        finally:
            stack.esp = outer_esp
        if domain.failed:
            raise ExtensionFault(domain, f"domain {domain.name} failed beneath this call")
        self._restore_context(at)
        return result

    # An exception or interrupt that comes while the CPU is in a domain finds the domain's stack and page
    # table.  Its handler is the kernel's, and must change to the kernel's before it does anything.

    def kernel_entered(self) -> tuple[int, int, Domain, int] | None:
        """Behind the entry code: change to the kernel's stack and page table; returns what to go back to."""
        self.entered_from = None
        if self._cpu.cr3 == self._kernel.page_table.directory:
            return None
        pid, chain = self._chain()
        if not chain:
            return None
        frame = chain[-1]
        self.entered_from = frame.domain
        stack = frame.domain.busy_stacks[pid]
        token = (self._cpu.cr3, self._cpu.esp, frame.domain, stack.esp)
        stack.esp = self._cpu.esp
        self._cpu.load_cr3(self._kernel.page_table.directory)
        self._cpu.set("esp", frame.kernel_esp)
        return token

    def kernel_left(self, token: tuple[int, int, Domain, int] | None) -> None:
        """Before the handler returns: back to where the CPU was."""
        if token is None:
            return
        cr3, esp, domain, outer_esp = token
        if domain.failed:
            raise ExtensionFault(domain, f"domain {domain.name} failed in an interrupt")
        domain.busy_stacks[self._kernel.sched.current_pid()].esp = outer_esp
        self._cpu.load_cr3(cr3)
        self._cpu.set("esp", esp)
