"""The machine's clock, in CPU cycles, and the queue of what devices will do later."""

import ctypes
import heapq
from collections.abc import Callable
from typing import Any

CPU_HZ = 1_700_000_000
"""The paper's machine: a 1.7 GHz Pentium 4 (section 6)."""

DECODE = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_uint32, ctypes.c_uint32)
TABLE_SIZE = 4096


class _BlockEntry(ctypes.Structure):
    _fields_ = (("key", ctypes.c_uint64), ("instructions", ctypes.c_uint64))


class ClockBlock(ctypes.Structure):
    """The part of the clock that ``block_clock.c`` advances; the two declarations must agree."""

    _fields_ = (
        ("now", ctypes.c_uint64),
        ("deadline", ctypes.c_uint64),
        ("until", ctypes.c_uint64),
        ("instructions", ctypes.c_uint64),
        ("last_address", ctypes.c_uint32),
        ("last_size", ctypes.c_uint32),
        ("intr", ctypes.c_uint64),
        ("stop", ctypes.c_void_p),
        ("read_register", ctypes.c_void_p),
        ("decode", DECODE),
        ("unused", ctypes.c_uint64),
        ("table", _BlockEntry * TABLE_SIZE),
    )


Event = tuple[int, int, str, str, tuple[Any, ...]]


class Clock:
    """Cycles since power-on and a queue of events, both plain data so that a snapshot keeps them.

    An event names a part of the machine and one of its methods; it holds no closure.
    """

    def __init__(self) -> None:
        self.block = ClockBlock()
        self.queue: list[Event] = []
        self.parts: dict[str, object] = {}
        self._sequence = 0

    @property
    def now(self) -> int:
        """Cycles since power-on."""
        return int(self.block.now)

    @property
    def instructions(self) -> int:
        """Instructions the CPU has retired since power-on, exact."""
        return int(self.block.instructions)

    def advance(self, cycles: int) -> None:
        """Let ``cycles`` pass, for work that is not an instruction of the guest."""
        self.block.now += cycles

    def stop_at(self, cycle: int) -> None:
        """Let the CPU run until ``cycle``, or until it may take an interrupt."""
        self.block.until = cycle
        self.block.deadline = 0 if self.block.intr else cycle

    def set_intr(self, asserted: bool) -> None:
        """Drive the CPU's INTR pin; a running CPU stops at the next block that begins with interrupts on."""
        self.block.intr = asserted
        self.block.deadline = 0 if asserted else self.block.until

    def at(self, when: int, part: str, action: str, *arguments: Any) -> None:
        """Call ``action(*arguments)`` of the named part once the clock has reached ``when`` cycles."""
        self._sequence += 1
        heapq.heappush(self.queue, (when, self._sequence, part, action, arguments))
        if when < self.block.until:
            self.stop_at(when)

    def after(self, cycles: int, part: str, action: str, *arguments: Any) -> None:
        """Call ``action(*arguments)`` of the named part ``cycles`` from now."""
        self.at(self.block.now + cycles, part, action, *arguments)

    def cancel(self, part: str, action: str) -> None:
        """Drop every queued call of one action of one part."""
        self.queue = [event for event in self.queue if event[2:4] != (part, action)]
        heapq.heapify(self.queue)

    def next_event(self) -> int | None:
        """Return the cycle of the earliest event, or None when nothing is queued."""
        return self.queue[0][0] if self.queue else None

    def run_due(self) -> None:
        """Run every event whose time has come, in order of time and then of queueing."""
        while self.queue and self.queue[0][0] <= self.block.now:
            _, _, part, action, arguments = heapq.heappop(self.queue)
            method: Callable[..., None] = getattr(self.parts[part], action)
            method(*arguments)

    def save(self) -> tuple[int, int, int, list[Event]]:
        """Return all of the clock's state, as plain data."""
        return self.block.now, self.block.instructions, self._sequence, list(self.queue)

    def load(self, state: tuple[int, int, int, list[Event]]) -> None:
        """Take back a state from :meth:`save`."""
        self.block.now, self.block.instructions, self._sequence, queue = state
        self.queue = list(queue)
