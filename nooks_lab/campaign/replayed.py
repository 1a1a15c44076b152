"""One trial of a campaign once more, exactly, with everything that happened in it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from nooks_lab import extensions
from nooks_lab.campaign.errors import CampaignError
from nooks_lab.campaign.request import default_results
from nooks_lab.campaign.run_trial import run_trial
from nooks_lab.campaign.settings import Settings
from nooks_lab.campaign.store import open_store, row_of
from nooks_lab.campaign.trial import TrialResult
from nooks_lab.campaign.worker import Trial

_WHICH = re.compile(r"(?:(?P<seed>\d+):)?(?P<number>\d+)")


@dataclass(frozen=True)
class Replayed:
    """A trial on both systems.

    Attributes
    ----------
    native, nooks : TrialResult
    compared : str
        Whether the campaign's results file has the same, in one sentence.
    differences : tuple of str
        What the results file says otherwise, a sentence each; then something is not deterministic.
    """

    native: TrialResult
    nooks: TrialResult
    compared: str
    differences: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return both results as plain data."""
        spec = self.native.spec
        return {
            "extension": spec.extension,
            "seed": spec.seed,
            "number": spec.number,
            "native": self.native.to_json(),
            "nooks": self.nooks.to_json(),
            "compared": self.compared,
        }


def replay(
    which: str, names: Sequence[str], settings: Settings, results: Path | None, trial: Trial = run_trial
) -> Replayed:
    """Run a trial natively and under Nooks, and compare it with the campaign's results file if there is one.

    Parameters
    ----------
    which : str
        ``NUMBER``, or ``SEED:NUMBER`` for another seed than that of ``settings``.
    names : sequence of str
        The extension, exactly one.
    results : Path, optional
        The results file; that of the same campaign in its usual place when not given.

    Raises
    ------
    CampaignError
        When no single trial is meant, or the named results file is of another campaign.
    """
    parsed = _WHICH.fullmatch(which)
    if parsed is None:
        raise CampaignError(f"--replay takes a trial's NUMBER or SEED:NUMBER, not {which!r}")
    if len(names) != 1:
        raise CampaignError(
            f"--replay shows a trial of one extension: --extension, and not {', '.join(names)}"
        )
    if results is not None and not results.exists():
        raise CampaignError(f"{results}: there is no such results file")
    if parsed["seed"] is not None:
        settings = replace(settings, seed=int(parsed["seed"]))
    native, nooks = (trial(settings.spec(names[0], int(parsed["number"]), side)) for side in (False, True))
    file = default_results(settings) if results is None else results
    if not file.exists():
        return Replayed(native, nooks, "There is no results file of this campaign to compare with.")
    try:
        return _compare(native, nooks, file, settings)
    except CampaignError as error:
        if results is not None:
            raise
        return Replayed(native, nooks, f"Not compared: {error}.")


def _compare(native: TrialResult, nooks: TrialResult, file: Path, settings: Settings) -> Replayed:
    name = native.spec.extension
    with open_store(file, settings, {name: extensions.extension(name).sha256}) as store:
        stored = [store.row(name, each.spec.number, each.spec.nooks) for each in (native, nooks)]
    differences = []
    for result, row in zip((native, nooks), stored, strict=True):
        if row is not None and row != row_of(result):
            side = "under Nooks" if row.nooks else "natively"
            differences.append(
                f"trial {result.spec.seed}:{row.number} of {name} {side} came out as {result.outcome}"
                f" ({result.cycles:,} cycles), and {file} has {row.outcome} ({row.cycles:,} cycles)"
            )
    if None in stored:
        said = f"{file} does not have this trial yet."
    else:
        said = f"{file} has {'something else' if differences else 'the same results'}."
    return Replayed(native, nooks, said, tuple(differences))


def show(replayed: Replayed) -> RenderableType:
    """Return faults, outcomes and events of both systems for a terminal."""
    spec = replayed.native.spec
    parts: list[RenderableType] = [f"{spec.extension}, trial {spec.seed}:{spec.number}", _faults(replayed)]
    for title, result in (("natively", replayed.native), ("under Nooks", replayed.nooks)):
        reason = f": {result.reason}" if result.reason else ""
        parts += [Rule(title, align="left"), Text(f"{result.outcome}{reason}", style="bold")]
        parts += [Text(line) for line in (*result.wrong, *result.disk)]
        parts += [Text(f"  {line}") for line in result.events]
    return Group(*parts, Rule(), Text(replayed.compared))


def _faults(replayed: Replayed) -> Table:
    made = Table(box=SIMPLE_HEAD, padding=0, show_edge=False)
    for column in ("class", "where", "before", "after", "run"):
        made.add_column(column)
    for native, nooks in zip(replayed.native.faults, replayed.nooks.faults, strict=True):
        made.add_row(
            native.kind,
            f"{native.symbol}\n{native.line}",
            f"{native.disassembly_before}\n{native.before}",
            f"{native.disassembly_after}\n{native.after}",
            ran(native.activated, nooks.activated),
        )
    return made


def ran(native: bool, nooks: bool) -> str:
    """Return where a fault was run, in words."""
    return {(True, True): "yes", (True, False): "natively", (False, True): "Nooks", (False, False): "no"}[
        native, nooks
    ]
