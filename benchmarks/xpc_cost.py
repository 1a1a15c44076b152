"""What one XPC is made of: ``python benchmarks/xpc_cost.py``.

Cycles are the simulated machine's own: its clock and its count of TLB misses are read between any two steps, by
wrapping the methods that are the steps (``ledger.py``).  Host time is read at the same places.  What the wrapping
costs is the difference between the same calls with and without it; it is taken off every step by the number of
wrapped calls in it, so that the steps add up to the time without wrapping.  A refill that Unicorn asks for happens in
C, where nothing can be wrapped: it costs the difference between touching many pages and touching one after a flush.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from ledger import REST, Entry, Ledger
from rich.console import Console
from rich.table import Table

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.kernel.execution import Execution
from nooks_lab.kernel.modules import Module
from nooks_lab.lab import Lab
from nooks_lab.machine.cpu import Cpu
from nooks_lab.machine.memory import PAGE_SIZE
from nooks_lab.machine.tlb import TLB_MISS_CYCLES
from nooks_lab.nooks.interposition import Interposition
from nooks_lab.nooks.isolation.domain import Domain
from nooks_lab.nooks.isolation.heap import Heap
from nooks_lab.nooks.tracking.tracker import ObjectTracker
from nooks_lab.nooks.wrappers import declare
from nooks_lab.nooks.wrappers.copies import OperationsCopy, StructCopy
from nooks_lab.nooks.wrappers.decisions import Body, Callback, Cookie, Held, Reads, Text, Writes
from nooks_lab.nooks.xpc.calls import Xpc
from nooks_lab.nooks.xpc.shadow import Shadows

CALLS, REPEATS = 25, 200
_PAGES = 200
REFILL, BODY = "TLB refill", "wrapper's body, kernel function"

STEPS: dict[str, list[tuple[type, str]]] = {
    "save context": [(Xpc, "_save_context")],
    "find stack": [(Xpc, "_find_stack"), (Xpc, "_chain"), (Domain, "release_stack")],
    "load CR3": [(Cpu, "load_cr3")],
    REFILL: [],
    "checks": [
        *((decision, "check") for decision in (Held, Reads, Writes, Text, Callback, Cookie, Body)),
        *((Domain, name) for name in ("may_write", "check_writable", "read")),
    ],
    "copies": [
        *((StructCopy, name) for name in ("to_extension", "to_kernel")),
        (OperationsCopy, "to_kernel"),
        *((Heap, name) for name in ("alloc", "free")),
    ],
    "tracker": [
        (ObjectTracker, name) for name in ("find", "check", "add", "remove", "by_kernel", "call_object")
    ],
    "deferred calls": [
        (Interposition, name)
        for name in ("run_kernel_calls", "run_extension_calls", "defer_kernel_call", "defer_extension_call")
    ],
    "shadow copies": [(Shadows, name) for name in ("to_extension", "to_kernel")],
    BODY: [],
    "restore context": [(Xpc, "_restore_context")],
    # Whatever the machine code does in between is no step's.
    REST: [(Execution, "call")],
}

MODULE = """
#include <linux/module.h>
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/netdevice.h>
#include <linux/etherdevice.h>
static struct net_device *dev;
static int do_ioctl(struct net_device *dev, struct ifreq *ifr, int cmd) { return 0; }
int empty(int n) { while (n--) asm volatile(""); return 0; }
int task_state(int n) { while (n--) set_task_state(current, TASK_RUNNING); return 0; }
int stop_queue(int n) { while (n--) netif_stop_queue(dev); return 0; }
int touch(volatile char *at, int pages) { while (pages--) { *at; at += 4096; } return 0; }
int init_module(void)
{
	dev = alloc_etherdev(0);
	dev->do_ioctl = do_ioctl;
	return dev ? register_netdev(dev) : -12;
}
void cleanup_module(void) { }
"""


@dataclass(frozen=True)
class Step:
    """One step of a call, on average."""

    cycles: float
    misses: float
    microseconds: float


@dataclass(frozen=True)
class Cost:
    """What one call costs.

    Attributes
    ----------
    microseconds : float
        Measured without wrapping.
    wrapped : float
        The same with it.
    xpcs : float
        XPCs, there and back, that a call makes.
    """

    call: str
    cycles: float
    microseconds: float
    wrapped: float
    xpcs: float
    steps: dict[str, Step]


class Calls:
    """A lab with the module above, and the three kinds of call."""

    def __init__(self) -> None:
        self.lab: Lab = nl.boot(nooks=True)
        self._module: Module = self.lab.insmod(extensions.build("calls.c", MODULE))
        assert self.lab.nooks is not None
        self._nooks = self.lab.nooks
        self._domain = self._nooks.domain_with("calls")
        self._device = self.lab.kernel.net.by_name("eth0")
        self._ifreq = self.lab.kernel.slab.zalloc(self.lab.kernel.types.size("ifreq"))
        self.kinds: dict[str, tuple[Callable[[int], object], Callable[[int], object]]] = {
            "set_task_state: no pointer to look up": (self._loop("task_state"), self._loop("empty")),
            "netif_stop_queue: checks, tracker": (self._loop("stop_queue"), self._loop("empty")),
            "do_ioctl: copies": (self._ioctl, lambda _: None),
        }

    def _function(self, name: str) -> int:
        assert self._module.image is not None
        return self._module.image.symbols[name]

    def _loop(self, name: str) -> Callable[[int], object]:
        return lambda n: self._nooks.xpc.nooks_driver_call(self._domain, self._function(name), n)

    def _ioctl(self, n: int) -> None:
        kernel, device, function = self.lab.kernel, self._device.address, self._device.do_ioctl
        for _ in range(n):
            kernel.execution.call(function, device, self._ifreq, 0x89F0)

    def seconds(self, run: Callable[[int], object], n: int) -> float:
        """Time a loop of calls in a process."""

        def body() -> float:
            begin = time.perf_counter()
            run(n)
            return time.perf_counter() - begin

        return self.lab.kernel.in_task("calls", body)

    def xpcs(self, run: Callable[[int], object], n: int) -> int:
        before = self._nooks.xpc.total
        self.seconds(run, n)
        return self._nooks.xpc.total - before

    def wrap_refills(self, ledger: Ledger) -> None:
        """Let the refills count that Python's accesses ask for; from now on, in this system only."""
        tlb = self.lab.machine.tlb
        tlb._lookup = ledger.wrap(REFILL, tlb._lookup)

    def refill_seconds(self, repeats: int) -> float:
        """Return what one refill in C takes of the host: many pages after a flush, less one page after a flush."""
        kernel, cpu = self.lab.kernel, self.lab.machine.cpu
        area = kernel.vmalloc.alloc(_PAGES * PAGE_SIZE)

        def once(pages: int) -> float:
            cpu.load_cr3(cpu.cr3)
            begin = time.perf_counter()
            kernel.execution.call(self._function("touch"), area, pages)
            return time.perf_counter() - begin

        def body() -> float:
            return (min(once(_PAGES) for _ in range(repeats)) - min(once(1) for _ in range(repeats))) / (
                _PAGES - 1
            )

        try:
            return kernel.in_task("refills", body)
        finally:
            kernel.vmalloc.free(area)

    def close(self) -> None:
        self.lab.close()


