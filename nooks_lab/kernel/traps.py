"""Exception and interrupt entry, oops and panic, as Linux 2.4 does them.

An exception in process context kills the task and leaves the driver as it is; in interrupt context there
is no task to kill, and the kernel panics (``arch/i386/kernel/traps.c``, ``kernel/panic.c``).
"""

import struct
from typing import Any

from nooks_lab.kernel.execution import Execution
from nooks_lab.kernel.exports import VaList, export
from nooks_lab.kernel.format import vsprintf
from nooks_lab.kernel.hooks import Hooks
from nooks_lab.kernel.irq import NR_IRQS, Interrupts
from nooks_lab.kernel.page_table import PageTable
from nooks_lab.kernel.printk import Printk
from nooks_lab.kernel.sched import THREAD_SIZE, Scheduler, TaskKilled
from nooks_lab.kernel.structs import Types
from nooks_lab.kernel.symbols import SymbolTable
from nooks_lab.machine.cpu import PAGE_FAULT
from nooks_lab.machine.descriptor_tables import INTERRUPT_GATE, Gate, segment_descriptor
from nooks_lab.machine.exceptions import NAMES
from nooks_lab.machine.interrupts import FIRST_VECTOR
from nooks_lab.machine.machine import Machine
from nooks_lab.machine.paging import PageFault

KERNEL_CS, KERNEL_DS = 0x10, 0x18
SIGSEGV = 11
TAINT_DIE = 1 << 7

_ERROR_CODE = frozenset({8, 10, 11, 12, 13, 14, 17})
_VECTORS = (*range(15), 16, 17, 18)
_SAVED = ("ebx", "ecx", "edx", "esi", "edi", "ebp", "eax")
_FRAME = struct.Struct("<9I")


class Panic(Exception):  # noqa: N818 - an event of the guest
    """The kernel has stopped the machine; the text is what stands on the console."""


