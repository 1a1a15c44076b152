"""An extension's text as instructions: what can be reached is code, and nothing else is.

The text is decoded as the object file has it, before it is linked, so that it is the same natively and under
Nooks, at whatever address.  Decoding follows the control flow from every function of the symbol table, and from
every other place that the object refers to as code: a label that a branch goes to, an address that data or an
instruction's immediate holds (a function without a symbol, a case of a switch).  So a table that lies among the
code is not taken for instructions.
"""

import bisect
import functools
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import capstone

from nooks_lab.faults.injector.instruction import Instruction
from nooks_lab.kernel import linker
from nooks_lab.toolchain.elf import ObjectFile, Relocation

_LONGEST = 15
_PREFIXES = frozenset(bytes.fromhex("f0 f2 f3 2e 36 3e 26 64 65 66 67"))
_ENDS = frozenset(("jmp", "ret", "retf", "iretd", "iret", "ud2", "hlt"))


@dataclass(frozen=True, eq=False)
class Text:
    """The instructions of an extension, by offset.

    Attributes
    ----------
    size : int
        Bytes of executable sections, with what lies between them.
    code : bytes
        All of it, unrelocated.
    instructions : tuple of Instruction
        Every one that can be reached.
    imports : frozenset of str
        The symbols that the object leaves undefined.
    """

    size: int
    code: bytes
    instructions: tuple[Instruction, ...]
    functions: tuple[tuple[int, int, str], ...]
    imports: frozenset[str]
    offsets: tuple[int, ...]
    places: dict[int, tuple[int, int]]

    def at(self, offset: int) -> Instruction | None:
        """Return the instruction that a byte belongs to, or None."""
        place = bisect.bisect_right(self.offsets, offset) - 1
        if place < 0 or offset >= self.instructions[place].end:
            return None
        return self.instructions[place]

    def after(self, instruction: Instruction) -> Instruction | None:
        """Return the instruction that stands behind one, without a gap, or None."""
        return self.at(instruction.end)

    def first_ending_behind(self, offset: int) -> int:
        """Return the index of the first instruction that ends behind an offset; their number when none does."""
        place = bisect.bisect_right(self.offsets, offset) - 1
        return place if place >= 0 and self.instructions[place].end > offset else place + 1

    def function_at(self, offset: int) -> tuple[int, int, str] | None:
        """Return begin, end and name of the function that a byte belongs to, or None."""
        return _function_at(self.functions, offset)

    def section_offset(self, offset: int) -> tuple[int, int]:
        """Return a byte's section and its offset there, as debugging information names it; (0, 0) when none."""
        for index, (start, size) in self.places.items():
            if start <= offset < start + size:
                return index, offset - start
        return 0, 0


@functools.lru_cache(maxsize=64)
def text_of(obj: ObjectFile) -> Text:
    """Decode an object's text; once for each object.

    Raises
    ------
    ElfError
        When the object cannot be laid out.
    """
    return _Decoder(obj).decode()


def _function_at(functions: tuple[tuple[int, int, str], ...], offset: int) -> tuple[int, int, str] | None:
    place = bisect.bisect_right(functions, offset, key=lambda function: function[0]) - 1
    return functions[place] if place >= 0 and offset < functions[place][1] else None


