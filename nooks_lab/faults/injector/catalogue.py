"""All classes of faults by name: the paper's eight, then those that only the released injector has."""

from types import MappingProxyType

from nooks_lab.faults.injector.classes.allocation_failure import AllocationFailure
from nooks_lab.faults.injector.classes.branch import Branch
from nooks_lab.faults.injector.classes.copy_overrun import CopyOverrun
from nooks_lab.faults.injector.classes.destination import Destination
from nooks_lab.faults.injector.classes.endless_loop import EndlessLoop
from nooks_lab.faults.injector.classes.heap_flip import HeapFlip
from nooks_lab.faults.injector.classes.interface import Interface
from nooks_lab.faults.injector.classes.interrupt_state import InterruptState
from nooks_lab.faults.injector.classes.leak import Leak
from nooks_lab.faults.injector.classes.loop import Loop
from nooks_lab.faults.injector.classes.nop import Nop
from nooks_lab.faults.injector.classes.pointer import Pointer
from nooks_lab.faults.injector.classes.premature_free import PrematureFree
from nooks_lab.faults.injector.classes.source import Source
from nooks_lab.faults.injector.classes.stack_flip import StackFlip
from nooks_lab.faults.injector.classes.text import TextBit
from nooks_lab.faults.injector.classes.uninitialised_local import UninitialisedLocal
from nooks_lab.faults.injector.fault_class import AnyFaultClass

_PAPER: tuple[AnyFaultClass, ...] = (
    Source(),
    Destination(),
    Pointer(),
    Interface(),
    Branch(),
    Loop(),
    TextBit(),
    Nop(),
)

_RELEASED: tuple[AnyFaultClass, ...] = (
    UninitialisedLocal(),
    CopyOverrun(),
    AllocationFailure(),
    PrematureFree(),
    Leak(),
    StackFlip(),
    HeapFlip(),
    InterruptState(),
    EndlessLoop(),
)

CLASSES: MappingProxyType[str, AnyFaultClass] = MappingProxyType(
    {each.name: each for each in (*_PAPER, *_RELEASED)}
)
"""Every class of faults, by name."""

PAPER_CLASSES = tuple(each.name for each in _PAPER)
"""The eight that the paper's experiment draws from."""


class UnknownFaultClass(LookupError):  # noqa: N818 - the sentence is for the user
    """No class of faults of that name; the message lists those there are."""


def fault_class(name: str) -> AnyFaultClass:
    """Return a class of faults.

    Raises
    ------
    UnknownFaultClass
        When there is none of that name.
    """
    if name not in CLASSES:
        raise UnknownFaultClass(f"unknown fault class {name!r}; there are: {', '.join(CLASSES)}")
    return CLASSES[name]
