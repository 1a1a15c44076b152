"""A PC without a kernel: flat segments, identity paging, and an IDT whose handlers halt."""

import struct
from collections.abc import Iterable

from nooks_lab.machine.cpu import Stop
from nooks_lab.machine.descriptor_tables import INTERRUPT_GATE, Gate, segment_descriptor
from nooks_lab.machine.machine import BLOCK_CLOCK_SOURCE, TLB_SOURCE, Machine
from nooks_lab.machine.paging import CR0_PG, CR0_WP, RW, A, D, P, Walker
from nooks_lab.toolchain import compiler

RAM = 4 << 20
DIRECTORY, TABLE, GDT, IDT, HANDLERS = 0x1000, 0x2000, 0x3000, 0x4000, 0x5000
CODE, STACK = 0x10000, 0x20000
HLT, IRET = b"\xf4", b"\xcf"


def handler(vector: int) -> int:
    return HANDLERS + 16 * vector


def make_pc(walker: Walker | None = None) -> Machine:
    block_clock, tlb = map(compiler.compile_host_library, (BLOCK_CLOCK_SOURCE, TLB_SOURCE))
    machine = Machine(block_clock, tlb, walker, RAM)
    machine.memory.write(
        TABLE, b"".join(struct.pack("<I", page << 12 | P | RW | A | D) for page in range(1024))
    )
    machine.memory.words[DIRECTORY >> 2] = TABLE | P | RW | A
    segments = segment_descriptor(0, 0xFFFFF, 0x9A) + segment_descriptor(0, 0xFFFFF, 0x92)
    machine.memory.write(GDT, bytes(16) + segments)
    for vector in range(48):
        machine.memory.write(IDT + 8 * vector, Gate(INTERRUPT_GATE, 0x10, handler(vector)).encode())
        machine.memory.write(handler(vector), HLT + IRET)
    machine.cpu.load_tables((GDT, 31), (IDT, 256 * 8 - 1))
    machine.cpu.load_segments(0x10, 0x18)
    machine.cpu.load_cr3(DIRECTORY)
    machine.cpu.load_cr0(CR0_PG | CR0_WP)
    machine.cpu.set("esp", STACK)
    machine.cpu.set("eflags", 2)
    return machine


def set_pte(machine: Machine, address: int, value: int) -> None:
    """Change a page-table entry behind the CPU's back: the TLB is not told."""
    machine.memory.words[(TABLE >> 2) + (address >> 12)] = value


def unmap(machine: Machine, pages: Iterable[int]) -> None:
    for page in pages:
        set_pte(machine, page, 0)
        machine.cpu.invlpg(page)


def run(machine: Machine, code: bytes, limit: int = 1_000_000, **registers: int) -> Stop:
    """Run code to its ``hlt``, or to that of the handler it ends in."""
    machine.memory.write(CODE, code + HLT)
    machine.cpu.set_registers(registers)
    return machine.run(CODE, machine.clock.now + limit)


def stack_words(machine: Machine, count: int) -> tuple[int, ...]:
    return struct.unpack(f"<{count}I", machine.linear.read(machine.cpu.esp, 4 * count))
