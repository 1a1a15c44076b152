"""A bit of an instruction that is wrong."""

from typing import ClassVar

from nooks_lab.faults.injector.change import Change, Dice, any_bit
from nooks_lab.faults.injector.fault_class import FaultClass, Search
from nooks_lab.faults.injector.instruction import Instruction
from nooks_lab.faults.injector.text import Text


class TextBit(FaultClass):
    """One random bit of an instruction is inverted, whatever it belongs to.

    In a field that the loader has relocated it is a bit of what stands in memory, which is not what stands in the
    object file, nor the same natively and under Nooks.
    """

    name: ClassVar[str] = "text"
    summary: ClassVar[str] = "A bit of the code itself is corrupted."
    search: ClassVar[Search] = "address"

    def qualifies(self, text: Text, instruction: Instruction) -> bool:  # noqa: ARG002
        """Any instruction."""
        return True

    def change(self, text: Text, instruction: Instruction, dice: Dice) -> Change:  # noqa: ARG002
        """One of its bits."""
        return any_bit(instruction, 0, instruction.length, dice)
