"""A tune: notes from a seed, synthesised to samples, every few of which occur nowhere else in it."""

from dataclasses import dataclass

import numpy as np

from nooks_lab.machine.devices.dac import SampleFormat

_SCALE = (0, 2, 4, 7, 9)
"""Semitones of a pentatonic scale: whatever is chosen from it sounds well enough."""
_LOWEST_HZ = 220.0
_NOTE_SECONDS = 0.25
_OVERTONES = (1.0, 0.5, 0.25, 0.12)


@dataclass(frozen=True)
class Tune:
    """A tune.

    Attributes
    ----------
    seconds : float
    rate : int
        Frames a second.
    channels : int
        1 or 2.
    bits : int
        8 (unsigned) or 16 (signed).
    seed : int
        Says which notes it has.
    """

    seconds: float = 60.0
    rate: int = 22_050
    channels: int = 2
    bits: int = 16
    seed: int = 0

    @property
    def format(self) -> SampleFormat:
        """How its samples lie in memory."""
        return SampleFormat(self.bits, self.bits == 16, self.channels)

    def samples(self) -> bytes:
        """Synthesise it."""
        dice = np.random.default_rng(self.seed)
        frames = int(self.seconds * self.rate)
        note = int(_NOTE_SECONDS * self.rate)
        time = np.arange(note) / self.rate
        envelope = np.minimum(1.0, 40.0 * time) * np.exp(-4.0 * time)
        wave = np.zeros((frames, self.channels))
        for start in range(0, frames, note):
            steps = dice.choice(_SCALE, self.channels) + 12 * dice.integers(0, 3, self.channels)
            for channel, step in enumerate(steps):
                hertz = _LOWEST_HZ * 2 ** (step / 12)
                tones = (
                    strength * np.sin(2 * np.pi * hertz * (number + 1) * time)
                    for number, strength in enumerate(_OVERTONES)
                )
                end = min(start + note, frames)
                wave[start:end, channel] += (envelope * np.sum(list(tones), axis=0))[: end - start]
        most = 1 << self.bits - 1
        # The dither makes it a recording, in which no passage returns to the bit.
        dither = dice.integers(-most // 64, most // 64 + 1, wave.shape)
        values = np.clip(np.round(wave * most * 0.35) + dither, -most, most - 1)
        if self.bits == 8:
            return bytes((values + most).astype(np.uint8).tobytes())
        return bytes(values.astype("<i2").tobytes())
