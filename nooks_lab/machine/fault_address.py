"""The exact linear address of a page fault, which CR2 holds.

Unicorn tells its TLB-fill callback the page only, so the address is worked out from the faulting
instruction and the registers it found.  Source: Intel SDM volume 2, the operation of each instruction, and
volume 3A, section 4.7 (an access that crosses into a faulting page reports the first byte in that page).
"""

from typing import Any

import capstone
from capstone import x86_const

from nooks_lab.machine.memory import PAGE_MASK, PAGE_SIZE

_STACK_WRITES = {"push": 1, "pushfd": 1, "call": 1, "enter": 1, "pushal": 8}
_STACK_READS = {"pop": 1, "popfd": 1, "ret": 1, "iretd": 3, "popal": 8}
_BIT_TESTS = frozenset({"bt", "bts", "btr", "btc"})

_disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32)
_disassembler.detail = True


def fault_address(code: bytes, registers: dict[str, int], page: int, write: bool) -> int:
    """Return the address whose access faulted.

    Parameters
    ----------
    code : bytes
        The code at EIP, long enough for one instruction.
    registers : dict
        The registers before the instruction, by Intel's names in lower case.
    page : int
        Linear address of the faulting page.
    write : bool
        Whether the access that faulted writes.

    Returns
    -------
    int
        The address, or ``page`` itself when no access of the instruction reaches that page.
    """
    instruction = next(_disassembler.disasm(code, registers["eip"], 1), None)
    if instruction is None:
        return page
    for address, size, writes in _accesses(instruction, registers):
        if writes == write:
            if address & PAGE_MASK == page:
                return address
            if (address + size - 1) & PAGE_MASK == page and size <= PAGE_SIZE:
                return page
    return page


def _accesses(instruction: Any, registers: dict[str, int]) -> list[tuple[int, int, bool]]:
    """Return address, size and direction of each data access, in the CPU's order."""
    found = []
    name = instruction.mnemonic.split()[-1]
    width = 2 if instruction.prefix[2] == 0x66 else 4
    esp = registers["esp"]
    for index in range(_STACK_READS.get(name, 0)):
        found.append((esp + width * index & 0xFFFFFFFF, width, False))
    if name == "leave":
        found.append((registers["ebp"], width, False))
    for operand in instruction.operands:
        if operand.type == x86_const.X86_OP_MEM:
            address = _effective_address(instruction, operand.mem, registers)
            if name in _BIT_TESTS:
                address += _bit_offset(instruction, registers)
            if name == "pop" and operand.mem.base == x86_const.X86_REG_ESP:
                address += width
            address &= 0xFFFFFFFF
            access = operand.access or capstone.CS_AC_READ | capstone.CS_AC_WRITE
            if access & capstone.CS_AC_READ:
                found.append((address, operand.size, False))
            if access & capstone.CS_AC_WRITE:
                found.append((address, operand.size, True))
    for index in range(_STACK_WRITES.get(name, 0)):
        found.append((esp - width * (index + 1) & 0xFFFFFFFF, width, True))
    return found


def _effective_address(instruction: Any, memory: Any, registers: dict[str, int]) -> int:
    wide = instruction.addr_size == 4
    total = memory.disp
    for register, scale in ((memory.base, 1), (memory.index, memory.scale)):
        if register:
            name = instruction.reg_name(register)
            # EIZ, the index that is none, counts as zero.
            total += registers.get(name if wide else f"e{name}", 0) * scale
    return int(total) & (0xFFFFFFFF if wide else 0xFFFF)


def _bit_offset(instruction: Any, registers: dict[str, int]) -> int:
    """Return how far from its operand a bit test with the bit number in a register reaches."""
    bit = instruction.operands[1]
    if bit.type != x86_const.X86_OP_REG:
        return 0
    name = instruction.reg_name(bit.reg)
    wide = bit.size == 4
    value = registers[name if wide else f"e{name}"] & (0xFFFFFFFF if wide else 0xFFFF)
    bits = 8 * bit.size
    signed = value - (1 << bits) if value >> bits - 1 else value
    return int(signed // bits * bit.size)
