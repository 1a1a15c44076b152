"""The body of ``nooks-lab campaign``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import joblib
from rich.console import Console

from nooks_lab import extensions
from nooks_lab.campaign.progress import Bar
from nooks_lab.campaign.request import Request
from nooks_lab.campaign.run import Campaign
from nooks_lab.campaign.run_trial import run_trial
from nooks_lab.campaign.store import Store, open_store
from nooks_lab.campaign.summary import Summary, campaign_json, summarise
from nooks_lab.campaign.worker import Broken, Trial
from nooks_lab.campaign.workers import DaskCluster, Processes, Workers

INTERRUPTED = 130
"""The exit code of a program that Ctrl-C ended."""


@dataclass(frozen=True)
class Done:
    """A campaign that has been run as far as it goes.

    Attributes
    ----------
    summaries : tuple of Summary
    run : int
        Trials of this run, native and Nooks each counted; the others were in the results file.
    broken : tuple of Broken
        Trials without a result: the campaign has failed.
    data : dict
        What ``--json`` prints.
    files : tuple of str
        What was written, a sentence each.
    """

    summaries: tuple[Summary, ...]
    run: int
    broken: tuple[Broken, ...]
    data: dict[str, Any]
    files: tuple[str, ...]


def run_campaign(request: Request, console: Console, trial: Trial = run_trial) -> Done:
    """Run what is missing of a campaign, and write what was asked for.

    Parameters
    ----------
    console : Console
        Where the progress bar goes; nothing is drawn unless it is a terminal.
    trial : callable
        Runs one trial.

    Raises
    ------
    CampaignError
        When it cannot be run, or its results cannot be kept.
    Interrupted
        After Ctrl-C.
    """
    request.check()
    try:
        objects = {name: extensions.extension(name).sha256 for name in request.extensions}
        with open_store(request.results, request.settings, objects) as store:
            return _with_store(request, console, trial, store)
    except KeyboardInterrupt:
        raise Interrupted("interrupted before the first trial") from None


def _with_store(request: Request, console: Console, trial: Trial, store: Store) -> Done:
    names, trials = request.extensions, request.trials
    try:
        with Bar(console) as bar:
            campaign = Campaign(store, request.settings, names, trials, trial, request.until_width, bar.show)
            _work(request, campaign)
        return _done(request, store, campaign)
    except KeyboardInterrupt:
        # Counted in the file: the signal may have come between keeping trials and counting them.
        kept = sum(number < trials for name in names for number, _ in store.done(name))
        raise Interrupted(
            f"interrupted: {kept:,} of {2 * trials * len(names):,} trials are in {request.results}; "
            "the same command goes on with the others"
        ) from None


class Interrupted(Exception):  # noqa: N818 - no error, the user wanted it
    """Ctrl-C; the message says how to go on."""


def _work(request: Request, campaign: Campaign) -> None:
    if campaign.complete:
        return
    workers: Workers | None = None
    whole = False
    try:
        workers = _workers(request)
        campaign.run(workers)
        whole = True
    finally:
        if workers is not None:
            workers.close(at_once=not whole)


def _workers(request: Request) -> Workers:
    if request.dask is not None:
        return DaskCluster(request.dask)
    return Processes(request.jobs or joblib.cpu_count())


def _done(request: Request, store: Store, campaign: Campaign) -> Done:
    numbers = campaign.numbers()
    summaries = tuple(summarise(name, store.outlines(name, numbers[name])) for name in request.extensions)
    trials, seconds = store.pace()
    broken = tuple(campaign.progress.broken)
    data = campaign_json(summaries, request.settings, trials / seconds if seconds else None) | {
        "trials_run": campaign.progress.run,
        "results": str(request.results),
        "without_result": [str(each) for each in broken],
    }
    files = _write(request, store, numbers, summaries, data)
    return Done(summaries, campaign.progress.run, broken, data, tuple(files))


def _write(
    request: Request,
    store: Store,
    numbers: dict[str, int],
    summaries: Sequence[Summary],
    data: dict[str, Any],
) -> list[str]:
    files = [f"The trials are in {request.results}."]
    if request.csv is not None or request.parquet is not None:
        from nooks_lab.campaign.export import write_csv, write_parquet, write_summary

        for path, write in ((request.csv, write_csv), (request.parquet, write_parquet)):
            if path is not None:
                rows = (row for name in request.extensions for row in store.rows(name, numbers[name]))
                write(rows, request.settings.seed, path)
                files.append(f"They are also in {path}, and their summary in {write_summary(data, path)}.")
    if request.figures is not None:
        from nooks_lab.campaign.figures import write_figures

        for path in write_figures(summaries, request.figures):
            files.append(f"The picture is in {path}.")
    return files
