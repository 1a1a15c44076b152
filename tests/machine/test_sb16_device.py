"""The Sound Blaster 16: reset, commands, DMA output in simulated time, interrupts, mixer."""

import random
from collections.abc import Iterator

import pytest
from bare_pc import make_pc
from hypothesis import given, settings
from hypothesis import strategies as st
from test_dma_controller import AUTO, READ, program

from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.machine.devices.dac import SampleFormat
from nooks_lab.machine.devices.sb16 import COMMAND_CYCLES, RESET_CYCLES, Sb16
from nooks_lab.machine.machine import Machine

BASE, IRQ = 0x220, 5
BUFFER = 0x20000
SAMPLES = random.Random(16).randbytes(0x10000)


@pytest.fixture
def pc() -> Iterator[Machine]:
    with make_pc() as machine:
        machine.plug(Sb16())
        machine.memory.write(BUFFER, SAMPLES)
        reset(machine)
        yield machine


def card(pc: Machine) -> Sb16:
    part = pc.clock.parts["sb16"]
    assert isinstance(part, Sb16)
    return part


def inb(pc: Machine, offset: int) -> int:
    return pc.bus.port_read(BASE + offset, 1)


def outb(pc: Machine, offset: int, value: int) -> None:
    pc.bus.port_write(BASE + offset, 1, value)


def wait(pc: Machine, cycles: int) -> None:
    """Let time pass; events run as they fall due."""
    end = pc.clock.now + cycles
    while pc.clock.now < end:
        pc.idle(end)


