"""An assignment that reads the wrong source."""

from typing import ClassVar

from nooks_lab.faults.injector.change import Change, Dice, any_bit, other_register
from nooks_lab.faults.injector.fault_class import FaultClass, Search
from nooks_lab.faults.injector.instruction import Instruction
from nooks_lab.faults.injector.operands import operands
from nooks_lab.faults.injector.text import Text


class Source(FaultClass):
    """The source operand of an instruction is another one.

    A source register is replaced by one of the other seven; of a source in memory the base register of its address
    is; of an immediate one bit is inverted.  Sources that no field of the instruction names stay out: a string
    instruction's, ``in``'s, the CL of a shift, an absolute address.  (Paper, section 5.1: "incorrect source"; the Rio
    injector inverted any bit behind the opcode.)
    """

    name: ClassVar[str] = "source"
    summary: ClassVar[str] = "An assignment or a comparison reads the wrong variable or constant."
    search: ClassVar[Search] = "address"

    def qualifies(self, text: Text, instruction: Instruction) -> bool:  # noqa: ARG002
        """A source that a field names; an absolute address names none."""
        source = operands(instruction).source
        return source is not None and (source != "rm" or instruction.rm_field() is not None)

    def change(self, text: Text, instruction: Instruction, dice: Dice) -> Change:  # noqa: ARG002
        """Another register, or one bit of an immediate."""
        source = operands(instruction).source
        if source == "immediate":
            return any_bit(instruction, *instruction.immediate, dice)
        assert source is not None
        return other_register(instruction, instruction.operand_field(source), dice)

    def matches_released(self, text: Text, instruction: Instruction) -> bool:
        """Any instruction of two bytes or more."""
        return instruction.length > 1 and self.qualifies(text, instruction)
