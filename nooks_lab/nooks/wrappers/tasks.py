"""Tasks, sleeping and waking, delays, timers, interrupts, I/O regions and the module's own use count."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from nooks_lab.kernel.errno import EBUSY, ENOMEM
from nooks_lab.kernel.exports import VaList
from nooks_lab.kernel.format import vsprintf
from nooks_lab.machine.paging import PageFault
from nooks_lab.nooks.isolation.domain import BadParameter, Domain
from nooks_lab.nooks.tracking.tracker import TrackedObject
from nooks_lab.nooks.tracking.types.tasks import drop_timer
from nooks_lab.nooks.wrappers.decisions import Body, Callback, Cookie, Text, WaitQueue, Writes, held
from nooks_lab.nooks.wrappers.declare import extension_wrapper, kernel_wrapper, parse, pass_through
from nooks_lab.nooks.wrappers.memory import end

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks

T = TypeVar("T")

pass_through("void __udelay(unsigned long usecs)", in_place=True)


@kernel_wrapper("void panic(char *fmt, ...)", fmt=Text())
def panic(nooks: "Nooks", domain: Domain, fmt: int, arguments: VaList) -> None:
    """An extension that gives up gives up itself, not the system."""
    text = vsprintf(nooks.kernel.memory, nooks.kernel.memory.string(fmt), arguments)
    raise BadParameter(f"panic: {text.decode('latin-1').rstrip()}")


# Sleeping.  While a task sleeps in the kernel, its extension is not busy.


def sleeping(nooks: "Nooks", sleep: Callable[[], T]) -> T:
    """Do what may sleep; the time does not count against the extension."""
    clock = nooks.kernel.machine.clock
    begun = clock.now
    try:
        return sleep()
    finally:
        nooks.xpc.slept(clock.now - begun)


def _sleeps(prototype: str) -> None:
    function = parse(prototype).name

    def body(nooks: "Nooks", domain: Domain, *arguments: int) -> int | None:
        result: int | None = sleeping(nooks, lambda: nooks.kernel_function(function)(*arguments))
        return result

    kernel_wrapper(prototype)(body)


_sleeps("void schedule(void)")
_sleeps("long schedule_timeout(long timeout)")


def _sleeps_on(prototype: str) -> None:
    """A function that sleeps on a queue of the extension's; the kernel sleeps on its own version of it."""
    function = parse(prototype).name

    def body(nooks: "Nooks", domain: Domain, q: int, *arguments: int) -> int | None:
        queue = kernel_queue(nooks, domain, q)
        show_waiters(nooks, q, queue, anyone=True)
        try:
            result: int | None = sleeping(nooks, lambda: nooks.kernel_function(function)(queue, *arguments))
            return result
        finally:
            # While the task slept, the domain may have failed and lost its queue, or the extension freed it.
            if not domain.failed and domain.may_write(q, nooks.kernel.types.size("__wait_queue_head")):
                show_waiters(nooks, q, kernel_queue(nooks, domain, q))

    kernel_wrapper(prototype, q=WaitQueue())(body)


_sleeps_on("void sleep_on(struct __wait_queue_head *q)")
_sleeps_on("void interruptible_sleep_on(struct __wait_queue_head *q)")
_sleeps_on("long sleep_on_timeout(struct __wait_queue_head *q, long timeout)")
_sleeps_on("long interruptible_sleep_on_timeout(struct __wait_queue_head *q, long timeout)")


def kernel_queue(nooks: "Nooks", domain: Domain, q: int) -> int:
    """Return the kernel's version of a wait queue, made at its first use: the kernel follows no list of an
    extension's."""
    tracked = nooks.tracker.find(domain, "wait queue", q)
    if tracked is not None:
        return tracked.kernel
    if not domain.may_write(q):
        # A socket's: it is the kernel's already, and was checked to be one that the extension may wait on.
        return q
    kernel = nooks.kernel.slab.zalloc(nooks.kernel.types.size("__wait_queue_head"))
    if not kernel:
        raise BadParameter("no memory for the kernel's version of a wait queue")
    nooks.kernel.sched.init_waitqueue_head(kernel)
    nooks.tracker.add(domain, "wait queue", kernel, q)
    return kernel


def show_waiters(nooks: "Nooks", q: int, queue: int, anyone: bool = False) -> None:
    """Let the extension's version of a queue look empty or not, which is all that ``waitqueue_active`` reads."""
    if q == queue:
        return
    own, kernel = (nooks.kernel.types.view("__wait_queue_head", at).task_list for at in (q, queue))
    waits = anyone or kernel.next != kernel.address
    own.next = own.prev = kernel.address if waits else own.address


