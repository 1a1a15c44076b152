"""The interval timer: Intel 8254 channel 0 in mode 2, wired to interrupt line 0."""

from nooks_lab.machine.clock import Clock
from nooks_lab.machine.interrupts import InterruptController

TIMER_LINE = 0


class IntervalTimer:
    """Pulses line 0 at a fixed period once it is programmed."""

    def __init__(self, clock: Clock, pic: InterruptController) -> None:
        self.name = "timer"
        self.period = 0
        self._clock = clock
        self._pic = pic

    def program(self, period: int) -> None:
        """Start pulsing every ``period`` cycles; 0 stops."""
        self._clock.cancel(self.name, "tick")
        self.period = period
        if period:
            self._clock.after(period, self.name, "tick")

    def tick(self) -> None:
        """Pulse the line and queue the next tick."""
        self._pic.pulse(TIMER_LINE)
        self._clock.after(self.period, self.name, "tick")

    def save(self) -> int:
        """Return the period; the queued tick is the clock's state."""
        return self.period

    def load(self, state: int) -> None:
        """Take the period back."""
        self.period = state
