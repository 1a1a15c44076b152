"""A driver written from the course's pages alone works: tried, under load, through recoveries, and unloaded."""

import json
from pathlib import Path

import pytest

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.cli.main import main
from nooks_lab.faults import census
from nooks_lab.faults.survival import survive
from nooks_lab.lab import Lab
from nooks_lab.workloads.network import Network

SOURCE = Path(__file__).parent / "newcomer_e1000.c"


class Newcomer(Network):
    """The network workload, over the newcomer's driver."""

    def set_up(self, lab: Lab) -> None:
        lab.substitutes["e1000"] = extensions.build(SOURCE)
        super().set_up(lab)


@pytest.mark.parametrize("mode", ["native", "nooks"])
def test_it_passes_a_trial(mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--native"] if mode == "native" else []
    with pytest.raises(SystemExit) as ended:
        main(["try", str(SOURCE), "--device", "e1000", "--json", *more])
    assert ended.value.code == 0
    said = json.loads(capsys.readouterr().out)
    assert said["workload_ok"] is True
    assert said[mode]["packets_lost"] == 0
    assert "eth0: link is up" in said["messages"]


def test_streams_arrive_intact_natively_and_under_nooks() -> None:
    digests = set()
    for nooks in (False, True):
        workload = Newcomer("e1000", messages=8)
        with nl.boot(nooks=nooks, devices=workload.devices) as lab:
            workload.set_up(lab)
            result = workload.run(lab)
            assert result.ok, result.wrong
            digests.add(result.digest)
    assert len(digests) == 1


def test_it_survives_recoveries() -> None:
    found = survive(Newcomer("e1000", messages=1, pings=1), "e1000", 5, seed=1)
    assert found.clean, found.to_json()


@pytest.mark.parametrize("nooks", [False, True])
def test_it_leaves_nothing_behind(nooks: bool) -> None:
    with nl.boot(nooks=nooks) as lab:
        driver = extensions.build(SOURCE)
        for _ in range(2):
            before = census.take(lab)
            lab.insmod(driver)
            lab.ifup("eth0", "10.0.0.2", "255.255.255.0")
            lab.run(0.05)
            lab.kernel.rmmod("newcomer_e1000")
        assert census.take(lab).more_than(before) == dict.fromkeys(before.more_than(before), 0)
