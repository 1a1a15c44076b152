"""What a card has played, to be heard: samples in time, and a WAV file of them.

In a notebook: ``IPython.display.Audio(wav(waveform(card.played), RATE))``.
"""

import io
import wave
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.machine.devices.dac import Played

RATE = 22_050
"""Frames a second where nothing else is asked for."""

Samples = npt.NDArray[np.int16]


def waveform(
    pieces: Sequence[Played], rate: int = RATE, start: int | None = None, end: int | None = None
) -> Samples:
    """Return what a converter has played as 16-bit stereo, each piece at its time, and silence between.

    Parameters
    ----------
    pieces
        What was played, in the order of time; pieces of another rate are brought to ``rate`` without a filter.
    rate : int
        Frames a second of the result.
    start, end : int, optional
        Cycles between which to listen; from the first piece to the end of the last when not given.

    Returns
    -------
    array of int16
        A row for each frame: left, right.
    """
    if start is None:
        start = pieces[0].cycle if pieces else 0
    if end is None:
        end = max((piece.end for piece in pieces), default=start)
    result = np.zeros((max(0, _frames(end - start, rate)), 2), np.int16)
    for piece in pieces:
        values = _resampled(_stereo(piece), piece.rate, rate)
        at = _frames(piece.cycle - start, rate)
        first, last = max(at, 0), min(at + len(values), len(result))
        if first < last:
            result[first:last] = values[first - at : last - at]
    return result


def _frames(cycles: int, rate: int) -> int:
    return (2 * cycles * rate + CPU_HZ) // (2 * CPU_HZ)


def _stereo(piece: Played) -> Samples:
    whole = len(piece.data) // piece.format.frame_bytes * piece.format.frame_bytes
    kind = {(8, False): "u1", (8, True): "i1", (16, False): "<u2", (16, True): "<i2"}
    raw = np.frombuffer(piece.data[:whole], kind[piece.format.bits, piece.format.signed]).astype(np.int32)
    if not piece.format.signed:
        raw -= 1 << piece.format.bits - 1
    values = (raw << 16 - piece.format.bits).astype(np.int16).reshape(-1, piece.format.channels)
    return values if piece.format.channels == 2 else np.repeat(values, 2, axis=1)


def _resampled(values: Samples, rate: int, wanted: int) -> Samples:
    if rate == wanted or not len(values):
        return values
    moments = np.arange(len(values) * wanted // rate) * rate // wanted
    return values[moments]


def wav(samples: Samples, rate: int = RATE) -> bytes:
    """Return samples (a row for each frame) as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(samples.shape[1])
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(samples.astype("<i2").tobytes())
    return file.getvalue()
