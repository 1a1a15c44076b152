"""i386 relocatable ELF objects (System V ABI, Intel386 supplement), read by pyelftools and checked first."""

import hashlib
import struct
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from elftools.elf.elffile import ELFFile

_HEADER = struct.Struct("<16sHHIIIIIHHHHHH")
_SECTION = struct.Struct("<10I")
_SYMBOL = struct.Struct("<IIIBBH")
_RELOCATION = struct.Struct("<II")

_ET_REL, _EM_386 = 1, 3
_SHT_NULL, _SHT_SYMTAB, _SHT_STRTAB, _SHT_NOBITS, _SHT_REL = 0, 2, 3, 8, 9
# PROGBITS, NOTE, INIT_ARRAY, FINI_ARRAY and LLVM_ADDRSIG are plain bytes for a loader.
_PLAIN_TYPES = {1, 7, 14, 15, 0x6FFF4C03}
_SHF_WRITE, _SHF_ALLOC, _SHF_EXECINSTR, _SHF_TLS, _SHF_COMPRESSED = 0x1, 0x2, 0x4, 0x400, 0x800
_SHN_UNDEF, _SHN_LORESERVE, _SHN_ABS, _SHN_COMMON = 0, 0xFF00, 0xFFF1, 0xFFF2
_BINDINGS = {0: "LOCAL", 1: "GLOBAL", 2: "WEAK"}
_KINDS = {0: "NOTYPE", 1: "OBJECT", 2: "FUNC", 3: "SECTION", 4: "FILE"}
_R_386_NONE = 0
_RELOCATIONS = {1: "R_386_32", 2: "R_386_PC32", 4: "R_386_PLT32"}
_PAGE = 4096


class ElfError(ValueError):
    """An object file that is not what the loader can use; one sentence that names the file."""


@dataclass(frozen=True)
class Section:
    """A section. data is empty when nobits (.bss); size and align are in bytes."""

    index: int
    name: str
    size: int
    align: int
    alloc: bool
    write: bool
    exec: bool
    nobits: bool
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Symbol:
    """A symbol.

    section: index of the section that holds it, None if undefined, common or absolute.
    value: offset in that section; the alignment if common; the value itself if absolute.
    binding: 'LOCAL', 'GLOBAL' or 'WEAK'; kind: 'FUNC', 'OBJECT', 'SECTION', 'NOTYPE' or 'FILE'.
    """

    name: str
    section: int | None
    value: int
    size: int
    binding: str
    kind: str
    common: bool = False
    absolute: bool = False


@dataclass(frozen=True)
class Relocation:
    """A place to patch: four bytes at offset in section; the addend is what they hold now (REL).

    kind: 'R_386_32', 'R_386_PC32' or 'R_386_PLT32'; symbol: index in the object's symbols.
    """

    section: int
    offset: int
    kind: str
    symbol: int


@dataclass(frozen=True)
class ObjectFile:
    """A relocatable object; sections and symbols stand at their ELF index, the first of each is the null one.

    relocations: those of sections that are loaded (ALLOC), in file order.
    """

    name: str
    data: bytes = field(repr=False, compare=False)
    sha256: str
    sections: tuple[Section, ...] = field(repr=False, compare=False)
    symbols: tuple[Symbol, ...] = field(repr=False, compare=False)
    relocations: tuple[Relocation, ...] = field(repr=False, compare=False)

    def undefined(self) -> list[str]:
        """Names of the symbols that someone else must supply, in file order."""
        return [
            symbol.name
            for symbol in self.symbols[1:]
            if symbol.section is None and not symbol.common and not symbol.absolute
        ]

    def defined(self) -> dict[str, Symbol]:
        """The symbols that others can link to (global, weak and common ones), by name."""
        return {
            symbol.name: symbol
            for symbol in self.symbols[1:]
            if symbol.binding != "LOCAL" and (symbol.section is not None or symbol.common or symbol.absolute)
        }

    def section_named(self, name: str) -> Section | None:
        """The first section of that name."""
        return next((section for section in self.sections if section.name == name), None)


