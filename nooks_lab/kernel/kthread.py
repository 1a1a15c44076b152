"""Kernel threads and the signals that end them (Linux 2.4 ``arch/i386/kernel/process.c``, ``kernel/signal.c``)."""

from typing import Any

from nooks_lab.kernel.errno import EINVAL, ENOMEM, ESRCH
from nooks_lab.kernel.execution import Execution
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.sched import TASK_INTERRUPTIBLE, THREAD_SIZE, Scheduler, Thread
from nooks_lab.kernel.structs import Types

USER_DS, KERNEL_DS = 0xC0000000, 0xFFFFFFFF
"""``current->addr_limit``: up to where a system call's pointers may go."""

_LAST_SIGNAL = 63


class KernelThreads:
    """Tasks whose body is machine code, and what such a task does about itself."""

    def __init__(self, types: Types, sched: Scheduler, execution: Execution) -> None:
        self._types, self._sched, self._execution = types, sched, execution

    @export(cycles=3000)
    def kernel_thread(self, fn: int, arg: int, flags: int) -> int:
        """Start a thread that runs ``fn(arg)`` and ends when that returns; returns its pid.

        It has the name, and the address limit, of the task that starts it.
        """
        parent = self._sched.current
        try:
            thread = self._sched.spawn(parent.comm.decode("latin-1"), lambda: self._run(thread))
        except MemoryError:
            return -ENOMEM
        thread.detached = True
        thread.task.p_pptr = parent.address
        thread.task.addr_limit.seg = parent.addr_limit.seg
        start = self.start_of(thread.task.address)
        start.fn, start.arg = fn, arg
        return int(thread.task.pid)

    def start_of(self, task: int) -> Any:
        """Return a thread's ``struct kthread_start``, at the top of its stack.

        Parameters
        ----------
        task : int
            Address of its ``task_struct``.
        """
        return self._types.view("kthread_start", task + THREAD_SIZE - self._types.size("kthread_start"))

    def _run(self, thread: Thread) -> int:
        start = self.start_of(thread.task.address)
        return self._execution.system_call(lambda: self._execution.call(start.fn, start.arg))

    @export(cycles=800)
    def daemonize(self) -> None:
        """Detach from the process that started this thread: init's child from now on."""
        self._sched.current.p_pptr = self._sched.init_task

    @export(cycles=60)
    def set_task_comm(self, tsk: int, name: int) -> None:
        """Name a task; what is longer than 15 characters is cut off."""
        self._types.view("task_struct", tsk).comm = self._types.memory.string(name, 15)

    @export(cycles=20)
    def set_fs(self, limit: int) -> None:
        """Say up to where the pointers may go that this task gives to system calls."""
        self._sched.current.addr_limit.seg = limit

    def address_limit(self) -> int:
        """Return up to where the pointers may go that the running task gives to system calls."""
        return int(self._sched.current.addr_limit.seg) or USER_DS

    # Signals

    @export(cycles=300)
    def kill_proc(self, pid: int, sig: int, priv: int) -> int:
        """Send a signal; one that sleeps interruptibly wakes."""
        if not 0 <= sig <= _LAST_SIGNAL:
            return -EINVAL
        thread = self._sched.threads.get(pid)
        if thread is None or thread.run.dead:
            return -ESRCH
        if sig:
            self._send(thread.task, sig)
        return 0

    def _send(self, task: Any, sig: int) -> None:
        word, bit = divmod(sig - 1, 32)
        task.pending.signal.sig[word] |= 1 << bit
        if task.blocked.sig[word] >> bit & 1:
            return
        task.sigpending = 1
        if task.state == TASK_INTERRUPTIBLE:
            self._sched.wake_up_process(task.address)

    def send_to_current(self, sig: int) -> None:
        """Send a signal to the running task."""
        self._send(self._sched.current, sig)

    @export(cycles=100)
    def flush_signals(self, tsk: int) -> None:
        """Forget a task's pending signals."""
        task = self._types.view("task_struct", tsk)
        task.pending.signal = bytes(self._types.size("sigpending"))
        task.sigpending = 0
