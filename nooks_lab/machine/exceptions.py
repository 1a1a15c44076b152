"""Exceptions and interrupts, delivered as the CPU delivers them: IDT, frame, #DF, triple fault.

Unicorn has no double-fault logic when the TLB is ours, so delivery is done here.
Source: Intel SDM volume 3A, sections 6.12 to 6.15 (all code at ring 0: no stack switch but by a task gate).
"""

from nooks_lab.machine.cpu import EFLAGS_IF, EFLAGS_NT, EFLAGS_TF, EFLAGS_VM, PAGE_FAULT, Cpu
from nooks_lab.machine.descriptor_tables import (
    ACCESS_BYTE,
    GATE_SIZE,
    INTERRUPT_GATE,
    PRESENT,
    TASK_GATE,
    TRAP_GATE,
    TSS_AVAILABLE,
    TSS_BUSY,
    TSS_REGISTERS,
    TSS_SIZE,
    Gate,
    decode_tss,
    descriptor_base,
    encode_registers,
)
from nooks_lab.machine.linear import LinearMemory
from nooks_lab.machine.paging import PageFault

DIVIDE_ERROR, DEBUG, NMI, BREAKPOINT = 0, 1, 2, 3
DOUBLE_FAULT, STACK_FAULT, GENERAL_PROTECTION = 8, 12, 13

NAMES = {
    0: "divide error",
    1: "debug",
    2: "NMI",
    3: "int3",
    4: "overflow",
    5: "bounds",
    6: "invalid opcode",
    7: "device not available",
    8: "double fault",
    10: "invalid TSS",
    11: "segment not present",
    12: "stack segment",
    13: "general protection fault",
    14: "page fault",
    16: "floating point",
    17: "alignment check",
}
"""Names as Linux 2.4's trap handlers print them."""

_WITH_ERROR_CODE = frozenset({8, 10, 11, 12, 13, 14, 17})

DELIVERY_CYCLES = 100
"""The CPU's own work for an exception or interrupt through a gate."""


class TripleFault(Exception):  # noqa: N818 - Intel's word for an event of the guest
    """A fault while delivering a double fault: the PC's chipset resets the machine."""


class _DeliveryFault(Exception):  # noqa: N818
    """A fault met while delivering another event."""


def deliver(cpu: Cpu, linear: LinearMemory, vector: int, error_code: int | None, eip: int) -> int:
    """Deliver an exception that the CPU met at ``eip``; a fault in delivery becomes #DF, then a reset.

    Returns
    -------
    int
        The vector whose handler starts: the given one, or 8.

    Raises
    ------
    TripleFault
        When #DF cannot be delivered either.
    """
    if vector == PAGE_FAULT:
        cpu.set("cr2", cpu.fault_address)
    if vector in _WITH_ERROR_CODE and error_code is None:
        error_code = 0
    try:
        _through_gate(cpu, linear, vector, error_code if vector in _WITH_ERROR_CODE else None, eip)
    except _DeliveryFault as first:
        try:
            _through_gate(cpu, linear, DOUBLE_FAULT, 0, eip)
        except _DeliveryFault as second:
            raise TripleFault(f"{NAMES.get(vector, vector)}: {first}; double fault: {second}") from second
        return DOUBLE_FAULT
    return vector


def deliver_interrupt(cpu: Cpu, linear: LinearMemory, vector: int, eip: int) -> int:
    """Deliver an external interrupt between two instructions; see :func:`deliver`."""
    return deliver(cpu, linear, vector, None, eip)


def _through_gate(cpu: Cpu, linear: LinearMemory, vector: int, error_code: int | None, eip: int) -> None:
    cpu.clock.advance(DELIVERY_CYCLES)
    base, limit = cpu.idt()
    if vector * GATE_SIZE + GATE_SIZE - 1 > limit:
        raise _DeliveryFault(f"vector {vector} lies outside the IDT")
    try:
        gate = Gate.decode(linear.read(base + vector * GATE_SIZE, GATE_SIZE))
        if not gate.present:
            raise _DeliveryFault(f"IDT gate {vector} is not present")
        if gate.kind == TASK_GATE:
            _switch_task(cpu, linear, gate.selector, error_code, eip)
        elif gate.kind in (INTERRUPT_GATE, TRAP_GATE):
            _push_frame(cpu, linear, gate, error_code, eip)
        else:
            raise _DeliveryFault(f"IDT gate {vector} has type {gate.kind:#x}")
    except PageFault as fault:
        raise _DeliveryFault(f"page fault at {fault.address:08x}") from fault


def _push_frame(cpu: Cpu, linear: LinearMemory, gate: Gate, error_code: int | None, eip: int) -> None:
    eflags = cpu.get("eflags")
    if eflags & EFLAGS_VM:
        raise _DeliveryFault("the CPU has gone to virtual-8086 mode, and no TSS names a stack of ring 0")
    frame = [eflags, cpu.code_segment(), eip]
    if error_code is not None:
        frame.append(error_code)
    esp = cpu.get("esp")
    for word in frame:
        esp = esp - 4 & 0xFFFFFFFF
        linear.set_u32(esp, word)
    cpu.set("esp", esp)
    cleared = EFLAGS_TF | EFLAGS_NT | (EFLAGS_IF if gate.kind == INTERRUPT_GATE else 0)
    cpu.set("eflags", eflags & ~cleared)
    cpu.set("eip", gate.offset)


def _switch_task(cpu: Cpu, linear: LinearMemory, selector: int, error_code: int | None, eip: int) -> None:
    """Switch tasks through a gate: outgoing registers into the current TSS, incoming ones from the new.

    All that is written before CR3 changes goes through the outgoing task's page table: the registers, the back link
    and the busy bit of the new TSS.  A page that is read-only there makes the switch fail (SDM volume 3A, section
    7.3).
    """
    gdt, limit = cpu.gdt()
    if selector + 7 > limit:
        raise _DeliveryFault(f"TSS selector {selector:#x} lies outside the GDT")
    descriptor = linear.read(gdt + selector, 8)
    if descriptor[ACCESS_BYTE] != PRESENT | TSS_AVAILABLE:
        raise _DeliveryFault(f"selector {selector:#x} names no available TSS")
    incoming, left = descriptor_base(descriptor), cpu.task_register()
    outgoing = descriptor_base(linear.read(gdt + left, 8))
    linear.write(outgoing + TSS_REGISTERS, encode_registers(cpu.registers() | {"eip": eip}))
    linear.write(incoming, left.to_bytes(2, "little"))
    linear.write(gdt + selector + ACCESS_BYTE, bytes((PRESENT | TSS_BUSY,)))
    cr3, loaded = decode_tss(linear.read(incoming, TSS_SIZE))
    if cpu.eflags & EFLAGS_VM:
        cpu.leave_virtual_8086()
    cpu.load_cr3(cr3)
    cpu.set_registers(loaded | {"eflags": loaded["eflags"] | EFLAGS_NT})
    cpu.set_task_register(selector)
    if error_code is not None:
        esp = loaded["esp"] - 4
        linear.set_u32(esp, error_code)
        cpu.set("esp", esp)
