"""Every extension under its workload, recovery after recovery: ``python benchmarks/survival.py [--count N] [E ...]``.

Exit code 1 when anything leaked, was damaged or did not come back; 130 after Ctrl-C.
"""

import argparse
import json
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from nooks_lab.faults.survival import Survival, survive
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.workloads import registry

COUNT, SEED = 200, 1


def measure(
    names: list[str] | None = None, count: int = COUNT, seed: int = SEED, console: Console | None = None
) -> list[tuple[Survival, float]]:
    """Return each extension's findings, and how many seconds they took."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    measured = []
    with Progress(*columns, console=console) as bar:
        for name in names or registry.names():
            task = bar.add_task(name, total=count)
            begin = time.perf_counter()

            def tick(found: Survival, task: TaskID = task) -> None:
                bar.update(task, completed=found.recoveries)

            found = survive(registry.brief_workload(name, seed), name, count, seed, tick)
            measured.append((found, time.perf_counter() - begin))
    return measured


def show(measured: list[tuple[Survival, float]]) -> Table:
    """Return the figures as a table."""
    heads = ("extension", "recoveries", "runs right", "failed", "leaks", "damaged", "ms each", "host s")
    table = Table(*heads, show_edge=False)
    for found, seconds in measured:
        table.add_row(
            found.extension,
            str(found.recoveries),
            f"{found.runs_ok} of {found.runs}",
            str(found.not_recovered),
            ", ".join(f"{kind} {more}" for kind, more in found.left_behind.items() if more) or "0",
            ", ".join(found.damaged) or "0",
            f"{_milliseconds(found):.1f}",
            f"{seconds:.0f}",
        )
        for problem in found.problems[:5]:
            table.add_row("", "", problem)
    return table


def _milliseconds(found: Survival) -> float:
    """Return what a recovery takes of the machine's own time, the median."""
    return float(found.to_json()["median_cycles"]) / CPU_HZ * 1e3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("extensions", nargs="*", metavar="E", help="Only these; all that have a workload.")
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path, help="Write the findings into this file (JSON).")
    given = parser.parse_args()
    console = Console()
    try:
        measured = measure(given.extensions, given.count, given.seed, console)
    except KeyboardInterrupt:
        return 130
    except registry.NoWorkload as error:
        console.print(str(error))
        return 2
    console.print(show(measured))
    if given.out:
        rows = [found.to_json() | {"seconds": round(seconds, 1)} for found, seconds in measured]
        given.out.write_text(json.dumps({"rows": rows}, indent=2) + "\n", encoding="utf-8")
    return 0 if all(found.clean for found, _ in measured) else 1


if __name__ == "__main__":
    sys.exit(main())