@kernel_wrapper("void __wake_up(struct __wait_queue_head *q, unsigned int mode, int nr)", q=WaitQueue())
def wake_up(nooks: "Nooks", domain: Domain, q: int, mode: int, nr: int) -> None:
    """Wake whoever sleeps on a queue of the extension's."""
    nooks.kernel.sched.wake_up(kernel_queue(nooks, domain, q), mode, nr)


@kernel_wrapper(
    "void add_wait_queue(struct __wait_queue_head *q, struct __wait_queue *wait)",
    q=WaitQueue(),
    wait=Writes("__wait_queue"),
)
def add_wait_queue(nooks: "Nooks", domain: Domain, q: int, wait: int) -> None:
    """Put the current task on a queue; of the waiter, too, the kernel keeps a version of its own."""
    queue = kernel_queue(nooks, domain, q)
    if nooks.tracker.find(domain, "waiter", wait) is not None:
        raise BadParameter(f"add_wait_queue: {wait:08x} waits already")
    kernel = nooks.kernel.slab.zalloc(nooks.kernel.types.size("__wait_queue"))
    if not kernel:
        raise BadParameter("add_wait_queue: no memory for the kernel's version of the waiter")
    waiter = nooks.kernel.types.view("__wait_queue", kernel)
    waiter.flags = nooks.kernel.types.view("__wait_queue", wait).flags
    waiter.task = nooks.kernel.sched.current.address
    nooks.kernel.sched.add_wait_queue(queue, kernel)
    nooks.tracker.add(domain, "waiter", kernel, wait)
    show_waiters(nooks, q, queue)


@kernel_wrapper(
    "void remove_wait_queue(struct __wait_queue_head *q, struct __wait_queue *wait)",
    q=WaitQueue(),
    wait=held("waiter", ends=True),
)
def remove_wait_queue(nooks: "Nooks", domain: Domain, q: int, wait: TrackedObject) -> None:
    """Take a waiter off its queue."""
    end(nooks, domain, wait)
    show_waiters(nooks, q, kernel_queue(nooks, domain, q))


@kernel_wrapper(
    "int wake_up_process(struct task_struct *tsk)", tsk=Body("any task of the system may be woken")
)
def wake_up_process(nooks: "Nooks", domain: Domain, tsk: int) -> int:
    """Wake a task."""
    if tsk not in [thread.task.address for thread in nooks.kernel.sched.threads.values()]:
        raise BadParameter(f"wake_up_process: {tsk:08x} is no task")
    return nooks.kernel.sched.wake_up_process(tsk)


@kernel_wrapper(
    "void set_task_state(struct task_struct *tsk, long state)", tsk=Body("it must be the calling task itself")
)
def set_task_state(nooks: "Nooks", domain: Domain, tsk: int, state: int) -> None:
    """Change the state of the calling task, and of no other."""
    if tsk != nooks.kernel.sched.current.address:
        raise BadParameter(f"set_task_state: {tsk:08x} is not the current task")
    nooks.kernel.sched.set_task_state(tsk, state)


def _counts(prototype: str) -> None:
    function = parse(prototype).name

    def body(nooks: "Nooks", domain: Domain, mod: int) -> None:
        if mod not in [module.struct.address for module in nooks.loaded(domain)]:
            raise BadParameter(f"{function}: {mod:08x} is no module of domain {domain.name}")
        nooks.kernel_function(function)(mod)

    kernel_wrapper(prototype, mod=Body("it must be a module of the domain"))(body)


_counts("void __MOD_INC_USE_COUNT(struct module *mod)")
_counts("void __MOD_DEC_USE_COUNT(struct module *mod)")


# A timer is an object from add_timer until it fires.  The kernel's version is what hangs in the kernel's
# list; the extension's own struct is never linked into anything.


def _start_timer(nooks: "Nooks", domain: Domain, timer: int, expires: int) -> int:
    own = nooks.kernel.types.view("timer_list", timer)
    tracked = nooks.tracker.find(domain, "timer_list", timer)
    ran = tracked is not None
    if tracked is None:
        kernel = nooks.kernel.slab.zalloc(nooks.kernel.types.size("timer_list"))
        if not kernel:
            raise BadParameter("mod_timer: no memory for the kernel's timer")
        tracked = nooks.tracker.add(domain, "timer_list", kernel, timer)
    version = nooks.kernel.types.view("timer_list", tracked.kernel)
    version.data, version.function = tracked.kernel, nooks.entry_point("timer_list.function")
    nooks.kernel.timers.mod_timer(tracked.kernel, expires)
    own.expires, own.list.next, own.list.prev = expires, timer, timer
    return int(ran)


