"""Exceptions as the CPU delivers them: frames, gates, double and triple faults."""

import struct
from collections.abc import Iterator

import pytest
from bare_pc import CODE, DIRECTORY, GDT, HLT, IDT, IRET, STACK, handler, make_pc, run, set_pte, stack_words

from nooks_lab.machine.cpu import EFLAGS_IF, Stop
from nooks_lab.machine.descriptor_tables import (
    INTERRUPT_GATE,
    TASK_GATE,
    TRAP_GATE,
    TSS_SIZE,
    Gate,
    encode_tss,
    segment_descriptor,
)
from nooks_lab.machine.exceptions import DOUBLE_FAULT, TripleFault
from nooks_lab.machine.machine import Machine

UD2, DIVIDE, BREAKPOINT = "0f0b", "31c9f7f1", "cc"  # ud2; xor %ecx,%ecx, div %ecx; int3
BAD_SEGMENT = "b8280000008ed8"  # mov $0x28,%eax; mov %eax,%ds
LOAD_NULL = "a100003000"  # mov 0x300000,%eax
HOLE = 0x300000


@pytest.fixture
def pc() -> Iterator[Machine]:
    with make_pc() as machine:
        set_pte(machine, HOLE, 0)
        yield machine


CASES = pytest.mark.parametrize(
    ("code", "vector", "error", "eip"),
    [
        (UD2, 6, None, CODE),
        (DIVIDE, 0, None, CODE + 2),
        (BREAKPOINT, 3, None, CODE + 1),
        (BAD_SEGMENT, 13, 0, CODE + 5),
        (LOAD_NULL, 14, 0, CODE),
    ],
    ids=["UD", "DE", "int3", "GP", "PF"],
)


@CASES
def test_an_exception_pushes_its_frame(
    pc: Machine, code: str, vector: int, error: int | None, eip: int
) -> None:
    assert run(pc, bytes.fromhex(code)) is Stop.HLT
    assert pc.cpu.eip == handler(vector) + 1
    words = stack_words(pc, 3 if error is None else 4)
    if error is not None:
        # Unicorn does not tell a #GP's error code, so the machine pushes 0.
        assert words[0] == error
        words = words[1:]
    assert words[0] == eip
    assert words[1] == 0x10
    assert words[2] & EFLAGS_IF == 0
    assert pc.cpu.esp + 4 * (3 if error is None else 4) == STACK


@CASES
def test_the_same_exception_comes_the_same_way_every_time(
    pc: Machine, code: str, vector: int, error: int | None, eip: int
) -> None:
    for _ in range(20):
        run(pc, bytes.fromhex(code), esp=STACK)
        assert pc.cpu.eip == handler(vector) + 1
        assert pc.linear.u32(pc.cpu.esp + (0 if error is None else 4)) == eip
    assert pc.exceptions_delivered == {vector: 20}


def test_cr2_holds_the_address_of_the_page_fault(pc: Machine) -> None:
    run(pc, bytes.fromhex("a134023000"))
    assert pc.cpu.get("cr2") == HOLE + 0x234


def test_an_interrupt_gate_clears_if_and_iret_gives_it_back(pc: Machine) -> None:
    pc.memory.write(handler(6), bytes.fromhex("f4 83042402 cf"))  # hlt; addl $2,(%esp); iret
    assert run(pc, bytes.fromhex(UD2), eflags=EFLAGS_IF | 2) is Stop.HLT
    assert not pc.cpu.eflags & EFLAGS_IF
    assert pc.run(pc.cpu.eip, pc.clock.now + 1000) is Stop.HLT
    assert pc.cpu.eip == CODE + 3
    assert pc.cpu.eflags & EFLAGS_IF
    assert pc.cpu.esp == STACK


def test_a_trap_gate_leaves_if_alone(pc: Machine) -> None:
    pc.memory.write(IDT + 8 * 6, Gate(TRAP_GATE, 0x10, handler(6)).encode())
    run(pc, bytes.fromhex(UD2), eflags=EFLAGS_IF | 2)
    assert pc.cpu.eflags & EFLAGS_IF


@pytest.mark.parametrize("kind", ["not present", "outside"])
def test_a_missing_gate_becomes_a_double_fault(pc: Machine, kind: str) -> None:
    if kind == "not present":
        pc.memory.write(IDT + 8 * 14, Gate(0xE, 0x10, handler(14), present=False).encode())
    else:
        pc.cpu.load_tables((GDT, 31), (IDT, 9 * 8 - 1))
    run(pc, bytes.fromhex(LOAD_NULL))
    assert pc.cpu.eip == handler(DOUBLE_FAULT) + 1
    assert stack_words(pc, 2) == (0, CODE)


def test_a_bad_stack_ends_in_a_triple_fault(pc: Machine) -> None:
    with pytest.raises(TripleFault, match=r"page fault at 003000fc.*double fault"):
        run(pc, bytes.fromhex(UD2), esp=HOLE + 0x100)


