"""A campaign's loop: hands batches to workers, and keeps what they report.

What is reported to the user is on the disk already.  A worker that dies takes trials with it, and nobody knows which
one it was: those are run again one by one, each alone with one worker.  A trial that kills a worker twice when it is
alone is broken: it has no outcome, and the campaign fails, after all others are done.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from nooks_lab.campaign.errors import CampaignError
from nooks_lab.campaign.plan import Batch, batches
from nooks_lab.campaign.prefix import Prefix
from nooks_lab.campaign.settings import Settings
from nooks_lab.campaign.store import Store
from nooks_lab.campaign.trial import TrialResult, TrialSpec
from nooks_lab.campaign.worker import Broken, Report, Trial, run_batch
from nooks_lab.campaign.workers import Workers

MOST_DEATHS = 2
"""Of workers, with one trial alone."""

MOST_BROKEN = 20
"""So many trials without a result, and there is no use in going on."""

_AHEAD = 2
"""Batches handed out for each worker: the one it runs, and the next."""


@dataclass(frozen=True)
class _Handed:
    """A batch at a worker, and whether no other one ran beside it."""

    batch: Batch
    alone: bool


@dataclass
class Progress:
    """How far a campaign is.

    Attributes
    ----------
    trials : int
        Numbers to try of each extension, at most.
    done : int
        Those in the results file, the ones from earlier runs included.
    run : int
        Those of this run.
    prefixes : dict of str to Prefix
        What counts of each extension.
    broken : list of Broken
    """

    trials: int
    done: int
    prefixes: dict[str, Prefix]
    run: int = 0
    broken: list[Broken] = field(default_factory=list)

    @property
    def wanted(self) -> int:
        """Trials in all, native and Nooks each counted; fewer once the rule has ended an extension's."""
        return 2 * sum(
            min(self.trials, prefix.stopped_at or self.trials) for prefix in self.prefixes.values()
        )

    @property
    def native_crashes(self) -> int:
        """Of all extensions."""
        return sum(prefix.native_crashes for prefix in self.prefixes.values())

    @property
    def nooks_crashes(self) -> int:
        """Of all extensions."""
        return sum(prefix.nooks_crashes for prefix in self.prefixes.values())

    @property
    def eliminated(self) -> int:
        """Of all extensions."""
        return sum(prefix.eliminated for prefix in self.prefixes.values())


def _look_away(progress: Progress) -> None:
    """Nobody wants to see it."""


class Campaign:
    """Trials of some extensions, native and under Nooks.

    Parameters
    ----------
    trials : int
        Numbers to try of each extension, or fewer if the rule ends it before.
    until_width : float, optional
        The rule: stop with an extension once the 95% interval of the eliminated share of its native crashes is at
        most this wide.
    trial : callable
        Runs one trial, in a worker.
    look : callable
        Is given the progress whenever trials have been kept.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        extensions: Sequence[str],
        trials: int,
        trial: Trial,
        until_width: float | None = None,
        look: Callable[[Progress], None] | None = None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._extensions = extensions
        self._trials = trials
        self._trial = trial
        self._look = look or _look_away
        self._deaths: Counter[TrialSpec] = Counter()
        self._suspects: deque[TrialSpec] = deque()
        prefixes = {name: Prefix(until_width) for name in extensions}
        done = 0
        for name, prefix in prefixes.items():
            for number, nooks, outcome in store.outcomes(name):
                prefix.add(number, nooks, outcome)
                done += number < trials
        self.progress = Progress(trials, done, prefixes)

    @property
    def complete(self) -> bool:
        """Whether there is nothing left to run."""
        return next(self._batches(1), None) is None

    def numbers(self) -> dict[str, int]:
        """Return, for each extension, below which number its trials count."""
        stops = {name: prefix.stopped_at for name, prefix in self.progress.prefixes.items()}
        return {name: min(self._trials, stop or self._trials) for name, stop in stops.items()}

    def run(self, workers: Workers) -> None:
        """Run what is missing.

        Raises
        ------
        CampaignError
            When results cannot be kept, nobody is left to run trials, or too many of them broke.
        """
        self._look(self.progress)
        self._store.begin_run(workers.jobs)
        self._started = time.monotonic()
        waiting = self._batches(workers.jobs)
        running: dict[Future[Any], _Handed] = {}
        while True:
            self._hand_out(workers, running, waiting)
            if not running:
                return
            for future in workers.wait(running):
                self._take(workers, future, running.pop(future))

    def _batches(self, jobs: int) -> Iterator[Batch]:
        for name in self._extensions:
            done = self._store.done(name)
            for batch in batches(self._settings, name, self._trials, done, jobs):
                if self.progress.prefixes[name].stopped_at is not None:
                    break
                yield batch

    def _hand_out(
        self, workers: Workers, running: dict[Future[Any], _Handed], waiting: Iterator[Batch]
    ) -> None:
        """Keep every worker busy; but a suspect runs alone."""
        if self._suspects:
            if not running:
                self._submit(workers, running, _Handed((self._suspects.popleft(),), alone=True))
            return
        while len(running) < _AHEAD * workers.jobs and (batch := next(waiting, None)):
            self._submit(workers, running, _Handed(batch, alone=False))

    def _submit(self, workers: Workers, running: dict[Future[Any], _Handed], handed: _Handed) -> None:
        running[workers.submit(run_batch, self._trial, handed.batch)] = handed

    def _take(self, workers: Workers, future: "Future[Any]", handed: _Handed) -> None:
        error = future.exception()
        if error is None:
            self._keep(future.result())
        elif not workers.lost(error):
            raise CampaignError(f"a worker cannot run trials: {type(error).__name__}: {error}") from error
        elif handed.alone:
            self._died(*handed.batch)
        else:
            self._suspects.extend(handed.batch)

    def _died(self, spec: TrialSpec) -> None:
        self._deaths[spec] += 1
        if self._deaths[spec] < MOST_DEATHS:
            self._suspects.appendleft(spec)
        else:
            self._keep([Broken(spec, f"the worker that runs it dies, {MOST_DEATHS} times of {MOST_DEATHS}")])

    def _keep(self, reports: Sequence[Report]) -> None:
        results = [report for report in reports if isinstance(report, TrialResult)]
        self._store.append(results, time.monotonic() - self._started)
        progress = self.progress
        for report in reports:
            outcome = report.outcome if isinstance(report, TrialResult) else None
            progress.prefixes[report.spec.extension].add(report.spec.number, report.spec.nooks, outcome)
        progress.broken += [report for report in reports if isinstance(report, Broken)]
        progress.done += len(results)
        progress.run += len(results)
        self._look(progress)
        if len(progress.broken) >= MOST_BROKEN:
            raise CampaignError(
                f"{len(progress.broken)} trials have no result; the first: {progress.broken[0]}"
            )
