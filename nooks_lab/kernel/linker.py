"""Placing a relocatable object in memory: sections, symbols, relocations (System V ABI, i386 supplement)."""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from nooks_lab.machine.memory import PAGE_SIZE
from nooks_lab.toolchain.elf import ElfError, ObjectFile, Section


@dataclass(frozen=True)
class Layout:
    """Where each section goes, relative to the base; groups of equal page rights start on their own page."""

    offsets: dict[int, int]
    size: int
    text: tuple[int, int]
    read_only: tuple[int, int]
    data: tuple[int, int]
    commons: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Image:
    """A linked object: its bytes at ``base``, the addresses of all its symbols, and their sizes.

    ``text``, ``read_only`` and ``data`` are half-open ranges of linear addresses.
    """

    base: int
    data: bytes
    symbols: dict[str, int]
    sizes: dict[str, int]
    exported: dict[str, int]
    sections: dict[int, int]
    text: tuple[int, int]
    read_only: tuple[int, int]
    writable: tuple[int, int]


def lay_out(obj: ObjectFile, limit: int = 4 << 20, room: int = 0) -> Layout:
    """Decide each section's offset: text, then read-only data, then data and zeroed data.

    Parameters
    ----------
    room : int
        Bytes at the end of the data that are no section's, for what the loader puts there.

    Raises
    ------
    ElfError
        When the object needs more than ``limit`` bytes, or an alignment over a page.
    """
    loaded = [section for section in obj.sections if section.alloc and section.size]
    groups: list[list[Section]] = [
        [section for section in loaded if section.exec],
        [section for section in loaded if not section.exec and not section.write],
        [section for section in loaded if section.write and not section.exec],
    ]
    groups[2].sort(key=lambda section: section.nobits)
    offsets: dict[int, int] = {}
    commons: dict[int, int] = {}
    ranges = []
    at = 0
    for number, group in enumerate(groups):
        at = -(-at // PAGE_SIZE) * PAGE_SIZE
        start = at
        for section in group:
            at = _aligned(obj, at, section.align)
            offsets[section.index] = at
            at += section.size
            if at > limit:
                raise ElfError(f"{obj.name}: section {section.name} needs more than {limit} bytes of memory")
        if number == 2:
            for index, symbol in enumerate(obj.symbols):
                if symbol.common:
                    at = _aligned(obj, at, symbol.value)
                    commons[index] = at
                    at += symbol.size
                    if at > limit:
                        raise ElfError(f"{obj.name}: {symbol.name} needs more than {limit} bytes of memory")
            at += room
            if at > limit:
                raise ElfError(f"{obj.name}: {room} bytes behind its data need more than {limit} of memory")
        ranges.append((start, at))
    size = -(-at // PAGE_SIZE) * PAGE_SIZE
    return Layout(offsets, size, ranges[0], ranges[1], ranges[2], commons)


def _aligned(obj: ObjectFile, at: int, align: int) -> int:
    align = max(1, align)
    if align & (align - 1) or align > 2 * PAGE_SIZE:
        raise ElfError(f"{obj.name}: alignment {align} is not one the loader can give")
    return -(-at // align) * align


def link(obj: ObjectFile, layout: Layout, base: int, resolve: Callable[[str], int | None]) -> Image:
    """Make the object's bytes for address ``base``.

    Parameters
    ----------
    resolve : callable
        Gives the address of an undefined symbol, or None.

    Raises
    ------
    ElfError
        Naming the first undefined symbol that cannot be resolved.
    """
    addresses = [_symbol_address(obj, layout, base, index, resolve) for index in range(len(obj.symbols))]
    image = bytearray(layout.size)
    for section in obj.sections:
        if section.index in layout.offsets and not section.nobits:
            start = layout.offsets[section.index]
            image[start : start + section.size] = section.data
    for relocation in obj.relocations:
        if relocation.section not in layout.offsets:
            continue
        at = layout.offsets[relocation.section] + relocation.offset
        target = addresses[relocation.symbol]
        if target is None:
            raise ElfError(f"{obj.name}: undefined symbol {obj.symbols[relocation.symbol].name}")
        (addend,) = struct.unpack_from("<I", image, at)
        value = target + addend
        if relocation.kind != "R_386_32":
            value -= base + at
        struct.pack_into("<I", image, at, value & 0xFFFFFFFF)
    symbols: dict[str, int] = {}
    sizes: dict[str, int] = {}
    exported: dict[str, int] = {}
    for symbol, address in zip(obj.symbols, addresses, strict=True):
        if address is None or not symbol.name or (symbol.section is None and not symbol.common):
            continue
        symbols.setdefault(symbol.name, address)
        sizes.setdefault(symbol.name, symbol.size)
        if symbol.binding != "LOCAL":
            exported[symbol.name] = address
            sizes[symbol.name] = symbol.size
    return Image(
        base,
        bytes(image),
        symbols | exported,
        sizes,
        exported,
        {index: base + offset for index, offset in layout.offsets.items()},
        _shifted(layout.text, base),
        _shifted(layout.read_only, base),
        _shifted(layout.data, base),
    )


def _shifted(span: tuple[int, int], base: int) -> tuple[int, int]:
    return span[0] + base, span[1] + base


def _symbol_address(
    obj: ObjectFile, layout: Layout, base: int, index: int, resolve: Callable[[str], int | None]
) -> int | None:
    symbol = obj.symbols[index]
    if symbol.absolute:
        return symbol.value
    if symbol.common:
        return base + layout.commons[index]
    if symbol.section is None:
        return resolve(symbol.name) if symbol.name else 0
    offset = layout.offsets.get(symbol.section)
    return None if offset is None else base + offset + symbol.value
