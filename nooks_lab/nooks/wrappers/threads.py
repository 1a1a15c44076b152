"""Threads that an extension starts: each runs in its domain, and recovery unwinds it like any other task there."""

from typing import TYPE_CHECKING

from nooks_lab.nooks.isolation.domain import BadParameter, Domain
from nooks_lab.nooks.wrappers.decisions import Body, Callback, Cookie, Text
from nooks_lab.nooks.wrappers.declare import extension_wrapper, kernel_wrapper, pass_through
from nooks_lab.nooks.xpc.calls import ExtensionFault

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks

pass_through("void daemonize(void)")
pass_through("void set_fs(mm_segment_t limit)")


@kernel_wrapper(
    "int kernel_thread(int (*fn)(void *), void *arg, unsigned long flags)", fn=Callback(), arg=Cookie()
)
def kernel_thread(nooks: "Nooks", domain: Domain, fn: int, arg: int, flags: int) -> int:
    """Start a thread whose function, to the kernel, is a wrapper."""
    threads = nooks.kernel.threads
    pid = threads.kernel_thread(nooks.entry_point("kthread_start.fn"), arg, flags)
    if pid > 0:
        start = threads.start_of(nooks.kernel.sched.threads[pid].task.address).address
        nooks.tracker.add(domain, "kernel thread", start, start, fn)
    return pid


@extension_wrapper("kthread_start.fn", "int (*)(void *)")
def thread_begins(nooks: "Nooks", arg: int) -> int:
    """A thread of an extension's begins to run; it leaves its domain when its function returns, or is unwound."""
    start = nooks.kernel.threads.start_of(nooks.kernel.sched.current.address).address
    held_by = nooks.tracker.by_kernel("kernel thread", start)
    if held_by is None or held_by[0].failed:
        return 0
    domain, tracked = held_by
    try:
        result = nooks.xpc.run_thread(domain, tracked.detail[0], arg)
    except ExtensionFault as fault:
        nooks.fail(fault.domain, fault.trigger)
        result = 0
    still = nooks.tracker.by_kernel("kernel thread", start)
    if still is not None and still[1] == tracked:
        nooks.tracker.remove(tracked)
    return result


def _own_task(nooks: "Nooks", tsk: int, function: str) -> None:
    if tsk != nooks.kernel.sched.current.address:
        raise BadParameter(f"{function}: {tsk:08x} is not the current task")


@kernel_wrapper(
    "void set_task_comm(struct task_struct *tsk, char *name)",
    tsk=Body("it must be the calling task itself"),
    name=Text(),
)
def set_task_comm(nooks: "Nooks", domain: Domain, tsk: int, name: int) -> None:
    """Name the calling task, and no other."""
    _own_task(nooks, tsk, "set_task_comm")
    nooks.kernel.threads.set_task_comm(tsk, name)


@kernel_wrapper("void flush_signals(struct task_struct *tsk)", tsk=Body("it must be the calling task itself"))
def flush_signals(nooks: "Nooks", domain: Domain, tsk: int) -> None:
    """Forget the calling task's signals."""
    _own_task(nooks, tsk, "flush_signals")
    nooks.kernel.threads.flush_signals(tsk)


@kernel_wrapper("int kill_proc(int pid, int sig, int priv)")
def kill_proc(nooks: "Nooks", domain: Domain, pid: int, sig: int, priv: int) -> int:
    """Send a signal to a thread of the domain's own, or to one that has ended."""
    thread = nooks.kernel.sched.threads.get(pid)
    if thread is not None:
        start = nooks.kernel.threads.start_of(thread.task.address).address
        if nooks.tracker.find(domain, "kernel thread", start) is None and not thread.run.dead:
            raise BadParameter(f"kill_proc: process {pid} is no thread of domain {domain.name}")
    return nooks.kernel.threads.kill_proc(pid, sig, priv)
