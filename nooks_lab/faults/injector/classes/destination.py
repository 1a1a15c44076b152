"""An assignment that writes the wrong destination."""

from typing import ClassVar

from nooks_lab.faults.injector.change import Change, Dice, other_register
from nooks_lab.faults.injector.fault_class import FaultClass, Search
from nooks_lab.faults.injector.instruction import Instruction
from nooks_lab.faults.injector.operands import operands
from nooks_lab.faults.injector.text import Text


class Destination(FaultClass):
    """The destination operand of an instruction is another one.

    A destination register is replaced by one of the other seven; of a destination in memory the base register of its
    address is.  Instructions that write only flags, or a place that no field names, stay out.  (Paper, section 5.1;
    the Rio injector inverted any bit behind the opcode, for destinations as for sources.)
    """

    name: ClassVar[str] = "destination"
    summary: ClassVar[str] = "An assignment writes the wrong variable."
    search: ClassVar[Search] = "address"

    def qualifies(self, text: Text, instruction: Instruction) -> bool:  # noqa: ARG002
        """A destination that a field names; an absolute address names none."""
        destination = operands(instruction).destination
        return destination is not None and (destination != "rm" or instruction.rm_field() is not None)

    def change(self, text: Text, instruction: Instruction, dice: Dice) -> Change:  # noqa: ARG002
        """Another register."""
        destination = operands(instruction).destination
        assert destination is not None
        return other_register(instruction, instruction.operand_field(destination), dice)

    def matches_released(self, text: Text, instruction: Instruction) -> bool:
        """Any instruction of two bytes or more."""
        return instruction.length > 1 and self.qualifies(text, instruction)
