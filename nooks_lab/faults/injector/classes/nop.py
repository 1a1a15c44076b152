"""An instruction that is not there."""

from typing import ClassVar

from nooks_lab.faults.injector.change import Change, Dice, removed
from nooks_lab.faults.injector.fault_class import FaultClass, Search
from nooks_lab.faults.injector.instruction import Instruction
from nooks_lab.faults.injector.text import Text


class Nop(FaultClass):
    """An instruction is removed: NOPs stand in its place."""

    name: ClassVar[str] = "nop"
    summary: ClassVar[str] = "A statement, or a part of one, is missing."
    search: ClassVar[Search] = "address"

    def qualifies(self, text: Text, instruction: Instruction) -> bool:  # noqa: ARG002
        """Any instruction."""
        return True

    def change(self, text: Text, instruction: Instruction, dice: Dice) -> Change:  # noqa: ARG002
        """NOPs."""
        return removed(instruction.length)
