"""A campaign's summary as tables for a terminal of eighty columns."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table

from nooks_lab.campaign.outcome import Outcome
from nooks_lab.campaign.summary import Summary, together

_SHORT = {
    Outcome.NO_EFFECT: "no\neffect",
    Outcome.CRASH: "crash",
    Outcome.PROCESS_KILLED: "process\nkilled",
    Outcome.FAILURE: "failure",
    Outcome.RECOVERED: "recov-\nered",
    Outcome.RECOVERY_FAILED: "recovery\nfailed",
    Outcome.SILENT_CORRUPTION: "silently\ncorrupt",
}


def show(summaries: Sequence[Summary]) -> RenderableType:
    """Return the figures of the paper's section 5.2, all outcomes, what was lost, and each crash that is left."""
    parts: list[RenderableType] = [_figures(summaries), _outcomes(summaries), *_recovered(summaries)]
    remaining = [crash for summary in summaries for crash in summary.remaining]
    if remaining:
        parts.append("Crashes under Nooks (--replay NUMBER shows one):")
        parts += [f"  {crash.extension} {crash.number}: {crash.reason}" for crash in remaining]
    return Group(*parts)


def _recovered(summaries: Sequence[Summary]) -> list[str]:
    """Say what recovery did not save, where there was one."""
    said = []
    for summary in summaries:
        recovered = summary.nooks[Outcome.RECOVERED]
        if recovered:
            disks = f", {summary.corrupt_disks:,} left a corrupt disk" if summary.corrupt_disks else ""
            said.append(
                f"{summary.extension}: of {recovered:,} recovered, {summary.with_loss:,} lost something{disks}"
            )
    return said


def _table(*columns: str) -> Table:
    made = Table(box=SIMPLE_HEAD, padding=0, show_edge=False)
    for position, column in enumerate(columns):
        made.add_column(column, justify="right" if position else "left", vertical="bottom", no_wrap=True)
    return made


def _figures(summaries: Sequence[Summary]) -> Table:
    made = _table(
        "extension",
        "trials",
        "native\ncrashes",
        "Nooks\ncrashes",
        "elimi-\nnated",
        "its 95%\ninterval",
        "native\nfail.",
        "Nooks\nfail.",
        "ms to\nrecover",
    )
    for summary in summaries:
        made.add_row(summary.extension, *_cells(summary))
    if len(summaries) > 1:
        made.add_section()
        made.add_row("all", *_cells(together(summaries)))
    return made


def _cells(summary: Summary) -> tuple[str, ...]:
    low, high = summary.interval
    seconds = summary.seconds_per_recovery
    return (
        f"{summary.trials:,}",
        f"{summary.native_crashes:,}",
        f"{summary.nooks_crashes:,}",
        "-" if summary.eliminated is None else f"{summary.eliminated:.1%}",
        "-" if summary.eliminated is None else f"{100 * low:.1f} to {100 * high:.1f}",
        f"{summary.native_failures:,}",
        f"{summary.nooks_failures:,}",
        "-" if seconds is None else f"{1000 * seconds:,.1f}",
    )


def _outcomes(summaries: Sequence[Summary]) -> Table:
    made = _table("extension", "system", *(_SHORT[outcome] for outcome in Outcome))
    for summary in summaries:
        for system, counts in (("native", summary.native), ("Nooks", summary.nooks)):
            cells = (f"{counts[outcome]:,}" if counts[outcome] else "" for outcome in Outcome)
            made.add_row(summary.extension if system == "native" else "", system, *cells)
    return made
