"""The extensions: their C sources, and the kernel's headers that they are written against."""

from pathlib import Path

from nooks_lab.toolchain import compiler, elf
from nooks_lab.toolchain.elf import ObjectFile

_HERE = Path(__file__).parent
DEFINES = ("__KERNEL__", "MODULE")

CLASSES = {
    "e1000": "network",
    "pcnet32": "network",
    "3c59x": "network",
    "3c90x": "network",
    "sb": "sound",
    "es1371": "sound",
    "vfat": "filesystem",
    "khttpd": "service",
}
"""The paper's class of each extension (table 3)."""


class UnknownExtension(LookupError):  # noqa: N818 - the sentence is for the user
    """No extension of that name; the message lists those there are."""


def names() -> list[str]:
    """Return the names of all extensions."""
    return sorted(path.parent.name for path in _HERE.glob("*/*.c") if path.stem == path.parent.name)


def source(name: str) -> Path:
    """Return an extension's C file.

    Raises
    ------
    UnknownExtension
        When there is none of that name.
    """
    if name not in names():
        raise UnknownExtension(f"unknown extension {name!r}; there are: {', '.join(names())}")
    return _HERE / name / f"{name}.c"


def build(path: Path | str, text: str | None = None, include: tuple[Path, ...] = ()) -> ObjectFile:
    """Compile a C file (or ``text``, named by ``path``) as an extension.

    Parameters
    ----------
    include : tuple of Path
        Folders for headers, before the kernel's; a text has no folder of its own.

    Raises
    ------
    CompileError
        When it does not compile.
    """
    compiled = compiler.compile_c(
        path, include=(*include, compiler.headers_dir()), defines=DEFINES, text=text
    )
    return elf.read_object(compiled.data, Path(path).with_suffix(".o").name)


def extension(name: str) -> ObjectFile:
    """Compile one of the extensions; see :func:`build`."""
    return build(source(name))
