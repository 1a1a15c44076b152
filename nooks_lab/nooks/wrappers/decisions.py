"""What a person decides about a pointer parameter of a kernel function (paper, section 4.3).

The generator leaves a blank for each pointer; one of these fills it.  The wrapper's entry code checks the argument
accordingly before the body runs, so that a body works only on what is sound.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from nooks_lab.nooks.isolation.domain import BadParameter, Domain
from nooks_lab.nooks.tracking.object_types import TYPES

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks

Arguments = dict[str, Any]

_LARGEST = 1 << 24
"""A longer buffer than all of RAM is no buffer."""


class Decision(Protocol):
    """How one pointer parameter is used."""

    def check(self, nooks: "Nooks", domain: Domain, function: str, value: int, arguments: Arguments) -> Any:
        """Return what the body gets for an argument.

        Raises
        ------
        BadParameter
            When the argument is not what it should be.
        """

    def explain(self) -> str:
        """Return the decision in words, for documentation."""


@dataclass(frozen=True)
class Held:
    """An object that the extension must hold; the body gets the tracked object.

    Attributes
    ----------
    kinds : tuple of str
        The object types that are allowed.
    null : bool
        NULL is allowed, and the body gets None.
    ends : bool
        The extension gives the object away with this call and must not use it again.
    """

    kinds: tuple[str, ...]
    null: bool = False
    ends: bool = False

    def check(self, nooks: "Nooks", domain: Domain, function: str, value: int, arguments: Arguments) -> Any:
        """Look the object up in the tracker."""
        if not value and self.null:
            return None
        for kind in self.kinds:
            found = nooks.tracker.find(domain, kind, value)
            if found is not None:
                return found
        what = self.kinds[0] if len(self.kinds) == 1 else "object"
        raise BadParameter(f"{function}: {value:08x} is no {what} of domain {domain.name}")

    def explain(self) -> str:
        """Return the decision in words."""
        kinds = [TYPES[kind] for kind in self.kinds]
        words = [f"must be held: {' or '.join(kind.name for kind in kinds)}"]
        words += ["or NULL"] if self.null else []
        words += ["its lifetime ends here"] if self.ends else []
        words += ["other threads use it too"] if any(kind.shared for kind in kinds) else []
        return ", ".join(words)


def held(*kinds: str, null: bool = False, ends: bool = False) -> Held:
    """An object that the extension must hold; see :class:`Held`."""
    return Held(kinds, null, ends)


@dataclass(frozen=True)
class Reads:
    """Memory that the kernel reads during the call; anything mapped will do.

    Attributes
    ----------
    size : int or str
        Bytes, ``sizeof`` a struct of that name, or the parameter of that name.
    """

    size: int | str

    def check(self, nooks: "Nooks", domain: Domain, function: str, value: int, arguments: Arguments) -> int:
        """Read it once."""
        size = _size(nooks, self.size, function, arguments)
        if size:
            domain.read(value, size, function)
        return value

    def explain(self) -> str:
        """Return the decision in words."""
        return f"the kernel reads {self.size} bytes during the call"


@dataclass(frozen=True)
class Writes:
    """Memory that the kernel writes during the call; it must be the domain's own.  ``size`` as of ``Reads``."""

    size: int | str

    def check(self, nooks: "Nooks", domain: Domain, function: str, value: int, arguments: Arguments) -> int:
        """Look at the domain's page rights."""
        size = _size(nooks, self.size, function, arguments)
        if size:
            domain.check_writable(value, size, function)
        return value

    def explain(self) -> str:
        """Return the decision in words."""
        return f"the kernel writes {self.size} bytes during the call; the memory must be the domain's"


@dataclass(frozen=True)
class WaitQueue:
    """A wait queue: the extension's own, or that of a socket which it holds."""

    def check(self, nooks: "Nooks", domain: Domain, function: str, value: int, arguments: Arguments) -> int:
        """Look whose it is."""
        types = nooks.kernel.types
        if not domain.may_write(value, types.size("__wait_queue_head")):
            sk = value - types.offset("sock", "sleep_queue")
            if nooks.tracker.find(domain, "sock", sk) is None:
                raise BadParameter(f"{function}: {value:08x} is no wait queue of domain {domain.name}")
        return value

    def explain(self) -> str:
        """Return the decision in words."""
        return "the domain's own wait queue, or that of a socket that it holds"


@dataclass(frozen=True)
class Text:
    """A string that the kernel reads during the call."""

    def check(self, nooks: "Nooks", domain: Domain, function: str, value: int, arguments: Arguments) -> int:
        """Its first byte must be mapped; whoever reads on meets the rest."""
        domain.read(value, 1, function)
        return value

    def explain(self) -> str:
        """Return the decision in words."""
        return "a string that the kernel reads during the call"


@dataclass(frozen=True)
class Callback:
    """A function of the extension's that the kernel will call; it must lie in the text of one of its modules."""

    null: bool = False

    def check(self, nooks: "Nooks", domain: Domain, function: str, value: int, arguments: Arguments) -> int:
        """Look where it points."""
        if not (value or self.null):
            raise BadParameter(f"{function}: a function pointer is NULL")
        if value and not any(
            module.base <= value < module.base + module.size for module in nooks.loaded(domain)
        ):
            raise BadParameter(f"{function}: {value:08x} is no function of domain {domain.name}")
        return value

    def explain(self) -> str:
        """Return the decision in words."""
        return "a function of the extension's; the kernel gets a wrapper's address instead"


@dataclass(frozen=True)
class Cookie:
    """A number that the kernel only hands back, and follows nowhere."""

    def check(self, nooks: "Nooks", domain: Domain, function: str, value: int, arguments: Arguments) -> int:
        """Anything will do."""
        return value

    def explain(self) -> str:
        """Return the decision in words."""
        return "not followed: the kernel hands it back as it is"


@dataclass(frozen=True)
class Body:
    """The body checks this one itself, for a reason."""

    reason: str

    def check(self, nooks: "Nooks", domain: Domain, function: str, value: int, arguments: Arguments) -> int:
        """Leave it to the body."""
        return value

    def explain(self) -> str:
        """Return the decision in words."""
        return f"checked by the body: {self.reason}"


@dataclass(frozen=True)
class Blank:
    """Nobody has decided yet; no wrapper can be declared with it."""

    def check(self, nooks: "Nooks", domain: Domain, function: str, value: int, arguments: Arguments) -> Any:
        """Refuse the argument: without a decision nothing is sound."""
        raise BadParameter(f"{function}: nobody has decided what {value:08x} may be")

    def explain(self) -> str:
        """Return the lack of a decision in words."""
        return "still blank"


BLANK = Blank()
"""What the generator leaves for each pointer."""


def _size(nooks: "Nooks", size: int | str, function: str, arguments: Arguments) -> int:
    if isinstance(size, str):
        size = arguments[size] if size in arguments else nooks.kernel.types.size(size)
    if not 0 <= size <= _LARGEST:
        raise BadParameter(f"{function}: {size} bytes are more than there can be")
    return size
