"""Saving, going back, code that changes, Ctrl-C, and giving memory back."""

import hashlib
import resource
import signal
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from bare_pc import CODE, HLT, STACK, handler, make_pc, run
from hypothesis import given, settings
from hypothesis import strategies as st

import nooks_lab as nl
from nooks_lab.lab import Lab
from nooks_lab.machine.cpu import EFLAGS_IF, Stop
from nooks_lab.machine.interrupts import FIRST_VECTOR
from nooks_lab.machine.machine import Machine

FRAME = bytes.fromhex("000e0c334455 020000000001 0806") + bytes(46)


@pytest.fixture
def pc() -> Iterator[Machine]:
    with make_pc() as machine:
        yield machine


def fingerprint(machine: Machine) -> tuple[object, ...]:
    ram = hashlib.sha256(machine.memory.bytes).hexdigest()
    return ram, machine.cpu.registers(), machine.counters(), sorted(machine.clock.queue)


# A loop that mixes a word into 64 KiB of memory, with a timer interrupt that counts.
WORK = bytes.fromhex("69c00d661900 055ff36e3c 89c3 c1eb10 31831000 0300 ebeb".replace(" ", ""))
TICK = bytes.fromhex("fe0500800000 50 b020 e620 58 cf")


def start_work(machine: Machine) -> None:
    machine.memory.write(CODE, WORK)
    machine.memory.write(handler(FIRST_VECTOR), TICK)
    machine.pic.state.imr = 0
    machine.timer.program(3_001)
    machine.cpu.set_registers({"eax": 1, "eflags": EFLAGS_IF | 2, "esp": STACK, "eip": CODE})


@pytest.fixture(scope="module")
def worker() -> Iterator[tuple[Machine, object]]:
    with make_pc() as machine:
        start_work(machine)
        yield machine, machine.save()


@settings(max_examples=40)
@given(st.lists(st.integers(1, 20_000), min_size=1, max_size=4), st.integers(1, 20_000))
def test_going_on_from_a_snapshot_is_the_same_as_not_stopping(
    worker: tuple[Machine, object], pauses: list[int], rest: int
) -> None:
    machine, power_on = worker
    machine.load(power_on)
    for pause in pauses:
        machine.run(machine.cpu.get("eip"), machine.clock.now + pause)
    middle = machine.save()
    machine.run(machine.cpu.get("eip"), machine.clock.now + rest)
    straight = fingerprint(machine)
    machine.run(machine.cpu.get("eip"), machine.clock.now + 10_000)
    machine.load(middle)
    machine.run(machine.cpu.get("eip"), machine.clock.now + rest)
    assert fingerprint(machine) == straight


def test_a_snapshot_goes_on_in_another_machine_alike(pc: Machine) -> None:
    start_work(pc)
    pc.run(CODE, pc.clock.now + 12_345)
    middle = pc.save()
    pc.run(pc.cpu.get("eip"), pc.clock.now + 23_456)
    with make_pc() as other:
        other.load(middle)
        other.run(other.cpu.get("eip"), other.clock.now + 23_456)
        assert fingerprint(other) == fingerprint(pc)


def test_a_snapshot_of_another_kind_of_machine_is_refused(pc: Machine) -> None:
    with nl.boot() as lab, pytest.raises(ValueError, match="a machine with other parts"):
        lab.machine.load(pc.save())


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with nl.boot() as booted:
        booted.insmod("e1000")
        booted.kernel.ifconfig_up("eth0")
        booted.run(0.02)
        yield booted


@settings(max_examples=10)
@given(
    st.lists(st.integers(0, 40_000_000), min_size=1, max_size=12),
    st.integers(1, 20_000_000),
    st.integers(1, 20_000_000),
)
def test_a_system_under_traffic_goes_on_the_same(
    lab: Lab, arrivals: list[int], before: int, after: int
) -> None:
    for delay in arrivals:
        lab.peer.send_at(lab.machine.clock.now + delay, FRAME)
    lab.kernel.run(before)
    middle = lab.machine.save()
    ends = []
    for _ in range(2):
        lab.kernel.run(after)
        ends.append((*fingerprint(lab.machine), len(lab.peer.received)))
        lab.machine.load(middle)
    assert ends[0] == ends[1]


def test_a_store_into_the_running_code_takes_effect(pc: Machine) -> None:
    # movb $0x42,next+1; mov $0x11,%al  -- the immediate is overwritten just before
    run(pc, bytes.fromhex("c60508000100 42 b011".replace(" ", "")), eax=0)
    assert pc.cpu.get("eax") == 0x42


@pytest.mark.parametrize("writer", ["linear", "dma"])
def test_code_written_from_outside_takes_effect(pc: Machine, writer: str) -> None:
    for value in (1, 2, 3):
        code = b"\xb8" + struct.pack("<I", value) + HLT
        if writer == "dma":
            pc.bus.dma_write(CODE, code)
        else:
            pc.linear.write(CODE, code)
        assert pc.run(CODE, pc.clock.now + 1000) is Stop.HLT
        assert pc.cpu.get("eax") == value


def test_a_word_written_into_code_takes_effect(pc: Machine) -> None:
    run(pc, b"\x90\x90\x90\xb8" + struct.pack("<I", 1))
    pc.linear.set_u32(CODE + 4, 2)
    pc.run(CODE, pc.clock.now + 1000)
    assert pc.cpu.get("eax") == 2


def test_a_snapshot_takes_old_code_back(pc: Machine) -> None:
    run(pc, b"\xb8\x01\0\0\0")
    old = pc.save()
    run(pc, b"\xb8\x02\0\0\0")
    assert pc.cpu.get("eax") == 2
    pc.load(old)
    pc.run(CODE, pc.clock.now + 1000)
    assert pc.cpu.get("eax") == 1


def test_ctrl_c_gets_out_of_an_endless_loop(pc: Machine) -> None:
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            run(pc, b"\xeb\xfe", limit=1 << 50)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert run(pc, b"\xb8\x07\0\0\0") is Stop.HLT
    assert pc.cpu.get("eax") == 7


def test_a_device_that_raises_is_heard_outside(pc: Machine) -> None:
    class Broken:
        def port_read(self, port: int, size: int) -> int:
            raise LookupError("no such register")

        def port_write(self, port: int, size: int, value: int) -> None:
            raise LookupError("no such register")

    pc.bus.add_ports(Broken(), 0x99)
    for code in (b"\xe4\x99", b"\xe6\x99"):
        with pytest.raises(LookupError, match="no such register"):
            run(pc, code)


def resident() -> int:
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_closed_machines_leave_no_memory_behind() -> None:
    def use_one() -> None:
        with make_pc() as machine:
            run(machine, b"\xb9\x64\0\0\0\x49\x75\xfd")

    for _ in range(30):
        use_one()
    before = resident()
    for _ in range(100):
        use_one()
    # A machine is 4 MiB of RAM and as much of translated code.
    assert resident() - before < 16 << 20
