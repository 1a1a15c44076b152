"""A pointer that points elsewhere."""

from typing import ClassVar

from nooks_lab.faults.injector.change import Change, Dice, any_bit, other_register
from nooks_lab.faults.injector.fault_class import FaultClass, Search
from nooks_lab.faults.injector.instruction import EBP, ESP, Instruction
from nooks_lab.faults.injector.text import Text

_MOFFS = range(0xA0, 0xA4)
"""``mov`` between the accumulator and an absolute address, which stands behind the opcode."""


class Pointer(FaultClass):
    """The address computation of a memory operand is changed.

    One of its parts, each as likely as the others: the base register is another one, the index register is another
    one, or one bit of the displacement is inverted.  Operands on the stack (based on EBP or ESP) are no pointers and
    stay out, as in the Rio injector, which inverted any bit of the ModRM.rm field, SIB and displacement.
    """

    name: ClassVar[str] = "pointer"
    summary: ClassVar[str] = "A load or store goes through the wrong pointer, or to the wrong member."
    search: ClassVar[Search] = "address"

    def qualifies(self, text: Text, instruction: Instruction) -> bool:  # noqa: ARG002
        """A memory operand that is not on the stack."""
        if instruction.opcode in _MOFFS:
            return True
        return instruction.has_memory_operand and instruction.base() not in (EBP, ESP)

    def change(self, text: Text, instruction: Instruction, dice: Dice) -> Change:  # noqa: ARG002
        """One part of the address."""
        if instruction.opcode in _MOFFS:
            return any_bit(instruction, instruction.opcode_at + 1, 4, dice)
        fields = [each for each in (instruction.rm_field(), instruction.index_field()) if each]
        has_displacement = instruction.displacement[1] > 0
        part = dice.randrange(len(fields) + has_displacement)
        if part < len(fields):
            return other_register(instruction, fields[part], dice)
        return any_bit(instruction, *instruction.displacement, dice)

    def matches_released(self, text: Text, instruction: Instruction) -> bool:
        """A base register other than EBP, with a displacement."""
        return (
            self.qualifies(text, instruction)
            and instruction.modrm_at > 0
            and instruction.modrm >> 6 in (1, 2)
        )
