"""What the block layer and the filesystem layer need from the rest of the kernel."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from nooks_lab.kernel.irq import Interrupts
from nooks_lab.kernel.lists import init_list_head, list_del
from nooks_lab.kernel.page_alloc import PageAllocator
from nooks_lab.kernel.sched import TASK_INTERRUPTIBLE, TASK_UNINTERRUPTIBLE, Scheduler
from nooks_lab.kernel.semaphore import Semaphores
from nooks_lab.kernel.slab import SlabAllocator
from nooks_lab.kernel.structs import Types
from nooks_lab.kernel.timers import Timers
from nooks_lab.kernel.uaccess import UserMemory
from nooks_lab.machine.linear import LinearMemory
from nooks_lab.machine.machine import Machine

_ERRORS = 0xFFFFF000
"""The last page of addresses holds error numbers, negated (``IS_ERR``)."""


@dataclass(frozen=True)
class FsParts:
    """The parts of the kernel below.

    Attributes
    ----------
    raw_call : callable
        Calls a function by address; the result is EAX, unsigned.
    variables : mapping
        Addresses of the kernel's global variables, by name.
    entry : dict
        Addresses of the kernel's own functions, by name; filled when the kernel boots.
    """

    types: Types
    memory: LinearMemory
    machine: Machine
    slab: SlabAllocator
    pages: PageAllocator
    sched: Scheduler
    semaphores: Semaphores
    timers: Timers
    irq: Interrupts
    user: UserMemory
    raw_call: Callable[..., int]
    log: Callable[[str], None]
    variables: Mapping[str, int]
    entry: dict[str, int] = field(default_factory=dict)

    def view(self, struct: str, address: int) -> Any:
        """Return a view of a struct."""
        return self.types.view(struct, address)

    def global_view(self, struct: str, variable: str) -> Any:
        """Return a view of a global variable."""
        return self.types.view(struct, self.variables[variable])

    def call(self, function: int, *arguments: int) -> int:
        """Call a function that returns an ``int``."""
        return signed(self.raw_call(function, *arguments))

    def count(self, variable: str, step: int) -> int:
        """Add to a counter; returns its value."""
        address = self.variables[variable]
        value = self.memory.u32(address) + step
        self.memory.set_u32(address, value)
        return value

    def init_queue(self, queue: Any) -> None:
        """Make a wait queue, given as a view, empty."""
        init_list_head(self.memory, queue.task_list.address)

    def sleep_on(self, queue: Any) -> None:
        """Sleep uninterruptibly until a wait queue, given as a view, is woken."""
        self.sched.must_be_process()
        self.sched.sleep_on(queue.address)

    def wake(self, queue: Any) -> None:
        """Wake all who wait on a queue, given as a view."""
        head = queue.task_list.address
        if self.memory.u32(head) != head:
            self.sched.wake_up(queue.address, TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE, 0)

    def list_del_init(self, entry: int) -> None:
        """Take an entry out of its list, and make it a list of its own."""
        list_del(self.memory, entry)
        init_list_head(self.memory, entry)

    @contextmanager
    def on_stack(self, size: int) -> Iterator[int]:
        """Have ``size`` bytes of the running task's stack."""
        cpu = self.machine.cpu
        saved = cpu.esp
        room = saved - size & ~15
        cpu.set("esp", room)
        try:
            yield room
        finally:
            cpu.set("esp", saved)


def signed(value: int) -> int:
    """Return a register's value as a C ``int``."""
    return value - (1 << 32) if value >> 31 & 1 else value


def is_error(address: int) -> bool:
    """``IS_ERR``: tell whether a pointer is an error number."""
    return address & 0xFFFFFFFF >= _ERRORS


def error_pointer(error: int) -> int:
    """``ERR_PTR``: return a negative error number as a pointer."""
    return error & 0xFFFFFFFF
