"""What each class changes in an instruction, and what it leaves: every instruction of every extension is material."""

from functools import cache

import capstone
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nooks_lab import extensions
from nooks_lab.faults.injector import CLASSES
from nooks_lab.faults.injector.change import Detour, Dice, Rewrite
from nooks_lab.faults.injector.classes.copy_overrun import overrun
from nooks_lab.faults.injector.fault_class import FaultClass, sites
from nooks_lab.faults.injector.instruction import EBP, ESP, Instruction
from nooks_lab.faults.injector.text import Text, text_of

_DISASSEMBLER = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32)
_DISASSEMBLER.detail = True

TEXT_CLASSES = sorted(name for name, each in CLASSES.items() if isinstance(each, FaultClass))
EXTENSIONS = ("e1000", "sb", "vfat", "khttpd", "es1371")


@cache
def text(extension: str) -> Text:
    return text_of(extensions.extension(extension))


@st.composite
def change_of(draw: st.DrawFn, name: str) -> tuple[Text, Instruction, bytes, bytes, Rewrite | Detour]:
    """A site of a class, the bytes there, the bytes afterwards, and the change."""
    chosen = CLASSES[name]
    assert isinstance(chosen, FaultClass)
    where = draw(st.sampled_from([each for each in EXTENSIONS if sites(chosen, text(each))]))
    site = draw(st.sampled_from(sites(chosen, text(where))))
    change = chosen.change(text(where), site, Dice(str(draw(st.integers(0, 1 << 32)))))
    length = chosen.length(text(where), site)
    before = text(where).code[site.offset : site.offset + length]
    after = change.applied(before) if isinstance(change, Rewrite) else before
    return text(where), site, before, after, change


def decoded(code: bytes, at: int = 0) -> list[capstone.CsInsn]:
    return list(_DISASSEMBLER.disasm(code, at))


def differing(before: bytes, after: bytes) -> list[int]:
    return [index for index, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]]


@pytest.mark.parametrize("name", TEXT_CLASSES)
def test_the_e1000_has_something_to_change_for_every_class(name: str) -> None:
    assert sites(CLASSES[name], text("e1000"))


@pytest.mark.parametrize("name", TEXT_CLASSES)
@given(data=st.data())
def test_a_change_is_as_long_as_what_it_replaces_and_changes_something(
    name: str, data: st.DataObject
) -> None:
    _, site, before, after, change = data.draw(change_of(name))
    assert len(after) == len(before) >= site.length
    assert not site.is_padding
    if isinstance(change, Rewrite):
        assert after != before


@pytest.mark.parametrize("name", ["source", "destination", "pointer"])
@given(data=st.data())
def test_an_operand_is_replaced_and_the_instruction_stays_what_it_is(name: str, data: st.DataObject) -> None:
    _, site, before, after, _ = data.draw(change_of(name))
    (old,) = decoded(before)
    new = decoded(after)
    # An alias of the NOP, exchanged registers that are the same, may be all that is left of it.
    assert len(new) == 1 or not new
    if new:
        assert new[0].size == old.size
        assert new[0].opcode[0] & 0xF8 == old.opcode[0] & 0xF8
        assert len(new[0].operands) == len(old.operands) or new[0].mnemonic == "nop"
    assert len(differing(before, after)) == 1
    assert differing(before, after)[0] >= site.opcode_at


@given(data=st.data())
def test_source_leaves_the_destination(data: st.DataObject) -> None:
    _, _, before, after, _ = data.draw(change_of("source"))
    old, new = decoded(before)[0], decoded(after)
    if not new or len(old.operands) < 2 or old.mnemonic in ("cmp", "test", "xchg"):
        return
    # Both operands may be in one ModRM byte; the destination's bits are the same.
    assert new[0].op_str.split(", ", 1)[0] == old.op_str.split(", ", 1)[0]


@given(data=st.data())
def test_destination_leaves_the_source(data: st.DataObject) -> None:
    _, _, before, after, _ = data.draw(change_of("destination"))
    old, new = decoded(before)[0], decoded(after)
    if not new or len(old.operands) < 2 or old.mnemonic == "xchg":
        return
    assert new[0].op_str.split(", ", 1)[1] == old.op_str.split(", ", 1)[1]


