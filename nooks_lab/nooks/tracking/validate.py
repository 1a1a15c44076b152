"""``validate()``: compare the isolation manager's tables with kernel and domains, and say what does not fit."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nooks_lab.kernel.bug import KernelBug
from nooks_lab.machine.paging import PageFault
from nooks_lab.nooks.isolation.domain import BadParameter, Domain
from nooks_lab.nooks.tracking.kernel_lists import broken_lists
from nooks_lab.nooks.tracking.object_types import TYPES
from nooks_lab.nooks.tracking.page_rights import check_grants, check_page_table
from nooks_lab.nooks.tracking.records import (
    Seen,
    check_domain_table,
    check_task_table,
    check_version_table,
    task_tables,
)
from nooks_lab.nooks.tracking.tracker import TrackedObject

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks


def validate(nooks: "Nooks") -> list[str]:
    """Return a sentence for everything that is wrong with tracked objects, page rights and queues of all domains.

    An empty list says that chains, records, kernel objects, page tables, grants and deferred calls agree with each
    other.  Damage of any kind makes a sentence, never an exception.
    """
    findings, unchecked = broken_lists(nooks.kernel)
    everything: Seen = {}
    for domain in nooks.domains:
        where = f"domain {domain.name}: "
        objects: Seen = {}
        findings += _say(where, _check_record(nooks, domain))
        findings += _say(where, check_domain_table(nooks.tracker, domain, objects))
        for tracked in objects.values():
            if tracked.type not in unchecked:
                findings += _say(where + _name(tracked), _check_object(nooks, domain, tracked))
        findings += _say(where, check_page_table(nooks.kernel, domain))
        findings += _say(where, check_grants(nooks, domain, list(objects.values())))
        findings += _say(where, _check_queues(nooks, domain))
        everything |= objects
    findings += _say("kernel versions: ", check_version_table(nooks.tracker, everything))
    of_calls: Seen = {}
    for pid, task in task_tables(nooks):
        findings += _say(f"task {pid}: ", check_task_table(nooks, pid, task, everything, of_calls))
    for tracked in of_calls.values():
        owner = nooks.tracker.owner(tracked)
        findings += _say(f"domain {owner.name}: {_name(tracked)}", _check_object(nooks, owner, tracked))
    return findings


def _name(tracked: TrackedObject) -> str:
    return f"{tracked.type} {tracked.extension:08x}: "


def _check_object(nooks: "Nooks", domain: Domain, tracked: TrackedObject) -> Iterator[str]:
    return TYPES[tracked.type].validate(nooks, domain, tracked)


def _say(where: str, check: Iterator[str]) -> Iterator[str]:
    """Put a place before each finding; what a check stumbles over is a finding too."""
    try:
        for problem in check:
            yield where + problem
    except PageFault as fault:
        yield f"{where}{fault.address:08x} is not mapped"
    except KernelBug as bug:
        yield f"{where}{bug}"
    except (LookupError, ArithmeticError, ValueError) as nonsense:
        # Damaged numbers: a page table outside RAM, a cache of objects without size, and the like.
        yield f"{where}the data are nonsense ({nonsense})"


def _check_record(nooks: "Nooks", domain: Domain) -> Iterator[str]:
    """The domain's own record must be allocated, and name its tables."""
    record, queues = domain.record, nooks.queues(domain)
    if nooks.kernel.slab.size_of(record.address) is None:
        yield f"its record at {record.address:08x} is no allocated object"
        return
    for member, value in (
        ("number", domain.number),
        ("directory", domain.directory),
        ("granted", domain.page_tracker.address),
        ("kernel_calls", queues.kernel_calls.address),
        ("extension_calls", queues.extension_calls.address),
    ):
        found = getattr(record, member)
        if found != value:
            yield f"its record has {found:08x} as {member}, where {value:08x} belongs"
    if record.failed not in (0, 1):
        yield f"its record has {record.failed:08x} as failed, which is neither yes nor no"


def _check_queues(nooks: "Nooks", domain: Domain) -> Iterator[str]:
    """The calls that wait must be calls, and only the queue into the kernel the extension's to write."""
    queues, size = nooks.queues(domain), nooks.types.size("nooks_queue")
    for queue in (queues.kernel_calls, queues.extension_calls):
        try:
            waiting = queue.waiting()
        except BadParameter as damaged:
            yield str(damaged)
            continue
        for number, *_ in waiting:
            if not nooks.interposition.is_delayed_function(number):
                yield f"the {queue.name} queue names function {number}, which there is not"
    if domain.heap.size_of(queues.kernel_calls.address) is None:
        yield f"the {queues.kernel_calls.name} queue is no block of its heap"
    if not domain.may_write(queues.kernel_calls.address, size):
        yield f"the {queues.kernel_calls.name} queue is not the extension's to write"
    if nooks.kernel.slab.size_of(queues.extension_calls.address) is None:
        yield f"the {queues.extension_calls.name} queue is no allocated object of the kernel's"
    if domain.may_write(queues.extension_calls.address):
        yield f"the extension may write the {queues.extension_calls.name} queue"