@kernel_wrapper("void add_timer(struct timer_list *timer)", timer=Writes("timer_list"))
def add_timer(nooks: "Nooks", domain: Domain, timer: int) -> None:
    """Start a timer at the expiry that its struct holds."""
    _start_timer(nooks, domain, timer, nooks.kernel.types.view("timer_list", timer).expires)


@kernel_wrapper("int mod_timer(struct timer_list *timer, unsigned long expires)", timer=Writes("timer_list"))
def mod_timer(nooks: "Nooks", domain: Domain, timer: int, expires: int) -> int:
    """Start or move a timer."""
    return _start_timer(nooks, domain, timer, expires)


def _mark_stopped(nooks: "Nooks", domain: Domain, timer: int) -> None:
    if domain.may_write(timer, 8):
        nooks.kernel.memory.write(timer, bytes(8))


def _stops(prototype: str) -> None:
    def body(nooks: "Nooks", domain: Domain, timer: int) -> int:
        tracked = nooks.tracker.find(domain, "timer_list", timer)
        if tracked is None:
            return 0
        end(nooks, domain, tracked)
        _mark_stopped(nooks, domain, timer)
        return 1

    kernel_wrapper(prototype, timer=Body("one that does not run may lie anywhere"))(body)


_stops("int del_timer(struct timer_list *timer)")
_stops("int del_timer_sync(struct timer_list *timer)")


MOST_TIMERS_IN_A_JIFFY = 500
"""A timer that sets itself to a time that has passed fires again at once, and nothing else runs any more."""


@extension_wrapper("timer_list.function", "void (*)(unsigned long)")
def timer_fires(nooks: "Nooks", data: int) -> int:
    """A timer has expired: its object ends here, then the function that its struct names now is called."""
    held_by = nooks.tracker.by_kernel("timer_list", data)
    if held_by is None:
        return 0
    domain, tracked = held_by
    nooks.tracker.remove(tracked)
    drop_timer(nooks, domain, tracked)
    if domain.failed:
        return 0
    try:
        own = nooks.kernel.types.view("timer_list", tracked.extension)
        function, argument = own.function, own.data
    except PageFault as fault:
        nooks.fail(domain, f"a timer whose struct at {fault.address:08x} is gone")
        return 0
    _mark_stopped(nooks, domain, tracked.extension)
    jiffies, fired = nooks.kernel.timers.jiffies, domain.timers_fired
    domain.timers_fired = jiffies, fired[1] + 1 if fired[0] == jiffies else 1
    if domain.timers_fired[1] > MOST_TIMERS_IN_A_JIFFY:
        nooks.fail(domain, f"livelock: more than {MOST_TIMERS_IN_A_JIFFY} timers in one jiffy")
        return 0
    return nooks.call_extension(domain, 0, function, argument)


_NAME_SIZE = 32


def _take_line_from_failed(nooks: "Nooks", irq: int) -> bool:
    """What failed domains still hold of a line, until their device memory is released, passes to the successor."""
    holders = [
        nooks.tracker.by_kernel("irqaction", action.dev_id) for action in nooks.kernel.irq.actions(irq)
    ]
    failed = [held for held in holders if held is not None and held[0].failed]
    for domain, tracked in failed:
        end(nooks, domain, tracked)
    return bool(failed)


@kernel_wrapper(
    "int request_irq(unsigned int irq, void (*handler)(int, void *, struct pt_regs *), unsigned long irqflags, "
    "char *devname, void *dev_id)",
    handler=Callback(),
    devname=Text(),
    dev_id=Cookie(),
)
def request_irq(
    nooks: "Nooks", domain: Domain, irq: int, handler: int, irqflags: int, devname: int, dev_id: int
) -> int:
    """Register a handler; the kernel's cookie is our own, so that it stays unique across restarts."""
    name = nooks.kernel.memory.string(devname, _NAME_SIZE - 1)
    cookie = nooks.kernel.slab.zalloc(_NAME_SIZE)
    if not cookie:
        return -ENOMEM
    nooks.kernel.memory.write(cookie, name)
    request = nooks.kernel.irq.request_irq
    entry = nooks.entry_point("irqaction.handler")
    result = request(irq, entry, irqflags, cookie, cookie)
    if result == -EBUSY and _take_line_from_failed(nooks, irq):
        result = request(irq, entry, irqflags, cookie, cookie)
    if result:
        nooks.kernel.slab.free(cookie)
        return result
    nooks.tracker.add(domain, "irqaction", cookie, dev_id, irq, handler)
    return 0


