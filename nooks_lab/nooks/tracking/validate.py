"""``validate()``: compare the tracker's tables with the state of kernel and domains, and say what does not fit."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nooks_lab.kernel.kernel import Kernel
from nooks_lab.machine.paging import RW, P, PageFault
from nooks_lab.nooks.isolation.domain import Domain
from nooks_lab.nooks.tracking.object_types import TYPES
from nooks_lab.nooks.tracking.tracker import BUCKETS, CorruptRecord, ObjectTracker, TrackedObject, bucket

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks

_LONGEST_CHAIN = 100_000


def validate(nooks: "Nooks") -> list[str]:
    """Return a sentence for everything that is wrong with the tracked objects and granted pages of all domains.

    An empty list says that chains, records, kernel objects and page rights agree with each other.
    """
    findings: list[str] = []
    for domain in nooks.domains:
        seen: dict[int, TrackedObject] = {}
        for problem in _chains(nooks.tracker, domain, seen):
            findings.append(f"domain {domain.name}: {problem}")
        for tracked in seen.values():
            for problem in _object(nooks, domain, tracked):
                findings.append(f"domain {domain.name}: {tracked.type} {tracked.extension:08x}: {problem}")
        findings += [f"domain {domain.name}: {problem}" for problem in _pages(nooks.kernel, domain)]
    findings += _versions(nooks.tracker)
    return findings


def _chain(tracker: ObjectTracker, head: int, by_version: bool) -> Iterator[TrackedObject]:
    at, steps = tracker.kernel.memory.u32(head), 0
    while at:
        if tracker.kernel.slab.size_of(at) is None:
            raise CorruptRecord(f"record {at:08x} is no allocated object of the kernel's")
        following, version, tracked = tracker.read(at)
        yield tracked
        at, steps = version if by_version else following, steps + 1
        if steps > _LONGEST_CHAIN:
            raise CorruptRecord("the chain runs in a circle")


def _chains(tracker: ObjectTracker, domain: Domain, seen: dict[int, TrackedObject]) -> Iterator[str]:
    """Walk a domain's table; what it holds is put into ``seen``."""
    head = domain.record.offset_of("objects")
    for index in range(BUCKETS):
        try:
            for tracked in _chain(tracker, head + 4 * index, by_version=False):
                if tracked.address in seen:
                    yield f"record {tracked.address:08x} stands in two places"
                    break
                seen[tracked.address] = tracked
                if tracked.domain != domain.record.address:
                    yield f"record {tracked.address:08x} names the domain at {tracked.domain:08x}"
                if bucket(TYPES[tracked.type].number, tracked.extension) != index:
                    yield f"record {tracked.address:08x} stands in the wrong chain"
        except (CorruptRecord, PageFault) as problem:
            yield f"chain {index}: {problem}"


def _versions(tracker: ObjectTracker) -> Iterator[str]:
    """Walk the table by kernel versions: each record must be in its domain's table too."""
    head = tracker.record.offset_of("versions")
    for index in range(BUCKETS):
        try:
            for tracked in _chain(tracker, head + 4 * index, by_version=True):
                if bucket(TYPES[tracked.type].number, tracked.kernel) != index:
                    yield f"kernel versions: record {tracked.address:08x} stands in the wrong chain"
                domain = tracker.domain_at(tracked.domain)
                if domain is None:
                    yield f"kernel versions: {tracked.type} {tracked.kernel:08x} belongs to no domain"
                elif tracker.find(domain, tracked.type, tracked.extension) is None:
                    yield f"kernel versions: {tracked.type} {tracked.kernel:08x} is unknown to its domain"
        except (CorruptRecord, PageFault) as problem:
            yield f"kernel versions, chain {index}: {problem}"


def _object(nooks: "Nooks", domain: Domain, tracked: TrackedObject) -> Iterator[str]:
    try:
        yield from TYPES[tracked.type].validate(nooks, domain, tracked)
    except PageFault as fault:
        yield f"{fault.address:08x} is not mapped"


def _pages(kernel: Kernel, domain: Domain) -> Iterator[str]:
    """Compare page tables and page tracker: writable is what was granted, and nothing else."""
    granted = {page for page, _, _ in domain.page_tracker.granted()}
    for page, entry in kernel.page_table.mapped().items():
        own = domain.pte(page)
        if not own & P or own >> 12 != entry >> 12:
            yield f"page {page:08x}: its entry {own:08x} is out of step with the kernel's {entry:08x}"
        elif bool(own & RW) != (page in granted):
            yield f"page {page:08x} is {'writable' if own & RW else 'read-only'}, which its grants do not say"
        granted.discard(page)
    for page in sorted(granted):
        yield f"page {page:08x} is granted but not mapped"
