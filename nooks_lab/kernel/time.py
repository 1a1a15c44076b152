"""The time of day (Linux 2.4 ``kernel/timer.c``, ``update_wall_time``)."""

from typing import Any

from nooks_lab.kernel.timers import HZ

BOOT_TIME = 1_066_521_600
"""What the clock of this PC shows at power-on: Sunday, 19 October 2003, 00:00 UTC, SOSP's first day.

It is the same at every boot, so that a run can be repeated.
"""

_TICK_USEC = 1_000_000 // HZ


class TimeOfDay:
    """The variable ``xtime``, which every timer interrupt moves.

    Parameters
    ----------
    xtime : view of struct timeval
    """

    def __init__(self, xtime: Any) -> None:
        self._xtime = xtime
        xtime.tv_sec = BOOT_TIME

    def tick(self) -> None:
        """A jiffy has passed."""
        usec = self._xtime.tv_usec + _TICK_USEC
        if usec >= 1_000_000:
            usec -= 1_000_000
            self._xtime.tv_sec += 1
        self._xtime.tv_usec = usec
