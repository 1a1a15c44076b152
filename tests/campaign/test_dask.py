"""On a real Dask cluster whose worker is killed in mid-run, no trial is lost and none is done twice."""

import os
import signal

import pytest
import stand_in
from distributed import Client, LocalCluster

from nooks_lab.campaign.errors import CampaignError
from nooks_lab.campaign.plan import missing
from nooks_lab.campaign.run import Campaign
from nooks_lab.campaign.settings import Settings
from nooks_lab.campaign.store import open_store, row_of
from nooks_lab.campaign.workers import DaskCluster

SETTINGS = Settings(seed=1, faults=2)
TRIALS = 150


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as made:
        yield made


class Killer:
    """Kills a worker of the cluster once some trials have been kept."""

    def __init__(self, cluster):
        with Client(cluster, set_as_default=False) as client:
            self.before = set(client.run(os.getpid).values())
        self.victim = min(self.before)
        self.killed_at = None

    def __call__(self, progress):
        if self.killed_at is None and progress.run >= 40:
            self.killed_at = progress.run
            os.kill(self.victim, signal.SIGKILL)


def test_a_killed_worker_loses_no_trial(tmp_path, cluster):
    killer = Killer(cluster)
    workers = DaskCluster(cluster.scheduler_address)
    try:
        with open_store(tmp_path / "r.db", SETTINGS, {}) as store:
            campaign = Campaign(store, SETTINGS, ("e1000",), TRIALS, stand_in.slow_trial, look=killer)
            campaign.run(workers)
            rows = list(store.rows("e1000"))
            assert store.pace()[0] == 2 * TRIALS
    finally:
        workers.close(at_once=False)
    assert killer.killed_at is not None
    assert killer.killed_at < 2 * TRIALS
    assert rows == [row_of(stand_in.trial(spec)) for spec in missing(SETTINGS, "e1000", TRIALS, set())]
    assert not campaign.progress.broken
    with Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=20)
        assert killer.victim not in client.run(os.getpid).values()


def test_no_scheduler_is_told(monkeypatch):
    monkeypatch.setattr("nooks_lab.campaign.workers._LOOK", 0.5)
    with pytest.raises(CampaignError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        DaskCluster("tcp://127.0.0.1:9")


def test_what_is_no_address_is_told():
    with pytest.raises(CampaignError, match="no Dask scheduler answers at nonsense:"):
        DaskCluster("nonsense://")