class _Decoder:
    """Follows the control flow through one object."""

    def __init__(self, obj: ObjectFile) -> None:
        self._object = obj
        layout = linker.lay_out(obj)
        self._offsets = layout.offsets
        self._executable = {
            section.index: layout.offsets[section.index]
            for section in obj.sections
            if section.exec and section.index in layout.offsets
        }
        start, end = layout.text
        self._code = bytearray(end - start)
        for index, at in self._executable.items():
            data = obj.sections[index].data
            self._code[at : at + len(data)] = data
        self._relocations = {
            layout.offsets[relocation.section] + relocation.offset: relocation
            for relocation in obj.relocations
            if relocation.section in self._executable
        }
        named = sorted(
            (self._executable[symbol.section] + symbol.value, symbol.size, symbol.name, symbol.kind)
            for symbol in obj.symbols
            if symbol.section in self._executable and symbol.kind in ("FUNC", "OBJECT", "NOTYPE")
        )
        self._functions = tuple((at, at + size, name) for at, size, name, kind in named if kind == "FUNC")
        # A function written in assembler may have no size: it lasts until the next one.
        self._functions = tuple(
            (at, last if last > at else self._next_function(at), name) for at, last, name in self._functions
        )
        self._data = [(at, at + size) for at, size, _, kind in named if kind == "OBJECT" and size]
        self._disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32)
        self._disassembler.detail = True
        self._found: dict[int, Instruction] = {}
        self._covered = bytearray(len(self._code))
        self._queue: list[int] = []

    def _next_function(self, at: int) -> int:
        return next((start for start, _, _ in self._functions if start > at), len(self._code))

    def decode(self) -> Text:
        self._queue = [at for at, _, _ in reversed(self._functions)]
        self._queue += self._addresses_in_data()
        self._follow()
        # What a table among the code points to is code as well; only now is it known what is a table.
        while entries := [at for at in self._tables() if not self._covered[at]]:
            self._queue = entries
            self._follow()
        instructions = tuple(self._found[at] for at in sorted(self._found))
        return Text(
            len(self._code),
            bytes(self._code),
            instructions,
            self._functions,
            frozenset(self._object.undefined()),
            tuple(each.offset for each in instructions),
            {index: (at, self._object.sections[index].size) for index, at in self._executable.items()},
        )

    def _addresses_in_data(self) -> Iterator[int]:
        for relocation in self._object.relocations:
            section = self._object.sections[relocation.section]
            if relocation.section in self._offsets and not section.exec and relocation.kind == "R_386_32":
                (addend,) = struct.unpack_from("<I", section.data, relocation.offset)
                yield from self._code_address(relocation, addend)

    def _tables(self) -> Iterator[int]:
        for at, relocation in self._relocations.items():
            if relocation.kind == "R_386_32" and not self._covered[at]:
                (addend,) = struct.unpack_from("<I", self._code, at)
                yield from self._code_address(relocation, addend)

    def _code_address(self, relocation: Relocation, addend: int) -> Iterator[int]:
        """Yield the place that a relocated word points to, if that is in the text."""
        symbol = self._object.symbols[relocation.symbol]
        if symbol.section in self._executable:
            at = self._executable[symbol.section] + symbol.value + addend & 0xFFFFFFFF
            if at < len(self._code):
                yield at

    def _follow(self) -> None:
        while self._queue:
            at = self._queue.pop()
            while at is not None and self._is_new(at):
                at = self._step(at)

    def _is_new(self, at: int) -> bool:
        return (
            0 <= at < len(self._code)
            and not self._covered[at]
            and not any(start <= at < end for start, end in self._data)
        )

    def _step(self, at: int) -> Any:
        """Decode an instruction; returns where the CPU goes on, or None."""
        decoded = next(self._disassembler.disasm(bytes(self._code[at : at + _LONGEST]), at, 1), None)
        if decoded is None or any(self._covered[at : at + decoded.size]):
            return None
        relocation = self._relocation_in(at, decoded)
        target, callee = self._target(decoded, relocation)
        function = _function_at(self._functions, at)
        code = bytes(decoded.bytes)
        encoding = decoded.encoding
        self._found[at] = Instruction(
            at,
            code,
            decoded.mnemonic,
            function[2] if function else "?",
            next(index for index, byte in enumerate(code) if byte not in _PREFIXES),
            encoding.modrm_offset,
            (encoding.disp_offset, encoding.disp_size),
            (encoding.imm_offset, encoding.imm_size),
            target,
            callee,
        )
        self._covered[at : at + decoded.size] = bytes((1,)) * decoded.size
        if target is not None:
            self._queue.append(target)
        elif relocation is not None and relocation[1].kind == "R_386_32":
            place, found = relocation
            # The address of code as a value; in an address computation it would be that of a table.
            if encoding.imm_size and place == at + encoding.imm_offset:
                (addend,) = struct.unpack_from("<I", self._code, place)
                self._queue.extend(self._code_address(found, addend))
        return None if decoded.mnemonic in _ENDS else at + decoded.size

    def _relocation_in(self, at: int, decoded: Any) -> tuple[int, Relocation] | None:
        for field in (decoded.encoding.imm_offset, decoded.encoding.disp_offset):
            if field and at + field in self._relocations:
                return at + field, self._relocations[at + field]
        return None

    def _target(self, decoded: Any, relocation: tuple[int, Relocation] | None) -> tuple[int | None, str]:
        """Return where a direct branch goes in the text, and the import that it goes to."""
        relative = capstone.x86_const.X86_GRP_BRANCH_RELATIVE in decoded.groups
        if not relative and not (decoded.mnemonic == "call" and decoded.opcode[0] == 0xE8):
            return None, ""
        if relocation is None:
            return decoded.operands[0].imm & 0xFFFFFFFF, ""
        place, found = relocation
        symbol = self._object.symbols[found.symbol]
        if symbol.section in self._executable:
            (addend,) = struct.unpack_from("<i", self._code, place)
            return self._executable[symbol.section] + symbol.value + addend + 4, ""
        return None, symbol.name if symbol.section is None else ""
