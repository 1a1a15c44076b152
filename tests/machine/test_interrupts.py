"""Interrupts: lines, mask, end of interrupt, priority, the timer, and on which instruction they fall."""

from collections.abc import Iterator

import pytest
from bare_pc import CODE, HLT, STACK, handler, make_pc, run, stack_words
from hypothesis import given
from hypothesis import strategies as st

from nooks_lab.machine.cpu import EFLAGS_IF, Stop
from nooks_lab.machine.interrupts import FIRST_VECTOR, LINES, SLAVE_DATA, InterruptController
from nooks_lab.machine.machine import Machine

LOOP = b"\x40\xeb\xfd"  # inc %eax; jmp to it
COUNT_ECX = b"\x41\xeb\xfd"
ON = EFLAGS_IF | 2
COUNT_AND_EOI = bytes.fromhex("fe0500800000 b020 e620 cf")  # incb 0x8000; out %al(0x20),$0x20; iret


@pytest.fixture
def pic() -> InterruptController:
    controller = InterruptController()
    controller.state.imr = 0
    return controller


@pytest.fixture(scope="module")
def shared() -> Iterator[Machine]:
    with make_pc() as machine:
        yield machine


@pytest.fixture
def pc() -> Iterator[Machine]:
    with make_pc() as machine:
        machine.pic.state.imr = 0
        yield machine


def test_a_level_line_asks_again_until_it_is_released(pic: InterruptController) -> None:
    pic.hold(11, "nic")
    for _ in range(3):
        assert pic.pending() == 11
        assert pic.acknowledge(11) == FIRST_VECTOR + 11
        assert pic.pending() is None
        pic.end_of_interrupt(11)
    pic.release(11, "nic")
    assert pic.pending() is None


def test_an_edge_is_served_once(pic: InterruptController) -> None:
    pic.pulse(4)
    pic.pulse(4)
    pic.acknowledge(4)
    pic.end_of_interrupt(4)
    assert pic.pending() is None


def test_a_shared_line_stays_up_until_the_last_device_lets_go(pic: InterruptController) -> None:
    pic.hold(11, "nic")
    pic.hold(11, "sound")
    pic.release(11, "nic")
    assert pic.pending() == 11
    pic.release(11, "nobody")
    assert pic.pending() == 11
    pic.release(11, "sound")
    assert pic.pending() is None


def test_a_masked_line_waits(pic: InterruptController) -> None:
    pic.mask(5)
    pic.pulse(5)
    assert pic.pending() is None
    assert pic.asserted(5)
    pic.unmask(5)
    assert pic.pending() == 5


@given(
    st.sets(st.integers(0, LINES - 1)), st.sets(st.integers(0, LINES - 1)), st.sets(st.integers(0, LINES - 1))
)
def test_the_lowest_ready_line_below_every_line_in_service_comes_first(
    requested: set[int], masked: set[int], served: set[int]
) -> None:
    controller = InterruptController()
    controller.state.imr = 0
    for line in served:
        controller.acknowledge(line)
    for line in requested:
        controller.pulse(line)
    for line in masked:
        controller.mask(line)
    ready = [line for line in requested - masked if all(line < busy for busy in served)]
    assert controller.pending() == min(ready, default=None)


def test_the_mask_ports_show_what_was_written(pic: InterruptController) -> None:
    pic.port_write(SLAVE_DATA, 1, 0x5A)
    assert pic.port_read(SLAVE_DATA, 1) == 0x5A
    assert pic.state.imr == 0x5A00


def test_interrupts_wait_while_if_is_clear(pc: Machine) -> None:
    pc.pic.pulse(0)
    assert run(pc, LOOP, limit=1000, eflags=2, eax=0) is Stop.DEADLINE
    assert pc.interrupts_delivered == {}
    pc.cpu.set("eflags", ON)
    assert pc.run(pc.cpu.eip, pc.clock.now + 1000) is Stop.HLT
    assert pc.cpu.eip == handler(FIRST_VECTOR) + 1
    assert stack_words(pc, 2)[0] in (CODE, CODE + 1)


def test_a_handler_returns_to_the_interrupted_instruction(pc: Machine) -> None:
    pc.memory.write(handler(FIRST_VECTOR), COUNT_AND_EOI)
    pc.timer.program(10_000)
    run(pc, LOOP, limit=95_000, eflags=ON, eax=0)
    assert pc.memory.read(0x8000, 1) == b"\x09"
    assert pc.cpu.esp == STACK
    assert pc.interrupts_delivered == {0: 9}


