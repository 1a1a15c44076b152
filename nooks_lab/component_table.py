"""The size of Nooks by component, beside the paper's: our table 2 (paper, section 5)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nooks_lab.source_lines import c_code, c_lines, python_code, python_lines

PACKAGE = Path(__file__).parent

PAPER = {
    "memory management": 1_882,
    "object tracking": 1_454,
    "extension procedure call": 770,
    "wrappers": 14_396,
    "recovery": 1_136,
    "Linux kernel changes": 924,
    "miscellaneous": 2_074,
}
"""Lines without comments: Swift, Bershad, Levy, SOSP 2003, table 2."""

PAPER_TOTAL = 22_266
"""As printed there; its parts sum to 370 more."""

_ROOMS = {
    "isolation": "memory management",
    "tracking": "object tracking",
    "xpc": "extension procedure call",
    "wrappers": "wrappers",
    "interposition.py": "wrappers",
    "recovery": "recovery",
}
"""What lies directly in ``nooks_lab/nooks``; the rest there is miscellaneous, and so is ``_TOOL``."""

_TOOL = "wrappers/generator"
"""Writes skeletons of wrappers while Nooks is developed, and is no part of it when it runs."""

_HOOK_NAMES = frozenset(["hooks", "_hooks", "Hooks"])
_MARK = re.compile(r"/\*\s*Nooks:")


@dataclass(frozen=True)
class ComponentRow:
    """One component.

    Attributes
    ----------
    component : str
        The paper's name for it.
    python, c : int
        Lines without comments, docstrings and blanks.
    paper : int
        The paper's lines.
    """

    component: str
    python: int
    c: int
    paper: int

    @property
    def lines(self) -> int:
        """Lines in both languages."""
        return self.python + self.c


@dataclass(frozen=True)
class ComponentTable:
    """All components, in the paper's order."""

    rows: tuple[ComponentRow, ...]

    @property
    def total(self) -> int:
        """Our lines altogether."""
        return sum(row.lines for row in self.rows)

    def share(self, row: ComponentRow) -> float:
        """Return a component's share of all our lines."""
        return row.lines / self.total

    def paper_share(self, row: ComponentRow) -> float:
        """Return the paper's share, of the sum of its parts."""
        return row.paper / sum(each.paper for each in self.rows)

    def to_json(self) -> dict[str, Any]:
        """Return the table as plain data."""
        rows = [
            {
                "component": row.component,
                "lines": row.lines,
                "python": row.python,
                "c": row.c,
                "share": round(self.share(row), 4),
                "paper_lines": row.paper,
                "paper_share": round(self.paper_share(row), 4),
            }
            for row in self.rows
        ]
        return {
            "rows": rows,
            "total": self.total,
            "paper_total": PAPER_TOTAL,
            "paper_sum_of_parts": sum(PAPER.values()),
            "paper_source": "Swift, Bershad, Levy, SOSP 2003, table 2",
        }


def table(package: Path = PACKAGE) -> ComponentTable:
    """Count the lines of Nooks from its files.

    A file of ``nooks_lab/nooks`` belongs to the component of its folder; the wrapper generator, a tool of the
    developers', is miscellaneous.  The kernel changes are ``kernel/hooks.py``;
    every line of the kernel's Python that names ``hooks``, ``_hooks`` or ``Hooks``; and every line of its C, headers
    included, that carries a comment which begins with ``Nooks:``.

    Parameters
    ----------
    package : Path
        The folder of the package ``nooks_lab``.
    """
    counts = {component: [0, 0] for component in PAPER}
    for path in _files(package / "nooks"):
        inside = path.relative_to(package / "nooks")
        room = "" if inside.is_relative_to(_TOOL) else inside.parts[0]
        count, language = (python_lines, 0) if path.suffix == ".py" else (c_lines, 1)
        counts[_ROOMS.get(room, "miscellaneous")][language] += count(path.read_text(encoding="utf-8"))
    changes = counts["Linux kernel changes"]
    for path in [*_files(package / "kernel"), *_files(package / "extensions" / "include")]:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".py":
            changes[0] += python_lines(text) if path.name == "hooks.py" else hook_lines(text)
        else:
            changes[1] += marked_lines(text)
    rows = (ComponentRow(name, python, c, PAPER[name]) for name, (python, c) in counts.items())
    return ComponentTable(tuple(rows))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.suffix in (".py", ".c", ".h"))


def hook_lines(text: str) -> int:
    """Count the lines of the kernel's Python that call or pass on a hook."""
    return sum(1 for names in python_code(text).values() if names & _HOOK_NAMES)


def marked_lines(text: str) -> int:
    """Count the lines of the kernel's C that a comment marks as made for Nooks."""
    lines = text.splitlines()
    return sum(1 for number in c_code(text) if _MARK.search(lines[number - 1]))
