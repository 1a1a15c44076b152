import contextlib
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nooks_lab.toolchain.elf import ElfError, read_object
from nooks_lab.toolchain.layouts import read_layouts
from nooks_lab.toolchain.lines import line_table

HEADER_SIZE, ROW = 52, 40


def patched(data: bytes, offset: int, form: str, value: int) -> bytes:
    changed = bytearray(data)
    struct.pack_into("<" + form, changed, offset, value)
    return bytes(changed)


def table_offset(data: bytes) -> int:
    return struct.unpack_from("<I", data, 32)[0]


def row_field(data: bytes, section: int, word: int) -> int:
    """Where a word of a section's row in the section table lies in the file."""
    return table_offset(data) + section * ROW + 4 * word


def contents(data: bytes, section: int) -> int:
    return struct.unpack_from("<I", data, row_field(data, section, 4))[0]


def index_of(obj, name: str) -> int:
    return obj.section_named(name).index


def test_sections_say_how_they_are_loaded(driver):
    text, data, bss = (driver.section_named(name) for name in (".text", ".data", ".bss"))
    assert (text.alloc, text.write, text.exec, text.nobits) == (True, False, True, False)
    assert (data.alloc, data.write, data.exec, data.nobits) == (True, True, False, False)
    assert (bss.alloc, bss.write, bss.exec, bss.nobits) == (True, True, False, True)
    assert len(text.data) == text.size
    assert bss.data == b""
    assert [section.index for section in driver.sections] == list(range(len(driver.sections)))
    assert not driver.section_named(".debug_info").alloc


def test_symbols_say_what_is_missing_and_what_is_offered(driver):
    assert sorted(driver.undefined()) == ["first_device", "jiffies", "printk", "register_device"]
    defined = driver.defined()
    assert set(defined) == {"driver_hook", "init_module", "opened", "weak_one"}
    assert defined["opened"].kind == "OBJECT"
    assert defined["init_module"].kind == "FUNC"
    assert defined["init_module"].section == index_of(driver, ".text.init")
    assert defined["weak_one"].binding == "WEAK"
    assert driver.symbols[0].name == ""


def test_relocations_name_symbol_and_place(driver):
    text, data = index_of(driver, ".text"), index_of(driver, ".data")
    calls = {
        driver.symbols[each.symbol].name
        for each in driver.relocations
        if each.section == text and each.kind in ("R_386_PC32", "R_386_PLT32")
    }
    assert calls == {"printk", "register_device"}
    assert any(each.section == data and each.kind == "R_386_32" for each in driver.relocations)
    assert all(driver.sections[each.section].alloc for each in driver.relocations)


def test_two_readings_are_equal_and_hashable(driver, driver_bytes):
    again = read_object(driver_bytes, "driver.c")
    assert again == driver
    assert hash(again) == hash(driver)


@pytest.mark.parametrize(
    ("offset", "form", "value", "reason"),
    [
        (0, "B", 0, "not an ELF file"),
        (4, "B", 2, "not a 32-bit"),
        (5, "B", 2, "not a 32-bit little-endian"),
        (16, "H", 2, "not a relocatable object"),
        (18, "H", 62, "ELF machine 62"),
        (20, "I", 9, "ELF version"),
        (32, "I", 0, "no section table"),
        (32, "I", 0xFFFFFF00, "cut off"),
        (46, "H", 64, "entries have 64 bytes"),
        (48, "H", 60000, "cut off"),
        (50, "H", 500, "section names"),
    ],
)
def test_a_wrong_file_header_is_one_sentence(driver_bytes, offset, form, value, reason):
    with pytest.raises(ElfError, match=rf"^driver\.c: .*{reason}.*\.$"):
        read_object(patched(driver_bytes, offset, form, value), "driver.c")


@pytest.mark.parametrize(
    ("section", "word", "value", "reason"),
    [
        (".text", 1, 11, "unsupported type 0xb"),
        (".text", 2, 0x406, "thread-local"),
        (".text", 4, 0x7FFFFFFF, "outside of the file"),
        (".text", 5, 0xFFFFFFFF, "outside of the file"),
        (".text", 8, 3, "alignment 3"),
        (".text", 0, 0xFFFFFF, "name of section"),
        (".symtab", 6, 0, "symbol names"),
        (".symtab", 9, 12, "no table of symbols"),
        (".rel.text", 6, 1, "no symbol table"),
        (".rel.text", 7, 900, "section 900, which does not exist"),
        (".rel.text", 9, 0, "no table of relocations"),
    ],
)
def test_a_wrong_section_is_one_sentence(driver, driver_bytes, section, word, value, reason):
    where = row_field(driver_bytes, index_of(driver, section), word)
    with pytest.raises(ElfError, match=reason):
        read_object(patched(driver_bytes, where, "I", value), "driver.c")


