"""How the kernel calls a function of a filesystem: what its arguments become, and what comes back.

The body of an extension wrapper names the objects that the kernel passes; for the duration of the call the extension
has its versions of them, up to date, and afterwards its changes are brought to the kernel's.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nooks_lab.machine.memory import PAGE_SIZE
from nooks_lab.nooks.isolation.domain import BadParameter, Domain
from nooks_lab.nooks.isolation.page_tracker import Grant
from nooks_lab.nooks.tracking.tracker import TrackedObject
from nooks_lab.nooks.xpc.calls import ExtensionFault

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks

BH_MAPPED, BH_NEW = 1 << 4, 1 << 5


@dataclass(frozen=True)
class Version:
    """An argument that is an object with two versions: ``inode``, ``dentry``, ``file`` or ``super_block``."""

    kind: str
    kernel: int


@dataclass(frozen=True)
class Copied:
    """An argument that points to a struct of the kernel's, passed by value, and by result when ``back``."""

    kind: str
    kernel: int
    size: int
    back: bool = False


@dataclass(frozen=True)
class PageOf:
    """An argument that is a page of a file: its data are mapped in for the call."""

    kernel: int


@dataclass(frozen=True)
class Handle:
    """An argument that the extension passes on as it is, during the call only."""

    kind: str
    kernel: int


Argument = int | Version | Copied | PageOf | Handle


