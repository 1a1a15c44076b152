"""The object tracker (paper, section 4.4): which kernel objects an extension uses, and until when.

A long-lived object stands in its domain's hash table, an object of one call in a table on the task; both are
chains of ``struct nooks_object`` in guest memory.  A second table finds an object by the kernel's version.
"""

import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from operator import attrgetter
from typing import NamedTuple

from nooks_lab.kernel.bug import KernelBug
from nooks_lab.kernel.kernel import Kernel
from nooks_lab.kernel.structs import Types
from nooks_lab.nooks.isolation.domain import BadParameter, Domain
from nooks_lab.nooks.tracking.object_types import BY_NUMBER, TYPES, Lifetime, ObjectType

_RECORD = struct.Struct("<10I")
_NUMBER, _KERNEL, _EXTENSION = 4, 5, 6
"""Which words of a record are the number of its type, its kernel version and its extension version."""

NEXT, NEXT_VERSION = 0, 4
"""Offsets of a record's two links: to the next in its table's chain, and in that of kernel versions."""

BUCKETS = 64
_TABLE = struct.Struct(f"<{BUCKETS}I")

LOOKUP_CYCLES = 25
"""Hashing an address and loading the head of its chain: a dozen instructions and a second-level cache access."""

RECORD_CYCLES = 12
"""Comparing one record of a chain."""

UPDATE_CYCLES = 190
"""Adding or removing a record: ``kmalloc`` or ``kfree`` (150 cycles), and two chains."""

LONGEST_CHAIN = 1 << 18
"""Records in a chain; more of them do not fit into RAM, so a longer chain is a circle."""


class TrackedObject(NamedTuple):
    """An object in use: its kernel version and, where the extension may write it, the extension's version.

    Attributes
    ----------
    address : int
        Of its record in guest memory.
    serial : int
        Grows with every object that is recorded.
    detail : tuple of three int
        What its release needs.
    """

    address: int
    domain: int
    serial: int
    type: str
    kernel: int
    extension: int
    detail: tuple[int, int, int]

    @property
    def lifetime(self) -> str:
        """Until when the extension may use it."""
        return TYPES[self.type].lifetime.value


class CorruptRecord(KernelBug):
    """A record of the tracker is not what the tracker has written: to the guest, a BUG() in the isolation manager."""


def _unknown_type(address: int, words: tuple[int, ...]) -> CorruptRecord:
    return CorruptRecord(f"record {address:08x} has the unknown type {words[_NUMBER]}")


def _object(address: int, words: tuple[int, ...]) -> TrackedObject:
    """Return the object that a record of these words at an address stands for; its type is a known one."""
    _, _, domain, serial, number, kernel, extension, first, second, third = words
    return TrackedObject(
        address, domain, serial, BY_NUMBER[number].name, kernel, extension, (first, second, third)
    )


class NoRecord(BadParameter):
    """There is no memory for the record of an object; the extension that was to get the object goes without.

    Attributes
    ----------
    domain : Domain
        That extension's.
    """

    def __init__(self, domain: Domain, kind: str) -> None:
        super().__init__(f"no memory to track a {kind}")
        self.domain = domain


def bucket(type_number: int, address: int) -> int:
    """Return which chain of a table an object belongs to."""
    return (address >> 5 ^ address >> 12 ^ type_number) % BUCKETS


