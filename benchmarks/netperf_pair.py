"""netperf between two simulated machines: ``python benchmarks/netperf_pair.py [--messages N] [--loss SHARE]``.

The figures are of the machines' own time and the same on every host; only the host seconds are not.
"""

import argparse
import sys
import time

from rich.console import Console
from rich.table import Table

from nooks_lab.machine.wire import Loss
from nooks_lab.pair import boot_pair
from nooks_lab.workloads.netperf import Stream, Test, netperf

MESSAGES, SEED = 64, 1
TESTS: tuple[Test, ...] = ("receive-stream", "send-stream")


def measure(
    messages: int = MESSAGES, share: float = 0.0, driver: str = "e1000", card: str = "e1000"
) -> dict[tuple[Test, bool], tuple[Stream, float]]:
    """Return each stream natively and with the near machine under Nooks, and its seconds on the host."""
    measured = {}
    for nooks in (False, True):
        loss = Loss(SEED, share) if share else None
        with boot_pair(nooks=(nooks, False), device=card, loss=loss) as pair:
            pair.set_up(driver)
            for test in TESTS:
                begin = time.perf_counter()
                stream = netperf(pair, test, messages, seed=SEED)
                measured[test, nooks] = stream, time.perf_counter() - begin
    return measured


def show(measured: dict[tuple[Test, bool], tuple[Stream, float]]) -> Table:
    """Return the figures as a table, relative speed as in the paper's table 4."""
    table = Table(
        "stream", "", "Mb/s", "relative", "CPU %", "peer's CPU %", "sent again", "host s", show_edge=False
    )
    for (test, nooks), (stream, seconds) in measured.items():
        native = measured[test, False][0].megabits_per_second
        table.add_row(
            test,
            "Nooks" if nooks else "native",
            f"{stream.megabits_per_second:.0f}" if stream.ok else stream.wrong,
            f"{stream.megabits_per_second / native:.2f}" if native else "",
            f"{stream.near_cpu:.1%}",
            f"{stream.far_cpu:.1%}",
            str(stream.retransmitted),
            f"{seconds:.1f}",
        )
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=MESSAGES, help="Of 32 KB each.")
    parser.add_argument("--loss", type=float, default=0.0, help="Share of the frames that the wire loses.")
    given = parser.parse_args()
    measured = measure(given.messages, given.loss)
    Console().print(show(measured))
    return 0 if all(stream.ok for stream, _ in measured.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
