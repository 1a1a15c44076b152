"""Calls between Python and machine code: gates, the return path, budgets.

A kernel function written in Python has two bytes of machine code in the kernel's text: ``hlt; ret``.
The CPU stops at ``hlt``, Python does the work, and the ``ret`` that follows is executed by the CPU.
Exception handlers end in ``iret`` instead.  Because the CPU has stopped, Python may call machine code
again, to any depth, and may switch tasks.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from nooks_lab.kernel.bug import KernelBug
from nooks_lab.kernel.exports import Signature
from nooks_lab.machine import exceptions
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.machine.cpu import EFLAGS_IF, INVALID_OPCODE, PAGE_FAULT, Stop
from nooks_lab.machine.machine import Machine
from nooks_lab.machine.paging import PageFault

T = TypeVar("T")

_HLT, _RET, _IRET, _INT3 = 0xF4, 0xC3, 0xCF, 0xCC
GATE_SIZE = 16

BUSY_LIMIT = 50_000_000
"""Instructions that one entry into machine code may take before the system counts as hung."""

GATE_WORK = 500
"""What a pass through a gate counts of them, and an access to a device: a loop of kernel calls, of stray ``hlt`` or of
``in`` is a loop too.
"""

WATCHDOG_LIMIT = BUSY_LIMIT // 5 * 4
"""Where the NMI watchdog first strikes, if there is one, a little before the system counts as hung."""

WATCHDOG_PERIOD = BUSY_LIMIT // 20
"""How much further on it strikes again, when the system has not come to life."""

INTERRUPT_WORK = 5_000
"""What an interrupt or exception counts: entry, controller, device, the softirqs behind it, and the way back."""


STARVED_CYCLES = CPU_HZ // 50
"""Two ticks, 20 ms.  Interrupts that take all of a shorter time are a burst, however much work they are."""


class Hang(Exception):  # noqa: N818 - an event of the guest
    """The guest does not come back: it loops, has halted with interrupts off, or sleeps for good."""


@dataclass(frozen=True)
class Gate:
    """A kernel entry point.

    ``enter`` gets no arguments and returns where the CPU goes on; for a function that is its ``ret``.
    """

    name: str
    address: int
    enter: Callable[[], int]
    function: Callable[..., Any] | None = None
    signature: Signature | None = None
    cycles: int = 0


class Execution:
    """Runs machine code for the kernel, and kernel functions for machine code.

    Parameters
    ----------
    machine : Machine
        The PC.
    text : int
        Linear address of the gates' text.
    capacity : int
        How many gates fit there.

    Attributes
    ----------
    work_besides : int
        Instructions that those count who have more to do at a gate than a kernel function.
    """

    def __init__(self, machine: Machine, text: int, capacity: int) -> None:
        self.machine = machine
        self.linear = machine.linear
        self.gates: dict[int, Gate] = {}
        self._text, self._capacity, self._count = text, capacity, 0
        self._texts: list[bytes] = []
        self.trace: Callable[[str, tuple[Any, ...], Any], None] | None = None
        self.report: Callable[[str], None] = lambda message: None
        self.need_resched: Callable[[], bool] = lambda: False
        self._passes = self._interrupts = 0
        self.work_besides = 0
        self._idle_at = self._idle_cycle = 0
        self.nmi_watchdog = False
        self._return = self._place("ret_to_kernel", bytes((_HLT,)), lambda gate: self._no_caller)
        self._system_call = self._place("system_call", bytes((_HLT, _RET)), lambda gate: self._no_caller)
        self._idle = self._place("default_idle", bytes((_HLT, _RET)), lambda gate: self._no_caller)
        # Machine code that has jumped to these has halted the CPU, as it can with any other hlt.
        self._stray = (self._idle, self._system_call)

    def _no_caller(self) -> int:
        raise Hang("machine code returned to a kernel that had not called it")

    def _place(self, name: str, code: bytes, enter: Callable[[int], Callable[[], int]]) -> int:
        if self._count == self._capacity:
            raise RuntimeError(f"no room for another kernel entry point ({self._capacity} are in use)")
        address = self._text + self._count * GATE_SIZE
        self._count += 1
        text = code.ljust(GATE_SIZE, bytes((_INT3,)))
        self.linear.write(address, text)
        self._texts.append(text)
        self.gates[address] = Gate(name, address, enter(address))
        return address

    def changed_gates(self) -> int:
        """Return how many entry points no longer have the text that they were given."""
        there = self.linear.read(self._text, self._count * GATE_SIZE)
        return sum(
            there[at * GATE_SIZE : (at + 1) * GATE_SIZE] != text for at, text in enumerate(self._texts)
        )

    def add_function(
        self, name: str, function: Callable[..., Any], signature: Signature, cycles: int = 0
    ) -> int:
        """Give a Python function an address that machine code can call.

        Parameters
        ----------
        function : callable
            Takes the prototype's parameters; returns an int, or None for ``void``.
        signature : Signature
            From the C prototype.
        """

        def make(address: int) -> Callable[[], int]:
            return lambda: self._enter_function(address + 1, name, function, signature, cycles)

        address = self._place(name, bytes((_HLT, _RET)), make)
        enter = self.gates[address].enter
        self.gates[address] = Gate(name, address, enter, function, signature, cycles)
        return address

    def add_exception(self, name: str, handler: Callable[[], None]) -> int:
        """Give an exception or interrupt handler an address for the IDT; the CPU leaves it with ``iret``."""

        def make(address: int) -> Callable[[], int]:
            def enter() -> int:
                handler()
                return address + 1

            return enter

        return self._place(name, bytes((_HLT, _IRET)), make)

    def _enter_function(
        self, back: int, name: str, function: Callable[..., Any], signature: Signature, cycles: int
    ) -> int:
        machine = self.machine
        cpu = machine.cpu
        arguments = signature.arguments(self.linear, cpu.esp + 4)
        machine.clock.block.now += cycles
        result = function(*arguments)
        if self.trace is not None:
            self.trace(name, arguments, result)
        if signature.returns_value:
            value = int(result)
            cpu.set("eax", value)
            if signature.returns_64_bits:
                cpu.set("edx", value >> 32)
        return back

    def call(self, address: int, *arguments: int) -> int:
        """Call a function by address, as C would: arguments on the stack, result in EAX.

        Returns
        -------
        int
            EAX, unsigned.

        Raises
        ------
        Hang
            When the call does not come back within its budget.
        """
        gate = self.gates.get(address)
        if gate is not None and gate.function is not None:
            return self._call_gate(gate, arguments)
        cpu = self.machine.cpu
        saved = cpu.esp
        esp = saved - 4 * len(arguments) - 4 & 0xFFFFFFFF
        self.linear.write(
            esp, struct.pack(f"<{len(arguments) + 1}I", self._return, *(a & 0xFFFFFFFF for a in arguments))
        )
        cpu.set("esp", esp)
        self._run(address)
        result = cpu.get("eax")
        cpu.set("esp", saved)
        return result

    def _call_gate(self, gate: Gate, arguments: tuple[int, ...]) -> int:
        """Call a kernel function's own text; the CPU has nothing to run but ``hlt; ret``."""
        assert gate.function is not None
        assert gate.signature is not None
        self.machine.clock.advance(gate.cycles)
        result = gate.function(*gate.signature.convert(arguments))
        if self.trace is not None:
            self.trace(gate.name, arguments, result)
        return int(result) & 0xFFFFFFFF if gate.signature.returns_value else 0

    def _run(self, eip: int) -> None:
        """Run from ``eip`` until the machine code returns to the kernel."""
        machine, cpu, gates = self.machine, self.machine.cpu, self.gates
        entered_at = self.work()
        strike = WATCHDOG_LIMIT if self.nmi_watchdog else BUSY_LIMIT
        while True:
            work = self.work() - max(entered_at, self._idle_at)
            # A strike comes first, and its handler runs, however far beyond every limit device accesses have led.
            if self.nmi_watchdog and work >= strike:
                strike = work + WATCHDOG_PERIOD
                eip = self._watchdog(eip)
            elif work >= BUSY_LIMIT:
                raise Hang(f"machine code at {eip:08x} does not return: {BUSY_LIMIT} instructions of work")
            if machine.run(eip, machine.clock.now + strike - work) is Stop.DEADLINE:
                eip = cpu.eip
                continue
            at = cpu.eip - 1
            if at == self._return:
                return
            gate = gates.get(at)
            if gate is not None and gate.function is None:
                self._interrupts += 1
            else:
                self._passes += 1
            if gate is None or at in self._stray:
                if self.nmi_watchdog and not cpu.eflags & EFLAGS_IF:
                    eip = self._watchdog(cpu.eip)
                else:
                    eip = self._halted(cpu.eip)
                continue
            eip = self._pass(gate)

    def work(self) -> int:
        """Return what the CPU and the kernel have done since boot, in instructions: the measure of all budgets."""
        bus = self.machine.bus
        passes = self._passes + bus.mmio_accesses + bus.port_accesses
        done = self.machine.clock.instructions + self.work_besides
        return done + GATE_WORK * passes + INTERRUPT_WORK * self._interrupts

    def _watchdog(self, eip: int) -> int:
        """Deliver the NMI of a watchdog that has found the CPU locked up; returns where the CPU goes on.

        As Linux 2.4's ``nmi_watchdog``: through the I/O APIC the timer's ticks come as NMIs too, whatever EFLAGS.IF is
        and even to a halted CPU, and the handler looks whether ordinary life goes on.  Only the NMIs that find it
        does not are simulated; the others would cost a few hundred cycles in ten milliseconds.
        """
        cpu = self.machine.cpu
        exceptions.deliver(cpu, self.linear, exceptions.NMI, None, eip)
        return cpu.eip

    def _pass(self, gate: Gate) -> int:
        """Do what an entry point stands for; what its Python meets is the guest's exception."""
        try:
            return gate.enter()
        except PageFault as fault:
            return self.fault(fault, gate.address)
        except KernelBug as bug:
            return self.bug(bug, gate.address)

    def _halted(self, eip: int) -> int:
        """The guest executed ``hlt``: time passes until an interrupt comes."""
        machine = self.machine
        if not machine.cpu.eflags & EFLAGS_IF:
            raise Hang(f"the CPU has halted at {eip - 1:08x} with interrupts off")
        if machine.clock.next_event() is None and machine.pic.pending() is None:
            raise Hang(f"the CPU has halted at {eip - 1:08x} and no interrupt will come")
        if machine.pic.pending() is None:
            machine.idle(machine.clock.next_event() or 0)
        return eip

    def fault(self, fault: PageFault, eip: int) -> int:
        """Deliver a page fault that kernel code written in Python met; returns where the CPU goes on."""
        cpu = self.machine.cpu
        cpu.fault_address = fault.address
        exceptions.deliver(cpu, self.linear, PAGE_FAULT, fault.error_code, eip)
        return cpu.eip

    def bug(self, bug: KernelBug, eip: int) -> int:
        """Deliver BUG(), which is an invalid opcode in Linux; returns where the CPU goes on.

        BUG() first says what is wrong, and it takes the kernel's page table to write the kernel's log: an extension
        that has jumped here past its wrapper gets no further than that.
        """
        try:
            self.report(f"kernel BUG: {bug}\n")
        except PageFault as fault:
            return self.fault(fault, eip)
        exceptions.deliver(self.machine.cpu, self.linear, INVALID_OPCODE, None, eip)
        return self.machine.cpu.eip

    def system_call(self, body: Callable[[], T]) -> T:
        """Run kernel code that no machine code called; its faults go to the guest's handlers all the same."""
        try:
            return body()
        except PageFault as fault:
            eip = self.fault(fault, self._system_call)
        except KernelBug as bug:
            eip = self.bug(bug, self._system_call)
        self._run(eip)
        raise Hang("an exception handler returned to kernel code that had failed")

    def rested(self) -> None:
        """A task has given up the CPU, or what looped was ended: nothing loops, and every budget starts anew."""
        self._idle_at, self._idle_cycle = self.work(), self.machine.clock.now

    def idle(self, until: int) -> None:
        """Run the idle loop, interrupts on, until ``until`` cycles have passed or a task wants the CPU.

        Interrupt handlers run in it; whatever they raise comes out of here.
        """
        machine, cpu = self.machine, self.machine.cpu
        while machine.clock.now < until and not self.need_resched():
            if not cpu.eflags & EFLAGS_IF:
                cpu.set("eflags", cpu.eflags | EFLAGS_IF)
            eip = self._idle
            esp = cpu.esp
            at_iret = False
            while True:
                # An interrupt handler that has begun is finished, however late it gets.  When it is late, its
                # iret runs alone, or a line that asks again would be served again, and so for ever.
                in_handler, now = cpu.esp != esp, machine.clock.now
                alone = at_iret and now >= until
                late = now + 1 if alone else now + BUSY_LIMIT
                stop = machine.run(eip, late if in_handler else until)
                if in_handler and stop is Stop.DEADLINE and not alone:
                    raise Hang(f"an interrupt handler at {eip:08x} has run for {BUSY_LIMIT} cycles")
                if alone and cpu.eip == eip:
                    # A TLB miss on the way to it has taken the cycle.
                    continue
                at_iret = False
                at = cpu.eip - 1
                if at == self._idle and cpu.esp == esp:
                    # Only now: interrupts that never let it come to this leave nothing to anybody.
                    self.rested()
                    break
                gate = self.gates.get(at)
                if gate is None:
                    if machine.clock.now >= until and cpu.esp == esp:
                        return
                    eip = cpu.eip
                    continue
                eip = self._pass(gate)
                at_iret = gate.function is None
                if at_iret:
                    self._interrupts += 1
                    starved = machine.clock.now - self._idle_cycle > STARVED_CYCLES
                    if starved and self.work() - self._idle_at > BUSY_LIMIT:
                        raise Hang(f"interrupts leave the CPU no time: {BUSY_LIMIT} instructions of work")
            # The interrupt may have come before the ``hlt``, and have woken a task.
            if machine.clock.now < until and machine.pic.pending() is None and not self.need_resched():
                machine.idle(until)
