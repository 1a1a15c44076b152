"""One fault injection trial: its faults, and beside each other what Linux and Nooks made of them."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from nooks_lab.views import palette

_WIDTH = 12.0
_LINE = 0.23
"""Inches of a line of text."""

_COLUMNS = (0.0, 1.2, 3.7, 5.4, 8.2, 11.0)
_HEADS = ("class", "function", "C source", "before", "after", "run")
_SIDE = _WIDTH / 2 - 0.15
_WRAP = 66
_MOST_LINES = 24
"""Of a side's log; the replay prints all of it."""


@dataclass(frozen=True)
class FaultLine:
    """A fault: its class, where it is, the instruction before and after, and where the CPU ran it, in words."""

    kind: str
    symbol: str
    line: str
    before: str
    after: str
    run: str


@dataclass(frozen=True)
class Side:
    """What one system made of them.

    Attributes
    ----------
    name, outcome : str
    good : bool
        Whether the service is in order at the end.
    reason : str
    events : tuple of str
        What it logged, in order.
    """

    name: str
    outcome: str
    good: bool
    reason: str
    events: tuple[str, ...]


def draw(title: str, faults: Sequence[FaultLine], native: Side, nooks: Side) -> Figure:
    """Return the picture: a table of the faults, and below it both systems from injection to outcome."""
    sides = [(native, _lines(native)), (nooks, _lines(nooks))]
    log = max(len(lines) for _, lines in sides)
    table = (len(faults) + 2.5) * _LINE
    height = table + (log + 4.5) * _LINE
    figure = Figure(figsize=(_WIDTH + 0.4, height + 0.6))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(-0.2, _WIDTH + 0.2)
    axes.set_ylim(-height, 0.6)
    axes.axis("off")
    axes.text(0, 0.3, title, fontsize=14, weight="bold", va="center", color=palette.INK)
    _draw_faults(axes, faults)
    for position, (side, lines) in enumerate(sides):
        _draw_side(axes, position * (_SIDE + 0.3), -table, height - table, side, lines)
    return figure


def _lines(side: Side) -> list[str]:
    wrapped = [
        part for line in side.events for part in textwrap.wrap(line, _WRAP, subsequent_indent="    ") or [""]
    ]
    left = len(wrapped) - _MOST_LINES
    return (
        [*wrapped[:_MOST_LINES], f"... and {left} more lines"]
        if left > 0
        else wrapped or ["(nothing was logged)"]
    )


def _draw_faults(axes: Axes, faults: Sequence[FaultLine]) -> None:
    for x, head in zip(_COLUMNS, _HEADS, strict=True):
        axes.text(x, -_LINE / 2, head, fontsize=9, color=palette.FAINT, va="center")
    axes.plot((0, _WIDTH), (-_LINE, -_LINE), color=palette.FAINT, linewidth=0.8)
    for row, fault in enumerate(faults):
        y = -(row + 1.6) * _LINE
        was_run = fault.run != "no"
        if was_run:
            axes.axhspan(y - _LINE / 2, y + _LINE / 2, 0.01, 0.99, color=palette.DOMAIN, zorder=0)
        cells = (fault.kind, fault.symbol, fault.line, fault.before, fault.after, fault.run)
        for x, width, cell in zip(_COLUMNS, (14, 27, 20, 32, 32, 9), cells, strict=True):
            axes.text(
                x,
                y,
                _fitting(cell, width),
                va="center",
                color=palette.INK if was_run else palette.FAINT,
                weight="bold" if was_run and x in (0, _COLUMNS[-1]) else "normal",
                fontsize=8.5,
                family="monospace",
            )


def _draw_side(axes: Axes, x: float, top: float, height: float, side: Side, lines: Sequence[str]) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (x + 0.08, top - height + 0.18),
            _SIDE - 0.16,
            height - 0.26,
            boxstyle="round,pad=0.06,rounding_size=0.12",
            facecolor=palette.KERNEL if side.good else palette.FAILED,
            edgecolor=palette.INK,
            linewidth=1.2,
        )
    )
    axes.text(x + 0.15, top - 0.28, side.name, fontsize=12, weight="bold", va="center", color=palette.INK)
    axes.text(
        x + _SIDE - 0.15,
        top - 0.28,
        side.outcome,
        fontsize=12,
        weight="bold",
        va="center",
        ha="right",
        color=palette.INK,
    )
    reason = textwrap.wrap(side.reason, _WRAP + 10)[:2]
    axes.text(
        x + 0.15, top - 0.48, "\n".join(reason), fontsize=9, va="top", style="italic", color=palette.INK
    )
    for row, line in enumerate(lines):
        axes.text(
            x + 0.15,
            top - 3.9 * _LINE - row * _LINE,
            line,
            va="center",
            color=palette.INK,
            fontsize=8.5,
            family="monospace",
        )


def _fitting(cell: str, width: int) -> str:
    """Return a cell's end when it is too long: of a path the file, of a name what tells it from others."""
    return cell if len(cell) <= width else "…" + cell[1 - width :]
