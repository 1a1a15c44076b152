"""GDT and IDT descriptors and the task-state segment, as bytes in guest memory.

Source: Intel SDM volume 3A, sections 3.4.5 (segment descriptors), 6.11 (IDT descriptors), 7.2.1 (TSS), 7.2.2 (TSS
descriptor).
"""

import struct
from dataclasses import dataclass

INTERRUPT_GATE = 0xE
TRAP_GATE = 0xF
TASK_GATE = 0x5
TSS_AVAILABLE, TSS_BUSY = 0x9, 0xB
PRESENT = 0x80

GATE_SIZE = 8


@dataclass(frozen=True)
class Gate:
    """One IDT entry."""

    kind: int
    selector: int
    offset: int
    present: bool = True

    def encode(self) -> bytes:
        """Return the eight bytes that stand in the IDT."""
        access = self.kind | (0x80 if self.present else 0)
        return struct.pack("<HHBBH", self.offset & 0xFFFF, self.selector, 0, access, self.offset >> 16)

    @staticmethod
    def decode(data: bytes) -> "Gate":
        """Read an IDT entry."""
        low, selector, _, access, high = struct.unpack("<HHBBH", data)
        return Gate(access & 0x1F, selector, high << 16 | low, bool(access & 0x80))


def segment_descriptor(base: int, limit: int, access: int, *, flat: bool = True) -> bytes:
    """Return a segment descriptor.

    Parameters
    ----------
    base, limit : int
        Linear base, and limit in bytes (or in pages when ``flat``).
    access : int
        The access byte: present, DPL, type.
    flat : bool
        Granularity of 4 KiB and 32-bit operands, as code and data segments of a flat kernel have.
    """
    flags = 0xC0 if flat else 0
    return struct.pack(
        "<HHBBBB",
        limit & 0xFFFF,
        base & 0xFFFF,
        base >> 16 & 0xFF,
        access,
        flags | limit >> 16 & 0xF,
        base >> 24,
    )


def descriptor_base(data: bytes) -> int:
    """Return the linear base address that a descriptor holds."""
    _, low, middle, _, _, high = struct.unpack("<HHBBBB", data)
    return int(low | middle << 16 | high << 24)


ACCESS_BYTE = 5
"""Where a descriptor says whether it is present, and of what type."""


TSS_SIZE = 104
_TSS_FIELDS = ("eip", "eflags", "eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")
_TSS_CR3 = 28
TSS_REGISTERS = 32
"""Where the registers lie that a task switch saves; before them are static fields, CR3 among them."""

_REGISTERS = struct.Struct("<10I")


def encode_tss(cr3: int, registers: dict[str, int]) -> bytes:
    """Return a TSS that starts with the given registers (``eip``, ``eflags``, ``eax`` ... ``edi``)."""
    image = bytearray(TSS_SIZE)
    struct.pack_into("<I", image, _TSS_CR3, cr3)
    image[TSS_REGISTERS : TSS_REGISTERS + _REGISTERS.size] = encode_registers(registers)
    return bytes(image)


def encode_registers(registers: dict[str, int]) -> bytes:
    """Return what a task switch stores at ``TSS_REGISTERS`` of the TSS that it leaves."""
    return _REGISTERS.pack(*(registers.get(name, 0) for name in _TSS_FIELDS))


def decode_tss(image: bytes) -> tuple[int, dict[str, int]]:
    """Return CR3 and the registers that a TSS holds."""
    (cr3,) = struct.unpack_from("<I", image, _TSS_CR3)
    values = _REGISTERS.unpack_from(image, TSS_REGISTERS)
    return cr3, dict(zip(_TSS_FIELDS, values, strict=True))