@given(data=st.data())
def test_pointer_changes_an_address_that_is_not_on_the_stack_and_nothing_else(data: st.DataObject) -> None:
    _, site, before, after, _ = data.draw(change_of("pointer"))
    assert site.base() not in (EBP, ESP)
    old, new = decoded(before)[0], decoded(after)[0]
    kinds = [operand.type for operand in old.operands]
    assert kinds == [operand.type for operand in new.operands]
    for was, now in zip(old.operands, new.operands, strict=True):
        if was.type == capstone.x86.X86_OP_REG:
            assert was.reg == now.reg
        elif was.type == capstone.x86.X86_OP_IMM:
            assert was.imm == now.imm
    (memory,) = (operand.mem for operand in old.operands if operand.type == capstone.x86.X86_OP_MEM)
    (changed,) = (operand.mem for operand in new.operands if operand.type == capstone.x86.X86_OP_MEM)
    parts = [getattr(memory, part) == getattr(changed, part) for part in ("base", "index", "disp")]
    assert parts.count(False) == 1
    assert memory.scale == changed.scale


@given(data=st.data())
def test_branch_keeps_everything_but_the_condition_or_goes(data: st.DataObject) -> None:
    _, site, before, after, _ = data.draw(change_of("branch"))
    if set(after) == {0x90}:
        return
    (index,) = differing(before, after)
    assert before[index] ^ after[index] == 1
    assert index == len(before) - (5 if len(before) == 6 else 2)
    old, new = decoded(before, site.offset)[0], decoded(after, site.offset)[0]
    assert old.op_str == new.op_str
    assert old.mnemonic.replace("j", "jn") == new.mnemonic or old.mnemonic != new.mnemonic


@given(data=st.data())
def test_loop_inverts_a_branch_back(data: st.DataObject) -> None:
    _, site, before, after, _ = data.draw(change_of("loop"))
    old, new = decoded(before, site.offset)[0], decoded(after, site.offset)[0]
    assert int(old.op_str, 16) <= site.offset
    assert new.op_str == old.op_str
    assert new.mnemonic != old.mnemonic


@given(data=st.data())
def test_text_inverts_one_bit(data: st.DataObject) -> None:
    _, _, before, after, _ = data.draw(change_of("text"))
    assert (int.from_bytes(before, "little") ^ int.from_bytes(after, "little")).bit_count() == 1


@pytest.mark.parametrize("name", ["nop", "init"])
@given(data=st.data())
def test_removal_leaves_nothing_but_nops(name: str, data: st.DataObject) -> None:
    _, site, _, after, _ = data.draw(change_of(name))
    assert after == b"\x90" * site.length


@given(data=st.data())
def test_interface_takes_a_load_from_the_parameters(data: st.DataObject) -> None:
    _, site, before, after, _ = data.draw(change_of("interface"))
    displacement = site.frame_displacement()
    assert displacement >= 8
    if set(after) != {0x90}:
        old, new = decoded(before)[0], decoded(after)[0]
        assert new.mnemonic == old.mnemonic
        assert abs(new.operands[1].mem.disp - displacement) == 4


@given(data=st.data())
def test_init_takes_the_first_store_to_a_local(data: st.DataObject) -> None:
    where, site, *_ = data.draw(change_of("init"))
    local = site.frame_displacement()
    assert local < 0
    start = where.function_at(site.offset)[0]
    for each in where.instructions:
        if start <= each.offset < site.offset:
            assert each.frame_displacement() != local


@given(data=st.data())
def test_interrupt_state_leaves_the_stack_balanced(data: st.DataObject) -> None:
    _, _, before, after, _ = data.draw(change_of("interrupt state"))
    names = [each.mnemonic for each in decoded(before)]
    assert names in (["push", "popfd"], ["sti"])
    assert set(after) == {0x90}


@given(data=st.data())
def test_a_failed_allocation_returns_as_the_allocator_would(data: st.DataObject) -> None:
    _, _, before, after, _ = data.draw(change_of("allocation failure"))
    returns = [each.mnemonic for each in decoded(after)]
    assert returns[0] == "xor"
    assert (returns[1] == "ret") == (before[0] == 0xE9)


def test_overruns_have_the_released_distribution() -> None:
    dice = Dice("overrun")
    drawn = [overrun(dice) for _ in range(20_000)]
    ones = sum(each == 1 for each in drawn) / len(drawn)
    pages = [each for each in drawn if each >= 1024]
    middle = [each for each in drawn if 1 < each < 1024]
    assert abs(ones - 0.50) < 0.015
    assert abs(len(middle) / len(drawn) - 0.44) < 0.015
    assert abs(len(pages) / len(drawn) - 0.06) < 0.008
    assert set(pages) == {1024, 2048, 3072}
    assert (min(middle), max(middle)) == (2, 1022)
    assert all(each % 2 == 0 for each in middle)
