"""A local variable that nobody initialises."""

from typing import ClassVar

from nooks_lab.faults.injector.change import Change, Dice, removed
from nooks_lab.faults.injector.fault_class import FaultClass, Search
from nooks_lab.faults.injector.instruction import Instruction
from nooks_lab.faults.injector.text import Text

_STORES = frozenset((0x88, 0x89, 0xC6, 0xC7))
"""``mov`` of a register or an immediate to memory."""


class UninitialisedLocal(FaultClass):
    """The store that initialises a local variable in an EBP frame is removed.

    That is the first instruction of its function, by address, that has the local's address (a negative displacement
    from EBP) in an operand, if it is a ``mov`` to it.  Locals that the compiler keeps in registers have no such store.
    (The Rio injector removed the first ``mov $x,-y(%ebp)`` of a function; only of an immediate.)
    """

    name: ClassVar[str] = "init"
    summary: ClassVar[str] = "A local variable is used without having been initialised."
    search: ClassVar[Search] = "function"

    def qualifies(self, text: Text, instruction: Instruction) -> bool:
        """The first that touches the local, and a store."""
        displacement = instruction.frame_displacement()
        if displacement is None or displacement >= 0 or instruction.opcode not in _STORES:
            return False
        function = text.function_at(instruction.offset)
        if function is None:
            return False
        first = next(
            each
            for each in text.instructions[text.first_ending_behind(function[0]) :]
            if each.frame_displacement() == displacement
        )
        return first is instruction

    def change(self, text: Text, instruction: Instruction, dice: Dice) -> Change:  # noqa: ARG002
        """NOPs."""
        return removed(instruction.length)

    def matches_released(self, text: Text, instruction: Instruction) -> bool:  # noqa: ARG002
        """The store of an immediate."""
        displacement = instruction.frame_displacement()
        return instruction.opcode in (0xC6, 0xC7) and displacement is not None and -128 <= displacement < 0
