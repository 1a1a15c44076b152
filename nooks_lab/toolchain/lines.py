"""From a place in an object's code to the line of C that it comes from: the DWARF line table."""

import bisect
import functools
import struct
from io import BytesIO
from typing import Any, NamedTuple

from elftools.elf.elffile import ELFFile

from nooks_lab.toolchain.dwarf import reading_dwarf
from nooks_lab.toolchain.elf import ObjectFile

_R_386_32 = 1
_WORD = struct.Struct("<I")


class Line(NamedTuple):
    """From offset in a section on, up to the next row, the code comes from this line of this file."""

    section: int
    offset: int
    file: str
    line: int


@functools.lru_cache(maxsize=64)
def line_table(obj: ObjectFile) -> list[Line]:
    """The object's line table in order of section and offset; empty without debug information.

    Files are named as they were included ('e1000.c', 'linux/skbuff.h'). Raises ElfError if it is damaged.
    """
    bases = _spread(obj)
    starts = list(bases.values())
    sections = list(bases)
    rows: list[Line] = []
    with reading_dwarf(_moved(obj, bases), obj.name) as dwarf:
        for unit in dwarf.iter_CUs() if dwarf else ():
            program = dwarf.line_program_for_CU(unit)
            files = _files(program)
            for entry in program.get_entries():
                state = entry.state
                # Line 0 marks code that no line has made; the line before it goes on.
                if state is None or state.end_sequence or state.line == 0:
                    continue
                place = bisect.bisect_right(starts, state.address) - 1
                if place >= 0:
                    offset = state.address - starts[place]
                    rows.append(Line(sections[place], offset, files[state.file - 1], state.line))
    # Where two rows stand at one address, the later one of the table holds.
    return sorted({(row.section, row.offset): row for row in rows}.values())


def locate(obj: ObjectFile, section: int, offset: int) -> str | None:
    """The line of a place in a loaded section, as 'e1000.c:123'; None if none is known.

    section: its index; offset: in bytes. Raises ElfError if the debug information is damaged.
    """
    if not (0 <= section < len(obj.sections) and 0 <= offset < obj.sections[section].size):
        return None
    table = line_table(obj)
    place = bisect.bisect_right(table, (section, offset), key=lambda row: (row.section, row.offset)) - 1
    if place < 0 or table[place].section != section:
        return None
    return f"{table[place].file}:{table[place].line}"


def _spread(obj: ObjectFile) -> dict[int, int]:
    """An address of its own for each loaded section: in the object each of them starts at 0."""
    bases = {}
    free = 0x1000
    for section in obj.sections:
        if section.alloc:
            bases[section.index] = free
            free += section.size + 1
    return bases


def _moved(obj: ObjectFile, bases: dict[int, int]) -> bytes:
    """The object's bytes, with the code's addresses in the line table relocated to those."""
    moved = bytearray(obj.data)
    elf = ELFFile(BytesIO(obj.data))
    lines = elf.get_section_by_name(".debug_line")
    for table in elf.iter_sections("SHT_REL"):
        if lines is None or elf.get_section(table["sh_info"])["sh_offset"] != lines["sh_offset"]:
            continue
        for relocation in table.iter_relocations():
            if relocation["r_info_type"] != _R_386_32:
                continue
            symbol = obj.symbols[relocation["r_info_sym"]]
            if symbol.section in bases:
                place = lines["sh_offset"] + relocation["r_offset"]
                address = _WORD.unpack_from(moved, place)[0] + bases[symbol.section] + symbol.value
                _WORD.pack_into(moved, place, address & 0xFFFFFFFF)
    return bytes(moved)


def _files(program: Any) -> list[str]:
    """The names in a line program's file table (DWARF 4, section 6.2.4), with their folders."""
    folders = [b"", *program["include_directory"]]
    names = []
    for entry in program["file_entry"]:
        folder = folders[entry.dir_index].decode()
        names.append(f"{folder}/{entry.name.decode()}" if folder else entry.name.decode())
    return names
