"""The AudioPCI 97: converter, codec, DMA channels, interrupts."""

import random
from collections.abc import Iterator

import pytest
from bare_pc import make_pc
from hypothesis import given, settings
from hypothesis import strategies as st

from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.machine.devices import ac97
from nooks_lab.machine.devices import es1371_registers as reg
from nooks_lab.machine.devices.dac import SampleFormat
from nooks_lab.machine.devices.es1371 import CODEC_CYCLES, SRC_CYCLES, Es1371
from nooks_lab.machine.machine import Machine
from nooks_lab.machine.pci import COMMAND, COMMAND_IO, COMMAND_MASTER, STATUS, STATUS_MASTER_ABORT

BASE, IRQ, BUFFER = 0xC000, 11, 0x20000
SAMPLES = random.Random(1371).randbytes(0x10000)


@pytest.fixture
def pc() -> Iterator[Machine]:
    with make_pc() as machine:
        fit(machine)
        yield machine


def fit(machine: Machine) -> None:
    machine.plug(Es1371())
    machine.memory.write(BUFFER, SAMPLES)
    machine.pci.config_write(3, COMMAND, 2, COMMAND_IO | COMMAND_MASTER)


def card(pc: Machine) -> Es1371:
    part = pc.clock.parts["es1371"]
    assert isinstance(part, Es1371)
    return part


def inl(pc: Machine, register: int) -> int:
    return pc.bus.port_read(BASE + register, 4)


def outl(pc: Machine, register: int, value: int) -> None:
    pc.bus.port_write(BASE + register, 4, value)


def wait(pc: Machine, cycles: int) -> None:
    """Let time pass; events run as they fall due."""
    end = pc.clock.now + cycles
    while pc.clock.now < end:
        pc.idle(end)


def src(pc: Machine, address: int, value: int | None = None) -> int:
    outl(pc, reg.SRC, address << 25 | (reg.SRC_WRITE | value if value is not None else 0))
    assert inl(pc, reg.SRC) & reg.SRC_BUSY
    wait(pc, SRC_CYCLES)
    found = inl(pc, reg.SRC)
    assert not found & reg.SRC_BUSY
    return found & 0xFFFF


def codec(pc: Machine, address: int, value: int | None = None) -> int:
    outl(pc, reg.CODEC, address << 16 | (reg.CODEC_READ if value is None else value))
    assert inl(pc, reg.CODEC) & reg.CODEC_BUSY
    wait(pc, CODEC_CYCLES)
    return inl(pc, reg.CODEC)


def set_rate(pc: Machine, rate: int, channel: int = reg.DAC2) -> None:
    pitch = ((rate << 15) + 1500) // 3000
    src(pc, reg.SRC_RAM[channel] + 1, pitch >> 5 & 0xFC00)
    src(pc, reg.SRC_RAM[channel] + 3, pitch & 0x7FFF)


