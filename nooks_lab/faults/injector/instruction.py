"""One decoded IA-32 instruction and where its fields lie (Intel SDM, volume 2, chapter 2)."""

from dataclasses import dataclass
from typing import Literal

EAX, ECX, EDX, EBX, ESP, EBP, ESI, EDI = range(8)

_SIB_FOLLOWS = 4
"""ModRM.rm in a memory operand: a SIB byte follows; as SIB.index: there is no index."""
_NO_BASE = 5
"""ModRM.rm or SIB.base with ModRM.mod 0: a 32-bit displacement alone."""
_REGISTER = 3
"""ModRM.mod: the operand is a register."""


@dataclass(frozen=True)
class Field:
    """Three bits of an instruction that name a register.

    Attributes
    ----------
    at, shift : int
        The byte of the instruction, and the lowest bit in it.
    never : tuple of int
        Values that would change the instruction's form, and with it its length.
    """

    at: int
    shift: int
    never: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Instruction:
    """An instruction of an extension's unrelocated text.

    Attributes
    ----------
    offset : int
        From the beginning of the module's memory.
    code : bytes
    mnemonic : str
        Intel's, with prefixes (``rep movsd``).
    function : str
        The function that it stands in.
    opcode_at : int
        Index of the opcode, which follows the prefixes.
    modrm_at : int
        Index of the ModRM byte, 0 when there is none.
    displacement, immediate : tuple of int
        Index and size of these fields; the size is 0 when there is none.
    target : int or None
        Where a direct branch or call goes in this module, from the beginning of the module's memory.
    callee : str
        The imported function that a direct call or jump goes to, otherwise empty.
    """

    offset: int
    code: bytes
    mnemonic: str
    function: str
    opcode_at: int
    modrm_at: int
    displacement: tuple[int, int]
    immediate: tuple[int, int]
    target: int | None = None
    callee: str = ""

    @property
    def length(self) -> int:
        """Bytes."""
        return len(self.code)

    @property
    def end(self) -> int:
        """Offset of the instruction behind it."""
        return self.offset + len(self.code)

    @property
    def opcode(self) -> int:
        """The opcode: one byte, or two that begin with 0f."""
        first = self.code[self.opcode_at]
        return 0x0F00 | self.code[self.opcode_at + 1] if first == 0x0F else first

    @property
    def modrm(self) -> int:
        """The ModRM byte; only where there is one."""
        return self.code[self.modrm_at]

    @property
    def extension(self) -> int:
        """ModRM.reg, which in some groups extends the opcode."""
        return self.modrm >> 3 & 7

    @property
    def has_memory_operand(self) -> bool:
        """Tell whether ModRM addresses memory."""
        return self.modrm_at > 0 and self.modrm >> 6 != _REGISTER

    @property
    def is_padding(self) -> bool:
        """Tell whether it is a NOP, of whatever length: to change one is to change nothing."""
        return self.mnemonic == "nop"

    @property
    def is_conditional_branch(self) -> bool:
        """Tell whether it is one of Jcc."""
        return self.opcode & 0xF0 == 0x70 or self.opcode & 0xFFF0 == 0x0F80

    def register_field(self) -> Field:
        """Return the field of ModRM.reg."""
        return Field(self.modrm_at, 3)

    def rm_field(self) -> Field | None:
        """Return the field that names the ModRM operand's register, or the base register of its address.

        None when the address has no base.
        """
        mod, rm = self.modrm >> 6, self.modrm & 7
        if mod == _REGISTER:
            return Field(self.modrm_at, 0)
        if rm == _SIB_FOLLOWS:
            base = self.code[self.modrm_at + 1] & 7
            if mod == 0:
                return None if base == _NO_BASE else Field(self.modrm_at + 1, 0, (_NO_BASE,))
            return Field(self.modrm_at + 1, 0)
        if mod == 0:
            return None if rm == _NO_BASE else Field(self.modrm_at, 0, (_SIB_FOLLOWS, _NO_BASE))
        return Field(self.modrm_at, 0, (_SIB_FOLLOWS,))

    def operand_field(self, place: Literal["reg", "rm", "opcode", "immediate"]) -> Field:
        """Return the field of the register operand in ``reg``, ``rm`` or ``opcode``, or the base of its address.

        Raises
        ------
        ValueError
            When no register is named there.
        """
        field = None
        if place == "reg":
            field = self.register_field()
        elif place == "rm":
            field = self.rm_field()
        elif place == "opcode":
            field = Field(self.opcode_at + (self.opcode > 0xFF), 0)
        if field is None:
            raise ValueError(f"{self.mnemonic} at {self.offset:#x} names no register in {place}")
        return field

    def index_field(self) -> Field | None:
        """Return the field of a memory operand's index register, or None."""
        if not self.has_memory_operand or self.modrm & 7 != _SIB_FOLLOWS:
            return None
        index = self.code[self.modrm_at + 1] >> 3 & 7
        return None if index == _SIB_FOLLOWS else Field(self.modrm_at + 1, 3, (_SIB_FOLLOWS,))

    def base(self) -> int | None:
        """Return the number of the register that is the base of the memory operand's address, or None."""
        field = self.rm_field() if self.has_memory_operand else None
        return None if field is None else self.code[field.at] >> field.shift & 7

    def frame_displacement(self) -> int | None:
        """Return x of a memory operand ``x(%ebp)``, or None when it is none."""
        if self.base() != EBP or self.modrm & 7 == _SIB_FOLLOWS:
            return None
        at, size = self.displacement
        return int.from_bytes(self.code[at : at + size], "little", signed=True)
