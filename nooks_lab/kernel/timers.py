"""Kernel timers and jiffies (Linux 2.4 ``kernel/timer.c``), as one list sorted by expiry."""

from collections.abc import Callable

from nooks_lab.kernel.execution import Hang
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.lists import init_list_head, list_add_tail, list_del, list_for_each
from nooks_lab.kernel.structs import Types
from nooks_lab.machine.clock import CPU_HZ, Clock
from nooks_lab.machine.linear import LinearMemory

HZ = 100
CYCLES_PER_JIFFY = CPU_HZ // HZ

UDELAY_SCALE = 0x10C6
"""2**32 / 1,000,000 (Linux 2.4 ``arch/i386/lib/delay.c``)."""

MOST_FIRED = 5000
"""Timers in one jiffy after which the system counts as hung."""


class Timers:
    """Timers run in interrupt context, at the tick after they expire.

    Parameters
    ----------
    jiffies, head : int
        Addresses of the variable ``jiffies`` and of the list's head.
    call : callable (address, data)
        Calls the timer's function.
    xtime : int
        Address of the time of day, whose seconds the tick counts; 0 for none.
    """

    def __init__(
        self,
        types: Types,
        memory: LinearMemory,
        clock: Clock,
        jiffies: int,
        head: int,
        call: Callable[[int, int], int],
        xtime: int = 0,
    ) -> None:
        self._xtime = xtime
        self._types, self._memory, self._clock = types, memory, clock
        self._jiffies, self._head, self._call = jiffies, head, call
        init_list_head(memory, head)

    @property
    def jiffies(self) -> int:
        """Ticks since boot."""
        return self._memory.u32(self._jiffies)

    def tick(self) -> None:
        """The timer interrupt: count a jiffy, then run every expired timer.

        One that sets itself to a time that has passed is run again at once, as in Linux 2.4.

        Raises
        ------
        Hang
            When that goes on for ever.
        """
        now = self.jiffies + 1
        self._memory.set_u32(self._jiffies, now)
        if self._xtime and not now % HZ:
            self._memory.set_u32(self._xtime, self._memory.u32(self._xtime) + 1)
        fired = 0
        while (entry := self._memory.u32(self._head)) != self._head:
            timer = self._types.view("timer_list", entry)
            if not _reached(now, timer.expires):
                break
            fired += 1
            if fired > MOST_FIRED:
                raise Hang(f"{MOST_FIRED} timers have fired in one jiffy, and more have expired")
            function, data = timer.function, timer.data
            self._detach(entry)
            self._call(function, data)

    def _detach(self, timer: int) -> None:
        list_del(self._memory, timer)
        self._memory.write(timer, bytes(8))

    def _pending(self, timer: int) -> bool:
        return self._memory.u32(timer) != 0

    @export()
    def add_timer(self, timer: int) -> None:
        """Start a timer; one that runs already is left as it is, with a complaint in Linux's manner."""
        if not self._pending(timer):
            self._insert(timer)

    def _insert(self, timer: int) -> None:
        expires = self._types.view("timer_list", timer).expires
        place = self._head
        for entry in list_for_each(self._memory, self._head):
            if not _reached(expires, self._types.view("timer_list", entry).expires):
                place = entry
                break
        list_add_tail(self._memory, timer, place)

    @export()
    def mod_timer(self, timer: int, expires: int) -> int:
        """Start a timer, or move a running one; returns whether it ran."""
        ran = self.del_timer(timer)
        self._types.view("timer_list", timer).expires = expires
        self._insert(timer)
        return ran

    @export()
    def del_timer(self, timer: int) -> int:
        """Stop a timer; returns whether it ran."""
        if not self._pending(timer):
            return 0
        self._detach(timer)
        return 1

    @export()
    def del_timer_sync(self, timer: int) -> int:
        """Stop a timer; on one CPU its function cannot be running elsewhere."""
        return self.del_timer(timer)

    def pending(self) -> list[int]:
        """Return the addresses of the running timers, soonest first."""
        return list(list_for_each(self._memory, self._head))

    @export(name="__udelay")
    def udelay(self, usecs: int) -> None:
        """Wait without sleeping; less than a second, since the microseconds are scaled modulo 2**32, as in Linux."""
        self._clock.advance((usecs * UDELAY_SCALE & 0xFFFFFFFF) * CPU_HZ >> 32)


def _reached(now: int, then: int) -> bool:
    """``time_after_eq``: the difference is signed, so that it holds when jiffies wraps."""
    return not (now - then) & 0x80000000
