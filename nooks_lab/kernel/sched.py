"""Tasks, sleeping and waking (Linux 2.4 ``kernel/sched.c``, ``kernel/fork.c``).

A task's ``task_struct`` lies at the bottom of its 8 KiB kernel stack.  What it does in Python runs in a
greenlet of its own, so that it can sleep in the middle of a driver's call and be woken there; the CPU has
always stopped at a gate by then.
"""

from collections.abc import Callable
from typing import Any

import greenlet

from nooks_lab.kernel.bug import KernelBug
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.lists import init_list_head, list_add_tail, list_del, list_for_each
from nooks_lab.kernel.page_alloc import PageAllocator
from nooks_lab.kernel.structs import Types
from nooks_lab.machine.cpu import EFLAGS_IF
from nooks_lab.machine.machine import Machine

THREAD_SIZE = 8192
_STACK_ORDER = 1

TASK_RUNNING, TASK_INTERRUPTIBLE, TASK_UNINTERRUPTIBLE, TASK_ZOMBIE = 0, 1, 2, 4
PF_MEMALLOC = 0x800
SIGKILL = 9
MAX_SCHEDULE_TIMEOUT = 0x7FFFFFFF


class TaskKilled(Exception):  # noqa: N818 - an event of the guest
    """``do_exit``: the running task goes no further; its exit code follows."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit code {code}")
        self.code = code


class ForkFailed(MemoryError):  # noqa: N818 - an event of the guest
    """``fork`` returns -ENOMEM: there is no memory for a process."""


def _nothing(_task: Any) -> None:
    """Such a task has nothing to give up."""


class Thread:
    """The running part of a task: its greenlet, and its registers while another task runs."""

    def __init__(self, task: Any, run: greenlet.greenlet) -> None:
        self.task = task
        self.run = run
        self.registers: dict[str, int] = {}
        self.result: Any = None
        self.exit_code = 0
        self.killed = False
        self.detached = False


class Scheduler:
    """Round robin over the runnable tasks; with none, the idle task waits for interrupts.

    Parameters
    ----------
    current : int
        Address of the variable ``current_task``.
    irq_stat : view of struct irq_cpustat
        Says whether the CPU is in an interrupt.
    idle : callable (cycle)
        Runs the idle loop up to a cycle.
    schedule_timer : callable (delay in jiffies, callable) -> cancel
        Calls back after a delay, from the timer interrupt.

    Attributes
    ----------
    init_task : int
        Address of the idle task, which is every orphan's parent.
    resting : callable
        Told when a task gives up the CPU.
    """

    def __init__(
        self,
        types: Types,
        machine: Machine,
        pages: PageAllocator,
        current: int,
        last_pid: int,
        init_task: int,
        irq_stat: Any,
        idle: Callable[[int], None],
    ) -> None:
        self._types, self._machine, self._memory = types, machine, machine.linear
        self._pages, self._current, self._last_pid = pages, current, last_pid
        self.init_task, self._irq_stat, self._idle = init_task, irq_stat, idle
        self.threads: dict[int, Thread] = {}
        self._boot = greenlet.getcurrent()
        self._timeouts: dict[int, int] = {}
        self._pid, self._resched = (types.offset("task_struct", name) for name in ("pid", "need_resched"))
        self.jiffies: Callable[[], int] = lambda: 0
        self.resting: Callable[[], None] = lambda: None
        self._unwinding: dict[int, Exception] = {}
        self._need_resched = False

    def boot(self) -> None:
        """Make the idle task: pid 0, on the boot stack."""
        task = self._types.view("task_struct", self.init_task)
        self._fill(task, b"swapper", 0)
        task.next_task = task.prev_task = self.init_task
        self._memory.set_u32(self._current, self.init_task)

    def _fill(self, task: Any, name: bytes, pid: int) -> None:
        task.comm, task.pid, task.state, task.cap_effective = name, pid, TASK_RUNNING, 0xFFFFFFFF
        task.counter = 6
        init_list_head(self._memory, task.wait_chldexit.task_list.address)
        task.p_pptr = self.init_task

    @property
    def current(self) -> Any:
        """The running task's ``task_struct``."""
        return self._types.view("task_struct", self._memory.u32(self._current))

    def current_pid(self) -> int:
        """Return the running task's pid."""
        return self._memory.u32(self._memory.u32(self._current) + self._pid)

    def must_be_process(self) -> None:
        """Only a process can wait.

        Raises
        ------
        KernelBug
            In an interrupt, or when the kernel takes the running process for the idle task: somebody has written to
            its ``task_struct``.
        RuntimeError
            Outside of any process.
        """
        if self.in_interrupt():
            raise KernelBug("waiting in interrupt")
        if self.current_pid() == 0:
            if greenlet.getcurrent() is not self._boot:
                raise KernelBug("waiting in the idle task")
            raise RuntimeError("a call that waits needs a process: make it inside kernel.in_task")

    def may_dip(self) -> bool:
        """Tell whether the running task may have the last pages; an interrupt of it may not."""
        return bool(self.current.flags & PF_MEMALLOC) and not self.in_interrupt()

    def in_interrupt(self) -> bool:
        """Tell whether the CPU is in an interrupt handler or softirq."""
        return bool(self._irq_stat.local_irq_count + self._irq_stat.local_bh_count)

    def spawn(
        self, name: str, body: Callable[[], Any], at_exit: Callable[[Any], None] = _nothing, flags: int = 0
    ) -> Thread:
        """Make a runnable task that executes ``body`` in process context.

        Parameters
        ----------
        flags : int
            ``PF_MEMALLOC``: it gets memory back, and may have the last pages for that; its stack is the first.
        at_exit : callable (task)
            Called in the task's context when it has ended, or was killed.

        Raises
        ------
        ForkFailed
            When no kernel stack can be allocated.
        """
        alloc = self._pages.alloc_from_reserve if flags & PF_MEMALLOC else self._pages.alloc
        stack = alloc(_STACK_ORDER)
        if not stack:
            raise ForkFailed(f"no memory for the kernel stack of task {name}")
        self._memory.fill(stack, THREAD_SIZE, 0)
        task = self._types.view("task_struct", stack)
        pid = self._memory.u32(self._last_pid) + 1
        self._memory.set_u32(self._last_pid, pid)
        self._fill(task, name.encode()[:15], pid)
        task.flags = flags
        self._link(task)

        def run() -> None:
            self._main(thread, body, at_exit)

        thread: Thread = Thread(task, greenlet.greenlet(run, parent=self._boot))
        thread.registers = self._machine.cpu.registers() | {
            "esp": stack + THREAD_SIZE - 32,
            "ebp": 0,
            "eflags": EFLAGS_IF | 2,
        }
        self.threads[pid] = thread
        return thread

    def _link(self, task: Any) -> None:
        init = self._types.view("task_struct", self.init_task)
        last = self._types.view("task_struct", init.prev_task)
        task.prev_task, task.next_task = last.address, init.address
        last.next_task = init.prev_task = task.address

    def _main(self, thread: Thread, body: Callable[[], Any], at_exit: Callable[[Any], None]) -> None:
        try:
            thread.result = body()
        except TaskKilled as death:
            thread.exit_code, thread.killed = death.code, True
        if thread.task.files or thread.task.pwd:
            try:
                at_exit(thread.task)
            except TaskKilled as death:
                thread.exit_code, thread.killed = death.code, True

    def run(self, thread: Thread, cycles: int) -> bool:
        """Run tasks until this one has ended; what the guest raises (a panic, say) comes out of here.

        Parameters
        ----------
        cycles : int
            The most that it may take: one that waits for what never comes has not ended then, and the result is False.
        """
        self._begin()
        deadline = self._machine.clock.now + cycles
        try:
            while not thread.run.dead:
                if self._machine.clock.now >= deadline:
                    return False
                if not self._run_one():
                    self._idle(min(deadline, self._next_moment(deadline)))
        finally:
            if thread.run.dead:
                self._reap(thread)
        return True

    def run_until(self, cycle: int) -> None:
        """Run tasks and the idle loop until the clock shows ``cycle``."""
        self._begin()
        while self._machine.clock.now < cycle:
            if not self._run_one():
                self._idle(min(cycle, self._next_moment(cycle)))
        self._reap_orphans()

    def _begin(self) -> None:
        """Whoever runs the scheduler is where tasks come back to; of two joined machines each has its own."""
        running = greenlet.getcurrent()
        if not any(thread.run is running for thread in self.threads.values()):
            self._boot = running

    def need_resched(self) -> bool:
        """Tell whether a task was woken since the scheduler last looked: the idle task gives way then."""
        return self._need_resched

    def _run_one(self) -> bool:
        self._need_resched = False
        self._expire()
        for thread in list(self.threads.values()):
            if not thread.run.dead and thread.task.state == TASK_RUNNING:
                self._switch_to(thread)
                return True
        return False

    def _next_moment(self, otherwise: int) -> int:
        """Return the cycle behind the next event; an event that is overdue counts as now."""
        event = self._machine.clock.next_event()
        return otherwise if event is None else max(self._machine.clock.now, event) + 1

    def _switch_to(self, thread: Thread) -> None:
        cpu = self._machine.cpu
        outside = cpu.registers()
        before = self._memory.u32(self._current)
        self._load(thread.registers)
        self._memory.set_u32(self._current, thread.task.address)
        thread.run.parent = self._boot
        try:
            thread.run.switch()
        finally:
            thread.registers = cpu.registers()
            self._load(outside)
            self._memory.set_u32(self._current, before)

    def _load(self, registers: dict[str, int]) -> None:
        cpu = self._machine.cpu
        for name in ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip", "eflags"):
            cpu.set(name, registers[name])
        if registers["cr3"] != cpu.cr3:
            cpu.load_cr3(registers["cr3"])

    def _reap(self, thread: Thread) -> None:
        task = thread.task
        before = self._types.view("task_struct", task.prev_task)
        after = self._types.view("task_struct", task.next_task)
        before.next_task, after.prev_task = after.address, before.address
        self.threads.pop(task.pid, None)
        self._timeouts.pop(task.pid, None)
        self._pages.free(task.address, _STACK_ORDER)

    def _reap_orphans(self) -> None:
        """Reap tasks that nobody waits for, as init does."""
        for thread in list(self.threads.values()):
            if thread.run.dead and thread.detached:
                self._reap(thread)

    def _expire(self) -> None:
        now = self.jiffies()
        for pid, when in list(self._timeouts.items()):
            if now >= when:
                del self._timeouts[pid]
                self.wake_up_process(self.threads[pid].task.address)

    @export(cycles=400, sleeps=True)
    def schedule(self) -> None:
        """Give up the CPU until this task is runnable again.

        What :meth:`unwind` was given is raised here.

        Raises
        ------
        KernelBug
            In an interrupt: the task that it has stopped is none that could sleep.
        """
        if self.in_interrupt():
            raise KernelBug("scheduling in interrupt")
        # As Linux does; whoever may not write this, in a domain, gives up no CPU in the kernel's name.
        self._memory.set_u32(self._memory.u32(self._current) + self._resched, 0)
        running = greenlet.getcurrent()
        if running is self._boot:
            return
        self.resting()
        self._boot.switch()
        reason = self._unwinding.pop(self.current.pid, None)
        if reason is not None:
            raise reason

    def unwind(self, thread: Thread, reason: Exception) -> bool:
        """Make a task that sleeps interruptibly wake with an exception; False when it cannot be woken."""
        if thread.task.state != TASK_INTERRUPTIBLE:
            return False
        self._unwinding[thread.task.pid] = reason
        return bool(self.wake_up_process(thread.task.address))

    @export(cycles=400, sleeps=True)
    def schedule_timeout(self, timeout: int) -> int:
        """Sleep for at most ``timeout`` jiffies in the state set before; returns the jiffies left."""
        current = self.current
        if timeout == MAX_SCHEDULE_TIMEOUT:
            self.schedule()
            return timeout
        end = self.jiffies() + timeout
        self._timeouts[current.pid] = end
        try:
            self.schedule()
        finally:
            self._timeouts.pop(current.pid, None)
        return max(0, end - self.jiffies())

    @export()
    def set_task_state(self, tsk: int, state: int) -> None:
        """Write ``task->state``."""
        self._types.view("task_struct", tsk).state = state

    @export()
    def wake_up_process(self, tsk: int) -> int:
        """Make a sleeping task runnable; returns whether it slept."""
        task = self._types.view("task_struct", tsk)
        slept = task.state in (TASK_INTERRUPTIBLE, TASK_UNINTERRUPTIBLE)
        if slept:
            task.state = TASK_RUNNING
            self._need_resched = True
        return int(slept)

    def init_waitqueue_head(self, q: int) -> None:
        """Make an empty queue; for extensions it is an inline."""
        init_list_head(self._memory, q + self._types.offset("__wait_queue_head", "task_list"))

    @export()
    def add_wait_queue(self, q: int, wait: int) -> None:
        """Put a waiter on a queue."""
        list_add_tail(
            self._memory,
            wait + self._types.offset("__wait_queue", "task_list"),
            q + self._types.offset("__wait_queue_head", "task_list"),
        )

    @export()
    def remove_wait_queue(self, q: int, wait: int) -> None:
        """Take a waiter off its queue."""
        list_del(self._memory, wait + self._types.offset("__wait_queue", "task_list"))

    @export(name="__wake_up")
    def wake_up(self, q: int, mode: int, nr: int) -> None:
        """Wake tasks whose state is in ``mode``; ``nr`` limits the exclusive ones, 0 wakes all."""
        link = self._types.offset("__wait_queue", "task_list")
        head = q + self._types.offset("__wait_queue_head", "task_list")
        for entry in list(list_for_each(self._memory, head)):
            wait = self._types.view("__wait_queue", entry - link)
            task = self._types.view("task_struct", wait.task)
            if task.state & mode and self.wake_up_process(wait.task) and wait.flags & 1:
                nr -= 1
                if not nr:
                    break

    @export(cycles=400, sleeps=True)
    def sleep_on(self, q: int) -> None:
        """Sleep uninterruptibly until the queue is woken."""
        self._sleep(q, TASK_UNINTERRUPTIBLE, MAX_SCHEDULE_TIMEOUT)

    @export(cycles=400, sleeps=True)
    def sleep_on_timeout(self, q: int, timeout: int) -> int:
        """Sleep uninterruptibly, for at most ``timeout`` jiffies."""
        return self._sleep(q, TASK_UNINTERRUPTIBLE, timeout)

    @export(cycles=400, sleeps=True)
    def interruptible_sleep_on(self, q: int) -> None:
        """Sleep until the queue is woken or a signal comes."""
        self._sleep(q, TASK_INTERRUPTIBLE, MAX_SCHEDULE_TIMEOUT)

    @export(cycles=400, sleeps=True)
    def interruptible_sleep_on_timeout(self, q: int, timeout: int) -> int:
        """Sleep interruptibly, for at most ``timeout`` jiffies."""
        return self._sleep(q, TASK_INTERRUPTIBLE, timeout)

    def _sleep(self, q: int, state: int, timeout: int) -> int:
        current = self.current
        # The waiter lives on the sleeper's own stack, below what it is using.
        wait = self._machine.cpu.esp - 64 & ~15
        entry = self._types.view("__wait_queue", wait)
        entry.flags, entry.task = 0, current.address
        current.state = state
        self.add_wait_queue(q, wait)
        saved = self._machine.cpu.esp
        self._machine.cpu.set("esp", wait)
        try:
            return self.schedule_timeout(timeout)
        finally:
            self._machine.cpu.set("esp", saved)
            self.remove_wait_queue(q, wait)
