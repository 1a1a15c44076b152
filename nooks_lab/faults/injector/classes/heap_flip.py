"""A bit of the heap that flips."""

from typing import ClassVar

from nooks_lab.faults.injector.change import BitFlip, Dice
from nooks_lab.faults.injector.fault_class import DataFault


class HeapFlip(DataFault):
    """A bit of a heap object that the extension works with flips; see :mod:`nooks_lab.faults.injector.strike`."""

    name: ClassVar[str] = "heap"
    summary: ClassVar[str] = "An object on the heap is corrupted."

    def flip(self, dice: Dice) -> BitFlip:
        """Draw moment, place and bit."""
        return BitFlip("heap", dice.random(), dice.randrange(1 << 30), dice.randrange(8))
