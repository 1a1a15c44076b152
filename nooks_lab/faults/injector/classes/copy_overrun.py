"""A copy that goes on too far."""

from typing import ClassVar

from nooks_lab.faults.injector.change import Change, Detour, Dice, Rewrite
from nooks_lab.faults.injector.fault_class import FaultClass
from nooks_lab.faults.injector.instruction import ECX, Instruction
from nooks_lab.faults.injector.operands import operands
from nooks_lab.faults.injector.text import Text

LENGTH_ARGUMENT = {
    "memcpy": 2,
    "memmove": 2,
    "strncpy": 2,
    "copy_from_user": 2,
    "copy_to_user": 2,
    "__copy_from_user": 2,
    "__copy_to_user": 2,
    "memcpy_fromio": 2,
    "memcpy_toio": 2,
}
"""The copying functions of the kernel, and which argument, counted from 0, says how many bytes they copy."""

_CALLS = (0xE8, 0xE9)
_LOAD_ECX = 0xB8 + ECX
_REP, _MOVSB, _MOVSD = 0xF3, 0xA4, 0xA5
_NEAR = 8
"""How many instructions behind the load of ECX the copy is looked for."""


class CopyOverrun(FaultClass):
    """A copy takes more bytes than it should.

    A call of a copying function goes through a stub that adds to the length argument; of a ``rep movs`` that the
    compiler wrote inline, with a constant length, that constant is changed.  How much is added is :func:`overrun`.
    (The released injector changed one call in some thousands of all copies of the extension; this changes one place
    of the text, whenever it copies.)
    """

    name: ClassVar[str] = "copy overrun"
    summary: ClassVar[str] = "A copy is longer than its buffer."

    def qualifies(self, text: Text, instruction: Instruction) -> bool:
        """A call of a copying function, or the constant length of an inline copy."""
        if instruction.opcode in _CALLS:
            return instruction.callee in LENGTH_ARGUMENT
        return _inline_copy(text, instruction) is not None

    def change(self, text: Text, instruction: Instruction, dice: Dice) -> Change:
        """A greater length."""
        amount = overrun(dice)
        if instruction.opcode in _CALLS:
            return Detour(argument=LENGTH_ARGUMENT[instruction.callee], amount=amount)
        unit = _inline_copy(text, instruction)
        assert unit is not None
        at, size = instruction.immediate
        old = int.from_bytes(instruction.code[at : at + size], "little")
        new = old + -(-amount // unit) & 0xFFFFFFFF
        flip = bytearray(instruction.length)
        flip[at : at + size] = (old ^ new).to_bytes(size, "little")
        return Rewrite(b"\xff" * instruction.length, bytes(flip))


def overrun(dice: Dice) -> int:
    """Draw how many bytes too many: 1 (50%), an even number from 2 to 1,022 (44%), or 1,024, 2,048 or 3,072 (6%)."""
    part = dice.random()
    if part < 0.5:
        return 1
    if part < 0.94:
        return 2 * dice.randint(1, 511)
    return 1024 * dice.randint(1, 3)


def _inline_copy(text: Text, instruction: Instruction) -> int | None:
    """Return the unit, in bytes, of the ``rep movs`` that an instruction loads ECX for, or None."""
    if instruction.opcode != _LOAD_ECX or instruction.callee:
        return None
    following: Instruction | None = instruction
    for _ in range(_NEAR):
        assert following is not None
        following = text.after(following)
        if following is None or following.target is not None or following.callee:
            return None
        if following.code[0] == _REP and following.opcode in (_MOVSB, _MOVSD):
            return 1 if following.opcode == _MOVSB else 4
        if _writes_ecx(following):
            return None
    return None


def _writes_ecx(instruction: Instruction) -> bool:
    destination = operands(instruction).destination
    if destination is None or (destination == "rm" and instruction.has_memory_operand):
        return False
    field = instruction.operand_field(destination)
    return instruction.code[field.at] >> field.shift & 7 == ECX
