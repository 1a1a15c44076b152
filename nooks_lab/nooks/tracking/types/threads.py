"""Threads that an extension has started."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nooks_lab.nooks.isolation.domain import Domain
from nooks_lab.nooks.tracking.object_types import (
    Lifetime,
    ObjectType,
    Transfer,
    nothing_to_release,
    register,
)

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks
    from nooks_lab.nooks.tracking.tracker import TrackedObject


def _check_thread(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    threads = nooks.kernel.threads
    tasks = {threads.start_of(each.task.address).address for each in nooks.kernel.sched.threads.values()}
    if tracked.kernel not in tasks:
        yield f"{tracked.kernel:08x} lies on no task's stack"
        return
    entry = nooks.kernel.types.view("kthread_start", tracked.kernel).fn
    gate = nooks.kernel.execution.gates.get(entry)
    if gate is None or gate.name != "nooks_kthread_start.fn":
        yield f"its function {entry:08x} is no wrapper"
    if not (domain.failed or any(module.holds(tracked.detail[0]) for module in nooks.loaded(domain))):
        yield f"the extension's function {tracked.detail[0]:08x} is none of its"


register(
    # Recovery unwinds a thread before it releases anything; one that has not run yet finds no record, and ends.
    ObjectType(
        38,
        "kernel thread",
        Lifetime.EXPLICIT,
        Transfer.HANDLE,
        nothing_to_release,
        _check_thread,
        struct="kthread_start",
    ),
)