class FsCalls:
    """Makes the calls."""

    def __init__(self, nooks: "Nooks") -> None:
        self._nooks = nooks

    def operation(self, table: str, address: int, member: str, otherwise: int, *arguments: Argument) -> int:
        """Call a function of a table.

        Parameters
        ----------
        table, address : str, int
            The struct of function pointers, and where the kernel's version of it lies.
        otherwise : int
            What the kernel gets when the extension fails.
        """
        found = self._nooks.fs.function(table, address, member)
        if found is None:
            return otherwise
        domain, function = found
        return self.call(domain, function, otherwise, *arguments) if function else 0

    def call(self, domain: Domain, function: int, otherwise: int, *arguments: Argument) -> int:
        """Call an extension's function with objects."""
        nooks = self._nooks
        if domain.failed:
            return otherwise
        versions: list[TrackedObject] = []

        def prepare(stack: list[Argument], words: list[int]) -> int:
            if not stack:
                result = nooks.call_extension(domain, otherwise, function, *words)
                return otherwise if domain.failed else result
            first, *rest = stack
            if isinstance(first, int):
                return prepare(rest, [*words, first])
            if isinstance(first, Version):
                word = nooks.fs.hand_in(domain, first.kind, first.kernel)
                tracked = nooks.fs.find(domain, first.kind, first.kernel)
                if tracked is not None:
                    versions.append(tracked)
                return prepare(rest, [*words, word])
            if isinstance(first, Handle):
                with nooks.tracker.call_object(domain, first.kind, first.kernel, first.kernel):
                    return prepare(rest, [*words, first.kernel])
            if isinstance(first, PageOf):
                with self._page(domain, first.kernel) as page:
                    return prepare(rest, [*words, page])
            with self._copied(domain, first) as copy:
                return prepare(rest, [*words, copy])

        try:
            result = nooks.xpc.guarded(domain, lambda: prepare(list(arguments), []))
            if domain.failed:
                return otherwise
            nooks.xpc.guarded(domain, lambda: self._take_all(domain, versions))
        except ExtensionFault as fault:
            nooks.fail(fault.domain, fault.trigger)
            return otherwise
        return result

    def _take_all(self, domain: Domain, versions: list[TrackedObject]) -> None:
        fs = self._nooks.fs
        for tracked in versions:
            # The object may have ended in the call.
            if self._nooks.tracker.find(domain, tracked.type, tracked.extension) != tracked:
                continue
            if tracked.type == "dentry":
                fs.take_inode(domain, tracked)
            else:
                fs.take(domain, tracked)
                if tracked.type == "file":
                    dentry = fs.find(domain, "dentry", fs.view("file", tracked.kernel).f_dentry)
                    if dentry is not None:
                        fs.take_inode(domain, dentry)

    @contextmanager
    def _page(self, domain: Domain, kernel: int) -> Iterator[int]:
        tracked = self.hand_page_in(domain, kernel)
        yield tracked.extension
        if not domain.failed:
            self.take_page_back(domain, tracked)

    def hand_page_in(self, domain: Domain, kernel: int, used: bool = False) -> TrackedObject:
        """Let an extension have a page of a file: a version of its struct, and the data themselves.

        Parameters
        ----------
        used : bool
            The extension is one of the page's users, until it releases the page.
        """
        nooks, types = self._nooks, self._nooks.kernel.types
        page = types.view("page", kernel)
        extension = domain.heap.zalloc(types.size("page"))
        if not extension:
            raise BadParameter("no memory for the extension's version of a page")
        own = types.view("page", extension)
        own.index, own.flags, own.virtual, own.count.counter = page.index, page.flags, page.virtual, 1
        own.mapping = nooks.fs.extension_mapping(domain, page.mapping)
        domain.grant(page.virtual, PAGE_SIZE, Grant.PAGE_CACHE)
        return nooks.tracker.add(domain, "page", kernel, extension, page.virtual, int(used))

    def take_page_back(self, domain: Domain, tracked: TrackedObject) -> None:
        """Undo :meth:`hand_page_in`."""
        self._nooks.tracker.remove(tracked)
        domain.revoke(tracked.detail[0], PAGE_SIZE)
        domain.heap.free(tracked.extension)

    @contextmanager
    def _copied(self, domain: Domain, argument: Copied) -> Iterator[int]:
        memory = self._nooks.kernel.memory
        if not argument.kernel:
            yield 0
            return
        copy = domain.heap.alloc(argument.size)
        if not copy:
            raise BadParameter(f"no memory for the extension's {argument.kind}")
        memory.write(copy, memory.read(argument.kernel, argument.size))
        with self._nooks.tracker.call_object(domain, argument.kind, argument.kernel, copy):
            yield copy
        if not domain.failed:
            if argument.back:
                memory.write(argument.kernel, memory.read(copy, argument.size))
            domain.heap.free(copy)

    def get_block(self, domain: Domain, function: int) -> Callable[[int, int, int, int], int]:
        """Return a callable for the kernel's block functions that asks an extension where a block is."""

        def ask(inode: int, block: int, bh: int, create: int) -> int:
            return self._get_block(domain, function, inode, block, bh, create)

        return ask

    def _get_block(self, domain: Domain, function: int, inode: int, block: int, bh: int, create: int) -> int:
        nooks, types = self._nooks, self._nooks.kernel.types
        size = types.size("buffer_head")
        copy = 0 if domain.failed else domain.heap.zalloc(size)
        if not copy:
            return -5
        real, own = types.view("buffer_head", bh), types.view("buffer_head", copy)
        own.b_size, own.b_dev, own.b_state, own.b_blocknr = (
            real.b_size,
            real.b_dev,
            real.b_state,
            real.b_blocknr,
        )
        with nooks.tracker.call_object(domain, "get_block result", bh, copy):
            result = self.call(domain, function, -5, Version("inode", inode), block, copy, create)
        if domain.failed:
            return -5
        state, dev, number = own.b_state, own.b_dev, own.b_blocknr
        domain.heap.free(copy)
        if result or not state & BH_MAPPED:
            return result
        # A block behind the end of its own device is an I/O error, as natively.
        if dev != types.view("inode", inode).i_dev:
            nooks.fail(domain, f"get_block maps a block to {dev >> 8:02x}:{dev & 255:02x}, block {number}")
            return -5
        real.b_dev, real.b_blocknr = dev, number
        real.b_state |= state & (BH_MAPPED | BH_NEW)
        return 0
