"""Timers, interrupts, wait queues, I/O regions, and what an extension gets of tasks and modules."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nooks_lab.kernel.irq import NR_IRQS
from nooks_lab.kernel.lists import init_list_head, list_for_each
from nooks_lab.kernel.sched import TASK_INTERRUPTIBLE, TASK_UNINTERRUPTIBLE
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


def _check_irqaction(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
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
    # Recovery keeps the handler of a failed domain, which is never called, longer than its module.
    if not (domain.failed or any(module.holds(tracked.detail[1]) for module in nooks.loaded(domain))):
        yield f"the extension's handler {tracked.detail[1]:08x} is no function of its"


def _free_wait_queue(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> None:
    """Whoever still waits there is woken first: nobody else will do it.

    When it runs, it takes its waiter off the list, which is gone by then; so each waiter is made a list of its own.
    """
    kernel = nooks.kernel
    kernel.sched.wake_up(tracked.kernel, TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE, 0)
    for waiter in _waiting(nooks, tracked.kernel):
        init_list_head(kernel.memory, waiter)
    kernel.slab.free(tracked.kernel)


def _waiting(nooks: "Nooks", queue: int) -> list[int]:
    """Return the links of the waiters on a kernel's version of a wait queue."""
    head = nooks.kernel.types.view("__wait_queue_head", queue).task_list.address
    return list(list_for_each(nooks.kernel.memory, head))


def _check_wait_queue(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    problem = ""
    for problem in _check_allocated(nooks, domain, tracked):
        yield problem
    if problem:
        return
    types = nooks.kernel.types
    link = types.offset("__wait_queue", "task_list")
    for waiter in _waiting(nooks, tracked.kernel):
        task = types.view("__wait_queue", waiter - link).task
        if task not in _tasks(nooks):
            yield f"who waits on it at {waiter - link:08x} is {task:08x}, which is no task"


def _check_waiter(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    problem = ""
    for problem in _check_allocated(nooks, domain, tracked):
        yield problem
    if problem:
        return
    task = nooks.kernel.types.view("__wait_queue", tracked.kernel).task
    if task not in _tasks(nooks):
        yield f"its task {task:08x} is none"


def _tasks(nooks: "Nooks") -> set[int]:
    kernel = nooks.kernel
    return {thread.task.address for thread in kernel.sched.threads.values()} | {
        kernel.variable("init_task_union")
    }


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


def _check_region(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    parent, start, size = tracked.detail
    trees = [nooks.kernel.variable(tree) for tree in ("ioport_resource", "iomem_resource")]
    if parent not in trees:
        yield f"{parent:08x} is no tree of I/O regions"
    elif (start, start + size - 1) not in nooks.kernel.resources.claimed(parent):
        yield f"its region {start:08x} of {size} bytes is not claimed"


def _check_task(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    if tracked.kernel not in _tasks(nooks):
        yield f"{tracked.kernel:08x} is no task"


def _check_module(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    if tracked.kernel not in [module.struct.address for module in nooks.loaded(domain)]:
        yield f"{tracked.kernel:08x} is no module of the domain"


def _check_registers(_nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    if not tracked.kernel:
        yield "its registers lie at NULL"
    elif domain.may_write(tracked.kernel):
        yield f"the extension may write the registers at {tracked.kernel:08x}"


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
        _check_wait_queue,
        struct="__wait_queue_head",
        shared=True,
    ),
    ObjectType(
        33,
        "waiter",
        Lifetime.EXPLICIT,
        Transfer.COPY,
        _free_waiter,
        _check_waiter,
        struct="__wait_queue",
        shared=True,
    ),
    ObjectType(
        34,
        "resource",
        Lifetime.EXPLICIT,
        Transfer.HANDLE,
        _release_region,
        _check_region,
        struct="resource",
        dma=True,
    ),
    ObjectType(
        35,
        "task_struct",
        Lifetime.CALL,
        Transfer.HANDLE,
        nothing_to_release,
        _check_task,
        struct="task_struct",
        shared=True,
    ),
    ObjectType(
        36,
        "module",
        Lifetime.EXPLICIT,
        Transfer.HANDLE,
        nothing_to_release,
        _check_module,
        struct="module",
    ),
    ObjectType(
        37, "pt_regs", Lifetime.CALL, Transfer.HANDLE, nothing_to_release, _check_registers, struct="pt_regs"
    ),
)
