"""One declaration per kernel function, its C prototype; Python code gets its arguments from it."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from nooks_lab.machine.linear import LinearMemory
from nooks_lab.toolchain.layouts import CType, FunctionType

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_CYCLES = 120
"""What a short kernel function costs on a Pentium 4, where nothing better is known."""


@dataclass(frozen=True)
class Export:
    """Marks a method that implements an exported kernel function."""

    name: str
    cycles: int
    sleeps: bool = False


def export(
    cycles: int = DEFAULT_CYCLES, name: str | None = None, *, sleeps: bool = False
) -> Callable[[F], F]:
    """Declare that a method is the kernel function of its name; the parameters are those of the prototype.

    Parameters
    ----------
    cycles : int
        Cycles that its own work takes, beside calls, TLB misses and device accesses, which count themselves.
    name : str, optional
        The C name where Python's differs.
    sleeps : bool
        It may give up the CPU, so that it needs a process to call it.
    """

    def mark(function: F) -> F:
        function.__dict__["__export__"] = Export(name or function.__name__, cycles, sleeps)
        return function

    return mark


def exports_of(part: object) -> dict[str, tuple[Callable[..., Any], Export]]:
    """Return the exported functions of a part of the kernel, by name."""
    found = {}
    for attribute in dir(type(part)):
        mark = getattr(type(part), attribute, None)
        declared = getattr(mark, "__export__", None)
        if isinstance(declared, Export):
            found[declared.name] = (getattr(part, attribute), declared)
    return found


class VaList:
    """The variable arguments of a call, read from the guest's stack one by one."""

    def __init__(self, memory: LinearMemory, address: int) -> None:
        self._memory = memory
        self.address = address

    def word(self) -> int:
        """Return the next 32-bit argument."""
        value = self._memory.u32(self.address)
        self.address += 4
        return value


class Signature:
    """How a call's arguments lie on the stack (System V ABI, i386: four-byte slots, first lowest)."""

    def __init__(self, function: FunctionType) -> None:
        self.type = function
        self._struct = struct.Struct("<" + "".join(_slot(ctype) for _, ctype in function.params))
        self.size = self._struct.size
        self.variadic = function.variadic
        self.returns_value = function.result.kind != "void"
        self.returns_64_bits = function.result.size == 8
        self.signed_result = function.result.kind == "int"

    def arguments(self, memory: LinearMemory, address: int) -> tuple[Any, ...]:
        """Decode the arguments that start at ``address``; a variadic function gets a :class:`VaList` last."""
        values = self._struct.unpack(memory.read(address, self.size)) if self.size else ()
        if self.variadic:
            return (*values, VaList(memory, address + self.size))
        return values

    def convert(self, words: tuple[int, ...]) -> tuple[Any, ...]:
        """Return the arguments of a call whose stack slots would hold these words (no 64-bit parameters)."""
        return self._struct.unpack(struct.pack(f"<{len(words)}I", *(word & 0xFFFFFFFF for word in words)))


def _slot(ctype: CType) -> str:
    if ctype.size == 8:
        return "q" if ctype.kind == "int" else "Q"
    code = {1: "b", 2: "h", 4: "i"}[ctype.size if ctype.size in (1, 2, 4) else 4]
    if ctype.kind != "int":
        code = code.upper()
    return code + "x" * (4 - (ctype.size if ctype.size in (1, 2) else 4))
