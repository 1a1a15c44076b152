"""What is counted, as the paper counts, and how it is shown, exported and drawn."""

import csv
import json
from dataclasses import asdict

import pyarrow.parquet as pq
import pytest
import stand_in
from rich.console import Console

from nooks_lab.campaign.export import write_csv, write_parquet, write_summary
from nooks_lab.campaign.figures import crashes_figure, failures_figure, write_figures
from nooks_lab.campaign.files import corrupt
from nooks_lab.campaign.outcome import Outcome
from nooks_lab.campaign.plan import missing
from nooks_lab.campaign.prefix import Prefix
from nooks_lab.campaign.progress import Bar, crashes
from nooks_lab.campaign.run import Progress
from nooks_lab.campaign.settings import Settings
from nooks_lab.campaign.store import Outline, row_of
from nooks_lab.campaign.summary import campaign_json, summarise, together
from nooks_lab.campaign.summary_table import show
from nooks_lab.faults.volume_judge import VolumeJudgement

CRASH, FINE, RECOVERED = Outcome.CRASH, Outcome.NO_EFFECT, Outcome.RECOVERED
SETTINGS = Settings(seed=1, faults=2)


def outlines(*pairs, leaked=False):
    for number, (native, nooks) in enumerate(pairs):
        yield Outline(number, False, native, "", 3, 0, 0, False)
        recoveries = int(nooks is RECOVERED)
        yield Outline(number, True, nooks, f"why {number}", 3, recoveries, recoveries * 17_000_000, leaked)


def test_crashes_are_paired_by_number():
    made = summarise(
        "sb", outlines((CRASH, RECOVERED), (CRASH, CRASH), (FINE, CRASH), (CRASH, FINE), (FINE, FINE))
    )
    assert (made.trials, made.native_crashes, made.nooks_crashes) == (5, 3, 2)
    assert made.eliminated == pytest.approx(2 / 3)
    assert made.eliminated_by_count == pytest.approx(1 / 3)
    assert made.new_crashes == 1
    assert [(crash.number, crash.reason) for crash in made.remaining] == [(1, "why 1"), (2, "why 2")]
    assert made.seconds_per_recovery == pytest.approx(0.01)
    assert made.activated == 15


def test_non_fatal_failures_are_those_that_somebody_sees():
    native = (Outcome.PROCESS_KILLED, Outcome.FAILURE, Outcome.SILENT_CORRUPTION, CRASH)
    nooks = (RECOVERED, Outcome.RECOVERY_FAILED, Outcome.SILENT_CORRUPTION, RECOVERED)
    made = summarise("sb", outlines(*zip(native, nooks, strict=True)))
    assert (made.native_failures, made.nooks_failures) == (2, 1)


def test_a_number_with_one_side_counts_nowhere():
    all_but_one = [
        each
        for each in outlines((CRASH, FINE), (CRASH, FINE), (FINE, FINE))
        if (each.number, each.nooks) != (1, True)
    ]
    made = summarise("sb", all_but_one)
    assert (made.trials, made.native_crashes) == (2, 1)


def test_a_recovered_trial_with_leaks_is_found():
    assert summarise("sb", outlines((CRASH, RECOVERED), (FINE, FINE), leaked=True)).leaking == 1


def test_only_recovered_trials_count_as_recovered_with_a_loss():
    lost = [
        Outline(0, False, CRASH, "", 1, 0, 0, False),
        Outline(0, True, RECOVERED, "", 1, 1, 9, False, True, True),
        Outline(1, False, FINE, "", 1, 0, 0, False),
        Outline(1, True, Outcome.FAILURE, "", 1, 0, 0, False, True, True),
        Outline(2, False, CRASH, "", 1, 0, 0, False),
        Outline(2, True, RECOVERED, "", 1, 1, 9, False),
    ]
    made = summarise("vfat", lost)
    assert (made.with_loss, made.corrupt_disks) == (1, 1)
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(show([made]))
    assert "vfat: of 2 recovered, 1 lost something, 1 left a corrupt disk" in console.export_text()


def test_a_complaint_about_the_structure_of_a_volume_is_no_lost_file():
    judged = VolumeJudgement(("Reclaimed 3 unused clusters",), ("/a.c",), (), 9)
    assert corrupt(judged.sentences())
    assert not corrupt(VolumeJudgement(judged.complaints, (), (), 9).sentences())


def test_without_native_crashes_nothing_is_claimed():
    made = summarise("sb", outlines((FINE, FINE)))
    assert made.eliminated is None
    assert made.interval == (0.0, 1.0)


def test_the_papers_own_counts_give_its_share_and_interval():
    pairs = [(CRASH, RECOVERED)] * 313 + [(CRASH, CRASH)] * 4 + [(FINE, FINE)] * 1683
    said = campaign_json([summarise("e1000", outlines(*pairs))], SETTINGS, 40.0)
    assert said["eliminated"] == pytest.approx(313 / 317)
    assert [round(100 * end, 1) for end in said["wilson"]] == [96.8, 99.5]
    assert said["native"]["crash"] == 317
    assert sum(said["nooks"].values()) == said["trials"] == 2000
    assert (said["extension"], said["seed"], said["faults"], said["trials_per_s"]) == ("e1000", 1, 2, 40.0)
    assert "extensions" not in said
    json.dumps(said)