def test_timer_pulses_come_at_exact_cycles(pc: Machine) -> None:
    ticks = []
    pc.timer.tick = lambda: (ticks.append(pc.clock.now), type(pc.timer).tick(pc.timer))
    pc.timer.program(1_000)
    start = pc.clock.now
    while len(ticks) < 5:
        pc.idle(start + 10_000)
    assert [tick - start for tick in ticks] == [1_000, 2_000, 3_000, 4_000, 5_000]
    pc.timer.program(0)
    pc.idle(pc.clock.now + 50_000)
    assert len(ticks) == 5


def interrupted_at() -> list[tuple[int, int, int]]:
    with make_pc() as machine:
        machine.pic.state.imr = 0
        seen = []
        machine.timer.program(777)
        eip = CODE
        machine.memory.write(CODE, LOOP)
        machine.cpu.set_registers({"eflags": ON, "eax": 0})
        for _ in range(40):
            machine.run(eip, machine.clock.now + 10_000)
            eip = stack_words(machine, 1)[0]
            seen.append((eip, machine.cpu.get("eax"), machine.clock.now))
            machine.pic.end_of_interrupt(0)
            machine.cpu.set_registers({"eflags": ON, "esp": STACK})
        return seen


def test_interrupts_fall_on_the_same_instructions_in_two_runs() -> None:
    first = interrupted_at()
    assert len({now for _, _, now in first}) == 40
    assert interrupted_at() == first


@given(st.integers(1, 5_000))
def test_the_cpu_stops_at_the_first_block_at_the_deadline(shared: Machine, cycles: int) -> None:
    machine = shared
    machine.memory.write(CODE, LOOP + HLT)
    machine.cpu.set_registers({"eflags": 2, "eax": 0})
    # Code page and translation are warm, so that only instructions take time: two per block.
    machine.run(CODE, machine.clock.now + 10)
    machine.cpu.set("eax", 0)
    start = machine.clock.now
    assert machine.run(CODE, start + cycles) is Stop.DEADLINE
    assert machine.clock.now - start == cycles + cycles % 2
    assert machine.cpu.get("eax") == (cycles + 1) // 2


def test_an_interrupt_wakes_a_halted_cpu(pc: Machine) -> None:
    pc.clock.after(5_000, "pic", "pulse", 0)
    assert run(pc, b"", eflags=ON) is Stop.HLT
    pc.idle(pc.clock.now + 100_000)
    assert pc.pic.pending() == 0
    pc.run(pc.cpu.eip, pc.clock.now + 1000)
    assert pc.cpu.eip == handler(FIRST_VECTOR) + 1
    assert stack_words(pc, 1)[0] == CODE + 1


def test_a_line_that_stays_up_leaves_nothing_to_the_interrupted_code(pc: Machine) -> None:
    pc.memory.write(handler(FIRST_VECTOR + 3), COUNT_AND_EOI)
    pc.memory.write(0x8000, b"\0")
    pc.pic.hold(3, "device")
    assert run(pc, COUNT_ECX, limit=100_000, eflags=ON, ecx=0) is Stop.DEADLINE
    assert pc.memory.read(0x8000, 1)[0] > 90
    assert pc.cpu.get("ecx") == 0
    pc.pic.release(3, "device")
    pc.run(CODE, pc.clock.now + 1000)
    assert pc.cpu.get("ecx") > 300


@pytest.mark.parametrize(
    "turn_on",
    [b"\xfb", bytes.fromhex("6802020000 9d")],  # sti; push $0x202, popf
    ids=["sti", "popf"],
)
def test_a_waiting_interrupt_comes_as_soon_as_interrupts_are_on(pc: Machine, turn_on: bytes) -> None:
    pc.pic.pulse(0)
    begin = pc.clock.now
    assert run(pc, b"\x40" + turn_on + LOOP, eflags=2, eax=0) is Stop.HLT
    assert pc.cpu.eip == handler(FIRST_VECTOR) + 1
    assert pc.cpu.get("eax") <= 2
    assert pc.clock.now - begin < 500


def test_a_line_raised_by_a_port_write_interrupts_the_next_block(pc: Machine) -> None:
    pc.pic.state.imr = 0xFFFF
    pc.pic.pulse(4)
    # xor %al,%al; out %al,$0x21 (unmask all); then the loop
    assert run(pc, bytes.fromhex("30c0 e621") + LOOP, eflags=ON, eax=0) is Stop.HLT
    assert pc.cpu.eip == handler(FIRST_VECTOR + 4) + 1
    assert pc.cpu.get("eax") <= 2