@contextmanager
def _bodies(ledger: Ledger) -> Iterator[None]:
    """Within, the bodies of all wrappers count for their step; for managers made within."""
    tables: list[dict[str, Any]] = [declare.KERNEL_WRAPPERS, declare.EXTENSION_WRAPPERS]
    plain = [dict(table) for table in tables]
    for table in tables:
        table.update({name: replace(each, body=ledger.wrap(BODY, each.body)) for name, each in table.items()})
    try:
        yield
    finally:
        for table, before in zip(tables, plain, strict=True):
            table.update(before)


def measure(calls: int = CALLS, repeats: int = REPEATS) -> list[Cost]:
    """Measure the three kinds of call, as they are and wrapped in turn.

    Of each step's times the shortest counts, not the median: the rest is a difference, and a neighbour on the host
    who takes the CPU away in one run and not in the other would turn it round.
    """
    ledger = Ledger()
    plain = Calls()
    with _bodies(ledger):
        wrapped = Calls()
    wrapped.wrap_refills(ledger)
    refill = plain.refill_seconds(repeats)
    inner, outer = ledger.own_cost(wrapped.lab.machine)
    costs = []
    for name, (run, empty) in plain.kinds.items():
        counted_run, counted_empty = wrapped.kinds[name]
        xpcs = (plain.xpcs(run, calls) - plain.xpcs(empty, calls)) / calls
        bare, idle, full, nothing = [], [], [], []
        for _ in range(repeats):
            bare.append(plain.seconds(run, calls))
            idle.append(plain.seconds(empty, calls))
            with ledger.wrapped(STEPS):
                full.append(_counted(wrapped, ledger, counted_run, calls))
                nothing.append(_counted(wrapped, ledger, counted_empty, calls))
        seconds = min(bare) - min(idle)
        steps = _difference(_quickest(full), _quickest(nothing), calls, seconds, inner / (inner + outer))
        wrapped_us = (_seconds(_quickest(full)) - _seconds(_quickest(nothing))) / calls * 1e6
        costs.append(_cost(name, seconds / calls * 1e6, wrapped_us, xpcs, steps, refill))
    plain.close()
    wrapped.close()
    return costs