def read_object(data: bytes, name: str) -> ObjectFile:
    """Read an i386 relocatable object.

    data: the whole file; name: how to call it in messages.
    Raises ElfError on any malformed or unsupported file.
    """
    _Checker(data, name).check()
    elf = ELFFile(BytesIO(data))
    sections: list[Section] = []
    symbols: tuple[Symbol, ...] = ()
    relocations: list[Relocation] = []
    for index, section in enumerate(elf.iter_sections()):
        flags, kind = section["sh_flags"], section["sh_type"]
        nobits = kind in ("SHT_NOBITS", "SHT_NULL")
        sections.append(
            Section(
                index=index,
                name=section.name,
                size=section["sh_size"],
                align=max(1, section["sh_addralign"]),
                alloc=bool(flags & _SHF_ALLOC),
                write=bool(flags & _SHF_WRITE),
                exec=bool(flags & _SHF_EXECINSTR),
                nobits=nobits,
                data=b"" if nobits else section.data(),
            )
        )
        if kind == "SHT_SYMTAB":
            symbols = tuple(_symbol(entry) for entry in section.iter_symbols())
        elif kind == "SHT_REL" and elf.get_section(section["sh_info"])["sh_flags"] & _SHF_ALLOC:
            target = section["sh_info"]
            for entry in section.iter_relocations():
                if entry["r_info_type"] != _R_386_NONE:
                    how = _RELOCATIONS[entry["r_info_type"]]
                    relocations.append(Relocation(target, entry["r_offset"], how, entry["r_info_sym"]))
    return ObjectFile(
        name=name,
        data=data,
        sha256=hashlib.sha256(data).hexdigest(),
        sections=tuple(sections),
        symbols=symbols,
        relocations=tuple(relocations),
    )


def _symbol(entry: Any) -> Symbol:
    place = entry["st_shndx"]
    return Symbol(
        name=entry.name,
        section=place if isinstance(place, int) else None,
        value=entry["st_value"],
        size=entry["st_size"],
        binding=entry["st_info"]["bind"].removeprefix("STB_"),
        kind=entry["st_info"]["type"].removeprefix("STT_"),
        common=place == "SHN_COMMON",
        absolute=place == "SHN_ABS",
    )


@dataclass(frozen=True)
class _Header:
    """A row of the section table, by the names of the ABI."""

    sh_name: int
    sh_type: int
    sh_flags: int
    sh_addr: int
    sh_offset: int
    sh_size: int
    sh_link: int
    sh_info: int
    sh_addralign: int
    sh_entsize: int