def start_dac2(pc: Machine, serial: int, ring: int = 4096, frames: int = 256, address: int = BUFFER) -> None:
    outl(pc, reg.MEMORY_PAGE, reg.PAGE_DAC)
    outl(pc, 0x38, address)
    outl(pc, 0x3C, ring // 4 - 1)
    outl(pc, 0x28, frames - 1)
    outl(pc, reg.SERIAL, serial)
    outl(pc, reg.CONTROL, reg.CONTROL_ENABLE[reg.DAC2])


def played(pc: Machine) -> bytes:
    return b"".join(piece.data for piece in card(pc).played)


@pytest.mark.parametrize("rate", [4_000, 8_000, 11_025, 22_050, 44_100, 48_000])
def test_the_converter_runs_at_the_rate_that_its_words_say(pc: Machine, rate: int) -> None:
    set_rate(pc, rate)
    assert card(pc).rate(reg.DAC2) == rate


@given(st.lists(st.tuples(st.integers(0, 127), st.integers(0, 0xFFFF)), min_size=1, max_size=20))
@settings(max_examples=20)
def test_the_converters_ram_keeps_what_is_written(words: list[tuple[int, int]]) -> None:
    with make_pc() as pc:
        fit(pc)
        for address, value in words:
            src(pc, address, value)
        for address, value in dict(words).items():
            assert src(pc, address) == value


@pytest.mark.parametrize(
    ("mode", "form"),
    [
        (0, SampleFormat(8, False, 1)),
        (1, SampleFormat(8, False, 2)),
        (2, SampleFormat(16, True, 1)),
        (3, SampleFormat(16, True, 2)),
    ],
)
def test_dac2_plays_its_frame_round_and_round_at_its_rate(pc: Machine, mode: int, form: SampleFormat) -> None:
    set_rate(pc, 20_000)
    interrupt = reg.SERIAL_INTERRUPT[reg.DAC2]
    serial = mode << 2 | interrupt
    start_dac2(pc, serial)
    begun, counts = pc.clock.now, 0
    while counts < 20:
        wait(pc, CPU_HZ // 2000)
        if inl(pc, reg.STATUS) & reg.STATUS_CAUSE[reg.DAC2]:
            assert pc.pic.asserted(IRQ)
            counts += 1
            outl(pc, reg.SERIAL, serial & ~interrupt)
            assert not pc.pic.asserted(IRQ)
            outl(pc, reg.SERIAL, serial)
    took = (pc.clock.now - begun) * 20_000 / CPU_HZ
    assert counts * 256 <= took < counts * 256 + 20
    data = played(pc)
    assert data == (SAMPLES[:4096] * 30)[: len(data)]
    assert abs(len(data) / form.frame_bytes - took) <= 1
    assert {(piece.format, piece.rate) for piece in card(pc).played} == {(form, 20_000)}


def test_the_frame_count_says_where_it_is(pc: Machine) -> None:
    set_rate(pc, 48_000)
    start_dac2(pc, 3 << 2)
    wait(pc, CPU_HZ // 48_000 * 100)
    inl(pc, 0x3C)
    assert inl(pc, 0x3C) >> 16 == len(played(pc)) // 4 % 1024


def test_stop_mode_ends_with_the_count(pc: Machine) -> None:
    set_rate(pc, 48_000)
    start_dac2(pc, 3 << 2 | reg.SERIAL_STOP[reg.DAC2] | reg.SERIAL_INTERRUPT[reg.DAC2])
    wait(pc, CPU_HZ // 10)
    assert played(pc) == SAMPLES[:1024]
    assert inl(pc, reg.STATUS) == reg.STATUS_INTR | reg.STATUS_CAUSE[reg.DAC2]


def test_a_pause_keeps_the_place(pc: Machine) -> None:
    set_rate(pc, 8_000)
    start_dac2(pc, 0)
    wait(pc, CPU_HZ // 20)
    outl(pc, reg.SERIAL, reg.SERIAL_PAUSE[reg.DAC2])
    heard = len(played(pc))
    wait(pc, CPU_HZ)
    assert len(played(pc)) == heard
    outl(pc, reg.SERIAL, 0)
    wait(pc, CPU_HZ // 20)
    assert played(pc) == SAMPLES[: len(played(pc))]
    assert len(played(pc)) > heard


def test_without_bus_mastering_it_plays_nothing_and_still_counts(pc: Machine) -> None:
    pc.pci.config_write(3, COMMAND, 2, COMMAND_IO)
    set_rate(pc, 48_000)
    start_dac2(pc, 3 << 2 | reg.SERIAL_INTERRUPT[reg.DAC2])
    wait(pc, CPU_HZ // 10)
    assert played(pc) == b""
    assert inl(pc, reg.STATUS) & reg.STATUS_CAUSE[reg.DAC2]


def test_a_frame_that_points_nowhere_plays_an_open_bus(pc: Machine) -> None:
    set_rate(pc, 48_000)
    start_dac2(pc, 3 << 2, address=0xFFFFFF00)
    wait(pc, CPU_HZ // 100)
    assert played(pc)[:0x100] == b"\xff" * 0x100
    assert pc.pci.config_read(3, STATUS, 2) & STATUS_MASTER_ABORT


def test_the_codec_comes_up_mute_and_takes_volumes(pc: Machine) -> None:
    assert codec(pc, ac97.MASTER) == reg.CODEC_READY | ac97.MASTER << 16 | 0x8000
    codec(pc, ac97.MASTER, 0x0105)
    assert codec(pc, ac97.MASTER) & 0xFFFF == 0x0105
    assert codec(pc, ac97.VENDOR_ID1) & 0xFFFF == 0x4352
    assert codec(pc, ac97.POWERDOWN) & 0xF == 0xF
    codec(pc, ac97.RESET, 0)
    assert codec(pc, ac97.MASTER) & 0xFFFF == 0x8000


def test_a_volume_bit_that_the_codec_lacks_shows_as_all_ones(pc: Machine) -> None:
    codec(pc, ac97.MASTER, 0x2020)
    assert codec(pc, ac97.MASTER) & 0xFFFF == 0x1F1F


def test_the_adc_records_silence(pc: Machine) -> None:
    set_rate(pc, 48_000, reg.ADC)
    outl(pc, reg.MEMORY_PAGE, reg.PAGE_ADC)
    outl(pc, 0x30, BUFFER)
    outl(pc, 0x34, 0xFF)
    outl(pc, reg.SERIAL, 3 << 4)
    outl(pc, reg.CONTROL, reg.CONTROL_ENABLE[reg.ADC])
    wait(pc, CPU_HZ // 10)
    assert pc.memory.read(BUFFER, 0x408) == bytes(0x400) + SAMPLES[0x400:0x408]


def test_its_ports_answer_only_when_the_command_register_lets_them(pc: Machine) -> None:
    pc.pci.config_write(3, COMMAND, 2, 0)
    assert inl(pc, reg.STATUS) == 0xFFFFFFFF
    outl(pc, reg.MEMORY_PAGE, 5)
    pc.pci.config_write(3, COMMAND, 2, COMMAND_IO)
    assert inl(pc, reg.MEMORY_PAGE) == 0


def test_a_snapshot_goes_on_the_same(pc: Machine) -> None:
    set_rate(pc, 44_100)
    start_dac2(pc, 3 << 2 | reg.SERIAL_INTERRUPT[reg.DAC2])
    wait(pc, CPU_HZ // 2)
    middle, before = pc.save(), played(pc)
    wait(pc, CPU_HZ // 3)
    straight = played(pc)
    pc.load(middle)
    assert played(pc) == before
    wait(pc, CPU_HZ // 3)
    assert played(pc) == straight


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.one_of(
                st.integers(0, 0x3F),
                st.sampled_from(
                    [reg.CONTROL, reg.SERIAL, reg.SRC, reg.CODEC, reg.MEMORY_PAGE, 0x28, 0x38, 0x3C]
                ),
            ),
            st.sampled_from([1, 2, 4, 4, 4]),
            st.integers(0, 0xFFFFFFFF),
            st.integers(0, 3_000_000),
        ),
        max_size=40,
    )
)
def test_no_write_upsets_the_controller(accesses: list[tuple[int, int, int, int]]) -> None:
    with make_pc() as pc:
        fit(pc)
        outl(pc, reg.CONTROL, sum(reg.CONTROL_ENABLE))
        for offset, size, value, pause in accesses:
            pc.bus.port_write(BASE + offset, size, value)
            assert 0 <= pc.bus.port_read(BASE + offset, size) < 1 << 8 * size
            wait(pc, pause)
