"""Are the tracker's chains what the tracker has written?  Part of ``validate()``."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nooks_lab.machine.paging import PageFault
from nooks_lab.nooks.isolation.domain import Domain
from nooks_lab.nooks.tracking.object_types import TYPES, Lifetime
from nooks_lab.nooks.tracking.tracker import (
    BUCKETS,
    NEXT,
    NEXT_VERSION,
    CorruptRecord,
    ObjectTracker,
    TrackedObject,
    bucket,
)

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks

Seen = dict[int, TrackedObject]
"""Every record found in a table, by its address."""

IDLE_TASK = 0

ONE_ADDRESS = frozenset(
    {
        "heap block",
        "pages",
        "vmalloc area",
        "ioremap area",
        "consistent memory",
        "dma channel",
        "dma mapping",
        "pci regions",
        "pci_dev",
        "resource",
    }
)
"""Types whose objects have no second version: plain memory, and what an extension knows by the kernel's address."""


def _walk(tracker: ObjectTracker, head: int, link: int = NEXT) -> Iterator[TrackedObject]:
    """As :meth:`ObjectTracker.chain`, but each record must be memory of the kernel's, and stand there once."""
    memory, slab, size = tracker.kernel.memory, tracker.kernel.slab, tracker.types.size("nooks_object")
    here: set[int] = set()
    at = memory.u32(head)
    while at:
        if at in here:
            raise CorruptRecord(f"comes to record {at:08x} again")
        if (slab.size_of(at) or 0) < size:
            raise CorruptRecord(f"leads to {at:08x}, which is no allocated record")
        here.add(at)
        following, version, tracked = tracker.read(at)
        yield tracked
        at = version if link == NEXT_VERSION else following


def check_domain_table(tracker: ObjectTracker, domain: Domain, seen: Seen) -> Iterator[str]:
    """Walk a domain's table; what it holds is put into ``seen``."""
    for index in range(BUCKETS):
        try:
            for tracked in _walk(tracker, tracker.table(domain) + 4 * index):
                where = f"record {tracked.address:08x}"
                if tracked.address in seen:
                    yield f"{where} stands in two places"
                    break
                seen[tracked.address] = tracked
                if tracked.domain != domain.record.address:
                    yield f"{where} names the domain at {tracked.domain:08x}"
                if bucket(TYPES[tracked.type].number, tracked.extension) != index:
                    yield f"{where} stands in the wrong chain"
                if tracked.type in ONE_ADDRESS and tracked.kernel != tracked.extension:
                    yield f"{where} has two addresses of one {tracked.type}, {tracked.kernel:08x} for the kernel"
                if TYPES[tracked.type].lifetime is Lifetime.CALL:
                    yield f"{where} is a {tracked.type} of one call, and stands in the domain's table"
                if not 0 < tracked.serial <= tracker.record.serial:
                    yield f"{where} has the serial {tracked.serial}, which was never given out"
        except (CorruptRecord, PageFault) as problem:
            yield f"chain {index}: {_sentence(problem)}"


def check_version_table(tracker: ObjectTracker, seen: Seen) -> Iterator[str]:
    """Walk the table by kernel versions: it must hold the same records as the domains' tables, each once."""
    missing = dict(seen)
    for index in range(BUCKETS):
        try:
            for tracked in _walk(tracker, tracker.versions + 4 * index, NEXT_VERSION):
                what = f"{tracked.type} {tracked.kernel:08x}"
                if bucket(TYPES[tracked.type].number, tracked.kernel) != index:
                    yield f"{what} stands in the wrong chain"
                if tracker.domain_at(tracked.domain) is None:
                    yield f"{what} belongs to no domain"
                elif tracked.address not in seen:
                    yield f"{what} is unknown to its domain"
                elif missing.pop(tracked.address, None) is None:
                    yield f"{what} stands in two places"
                    break
        except (CorruptRecord, PageFault) as problem:
            yield f"chain {index}: {_sentence(problem)}"
    for tracked in missing.values():
        yield f"{tracked.type} {tracked.kernel:08x} is missing"


def task_tables(nooks: "Nooks") -> Iterator[tuple[int, int]]:
    """Yield pid and task_struct of every task, the idle task included: interrupts run on it."""
    yield IDLE_TASK, nooks.kernel.variable("init_task_union")
    for pid, thread in nooks.kernel.sched.threads.items():
        yield pid, thread.task.address


def check_task_table(nooks: "Nooks", pid: int, task: int, seen: Seen, found: Seen) -> Iterator[str]:
    """Walk the table of a task's calls; what it holds is put into ``found``.

    Parameters
    ----------
    seen : dict
        The long-lived objects.
    """
    tracker = nooks.tracker
    try:
        for tracked in _walk(tracker, tracker.task_chain(task)):
            where = f"record {tracked.address:08x}"
            if tracked.address in seen or tracked.address in found:
                yield f"{where} stands in two places"
                break
            domain = tracker.domain_at(tracked.domain)
            if TYPES[tracked.type].lifetime is not Lifetime.CALL:
                yield f"{where} is a {tracked.type}, which is no object of one call"
            elif domain is None:
                yield f"{where} names the domain at {tracked.domain:08x}, which there is not"
            elif not domain.failed and pid not in nooks.xpc.tasks_in(domain):
                # A failed call's objects are there until its wrapper has ended, too.
                yield f"{where} is of a call into {domain.name}, where the task is not"
            else:
                found[tracked.address] = tracked
    except (CorruptRecord, PageFault) as problem:
        yield f"its table {_sentence(problem)}"


def _sentence(problem: CorruptRecord | PageFault) -> str:
    if isinstance(problem, PageFault):
        return f"leads to {problem.address:08x}, which is not mapped"
    return str(problem)
