"""Played samples as a waveform and as a WAV file."""

import io
import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.machine.devices.dac import CHUNK_BYTES, Played, Record, SampleFormat
from nooks_lab.views.sound import wav, waveform

CD = SampleFormat(16, True, 2)


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=12), st.sampled_from([8_000, 22_050, 44_100]))
def test_pieces_that_join_come_out_as_they_were_played(frames: list[int], rate: int) -> None:
    data = np.random.default_rng(0).integers(-32768, 32768, (sum(frames), 2)).astype("<i2")
    record, at = Record(), 0
    for count in frames:
        cycle = 12_345 + at * CPU_HZ // rate
        record = record.add(cycle, rate, CD, data[at : at + count].tobytes())
        at += count
    assert max(len(piece.data) for piece in record.pieces) < CHUNK_BYTES + 4 * 3000
    assert waveform(record.pieces, rate).tobytes() == data.tobytes()


def test_a_gap_is_silence() -> None:
    first = Played(0, 1000, CD, b"\x01\x00" * 200)
    second = Played(CPU_HZ // 2, 1000, CD, b"\x02\x00" * 200)
    samples = waveform([first, second], 1000)
    assert samples[:, 0].tolist() == [1] * 100 + [0] * 400 + [2] * 100


def test_a_part_can_be_listened_to() -> None:
    piece = Played(0, 1000, CD, np.arange(2000, dtype="<i2").tobytes())
    samples = waveform([piece], 1000, CPU_HZ // 10, CPU_HZ // 5)
    assert samples[:, 0].tolist() == list(range(200, 400, 2))


@pytest.mark.parametrize(
    ("form", "data", "values"),
    [
        (SampleFormat(8, False, 1), b"\x00\x80\xff", [(-32768, -32768), (0, 0), (32512, 32512)]),
        (SampleFormat(8, True, 2), b"\x80\x7f", [(-32768, 32512)]),
        (SampleFormat(16, False, 1), b"\x00\x00\x00\x80", [(-32768, -32768), (0, 0)]),
        (SampleFormat(16, True, 1), b"\x34\x12", [(0x1234, 0x1234)]),
    ],
)
def test_every_format_becomes_16_bit_stereo(
    form: SampleFormat, data: bytes, values: list[tuple[int, int]]
) -> None:
    assert waveform([Played(0, 8000, form, data)], 8000).tolist() == [list(frame) for frame in values]


def test_another_rate_lasts_as_long() -> None:
    piece = Played(0, 8000, CD, b"\x05\x00" * 16_000)
    assert waveform([piece], 22_050).shape == (22_050, 2)
    assert set(waveform([piece], 22_050).ravel().tolist()) == {5}


def test_the_wave_module_reads_the_file_back() -> None:
    samples = np.random.default_rng(1).integers(-32768, 32768, (500, 2)).astype(np.int16)
    with wave.open(io.BytesIO(wav(samples, 22_050))) as reader:
        assert (reader.getnchannels(), reader.getsampwidth(), reader.getframerate()) == (2, 2, 22_050)
        assert reader.readframes(1000) == samples.astype("<i2").tobytes()


def test_nothing_played_is_an_empty_file() -> None:
    with wave.open(io.BytesIO(wav(waveform([])))) as reader:
        assert reader.getnframes() == 0