Entries = dict[str, Entry]


def _counted(system: Calls, ledger: Ledger, run: Callable[[int], object], calls: int) -> Entries:
    """Run once with the ledger on."""

    def body() -> None:
        with ledger.on(system.lab.machine):
            run(calls)

    system.lab.kernel.in_task("calls", body)
    return ledger.entries


def _seconds(entries: Entries) -> float:
    return sum(entry.seconds for entry in entries.values())


def _quickest(runs: list[Entries]) -> Entries:
    """Return the last run's counts, which are every run's but for an interrupt, and each step's shortest time."""
    return {
        step: replace(entry, seconds=min(run[step].seconds for run in runs if step in run))
        for step, entry in runs[-1].items()
    }


def _difference(
    full: Entries, nothing: Entries, calls: int, seconds: float, inner_share: float
) -> dict[str, Step]:
    """Return what one call has taken in each step, without what the wrapping takes.

    Parameters
    ----------
    seconds : float
        What all calls take without it.
    inner_share : float
        How much of the wrapping's time falls into the wrapped method; the rest falls into its caller.
    """
    number = sum(entry.calls for entry in full.values()) - sum(entry.calls for entry in nothing.values())
    wrapping = (_seconds(full) - _seconds(nothing) - seconds) / number
    steps = {}
    for step in STEPS:
        ours, theirs = full.get(step, Entry()), nothing.get(step, Entry())
        own = (ours.calls - theirs.calls) * inner_share
        own += (ours.inner_calls - theirs.inner_calls) * (1 - inner_share)
        steps[step] = Step(
            (ours.cycles - theirs.cycles) / calls,
            (ours.misses - theirs.misses) / calls,
            (ours.seconds - theirs.seconds - own * wrapping) / calls * 1e6,
        )
    return steps


def _cost(
    name: str, microseconds: float, wrapped: float, xpcs: float, steps: dict[str, Step], refill: float
) -> Cost:
    misses, in_c = sum(each.misses for each in steps.values()), steps[REST].misses
    # A step's cycles are what it charges itself; the cycles of its misses stand with the refills.
    taken = {
        step: replace(each, cycles=each.cycles - each.misses * TLB_MISS_CYCLES)
        for step, each in steps.items()
    }
    moved = in_c * refill * 1e6
    taken[REFILL] = Step(misses * TLB_MISS_CYCLES, misses, steps[REFILL].microseconds + moved)
    taken[REST] = replace(taken[REST], microseconds=steps[REST].microseconds - moved)
    total = sum(each.cycles for each in steps.values())
    return Cost(name, total, microseconds, wrapped, xpcs, taken)


def show(costs: list[Cost]) -> Table:
    """Return the figures as a table: for each call cycles and microseconds."""
    table = Table("cycles / µs", show_edge=False)
    for cost in costs:
        table.add_column(cost.call.replace(": ", ":\n"), justify="right")
    for step in STEPS:
        taken = [cost.steps[step] for cost in costs]
        table.add_row(step, *(f"{each.cycles:,.0f} / {each.microseconds:.1f}" for each in taken))
    table.add_section()
    table.add_row("one call", *(f"{cost.cycles:,.0f} / {cost.microseconds:.1f}" for cost in costs))
    table.add_row("TLB misses in it", *(f"{cost.steps[REFILL].misses:.0f}" for cost in costs))
    table.add_row("XPCs in it, a round trip each", *(f"{cost.xpcs:.0f}" for cost in costs))
    return table


def to_json(costs: list[Cost]) -> list[dict[str, Any]]:
    """Return the costs as plain data, rounded to what can be measured."""
    return [
        {
            "call": cost.call,
            "cycles": round(cost.cycles, 1),
            "us": round(cost.microseconds, 2),
            "us_wrapped": round(cost.wrapped, 2),
            "xpcs": round(cost.xpcs, 2),
            "steps": {
                step: {
                    "cycles": round(each.cycles, 1),
                    "misses": round(each.misses, 2),
                    "us": round(each.microseconds, 2),
                }
                for step, each in cost.steps.items()
            },
        }
        for cost in costs
    ]


if __name__ == "__main__":
    Console().print(show(measure()))
