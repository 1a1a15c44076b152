from nooks_lab.toolchain.compiler import compile_c
from nooks_lab.toolchain.elf import read_object
from nooks_lab.toolchain.lines import line_table, locate


def relocated_lines(obj, symbol_name):
    return {
        locate(obj, each.section, each.offset)
        for each in obj.relocations
        if obj.symbols[each.symbol].name == symbol_name and obj.sections[each.section].exec
    }


def test_a_call_is_on_its_line(driver):
    assert relocated_lines(driver, "register_device") == {"driver.c:14"}
    assert relocated_lines(driver, "printk") == {"driver.c:13"}


def test_each_code_section_has_its_own_lines(driver):
    init = driver.defined()["init_module"]
    assert locate(driver, init.section, init.value) == "driver.c:20"
    text = driver.section_named(".text").index
    assert locate(driver, text, 0) == "driver.c:10"


def test_an_inlined_header_function_is_on_the_headers_line(driver, include):
    lines = (include / "lab" / "device.h").read_text().splitlines()
    number = 1 + lines.index("\treturn dev->word + jiffies;")
    rows = [row for row in line_table(driver) if row.file == "lab/device.h"]
    assert {row.line for row in rows} == {number}


def test_the_table_is_sorted(driver):
    table = line_table(driver)
    assert table == sorted(table)


def test_places_outside_of_code_have_no_line(driver):
    text = driver.section_named(".text")
    assert locate(driver, text.index, text.size) is None
    assert locate(driver, text.index, -1) is None
    assert locate(driver, driver.section_named(".data").index, 0) is None
    assert locate(driver, 999, 0) is None


def test_an_object_without_code_has_no_lines():
    assert line_table(read_object(compile_c("data.c", text="int x;\n").data, "data.c")) == []
