"""A campaign's loop: everything once, with any number of workers, whatever happens to them."""

import pytest
import stand_in

from nooks_lab.campaign.errors import CampaignError
from nooks_lab.campaign.interval import width
from nooks_lab.campaign.outcome import Outcome
from nooks_lab.campaign.plan import batches, missing, pairs_per_batch
from nooks_lab.campaign.prefix import Prefix
from nooks_lab.campaign.run import Campaign
from nooks_lab.campaign.settings import Settings
from nooks_lab.campaign.store import open_store, row_of
from nooks_lab.campaign.summary import summarise
from nooks_lab.campaign.workers import Processes

SETTINGS = Settings(seed=1, faults=2)


def expected(trials, extension="e1000"):
    return [row_of(stand_in.trial(spec)) for spec in missing(SETTINGS, extension, trials, set())]


@pytest.fixture(scope="module")
def processes():
    """Workers that several campaigns use, since each takes its time to start."""
    made = {1: Processes(1), 2: Processes(2)}
    yield made
    for workers in made.values():
        workers.close(at_once=False)


def run(path, workers, trials=48, trial=stand_in.trial, extensions=("e1000",), until_width=None):
    with open_store(path, SETTINGS, {}) as store:
        campaign = Campaign(store, SETTINGS, extensions, trials, trial, until_width)
        campaign.run(workers)
        assert campaign.complete == (not campaign.progress.broken)
        return campaign, {name: list(store.rows(name)) for name in extensions}, campaign.numbers()


@pytest.fixture
def mortal(request):
    workers = Processes(getattr(request, "param", 2))
    yield workers
    workers.close(at_once=True)


@pytest.mark.parametrize("jobs", [1, 2])
def test_any_number_of_jobs_gives_the_same_file(tmp_path, processes, jobs):
    campaign, rows, _ = run(tmp_path / "r.db", processes[jobs], extensions=("e1000", "sb"))
    assert rows == {name: expected(48, name) for name in ("e1000", "sb")}
    assert campaign.progress.run == campaign.progress.done == campaign.progress.wanted == 4 * 48


def test_a_campaign_is_extended_with_what_is_missing(tmp_path, processes):
    run(tmp_path / "r.db", processes[2], trials=10)
    campaign, rows, _ = run(tmp_path / "r.db", processes[2], trials=33)
    assert rows["e1000"] == expected(33)
    assert campaign.progress.run == 2 * 23


def test_a_worker_that_dies_loses_no_trial(tmp_path, monkeypatch, mortal):
    deaths = tmp_path / "deaths"
    monkeypatch.setenv("STAND_IN_DEATHS", str(deaths))
    campaign, rows, _ = run(tmp_path / "r.db", mortal, trial=stand_in.dies_once)
    assert deaths.read_text() == "died\n"
    assert rows["e1000"] == expected(48)
    assert not campaign.progress.broken


@pytest.mark.parametrize("mortal", [1], indirect=True)
def test_a_trial_that_kills_its_worker_again_and_again_has_no_outcome_and_all_others_have(
    tmp_path, monkeypatch, mortal
):
    deaths = tmp_path / "deaths"
    monkeypatch.setenv("STAND_IN_DEATHS", str(deaths))
    campaign, rows, _ = run(tmp_path / "r.db", mortal, trial=stand_in.dies_always)
    (broken,) = campaign.progress.broken
    assert str(broken) == "trial 1:5 of e1000 under Nooks: the worker that runs it dies, 2 times of 2"
    assert deaths.read_text().count("died") == 3
    assert rows["e1000"] == [row for row in expected(48) if (row.number, row.nooks) != (5, True)]
    with open_store(tmp_path / "r.db", SETTINGS, {}) as store:
        assert summarise("e1000", store.outlines("e1000", 48)).trials == 47


def test_a_host_error_is_no_outcome(tmp_path, processes):
    campaign, rows, _ = run(tmp_path / "r.db", processes[2], trial=stand_in.raises)
    assert {(each.spec.number, each.spec.nooks) for each in campaign.progress.broken} == {
        (7, False),
        (7, True),
    }
    assert "RuntimeError: fails (stand_in.py:" in campaign.progress.broken[0].why
    assert len(rows["e1000"]) == 2 * 47


def always_raises(spec):
    raise RuntimeError("no host")


def test_too_many_host_errors_end_the_campaign(tmp_path, mortal):
    with pytest.raises(CampaignError, match="trials have no result; the first: trial 1:"):
        run(tmp_path / "r.db", mortal, trial=always_raises)


def test_the_rule_stops_at_the_same_number_with_any_number_of_jobs(tmp_path, processes):
    ends = []
    for jobs in (1, 2):
        _, rows, numbers = run(tmp_path / f"{jobs}.db", processes[jobs], trials=5000, until_width=0.25)
        ends.append(numbers["e1000"])
        assert rows["e1000"][: 2 * numbers["e1000"]] == expected(numbers["e1000"])
        assert len(rows["e1000"]) < 2 * 1000
    assert ends[0] == ends[1]
    with open_store(tmp_path / "1.db", SETTINGS, {}) as store:
        enough = summarise("e1000", store.outlines("e1000", ends[0]))
        before = summarise("e1000", store.outlines("e1000", ends[0] - 1))
    assert width(enough.eliminated_crashes, enough.native_crashes) <= 0.25
    assert width(before.eliminated_crashes, before.native_crashes) > 0.25


def test_batches_hold_both_sides_of_a_number_and_everything_once():
    done = {(0, False), (0, True), (3, False)}
    made = list(batches(SETTINGS, "e1000", 100, done, 2))
    assert [spec for batch in made for spec in batch] == list(missing(SETTINGS, "e1000", 100, done))
    where = {(spec.number, position) for position, batch in enumerate(made) for spec in batch}
    assert len(where) == 99
    assert (pairs_per_batch(10_000, 2), pairs_per_batch(64, 2), pairs_per_batch(3, 2)) == (8, 4, 1)


def test_the_prefix_waits_for_gaps_and_for_both_sides():
    prefix = Prefix()
    prefix.add(1, False, Outcome.CRASH)
    prefix.add(0, False, Outcome.CRASH)
    prefix.add(0, True, Outcome.CRASH)
    assert (prefix.length, prefix.native_crashes, prefix.nooks_crashes, prefix.eliminated) == (1, 1, 1, 0)
    prefix.add(1, True, Outcome.RECOVERED)
    prefix.add(2, True, None)
    prefix.add(2, False, Outcome.CRASH)
    assert (prefix.length, prefix.native_crashes, prefix.eliminated) == (3, 2, 1)