class _Checker:
    """Proves that a file has a shape that pyelftools can read: it raises almost anything on others."""

    def __init__(self, data: bytes, name: str) -> None:
        self.data = data
        self.name = name
        self.table: list[_Header] = []

    def check(self) -> None:
        names = self._check_file_header()
        for index in range(len(self.table)):
            self._check_section(index)
        if names >= len(self.table) or self.table[names].sh_type != _SHT_STRTAB:
            raise self._error("its section names are in no string table")
        for index, header in enumerate(self.table):
            self._check_string(names, header.sh_name, f"the name of section {index}")
        symbol_tables = [index for index, header in enumerate(self.table) if header.sh_type == _SHT_SYMTAB]
        if len(symbol_tables) > 1:
            raise self._error("it has more than one symbol table")
        for index in symbol_tables:
            self._check_symbols(index)
        for index, header in enumerate(self.table):
            if header.sh_type == _SHT_REL:
                self._check_relocations(index)

    def _error(self, reason: str) -> ElfError:
        return ElfError(f"{self.name}: {reason}.")

    def _check_file_header(self) -> int:
        """Fills the section table in; returns the index of the section that holds the sections' names."""
        data = self.data
        if data[:4] != b"\x7fELF":
            raise self._error("it is not an ELF file")
        if len(data) < _HEADER.size:
            raise self._error("it is cut off within the ELF header")
        ident, kind, machine, version, *_ = fields = _HEADER.unpack_from(data)
        offset, (entry_size, count, names) = fields[6], fields[11:]
        if ident[4] != 1 or ident[5] != 1:
            raise self._error("it is not a 32-bit little-endian ELF file")
        if machine != _EM_386:
            raise self._error(f"it is for ELF machine {machine}, not for the i386 ({_EM_386})")
        if kind != _ET_REL:
            raise self._error(f"it is not a relocatable object (ELF type {kind} instead of {_ET_REL})")
        if version != 1 or ident[6] != 1:
            raise self._error(f"it has the unknown ELF version {version}")
        if count == 0 or offset == 0:
            raise self._error("it has no section table")
        if entry_size != _SECTION.size:
            raise self._error(f"its section table's entries have {entry_size} bytes, not {_SECTION.size}")
        if offset + count * entry_size > len(data):
            raise self._error("it is cut off: the section table lies outside of the file")
        self.table = [_Header(*_SECTION.unpack_from(data, offset + i * entry_size)) for i in range(count)]
        if self.table[0].sh_type != _SHT_NULL:
            raise self._error("its section 0 is not the null section")
        return int(names)

    def _check_section(self, index: int) -> None:
        header = self.table[index]
        what = f"section {index}"
        if header.sh_type not in _PLAIN_TYPES | {_SHT_NULL, _SHT_SYMTAB, _SHT_STRTAB, _SHT_NOBITS, _SHT_REL}:
            raise self._error(f"{what} has the unsupported type {header.sh_type:#x}")
        if header.sh_type == _SHT_NULL:
            if index or header.sh_flags or header.sh_size:
                raise self._error(f"{what} is a null section with contents")
            return
        if header.sh_flags & (_SHF_TLS | _SHF_COMPRESSED):
            raise self._error(f"{what} is thread-local or compressed, which is not supported")
        if header.sh_addralign & (header.sh_addralign - 1) or header.sh_addralign > _PAGE:
            raise self._error(
                f"{what} has the alignment {header.sh_addralign}, no power of two up to {_PAGE}"
            )
        if header.sh_type != _SHT_NOBITS and header.sh_offset + header.sh_size > len(self.data):
            raise self._error(f"it is cut off: {what} lies outside of the file")

    def _string(self, table: int, offset: int, what: str) -> bytes:
        strings = self.table[table]
        end = strings.sh_offset + strings.sh_size
        start = strings.sh_offset + offset
        stop = self.data.find(b"\0", start, end) if start < end else -1
        if stop < 0:
            raise self._error(f"{what} does not lie in its string table")
        return self.data[start:stop]

    def _check_string(self, table: int, offset: int, what: str) -> str:
        try:
            return self._string(table, offset, what).decode()
        except UnicodeDecodeError as problem:
            raise self._error(f"{what} is not text") from problem

    def _rows(self, index: int, row: struct.Struct, what: str) -> list[tuple[int, ...]]:
        header = self.table[index]
        if header.sh_entsize != row.size or header.sh_size % row.size:
            raise self._error(f"section {index} is no table of {what}s: its entries are not {row.size} bytes")
        return list(row.iter_unpack(self.data[header.sh_offset : header.sh_offset + header.sh_size]))

    def _check_symbols(self, index: int) -> None:
        strings = self.table[index].sh_link
        if strings >= len(self.table) or self.table[strings].sh_type != _SHT_STRTAB:
            raise self._error("its symbol names are in no string table")
        rows = self._rows(index, _SYMBOL, "symbol")
        if not rows or any(rows[0]):
            raise self._error("its symbol 0 is not the null symbol")
        exported: set[str] = set()
        for number, (name, value, size, info, _, place) in enumerate(rows[1:], start=1):
            text = self._check_string(strings, name, f"the name of symbol {number}")
            what = f"symbol {number} ({text or 'without a name'})"
            binding, kind = info >> 4, info & 15
            if binding not in _BINDINGS or kind not in _KINDS:
                raise self._error(f"{what} has the unsupported binding {binding} or type {kind}")
            if place in (_SHN_UNDEF, _SHN_ABS):
                pass
            elif place == _SHN_COMMON:
                if value == 0 or value & (value - 1) or value > _PAGE:
                    raise self._error(f"{what} is common with the alignment {value}")
            elif place >= _SHN_LORESERVE or place >= len(self.table):
                raise self._error(f"{what} is in section {place}, which does not exist")
            elif value + size > self.table[place].sh_size:
                raise self._error(f"{what} reaches outside of section {place}")
            if _BINDINGS[binding] == "LOCAL":
                continue
            if not text:
                raise self._error(f"{what} can be linked to, but has no name")
            if place != _SHN_UNDEF and text in exported:
                raise self._error(f"it defines {text} twice")
            if place != _SHN_UNDEF:
                exported.add(text)

    def _check_relocations(self, index: int) -> None:
        header = self.table[index]
        if header.sh_link >= len(self.table) or self.table[header.sh_link].sh_type != _SHT_SYMTAB:
            raise self._error(f"section {index} relocates by no symbol table")
        if not 0 < header.sh_info < len(self.table):
            raise self._error(f"section {index} relocates section {header.sh_info}, which does not exist")
        target = self.table[header.sh_info]
        if target.sh_type not in _PLAIN_TYPES:
            raise self._error(f"section {index} relocates section {header.sh_info}, which has no contents")
        symbols = self.table[header.sh_link].sh_size // _SYMBOL.size
        for offset, info in self._rows(index, _RELOCATION, "relocation"):
            kind, symbol = info & 0xFF, info >> 8
            what = f"the relocation at offset {offset:#x} of section {header.sh_info}"
            if kind == _R_386_NONE:
                continue
            if kind not in _RELOCATIONS:
                raise self._error(f"{what} has the unsupported type {kind}")
            if offset + 4 > target.sh_size:
                raise self._error(f"{what} lies outside of that section")
            if symbol >= symbols:
                raise self._error(f"{what} names symbol {symbol}, which does not exist")
            if symbol == 0 and target.sh_flags & _SHF_ALLOC:
                raise self._error(f"{what} names no symbol")
