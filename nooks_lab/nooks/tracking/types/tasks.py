"""Timers, interrupts, wait queues, I/O regions, and what an extension gets of tasks and modules."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nooks_lab.kernel.irq import NR_IRQS
from nooks_lab.kernel.sched import TASK_INTERRUPTIBLE, TASK_UNINTERRUPTIBLE
from nooks_lab.nooks.isolation.domain import Domain
from nooks_lab.nooks.tracking.object_types import (
    Lifetime,
    ObjectType,
    Transfer,
    nothing_to_check,
    nothing_to_release,
    register,
)

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks
    from nooks_lab.nooks.tracking.tracker import TrackedObject


def drop_timer(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> None:
    """Stop the kernel's version of a timer and free it."""
    nooks.kernel.timers.del_timer(tracked.kernel)
    nooks.kernel.slab.free(tracked.kernel)


def _check_timer(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    if tracked.kernel not in nooks.kernel.timers.pending():
        yield f"{tracked.kernel:08x} does not hang in the kernel's list"
        return
    timer = nooks.kernel.types.view("timer_list", tracked.kernel)
    gate = nooks.kernel.execution.gates.get(timer.function)
    if gate is None or gate.name != "nooks_timer_list.function":
        yield f"its function {timer.function:08x} is no wrapper"
    if timer.data != tracked.kernel:
        yield f"its data {timer.data:08x} do not name it"
    if domain.may_write(tracked.kernel):
        yield f"the extension may write the kernel's version {tracked.kernel:08x}"


def free_irq(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> None:
    """Take the domain's handler from its line; ``detail`` is (line, handler)."""
    nooks.kernel.irq.free_irq(tracked.detail[0], tracked.kernel)
    nooks.kernel.slab.free(tracked.kernel)


def _check_irqaction(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    line = tracked.detail[0]
    if line >= NR_IRQS:
        yield f"there is no line {line}"
        return
    actions = {action.dev_id: action for action in nooks.kernel.irq.actions(line)}
    if tracked.kernel not in actions:
        yield f"no handler of line {line} has the cookie {tracked.kernel:08x}"
        return
    handler = actions[tracked.kernel].handler
    gate = nooks.kernel.execution.gates.get(handler)
    if gate is None or gate.name != "nooks_irqaction.handler":
        yield f"the handler of line {line} is {handler:08x}, which is no wrapper"


def _free_wait_queue(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> None:
    """Whoever still waits there is woken first: nobody else will do it."""
    nooks.kernel.sched.wake_up(tracked.kernel, TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE, 0)
    nooks.kernel.slab.free(tracked.kernel)


def _free_waiter(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> None:
    nooks.kernel.sched.remove_wait_queue(0, tracked.kernel)
    nooks.kernel.slab.free(tracked.kernel)


def _check_allocated(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    if nooks.kernel.slab.size_of(tracked.kernel) is None:
        yield f"the kernel's version {tracked.kernel:08x} is no allocated object"
    elif domain.may_write(tracked.kernel):
        yield f"the extension may write the kernel's version {tracked.kernel:08x}"


def _release_region(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> None:
    parent, start, size = tracked.detail
    nooks.kernel.resources.release_region(parent, start, size)


register(
    ObjectType(
        30,
        "timer_list",
        Lifetime.TIMER,
        Transfer.COPY,
        drop_timer,
        _check_timer,
        struct="timer_list",
        shared=True,
    ),
    ObjectType(
        31,
        "irqaction",
        Lifetime.EXPLICIT,
        Transfer.HANDLE,
        free_irq,
        _check_irqaction,
        struct="irqaction",
        dma=True,
        shared=True,
    ),
    ObjectType(
        32,
        "wait queue",
        Lifetime.EXPLICIT,
        Transfer.COPY,
        _free_wait_queue,
        _check_allocated,
        struct="__wait_queue_head",
        shared=True,
    ),
    ObjectType(
        33,
        "waiter",
        Lifetime.EXPLICIT,
        Transfer.COPY,
        _free_waiter,
        _check_allocated,
        struct="__wait_queue",
        shared=True,
    ),
    ObjectType(
        34,
        "resource",
        Lifetime.EXPLICIT,
        Transfer.HANDLE,
        _release_region,
        nothing_to_check,
        struct="resource",
        dma=True,
    ),
    ObjectType(
        35,
        "task_struct",
        Lifetime.CALL,
        Transfer.HANDLE,
        nothing_to_release,
        nothing_to_check,
        struct="task_struct",
        shared=True,
    ),
    ObjectType(
        36,
        "module",
        Lifetime.EXPLICIT,
        Transfer.HANDLE,
        nothing_to_release,
        nothing_to_check,
        struct="module",
    ),
    ObjectType(
        37, "pt_regs", Lifetime.CALL, Transfer.HANDLE, nothing_to_release, nothing_to_check, struct="pt_regs"
    ),
)
