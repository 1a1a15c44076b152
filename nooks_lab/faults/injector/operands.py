"""Which field of an instruction encodes its source, and which its destination.

After the columns "Op/En" of the instruction reference (Intel SDM, volume 2): MR is a destination in ModRM.rm and a
source in ModRM.reg, RM the reverse, MI an immediate source, O a register in the opcode.  Instructions with
operands that no field names (string instructions, ``in``, ``out``, ``cdq``) are not in the tables.
"""

from typing import Literal, NamedTuple

from nooks_lab.faults.injector.instruction import Instruction

Place = Literal["reg", "rm", "opcode", "immediate"]


class Operands(NamedTuple):
    """Where an instruction's two operands are encoded; None where it has no such operand."""

    destination: Place | None
    source: Place | None


_NONE = Operands(None, None)


def _table() -> dict[int, Operands]:
    """Every opcode whose operands do not depend on ModRM.reg."""
    table: dict[int, Operands] = {}

    def put(operands: Operands, *opcodes: int) -> None:
        table.update(dict.fromkeys(opcodes, operands))

    # add, or, adc, sbb, and, sub, xor; cmp has no destination.
    for base in range(0x00, 0x40, 8):
        writes = base != 0x38
        put(Operands("rm" if writes else None, "reg"), base, base + 1)
        put(Operands("reg" if writes else None, "rm"), base + 2, base + 3)
        put(Operands(None, "immediate"), base + 4, base + 5)
    put(Operands("opcode", None), *range(0x40, 0x50), *range(0x58, 0x60), *range(0x91, 0x98))
    put(Operands(None, "opcode"), *range(0x50, 0x58))
    put(Operands(None, "immediate"), 0x68, 0x6A, 0xA8, 0xA9)
    put(Operands("reg", "rm"), 0x69, 0x6B, 0x8A, 0x8B, 0x8D)
    # test and bt only read, xchg writes.
    put(Operands(None, "reg"), 0x84, 0x85, 0x0FA3)
    put(Operands("rm", "reg"), 0x86, 0x87, 0x88, 0x89, 0x0FAB, 0x0FB3, 0x0FBB)
    put(Operands("rm", "reg"), 0x0FA4, 0x0FA5, 0x0FAC, 0x0FAD, 0x0FB0, 0x0FB1, 0x0FC0, 0x0FC1)
    put(Operands("rm", None), 0x8F, 0xD0, 0xD1, 0xD2, 0xD3, *range(0x0F90, 0x0FA0))
    put(Operands("opcode", "immediate"), *range(0xB0, 0xC0))
    put(Operands("rm", "immediate"), 0xC0, 0xC1, 0xC6, 0xC7)
    put(Operands("reg", "rm"), 0x0FAF, 0x0FB6, 0x0FB7, 0x0FBC, 0x0FBD, 0x0FBE, 0x0FBF)
    put(Operands("reg", "rm"), *range(0x0F40, 0x0F50))
    put(Operands("opcode", None), *range(0x0FC8, 0x0FD0))
    return table


_TABLE = _table()

_READ = Operands(None, "rm")
_WRITTEN = Operands("rm", None)
_COMPARED = Operands(None, "immediate")
_COMPUTED = Operands("rm", "immediate")
_GROUP_1 = (*(_COMPUTED,) * 7, _COMPARED)
_GROUP_3 = (_COMPARED, _COMPARED, _WRITTEN, _WRITTEN, _READ, _READ, _READ, _READ)

_GROUPS: dict[int, tuple[Operands, ...]] = {
    0x80: _GROUP_1,
    0x81: _GROUP_1,
    0x83: _GROUP_1,
    0xF6: _GROUP_3,
    0xF7: _GROUP_3,
    0xFE: (_WRITTEN, _WRITTEN, *(_NONE,) * 6),
    0xFF: (_WRITTEN, _WRITTEN, _READ, _NONE, _READ, _NONE, _READ, _NONE),
    0x0FBA: (*(_NONE,) * 4, _COMPARED, _COMPUTED, _COMPUTED, _COMPUTED),
}
"""The groups that ModRM.reg selects from: 80 add ... cmp, f6 test not neg mul ..., fe and ff inc dec call jmp push."""


def operands(instruction: Instruction) -> Operands:
    """Return where an instruction's operands are encoded."""
    group = _GROUPS.get(instruction.opcode)
    if group is not None:
        return group[instruction.extension]
    return _TABLE.get(instruction.opcode, _NONE)
