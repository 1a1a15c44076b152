"""Where in an extension's text a fault goes.

``uniform``: every instruction that qualifies is as likely as any other.

``as-released`` repeats how the injector that was released with Nooks looked for one (it came from the Rio file
cache's).  It draws an address first, a multiple of 16 in ``.text``.  Text faults change that very place.  Source,
destination, pointer and NOP faults take the first match from there on.  Branch, loop, init, interface and interrupt
state faults search from the beginning of the function that the address falls into, and so take the same first
match of the function whatever the address is; interface faults pass over a match with a probability of one in four.
A search that finds nothing is not repeated: the trial has a fault less.  An init fault needs a ``mov`` of an
immediate to -x(%ebp), an interface fault one from x(%ebp): code that keeps EBP as its frame pointer.  The faults
that act when a function is called had no place; they are uniform here too.

A search of the original ended at the first ``leave``, with which functions ended that its compiler made.  Ours end
in ``pop %ebp``, so a search from a function's beginning ends with the function.
"""

from typing import Literal

from nooks_lab.faults.injector.change import Change, Dice, Rewrite
from nooks_lab.faults.injector.classes.text import TextBit
from nooks_lab.faults.injector.fault_class import FaultClass, sites
from nooks_lab.faults.injector.instruction import Instruction
from nooks_lab.faults.injector.text import Text

Placement = Literal["uniform", "as-released"]
PLACEMENTS: tuple[Placement, ...] = ("uniform", "as-released")

_ALIGNMENT = 16
_WORD_BITS = 32

Site = tuple[int, int, Change]
"""Offset and number of the bytes that change, and the change."""


def uniform(text: Text, fault_class: FaultClass, dice: Dice) -> Site | None:
    """Draw an instruction among all that qualify; None when none does."""
    found = sites(fault_class, text)
    return _site(text, fault_class, dice.choice(found), dice) if found else None


def as_released(text: Text, fault_class: FaultClass, dice: Dice) -> Site | None:
    """Search as the released injector did; None when it finds nothing."""
    if fault_class.search == "none":
        return uniform(text, fault_class, dice)
    address = dice.randrange(text.size) & -_ALIGNMENT
    if isinstance(fault_class, TextBit):
        return _bit_at(text, address, dice)
    if fault_class.search == "address":
        return _search(text, fault_class, address, text.size, dice)
    function = text.function_at(address)
    if function is None:
        return None
    start, end, _ = function
    return _search(text, fault_class, start, end, dice)


def _search(text: Text, fault_class: FaultClass, start: int, end: int, dice: Dice) -> Site | None:
    for index in range(text.first_ending_behind(start), len(text.instructions)):
        instruction = text.instructions[index]
        if instruction.offset >= end:
            return None
        if (
            not instruction.is_padding
            and fault_class.matches_released(text, instruction)
            and (fault_class.accepts == 1 or dice.random() < fault_class.accepts)
        ):
            return _site(text, fault_class, instruction, dice)
    return None


def _site(text: Text, fault_class: FaultClass, instruction: Instruction, dice: Dice) -> Site:
    length = fault_class.length(text, instruction)
    return instruction.offset, length, fault_class.change(text, instruction, dice)


def _bit_at(text: Text, address: int, dice: Dice) -> Site | None:
    """Invert one of the 32 bits at an address, in code or in the padding between functions."""
    bit = dice.randrange(_WORD_BITS)
    at = address + bit // 8
    if at >= text.size:
        return None
    instruction = text.at(at)
    start, length = (instruction.offset, instruction.length) if instruction else (at, 1)
    flip = bytearray(length)
    flip[at - start] = 1 << bit % 8
    return start, length, Rewrite(b"\xff" * length, bytes(flip))
