"""What happens in a worker process: it runs a batch of trials and reports each."""

import functools
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from nooks_lab.campaign.plan import Batch
from nooks_lab.campaign.trial import TrialResult, TrialSpec

Trial = Callable[[TrialSpec], TrialResult]
"""Runs one trial; the same specification gives the same result."""

_LOOK = 0.5
"""Seconds between two looks whether the campaign is still there."""

_ATTEMPTS = 2


@dataclass(frozen=True)
class Broken:
    """A trial that has no result, for a mistake of ours: never an outcome."""

    spec: TrialSpec
    why: str

    def __str__(self) -> str:
        side = "under Nooks" if self.spec.nooks else "natively"
        return f"trial {self.spec.seed}:{self.spec.number} of {self.spec.extension} {side}: {self.why}"


Report = TrialResult | Broken


def be_a_worker(campaign: int) -> None:
    """Make this process a worker of the process ``campaign``.

    Ctrl-C is for the campaign, which ends its workers; and a worker whose campaign was killed ends by itself.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == campaign:
            time.sleep(_LOOK)
        os._exit(1)

    threading.Thread(target=watch, name="campaign watch", daemon=True).start()


def run_batch(trial: Trial, batch: Batch) -> list[Report]:
    """Run trials one after the other; events stay behind, since a replay makes them again."""
    if threading.current_thread() is threading.main_thread():
        return [_report(trial, spec) for spec in batch]
    # A Dask worker calls from any of its threads; a machine's kernel tasks belong to the one that booted it.
    return _machine_thread().submit(lambda: [_report(trial, spec) for spec in batch]).result()


def _report(trial: Trial, spec: TrialSpec) -> Report:
    """Run a trial; once more when it comes to no result, since the host may have been short of something."""
    report: Report = Broken(spec, "")
    for _ in range(_ATTEMPTS):
        try:
            return replace(trial(spec), events=())
        except Exception as error:  # noqa: BLE001 - whatever it is, the campaign names the trial and goes on
            report = Broken(spec, _words(error))
    return report


def _words(error: Exception) -> str:
    """Return an error in one line; of a traceback that came as text, its last line."""
    said = str(error).strip().splitlines() or [""]
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {said[-1]} ({os.path.basename(where.filename)}:{where.lineno})"


@functools.cache
def _machine_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "machine")
