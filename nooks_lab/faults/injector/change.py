"""What is done to an instruction: bytes rewritten in place, or a call led round through a stub."""

import random
from dataclasses import dataclass
from typing import Literal

from nooks_lab.faults.injector.instruction import Field, Instruction

NOP = 0x90


@dataclass(frozen=True)
class Rewrite:
    """New bytes in an instruction's place, never more of them.

    They are computed from what stands in memory: a byte is kept where ``keep`` has ones, and then the bits of
    ``flip`` are inverted.  So a bit can be flipped in a field that the loader has relocated, whatever it holds there.

    Attributes
    ----------
    keep, flip : bytes
        As long as what is changed.
    """

    keep: bytes
    flip: bytes

    def applied(self, before: bytes) -> bytes:
        """Return the bytes that replace ``before``."""
        return bytes(old & keep ^ flip for old, keep, flip in zip(before, self.keep, self.flip, strict=True))


@dataclass(frozen=True)
class Detour:
    """A call that goes through a stub; see :mod:`nooks_lab.faults.injector.stub`.

    Attributes
    ----------
    argument : int
        For an overrun: which argument is the length, counted from 0.
    amount : int
        For an overrun: bytes added to it.
    release : str
        For a premature free: the function that frees what the call has returned.
    """

    argument: int = 0
    amount: int = 0
    release: str = ""


@dataclass(frozen=True)
class BitFlip:
    """A bit of data that flips while the extension runs; see :mod:`nooks_lab.faults.injector.strike`.

    Attributes
    ----------
    where : str
    moment : float
        When, as a part (0 to 1) of the time in which flips may strike.
    choice : int
        A number drawn from the seed, that selects the word or the byte among those that there are then.
    bit : int
        Which bit of a byte.
    """

    where: Literal["stack", "heap"]
    moment: float
    choice: int
    bit: int


Change = Rewrite | Detour | BitFlip

Dice = random.Random


def removed(length: int) -> Rewrite:
    """Return NOPs in place of ``length`` bytes."""
    return replaced(b"", length)


def replaced(code: bytes, length: int) -> Rewrite:
    """Return ``code`` in place of ``length`` bytes, filled up with NOPs."""
    if len(code) > length:
        raise ValueError(f"{len(code)} bytes of code do not fit in the place of {length}")
    return Rewrite(bytes(length), code.ljust(length, bytes((NOP,))))


def bit_flipped(instruction: Instruction, at: int, bit: int) -> Rewrite:
    """Return one bit of an instruction inverted."""
    flip = bytearray(instruction.length)
    flip[at] = 1 << bit
    return Rewrite(b"\xff" * instruction.length, bytes(flip))


def other_register(instruction: Instruction, field: Field, dice: Dice) -> Rewrite:
    """Return another register in a field of an instruction, one that leaves its length as it is."""
    old = instruction.code[field.at] >> field.shift & 7
    new = dice.choice([each for each in range(8) if each != old and each not in field.never])
    flip = bytearray(instruction.length)
    flip[field.at] = (old ^ new) << field.shift
    return Rewrite(b"\xff" * instruction.length, bytes(flip))


def any_bit(instruction: Instruction, at: int, size: int, dice: Dice) -> Rewrite:
    """Return one random bit inverted in a field of ``size`` bytes."""
    bit = dice.randrange(8 * size)
    return bit_flipped(instruction, at + bit // 8, bit % 8)


def other_slot(instruction: Instruction) -> Rewrite:
    """Return the displacement of a word in a stack frame changed to the next word's, or to the one before."""
    at, size = instruction.displacement
    old = int.from_bytes(instruction.code[at : at + size], "little", signed=True)
    new = old + 4 if old + 4 < 1 << 8 * size - 1 else old - 4
    flip = bytearray(instruction.length)
    mask = (1 << 8 * size) - 1
    flip[at : at + size] = ((old ^ new) & mask).to_bytes(size, "little")
    return Rewrite(b"\xff" * instruction.length, bytes(flip))
