"""What was heard of a tune: played samples matched against those that should have been."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from nooks_lab.machine.devices.dac import Played, SampleFormat

_NEEDLE = 16
"""Bytes by which a place in the tune is found again after a jump."""
_STRIDE = 1 << 16


@dataclass
class Heard:
    """The comparison.

    Attributes
    ----------
    passages : list of (start, end)
        Bytes of the tune, passage by passage as they were heard; each ends where the next sample was another than
        the tune's.
    silent : int
        Bytes of silence between passages, and after the last.
    foreign : int
        Bytes that are neither the tune's nor silence.
    """

    length: int
    passages: list[tuple[int, int]] = field(default_factory=list)
    silent: int = 0
    foreign: int = 0

    @property
    def covered(self) -> list[tuple[int, int]]:
        """The parts of the tune that were heard at least once, in the order of the tune."""
        merged: list[tuple[int, int]] = []
        for start, end in sorted(self.passages):
            if merged and start <= merged[-1][1]:
                merged[-1] = merged[-1][0], max(end, merged[-1][1])
            else:
                merged.append((start, end))
        return merged

    @property
    def missing(self) -> int:
        """Bytes of the tune that were never heard."""
        return self.length - sum(end - start for start, end in self.covered)

    @property
    def repeated(self) -> int:
        """Bytes that were heard again."""
        return sum(end - start for start, end in self.passages) - (self.length - self.missing)


def listen(tune: bytes, sample_format: SampleFormat, rate: int, pieces: Iterable[Played]) -> Heard:
    """Compare what a converter has played with a tune.

    Parameters
    ----------
    tune : bytes
        The samples that should be heard.
    pieces
        What was played; a piece of another format or rate is all foreign.
    """
    heard = Heard(len(tune))
    right = []
    for piece in pieces:
        if (piece.format, piece.rate) == (sample_format, rate):
            right.append(piece.data)
        else:
            heard.foreign += len(piece.data)
    played = b"".join(right)
    at = place = 0
    frame = sample_format.frame_bytes
    # A card that loops plays the same wrong things over and over.
    known: dict[bytes, int | None] = {}
    whole = len(played) // frame * frame
    # A part of a frame, behind the last whole one, is no sound of the tune's.
    heard.foreign += len(played) - whole
    while at < whole:
        same = 0
        if played[at : at + frame] == tune[place : place + frame]:
            same = _common(played, at, tune, place) // frame * frame
        if same:
            heard.passages.append((place, place + same))
            at, place = at + same, place + same
            continue
        needle = played[at : at + _NEEDLE]
        if needle not in known:
            known[needle] = None if _is_silence(needle, sample_format) else _find(tune, needle, frame)
        found = known[needle]
        if found is not None:
            place = found
            continue
        if played.startswith(sample_format.silence, at):
            heard.silent += frame
        else:
            heard.foreign += frame
        at += frame
    return heard


def _is_silence(data: bytes, sample_format: SampleFormat) -> bool:
    frames = len(data) // sample_format.frame_bytes
    return data == sample_format.silence * frames


def _common(first: bytes, i: int, second: bytes, j: int) -> int:
    """Return for how many bytes the two go on alike from these places."""
    done = 0
    while True:
        size = min(len(first) - i - done, len(second) - j - done, _STRIDE)
        if size <= 0:
            return done
        a = np.frombuffer(first, np.uint8, size, i + done)
        b = np.frombuffer(second, np.uint8, size, j + done)
        differ = np.flatnonzero(a != b)
        if len(differ):
            return done + int(differ[0])
        done += size


def _find(tune: bytes, needle: bytes, frame_bytes: int) -> int | None:
    at = tune.find(needle)
    while at >= 0 and at % frame_bytes:
        at = tune.find(needle, at + 1)
    return at if at >= 0 else None
