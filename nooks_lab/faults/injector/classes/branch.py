"""A test that decides the wrong way."""

from typing import ClassVar

from nooks_lab.faults.injector.change import Change, Dice, bit_flipped, removed
from nooks_lab.faults.injector.fault_class import FaultClass, Search
from nooks_lab.faults.injector.instruction import Instruction
from nooks_lab.faults.injector.text import Text


class Branch(FaultClass):
    """A conditional branch is inverted, or removed; either is as likely.

    Inverted means the condition's lowest bit, which turns every condition into its opposite; the target stays.
    (Paper, section 5.1: "inverted test conditions"; the Rio injector removed the branch.)
    """

    name: ClassVar[str] = "branch"
    summary: ClassVar[str] = "A test is the wrong way round, or missing."
    search: ClassVar[Search] = "function"

    def qualifies(self, text: Text, instruction: Instruction) -> bool:  # noqa: ARG002
        """Any of Jcc."""
        return instruction.is_conditional_branch

    def change(self, text: Text, instruction: Instruction, dice: Dice) -> Change:  # noqa: ARG002
        """The opposite condition, or NOPs."""
        if dice.random() < 0.5:
            return removed(instruction.length)
        return inverted(instruction)


def inverted(instruction: Instruction) -> Change:
    """Return a conditional branch with the opposite condition."""
    at = instruction.opcode_at + (instruction.opcode > 0xFF)
    return bit_flipped(instruction, at, 0)
