"""What the kernel and its users know of a loaded module."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nooks_lab.kernel.linker import Image
from nooks_lab.toolchain.elf import ObjectFile

Parameters = Mapping[str, int | str | Sequence[int]]
"""A module's parameters by name, as on the command line of ``insmod``."""


class ModuleError(ValueError):
    """A module that cannot be loaded or unloaded; one sentence that names it."""


class InitFailed(ModuleError):  # noqa: N818 - an event of the guest
    """A module whose ``init_module`` returned an error; ``error`` is its number, positive."""

    def __init__(self, name: str, error: int) -> None:
        super().__init__(f"module {name}: init_module returned error {error}")
        self.error = error


@dataclass
class Module:
    """A module in memory.

    Attributes
    ----------
    struct : view of struct module
        The kernel's record, in guest memory.
    bindings : dict
        What each undefined symbol was linked to.
    init_result : int or None
        What ``init_module`` returned; None while it has not.
    """

    name: str
    object: ObjectFile
    struct: Any
    base: int
    size: int
    parameters: Parameters
    image: Image | None = None
    bindings: dict[str, int] = field(default_factory=dict)
    init_result: int | None = None

    def holds(self, address: int, size: int = 1) -> bool:
        """Tell whether a range lies in the module's memory."""
        return self.base <= address and address + size <= self.base + self.size


@dataclass(frozen=True)
class ModuleInfo:
    """A line of ``lsmod``.

    Attributes
    ----------
    size : int
        Bytes of memory.
    usecount : int
        What ``MOD_INC_USE_COUNT`` counts.
    users : tuple of str
        The modules that use its symbols, the latest first; they do not count as uses, as in Linux 2.4.
    """

    name: str
    size: int
    usecount: int
    users: tuple[str, ...]


def modinfo(obj: ObjectFile) -> dict[str, str]:
    """Return the ``.modinfo`` strings of a module: ``license``, ``author``, ``parm_X`` ..."""
    section = obj.section_named(".modinfo")
    entries = section.data.split(b"\0") if section else []
    pairs = (entry.decode("latin-1").split("=", 1) for entry in entries if b"=" in entry)
    return {entry[0]: entry[1] for entry in pairs}
