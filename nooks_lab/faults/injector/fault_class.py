"""What a class of faults says: which instructions qualify, and what it changes them to."""

import functools
from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from nooks_lab.faults.injector.change import BitFlip, Change, Dice
from nooks_lab.faults.injector.instruction import Instruction
from nooks_lab.faults.injector.text import Text

Search = Literal["function", "address", "none"]


class FaultClass(ABC):
    """A class of faults in instructions.

    Attributes
    ----------
    name : str
    summary : str
        The programmer's mistake that it stands for, in one sentence.
    search : str
        Where the released injector looks for a match: from the beginning of the ``function`` that its random
        address falls into, from the ``address`` on, or not at all (``none``: it acts when a function is called).
    accepts : float
        With which probability the released injector takes a match that it has found.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    search: ClassVar[Search] = "none"
    accepts: ClassVar[float] = 1.0

    @abstractmethod
    def qualifies(self, text: Text, instruction: Instruction) -> bool:
        """Tell whether this class can change an instruction."""

    @abstractmethod
    def change(self, text: Text, instruction: Instruction, dice: Dice) -> Change:
        """Return what becomes of an instruction that qualifies."""

    def matches_released(self, text: Text, instruction: Instruction) -> bool:
        """Tell whether the released injector would stop at an instruction; usually at those that qualify."""
        return self.qualifies(text, instruction)

    def length(self, text: Text, instruction: Instruction) -> int:  # noqa: ARG002 - some look at the next one
        """Return how many bytes change, from the beginning of an instruction that qualifies."""
        return instruction.length


class DataFault(ABC):
    """A class of faults in data, which no instruction has to qualify for."""

    name: ClassVar[str]
    summary: ClassVar[str]

    @abstractmethod
    def flip(self, dice: Dice) -> BitFlip:
        """Draw a fault."""


AnyFaultClass = FaultClass | DataFault


@functools.lru_cache(maxsize=1024)
def sites(fault_class: FaultClass, text: Text) -> tuple[Instruction, ...]:
    """Return the instructions of a text that qualify for a class, by offset; found once for each text."""
    return tuple(
        each for each in text.instructions if not each.is_padding and fault_class.qualifies(text, each)
    )
