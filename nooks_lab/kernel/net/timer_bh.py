"""Timer functions that have to wait for the bottom half (Linux 2.4 ``TIMER_BH``).

The timer interrupt may come in the middle of a driver's transmit function or of a change to a socket; what a
protocol's timer does must not.
"""

from collections.abc import Callable

from nooks_lab.kernel.lists import init_list_head, list_add_tail
from nooks_lab.kernel.softirq import SoftIrqs
from nooks_lab.kernel.structs import Types
from nooks_lab.kernel.timers import Timers
from nooks_lab.machine.linear import LinearMemory

HI_SOFTIRQ = 0


class TimerBottomHalf:
    """A list of timers whose time has come, linked through the timers themselves.

    On it a timer still counts as running, so that ``del_timer`` and ``mod_timer`` take it off again.

    Parameters
    ----------
    head : int
        Address of the list's head.
    call : callable (function, data)
        Calls a timer's function.
    """

    def __init__(
        self,
        types: Types,
        memory: LinearMemory,
        timers: Timers,
        softirqs: SoftIrqs,
        head: int,
        call: Callable[[int, int], int],
    ) -> None:
        self._types, self._memory, self._timers = types, memory, timers
        self._softirqs, self._head, self._call = softirqs, head, call

    def boot(self) -> None:
        """Make the list empty and open the softirq."""
        init_list_head(self._memory, self._head)
        self._softirqs.open(HI_SOFTIRQ, self._run)

    def defer(self, timer: int) -> bool:
        """Put an expired timer off when an interrupt handler runs; False tells the caller to go on."""
        if not self._softirqs.in_hard_irq():
            return False
        list_add_tail(self._memory, timer, self._head)
        self._softirqs.raise_softirq(HI_SOFTIRQ)
        return True

    def _run(self) -> None:
        while (entry := self._memory.u32(self._head)) != self._head:
            timer = self._types.view("timer_list", entry)
            self._timers.del_timer(entry)
            self._call(timer.function, timer.data)