@kernel_wrapper("void free_irq(unsigned int irq, void *dev_id)", dev_id=held("irqaction", ends=True))
def free_irq(nooks: "Nooks", domain: Domain, irq: int, dev_id: TrackedObject) -> None:
    """Remove the domain's handler."""
    if dev_id.detail[0] != irq:
        raise BadParameter(f"free_irq: {dev_id.extension:08x} serves line {dev_id.detail[0]}, not {irq}")
    end(nooks, domain, dev_id)


def _changes_line(prototype: str) -> None:
    """A function that masks or unmasks a line, which must be one that the domain serves."""
    function = parse(prototype).name

    def body(nooks: "Nooks", domain: Domain, irq: int) -> None:
        if irq not in nooks.lines(domain):
            raise BadParameter(f"{function}: domain {domain.name} has no handler on line {irq}")
        nooks.kernel_function(function)(irq)

    kernel_wrapper(prototype)(body)


_changes_line("void disable_irq(unsigned int irq)")
_changes_line("void enable_irq(unsigned int irq)")


@extension_wrapper("irqaction.handler", "void (*)(int, void *, struct pt_regs *)")
def interrupt(nooks: "Nooks", irq: int, dev_id: int, regs: int) -> int:
    """An interrupt for an extension's handler."""
    held_by = nooks.tracker.by_kernel("irqaction", dev_id)
    if held_by is None or held_by[0].failed:
        return 0
    domain, tracked = held_by
    storm = nooks.recovery.storms.entered(irq)
    if storm:
        nooks.fail(domain, storm)
        return 0
    device = nooks.tracker.find(domain, "net_device", tracked.extension)
    if device is not None and not nooks.bring_up_to_date(domain, device):
        return 0
    with nooks.tracker.call_object(domain, "pt_regs", regs, regs), nooks.recovery.storms.running(irq):
        return nooks.call_extension(domain, 0, tracked.detail[1], irq, tracked.extension, regs)


# I/O regions.  The resource tree is the kernel's; the extension holds a handle.


@kernel_wrapper(
    "struct resource *__request_region(struct resource *parent, unsigned long start, unsigned long n, char *name)",
    parent=Body("it must be one of the kernel's two trees"),
    name=Text(),
)
def request_region(nooks: "Nooks", domain: Domain, parent: int, start: int, n: int, name: int) -> int:
    """Claim a region; one that a failed domain still holds passes to its successor.

    A claim grants nothing.  Memory is granted when it is mapped; ports cannot be, for no page table stands in the way
    of ``in`` and ``out`` (paper, section 3.1: privileged instructions are not stopped).
    """
    _check_tree(nooks, parent, "__request_region")
    request = nooks.kernel.resources.request_region
    resource = request(parent, start, n, name)
    if not resource and _take_region_from_failed(nooks, parent, start, n):
        resource = request(parent, start, n, name)
    if resource:
        nooks.tracker.add(domain, "resource", resource, resource, parent, start, n)
    return resource


def _take_region_from_failed(nooks: "Nooks", parent: int, start: int, n: int) -> bool:
    for domain in nooks.domains:
        claimed = _claimed(nooks, domain, parent, start, n) if domain.failed else None
        if claimed is not None:
            end(nooks, domain, claimed)
            return True
    return False


def _claimed(nooks: "Nooks", domain: Domain, parent: int, start: int, n: int) -> TrackedObject | None:
    """Return a region that a domain has claimed; the tracker holds it by the resource's address."""
    regions = nooks.tracker.objects(domain, ["resource"])
    return next((tracked for tracked in regions if tracked.detail == (parent, start, n)), None)


def _check_tree(nooks: "Nooks", parent: int, function: str) -> None:
    if parent not in (nooks.kernel.variable("ioport_resource"), nooks.kernel.variable("iomem_resource")):
        raise BadParameter(f"{function}: {parent:08x} is no tree of I/O regions")


@kernel_wrapper(
    "void __release_region(struct resource *parent, unsigned long start, unsigned long n)",
    parent=Body("with the region it must be what the domain has claimed"),
)
def release_region(nooks: "Nooks", domain: Domain, parent: int, start: int, n: int) -> None:
    """Give a region back that the domain has claimed."""
    claimed = _claimed(nooks, domain, parent, start, n)
    if claimed is None:
        raise BadParameter(
            f"__release_region: {n} bytes at {start:08x} are no region that domain {domain.name} has claimed"
        )
    end(nooks, domain, claimed)
