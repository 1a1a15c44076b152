"""The registry of object types: id, name, lifetime, copy or map, release, validation (paper, section 4.4)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nooks_lab.nooks.isolation.domain import Domain
    from nooks_lab.nooks.manager import Nooks
    from nooks_lab.nooks.tracking.tracker import TrackedObject

Release = Callable[["Nooks", "Domain", "TrackedObject"], None]
"""Gives an object back to the kernel and removes the kernel's references into the extension."""

Validate = Callable[["Nooks", "Domain", "TrackedObject"], Iterator[str]]
"""Says what is wrong with an object, a sentence for each finding."""


class Lifetime(Enum):
    """Until when an extension may use an object (paper, section 4.4: three paradigms)."""

    CALL = "call"
    """Until the XPC returns; kept in a table on the task."""
    EXPLICIT = "explicit"
    """From its allocation to its release by the extension."""
    TIMER = "timer"
    """From ``add_timer`` until it fires or is stopped."""


class Transfer(Enum):
    """How an extension gets at an object."""

    COPY = "copy"
    """It works on a version of its own, which wrappers keep in step."""
    MAP = "map"
    """The pages are granted to it while it uses them."""
    HANDLE = "handle"
    """It passes the address around, and may at most read there."""


@dataclass(frozen=True)
class ObjectType:
    """A kind of kernel object.

    Attributes
    ----------
    number : int
        Its id, as it stands in guest memory.
    struct : str
        The C struct that a pointer to such an object has in the kernel's headers; "" for plain memory.
    dma : bool
        A device can still reach it when its driver has failed, so it is released last.
    shared : bool
        Other tasks and interrupts use it too while the extension has it.
    """

    number: int
    name: str
    lifetime: Lifetime
    transfer: Transfer
    release: Release
    validate: Validate
    struct: str = ""
    dma: bool = False
    shared: bool = False


TYPES: dict[str, ObjectType] = {}
"""Every type by name."""

BY_NUMBER: dict[int, ObjectType] = {}


def register(*types: ObjectType) -> None:
    """Add types to the registry.

    Raises
    ------
    ValueError
        When an id or a name is taken.
    """
    for each in types:
        if each.number in BY_NUMBER or each.name in TYPES:
            raise ValueError(f"object type {each.number} {each.name!r} is registered already")
        TYPES[each.name] = BY_NUMBER[each.number] = each


def nothing_to_release(_nooks: "Nooks", _domain: "Domain", _tracked: "TrackedObject") -> None:
    """To use such an object takes nothing that could be given back."""


def nothing_to_check(_nooks: "Nooks", _domain: "Domain", _tracked: "TrackedObject") -> Iterator[str]:
    """Such an object has no state in the kernel."""
    return iter(())
