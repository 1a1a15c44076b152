"""The functions that the kernel's headers promise to extensions, one prototype each."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nooks_lab.toolchain.declarations import find_declarations
from nooks_lab.toolchain.header_layouts import headers_source, read_header_layouts
from nooks_lab.toolchain.layouts import FunctionType
from nooks_lab.toolchain.macros import read_macros

__all__ = ["Prototype", "read_macros", "read_prototypes"]


@dataclass(frozen=True)
class Prototype:
    """A function that a header declares; header as one would include it ('linux/slab.h'), line from 1.

    written: the types of its parameters as the header has them; type has neither qualifiers nor typedefs.
    """

    name: str
    type: FunctionType
    header: str
    line: int
    written: tuple[str, ...]


def read_prototypes(
    headers: Sequence[str], include: Sequence[Path], defines: Sequence[str] = ()
) -> dict[str, Prototype]:
    """The functions that headers declare and leave to others to define, by name, in the order of their text.

    headers: as one would include them; include and defines: see compile_c. Raises CompileError.
    """
    functions = read_header_layouts(headers, include, defines).functions
    return {
        each.name: Prototype(each.name, functions[each.name], each.header, each.line, each.written)
        for each in find_declarations(headers_source(headers, include, defines))
        if each.params is not None
    }
