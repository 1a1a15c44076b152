"""How a process calls the part of the kernel that keeps files: entry, descriptors, changes of attributes."""

from collections.abc import Callable
from typing import Any

from nooks_lab.kernel.block.buffer_cache import BufferCache
from nooks_lab.kernel.errno import EINVAL, EROFS
from nooks_lab.kernel.fs import attributes as attr
from nooks_lab.kernel.fs.attributes import Attributes
from nooks_lab.kernel.fs.dcache import Dcache
from nooks_lab.kernel.fs.file_error import FileError, checked
from nooks_lab.kernel.fs.file_table import FileTable
from nooks_lab.kernel.fs.inodes import MS_RDONLY, Inodes
from nooks_lab.kernel.fs.namei import Names, Place
from nooks_lab.kernel.fs.page_cache import PageCache
from nooks_lab.kernel.fs.parts import FsParts
from nooks_lab.kernel.fs.select import Select
from nooks_lab.kernel.fs.supers import Supers
from nooks_lab.kernel.fs.user_buffers import UserBuffers

UMASK = 0o022

SYSTEM_CALL_CYCLES = 500
"""Into the kernel by ``int 0x80`` and back, on a Pentium 4."""

MOST_DENTRIES, MOST_INODES = 1_024, 512
"""How many dentries and inodes stay in memory, unless they are in use."""


class SystemCalls:
    """What the system calls on files have in common; every call raises :class:`.FileError`."""

    def __init__(
        self,
        parts: FsParts,
        names: Names,
        table: FileTable,
        supers: Supers,
        inodes: Inodes,
        dcache: Dcache,
        pages: PageCache,
        buffers: BufferCache,
        attributes: Attributes,
        select: Select,
        user: UserBuffers,
        keep_flushing: Callable[[], None],
    ) -> None:
        self._parts, self._memory, self._names, self._table = parts, parts.memory, names, table
        self._supers, self._inodes, self._dcache = supers, inodes, dcache
        self._pages, self._buffers, self._attributes = pages, buffers, attributes
        self._select, self._user, self._keep_flushing = select, user, keep_flushing

    def _enter(self) -> None:
        """Begin a system call; here, where the process holds no lock, the two caches of names are kept small."""
        self._parts.sched.must_be_process()
        self._parts.machine.clock.advance(SYSTEM_CALL_CYCLES)
        if self._memory.u32(self._parts.variables["nr_dentry"]) > MOST_DENTRIES:
            self._dcache.prune(MOST_DENTRIES // 4)
        if self._memory.u32(self._parts.variables["nr_inodes"]) > MOST_INODES:
            self._inodes.prune(MOST_INODES // 4)

    def _with_file(self, fd: int, work: Callable[[Any], int]) -> int:
        self._enter()
        file = self._table.get(fd)
        try:
            return checked(work(file), f"descriptor {fd}")
        finally:
            self._table.put(file)

    def _operation(self, file: Any, name: str, missing: int = EINVAL) -> int:
        operation = self._table.operation(file, name)
        if not operation:
            raise FileError(missing)
        return operation

    def _names_may_change(self, place: Place, path: str) -> None:
        if self._supers.view(place.dentry.d_sb).s_flags & MS_RDONLY:
            raise FileError(EROFS, path)

    def _truncate(self, dentry: Any, size: int, what: str) -> None:
        if size < 0:
            raise FileError(EINVAL, what)
        self._change(dentry, what, attr.SIZE | attr.MTIME, ia_size=size)

    def _change(self, dentry: Any, what: str, valid: int, **values: int) -> None:
        """Change attributes by ``notify_change``, the inode locked."""
        inode = self._inodes.view(dentry.d_inode)
        sem = inode.i_sem.address
        self._parts.semaphores.down(sem)
        try:
            with self._parts.on_stack(self._parts.types.size("iattr") + 16) as room:
                self._memory.fill(room, self._parts.types.size("iattr"), 0)
                change = self._parts.view("iattr", room)
                change.ia_valid = valid
                for name, value in values.items():
                    setattr(change, name, value)
                checked(self._attributes.notify_change(dentry.address, room), what)
        finally:
            self._parts.semaphores.up(sem)
