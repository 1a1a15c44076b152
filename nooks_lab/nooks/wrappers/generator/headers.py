"""What the kernel's headers promise to extensions, and what extensions promise to the kernel in structs."""

import difflib
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nooks_lab.extensions import DEFINES
from nooks_lab.nooks.wrappers.declare import EXTENSION_WRAPPERS, spell_prototype
from nooks_lab.toolchain import compiler
from nooks_lab.toolchain.header_layouts import read_header_layouts
from nooks_lab.toolchain.layouts import FunctionType
from nooks_lab.toolchain.prototypes import read_prototypes

_LISTED = 4
"""More headers than these are not listed in a message."""


class GeneratorError(ValueError):
    """Something that no wrapper can be generated for; one sentence that names it."""


@dataclass(frozen=True)
class KernelFunction:
    """A function that a header declares.

    Attributes
    ----------
    prototype : str
        The C declaration, in the compiler's spelling.
    header : str
        As one would include it.
    written : tuple of str
        The types of its parameters as the header has them, with qualifiers.
    """

    name: str
    prototype: str
    header: str
    line: int
    type: FunctionType
    written: tuple[str, ...]

    @property
    def pointers(self) -> list[str]:
        """The names of its parameters that are pointers."""
        return [name for name, ctype in self.type.params if ctype.kind == "pointer"]


@dataclass(frozen=True)
class FunctionPointer:
    """A member of a struct that points to a function; ``prototype`` is its C type."""

    struct: str
    member: str
    prototype: str
    type: FunctionType

    @property
    def kind(self) -> str:
        """Its name as extension wrappers are declared for it."""
        return f"{self.struct}.{self.member}"


def all_headers() -> list[str]:
    """Return the kernel's headers for extensions, as one would include them."""
    folder = compiler.headers_dir()
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.h"))


def wrapped_structs() -> list[str]:
    """Return the structs that have extension wrappers; the modules that declare these must be imported."""
    return sorted({kind.partition(".")[0] for kind in EXTENSION_WRAPPERS})


def kernel_functions(headers: Sequence[str], include: Sequence[Path] = ()) -> list[KernelFunction]:
    """Return the functions that stand in some headers, not in those that these include, in the text's order.

    Parameters
    ----------
    headers : sequence of str
        As one would include them (``linux/slab.h``).
    include : sequence of Path
        Folders of headers, before the kernel's.

    Raises
    ------
    GeneratorError
        When there is no such header.
    CompileError
        When one does not compile.
    """
    folders = (*include, compiler.headers_dir())
    named = _find(headers, folders)
    return [
        KernelFunction(
            each.name, spell_prototype(each.name, each.type), each.header, each.line, each.type, each.written
        )
        for each in read_prototypes(named, folders, DEFINES).values()
        if each.header in named
    ]


def function_pointers(
    struct: str, headers: Sequence[str], include: Sequence[Path] = ()
) -> list[FunctionPointer]:
    """Return the members of a struct that are function pointers; parameters as of :func:`kernel_functions`.

    Raises
    ------
    GeneratorError
        When there is no such header, the headers have no such struct, or it has no function pointers.
    CompileError
        When a header does not compile.
    """
    folders = (*include, compiler.headers_dir())
    named = _find(headers, folders)
    structs = read_header_layouts(named, folders, DEFINES).structs
    if struct not in structs or "." in struct:
        where = " ".join(named) if len(named) <= _LISTED else f"these {len(named)} headers"
        raise GeneratorError(f"there is no struct {struct!r} in {where}{_perhaps(struct, list(structs))}")
    found = []
    for member in structs[struct].fields.values():
        target = member.type.target
        if target is not None and target.function is not None:
            found.append(FunctionPointer(struct, member.name, member.type.name, target.function))
    if not found:
        raise GeneratorError(f"struct {struct} has no members that are function pointers")
    return found


def _find(headers: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """Return the headers, each once and by its shortest name."""
    named = list(dict.fromkeys(posixpath.normpath(header) for header in headers))
    for header in named:
        if Path(header).is_absolute() or not any(Path(folder, header).is_file() for folder in folders):
            own = Path(header).is_file()
            hint = "; give its folder with --include" if own else _perhaps(header, all_headers())
            raise GeneratorError(f"there is no header {header!r} to include{hint}")
    return named


def _perhaps(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; perhaps you mean {near[0]}" if near else ""
