"""The 8237 pair: programming through its ports, and what a device gets."""

import random
from collections.abc import Iterator

import pytest
from bare_pc import RAM, make_pc
from hypothesis import given, settings
from hypothesis import strategies as st

from nooks_lab.machine.bus import Bus
from nooks_lab.machine.dma import PAGE_PORTS, DmaController
from nooks_lab.machine.machine import Machine

PAGE_PORT = {channel: port for port, channel in PAGE_PORTS.items()}
READ, WRITE, AUTO, DOWN = 0x08, 0x04, 0x10, 0x20


@pytest.fixture(scope="module")
def pc() -> Iterator[Machine]:
    with make_pc() as machine:
        machine.memory.write(0, random.Random(8237).randbytes(RAM))
        yield machine


def program(pc: Machine, channel: int, address: int, units: int, mode: int) -> None:
    """Program a channel as a driver does; the address in bytes, the length in units of the channel."""
    second = channel >= 4
    write, step = pc.bus.port_write, 2 if second else 1
    base = 0xC0 if second else 0
    write(base + 10 * step, 1, 4 | channel & 3)
    write(base + 12 * step, 1, 0)
    write(base + 11 * step, 1, mode | channel & 3)
    offset = address >> second & 0xFFFF
    for value in (offset & 0xFF, offset >> 8):
        write(base + (channel & 3) * 2 * step, 1, value)
    for value in (units - 1 & 0xFF, units - 1 >> 8):
        write(base + ((channel & 3) * 2 + 1) * step, 1, value)
    write(PAGE_PORT[channel], 1, address >> 16)
    write(base + 10 * step, 1, channel & 3)


def residue(pc: Machine, channel: int) -> int:
    """Return the current count as a driver reads it, in units, plus one."""
    second = channel >= 4
    base, step = (0xC0, 2) if second else (0, 1)
    pc.bus.port_write(base + 12 * step, 1, 0)
    port = base + ((channel & 3) * 2 + 1) * step
    low = pc.bus.port_read(port, 1)
    return (low | pc.bus.port_read(port, 1) << 8) + 1 & 0xFFFF


@given(
    st.sampled_from([0, 1, 2, 3, 5, 6, 7]),
    st.integers(0, RAM - 1),
    st.integers(1, 3000),
    st.lists(st.integers(1, 2500), min_size=1, max_size=6),
    st.booleans(),
    st.booleans(),
)
def test_a_device_gets_the_bytes_that_the_channel_was_programmed_for(
    pc: Machine, channel: int, address: int, units: int, asks: list[int], auto: bool, down: bool
) -> None:
    unit = 1 if channel < 4 else 2
    window = 0x10000 * unit
    address &= ~(unit - 1)
    program(pc, channel, address, units, READ | (AUTO if auto else 0) | (DOWN if down else 0))
    base, offset, step = address & ~(window - 1), address & window - 1, -unit if down else unit
    order = [base + (offset + step * i) % window for i in range(units)]
    wanted = b"".join(pc.memory.read(at, unit) for at in order)
    got = b"".join(pc.dma.read(channel, ask * unit) for ask in asks)
    total = sum(asks) * unit
    if auto:
        assert got == (wanted * (total // len(wanted) + 1))[:total]
        assert residue(pc, channel) == (units - total // unit % units) & 0xFFFF
    else:
        assert got == wanted[:total]
        assert pc.dma.enabled(channel) == (total < len(wanted))


@pytest.mark.parametrize(("channel", "unit"), [(1, 1), (6, 2)])
def test_a_device_writes_memory_in_the_other_direction_only(pc: Machine, channel: int, unit: int) -> None:
    program(pc, channel, 0x30000, 4, WRITE)
    assert pc.dma.read(channel, 8) == b""
    assert pc.dma.write(channel, b"ABCDEFGHIJ") == 4 * unit
    assert pc.memory.read(0x30000, 4 * unit) == b"ABCDEFGH"[: 4 * unit]
    assert pc.dma.write(channel, b"XY") == 0


def test_reaching_terminal_count_shows_in_the_status_once(pc: Machine) -> None:
    program(pc, 1, 0x1000, 4, READ)
    pc.bus.port_read(8, 1)
    pc.dma.read(1, 3)
    assert pc.bus.port_read(8, 1) == 0
    pc.dma.read(1, 3)
    assert pc.bus.port_read(8, 1) == 2
    assert pc.bus.port_read(8, 1) == 0


@pytest.mark.parametrize("stop", [(0x0A, 5), (0x0F, 0x0F), (0x08, 0x04), (0x0D, 0)])
def test_a_masked_channel_or_a_disabled_controller_answers_no_device(
    pc: Machine, stop: tuple[int, int]
) -> None:
    program(pc, 1, 0x1000, 100, READ)
    assert len(pc.dma.read(1, 10)) == 10
    pc.bus.port_write(stop[0], 1, stop[1])
    assert pc.dma.read(1, 10) == b""
    pc.bus.port_write(0x08, 1, 0)


def test_the_cascade_moves_nothing(pc: Machine) -> None:
    program(pc, 4, 0x1000, 4, READ)
    assert pc.dma.read(4, 8) == b""


def test_a_page_beyond_ram_reads_as_an_open_bus(pc: Machine) -> None:
    program(pc, 1, 0xFF0000, 16, READ)
    assert pc.dma.read(1, 16) == b"\xff" * 16
    program(pc, 1, 0xFF0000, 16, WRITE)
    assert pc.dma.write(1, b"x" * 16) == 16


PORTS = [*range(16), *range(0xC0, 0xE0, 2), *PAGE_PORTS]


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(st.sampled_from(PORTS), st.sampled_from([1, 2, 4]), st.integers(0, 0xFFFFFFFF)), max_size=40
    ),
    st.integers(0, 7),
    st.integers(0, 70_000),
)
def test_no_programming_upsets_the_controller(
    pc: Machine, writes: list[tuple[int, int, int]], channel: int, size: int
) -> None:
    controller = DmaController(Bus(pc.memory, pc.clock))
    for port, width, value in writes:
        controller.port_write(port, width, value)
        assert 0 <= controller.port_read(port, width) < 1 << 8 * width
    assert len(controller.read(channel, size)) <= size
    assert controller.write(channel, bytes(size)) <= size
    state = controller.save()
    controller.read(channel, 1000)
    controller.load(state)
    assert controller.save() == state
