"""Choosing faults: a pure function of an extension's unrelocated text and of a seed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from nooks_lab.faults.injector.catalogue import PAPER_CLASSES, fault_class
from nooks_lab.faults.injector.change import BitFlip, Change, Dice
from nooks_lab.faults.injector.fault_class import AnyFaultClass, DataFault, sites
from nooks_lab.faults.injector.placement import PLACEMENTS, Placement, as_released, uniform
from nooks_lab.faults.injector.text import Text, text_of
from nooks_lab.kernel.module import Module

_ATTEMPTS = 50
"""How often a fault is drawn anew that overlaps another one of its trial."""


class NothingQualifies(LookupError):  # noqa: N818 - the sentence is for the user
    """None of an extension's instructions qualifies for any of the classes asked for."""


@dataclass(frozen=True)
class PlannedFault:
    """A fault that has been chosen, and means the same wherever the extension is loaded.

    Attributes
    ----------
    kind : str
        The name of its class.
    offset, length : int
        The bytes that change, from the beginning of the module's memory; 0 and 0 of a bit that flips in data.
    change : Rewrite, Detour or BitFlip
        What happens to them.
    """

    kind: str
    offset: int
    length: int
    change: Change

    def overlaps(self, other: "PlannedFault") -> bool:
        """Tell whether both change the same byte."""
        return self.offset < other.offset + other.length and other.offset < self.offset + self.length


def choose(
    module: Module,
    seed: str,
    count: int = 5,
    classes: tuple[str, ...] = PAPER_CLASSES,
    placement: Placement = "uniform",
) -> tuple[PlannedFault, ...]:
    """Choose the faults of a trial: for each a class, all that have a site alike, and then a site of it.

    The same object, seed and other arguments give the same faults, natively and under Nooks, at any load address.
    No two overlap.

    Parameters
    ----------
    module : Module
    seed : str
    count : int
        How many.  Fewer come out when the searches of ``as-released`` find nothing, and where there is no more room.
    classes : tuple of str
        Their names; empty for the paper's eight.
    placement : str
        ``uniform`` or ``as-released``; see :mod:`nooks_lab.faults.injector.placement`.

    Raises
    ------
    UnknownFaultClass
        When there is no class of one of the names.
    NothingQualifies
        When no instruction qualifies for any of the classes.
    ValueError
        When there is no such placement, or ``count`` is negative.
    """
    if placement not in PLACEMENTS:
        raise ValueError(f"unknown placement {placement!r}; there are: {', '.join(PLACEMENTS)}")
    if count < 0:
        raise ValueError(f"{count} faults cannot be injected")
    text = text_of(module.object)
    possible = _possible(text, tuple(classes) or PAPER_CLASSES)
    if not possible:
        names = ", ".join(classes or PAPER_CLASSES)
        raise NothingQualifies(f"no instruction of {module.name} qualifies for: {names}")
    return tuple(_draw(text, possible, count, placement, random.Random(seed)))


def _possible(text: Text, names: tuple[str, ...]) -> list[AnyFaultClass]:
    """Return the classes that have anything to change."""
    found = [fault_class(name) for name in names]
    return [each for each in found if isinstance(each, DataFault) or sites(each, text)]


def _draw(
    text: Text, possible: list[AnyFaultClass], count: int, placement: Placement, dice: Dice
) -> Iterator[PlannedFault]:
    drawn: list[PlannedFault] = []
    for _ in range(count):
        for _ in range(_ATTEMPTS):
            fault = _one(text, dice.choice(possible), placement, dice)
            if fault is None:
                # A search of the released injector; it is not repeated.
                break
            if isinstance(fault.change, BitFlip) or not any(map(fault.overlaps, drawn)):
                drawn.append(fault)
                yield fault
                break


def _one(text: Text, chosen: AnyFaultClass, placement: Placement, dice: Dice) -> PlannedFault | None:
    if isinstance(chosen, DataFault):
        return PlannedFault(chosen.name, 0, 0, chosen.flip(dice))
    site = (uniform if placement == "uniform" else as_released)(text, chosen, dice)
    return None if site is None else PlannedFault(chosen.name, *site)
