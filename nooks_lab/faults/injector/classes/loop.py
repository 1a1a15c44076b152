"""A loop that ends too early or too late."""

from typing import ClassVar

from nooks_lab.faults.injector.change import Change, Dice, bit_flipped
from nooks_lab.faults.injector.classes.branch import inverted
from nooks_lab.faults.injector.fault_class import FaultClass, Search
from nooks_lab.faults.injector.instruction import Instruction
from nooks_lab.faults.injector.text import Text

_REPEAT = {0xF3, 0xF2}


class Loop(FaultClass):
    """The condition of a backward conditional branch is inverted; ``rep`` becomes ``repne`` and the reverse.

    A branch is backward when its target is not behind it.  (The Rio injector inverted any conditional branch.)
    """

    name: ClassVar[str] = "loop"
    summary: ClassVar[str] = "A loop's condition is wrong: it runs once, or goes on where it should end."
    search: ClassVar[Search] = "function"

    def qualifies(self, text: Text, instruction: Instruction) -> bool:  # noqa: ARG002
        """A conditional branch back, or a repeated string instruction."""
        if instruction.code[0] in _REPEAT:
            return instruction.mnemonic.startswith("rep")
        return is_backward(instruction)

    def change(self, text: Text, instruction: Instruction, dice: Dice) -> Change:  # noqa: ARG002
        """The opposite condition."""
        if instruction.code[0] in _REPEAT:
            return bit_flipped(instruction, 0, 0)
        return inverted(instruction)

    def matches_released(self, text: Text, instruction: Instruction) -> bool:
        """Any conditional branch."""
        return instruction.is_conditional_branch or self.qualifies(text, instruction)


def is_backward(instruction: Instruction) -> bool:
    """Tell whether it is a conditional branch to itself or to what stands before it."""
    return (
        instruction.is_conditional_branch
        and instruction.target is not None
        and instruction.target <= instruction.offset
    )