def test_a_push_to_a_bad_stack_faults_again_in_delivery(pc: Machine) -> None:
    with pytest.raises(TripleFault, match=r"^page fault: "):
        run(pc, b"\x50", esp=HOLE + 0x100)


OLD, NEW, GOOD = 0x8000, 0x9000, 0x30000


def put_double_fault_task(pc: Machine) -> None:
    """A task at NEW, with its stack at GOOD, for the double fault; what was there is saved at OLD."""
    table = bytes(16) + segment_descriptor(0, 0xFFFFF, 0x9A) + segment_descriptor(0, 0xFFFFF, 0x92)
    for base in (OLD, NEW):
        table += segment_descriptor(base, TSS_SIZE - 1, 0x89, flat=False)
    pc.memory.write(GDT, table)
    pc.cpu.load_tables((GDT, len(table) - 1), (IDT, 256 * 8 - 1))
    pc.cpu.set_task_register(0x20)
    pc.memory.write(NEW, encode_tss(DIRECTORY, {"eip": handler(8), "esp": GOOD, "eflags": 2}))
    pc.memory.write(IDT + 8 * 8, Gate(TASK_GATE, 0x28, 0).encode())


def test_a_task_gate_saves_a_double_fault_from_a_bad_stack(pc: Machine) -> None:
    put_double_fault_task(pc)
    run(pc, b"\x50", esp=HOLE + 0x100, ebx=0x1234)
    assert pc.cpu.eip == handler(8) + 1
    assert pc.cpu.esp == GOOD - 4
    assert pc.linear.u32(GOOD - 4) == 0
    saved = struct.unpack("<10I", pc.memory.read(OLD + 32, 40))
    assert (saved[0], saved[5], saved[6]) == (CODE, 0x1234, HOLE + 0x100)
    assert pc.cpu.get("cr2") == HOLE + 0xFC


def test_exceptions_nest(pc: Machine) -> None:
    pc.memory.write(handler(6), bytes.fromhex(BREAKPOINT) + HLT)
    run(pc, bytes.fromhex(UD2))
    assert pc.cpu.eip == handler(3) + 1
    assert stack_words(pc, 4)[0] == handler(6) + 1
    assert stack_words(pc, 4)[3] == CODE


def test_the_instruction_that_faulted_is_not_counted(pc: Machine) -> None:
    before = pc.clock.instructions
    run(pc, b"\x90" * 5 + bytes.fromhex(LOAD_NULL) + b"\x90" * 5)
    # Five nops, and the handler's hlt.
    assert pc.clock.instructions - before == 6


def test_iret_with_a_bad_stack_page_faults(pc: Machine) -> None:
    pc.memory.write(CODE, IRET)
    pc.cpu.set("esp", HOLE + 0x10)
    assert pc.cpu.run(CODE, pc.clock.now + 1000) is Stop.EXCEPTION
    assert pc.cpu.exception == (14, 0)
    assert pc.cpu.fault_address == HOLE + 0x10


def test_code_on_a_page_beyond_ram_is_an_invalid_opcode() -> None:
    with make_pc() as machine:
        # An open bus answers a fetch with ones.
        set_pte(machine, 0x300000, 0xFEBC0000 | 3)
        machine.cpu.invlpg(0x300000)
        assert run(machine, b"\xff\xe0", eax=0x300010) is Stop.HLT
        assert machine.cpu.eip == handler(6) + 1
        assert stack_words(machine, 1) == (0x300010,)


TO_VIRTUAL_8086 = "680200020068600000006a00cf"  # push $0x20002; push $0x60; push $0; iret


def test_nobody_takes_a_cpu_back_from_virtual_8086_mode_without_a_stack(pc: Machine) -> None:
    pc.memory.write(0x600, bytes.fromhex(UD2))
    with pytest.raises(TripleFault, match="virtual-8086"):
        run(pc, bytes.fromhex(TO_VIRTUAL_8086))


@pytest.mark.parametrize("code", [UD2, "a13412"], ids=["UD", "PF"])
def test_a_task_gate_takes_a_cpu_back_from_virtual_8086_mode(pc: Machine, code: str) -> None:
    put_double_fault_task(pc)
    pc.memory.write(0x600, bytes.fromhex(code))
    set_pte(pc, 0x1000, 0)
    pc.cpu.invlpg(0x1000)
    run(pc, bytes.fromhex(TO_VIRTUAL_8086))
    assert (pc.cpu.eip, pc.cpu.code_segment()) == (handler(8) + 1, 0x10)
    # The machine is none the worse for it.
    pc.memory.write(IDT + 8 * 6, Gate(INTERRUPT_GATE, 0x10, handler(6)).encode())
    run(pc, bytes.fromhex(UD2), esp=STACK)
    assert pc.cpu.eip == handler(6) + 1
