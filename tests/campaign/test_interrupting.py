"""Ctrl-C or kill -9 at any moment, and start again: the results are those of a campaign that nobody disturbed."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import stand_in

from nooks_lab.campaign.settings import Settings
from nooks_lab.campaign.store import open_store, row_of

TRIALS = 150
SETTINGS = Settings(seed=11, faults=3)
HERE = Path(__file__).parent


def command(results, *more):
    named = ("--extension", "e1000", "--seed", "11", "--faults", "3", "--trials", str(TRIALS))
    return [
        sys.executable,
        str(HERE / "campaign_process.py"),
        "campaign",
        *named,
        *("--jobs", "2", "--results", str(results), *more),
    ]


def start(results):
    # A session of its own, as a terminal's foreground job: the signal goes to the workers too.
    return subprocess.Popen(
        command(results), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def kept(results):
    """Count the trials in a file that its campaign has locked; from a copy of what is on the disk now."""
    copy = results.with_name("copy.db")
    for ending in ("", "-wal"):
        source = Path(f"{results}{ending}")
        Path(f"{copy}{ending}").write_bytes(source.read_bytes() if source.exists() else b"")
    try:
        with closing(sqlite3.connect(copy)) as connection:
            return connection.execute("SELECT count(*) FROM trial").fetchone()[0]
    except sqlite3.Error:
        return 0


def disturb(results, number, at_least):
    """Send a signal to the campaign once so many trials are kept; return its id, exit code and words."""
    process = start(results)
    end = time.monotonic() + 40
    while process.poll() is None and time.monotonic() < end:
        if results.exists() and kept(results) >= at_least:
            break
        time.sleep(0.01)
    assert process.poll() is None, process.communicate()
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    out, err = process.communicate(timeout=30)
    return process.pid, process.returncode, out, err


def no_worker_is_left(group):
    """Wait until the process group is empty: workers of a killed campaign end by themselves."""
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def check_whole(results):
    with open_store(results, SETTINGS, {}) as store:
        specs = [SETTINGS.spec("e1000", n, side) for n in range(TRIALS) for side in (False, True)]
        assert list(store.rows("e1000")) == [row_of(stand_in.trial(spec)) for spec in specs]
        trials, _ = store.pace()
        assert trials == 2 * TRIALS


def finish(results):
    done = subprocess.run(command(results, "--json"), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert sum(said["native"].values()) == sum(said["nooks"].values()) == said["trials"] == TRIALS
    assert said["trials_per_s"] > 0
    return said


def test_ctrl_c_and_kill_at_any_moment_lose_nothing_and_do_nothing_twice(tmp_path):
    results = tmp_path / "r.db"
    before = 0
    for number, at_least in (
        (signal.SIGKILL, 0),
        (signal.SIGINT, 1),
        (signal.SIGKILL, 60),
        (signal.SIGINT, 120),
    ):
        # One trial of this run, so that the signal comes neither before it nor in its first lines.
        group, code, out, err = disturb(results, number, max(at_least, before + 1 if before else 0))
        now = kept(results)
        assert max(at_least, before) <= now < 2 * TRIALS
        if number == signal.SIGINT:
            assert out == ""
            assert code == 130
            assert err == (
                f"nooks-lab: interrupted: {now} of {2 * TRIALS} trials are in {results}; "
                "the same command goes on with the others\n"
            )
        else:
            # A worker that had just begun may say on its standard output that its campaign is gone.
            assert code == -signal.SIGKILL
            assert "Traceback" not in err
        assert no_worker_is_left(group)
        before = now
    assert finish(results)["trials_run"] == 2 * TRIALS - before
    check_whole(results)


def test_ctrl_c_before_there_is_a_worker(tmp_path):
    results = tmp_path / "r.db"
    process = start(results)
    while not results.exists() and process.poll() is None:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err in (
        "nooks-lab: interrupted before the first trial\n",
        f"nooks-lab: interrupted: 0 of {2 * TRIALS} trials are in {results}; "
        "the same command goes on with the others\n",
    )
    assert no_worker_is_left(process.pid)
