"""Where cycles and time go: methods are wrapped, and what passes between two marks is the innermost one's.

The wrapping costs time of its own, in the wrapped method and in its caller.  Both are measured on a method that does
nothing, and taken off.
"""

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from nooks_lab.machine.machine import Machine

REST = "rest"
_CALIBRATION, _CALIBRATIONS = 2_000, 20


@dataclass
class Entry:
    """What one step has taken, itself and not what it called.

    Attributes
    ----------
    calls, inner_calls : int
        How often it was called, and how often it called another wrapped method.
    """

    cycles: int = 0
    misses: int = 0
    seconds: float = 0.0
    calls: int = 0
    inner_calls: int = 0


class Ledger:
    """Counts by step while it is on; everything outside of wrapped methods is ``rest``."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self._machine: Machine | None = None
        self._steps: list[str] = []
        self._cycles = self._misses = 0
        self._seconds = 0.0

    @contextmanager
    def on(self, machine: Machine | None) -> Iterator[None]:
        """Count within."""
        self.entries = {REST: Entry()}
        self._machine, self._steps = machine, [REST]
        self._cycles, self._misses = self._counters()
        self._seconds = time.perf_counter()
        try:
            yield
        finally:
            self._book()
            self._steps = []

    def _counters(self) -> tuple[int, int]:
        machine = self._machine
        return (0, 0) if machine is None else (machine.clock.block.now, machine.tlb.block.misses)

    def _book(self) -> Entry:
        """Charge what has passed to the step that runs."""
        now = time.perf_counter()
        cycles, misses = self._counters()
        entry = self.entries[self._steps[-1]]
        entry.seconds += now - self._seconds
        entry.cycles += cycles - self._cycles
        entry.misses += misses - self._misses
        self._cycles, self._misses = cycles, misses
        self._seconds = time.perf_counter()
        return entry

    def enter(self, step: str) -> None:
        self._book().inner_calls += 1
        self._steps.append(step)
        self.entries.setdefault(step, Entry()).calls += 1

    def leave(self) -> None:
        self._book()
        self._steps.pop()

    def wrap(self, step: str, method: Callable[..., Any]) -> Callable[..., Any]:
        """Return a method that counts for a step."""

        @functools.wraps(method)
        def counted(*arguments: Any, **named: Any) -> Any:
            if not self._steps:
                return method(*arguments, **named)
            self.enter(step)
            try:
                result = method(*arguments, **named)
            finally:
                self.leave()
            return _Within(self, step, result) if isinstance(result, AbstractContextManager) else result

        return counted

    @contextmanager
    def wrapped(self, methods: dict[str, list[tuple[type, str]]]) -> Iterator[None]:
        """Within, the methods of some classes count for steps."""
        plain = [(cls, name, vars(cls).get(name)) for group in methods.values() for cls, name in group]
        for step, group in methods.items():
            for cls, name in group:
                setattr(cls, name, self.wrap(step, getattr(cls, name)))
        try:
            yield
        finally:
            for cls, name, method in plain:
                # One that was inherited is inherited again.
                delattr(cls, name) if method is None else setattr(cls, name, method)

    def own_cost(self, machine: Machine) -> tuple[float, float]:
        """Return the seconds that wrapping adds to a wrapped method, and to its caller; the least of several."""
        measured = [self._own_cost(machine) for _ in range(_CALIBRATIONS)]
        return min(inner for inner, _ in measured), min(outer for _, outer in measured)

    @staticmethod
    def _own_cost(machine: Machine) -> tuple[float, float]:

        def nothing(_one: int, _two: int, _three: int) -> None:
            pass

        counted = Ledger()
        method = counted.wrap("nothing", nothing)
        with counted.on(machine):
            for _ in range(_CALIBRATION):
                method(1, 2, 3)
        begin = time.perf_counter()
        for _ in range(_CALIBRATION):
            nothing(1, 2, 3)
        plain = time.perf_counter() - begin
        entries = counted.entries
        return entries["nothing"].seconds / _CALIBRATION, (entries[REST].seconds - plain) / _CALIBRATION


class _Within:
    """A context manager whose entry and exit count for a step."""

    def __init__(self, ledger: Ledger, step: str, manager: Any) -> None:
        self._ledger, self._step, self._manager = ledger, step, manager

    def __enter__(self) -> Any:
        self._ledger.enter(self._step)
        try:
            return self._manager.__enter__()
        finally:
            self._ledger.leave()

    def __exit__(self, *error: Any) -> Any:
        self._ledger.enter(self._step)
        try:
            return self._manager.__exit__(*error)
        finally:
            self._ledger.leave()
