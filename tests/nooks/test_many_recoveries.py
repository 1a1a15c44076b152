"""Recoveries in a row at random points leave nothing behind, and what they would leave would be seen."""

from collections.abc import Iterator

import armed_driver
import pytest

from nooks_lab.faults.many_recoveries import PLACES, TARGETS, ManyRecoveries, plan
from nooks_lab.kernel.kernel import Hang

RECOVERIES = 25


@pytest.fixture(scope="module")
def system() -> Iterator[ManyRecoveries]:
    with ManyRecoveries(seed=7, validate_every=5) as running:
        yield running


def test_recoveries_at_random_points_leave_nothing_behind(system: ManyRecoveries) -> None:
    told: list[int] = []
    findings = system.run(RECOVERIES, lambda so_far: told.append(so_far.recoveries))
    assert told[-1] == findings.recoveries == RECOVERIES
    assert findings.not_recovered == findings.unequal == findings.lost_frames == 0
    assert findings.left_behind == dict.fromkeys(findings.left_behind, 0)
    assert {"pages", "slab objects", "timers", "IRQ handlers", "net devices", "tracker entries"} <= set(
        findings.left_behind
    )
    assert (findings.damaged, findings.problems) == ({}, [])
    assert findings.validations == 5
    assert findings.frames == 6 * RECOVERIES
    assert findings.clean
    assert set(findings.by_place) == set(PLACES)
    assert set(findings.by_target) == set(TARGETS)
    triggers = [recovery.trigger for recovery in system.nooks.recoveries]
    assert len(set(triggers)) > RECOVERIES / 2
    # The idle extension is in its first domain.
    assert [domain.name for domain in system.nooks.domains] == ["idle", "e1000"]
    assert system.nooks.domains[0].number == 2


def test_the_strikes_are_the_same_for_the_same_seed_and_others_for_another() -> None:
    strikes = [plan(3, number) for number in range(200)]
    assert strikes == [plan(3, number) for number in range(200)]
    assert strikes != [plan(4, number) for number in range(200)]
    assert {strike.place for strike in strikes} == set(PLACES)
    assert {strike.target for strike in strikes} == set(TARGETS)
    assert len({strike.frames for strike in strikes}) == 21
    assert not any(strike.offset & 3 for strike in strikes)


def judged(seed: int, spoil: str) -> ManyRecoveries:
    """A run of two recoveries; something is done to the system behind the first one's back."""
    system = ManyRecoveries(seed, validate_every=1)
    lab = system.lab
    system.run(1)
    assert system.findings.clean
    idle = lab.kernel.modules.loaded["idle"]
    match spoil:
        case "page":
            lab.kernel.pages.alloc(0)
        case "slab object":
            lab.kernel.slab.alloc(100)
        case "kernel text":
            lab.kernel.memory.set_u8(lab.kernel.image.text[1] - 1, 0x90)
        case "idt":
            lab.kernel.memory.set_u32(lab.kernel.variable("idt_table") + 8 * 200, 0x1234)
        case "kernel variable":
            lab.kernel.memory.set_u32(lab.kernel.variable("tainted"), 1)
        case "idle data":
            lab.kernel.memory.set_u32(idle.image.symbols["own"] + 40, 0)
        case "idle heap":
            lab.kernel.memory.set_u32(lab.kernel.memory.u32(idle.image.symbols["block"]) + 40, 0)
        case "tracker":
            domain = system.nooks.domain_of("idle")
            (block,) = system.nooks.tracker.objects(domain)
            system.nooks.tracker.add(domain, "heap block", block.kernel + 64, block.extension + 64)
    system.run(2)
    return system


@pytest.mark.parametrize(
    ("spoil", "left", "damaged"),
    [
        ("page", {"pages": 1}, set()),
        ("slab object", {"slab objects": 1}, set()),
        ("kernel text", {}, {"text"}),
        ("idt", {}, {"idt", "other variables"}),
        ("kernel variable", {}, {"other variables"}),
        ("idle data", {}, {"idle extension"}),
        ("idle heap", {}, {"idle extension's heap"}),
        ("tracker", {"slab objects": 1, "tracker entries": 1}, set()),
    ],
)
def test_a_leak_and_a_damage_are_noticed(spoil: str, left: dict[str, int], damaged: set[str]) -> None:
    with judged(1, spoil) as system:
        findings = system.findings
        assert not findings.clean
        assert {kind: more for kind, more in findings.left_behind.items() if more} == left
        assert findings.unequal == bool(left)
        assert set(findings.damaged) == damaged
        assert bool(findings.problems) == (spoil == "tracker")


def test_a_driver_that_does_not_come_back_ends_the_run() -> None:
    with ManyRecoveries(seed=1) as system:
        armed_driver.module(system.lab).parameters = {"bug_place": armed_driver.NUMBERS["probe"]}
        findings = system.run(3)
        assert (findings.recoveries, findings.not_recovered) == (0, 1)
        assert findings.problems == ["strike 1: the driver is not loaded any more"]
        assert not findings.clean


def test_a_system_that_dies_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with ManyRecoveries(seed=1) as system:

        def die(_cycles: int) -> None:
            raise Hang("it loops")

        monkeypatch.setattr(system.lab.kernel, "run", die)
        assert system.run(3).problems == ["strike 1: Hang: it loops"]
        assert not system.findings.clean
