"""A bit of the stack that flips."""

from typing import ClassVar

from nooks_lab.faults.injector.change import BitFlip, Dice
from nooks_lab.faults.injector.fault_class import DataFault


class StackFlip(DataFault):
    """A bit of the stack that the extension runs on flips; which, :mod:`nooks_lab.faults.injector.strike` says."""

    name: ClassVar[str] = "stack"
    summary: ClassVar[str] = (
        "A word of the stack is corrupted: a local variable, a saved register, a return address."
    )

    def flip(self, dice: Dice) -> BitFlip:
        """Draw moment, place and bit."""
        return BitFlip("stack", dice.random(), dice.randrange(1 << 30), dice.randrange(8))
