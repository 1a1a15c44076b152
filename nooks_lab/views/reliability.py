"""How often extensions bring the system down, natively and with Nooks: our figures 6 and 7 (paper, section 5.2).

For each extension two bars, with 95% intervals: the share of trials that ended so.  Beside them, on the same scale, all
trials together and the paper's total; of single extensions the paper prints no numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from nooks_lab.views import palette

_WIDTH = 0.38
_COLOURS = {"native": palette.WRITABLE, "Nooks": palette.READ_ONLY}


@dataclass(frozen=True)
class Share:
    """How many of how many trials, and the interval of their share, between 0 and 1."""

    count: int
    trials: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share."""
        return self.count / self.trials if self.trials else 0.0


@dataclass(frozen=True)
class Pair:
    """An extension's name, its share natively, and its share with Nooks."""

    name: str
    native: Share
    nooks: Share


def draw_crashes(extensions: Sequence[Pair], total: Pair, paper: Pair) -> Figure:
    """Return our figure 6: trials that ended in a system crash.

    Parameters
    ----------
    total, paper : Pair
        All of our trials together, and all of the paper's; their names are not shown.

    Raises
    ------
    ValueError
        When there is no extension.
    """
    return _draw(extensions, total, paper, "system crashes")


def draw_failures(extensions: Sequence[Pair], total: Pair, paper: Pair) -> Figure:
    """Return our figure 7: trials that ended in a non-fatal extension failure; see :func:`draw_crashes`."""
    return _draw(extensions, total, paper, "non-fatal extension failures")


def _draw(extensions: Sequence[Pair], total: Pair, paper: Pair, what: str) -> Figure:
    if not extensions:
        raise ValueError("there is no extension to draw")
    figure = Figure(figsize=(max(5.5, 3.6 + 1.2 * len(extensions)), 4.8), layout="constrained")
    beside = [paper] if len(extensions) == 1 else [total, paper]
    names = [
        f"{whose}\n{pair.native.trials:,} trials"
        for whose, pair in (("here", total), ("paper's five", paper))
    ]
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[len(extensions) + 0.2, len(beside) + 0.2])
    _group(left, extensions, [_title(pair, extensions) for pair in extensions])
    _group(right, beside, names[-len(beside) :])
    # Room for the number above the highest interval, and never a scale on which one crash looks like many.
    highest = max(share.high for pair in (*extensions, total, paper) for share in (pair.native, pair.nooks))
    left.set_ylim(0, min(1.08, max(0.05, 1.12 * highest)))
    left.set_ylabel(f"trials with {what}")
    left.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    left.set_title("by extension", fontsize=10)
    right.set_title("all extensions together", fontsize=10)
    right.tick_params(axis="y", length=0)
    figure.legend(
        *left.get_legend_handles_labels(),
        loc="outside upper center",
        ncols=2,
        frameon=False,
        title="number of trials, and the 95% interval of their share",
        title_fontsize=9,
    )
    return figure


def _title(pair: Pair, extensions: Sequence[Pair]) -> str:
    """Return an extension's name; with its trials when they are not the same for all."""
    same = len({other.native.trials for other in extensions}) == 1 < len(extensions)
    return pair.name if same else f"{pair.name}\n{pair.native.trials:,} trials"


def _group(axes: Axes, pairs: Sequence[Pair], names: Sequence[str]) -> None:
    for label, side in (("native", -1), ("Nooks", 1)):
        shares = [pair.native if side < 0 else pair.nooks for pair in pairs]
        _bars(axes, [position + side * _WIDTH / 2 for position in range(len(pairs))], shares, label)
    axes.set_xticks(range(len(pairs)), names)
    axes.set_xlim(-0.6, len(pairs) - 0.4)
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="y", color=palette.NOT_MAPPED)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _bars(axes: Axes, at: Sequence[float], shares: Sequence[Share], label: str) -> BarContainer:
    below = [share.value - share.low for share in shares]
    above = [share.high - share.value for share in shares]
    bars = axes.bar(
        at,
        [share.value for share in shares],
        _WIDTH,
        label=label,
        color=_COLOURS[label],
        edgecolor="white",
        linewidth=0.8,
        yerr=[below, above],
        ecolor=palette.INK,
        capsize=3,
        error_kw={"elinewidth": 1.2},
    )
    for x, share in zip(at, shares, strict=True):
        text = axes.annotate(
            f"{share.count:,}",
            (x, share.high),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=9,
            weight="bold",
        )
        text.set_gid(f"{label} count")
    return bars