@pytest.mark.parametrize(
    ("offset", "form", "value", "reason"),
    [
        (0, "I", 0x7FFFFFFF, "name of symbol"),
        (4, "I", 0xFFFFFFF0, "reaches outside"),
        (12, "B", 0xA2, "binding 10"),
        (12, "B", 0x16, "type 6"),
        (14, "H", 700, "section 700, which does not exist"),
        (14, "H", 0xFFF2, "is common with the alignment"),
    ],
)
def test_a_wrong_symbol_is_one_sentence(driver, driver_bytes, offset, form, value, reason):
    number = next(i for i, symbol in enumerate(driver.symbols) if symbol.name == "opened")
    row = contents(driver_bytes, index_of(driver, ".symtab")) + 16 * number
    changed = patched(driver_bytes, row + 4, "I", 0) if offset == 14 else driver_bytes
    with pytest.raises(ElfError, match=reason):
        read_object(patched(changed, row + offset, form, value), "driver.c")


def test_a_symbol_defined_twice_is_one_sentence(driver, driver_bytes):
    rows = contents(driver_bytes, index_of(driver, ".symtab"))
    opened, hook = (
        rows + 16 * next(i for i, symbol in enumerate(driver.symbols) if symbol.name == name)
        for name in ("opened", "driver_hook")
    )
    name = struct.unpack_from("<I", driver_bytes, opened)[0]
    with pytest.raises(ElfError, match="defines opened twice"):
        read_object(patched(driver_bytes, hook, "I", name), "driver.c")


@pytest.mark.parametrize(
    ("offset", "value", "reason"),
    [
        (0, 0x7FFFFFFF, "lies outside of that section"),
        (4, 0x00000114, "unsupported type 20"),
        (4, 0x00FFFF01, "symbol 65535, which does not exist"),
        (4, 0x00000001, "names no symbol"),
    ],
)
def test_a_wrong_relocation_is_one_sentence(driver, driver_bytes, offset, value, reason):
    row = contents(driver_bytes, index_of(driver, ".rel.text"))
    with pytest.raises(ElfError, match=reason):
        read_object(patched(driver_bytes, row + offset, "I", value), "driver.c")


HOSTILE = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@HOSTILE
@given(cut=st.integers(min_value=0), more=st.binary(max_size=8))
def test_a_truncated_file_ends_in_elf_error_or_success(driver_bytes, cut, more):
    read_all(driver_bytes[: cut % len(driver_bytes)] + more)


@HOSTILE
@given(data=st.data())
def test_mutated_tables_end_in_elf_error_or_success(driver, driver_bytes, data):
    """Mutations fall where structure is: the two headers, the symbols, relocations and strings."""
    tables = [(0, HEADER_SIZE), (table_offset(driver_bytes), ROW * len(driver.sections))]
    tables += [
        (contents(driver_bytes, section.index), section.size)
        for section in driver.sections
        if section.name.startswith((".rel", ".symtab", ".strtab"))
    ]
    changed = bytearray(driver_bytes)
    for _ in range(data.draw(st.integers(1, 6))):
        start, size = data.draw(st.sampled_from(tables))
        value = data.draw(
            st.one_of(st.binary(min_size=1, max_size=4), st.sampled_from([b"\xff" * 4, b"\0" * 4]))
        )
        at = start + data.draw(st.integers(0, size - 1))
        changed[at : at + len(value)] = value
    read_all(bytes(changed))


@settings(HOSTILE, max_examples=100)
@given(data=st.data())
def test_mutated_debug_information_ends_in_elf_error_or_success(driver, driver_bytes, data):
    debug = [section for section in driver.sections if section.name.startswith(".debug")]
    changed = bytearray(driver_bytes)
    for _ in range(data.draw(st.integers(1, 4))):
        section = data.draw(st.sampled_from(debug))
        at = contents(driver_bytes, section.index) + data.draw(st.integers(0, section.size - 1))
        changed[at] = data.draw(st.integers(0, 255))
    read_all(bytes(changed))


def read_all(changed: bytes) -> None:
    with contextlib.suppress(ElfError):
        obj = read_object(changed, "mutant.o")
        line_table(obj)
        read_layouts(obj)
