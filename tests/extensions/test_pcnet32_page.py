"""The page for driver authors says what the device does: its bits, and that it is enough to write a driver."""

import re
from pathlib import Path

import pytest

from nooks_lab import extensions
from nooks_lab.machine.devices import pcnet32_descriptors as descriptors
from nooks_lab.machine.devices import pcnet32_registers as registers
from nooks_lab.try_driver import try_driver

PAGE = Path(__file__).parents[2] / "course" / "devices" / "pcnet32.md"
_NAMED_BIT = re.compile(r"^\| (\d+) \| ([A-Z][A-Z_0-9]+)\b", re.MULTILINE)
_SECTION = re.compile(r"^### (CSR\d+),[^\n]*\n(.*?)(?=^##)", re.MULTILINE | re.DOTALL)


def test_the_bits_of_the_registers_are_the_models() -> None:
    compared = 0
    for name, text in _SECTION.findall(PAGE.read_text()):
        prefix = "MODE" if name == "CSR15" else name
        for bit, field in _NAMED_BIT.findall(text):
            known = getattr(registers, f"{prefix}_{field}")
            assert known == 1 << int(bit), (name, field)
            compared += 1
    assert compared == 37


def test_the_bits_of_the_descriptors_are_the_models() -> None:
    text = PAGE.read_text()
    table = text[text.index("| bit of word 1 |") : text.index("**Receive.**")]
    rows = [[cell.strip().partition(":")[0] for cell in row.split("|")[1:-1]] for row in table.splitlines()]
    compared = 0
    for bit, receive, transmit in (row for row in rows if len(row) == 3 and row[0].isdigit()):
        for prefix, field in (("RX_", receive), ("TX_", transmit)):
            known = getattr(descriptors, prefix + field, None) or getattr(descriptors, field, None)
            if field:
                assert known == 1 << int(bit), field
                compared += 1
    assert compared == 19


@pytest.mark.parametrize("nooks", [False, True], ids=["native", "nooks"])
def test_a_driver_written_from_the_page_alone_carries_the_recorded_traffic(nooks: bool) -> None:
    trial = try_driver(extensions.build(Path(__file__).with_name("page_driver.c")), "pcnet32", nooks=nooks)
    assert trial.messages == ()
    assert trial.workload_ok
