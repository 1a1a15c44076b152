"""Tasks, delays, timers, interrupts and the module's own use count."""

from typing import TYPE_CHECKING

from nooks_lab.kernel.errno import ENOMEM
from nooks_lab.nooks.domain import BadParameter, Domain
from nooks_lab.nooks.tracker import TrackedObject
from nooks_lab.nooks.wrappers.declare import extension_wrapper, kernel_wrapper, pass_through

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks

for _name in ("__udelay", "schedule", "schedule_timeout"):
    pass_through(_name)


@kernel_wrapper("set_task_state")
def set_task_state(nooks: "Nooks", domain: Domain, tsk: int, state: int) -> None:
    """Change the state of the calling task, and of no other."""
    if tsk != nooks.kernel.sched.current.address:
        raise BadParameter(f"set_task_state: {tsk:08x} is not the current task")
    nooks.kernel.sched.set_task_state(tsk, state)


def _module_count(nooks: "Nooks", domain: Domain, mod: int, function: str) -> None:
    if mod not in [nooks.kernel.modules.loaded[name].struct.address for name in domain.modules]:
        raise BadParameter(f"{function}: {mod:08x} is no module of domain {domain.name}")
    nooks.kernel_function(function)(mod)


@kernel_wrapper("__MOD_INC_USE_COUNT")
def mod_inc_use_count(nooks: "Nooks", domain: Domain, mod: int) -> None:
    """Count a use of one of the domain's own modules."""
    _module_count(nooks, domain, mod, "__MOD_INC_USE_COUNT")


@kernel_wrapper("__MOD_DEC_USE_COUNT")
def mod_dec_use_count(nooks: "Nooks", domain: Domain, mod: int) -> None:
    """Undo a use of one of the domain's own modules."""
    _module_count(nooks, domain, mod, "__MOD_DEC_USE_COUNT")


# A timer is an object from add_timer until it fires.  The kernel's version is what hangs in the kernel's
# list; the extension's own struct is never linked into anything.


def _start_timer(nooks: "Nooks", domain: Domain, timer: int, expires: int) -> int:
    domain.check_writable(timer, nooks.kernel.types.size("timer_list"), "mod_timer")
    own = nooks.kernel.types.view("timer_list", timer)
    tracked = nooks.tracker.find(domain, "timer_list", timer)
    ran = tracked is not None
    if tracked is None:
        kernel = nooks.kernel.slab.zalloc(nooks.kernel.types.size("timer_list"))
        if not kernel:
            raise BadParameter("mod_timer: no memory for the kernel's timer")
        tracked = nooks.tracker.add(domain, "timer_list", kernel, timer, lambda o: _drop_timer(nooks, o))
    version = nooks.kernel.types.view("timer_list", tracked.kernel)
    version.data, version.function = tracked.kernel, nooks.entry_point("timer_list.function")
    tracked.detail = own.function, own.data
    nooks.kernel.timers.mod_timer(tracked.kernel, expires)
    own.expires, own.list.next, own.list.prev = expires, timer, timer
    return int(ran)


def _drop_timer(nooks: "Nooks", tracked: TrackedObject) -> None:
    nooks.kernel.timers.del_timer(tracked.kernel)
    nooks.kernel.slab.free(tracked.kernel)


@kernel_wrapper("add_timer")
def add_timer(nooks: "Nooks", domain: Domain, timer: int) -> None:
    """Start a timer at the expiry that its struct holds."""
    domain.check_writable(timer, nooks.kernel.types.size("timer_list"), "add_timer")
    _start_timer(nooks, domain, timer, nooks.kernel.types.view("timer_list", timer).expires)


@kernel_wrapper("mod_timer")
def mod_timer(nooks: "Nooks", domain: Domain, timer: int, expires: int) -> int:
    """Start or move a timer."""
    return _start_timer(nooks, domain, timer, expires)


def _stop_timer(nooks: "Nooks", domain: Domain, timer: int) -> int:
    tracked = nooks.tracker.find(domain, "timer_list", timer)
    if tracked is None:
        return 0
    nooks.tracker.remove(domain, tracked)
    _drop_timer(nooks, tracked)
    _mark_stopped(nooks, domain, timer)
    return 1


