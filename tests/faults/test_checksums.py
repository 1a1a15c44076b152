"""Checksums of a system that a faulty driver has been at, whatever it has done."""

from collections.abc import Iterator

import pytest

import nooks_lab as nl
from nooks_lab.faults import idle_extension
from nooks_lab.faults.checksums import UNREADABLE, kernel_checksums
from nooks_lab.lab import Lab


@pytest.fixture
def lab() -> Iterator[Lab]:
    with nl.boot() as lab:
        yield lab


def changed(before: dict[str, int], after: dict[str, int]) -> set[str]:
    return {part for part in before if before[part] != after[part]}


def test_each_part_tells_of_a_change_of_its_own(lab: Lab) -> None:
    memory, image = lab.kernel.memory, lab.kernel.image
    for part, address in (
        ("text", image.text[0]),
        ("idt", lab.kernel.variable("idt_table") + 8 * 200),
        ("gdt", lab.kernel.variable("gdt_table") + 56),
        ("entry points", min(lab.kernel.execution.gates)),
        ("other variables", lab.kernel.variable("panic_on_oops")),
    ):
        before, word = kernel_checksums(lab), memory.u32(address)
        memory.set_u32(address, word ^ 0x10)
        # The descriptor tables are variables, too.
        assert part in changed(before, kernel_checksums(lab)) <= {part, "other variables"}
        memory.set_u32(address, word)


def test_the_bits_that_the_cpu_sets_in_page_tables_are_none_of_a_drivers(lab: Lab) -> None:
    before, page = kernel_checksums(lab), 0xC0C00000
    lab.kernel.memory.set_u32(page, 1)
    assert kernel_checksums(lab) == before
    lab.kernel.page_table.set_pte(page, lab.kernel.page_table.pte(page) & ~2)
    assert changed(before, kernel_checksums(lab)) == {"page table"}


def test_what_cannot_be_read_any_more_is_changed_and_no_error_of_the_judges(lab: Lab) -> None:
    idle = idle_extension.load(lab)
    before = idle_extension.checksums(lab, idle)
    assert idle.image is not None
    lab.kernel.memory.set_u32(idle.image.symbols["block"], 0x22)
    after = idle_extension.checksums(lab, idle)
    assert after["idle extension's heap"] == UNREADABLE
    assert changed(before, after) == {"idle extension", "idle extension's heap"}
    start = lab.kernel.image.writable[0]
    lab.kernel.page_table.set_pte(start, 0)
    assert kernel_checksums(lab)["other variables"] == UNREADABLE
