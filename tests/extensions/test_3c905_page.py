"""The page for driver authors says what the device does: its tables, and that it is enough to write a driver."""

import re
from pathlib import Path

import pytest

from nooks_lab import extensions
from nooks_lab.machine.devices import c905_registers as reg
from nooks_lab.try_driver import try_driver

PAGE = Path(__file__).parents[2] / "course" / "devices" / "3c905.md"
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")


def rows(heading: str) -> list[list[str]]:
    """The cells of all tables of a section."""
    text = PAGE.read_text(encoding="utf-8")
    start = text.index(f"\n## {heading}")
    end = text.find("\n## ", start + 1)
    lines = [line for line in text[start:end].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def constant(name: str) -> int:
    """What the model calls a name of the page: upUnStall is UP_UNSTALL."""
    spelt = "_".join(word.upper() for word in _WORDS.findall(name))
    spelt = spelt.replace("UN_STALL", "UNSTALL").replace("COUNT_DOWN", "COUNTDOWN")
    value: int = getattr(reg, spelt)
    return value


def test_the_registers_outside_the_windows_are_the_models() -> None:
    found = {
        name: int(cells[0].rstrip("h"), 16)
        for cells in rows("2. Registers")
        if cells[0][:1].isdigit()
        for name in cells[2].split(" / ")
    }
    assert len(found) == 14
    for name, offset in found.items():
        assert constant(name) == offset, name


def test_the_causes_of_interrupts_are_the_models() -> None:
    found = {cells[1]: int(cells[0]) for cells in rows("4. Interrupts") if cells[0].isdigit()}
    assert len(found) == 10
    for name, bit in found.items():
        assert constant(name) == 1 << bit, name


def test_the_statistics_are_the_models() -> None:
    found = {}
    for cells in rows("9. Statistics"):
        for offset, text in (cells[:2], cells[2:]):
            if offset[:1].isdigit():
                found[re.split(r"[ ,:(]", text)[0]] = int(offset[:2], 16)
    assert len(found) == 12
    for name, offset in found.items():
        assert constant(name) == offset, name


def test_the_commands_are_the_models() -> None:
    compared = 0
    for cells in rows("3. Commands"):
        if not cells[0][:1].isdigit():
            continue
        names = [name.strip(" *").split(" (")[0] for name in cells[2].split(",")]
        for name, value in zip(names, cells[1].split(", "), strict=True):
            spelt = {"SelectRegisterWindow": "SelectWindow"}.get(name, name.removesuffix(" *"))
            command, parameter = divmod(int(value.rstrip("h"), 16), 1 << 11)
            if "tall" in spelt:
                assert (command, parameter) == (reg.STALL, constant(spelt)), name
            else:
                assert (command, parameter) == (constant(spelt), 0), name
            compared += 1
    assert compared == 20


@pytest.mark.parametrize("nooks", [False, True], ids=["native", "nooks"])
def test_a_driver_written_from_the_page_alone_carries_the_recorded_traffic(nooks: bool) -> None:
    obj = extensions.build(Path(__file__).with_name("page_3c905.c"))
    trial = try_driver(obj, "3c905", nooks=nooks)
    assert trial.messages == ()
    assert trial.workload_ok
