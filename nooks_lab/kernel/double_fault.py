"""A task of its own for the double fault.

A stack pointer that points nowhere leaves the CPU no stack to push an exception's frame on: the page fault becomes a
double fault, and that one, through an ordinary gate, a triple fault that resets the PC.  Linux 2.4 leaves it at that;
Linux 2.6 has a task gate in the IDT (``arch/i386/kernel/doublefault.c``), through which the CPU fetches a stack, and
all other registers, from a task-state segment.

Source: Intel SDM volume 3A, sections 6.14.1 (task gates for exceptions) and 7.3 (task switching).
"""

from collections.abc import Callable

from nooks_lab.kernel.execution import Execution
from nooks_lab.kernel.page_table import PageTable
from nooks_lab.machine.descriptor_tables import (
    ACCESS_BYTE,
    PRESENT,
    TASK_GATE,
    TSS_AVAILABLE,
    TSS_SIZE,
    Gate,
    decode_tss,
    encode_tss,
    segment_descriptor,
)
from nooks_lab.machine.exceptions import DOUBLE_FAULT
from nooks_lab.machine.machine import Machine
from nooks_lab.machine.memory import PAGE_SIZE

KERNEL_TSS, DOUBLE_FAULT_TSS = 0x20, 0x28
_GDT_BYTES = 64
_INIT_TSS_AT, _DOUBLE_FAULT_TSS_AT = 0x80, 0x100
_EFLAGS = 0x2


class DoubleFaultTask:
    """The task, its gate, and the way back.

    Parameters
    ----------
    page : int
        A page of the kernel's for GDT and task-state segments.  A task switch writes to it through whatever page table
        is in CR3.
    stack : int
        A page for the task's stack.
    met : callable (registers)
        Told what the CPU's registers were; must not return.
    """

    def __init__(
        self,
        machine: Machine,
        execution: Execution,
        table: PageTable,
        page: int,
        stack: int,
        met: Callable[[dict[str, int]], None],
    ) -> None:
        self._machine, self._cpu, self._memory = machine, machine.cpu, machine.linear
        self.page, self._met = page, met
        gdt, _ = self._cpu.gdt()
        idt, idt_limit = self._cpu.idt()
        descriptors = bytearray(self._memory.read(gdt, _GDT_BYTES))
        for selector, at in ((KERNEL_TSS, _INIT_TSS_AT), (DOUBLE_FAULT_TSS, _DOUBLE_FAULT_TSS_AT)):
            tss = segment_descriptor(page + at, TSS_SIZE - 1, PRESENT | TSS_AVAILABLE, flat=False)
            descriptors[selector : selector + 8] = tss
        self._memory.write(page, bytes(descriptors))
        handler = execution.add_exception("doublefault_fn", self._handle)
        registers = {"eip": handler, "esp": stack + PAGE_SIZE, "eflags": _EFLAGS}
        self._memory.write(page + _DOUBLE_FAULT_TSS_AT, encode_tss(table.directory, registers))
        self._cpu.load_tables((page, _GDT_BYTES - 1), (idt, idt_limit))
        self._cpu.set_task_register(KERNEL_TSS)
        gate = Gate(TASK_GATE, DOUBLE_FAULT_TSS, 0)
        self._memory.write(idt + 8 * DOUBLE_FAULT, gate.encode())

    def _handle(self) -> None:
        # The switch is undone by hand: nothing could go on where it came from.
        available = bytes((PRESENT | TSS_AVAILABLE,))
        self._memory.write(self.page + DOUBLE_FAULT_TSS + ACCESS_BYTE, available)
        self._cpu.set_task_register(KERNEL_TSS)
        # An interrupt that found the bad stack has been acknowledged, and nobody else will end it.
        for line in self._machine.pic.in_service():
            self._machine.pic.end_of_interrupt(line)
        _, registers = decode_tss(self._memory.read(self.page + _INIT_TSS_AT, TSS_SIZE))
        self._met(registers)
