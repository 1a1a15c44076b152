"""Recovery after recovery under a workload, and that what went wrong meanwhile would be seen."""

import dataclasses
import json
from collections.abc import Callable

import pytest

from nooks_lab.faults.poisoned_text import NothingSeen
from nooks_lab.faults.survival import Survival, survive
from nooks_lab.lab import Lab
from nooks_lab.workloads import registry
from nooks_lab.workloads.network import Network
from nooks_lab.workloads.workload import WorkloadResult

RECOVERIES = 4


class Spoiled(Network):
    """The network workload, and something that happens beside it in its ``when``-th run."""

    def __init__(self, when: int, spoil: Callable[[Lab], object]) -> None:
        super().__init__("e1000", messages=1, pings=1)
        self.when, self.spoil, self.runs = when, spoil, 0

    def run(self, lab: Lab) -> WorkloadResult:
        self.runs += 1
        if self.runs == self.when:
            self.spoil(lab)
        return super().run(lab)


@pytest.mark.parametrize("extension", registry.names())
def test_an_extension_survives_its_workload(extension: str) -> None:
    told: list[int] = []
    found = survive(
        registry.brief_workload(extension), extension, RECOVERIES, 3, lambda so_far: told.append(so_far.runs)
    )
    assert found.recoveries >= RECOVERIES
    assert told[-1] == found.runs
    assert found.left_behind == dict.fromkeys(found.left_behind, 0)
    assert (found.damaged, found.problems, found.not_recovered) == ((), [], 0)
    assert found.final is not None
    assert found.final.ok, found.final.wrong
    assert found.clean
    assert sum(found.by_function.values()) == found.recoveries
    assert json.loads(json.dumps(found.to_json()))["clean"] is True


def test_the_same_seed_gives_the_same_findings() -> None:
    assert survived(1) == survived(1) != survived(2)


def survived(seed: int) -> dict[str, object]:
    return survive(Network("e1000", messages=1, pings=1), "e1000", 2, seed).to_json()


def after_the_warm_up(spoil: Callable[[Lab], object]) -> Survival:
    return survive(Spoiled(8, spoil), "e1000", 6, seed=1)


def test_a_leak_is_seen() -> None:
    found = after_the_warm_up(lambda lab: lab.kernel.pages.alloc(0))
    assert found.left_behind["pages"] == 1
    assert not found.clean


def test_a_damage_is_seen() -> None:
    found = after_the_warm_up(lambda lab: lab.kernel.memory.set_u32(lab.kernel.variable("tainted"), 1))
    assert found.damaged == ("other variables",)
    assert not found.clean


def test_a_spoiled_result_is_seen() -> None:
    workload = Spoiled(0, lambda lab: None)

    def spoil(_: Survival) -> None:
        workload.seed = 99

    found = survive(workload, "e1000", 1, seed=1, progress=spoil)
    assert found.final is not None
    assert found.final.ok
    assert not found.intact
    assert not found.clean


def test_a_system_that_dies_ends_it() -> None:
    def die(lab: Lab) -> None:
        lab.kernel.traps.panic("out of patience")

    found = after_the_warm_up(die)
    assert found.problems[0].endswith("Panic: out of patience")
    assert not found.clean


def test_an_extension_that_is_gone_ends_it() -> None:
    found = after_the_warm_up(lambda lab: (lab.kernel.ifconfig_down("eth0"), lab.kernel.rmmod("e1000")))
    assert found.problems[0].endswith("e1000 is not loaded any more")


def test_a_workload_that_is_wrong_from_the_start_or_never_runs_the_extension_is_refused() -> None:
    workload = Spoiled(1, lambda lab: setattr(lab.peer, "on_frame", None))
    with pytest.raises(ValueError, match="network-streams comes out wrong without a fault: ping 1"):
        survive(workload, "e1000", 1)

    class Idle(Network):
        def run(self, lab: Lab) -> WorkloadResult:
            return WorkloadResult(True, "")

    with pytest.raises(NothingSeen):
        survive(Idle("e1000"), "e1000", 1)
    with pytest.raises(LookupError, match="no extension 'vfat' is loaded; there are: "):
        survive(Network("e1000"), "vfat", 1)
    with pytest.raises(ValueError, match="-1 recoveries"):
        survive(Network("e1000"), "e1000", -1)


def test_findings_are_plain_data() -> None:
    empty = Survival("e1000", "network-streams", 1, "0" * 64)
    assert set(empty.to_json()) >= {field.name for field in dataclasses.fields(empty)} - {"final", "cycles"}
