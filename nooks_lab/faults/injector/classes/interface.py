"""A parameter that does not arrive."""

from typing import ClassVar

from nooks_lab.faults.injector.change import Change, Dice, other_slot, removed
from nooks_lab.faults.injector.fault_class import FaultClass, Search
from nooks_lab.faults.injector.instruction import Instruction
from nooks_lab.faults.injector.text import Text

_LOADS = frozenset((0x8A, 0x8B, 0x0FB6, 0x0FB7, 0x0FBE, 0x0FBF))
"""``mov``, ``movzx`` and ``movsx`` from memory to a register."""

FIRST_PARAMETER = 8
"""In a frame that EBP points to, behind the saved EBP and the return address."""


class Interface(FaultClass):
    """An instruction that loads a parameter, from 8(%ebp) upwards, is removed, or loads a neighbouring one.

    Either is as likely.  The neighbour is the next parameter's slot, or the one before where that would not fit into
    the displacement.  Parameters that the compiler passes in registers, to functions that are static, are not
    loaded and cannot be lost.  (The Rio injector replaced a ``mov`` from 0..127(%ebp) by NOPs.)
    """

    name: ClassVar[str] = "interface"
    summary: ClassVar[str] = (
        "A function gets a wrong parameter: what the register held before, or another parameter."
    )
    search: ClassVar[Search] = "function"
    accepts: ClassVar[float] = 0.75

    def qualifies(self, text: Text, instruction: Instruction) -> bool:  # noqa: ARG002
        """A load from the parameters."""
        displacement = instruction.frame_displacement()
        return instruction.opcode in _LOADS and displacement is not None and displacement >= FIRST_PARAMETER

    def change(self, text: Text, instruction: Instruction, dice: Dice) -> Change:  # noqa: ARG002
        """NOPs, or the slot beside."""
        if dice.random() < 0.5:
            return removed(instruction.length)
        return other_slot(instruction)

    def matches_released(self, text: Text, instruction: Instruction) -> bool:
        """``mov`` alone."""
        return instruction.opcode in (0x8A, 0x8B) and self.qualifies(text, instruction)
