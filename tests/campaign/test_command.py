"""``nooks-lab campaign``: real trials, a replay, and what it says to bad input."""

import json

import pytest

from nooks_lab.campaign import request
from nooks_lab.campaign.outcome import Outcome
from nooks_lab.campaign.settings import Settings
from nooks_lab.cli.main import main
from nooks_lab.faults import fat_tools

REAL = ("campaign", "--extension", "e1000", "--seed", "1")


def run(*arguments):
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    return end.value.code


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def test_real_trials_are_counted_kept_exported_and_replayed(tmp_path, capsys):
    results, table, picture = (tmp_path / name for name in ("r.db", "trials.csv", "trial.png"))
    campaign = (*REAL, "--trials", "6", "--jobs", "2", "--results", str(results))
    assert run(*campaign, "--csv", str(table), "--json") == 0
    captured = capsys.readouterr()
    said = json.loads(captured.out)
    assert captured.err == ""
    assert set(said["native"]) == set(said["nooks"]) == {outcome.value for outcome in Outcome}
    assert sum(said["native"].values()) == sum(said["nooks"].values()) == said["trials"] == 6
    assert said["native_crashes"] >= 1
    assert said["recovered_with_leaks"] == 0
    assert said["trials_run"] == 12
    assert json.loads((tmp_path / "trials.summary.json").read_text()) == said
    assert len(table.read_text().splitlines()) >= 13

    # A replay with another number of workers, in another process: the file has the very same.
    assert run(*REAL, "--replay", "1", "--results", str(results), "--picture", str(picture), "--json") == 0
    replayed = json.loads(capsys.readouterr().out)
    assert replayed["compared"] == f"{results} has the same results."
    assert (replayed["seed"], replayed["number"]) == (1, 1)
    assert replayed["native"]["events"]
    assert len(replayed["native"]["faults"]) == len(replayed["nooks"]["faults"]) == 5
    assert [fault["offset"] for fault in replayed["native"]["faults"]] == [
        fault["offset"] for fault in replayed["nooks"]["faults"]
    ]
    assert picture.read_bytes().startswith(b"\x89PNG")

    assert run(*campaign) == 0
    out = capsys.readouterr().out
    assert "e1000" in out
    assert f"The trials are in {results}." in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--extension", "ne2000"), "unknown extension 'ne2000'"),
        (("--classes", "branch,typo"), "unknown fault class 'typo'"),
        (("--trials", "0"), "'--trials': Input should be greater than or equal to 1"),
        (("--trials", "-3"), "'--trials'"),
        (("--faults", "0"), "'--faults'"),
        (("--seed", "-1"), "'--seed'"),
        (("--seed", str(1 << 32)), "'--seed'"),
        (("--jobs", "0"), "'--jobs'"),
        (("--placement", "anywhere"), "anywhere"),
        (("--until-width", "1.5"), "--until-width 1.5 does not"),
        (("--jobs", "2", "--dask", "tcp://127.0.0.1:9"), "--jobs is for processes on this host"),
        (("--results", "nowhere/r.db"), "nowhere/r.db: there is no folder nowhere"),
        (("--csv", "."), ". is a folder"),
        (("--picture", "p.png"), "--replay"),
        (("--replay", "x1"), "NUMBER or SEED:NUMBER, not 'x1'"),
        (("--replay", "-1"), "not '-1'"),
        (("--extension", "sb", "--replay", "1"), "one extension"),
        (("--replay", "1", "--picture", "p.xyz"), "p.xyz"),
        (("--replay", "1", "--results", "missing.db"), "missing.db: there is no such results file"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(tmp_path, monkeypatch, capsys, arguments, told):
    monkeypatch.chdir(tmp_path)
    assert run("campaign", "--extension", "e1000", "--results", "r.db", *arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert told in captured.err
    assert not (tmp_path / "r.db").exists()


def test_classes_without_a_qualifying_instruction_are_told_before_the_first_trial(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(request, "sites", lambda fault_class, text: ())
    monkeypatch.chdir(tmp_path)
    assert run("campaign", "--extension", "e1000", "--classes", "loop", "--results", "r.db") == 2
    assert "no instruction of e1000 qualifies for: loop" in capsys.readouterr().err


def test_a_missing_judge_of_disks_is_told_before_the_first_trial(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fat_tools, "_PATH", str(tmp_path))
    results = tmp_path / "vfat.sqlite"
    assert run("campaign", "--extension", "vfat", "--trials", "1", "--results", str(results)) == 2
    assert "fsck.fat is missing" in capsys.readouterr().err
    assert not results.exists()


def test_another_campaigns_file_is_told_and_left_alone(tmp_path, capsys):
    path = tmp_path / "r.db"
    path.write_text("my thesis")
    assert run(*REAL, "--trials", "1", "--results", str(path)) == 2
    assert "is not a whole results file" in capsys.readouterr().err
    assert path.read_text() == "my thesis"


def test_groups_of_extensions():
    assert request.named_extensions(["paper"]) == ("sb", "e1000", "pcnet32", "vfat", "khttpd")
    assert len(request.named_extensions(["sb", "all"])) == 8
    assert request.named_extensions(["sb", "all"])[0] == "sb"


def test_the_usual_results_file_is_the_same_for_the_same_campaign_only():
    files = {
        request.default_results(Settings(*args)) for args in ((1,), (1,), (2,), (1, 4), (1, 5, ("nop",)))
    }
    assert len(files) == 4
