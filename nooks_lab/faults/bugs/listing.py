"""Bugs as the command shows them: a table, one with its diff, and what comes of it."""

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from nooks_lab.faults.bugs.library import Bug
from nooks_lab.faults.bugs.provoke import Provoked, provoke


def table(bugs: Sequence[Bug]) -> Table:
    """Return the bugs as a table."""
    shown = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
    shown.add_column("bug", no_wrap=True)
    shown.add_column("kind")
    shown.add_column("operation", no_wrap=True)
    for bug in bugs:
        shown.add_row(bug.id, bug.kind, bug.operation)
    return shown


def page(bug: Bug) -> str:
    """Return a bug's header and its diff."""
    header = (
        ("bug", bug.id),
        ("kind", bug.kind),
        ("fault", bug.summary),
        ("situation", bug.situation),
        ("operation", bug.operation),
        ("function", bug.function),
        ("study", bug.study),
    )
    return "".join(f"{name + ':':<11}{text}\n" for name, text in header) + f"\n{bug.patch.diff}"


def run(bug: Bug) -> tuple[Provoked, Provoked]:
    """Bring a bug out natively and under Nooks; returns what came of it."""
    return provoke(bug, nooks=False), provoke(bug, nooks=True)


def report(provoked: Provoked) -> str:
    """Return what came of a bug, a line and what else is known beneath it."""
    where = "under Nooks" if provoked.nooks else "natively"
    first = f"{where}: {provoked.outcome}"
    if provoked.reason:
        first += f" ({provoked.reason})"
    known = [*provoked.killed, *provoked.failed, *provoked.wrong]
    if provoked.leaked:
        known.append("leaked: " + ", ".join(f"{number} {kind}" for kind, number in provoked.leaked.items()))
    return "\n".join([first, *(f"  {sentence}" for sentence in dict.fromkeys(known))])


def row(bug: Bug) -> dict[str, Any]:
    """Return a bug as plain data."""
    return {
        "bug": bug.id,
        "extension": bug.extension,
        "kind": bug.kind,
        "fault": bug.summary,
        "situation": bug.situation,
        "operation": bug.operation,
        "function": bug.function,
        "study": bug.study,
        "lines": bug.lines,
        "diff": bug.patch.diff,
    }