class Traps:
    """Entry code, handlers, and what the kernel says before it dies.

    Attributes
    ----------
    panicked : str or None
        What the kernel has stopped for.
    killed : int
        How many tasks an oops has killed since boot.
    """

    def __init__(
        self,
        machine: Machine,
        types: Types,
        execution: Execution,
        printk: Printk,
        sched: Scheduler,
        irq: Interrupts,
        table: PageTable,
        symbols: SymbolTable,
        hooks: Hooks,
        irq_stat: Any,
        tainted: int,
        panic_on_oops: int,
    ) -> None:
        self._machine, self._cpu, self._memory = machine, machine.cpu, machine.linear
        self._types, self._execution, self._printk = types, execution, printk
        self._sched, self._irq, self._table = sched, irq, table
        self._symbols, self._hooks, self._stat = symbols, hooks, irq_stat
        self._tainted, self._panic_on_oops = tainted, panic_on_oops
        self.panicked: str | None = None
        self.killed = 0

    def boot(self, gdt: int, idt: int) -> None:
        """Fill GDT and IDT and load them."""
        flat = segment_descriptor(0, 0xFFFFF, 0x9A), segment_descriptor(0, 0xFFFFF, 0x92)
        table = bytes(16) + flat[0] + flat[1]
        self._memory.write(gdt, table.ljust(64, b"\0"))
        for vector in _VECTORS:
            self._set_gate(idt, vector, self._exception_entry(vector))
        for irq in range(NR_IRQS):
            self._set_gate(idt, FIRST_VECTOR + irq, self._interrupt_entry(irq))
        self._cpu.load_tables((gdt, 63), (idt, 256 * 8 - 1))
        self._cpu.load_segments(KERNEL_CS, KERNEL_DS)

    def _set_gate(self, idt: int, vector: int, address: int) -> None:
        self._memory.write(idt + 8 * vector, Gate(INTERRUPT_GATE, KERNEL_CS, address).encode())

    def _exception_entry(self, vector: int) -> int:
        def handle() -> None:
            regs = self._save_all(None if vector in _ERROR_CODE else 0xFFFFFFFF)
            token = self._hooks.kernel_entered()
            self.do_trap(vector, regs)
            self._hooks.kernel_left(token)
            self._restore_all(regs)

        return self._execution.add_exception(NAMES.get(vector, f"trap_{vector}").replace(" ", "_"), handle)

    def _interrupt_entry(self, irq: int) -> int:
        def handle() -> None:
            regs = self._save_all(irq - 256 & 0xFFFFFFFF)
            token = self._hooks.kernel_entered()
            self._irq.do_irq(irq, regs.address)
            self._hooks.kernel_left(token)
            self._restore_all(regs)

        return self._execution.add_exception(f"IRQ{irq:#04x}_interrupt", handle)

    def _save_all(self, orig_eax: int | None) -> Any:
        """``SAVE_ALL``: complete the CPU's frame to a ``struct pt_regs`` on the running stack."""
        cpu = self._cpu
        esp = cpu.esp
        if orig_eax is not None:
            esp -= 4
            self._memory.set_u32(esp, orig_eax)
        esp = esp - _FRAME.size & 0xFFFFFFFF
        saved = [cpu.get(name) for name in _SAVED]
        self._memory.write(esp, _FRAME.pack(*saved, KERNEL_DS, KERNEL_DS))
        cpu.set("esp", esp)
        return self._types.view("pt_regs", esp)

    def _restore_all(self, regs: Any) -> None:
        values = _FRAME.unpack(self._memory.read(regs.address, _FRAME.size))
        for name, value in zip(_SAVED, values, strict=False):
            self._cpu.set(name, value)
        self._cpu.set("esp", regs.offset_of("eip"))

    def do_trap(self, vector: int, regs: Any) -> None:
        """Handle an exception of ring 0.

        Raises
        ------
        TaskKilled
            In process context.
        Panic
            In interrupt context, in the idle task, or with ``panic_on_oops``.
        """
        if self._hooks.exception(vector, regs):
            return
        address = self._cpu.get("cr2") if vector == PAGE_FAULT else 0
        self._say(self.describe(vector, regs, address))
        self.die()

    def die(self) -> None:
        """What follows an oops: the task's end, or the machine's."""
        self._memory.set_u32(self._tainted, self._memory.u32(self._tainted) | TAINT_DIE)
        if self._sched.in_interrupt():
            self.panic("Aiee, killing interrupt handler!")
        if self._sched.current.pid == 0:
            self.panic("Attempted to kill the idle task!")
        if self._memory.u32(self._panic_on_oops):
            self.panic("Fatal exception")
        self.killed += 1
        raise TaskKilled(SIGSEGV)

    def panic(self, reason: str) -> None:
        """Stop the machine.

        Raises
        ------
        Panic
            Always.
        """
        text = f"Kernel panic: {reason}\n"
        if self._sched.in_interrupt():
            text += "In interrupt handler - not syncing\n"
        else:
            text += "In idle task - not syncing\n" if self._sched.current.pid == 0 else ""
        self._say(text)
        self.panicked = reason
        raise Panic(reason)

    @export(name="panic", cycles=1_500)
    def panic_for_module(self, fmt: int, arguments: VaList) -> None:
        """``panic`` as extensions call it: the formatted message is the reason."""
        self.panic(vsprintf(self._memory, self._memory.string(fmt), arguments).decode("latin-1").rstrip("\n"))

    def _say(self, text: str) -> None:
        self._printk.log(text.encode())

    def describe(self, vector: int, regs: Any, address: int) -> str:
        """Return the oops text of an exception."""
        eip, error = regs.eip & 0xFFFFFFFF, regs.orig_eax & 0xFFFFFFFF
        lines = []
        if vector == PAGE_FAULT:
            what = "NULL pointer dereference" if address < 4096 else "paging request"
            lines += [
                f"Unable to handle kernel {what} at virtual address {address:08x}",
                f" printing eip:\n{eip:08x}",
                f"*pte = {self._table.pte(address):08x}",
                f"Oops: {error:04x}",
            ]
        else:
            lines.append(
                f"{NAMES.get(vector, f'trap {vector}')}: {error & 0xFFFF if vector in _ERROR_CODE else 0:04x}"
            )
        esp = regs.offset_of("esp")
        tainted = "Tainted" if self._memory.u32(self._tainted) else "Not tainted"
        symbol = self._symbols.find(eip)
        lines += [
            "CPU:    0",
            f"EIP:    {regs.xcs & 0xFFFF:04x}:[<{eip:08x}>]    {tainted}",
            f"EIP is at {symbol}" if symbol else "EIP is at an address outside all kernel text",
            f"EFLAGS: {regs.eflags & 0xFFFFFFFF:08x}",
            _registers(regs, "eax", "ebx", "ecx", "edx"),
            f"{_registers(regs, 'esi', 'edi', 'ebp')}   esp: {esp:08x}",
            f"ds: {regs.xds & 0xFFFF:04x}   es: {regs.xes & 0xFFFF:04x}   ss: {KERNEL_DS:04x}",
        ]
        task = self._sched.current
        lines.append(f"Process {task.comm.decode('latin-1')} (pid: {task.pid}, stackpage={task.address:08x})")
        words = self._stack_words(esp)
        lines += _columns("Stack: ", [f"{word:08x}" for word in words[:24]], 8)
        lines += ["Call Trace:", *self._call_trace(esp, words)]
        lines.append(f"\nCode: {self._code(eip)}")
        return "\n".join(lines) + "\n"

    def _stack_words(self, esp: int) -> list[int]:
        words = []
        for at in range(esp, (esp | THREAD_SIZE - 1) + 1, 4):
            try:
                words.append(self._memory.u32(at))
            except PageFault:
                break
        return words

    def _call_trace(self, esp: int, words: list[int]) -> list[str]:
        found = []
        for index, word in enumerate(words):
            symbol = self._symbols.find(word)
            if symbol is not None:
                found.append(f" [<{word:08x}>] {symbol} ({esp + 4 * index:#x})")
        return found[:16]

    def _code(self, eip: int) -> str:
        try:
            return self._memory.read(eip, 16).hex(" ")
        except PageFault:
            return "Bad EIP value."


def _registers(regs: Any, *names: str) -> str:
    return "   ".join(f"{name}: {getattr(regs, name) & 0xFFFFFFFF:08x}" for name in names)


def _columns(head: str, words: list[str], width: int) -> list[str]:
    rows = [" ".join(words[i : i + width]) for i in range(0, len(words), width)]
    return [f"{head if not i else ' ' * len(head)}{row}" for i, row in enumerate(rows)] or [head]
