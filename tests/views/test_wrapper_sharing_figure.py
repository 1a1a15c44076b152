"""The picture of shared wrappers shows the numbers it is given, told apart without colour."""

from pathlib import Path

import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from nooks_lab.views.wrapper_sharing import Bar, Split, draw

BARS = [
    Bar("khttpd", "service", Split(20, 0, 12), Split(4, 0, 2)),
    Bar("e1000", "network", Split(3, 17, 14), Split(2, 9, 2)),
    Bar("sb", "sound", Split(5, 6, 0), Split(0, 7, 2)),
    Bar("pcnet32", "network", Split(1, 17, 14), Split(0, 9, 2)),
]


def rectangles() -> list[Rectangle]:
    (axes,) = draw(BARS).axes
    return [patch for patch in axes.patches if isinstance(patch, Rectangle)]


def test_every_part_has_its_height_and_stands_on_the_one_below() -> None:
    found = rectangles()
    assert sorted(patch.get_height() for patch in found) == sorted(
        number
        for bar in BARS
        for split in (bar.kernel, bar.extension)
        for number in (split.unique, split.within_class, split.across_classes)
        if number
    )
    by_bar: dict[float, list[Rectangle]] = {}
    for patch in found:
        by_bar.setdefault(round(patch.get_x(), 3), []).append(patch)
    assert len(by_bar) == 2 * len(BARS)
    for patches in by_bar.values():
        bottom = 0.0
        for patch in patches:
            assert patch.get_y() == bottom
            bottom += patch.get_height()


def test_classes_stand_together_and_totals_are_written() -> None:
    (axes,) = draw(BARS).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        "khttpd\nservice",
        "e1000\nnetwork",
        "pcnet32\nnetwork",
        "sb\nsound",
    ]
    written = [text.get_text() for text in axes.texts]
    for bar in BARS:
        assert str(bar.kernel.total) in written
        assert str(bar.extension.total) in written


def test_the_parts_differ_in_lightness() -> None:
    legend = draw(BARS).legends[0]
    light = [sum(to_rgb(patch.get_facecolor())) for patch in legend.get_patches()]
    for first in (0, 3):
        assert light[first] > light[first + 1] + 0.3 > light[first + 2] + 0.6


def test_a_picture_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no extension to draw"):
        draw([])
    draw(BARS).savefig(tmp_path / "figure.svg")
    assert "<svg" in (tmp_path / "figure.svg").read_text(encoding="utf-8")
