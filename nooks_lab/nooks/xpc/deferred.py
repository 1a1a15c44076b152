"""Deferred calls (paper, section 4.1): two queues for each domain, run at the entry or exit of a later XPC.

The extension-domain queue holds delayed calls into the kernel.  The extension's side of a wrapper fills it
without a change of page tables, so it lies in memory that the domain may write, and what comes out of it is checked
like any parameter.  The kernel-domain queue holds delayed calls into the extension, and lies in the kernel's memory.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from nooks_lab.kernel.structs import Types
from nooks_lab.machine.linear import LinearMemory
from nooks_lab.nooks.isolation.domain import BadParameter, Domain

QUEUE_SIZE = 64
ARGUMENTS = 4
DEFAULT_BATCH = 16
"""How many calls may wait: a handful of packets, as the paper's network wrapper batches them."""

QUEUE_CYCLES = 25
"""Writing an entry: a dozen instructions."""

_CALL = struct.Struct(f"<{1 + ARGUMENTS}I")
_NO_ARGUMENTS = (0,) * ARGUMENTS


DeferredCall = tuple[int, ...]
"""A delayed call as it lies in a queue: the number of its function, then its arguments and zeros."""


@dataclass
class Counters:
    """What a queue has seen since its domain began.

    Attributes
    ----------
    calls : int
        Calls that could be deferred.
    deferred : int
        Those that were; the others were made at once, or waited already.
    batches : int
        How often the queue was run with something in it.
    """

    calls: int = 0
    deferred: int = 0
    batches: int = 0


def check_batch(batch: int) -> None:
    """Check how many calls of wrappers may wait; 1 defers none of them.

    Raises
    ------
    ValueError
        When a queue has no room for so many.
    """
    if not 1 <= batch <= QUEUE_SIZE:
        raise ValueError(f"a batch of {batch} deferred calls: it must lie between 1 and {QUEUE_SIZE}")


class CallQueue:
    """One ``struct nooks_queue``.

    Parameters
    ----------
    address : int
        Linear address of the queue.
    name : str
        What it is called in messages.
    """

    def __init__(self, types: Types, memory: LinearMemory, address: int, name: str) -> None:
        self._memory, self.address, self.name = memory, address, name
        self._calls = address + types.offset("nooks_queue", "call")
        self.counters = Counters()

    def put(self, function: int, arguments: Sequence[int]) -> int:
        """Write a call behind those that wait; returns how many wait now.

        Raises
        ------
        BadParameter
            When the queue is damaged, or has no room.
        """
        count = self._memory.u32(self.address)
        if count >= QUEUE_SIZE:
            raise BadParameter(f"the {self.name} queue has no room: it holds {count} of {QUEUE_SIZE} calls")
        words = [word & 0xFFFFFFFF for word in arguments]
        entry = _CALL.pack(function, *words, *_NO_ARGUMENTS[len(words) :])
        self._memory.write(self._calls + _CALL.size * count, entry)
        self._memory.set_u32(self.address, count + 1)
        self.counters.deferred += 1
        return count + 1

    def waiting(self) -> list[DeferredCall]:
        """Return the calls that wait, oldest first.

        Raises
        ------
        BadParameter
            When the queue is damaged.
        """
        count = self._memory.u32(self.address)
        if count > QUEUE_SIZE:
            raise BadParameter(f"the {self.name} queue holds {count} calls where {QUEUE_SIZE} have room")
        if not count:
            return []
        return list(_CALL.iter_unpack(self._memory.read(self._calls, _CALL.size * count)))

    def waits(self, function: int, arguments: Sequence[int]) -> bool:
        """Tell whether the same call waits already.

        Raises
        ------
        BadParameter
            When the queue is damaged.
        """
        return (function, *arguments, *_NO_ARGUMENTS[len(arguments) :]) in self.waiting()

    def is_empty(self) -> bool:
        """Tell whether no call waits."""
        return not self._memory.u32(self.address)

    def take(self) -> list[DeferredCall]:
        """Empty the queue; returns the calls that waited, oldest first.

        Raises
        ------
        BadParameter
            When the queue is damaged.
        """
        waiting = self.waiting()
        if not waiting:
            return waiting
        self._memory.set_u32(self.address, 0)
        self.counters.batches += 1
        return waiting


class DeferredCalls:
    """Both queues of one domain."""

    def __init__(self, types: Types, domain: Domain) -> None:
        self._domain, self._slab = domain, domain.kernel.slab
        size = types.size("nooks_queue")
        own, kernel = domain.heap.zalloc(size), domain.kernel.slab.zalloc(size)
        if not own or not kernel:
            raise MemoryError(f"no memory for the queues of domain {domain.name}")
        memory = domain.kernel.memory
        self.kernel_calls = CallQueue(types, memory, own, "extension-domain")
        self.extension_calls = CallQueue(types, memory, kernel, "kernel-domain")
        domain.record.kernel_calls, domain.record.extension_calls = own, kernel

    def destroy(self) -> None:
        """Give the kernel's memory back; what still waits is dropped, and the rest goes with the domain's heap."""
        self._slab.free(self.extension_calls.address)
