"""while(1)."""

from typing import ClassVar

from nooks_lab.faults.injector.change import Change, Dice, replaced
from nooks_lab.faults.injector.fault_class import FaultClass
from nooks_lab.faults.injector.instruction import Instruction
from nooks_lab.faults.injector.text import Text

_JUMP_TO_ITSELF = b"\xeb\xfe"


class EndlessLoop(FaultClass):
    """An instruction becomes a jump to itself: ``while (1);``.

    (The released injector called a function with such a loop in the extension's domain.)
    """

    name: ClassVar[str] = "endless loop"
    summary: ClassVar[str] = "The extension never comes back from a loop."

    def qualifies(self, text: Text, instruction: Instruction) -> bool:  # noqa: ARG002
        """Two bytes of room."""
        return instruction.length >= len(_JUMP_TO_ITSELF)

    def change(self, text: Text, instruction: Instruction, dice: Dice) -> Change:  # noqa: ARG002
        """The jump."""
        return replaced(_JUMP_TO_ITSELF, instruction.length)
