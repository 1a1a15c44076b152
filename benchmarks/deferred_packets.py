"""A thousand received packets, delivered at once or deferred: ``python benchmarks/deferred_packets.py``.

The e1000's calls of ``netif_rx`` and ``pci_unmap_single`` may wait in the domain's queue (paper, section 4.1).  A
batch of 1 makes each at once.  Packets come in bursts, as from a sender with a window: with one packet for each
interrupt there would be nothing to batch.
"""

import time
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

import nooks_lab as nl
from nooks_lab.faults.armed_e1000 import DEVICE, PEER, numbered_frame
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.nooks.manager import Nooks

PACKETS, BURST = 1_000, 50
BATCHES = (1, 2, 4, 8, 16, 32, 64)
_GAP = CPU_HZ // 1000
_PER_PACKET = ("busy cycles", "TLB misses", "host µs")


@dataclass(frozen=True)
class Delivery:
    """What the delivery of all packets took.

    Attributes
    ----------
    delivered : int
        Packets that reached the kernel, each counted once.
    busy_cycles : int
        Cycles in which the CPU was not idle.
    """

    batch: int
    delivered: int
    xpcs: int
    busy_cycles: int
    tlb_misses: int
    deferred: int
    seconds: float


def measure(repeats: int = 5, batches: tuple[int, ...] = BATCHES) -> list[Delivery]:
    """Deliver with each batch size, in turn; host time is the median, all else the same every time."""
    runs = [[_deliver(batch) for batch in batches] for _ in range(repeats)]
    deliveries = []
    for same in zip(*runs, strict=True):
        counts = [{**asdict(each), "seconds": 0.0} for each in same]
        if any(each != counts[0] for each in counts):
            raise RuntimeError(f"two runs with a batch of {same[0].batch} differ")
        deliveries.append(Delivery(**{**asdict(same[0]), "seconds": median(each.seconds for each in same)}))
    return deliveries


def _deliver(batch: int) -> Delivery:
    with nl.boot() as lab:
        nooks = Nooks(lab.kernel, batch=batch)
        lab.nooks = nooks
        lab.insmod("e1000")
        lab.ifup(DEVICE, "10.0.0.2", "255.255.255.0")
        lab.run(0.05)
        seen: set[bytes] = set()
        idle = 0
        machine_idle = lab.machine.idle

        def count_idle(limit: int) -> None:
            nonlocal idle
            before = lab.machine.clock.now
            machine_idle(limit)
            idle += lab.machine.clock.now - before

        lab.machine.idle = count_idle  # type: ignore[method-assign]
        queue = nooks.queues(nooks.domain_with("e1000")).kernel_calls
        before, xpcs, deferred = lab.machine.counters(), nooks.xpc.total, queue.counters.deferred
        begin = time.perf_counter()
        with lab.kernel.tap(lambda _device, frame: seen.add(frame)):
            for first in range(0, PACKETS, BURST):
                for number in range(first, first + BURST):
                    lab.peer.send(numbered_frame(PEER, number))
                lab.kernel.run(_GAP)
        seconds = time.perf_counter() - begin
        after = lab.machine.counters()
        return Delivery(
            batch,
            len(seen & {numbered_frame(PEER, number) for number in range(PACKETS)}),
            nooks.xpc.total - xpcs,
            after["cycles"] - before["cycles"] - idle,
            after["tlb_misses"] - before["tlb_misses"],
            queue.counters.deferred - deferred,
            seconds,
        )


def show(deliveries: list[Delivery]) -> Table:
    """Return the figures as a table."""
    table = Table("batch", show_edge=False)
    for column in (
        "packets",
        "XPCs",
        "deferred calls",
        "busy cycles a packet",
        "TLB misses a packet",
        "host µs a packet",
    ):
        table.add_column(column, justify="right")
    for each in deliveries:
        table.add_row(
            str(each.batch),
            f"{each.delivered:,}",
            f"{each.xpcs:,}",
            f"{each.deferred:,}",
            f"{each.busy_cycles / PACKETS:,.0f}",
            f"{each.tlb_misses / PACKETS:.1f}",
            f"{each.seconds / PACKETS * 1e6:.0f}",
        )
    return table


def to_json(deliveries: list[Delivery]) -> list[dict[str, Any]]:
    """Return the figures as plain data."""
    return [{**asdict(each), "seconds": round(each.seconds, 4)} for each in deliveries]


if __name__ == "__main__":
    Console().print(show(measure()))
