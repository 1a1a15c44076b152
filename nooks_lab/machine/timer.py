"""The interval timer: Intel 8254 channel 0 in mode 2, wired to interrupt line 0."""

from nooks_lab.machine.clock import Clock
from nooks_lab.machine.interrupts import InterruptController

TIMER_LINE = 0


class IntervalTimer:
    """Pulses line 0 at a fixed period once it is programmed."""

    def __init__(self, clock: Clock, pic: InterruptController) -> None:
        self.name = "timer"
        self.period = 0
        self.due = 0
        self._clock = clock
        self._pic = pic

    def program(self, period: int) -> None:
        """Start pulsing every ``period`` cycles; 0 stops."""
        self._clock.cancel(self.name, "tick")
        self.period = period
        if period:
            self.due = self._clock.now + period
            self._clock.at(self.due, self.name, "tick")

    def tick(self) -> None:
        """Pulse the line and queue the next tick."""
        self._pic.pulse(TIMER_LINE)
        # From when this tick was due, not from now: a late one must not make all that follow late.
        self.due += self.period
        self._clock.at(self.due, self.name, "tick")

    def save(self) -> tuple[int, int]:
        """Return the period and the next tick's cycle; the queued tick is the clock's state."""
        return self.period, self.due

    def load(self, state: tuple[int, int]) -> None:
        """Take back what :meth:`save` returned."""
        self.period, self.due = state
