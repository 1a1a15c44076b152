"""TF: the CPU traps with #DB after one instruction (SDM volume 3B, section 17.3.1.4)."""

import struct
from collections.abc import Iterator

import pytest
from bare_pc import CODE, HLT, IRET, STACK, handler, make_pc, run, set_pte, stack_words

from nooks_lab.machine.cpu import EFLAGS_IF, EFLAGS_TF, Stop
from nooks_lab.machine.exceptions import DEBUG
from nooks_lab.machine.interrupts import FIRST_VECTOR
from nooks_lab.machine.machine import Machine

RETURN = 0x11000
HOLE = 0x300000
LINE = 5
INC = b"\x40"  # inc %eax
STORE = bytes.fromhex("a300003000")  # mov %eax,0x300000
REP_STOS = bytes.fromhex("f3aa")


@pytest.fixture
def pc() -> Iterator[Machine]:
    with make_pc() as machine:
        yield machine


def resume(pc: Machine, code: bytes, eflags: int = EFLAGS_TF | 2) -> Stop:
    """Run code that a handler's ``iret`` returns to, with the EFLAGS that the handler has left in its frame."""
    pc.memory.write(CODE, code + HLT)
    pc.memory.write(RETURN, IRET)
    pc.memory.code_written = True
    pc.linear.write(STACK - 12, struct.pack("<3I", CODE, 0x10, eflags))
    pc.cpu.set("esp", STACK - 12)
    return pc.run(RETURN, pc.clock.now + 100_000)


def go_on(pc: Machine) -> Stop:
    """Leave the handler by its own ``iret``."""
    return pc.run(pc.cpu.eip, pc.clock.now + 100_000)


def test_the_trap_comes_after_just_one_instruction(pc: Machine) -> None:
    before = pc.clock.instructions
    assert resume(pc, INC * 3) is Stop.HLT
    assert pc.cpu.eip == handler(DEBUG) + 1
    assert pc.cpu.get("eax") == 1
    assert stack_words(pc, 3) == (CODE + 1, 0x10, EFLAGS_TF | 2)
    # iret, the one instruction, and the handler's hlt.
    assert pc.clock.instructions - before == 3


def test_the_handler_itself_is_not_stepped(pc: Machine) -> None:
    pc.memory.write(handler(DEBUG), INC * 2 + HLT + IRET)
    resume(pc, INC)
    assert pc.exceptions_delivered == {DEBUG: 1}
    assert not pc.cpu.eflags & EFLAGS_TF


def test_each_instruction_traps_while_tf_stays_set(pc: Machine) -> None:
    resume(pc, INC * 3)
    for steps in (2, 3):
        go_on(pc)
        assert pc.cpu.get("eax") == steps
    assert pc.exceptions_delivered == {DEBUG: 3}


def test_a_handler_that_clears_tf_ends_it(pc: Machine) -> None:
    resume(pc, INC * 3)
    pc.linear.set_u32(pc.cpu.esp + 8, 2)
    assert go_on(pc) is Stop.HLT
    assert pc.cpu.eip == CODE + 4
    assert pc.cpu.get("eax") == 3
    assert pc.exceptions_delivered == {DEBUG: 1}


def test_popf_itself_does_not_trap(pc: Machine) -> None:
    code = bytes.fromhex("9c 810c2400010000 9d".replace(" ", ""))  # pushf; orl $TF,(%esp); popf
    run(pc, code + INC * 2)
    assert pc.cpu.get("eax") == 1
    assert stack_words(pc, 1)[0] == CODE + len(code) + 1


def test_rep_traps_after_each_turn(pc: Machine) -> None:
    pc.cpu.set_registers({"edi": HOLE, "ecx": 3, "eax": 0x5A})
    resume(pc, REP_STOS)
    seen = []
    while pc.cpu.eip == handler(DEBUG) + 1:
        seen.append((stack_words(pc, 1)[0], pc.cpu.get("ecx")))
        go_on(pc)
    # The turn that finds ECX at zero may be a trap of its own.
    assert [ecx for _, ecx in seen[:3]] == [2, 1, 0]
    assert all(eip == CODE for eip, ecx in seen if ecx)
    assert pc.memory.read(HOLE, 4) == b"\x5a\x5a\x5a\0"


def test_an_instruction_that_faults_does_not_trap(pc: Machine) -> None:
    set_pte(pc, HOLE, 0)
    resume(pc, STORE)
    assert pc.exceptions_delivered == {14: 1}
    assert pc.cpu.eip == handler(14) + 1
    error, eip, _, eflags = stack_words(pc, 4)
    assert (error, eip) == (2, CODE)
    # The frame keeps TF, so that the instruction traps when it has been repeated with success.
    assert eflags & EFLAGS_TF
    set_pte(pc, HOLE, HOLE | 0x63)
    pc.cpu.set("esp", pc.cpu.esp + 4)
    go_on(pc)
    assert pc.exceptions_delivered == {14: 1, DEBUG: 1}
    assert stack_words(pc, 1)[0] == CODE + len(STORE)


class Pulser:
    """A device that pulses its line when told."""

    def __init__(self, pc: Machine) -> None:
        self._pc = pc
        pc.clock.parts["pulser"] = self
        pc.pic.unmask(LINE)
        # Every page has been touched, so that an instruction takes a cycle and no miss.
        resume(pc, INC)
        pc.exceptions_delivered.clear()
        pc.cpu.set("eflags", 2)
        pc.cpu.set("eax", 0)

    def pulse(self) -> None:
        self._pc.pic.pulse(LINE)

    def step(self, cycles: int) -> None:
        """Step with an interrupt that comes some cycles after the start of ``iret``."""
        pc = self._pc
        pc.clock.at(pc.clock.now + cycles, "pulser", "pulse")
        resume(pc, INC * 3, EFLAGS_TF | EFLAGS_IF | 2)


def test_the_trap_comes_before_an_interrupt(pc: Machine) -> None:
    Pulser(pc).step(2)
    assert pc.cpu.eip == handler(DEBUG) + 1
    assert pc.cpu.get("eax") == 1
    assert stack_words(pc, 1)[0] == CODE + 1
    assert pc.interrupts_delivered == {}


def test_an_interrupt_before_the_instruction_keeps_tf_for_it(pc: Machine) -> None:
    Pulser(pc).step(1)
    assert pc.cpu.eip == handler(FIRST_VECTOR + LINE) + 1
    assert pc.exceptions_delivered == {}
    assert stack_words(pc, 3) == (CODE, 0x10, EFLAGS_TF | EFLAGS_IF | 2)
    assert not pc.cpu.eflags & EFLAGS_TF
    go_on(pc)
    assert pc.exceptions_delivered == {DEBUG: 1}
    assert pc.cpu.get("eax") == 1
    assert stack_words(pc, 1)[0] == CODE + 1


def test_two_machines_step_alike() -> None:
    def steps() -> list[tuple[int, int]]:
        with make_pc() as pc:
            pc.cpu.set_registers({"edi": HOLE, "ecx": 5})
            resume(pc, INC + REP_STOS + INC)
            seen = []
            while pc.cpu.eip == handler(DEBUG) + 1:
                seen.append((stack_words(pc, 1)[0], pc.clock.now))
                go_on(pc)
            return seen

    assert steps() == steps()
