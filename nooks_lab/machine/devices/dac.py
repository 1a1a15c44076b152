"""A digital-to-analogue converter: the pace at which it takes samples, and the record of what it has played."""

from dataclasses import dataclass, field

from nooks_lab.machine.clock import CPU_HZ

CHUNK_BYTES = 16_384
"""So long a piece of the record grows before a new one is begun."""

BURST_CYCLES = CPU_HZ // 250
"""A device takes its samples from memory at the latest every 4 ms, and whenever one of its registers is touched."""


@dataclass(frozen=True, slots=True)
class SampleFormat:
    """How samples lie in memory, little endian, those of one moment side by side.

    Attributes
    ----------
    bits : int
        8 or 16.
    signed : bool
        Whether silence is 0, and not the middle of the range.
    channels : int
        1 for mono, 2 for stereo.
    """

    bits: int = 8
    signed: bool = False
    channels: int = 1

    @property
    def frame_bytes(self) -> int:
        """Bytes of the samples of one moment."""
        return self.bits // 8 * self.channels

    @property
    def silence(self) -> bytes:
        """One frame of silence."""
        middle = 0 if self.signed else 1 << self.bits - 1
        return middle.to_bytes(self.bits // 8, "little") * self.channels


@dataclass(frozen=True, slots=True)
class Played:
    """A stretch that was played without a break.

    Attributes
    ----------
    cycle : int
        When its first frame was due.
    rate : int
        Frames a second.
    data : bytes
        The frames, as they came from memory.
    """

    cycle: int
    rate: int
    format: SampleFormat
    data: bytes

    @property
    def end(self) -> int:
        """The cycle at which its last frame has sounded."""
        return self.cycle + len(self.data) // self.format.frame_bytes * CPU_HZ // self.rate


@dataclass(frozen=True, slots=True)
class Record:
    """All that was played, immutable: a snapshot keeps it by reference, however long it is."""

    finished: tuple[Played, ...] = ()
    latest: Played | None = None

    def add(self, cycle: int, rate: int, sample_format: SampleFormat, data: bytes) -> "Record":
        """Return the record with more frames behind it."""
        if not data:
            return self
        latest = self.latest
        if latest is None:
            return Record(self.finished, Played(cycle, rate, sample_format, data))
        # To the nearest frame: both cycles are rounded.
        joins = abs(cycle - latest.end) <= CPU_HZ // rate
        alike = (latest.rate, latest.format) == (rate, sample_format)
        if joins and alike and len(latest.data) < CHUNK_BYTES:
            return Record(self.finished, Played(latest.cycle, rate, sample_format, latest.data + data))
        return Record((*self.finished, latest), Played(cycle, rate, sample_format, data))

    @property
    def pieces(self) -> tuple[Played, ...]:
        """Every stretch, the oldest first; a long one is in several that join."""
        return self.finished if self.latest is None else (*self.finished, self.latest)


@dataclass(slots=True)
class Pace:
    """Counts the frames that are due since a converter was started; exact, so that nothing drifts."""

    started: int = 0
    rate: int = 1
    frames: int = 0
    """Taken since the start."""

    def start(self, now: int, rate: int) -> None:
        """Begin at a cycle, with so many frames a second."""
        self.started, self.rate, self.frames = now, max(rate, 1), 0

    def due(self, now: int) -> int:
        """Return how many frames more should have been taken by now."""
        return max(0, (now - self.started) * self.rate // CPU_HZ - self.frames)

    def cycle_of(self, frames: int) -> int:
        """Return the cycle by which so many frames more are due; the first is due one period after the start."""
        return self.started - (-(self.frames + frames) * CPU_HZ // self.rate)

    def take(self, frames: int) -> int:
        """Count frames as taken; returns the cycle at which the first of them began to sound."""
        first = self.started + self.frames * CPU_HZ // self.rate
        self.frames += frames
        return first


@dataclass
class Output:
    """What plays: pace and record; ``copy`` is what a snapshot keeps."""

    pace: Pace = field(default_factory=Pace)
    record: Record = field(default_factory=Record)

    def copy(self) -> "Output":
        """Return an equal one that does not change with this one."""
        return Output(Pace(self.pace.started, self.pace.rate, self.pace.frames), self.record)