@pytest.fixture(scope="module")
def rows():
    return [row_of(stand_in.trial(spec)) for spec in missing(SETTINGS, "e1000", 200, set())]


@pytest.fixture(scope="module")
def summaries(rows):
    def summary(name, some):
        return summarise(
            name,
            [
                Outline(
                    row.number,
                    row.nooks,
                    row.outcome,
                    row.reason,
                    row.activated,
                    row.recoveries,
                    row.recovery_cycles,
                    bool(row.leaked),
                    bool(row.wrong),
                    corrupt(row.disk),
                )
                for row in some
            ],
        )

    return [summary("e1000", rows), summary("sb", rows[:100]), summary("vfat", rows[:40])]


def test_several_extensions_are_listed_and_summed(summaries):
    said = campaign_json(summaries, SETTINGS, None)
    assert [each["extension"] for each in said["extensions"]] == ["e1000", "sb", "vfat"]
    assert said["trials"] == 200 + 50 + 20
    assert said["native_crashes"] == sum(each["native_crashes"] for each in said["extensions"])


def test_the_tables_fit_a_terminal_and_name_each_crash_that_is_left(summaries):
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(show(summaries))
    text = console.export_text()
    assert "…" not in text
    for crash in together(summaries).remaining:
        assert f"{crash.extension} {crash.number}: {crash.reason}" in text


def test_csv_reads_back_as_it_was(tmp_path, rows):
    path = tmp_path / "trials.csv"
    write_csv(rows, 1, path)
    with path.open(newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    for line, row in zip(read, rows, strict=True):
        assert (int(line["number"]), line["nooks"] == "True", line["outcome"]) == (
            row.number,
            row.nooks,
            row.outcome,
        )
        assert (line["reason"], int(line["cycles"]), int(line["seed"])) == (row.reason, row.cycles, 1)
        assert json.loads(line["faults"]) == [asdict(fault) for fault in row.faults]
        assert json.loads(line["leaked"]) == row.leaked
        assert (json.loads(line["wrong"]), json.loads(line["disk"])) == (list(row.wrong), list(row.disk))


def test_parquet_reads_back_as_it_was(tmp_path, rows, monkeypatch):
    monkeypatch.setattr("nooks_lab.campaign.export._GROUP", 64)
    path = tmp_path / "trials.parquet"
    write_parquet(rows, 1, path)
    read = pq.read_table(path)
    assert pq.ParquetFile(path).num_row_groups == 7
    for line, row in zip(read.to_pylist(), rows, strict=True):
        assert line["seed"] == 1
        assert line["outcome"] == row.outcome.value
        assert dict(line["leaked"]) == row.leaked
        assert line["faults"] == [asdict(fault) for fault in row.faults]
        for name in (
            "extension",
            "number",
            "nooks",
            "reason",
            "activated",
            "recoveries",
            "recovery_cycles",
            "cycles",
        ):
            assert line[name] == getattr(row, name)
        assert (line["wrong"], line["disk"]) == (list(row.wrong), list(row.disk))


def test_the_summary_lies_beside_the_table(tmp_path):
    path = write_summary({"trials": 3}, tmp_path / "trials.csv")
    assert path == tmp_path / "trials.summary.json"
    assert json.loads(path.read_text()) == {"trials": 3}


@pytest.mark.parametrize(
    ("draw", "native", "nooks", "paper"),
    [
        (crashes_figure, "native_crashes", "nooks_crashes", ["317", "4"]),
        (failures_figure, "native_failures", "nooks_failures", ["512", "212"]),
    ],
)
def test_the_figures_show_our_counts_beside_the_papers_totals(summaries, draw, native, nooks, paper):
    left, right = draw(summaries).axes
    heights = [
        [bar.get_height() for bar in bars]
        for bars in left.containers
        if len(bars) == 3 and hasattr(bars[0], "get_height")
    ]
    assert heights == [[getattr(each, side) / each.trials for each in summaries] for side in (native, nooks)]
    written = [text.get_text() for text in left.texts]
    assert written == [str(getattr(each, side)) for side in (native, nooks) for each in summaries]
    total = together(summaries)
    beside = [text.get_text() for text in right.texts]
    assert beside == [str(getattr(total, native)), paper[0], str(getattr(total, nooks)), paper[1]]
    assert [label.get_text() for label in right.get_xticklabels()] == [
        "here\n270 trials",
        "paper's five\n2,000 trials",
    ]


def test_the_figures_are_written(tmp_path, summaries):
    written = write_figures(summaries[:1], tmp_path / "new" / "figures")
    assert [path.name for path in written] == ["figure6-crashes.png", "figure7-failures.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)


def progress():
    prefix = Prefix()
    for number, nooks in enumerate((RECOVERED, CRASH, RECOVERED)):
        prefix.add(number, False, CRASH)
        prefix.add(number, True, nooks)
    return Progress(10, 6, {"sb": prefix}, 6)


def test_the_bar_tells_crashes_and_interval_on_a_terminal_only(tmp_path):
    said = "crashes: native 3, Nooks 1; eliminated 66.7% (20.8% to 93.9%)"
    assert crashes(progress()) == said
    for terminal in (True, False):
        with (tmp_path / "out").open("w+") as file:
            with Bar(Console(file=file, force_terminal=terminal, width=140)) as bar:
                bar.show(progress())
            file.seek(0)
            text = file.read()
        assert (said in text and "6/20" in text) == terminal
        assert bool(text) == terminal
