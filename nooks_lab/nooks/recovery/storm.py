"""Livelock by interrupts: a handler that never quiets its device leaves no time for anybody else."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from nooks_lab.machine.clock import CPU_HZ, Clock

STORM_CYCLES = CPU_HZ // 100
"""The time-out, 10 ms: a tick of the timer."""

REST_SHARE = 0.05
"""What the rest of the system must get of that time."""

STRAIGHT_CYCLES = 500
"""An ``iret`` and the TLB misses after a change of page tables; a shorter gap is no time for anybody."""


@dataclass
class _Window:
    since: int
    left: int
    rest_before: int


class StormDetector:
    """Measures what the rest of the system gets between two runs of a line's handler.

    While a level-triggered line stays asserted, the ``iret`` of its handler leads straight into the next
    interrupt, and the interrupted code gets nothing.  The rest of the system is that code, and the softirqs
    that a handler has raised: a handler that hands on packets as fast as they come is at work.

    Parameters
    ----------
    clock : Clock
    irq_stat : view of struct irq_cpustat
        Says whether an interrupt is being served, and which softirqs are pending.
    """

    def __init__(self, clock: Clock, irq_stat: Any) -> None:
        self._clock, self._stat = clock, irq_stat
        self._windows: dict[int, _Window] = {}
        self._rest = 0
        self._left = clock.now
        self._softirqs_since: int | None = None

    def kernel_entered(self) -> None:
        """Note that an interrupt or exception has stopped whatever ran."""
        if not self._stat.local_irq_count:
            gap = self._clock.now - self._left
            self._left = self._clock.now
            if gap > STRAIGHT_CYCLES:
                self._rest += gap

    def kernel_left(self) -> None:
        """Note that it goes on."""
        if not self._stat.local_irq_count:
            self._left = self._clock.now
            if self._softirqs_since is not None:
                self._rest += self._left - self._softirqs_since
                self._softirqs_since = None

    def entered(self, line: int) -> str:
        """Note that a handler is about to run; returns what is wrong, or an empty string."""
        now = self._clock.now
        window = self._windows.get(line)
        if window is None or now - window.left > STORM_CYCLES:
            self._windows[line] = _Window(now, now, self._rest)
            return ""
        length = now - window.since
        if length < STORM_CYCLES:
            return ""
        del self._windows[line]
        rest = self._rest - window.rest_before
        if rest >= REST_SHARE * length:
            return ""
        return f"livelock: interrupts of line {line} have taken {1 - rest / length:.0%} of {length:,} cycles"

    @contextmanager
    def running(self, line: int) -> Iterator[None]:
        """Run a handler within."""
        try:
            yield
        finally:
            window = self._windows.get(line)
            if window is not None:
                window.left = self._clock.now
            if self._stat.softirq_pending:
                self._softirqs_since = self._clock.now
