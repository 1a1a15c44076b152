"""Bits of stack and heap that flip while the extension runs.

When: at the first block of the extension's code that runs at or after a cycle drawn from the seed.  Then the stack
is the one that the extension runs on, natively the task's or the interrupted task's, under Nooks one of the domain's
pool, and what its registers point to is what it works with.

What, on the stack: one of the first ``STACK_WORDS`` words above ESP, which are the innermost frames: locals, saved
registers, return addresses, arguments.  They are the same natively and under Nooks as long as the same call is
being served; further up lie natively the kernel's frames and under Nooks nothing, so that these are left out.

What, on the heap: a byte of the object that a register points into, the first one in the order of ``_REGISTERS``
beginning with a drawn one, of those that lie in the heap that the extension allocates from.  That is natively the
kernel's and under Nooks the domain's own.  While no register points into it the next block is looked at, of so many.

The seed decides cycle, number and bit.  It is the same fault natively and under Nooks as far as the extension is
at the same place at that cycle; XPCs take time, so that it often is at another one, and natively an object can be one
that the kernel has handed to the extension, of which it has a copy of its own under Nooks.  No choice that is made at
run time can avoid this.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from nooks_lab.faults.injector.change import BitFlip
from nooks_lab.kernel.module import Module
from nooks_lab.kernel.slab import SlabAllocator
from nooks_lab.lab import Lab
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.machine.paging import P

STACK_WORDS = 16
STRIKE_WINDOW = CPU_HZ // 100
"""The time after the injection, in cycles, in which flips strike: ten milliseconds."""

MOST_BLOCKS = 10_000
"""Blocks without such a register after which nothing is flipped: who loops for ever would be watched for ever."""

_REGISTERS = ("eax", "ecx", "edx", "ebx", "esi", "edi")


@dataclass(frozen=True)
class Struck:
    """A flip that has happened.

    Attributes
    ----------
    address : int
        Of the byte.
    eip : int
        The block of the extension's code that ran then.
    before, after : int
        The byte.
    what : str
        What it is part of.
    """

    address: int
    eip: int
    before: int
    after: int
    what: str


class Strike:
    """One flip; a part of the machine's clock, so that it strikes at its cycle.

    Attributes
    ----------
    struck : Struck or None
        What has been flipped.
    """

    def __init__(self, lab: Lab, module: Module, flip: BitFlip, number: int) -> None:
        self._lab, self._module, self._flip = lab, module, flip
        self.name = f"bit flip {number} in the {flip.where} of {module.name}"
        self._tracing = ExitStack()
        self.struck: Struck | None = None
        self._looked_at, self._watching = 0, False

    def arm(self, window: int) -> None:
        """Have it strike within so many cycles."""
        clock = self._lab.machine.clock
        clock.parts[self.name] = self
        clock.after(int(self._flip.moment * window), self.name, "begin")

    def begin(self) -> None:
        """The moment has come: from now on the extension's code is watched."""
        image = self._module.image
        if image is not None and self._is_loaded():
            self._looked_at, self._watching = 0, True
            self._tracing.enter_context(self._lab.machine.cpu.traced(*image.text, self._at_block))

    def _is_loaded(self) -> bool:
        return self._lab.kernel.modules.loaded.get(self._module.name) is self._module

    def _at_block(self, address: int, _size: int) -> None:
        if not self._watching:
            return
        self._looked_at += 1
        if self._looked_at > MOST_BLOCKS or not self._is_loaded():
            self._stop_watching()
            return
        registers = self._lab.machine.cpu.registers_in_hook()
        found = self._in_stack(registers) if self._flip.where == "stack" else self._in_heap(registers)
        if found is None:
            return
        place, what = found
        pte = self._lab.kernel.page_table.pte(place)
        if not pte & P:
            return
        physical = pte & ~0xFFF | place & 0xFFF
        memory = self._lab.machine.memory
        before = memory.read(physical, 1)[0]
        after = before ^ 1 << self._flip.bit
        memory.write(physical, bytes((after,)))
        self.struck = Struck(place, address, before, after, what)
        self._stop_watching()

    def _stop_watching(self) -> None:
        """The hook goes when the CPU has stopped: it is the hook that asks."""
        self._watching = False
        clock = self._lab.machine.clock
        clock.at(clock.now, self.name, "end")

    def _in_stack(self, registers: dict[str, int]) -> tuple[int, str]:
        byte = self._flip.choice % (4 * STACK_WORDS)
        return registers["esp"] + byte & 0xFFFFFFFF, f"{byte:#x}(%esp)"

    def _in_heap(self, registers: dict[str, int]) -> tuple[int, str] | None:
        heap = self._heap()
        first, choice = self._flip.choice % len(_REGISTERS), self._flip.choice // len(_REGISTERS)
        for name in _REGISTERS[first:] + _REGISTERS[:first]:
            around = heap.object_around(registers[name]) if heap else None
            if around is not None:
                start, size = around
                byte = choice % size
                return start + byte, f"byte {byte} of the object of {size} bytes that %{name} points into"
        return None

    def _heap(self) -> SlabAllocator | None:
        nooks = self._lab.nooks
        if nooks is None:
            return self._lab.kernel.slab
        return next((each.heap for each in nooks.domains if self._module.name in each.modules), None)

    def end(self) -> None:
        """It has struck, or never will: nothing is watched any more."""
        self._tracing.close()

    def withdraw(self) -> None:
        """Take it out of the machine, whether it has struck or not."""
        self._tracing.close()
        clock = self._lab.machine.clock
        for action in ("begin", "end"):
            clock.cancel(self.name, action)
        clock.parts.pop(self.name, None)

    def save(self) -> Any:
        """Return what it has done; the cycle is the clock's state."""
        return self.struck

    def load(self, state: Any) -> None:
        """Take back what :meth:`save` returned."""
        self.struck = state
