"""Opening an object's debug information (DWARF 4), whatever is in it."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from elftools.common.exceptions import DWARFError, ELFError
from elftools.construct import ConstructError
from elftools.elf.elffile import ELFFile

from nooks_lab.toolchain.elf import ElfError

# What pyelftools raises on debug information that is damaged, since it does not check what it reads.
_DAMAGE = (
    DWARFError,
    ELFError,
    ConstructError,
    struct.error,
    zlib.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)


@contextmanager
def reading_dwarf(data: bytes, name: str) -> Iterator[Any]:
    """Gives pyelftools' DWARFInfo, or None if the object has none.

    data: an object that read_object accepted; name: how to call it in messages.
    Raises ElfError if the debug information turns out to be damaged while it is read.
    """
    try:
        elf = ELFFile(BytesIO(data))
        # With REL the addends stand in place: that of a reference between debug sections is its value.
        yield elf.get_dwarf_info(relocate_dwarf_sections=False) if elf.has_dwarf_info(strict=True) else None
    except ElfError:
        raise
    except _DAMAGE as problem:
        raise ElfError(f"{name}: its debug information is damaged.") from problem


def children_by_offset(unit: Any) -> dict[int, list[Any]]:
    """The entries (DIEs) of a compilation unit: the children of each that may have some, by its offset.

    Walks them in the order of the file, since pyelftools' own walk never ends on a wrong DW_AT_sibling.
    """
    children: dict[int, list[Any]] = {}
    parents: list[int] = []
    offset, end = unit.cu_die_offset, unit.cu_offset + unit.size
    while offset < end:
        die = unit.get_DIE_from_refaddr(offset)
        offset += die.size
        if die.is_null():
            parents.pop()
            continue
        if parents:
            children[parents[-1]].append(die)
        if die.has_children:
            parents.append(die.offset)
            children[die.offset] = []
        if not parents:
            break
    return children