def _mark_stopped(nooks: "Nooks", domain: Domain, timer: int) -> None:
    if domain.may_write(timer, 8):
        nooks.kernel.memory.write(timer, bytes(8))


@kernel_wrapper("del_timer")
def del_timer(nooks: "Nooks", domain: Domain, timer: int) -> int:
    """Stop a timer."""
    return _stop_timer(nooks, domain, timer)


@kernel_wrapper("del_timer_sync")
def del_timer_sync(nooks: "Nooks", domain: Domain, timer: int) -> int:
    """Stop a timer; on one CPU its function is not running elsewhere."""
    return _stop_timer(nooks, domain, timer)


@extension_wrapper("timer_list.function")
def timer_fires(nooks: "Nooks", data: int) -> int:
    """A timer has expired: its object ends here, then its function is called."""
    held = nooks.tracker.by_kernel("timer_list", data)
    if held is None:
        return 0
    domain, tracked = held
    nooks.tracker.remove(domain, tracked)
    nooks.kernel.slab.free(tracked.kernel)
    _mark_stopped(nooks, domain, tracked.extension)
    function, argument = tracked.detail
    return nooks.call_extension(domain, 0, function, argument)


_NAME_SIZE = 32


@kernel_wrapper("request_irq")
def request_irq(
    nooks: "Nooks", domain: Domain, irq: int, handler: int, irqflags: int, devname: int, dev_id: int
) -> int:
    """Register a handler; the kernel's cookie is our own, so that it stays unique across restarts."""
    name = domain.read(devname, 1, "request_irq") and nooks.kernel.memory.string(devname, _NAME_SIZE - 1)
    cookie = nooks.kernel.slab.zalloc(_NAME_SIZE)
    if not cookie:
        return -ENOMEM
    nooks.kernel.memory.write(cookie, name)
    result = nooks.kernel.irq.request_irq(
        irq, nooks.entry_point("irqaction.handler"), irqflags, cookie, cookie
    )
    if result:
        nooks.kernel.slab.free(cookie)
        return result
    nooks.tracker.add(domain, "irqaction", cookie, dev_id, lambda o: _free_irq(nooks, irq, o), (irq, handler))
    return 0


def _free_irq(nooks: "Nooks", irq: int, tracked: TrackedObject) -> None:
    nooks.kernel.irq.free_irq(irq, tracked.kernel)
    nooks.kernel.slab.free(tracked.kernel)


@kernel_wrapper("free_irq")
def free_irq(nooks: "Nooks", domain: Domain, irq: int, dev_id: int) -> None:
    """Remove the domain's handler."""
    tracked = nooks.tracker.check(domain, "irqaction", dev_id, "free_irq")
    nooks.tracker.remove(domain, tracked)
    tracked.release(tracked)


def _own_line(nooks: "Nooks", domain: Domain, irq: int, function: str) -> None:
    if irq not in [o.detail[0] for o in nooks.tracker.objects(domain) if o.type == "irqaction"]:
        raise BadParameter(f"{function}: domain {domain.name} has no handler on line {irq}")
    nooks.kernel_function(function)(irq)


@kernel_wrapper("disable_irq")
def disable_irq(nooks: "Nooks", domain: Domain, irq: int) -> None:
    """Mask a line that the domain serves."""
    _own_line(nooks, domain, irq, "disable_irq")


@kernel_wrapper("enable_irq")
def enable_irq(nooks: "Nooks", domain: Domain, irq: int) -> None:
    """Unmask a line that the domain serves."""
    _own_line(nooks, domain, irq, "enable_irq")


@extension_wrapper("irqaction.handler")
def interrupt(nooks: "Nooks", irq: int, dev_id: int, regs: int) -> int:
    """An interrupt for an extension's handler."""
    held = nooks.tracker.by_kernel("irqaction", dev_id)
    if held is None or held[0].failed:
        return 0
    domain, tracked = held
    device = nooks.tracker.find(domain, "net_device", tracked.extension)
    if device is not None:
        nooks.net_device.to_extension(device.kernel, device.extension)
    result = nooks.call_extension(domain, 0, tracked.detail[1], irq, tracked.extension, regs)
    if device is not None and not domain.failed:
        nooks.net_device.to_kernel(device.kernel, device.extension)
    return result