def reset(pc: Machine) -> None:
    outb(pc, 6, 1)
    wait(pc, CPU_HZ // 100_000)
    outb(pc, 6, 0)
    wait(pc, RESET_CYCLES)
    assert inb(pc, 0xE) & 0x80
    assert inb(pc, 0xA) == 0xAA


def command(pc: Machine, *values: int) -> None:
    for value in values:
        while inb(pc, 0xC) & 0x80:
            wait(pc, COMMAND_CYCLES // 4)
        outb(pc, 0xC, value)


def answers(pc: Machine, count: int) -> bytes:
    found = []
    for _ in range(count):
        assert inb(pc, 0xE) & 0x80
        found.append(inb(pc, 0xA))
    return bytes(found)


def mixer(pc: Machine, index: int, value: int | None = None) -> int:
    outb(pc, 4, index)
    if value is not None:
        outb(pc, 5, value)
    return inb(pc, 5)


def played(pc: Machine) -> bytes:
    return b"".join(piece.data for piece in card(pc).played)


def test_the_dsp_says_who_it_is(pc: Machine) -> None:
    command(pc, 0xE1)
    assert answers(pc, 2) == bytes((4, 5))
    command(pc, 0xE0, 0x5A)
    assert answers(pc, 1) == bytes((0xA5,))
    command(pc, 0xE3)
    assert answers(pc, 45).rstrip(b"\0").startswith(b"COPYRIGHT (C) CREATIVE")


def test_it_is_not_ready_before_the_reset_has_ended(pc: Machine) -> None:
    outb(pc, 6, 1)
    assert inb(pc, 0xC) & 0x80
    outb(pc, 6, 0)
    assert not inb(pc, 0xE) & 0x80
    wait(pc, RESET_CYCLES)
    assert inb(pc, 0xE) & 0x80


def test_a_byte_that_is_written_while_it_is_busy_is_lost(pc: Machine) -> None:
    outb(pc, 0xC, 0xE0)
    outb(pc, 0xC, 0x12)
    wait(pc, COMMAND_CYCLES)
    assert not inb(pc, 0xE) & 0x80
    command(pc, 0x34)
    assert answers(pc, 1) == bytes((0xCB,))


def test_the_speaker_is_remembered(pc: Machine) -> None:
    for switch, state in ((0xD1, 0xFF), (0xD3, 0x00)):
        command(pc, switch, 0xD8)
        assert answers(pc, 1) == bytes((state,))


@pytest.mark.parametrize(
    ("code", "mode", "channel", "form"),
    [
        (0xB6, 0x30, 5, SampleFormat(16, True, 2)),
        (0xB6, 0x10, 5, SampleFormat(16, True, 1)),
        (0xB6, 0x00, 5, SampleFormat(16, False, 1)),
        (0xC6, 0x20, 1, SampleFormat(8, False, 2)),
        (0xC6, 0x10, 1, SampleFormat(8, True, 1)),
        (0xC6, 0x00, 1, SampleFormat(8, False, 1)),
    ],
)
def test_auto_initialised_output_plays_the_ring_at_its_rate(
    pc: Machine, code: int, mode: int, channel: int, form: SampleFormat
) -> None:
    rate, ring, block = 20_000, 4096, 1024
    unit = form.bits // 8
    program(pc, channel, BUFFER, ring // unit, READ | AUTO)
    command(
        pc, 0x41, rate >> 8, rate & 0xFF, code, mode, (block // unit - 1) & 0xFF, (block // unit - 1) >> 8
    )
    begun, ack = pc.clock.now, 0xF if form.bits == 16 else 0xE
    blocks = 0
    while blocks < 10:
        wait(pc, CPU_HZ // 2000)
        if mixer(pc, 0x82) & (2 if form.bits == 16 else 1):
            inb(pc, ack)
            blocks += 1
    frames = blocks * block // form.frame_bytes
    took = (pc.clock.now - begun) * rate / CPU_HZ
    assert frames <= took < frames + rate // 1000
    data = played(pc)
    assert frames * form.frame_bytes <= len(data) <= (took + 1) * form.frame_bytes
    assert data == (SAMPLES[:ring] * 20)[: len(data)]
    assert {(piece.format, piece.rate) for piece in card(pc).played} == {(form, rate)}
    assert card(pc).state.interrupts == blocks


def test_single_cycle_output_plays_one_block_and_stops(pc: Machine) -> None:
    program(pc, 1, BUFFER, 500, READ)
    command(pc, 0x41, 0x2B, 0x11, 0x14, 0xF3, 0x01)
    wait(pc, CPU_HZ // 10)
    assert played(pc) == SAMPLES[:500]
    assert mixer(pc, 0x82) == 1
    assert not pc.dma.enabled(1)


def test_the_time_constant_sets_the_rate(pc: Machine) -> None:
    program(pc, 1, BUFFER, 1000, READ | AUTO)
    command(pc, 0x40, 0x83, 0x48, 0xE7, 0x03, 0x1C)
    wait(pc, CPU_HZ // 10)
    assert card(pc).played[0].rate == 1_000_000 // (256 - 0x83)


def test_a_single_block_at_high_speed_has_the_length_of_command_48h(pc: Machine) -> None:
    program(pc, 1, BUFFER, 500, READ | AUTO)
    command(pc, 0x41, 0x2B, 0x11, 0x48, 0xC7, 0x00, 0x91, 0xE0, 0x55)
    assert pc.bus.port_read(card(pc).base + 10, 1) == 0xAA
    wait(pc, CPU_HZ // 10)
    assert played(pc) == SAMPLES[:200]
    assert card(pc).state.transfer is None


def test_leaving_auto_initialised_mode_ends_with_the_block(pc: Machine) -> None:
    program(pc, 5, BUFFER, 2048, READ | AUTO)
    command(pc, 0x41, 0xAC, 0x44, 0xB6, 0x30, 0xFF, 0x01)
    wait(pc, CPU_HZ // 1000)
    command(pc, 0xD9)
    wait(pc, CPU_HZ // 10)
    assert played(pc) == SAMPLES[:1024]
    assert card(pc).state.transfer is None


def test_leaving_can_be_taken_back(pc: Machine) -> None:
    program(pc, 5, BUFFER, 2048, READ | AUTO)
    command(pc, 0x41, 0xAC, 0x44, 0xB6, 0x30, 0xFF, 0x01)
    wait(pc, CPU_HZ // 1000)
    command(pc, 0xD9, 0x47)
    wait(pc, CPU_HZ // 10)
    assert len(played(pc)) > 10_000


def test_a_pause_keeps_the_place(pc: Machine) -> None:
    program(pc, 1, BUFFER, 4096, READ | AUTO)
    command(pc, 0x41, 0x1F, 0x40, 0xC6, 0x00, 0xFF, 0x03)
    wait(pc, CPU_HZ // 20)
    command(pc, 0xD0)
    heard = len(played(pc))
    wait(pc, CPU_HZ)
    assert len(played(pc)) == heard
    command(pc, 0xD4)
    wait(pc, CPU_HZ // 20)
    assert played(pc) == (SAMPLES[:4096])[: len(played(pc))]
    assert len(played(pc)) > heard
    assert card(pc).played[1].cycle - card(pc).played[0].end > CPU_HZ * 9 // 10


def test_a_masked_channel_makes_silence_and_no_interrupt(pc: Machine) -> None:
    command(pc, 0x41, 0x1F, 0x40, 0xC6, 0x00, 0xFF, 0x03)
    wait(pc, CPU_HZ)
    assert played(pc) == b""
    assert card(pc).state.interrupts == 0


def test_it_interrupts_again_only_when_the_last_one_is_acknowledged(pc: Machine) -> None:
    program(pc, 1, BUFFER, 4096, READ | AUTO)
    command(pc, 0x41, 0x1F, 0x40, 0xC6, 0x00, 0xFF, 0x00)
    wait(pc, CPU_HZ // 2)
    assert card(pc).state.interrupts == 1
    assert pc.pic.asserted(IRQ)
    inb(pc, 0xE)
    wait(pc, CPU_HZ // 10)
    assert card(pc).state.interrupts == 2


def test_the_mixer_chooses_line_and_channels(pc: Machine) -> None:
    mixer(pc, 0x80, 0x08)
    mixer(pc, 0x81, 0x48)
    assert (mixer(pc, 0x80), mixer(pc, 0x81)) == (0x08, 0x48)
    command(pc, 0xF2)
    assert pc.pic.asserted(10)
    assert not pc.pic.asserted(IRQ)
    program(pc, 6, BUFFER, 512, READ | AUTO)
    command(pc, 0x41, 0x1F, 0x40, 0xB6, 0x10, 0xFF, 0x00)
    wait(pc, CPU_HZ // 20)
    assert played(pc)[:256] == SAMPLES[:256]


def test_without_a_16_bit_channel_the_8_bit_one_carries_the_samples(pc: Machine) -> None:
    mixer(pc, 0x81, 0x02)
    program(pc, 1, BUFFER, 2048, READ | AUTO)
    command(pc, 0x41, 0x1F, 0x40, 0xB6, 0x10, 0xFF, 0x00)
    wait(pc, CPU_HZ // 20)
    assert played(pc)[:512] == SAMPLES[:512]


def test_old_volume_registers_are_views_of_the_new_ones(pc: Machine) -> None:
    mixer(pc, 0x22, 0x5C)
    assert (mixer(pc, 0x30), mixer(pc, 0x31)) == (0x50, 0xC0)
    mixer(pc, 0x32, 0xFF)
    assert mixer(pc, 0x32) == 0xF8
    assert mixer(pc, 0x04) >> 4 == 0xF
    mixer(pc, 0x00, 0)
    assert mixer(pc, 0x30) == 0xC0


def test_a_card_that_cannot_be_so_is_refused() -> None:
    with pytest.raises(ValueError, match="no IRQ 6"):
        Sb16(irq=6)
    with make_pc() as machine:
        machine.plug(Sb16())
        with pytest.raises(ValueError, match="port 0x224 of other is taken"):
            machine.plug(Sb16("other"))


def test_a_snapshot_brings_the_samples_back_by_reference(pc: Machine) -> None:
    program(pc, 5, BUFFER, 2048, READ | AUTO)
    command(pc, 0x41, 0xAC, 0x44, 0xB6, 0x30, 0xFF, 0x01)
    wait(pc, CPU_HZ)
    middle, before = pc.save(), played(pc)
    wait(pc, CPU_HZ // 3)
    straight = played(pc)
    pc.load(middle)
    assert played(pc) == before
    assert all(
        a is b for a, b in zip(card(pc).played, middle.parts["sb16"].output.record.pieces, strict=True)
    )
    wait(pc, CPU_HZ // 3)
    assert played(pc) == straight


@settings(max_examples=150)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 15),
            st.sampled_from([1, 2, 4]),
            st.integers(0, 0xFFFFFFFF),
            st.integers(0, 100_000),
        ),
        max_size=60,
    )
)
def test_no_write_upsets_the_card(accesses: list[tuple[int, int, int, int]]) -> None:
    with make_pc() as pc:
        pc.plug(Sb16())
        program(pc, 1, 0xFFF000, 4096, READ | AUTO)
        for offset, size, value, pause in accesses:
            pc.bus.port_write(BASE + offset, size, value)
            assert 0 <= pc.bus.port_read(BASE + offset, size) < 1 << 8 * size
            wait(pc, pause)


@settings(max_examples=150)
@given(
    st.lists(
        st.tuples(st.integers(0, 255), st.lists(st.integers(0, 255), max_size=3), st.integers(0, 5_000_000)),
        max_size=12,
    )
)
def test_no_command_upsets_the_dsp(commands: list[tuple[int, list[int], int]]) -> None:
    with make_pc() as pc:
        pc.plug(Sb16())
        program(pc, 1, BUFFER, 100, READ | AUTO)
        program(pc, 5, 0xFE0000, 65536, READ)
        for code, arguments, pause in commands:
            command(pc, code, *arguments)
            wait(pc, pause)
        reset(pc)
        command(pc, 0xE1)
        assert answers(pc, 2) == bytes((4, 5))
