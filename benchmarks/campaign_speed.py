"""Trials a second, with one process and with more: ``python benchmarks/campaign_speed.py [-n TRIALS] [E ...]``.

The two take turns, so that a busy machine slows both.
"""

import argparse
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from nooks_lab.campaign.command import run_campaign
from nooks_lab.campaign.request import Request
from nooks_lab.campaign.settings import Settings

ROUNDS = 3


@dataclass(frozen=True)
class Pace:
    """Trials a second, native and Nooks each counted: one process, several, and how many times as fast that is."""

    extension: str
    jobs: int
    one: float
    several: float

    @property
    def ratio(self) -> float:
        return self.several / self.one


def pace(extension: str, trials: int, jobs: int, seed: int, results: Path) -> float:
    """Run a campaign of its own, and return its pace; booting the machines is part of it."""
    request = Request((extension,), trials, Settings(seed=seed), results, jobs)
    data = run_campaign(request, Console(quiet=True)).data
    return float(data["trials_per_s"])


def measure(extension: str, trials: int, jobs: int) -> Pace:
    """Return the medians of some rounds."""
    found: dict[int, list[float]] = {1: [], jobs: []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(ROUNDS):
            for many in found:
                results = Path(folder) / f"{many}-{number}.sqlite"
                found[many].append(pace(extension, trials, many, number, results))
    return Pace(extension, jobs, statistics.median(found[1]), statistics.median(found[jobs]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("extensions", nargs="*", default=["e1000"], metavar="E")
    parser.add_argument("-n", "--trials", type=int, default=200)
    parser.add_argument("-j", "--jobs", type=int, default=2)
    asked = parser.parse_args()
    table = Table("extension", "1 process", f"{asked.jobs} processes", "times as fast", show_edge=False)
    for name in asked.extensions:
        found = measure(name, asked.trials, asked.jobs)
        table.add_row(name, f"{found.one:.1f}/s", f"{found.several:.1f}/s", f"{found.ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
