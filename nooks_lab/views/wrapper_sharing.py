"""Who shares which wrappers: our system's figure 5 (paper, section 4.3.1).

For each extension two bars: the kernel functions that it calls through wrappers, and its own functions that the kernel
calls through wrappers.  Each is parted by who else uses the same wrappers.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from nooks_lab.views import palette

_WIDTH = 0.38
_PARTS = ("shared across classes", "shared within its class", "unique to it")
_SHADES = {"kernel": ("#00466e", "#4a9fd4", "#cfe6f5"), "extension": ("#9a6a00", "#f0b000", "#fbe7b0")}
"""From the most shared to the unique: dark to light, so that the order survives in grey."""
_LIGHT_TEXT = (palette.NOT_MAPPED, palette.INK, palette.INK)
_SMALLEST_LABEL = 0.035
"""Of the axis: a part that is lower gets no number."""


@dataclass(frozen=True)
class Split:
    """Numbers of wrappers.

    Attributes
    ----------
    unique, within_class, across_classes : int
        Those that no other extension uses; that others use, all of its class; that another class uses too.
    """

    unique: int
    within_class: int
    across_classes: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.unique + self.within_class + self.across_classes


@dataclass(frozen=True)
class Bar:
    """One extension: its name, its class, its kernel wrappers and its extension wrappers."""

    name: str
    kind: str
    kernel: Split
    extension: Split


def draw(bars: Sequence[Bar]) -> Figure:
    """Return the picture.

    Parameters
    ----------
    bars : sequence of Bar
        The extensions, in any order; those of a class are drawn side by side.

    Raises
    ------
    ValueError
        When there is none.
    """
    if not bars:
        raise ValueError("there is no extension to draw")
    kinds = list(dict.fromkeys(bar.kind for bar in bars))
    ordered = sorted(bars, key=lambda bar: (kinds.index(bar.kind), bar.name))
    figure = Figure(figsize=(max(5.5, 1.7 + 1.1 * len(bars)), 4.8), layout="constrained")
    axes = figure.add_subplot()
    highest = max(split.total for bar in bars for split in (bar.kernel, bar.extension))
    for position, bar in enumerate(ordered):
        _stack(axes, position - _WIDTH / 2, bar.kernel, "kernel", highest)
        _stack(axes, position + _WIDTH / 2, bar.extension, "extension", highest)
    axes.set_xticks(range(len(ordered)), [f"{bar.name}\n{bar.kind}" for bar in ordered])
    axes.set_xlim(-0.6, len(ordered) - 0.4)
    axes.set_ylim(0, highest * 1.12)
    axes.set_ylabel("wrappers")
    axes.tick_params(axis="x", length=0)
    axes.grid(axis="y", color=palette.NOT_MAPPED)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    _legend(figure)
    return figure


def _stack(axes: Axes, at: float, split: Split, kind: str, highest: int) -> None:
    bottom = 0
    parts = reversed(astuple(split))
    for number, shade, ink in zip(parts, _SHADES[kind], _LIGHT_TEXT, strict=True):
        if number:
            axes.bar(at, number, _WIDTH, bottom=bottom, color=shade, edgecolor="white", linewidth=0.8)
        if number > _SMALLEST_LABEL * highest:
            axes.text(at, bottom + number / 2, str(number), ha="center", va="center", color=ink, fontsize=8)
        bottom += number
    axes.text(at, bottom + 0.012 * highest, str(bottom), ha="center", va="bottom", fontsize=9, weight="bold")


def _legend(figure: Figure) -> None:
    handles = [
        Patch(facecolor=shade, edgecolor=palette.FAINT, label=f"{kind} wrappers, {part}")
        for kind, shades in _SHADES.items()
        for shade, part in zip(reversed(shades), reversed(_PARTS), strict=True)
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False, fontsize=8)
