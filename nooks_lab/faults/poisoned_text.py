"""A fault for any extension, without a change of its source: an instruction of its text that no longer is one.

While the extension runs, one instruction that its workload is known to use is overwritten in guest memory with
something fatal.  Whoever comes by next meets it: an interrupt handler, a timer or a process.  The module that is
loaded after a recovery has fresh text.
"""

import random
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import capstone

from nooks_lab.kernel.module import Module
from nooks_lab.lab import Lab

ENCODINGS = {
    "int3": b"\xcc",
    "ud2": b"\x0f\x0b",
    "ff ff": b"\xff\xff",
    "mov 0x0,%eax": b"\xa1\0\0\0\0",
    "mov %eax,0x0": b"\xa3\0\0\0\0",
}
"""What an instruction is overwritten with: two undefined ones, a breakpoint, a load and a store at NULL."""

_disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32)


class NothingSeen(ValueError):  # noqa: N818 - the sentence is for the user
    """The workload runs none of the extension's code, so that no fault there could strike."""


@dataclass(frozen=True)
class Instruction:
    """An instruction of an extension's text.

    Attributes
    ----------
    function : str
        The function that it stands in.
    offset : int
        Bytes from the beginning of the module's memory.
    length : int
        Bytes.
    """

    function: str
    offset: int
    length: int


@dataclass(frozen=True)
class Trace:
    """What a workload runs of an extension.

    Attributes
    ----------
    instructions : tuple of Instruction
        Each that was executed, by offset.
    moments : array of int
        Cycles from the beginning of the workload to each block of them, in order.
    """

    instructions: tuple[Instruction, ...]
    moments: "array[int]"


@dataclass(frozen=True)
class Poison:
    """One fault.

    Attributes
    ----------
    instruction : Instruction
    encoding : str
        One of ``ENCODINGS`` that fits in its place.
    delay : int
        Cycles from the beginning of the workload until it is there.
    """

    instruction: Instruction
    encoding: str
    delay: int


@contextmanager
def tracing(lab: Lab, extension: str) -> Iterator[Callable[[], Trace]]:
    """Note within a ``with`` what runs of a loaded extension.

    Yields
    ------
    callable
        Returns the trace; call it afterwards.

    Raises
    ------
    LookupError
        When the extension is not loaded.
    """
    module = _loaded(lab, extension)
    assert module.image is not None
    clock, start = lab.machine.clock, lab.machine.clock.now
    blocks: dict[int, int] = {}
    moments = array("Q")

    def seen(address: int, size: int) -> None:
        blocks[address] = max(size, blocks.get(address, 0))
        moments.append(clock.now - start)

    # What stands there now is disassembled: nobody has touched it yet.
    text, code = module.image.text, module.image.data
    with lab.machine.cpu.traced(*text, seen):
        yield lambda: Trace(tuple(_instructions(lab, module.base, code, blocks)), moments)


def _instructions(lab: Lab, base: int, code: bytes, blocks: dict[int, int]) -> Iterator[Instruction]:
    found: dict[int, Instruction] = {}
    for address, size in blocks.items():
        at = address - base
        symbol = lab.kernel.symbols.find(address)
        for where, length, *_ in _disassembler.disasm_lite(code[at : at + size], at):
            found[where] = Instruction(symbol.name if symbol else "?", where, length)
    yield from (found[where] for where in sorted(found))


def plan(trace: Trace, seed: int | str) -> Poison:
    """Choose a fault: a moment at which the extension was busy, a function, an instruction of it, an encoding.

    Every function that ran is as likely as any other, however long it is.

    Raises
    ------
    NothingSeen
        When nothing of the extension ran.
    """
    if not trace.instructions:
        raise NothingSeen("the workload runs none of the extension's code")
    dice = random.Random(seed)
    function = dice.choice(sorted({each.function for each in trace.instructions}))
    instruction = dice.choice([each for each in trace.instructions if each.function == function])
    fitting = [name for name, code in ENCODINGS.items() if len(code) <= instruction.length]
    return Poison(instruction, dice.choice(fitting), dice.choice(trace.moments))


class Poisoner:
    """Puts faults into a running system; a part of the machine's clock, so that it strikes at its cycle."""

    def __init__(self, lab: Lab, extension: str) -> None:
        self.name = f"poison of {extension}"
        self._lab, self._extension = lab, extension
        self._armed: Poison | None = None
        self._before: tuple[Module, bytes] | None = None
        lab.machine.clock.parts[self.name] = self

    @property
    def struck(self) -> bool:
        """Tell whether the fault that was last armed is, or was, in the text."""
        return self._before is not None

    def arm(self, poison: Poison) -> None:
        """Have the fault put in, counted from now."""
        self._armed, self._before = poison, None
        self._lab.machine.clock.after(poison.delay, self.name, "strike")

    def strike(self) -> None:
        """Overwrite the instruction, if the extension is loaded just now."""
        module = self._lab.kernel.modules.loaded.get(self._extension)
        if module is None or self._armed is None:
            return
        instruction = self._armed.instruction
        self._before = module, self._text(module, instruction)
        self._write(module, instruction, ENCODINGS[self._armed.encoding])

    def disarm(self) -> bool:
        """Take a fault out again that nobody has met; returns whether it was still there."""
        self._lab.machine.clock.cancel(self.name, "strike")
        armed, before = self._armed, self._before
        self._armed = self._before = None
        if armed is None or before is None:
            return False
        module, text = before
        if self._lab.kernel.modules.loaded.get(self._extension) is not module:
            return False
        self._write(module, armed.instruction, text)
        return True

    def _text(self, module: Module, instruction: Instruction) -> bytes:
        places = self._places(module, instruction)
        return b"".join(self._lab.machine.memory.read(place, 1) for place in places)

    def _write(self, module: Module, instruction: Instruction, code: bytes) -> None:
        # Through the kernel's page table: the extension's own, which may be in CR3 now, says read-only.
        for place, byte in zip(self._places(module, instruction), code, strict=False):
            self._lab.machine.memory.write(place, bytes((byte,)))

    def _places(self, module: Module, instruction: Instruction) -> list[int]:
        """Return the physical address of each of its bytes."""
        first = module.base + instruction.offset
        table = self._lab.kernel.page_table
        return [
            table.pte(address) & ~0xFFF | address & 0xFFF
            for address in range(first, first + instruction.length)
        ]

    def save(self) -> Any:
        """Return what is armed; the cycle is the clock's state."""
        return self._armed, self._before

    def load(self, state: Any) -> None:
        """Take back what :meth:`save` returned."""
        self._armed, self._before = state


def _loaded(lab: Lab, extension: str) -> Module:
    module = lab.kernel.modules.loaded.get(extension)
    if module is None:
        there = ", ".join(lab.kernel.modules.loaded) or "none"
        raise LookupError(f"no extension {extension!r} is loaded; there are: {there}")
    return module
