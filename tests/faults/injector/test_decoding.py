"""All code of an extension is decoded, and nothing that is none."""

import capstone
import pytest

from nooks_lab import extensions
from nooks_lab.faults.injector.instruction import EBP
from nooks_lab.faults.injector.text import text_of

_DISASSEMBLER = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32)
_DISASSEMBLER.detail = True

TABLE_IN_TEXT = """
#include <linux/module.h>
int init_module(void) { return 0; }
void cleanup_module(void) { }
__asm__(".text\\n"
	".type dispatch, @function\\n"
	"dispatch: movl 4(%esp), %eax\\n\\t jmp *1f(,%eax,4)\\n"
	"1: .long 2f, 3f\\n"
	"2: movl $0x11111111, %eax\\n\\t ret\\n"
	"3: movl $0x22222222, %eax\\n\\t ret\\n"
	".byte 0x0f, 0x04\\n"
	".size dispatch, .-dispatch\\n"
	"unnamed: movl $0x33333333, %eax\\n\\t ret\\n"
	".type bytes, @object\\n"
	"bytes: .byte 0x55, 0x89, 0xe5\\n .size bytes, 3\\n"
	".section .data\\n .long unnamed, bytes\\n .text\\n");
"""


@pytest.mark.parametrize("name", extensions.names())
def test_every_byte_of_a_function_is_an_instruction(name: str) -> None:
    text = text_of(extensions.extension(name))
    for start, end, function in text.functions:
        at = start
        while at < end:
            instruction = text.at(at)
            if instruction is None:
                # Alignment of a loop behind a jump: nobody gets there.
                (decoded,) = _DISASSEMBLER.disasm(text.code[at : at + 15], at, 1)
                assert decoded.mnemonic == "nop"
                at += decoded.size
                continue
            assert instruction.function == function
            assert instruction.offset == at
            at = instruction.end


def test_fields_are_where_the_disassembler_says() -> None:
    for each in text_of(extensions.extension("vfat")).instructions:
        (decoded,) = _DISASSEMBLER.disasm(each.code, each.offset, 1)
        at, size = each.displacement
        memory = [operand.mem for operand in decoded.operands if operand.type == capstone.x86.X86_OP_MEM]
        if size and memory:
            value = int.from_bytes(each.code[at : at + size], "little", signed=True)
            assert value & 0xFFFFFFFF == memory[0].disp & 0xFFFFFFFF
        if each.has_memory_operand and each.base() == EBP:
            assert decoded.reg_name(memory[0].base) == "ebp"
        at, size = each.immediate
        immediates = [operand.imm for operand in decoded.operands if operand.type == capstone.x86.X86_OP_IMM]
        if size and immediates and each.target is None and not each.callee:
            value = int.from_bytes(each.code[at : at + size], "little")
            assert (value ^ immediates[0]) & (1 << 8 * size) - 1 == 0


def test_tables_among_the_code_are_no_code_and_code_without_a_symbol_is() -> None:
    text = text_of(extensions.build("table.c", TABLE_IN_TEXT))
    constants = {each.code[1:5].hex() for each in text.instructions if each.opcode == 0xB8}
    assert {"11111111", "22222222", "33333333"} <= constants
    start = next(start for start, _, name in text.functions if name == "dispatch")
    jump = next(each for each in text.instructions if each.offset > start and each.mnemonic == "jmp")
    assert text.at(jump.end) is None
    assert text.at(jump.end + 7) is None
    assert text.at(text.code.index(b"\x0f\x04")) is None
    assert text.at(text.code.index(b"\x55\x89\xe5", text.code.index(b"\x33" * 4))) is None
