"""A thousand recoveries of the e1000 in a row: ``python benchmarks/thousand_recoveries.py [--count N] [--seed N]``.

Exit code 1 when anything leaked, was damaged or lost; 130 after Ctrl-C, which shows what there is so far.
"""

import argparse
import sys
import time
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from nooks_lab.faults.many_recoveries import Findings, ManyRecoveries
from nooks_lab.machine.clock import CPU_HZ

COUNT, SEED = 1_000, 1


@dataclass(frozen=True)
class Soak:
    """What was found, and how long it took."""

    findings: Findings
    seconds: float
    interrupted: bool


def measure(count: int = COUNT, seed: int = SEED, console: Console | None = None) -> Soak:
    """Recover so often; Ctrl-C ends it early."""
    columns = (TextColumn("recoveries"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    begin = time.perf_counter()
    interrupted = False
    with ManyRecoveries(seed) as system, Progress(*columns, console=console) as bar:
        task = bar.add_task("recoveries", total=count)
        try:
            system.run(count, lambda findings: bar.update(task, completed=findings.recoveries))
        except KeyboardInterrupt:
            interrupted = True
        return Soak(system.findings, time.perf_counter() - begin, interrupted)


def show(soak: Soak) -> Table:
    """Return the figures as a table."""
    findings = soak.findings
    table = Table("after each recovery", "", show_edge=False)
    rows = {
        "recoveries": f"{findings.recoveries:,}",
        "by place": _counts(findings.by_place),
        "by address": _counts(findings.by_target),
        "strikes that nobody noticed": findings.unnoticed,
        "recoveries that failed": findings.not_recovered,
        **{f"most {kind} left behind": most for kind, most in findings.left_behind.items()},
        "recoveries after which the census differs": findings.unequal,
        "checksums of kernel and idle extension that differ": sum(findings.damaged.values()),
        "frames lost of those sent after a recovery": f"{findings.lost_frames} of {findings.frames:,}",
        "validations of the tracker": findings.validations,
        "what they found": len(findings.problems),
        "simulated time of a recovery, median": f"{_median(findings) / CPU_HZ * 1e3:.1f} ms",
        "host time": f"{soak.seconds:.0f} s, {soak.seconds / max(findings.recoveries, 1) * 1e3:.0f} ms each",
    }
    for what, value in rows.items():
        table.add_row(what, str(value))
    for problem in findings.problems[:10]:
        table.add_row("problem", problem)
    return table


def _median(findings: Findings) -> int:
    return int(findings.to_json()["median_cycles"])


def _counts(counter: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counter.items()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args()
    console = Console()
    soak = measure(given.count, given.seed, console)
    console.print(show(soak))
    if soak.interrupted:
        return 130
    return 0 if soak.findings.clean else 1


if __name__ == "__main__":
    sys.exit(main())
