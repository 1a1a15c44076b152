"""A campaign drawn as the paper's figures 6 and 7, beside the paper's totals."""

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from nooks_lab.campaign import paper
from nooks_lab.campaign.interval import wilson
from nooks_lab.campaign.summary import Summary, together
from nooks_lab.views.reliability import Pair, Share, draw_crashes, draw_failures

_PAPER_TRIALS = len(paper.MEASURED) * paper.TRIALS


def crashes_figure(summaries: Sequence[Summary]) -> Figure:
    """Return our figure 6: system crashes, natively and with Nooks."""
    theirs = _pair("", _PAPER_TRIALS, paper.NATIVE_CRASHES, paper.NOOKS_CRASHES)
    return _drawn(draw_crashes, summaries, _crashes, theirs)


def failures_figure(summaries: Sequence[Summary]) -> Figure:
    """Return our figure 7: non-fatal extension failures, natively and with Nooks."""
    theirs = _pair("", _PAPER_TRIALS, paper.NATIVE_FAILURES, paper.NOOKS_FAILURES)
    return _drawn(draw_failures, summaries, _failures, theirs)


def write_figures(summaries: Sequence[Summary], folder: Path) -> list[Path]:
    """Draw both figures into a folder; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, draw in (("figure6-crashes", crashes_figure), ("figure7-failures", failures_figure)):
        written.append(folder / f"{name}.png")
        draw(summaries).savefig(written[-1], dpi=150)
    return written


def _drawn(
    draw: Callable[[Sequence[Pair], Pair, Pair], Figure],
    summaries: Sequence[Summary],
    count: Callable[[Summary], Pair],
    theirs: Pair,
) -> Figure:
    return draw([count(summary) for summary in summaries], count(together(summaries)), theirs)


def _crashes(summary: Summary) -> Pair:
    return _pair(summary.extension, summary.trials, summary.native_crashes, summary.nooks_crashes)


def _failures(summary: Summary) -> Pair:
    return _pair(summary.extension, summary.trials, summary.native_failures, summary.nooks_failures)


def _pair(name: str, trials: int, native: int, nooks: int) -> Pair:
    return Pair(name, _share(native, trials), _share(nooks, trials))


def _share(count: int, trials: int) -> Share:
    return Share(count, trials, *wilson(count, trials))
