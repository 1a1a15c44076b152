"""What was heard of a tune is told apart: passages, repetitions, silence, and what is foreign."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nooks_lab.machine.devices.dac import Played, SampleFormat
from nooks_lab.workloads.heard import Heard, listen
from nooks_lab.workloads.play_tune import PlayTune
from nooks_lab.workloads.tune import Tune

TUNE = Tune(0.5)
SAMPLES, FORMAT, RATE = TUNE.samples(), TUNE.format, TUNE.rate


def hear(*parts: bytes) -> Heard:
    return listen(SAMPLES, FORMAT, RATE, [Played(0, RATE, FORMAT, part) for part in parts])


def test_the_whole_tune_is_one_passage_however_it_is_cut() -> None:
    heard = hear(SAMPLES[:4000], SAMPLES[4000:4004], SAMPLES[4004:])
    assert heard.passages == [(0, len(SAMPLES))]
    assert (heard.missing, heard.repeated, heard.silent, heard.foreign) == (0, 0, 0, 0)


@given(st.integers(0, 5000), st.integers(5100, 11000), st.integers(0, 500))
def test_a_gap_a_repetition_and_silence_are_counted(first: int, second: int, silence: int) -> None:
    start, end = 4 * first, 4 * second
    heard = hear(SAMPLES[:end], bytes(4 * silence), SAMPLES[start:])
    assert heard.missing == heard.foreign == 0
    assert heard.repeated == end - start
    assert heard.silent == 4 * silence
    heard = hear(SAMPLES[:start], bytes(4 * silence), SAMPLES[end:])
    assert heard.missing == end - start
    assert heard.silent == 4 * silence
    assert heard.repeated == heard.foreign == 0


@given(st.integers(0, len(SAMPLES) - 1), st.integers(1, 255))
def test_a_single_wrong_bit_is_missed(at: int, flip: int) -> None:
    wrong = bytearray(SAMPLES)
    wrong[at] ^= flip
    heard = hear(bytes(wrong))
    assert heard.missing >= 4
    assert heard.missing + heard.foreign + heard.silent >= 4


def test_another_format_or_rate_is_foreign() -> None:
    other = SampleFormat(8, False, 2)
    pieces = [Played(0, RATE, other, SAMPLES[:1000]), Played(0, RATE + 1, FORMAT, SAMPLES[:1000])]
    assert listen(SAMPLES, FORMAT, RATE, pieces).foreign == 2000


@pytest.mark.parametrize("tune", [Tune(0.3), Tune(0.3, 8000, 1, 8), Tune(0.3, 44_100, 1, 16, 7)], ids=str)
def test_no_passage_of_a_tune_returns(tune: Tune) -> None:
    samples, step = tune.samples(), tune.format.frame_bytes
    assert len(samples) == int(0.3 * tune.rate) * step
    windows = [samples[at : at + 16] for at in range(0, len(samples) - 15, step)]
    assert len(set(windows)) == len(windows)


def test_a_seed_says_which_tune_it_is() -> None:
    assert Tune(0.3, seed=1).samples() == Tune(0.3, seed=1).samples()
    assert Tune(0.3, seed=1).samples() != Tune(0.3, seed=2).samples()


def test_an_extension_that_makes_no_sound_is_refused() -> None:
    with pytest.raises(ValueError, match="'e1000' is no sound driver; there are: sb, es1371"):
        PlayTune("e1000")


@pytest.mark.parametrize("rest", [1, 2, 3])
def test_a_part_of_a_frame_at_the_end_is_foreign(rest: int) -> None:
    heard = hear(SAMPLES, SAMPLES[:rest])
    assert (heard.missing, heard.foreign) == (0, rest)
