"""Livelock by interrupts: a handler that never quiets its device leaves no time for anybody else."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from nooks_lab.machine.clock import CPU_HZ, Clock

STORM_CYCLES = CPU_HZ // 10
"""The time-out, 100 ms."""

REST_SHARE = 0.05
"""What the rest of the system must get of that time."""


@dataclass
class _Window:
    since: int
    left: int
    rest: int = 0


class StormDetector:
    """Measures, for each line, how much time lies between two runs of its handler.

    While a level-triggered line stays asserted, the ``iret`` of its handler leads straight into the next interrupt.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[int, _Window] = {}

    def entered(self, line: int) -> str:
        """Note that a handler is about to run; returns what is wrong, or an empty string."""
        now = self._clock.now
        window = self._windows.get(line)
        if window is None or now - window.left > STORM_CYCLES:
            self._windows[line] = _Window(now, now)
            return ""
        window.rest += now - window.left
        length = now - window.since
        if length < STORM_CYCLES:
            return ""
        del self._windows[line]
        if window.rest >= REST_SHARE * length:
            return ""
        return f"livelock: the handler of line {line} has taken {1 - window.rest / length:.0%} of {length:,} cycles"

    @contextmanager
    def running(self, line: int) -> Iterator[None]:
        """Run a handler within."""
        try:
            yield
        finally:
            window = self._windows.get(line)
            if window is not None:
                window.left = self._clock.now