class ObjectTracker:
    """The tables of all domains.

    Parameters
    ----------
    kernel : Kernel
        Its memory holds the records.
    types : Types
        The layouts of ``nooks.h``.
    """

    def __init__(self, kernel: Kernel, types: Types) -> None:
        self.kernel, self.types, self._memory = kernel, types, kernel.memory
        self._clock = kernel.machine.clock.block
        self._size = types.size("nooks_object")
        self._objects = types.offset("nooks_domain", "objects")
        self._private = kernel.types.offset("task_struct", "isolation")
        address = kernel.slab.zalloc(types.size("nooks_manager"))
        if not address:
            raise MemoryError("no memory for the object tracker")
        self.record = types.view("nooks_manager", address)
        self._versions = self.record.offset_of("versions")
        self._serial = self.record.offset_of("serial")
        self._domains: dict[int, Domain] = {}

    def enroll(self, domain: Domain) -> None:
        """Begin to keep a domain's objects."""
        self._domains[domain.record.address] = domain

    def dismiss(self, domain: Domain) -> None:
        """A domain has ended."""
        del self._domains[domain.record.address]

    def owner(self, tracked: TrackedObject) -> Domain:
        """Return the domain that uses an object.

        Raises
        ------
        CorruptRecord
            When its record names no domain.
        """
        domain = self._domains.get(tracked.domain)
        if domain is None:
            raise CorruptRecord(f"record {tracked.address:08x} names no domain, but {tracked.domain:08x}")
        return domain

    def domain_at(self, record: int) -> Domain | None:
        """Return the domain whose struct lies at an address, or None."""
        return self._domains.get(record)

    def read(self, address: int) -> tuple[int, int, TrackedObject]:
        """Read a record: the next one in its chain, the next by kernel version, and the object.

        Raises
        ------
        CorruptRecord
            When its type is none.
        """
        words = _RECORD.unpack(self._memory.read(address, _RECORD.size))
        if words[_NUMBER] not in BY_NUMBER:
            raise _unknown_type(address, words)
        return words[0], words[1], _object(address, words)

    def chain(self, head: int, link: int = NEXT) -> Iterator[TrackedObject]:
        """Yield the objects of a chain; the one just yielded may be removed.

        Parameters
        ----------
        head : int
            Address of the pointer to its first record.
        link : int
            Which of the two links to follow, ``NEXT`` or ``NEXT_VERSION``.

        Raises
        ------
        CorruptRecord
            When a record has no known type, or the chain has no end.
        """
        for at, words in self._records(head, link):
            yield _object(at, words)

    def _records(self, head: int, link: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Yield address and words of each record of a chain: the objects of most are never asked for."""
        read, following = self._memory.read, link // 4
        at = self._memory.u32(head)
        for _ in range(LONGEST_CHAIN):
            if not at:
                return
            words = _RECORD.unpack(read(at, _RECORD.size))
            if words[_NUMBER] not in BY_NUMBER:
                raise _unknown_type(at, words)
            yield at, words
            at = words[following]
        raise CorruptRecord(f"the chain at {head:08x} has no end")

    def table(self, domain: Domain) -> int:
        """Return the address of a domain's table: ``BUCKETS`` pointers to chains."""
        return int(domain.record.address) + self._objects

    @property
    def versions(self) -> int:
        """Address of the table by kernel versions."""
        return int(self._versions)

    def task_chain(self, task: int) -> int:
        """Return the head of the objects of a task's calls; ``task`` is the address of its task_struct."""
        return task + self._private

    def _head(self, domain: Domain, number: int, extension: int) -> int:
        return self.table(domain) + 4 * bucket(number, extension)

    def add(self, domain: Domain, kind: str, kernel: int, extension: int, *detail: int) -> TrackedObject:
        """Record a long-lived object; its extension version is the key.

        Raises
        ------
        NoRecord
            When there is no memory for the record.
        """
        number = TYPES[kind].number
        tracked = self._new(domain, kind, kernel, extension, detail)
        self._push(self._head(domain, number, extension), tracked.address, NEXT)
        self._push(self._versions + 4 * bucket(number, kernel), tracked.address, NEXT_VERSION)
        return tracked

    def _new(
        self, domain: Domain, kind: str, kernel: int, extension: int, detail: tuple[int, ...]
    ) -> TrackedObject:
        self._clock.now += UPDATE_CYCLES
        address = self.kernel.slab.alloc(self._size)
        if not address:
            raise NoRecord(domain, kind)
        serial = self._memory.u32(self._serial) + 1
        self._memory.set_u32(self._serial, serial)
        first, second, third = (*detail, 0, 0, 0)[:3]
        words = (first, second, third)
        owner = domain.record.address
        self._memory.write(
            address, _RECORD.pack(0, 0, owner, serial, TYPES[kind].number, kernel, extension, *words)
        )
        return TrackedObject(address, owner, serial, kind, kernel, extension, words)

    def _push(self, head: int, address: int, link: int) -> None:
        self._memory.set_u32(address + link, self._memory.u32(head))
        self._memory.set_u32(head, address)

    def _unlink(self, head: int, address: int, link: int) -> None:
        at = head
        for _ in range(LONGEST_CHAIN):
            following = self._memory.u32(at)
            if following == address:
                self._memory.set_u32(at, self._memory.u32(address + link))
            if following in (0, address):
                return
            at = following + link
        raise CorruptRecord(f"the chain at {head:08x} has no end")

    def find(self, domain: Domain, kind: str, extension: int) -> TrackedObject | None:
        """Return the object whose extension version lies at an address, or None."""
        wanted = TYPES[kind]
        found = self._search(
            self._head(domain, wanted.number, extension), NEXT, wanted, _EXTENSION, extension
        )
        if found is None and wanted.lifetime is Lifetime.CALL:
            return self._find_in_call(domain, kind, extension)
        return found

    def _search(
        self, head: int, link: int, wanted: ObjectType, version: int, address: int
    ) -> TrackedObject | None:
        """Return the first object of a type in a chain, one of whose versions lies at an address, or None.

        Parameters
        ----------
        version : int
            ``_KERNEL`` or ``_EXTENSION``.
        """
        clock, number = self._clock, wanted.number
        clock.now += LOOKUP_CYCLES
        for at, words in self._records(head, link):
            clock.now += RECORD_CYCLES
            if words[version] == address and words[_NUMBER] == number:
                return _object(at, words)
        return None

    def check(self, domain: Domain, kind: str, extension: int, function: str) -> TrackedObject:
        """Parameter check: the pointer must be an object of this type that the extension holds.

        Raises
        ------
        BadParameter
            When it is not.
        """
        found = self.find(domain, kind, extension)
        if found is None:
            raise BadParameter(f"{function}: {extension:08x} is no {kind} of domain {domain.name}")
        return found

    def by_kernel(self, kind: str, kernel: int) -> tuple[Domain, TrackedObject] | None:
        """Return domain and object whose kernel version lies at an address, or None; the newest of several."""
        wanted = TYPES[kind]
        head = self._versions + 4 * bucket(wanted.number, kernel)
        found = self._search(head, NEXT_VERSION, wanted, _KERNEL, kernel)
        return None if found is None else (self.owner(found), found)

    def remove(self, tracked: TrackedObject) -> None:
        """Forget an object whose lifetime has ended."""
        self._clock.now += UPDATE_CYCLES
        number = TYPES[tracked.type].number
        self._unlink(self._head(self.owner(tracked), number, tracked.extension), tracked.address, NEXT)
        self._unlink(self._versions + 4 * bucket(number, tracked.kernel), tracked.address, NEXT_VERSION)
        self.kernel.slab.free(tracked.address)

    def objects(self, domain: Domain, kinds: Iterable[str] = TYPES) -> list[TrackedObject]:
        """Return the long-lived objects of a domain, all or those of some types, oldest first."""
        table, numbers = self.table(domain), {TYPES[kind].number for kind in kinds}
        found = []
        for index, first in enumerate(_TABLE.unpack(self._memory.read(table, _TABLE.size))):
            if first:
                for at, words in self._records(table + 4 * index, NEXT):
                    if words[_NUMBER] in numbers:
                        found.append(_object(at, words))
        found.sort(key=attrgetter("serial"))
        return found

    def release(
        self, domain: Domain, kinds: Iterable[str], release: Callable[[Domain, TrackedObject], None]
    ) -> int:
        """Release every object of these kinds, newest first; returns how many."""
        doomed = self.objects(domain, kinds)
        for tracked in reversed(doomed):
            # Releasing one object may end another.
            if self.find(domain, tracked.type, tracked.extension) == tracked:
                self.remove(tracked)
                release(domain, tracked)
        return len(doomed)

    # Objects of one call: the table hangs at the task that makes the call.

    @contextmanager
    def call_object(self, domain: Domain, kind: str, kernel: int, extension: int) -> Iterator[TrackedObject]:
        """Record an object for the duration of one XPC of the current task.

        Raises
        ------
        NoRecord
            When there is no memory for the record.
        """
        head = self.task_chain(self.kernel.sched.current.address)
        tracked = self._new(domain, kind, kernel, extension, ())
        self._push(head, tracked.address, NEXT)
        try:
            yield tracked
        finally:
            self._unlink(head, tracked.address, NEXT)
            self.kernel.slab.free(tracked.address)

    def call_objects(self, task: int) -> list[TrackedObject]:
        """Return the objects of the calls that a task (address of its task_struct) is making, newest first."""
        return list(self.chain(self.task_chain(task)))

    def _find_in_call(self, domain: Domain, kind: str, extension: int) -> TrackedObject | None:
        for tracked in self.call_objects(self.kernel.sched.current.address):
            if (tracked.type, tracked.extension, tracked.domain) == (kind, extension, domain.record.address):
                return tracked
        return None
