"""What every protocol needs from the rest of the kernel."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from nooks_lab.kernel.lists import init_list_head, list_add, list_del, list_for_each
from nooks_lab.kernel.net.bottom_half import BottomHalves
from nooks_lab.kernel.net.dev import NetDevices
from nooks_lab.kernel.net.skbuff import SocketBuffers
from nooks_lab.kernel.net.timer_bh import TimerBottomHalf
from nooks_lab.kernel.sched import Scheduler
from nooks_lab.kernel.slab import SlabAllocator
from nooks_lab.kernel.structs import Types
from nooks_lab.kernel.timers import Timers
from nooks_lab.machine.clock import Clock
from nooks_lab.machine.linear import LinearMemory


@dataclass(frozen=True)
class Parts:
    """The parts of the kernel below the protocols.

    Attributes
    ----------
    variables : mapping
        Addresses of the kernel's global variables, by name.
    timer_functions : dict
        Addresses of the protocols' timer functions, by name; known when the kernel boots.
    """

    types: Types
    memory: LinearMemory
    clock: Clock
    slab: SlabAllocator
    skbs: SocketBuffers
    net: NetDevices
    timers: Timers
    sched: Scheduler
    bottom_halves: BottomHalves
    timer_bh: TimerBottomHalf
    variables: Mapping[str, int]
    timer_functions: dict[str, int] = field(default_factory=dict)

    def global_view(self, struct: str, variable: str) -> Any:
        """Return a view of a global variable."""
        return self.types.view(struct, self.variables[variable])

    def next_number(self, variable: str, step: int = 1) -> int:
        """Return a counter's value, and advance the counter."""
        address = self.variables[variable]
        value = self.memory.u32(address)
        self.memory.set_u32(address, value + step)
        return value


class HashTable:
    """Chains of structs by key, in guest memory.

    Parameters
    ----------
    table : str
        Name of the array of ``struct list_head``.
    size : int
        How many chains it has; a power of two.
    struct, node : str
        What is chained, and by which of its members.
    """

    def __init__(self, parts: Parts, table: str, size: int, struct: str, node: str) -> None:
        self._memory, self._types = parts.memory, parts.types
        self._table, self._mask, self._struct = parts.variables[table], size - 1, struct
        self._node = parts.types.offset(struct, node)

    def boot(self) -> None:
        """Make every chain empty."""
        for index in range(self._mask + 1):
            init_list_head(self._memory, self._table + 8 * index)

    def head(self, key: int) -> int:
        """Return the address of a key's chain."""
        return self._table + 8 * (key & self._mask)

    def add(self, entry: Any, key: int) -> None:
        """Chain a struct."""
        list_add(self._memory, entry.address + self._node, self.head(key))

    def remove(self, entry: Any) -> None:
        """Take a struct out of its chain."""
        list_del(self._memory, entry.address + self._node)

    def addresses(self, key: int) -> Iterator[int]:
        """Yield the addresses of a key's structs, and of others in the same chain."""
        for entry in list_for_each(self._memory, self.head(key)):
            yield entry - self._node

    def chain(self, key: int) -> Iterator[Any]:
        """Yield views of a key's structs, and of others in the same chain."""
        for address in self.addresses(key):
            yield self._types.view(self._struct, address)

    def all(self) -> Iterator[Any]:
        """Yield every struct in the table."""
        for index in range(self._mask + 1):
            yield from self.chain(index)
