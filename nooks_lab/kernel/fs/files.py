"""Files as a process has them: what Python code in a task calls (Linux 2.4's system calls on files).

Descriptors are numbers, as in a C program; a process's files are closed when it ends.  Every call raises
:class:`.FileError` with Linux's error number.
"""

from collections.abc import Sequence
from typing import Any

from nooks_lab.kernel.errno import EBADF, EEXIST, EFAULT, EFBIG, EINVAL, EIO, EISDIR, ENOTDIR, ENOTTY
from nooks_lab.kernel.fs import attributes as attr
from nooks_lab.kernel.fs.directories import DirectoryCalls, Entry
from nooks_lab.kernel.fs.file_error import FileError, checked
from nooks_lab.kernel.fs.file_table import FMODE_READ, FMODE_WRITE, O_ACCMODE
from nooks_lab.kernel.fs.inodes import S_IFDIR, S_IFMT, S_IFREG
from nooks_lab.kernel.fs.mounting import MountCalls, StatFs
from nooks_lab.kernel.fs.namei import Place
from nooks_lab.kernel.fs.stat import Stat, StatCalls
from nooks_lab.kernel.fs.system_calls import MOST_DENTRIES, UMASK
from nooks_lab.kernel.fs.user_buffers import SIZE

O_RDONLY, O_WRONLY, O_RDWR = range(3)
O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_NONBLOCK = 0o100, 0o200, 0o1000, 0o2000, 0o4000
O_SYNC, O_DIRECTORY = 0o10000, 0o200000
SEEK_SET, SEEK_CUR, SEEK_END = range(3)

LARGEST_FILE = 64 << 20
"""Bytes that a program which reads a whole file has room for; with a broken filesystem a file may have no end."""

LONGEST_DIRECTORY = 1 << 13
"""Entries that a program which lists a directory has room for."""


class Files(DirectoryCalls, StatCalls, MountCalls):
    """The system calls."""

    # Opening and closing

    def open(self, path: str, flags: int = O_RDONLY, mode: int = 0o666) -> int:
        """Open a file, made first if ``O_CREAT`` says so; returns its descriptor."""
        self._enter()
        fd = self._table.free_descriptor()
        self._table.install(fd, self.open_file(path, flags, mode))
        return fd

    def open_file(self, path: str, flags: int, mode: int) -> Any:
        """``filp_open``: return an open file that belongs to no descriptor; ``fput`` closes it."""
        place = self._created(path, flags, mode) if flags & O_CREAT else self._names.walk(path)
        try:
            self._may_open(place, flags, path)
        except BaseException:
            self._names.put(place)
            raise
        file = self._table.open(place, flags)
        if isinstance(file, int):
            raise FileError(-file, path)
        return file

    def _created(self, path: str, flags: int, mode: int) -> Place:
        """Return the place of a file that was made unless it existed."""
        with self._names.changing(path) as (place, directory, dentry):
            if dentry.d_inode:
                if flags & O_EXCL:
                    raise FileError(EEXIST, path)
                if dentry.d_mounted:
                    raise FileError(EISDIR, path)
            else:
                self._names.create(place, directory, dentry, mode & ~UMASK | S_IFREG, path)
            self._dcache.hold(dentry)
            self._supers.hold(place.mount)
            return Place(place.mount, dentry)

    def _may_open(self, place: Place, flags: int, path: str) -> None:
        if not place.dentry.d_inode:
            raise FileError(2, path)
        inode = self._inodes.view(place.dentry.d_inode)
        directory = inode.i_mode & S_IFMT == S_IFDIR
        writes = flags & O_ACCMODE != O_RDONLY or flags & O_TRUNC
        if directory and (writes or flags & O_CREAT):
            raise FileError(EISDIR, path)
        if flags & O_DIRECTORY and not directory:
            raise FileError(ENOTDIR, path)
        mask = attr.MAY_WRITE if writes else 0
        if flags & O_ACCMODE != O_WRONLY:
            mask |= attr.MAY_READ
        checked(self._attributes.permission(inode, mask), path)
        if flags & O_TRUNC and inode.i_mode & S_IFMT == S_IFREG:
            self._truncate(place.dentry, 0, path)

    def close(self, fd: int) -> None:
        """Close a file."""
        self._enter()
        checked(self._table.close(fd), f"descriptor {fd}")

    # Contents

    def read(self, fd: int, size: int) -> bytes:
        """Return at most ``size`` bytes from the file's position on; none at its end."""
        if size < 0:
            raise FileError(EINVAL, f"read of {size} bytes")
        parts: list[bytes] = []

        def some(file: Any) -> int:
            if not file.f_mode & FMODE_READ:
                return -EBADF
            operation = self._operation(file, "read")
            left = size
            while True:
                with self._user.one() as buffer:
                    take = min(left, SIZE)
                    got = self._parts.call(operation, file.address, buffer, take, file.offset_of("f_pos"))
                    if got < 0:
                        return got if not parts else 0
                    if got > take:
                        # No filesystem may say that it has read more than it was asked for.
                        return -EFAULT
                    parts.append(self._memory.read(buffer, got))
                left -= got
                if got < take or not left:
                    return 0

        self._with_file(fd, some)
        return b"".join(parts)

    def write(self, fd: int, data: bytes) -> int:
        """Write at the file's position; returns how many bytes."""
        done = 0

        def some(file: Any) -> int:
            nonlocal done
            if not file.f_mode & FMODE_WRITE:
                return -EBADF
            operation = self._operation(file, "write")
            while True:
                chunk = data[done : done + SIZE]
                with self._user.one(chunk) as buffer:
                    put = self._parts.call(
                        operation, file.address, buffer, len(chunk), file.offset_of("f_pos")
                    )
                if put < 0:
                    return put if not done else 0
                done += min(put, len(chunk))
                if put < len(chunk) or done == len(data):
                    return 0

        self._with_file(fd, some)
        return done

    def lseek(self, fd: int, offset: int, origin: int = SEEK_SET) -> int:
        """Move the file's position; returns it."""

        def move(file: Any) -> int:
            operation = self._table.operation(file, "llseek") or self._parts.entry["generic_file_llseek"]
            low, high = offset & 0xFFFFFFFF, offset >> 32 & 0xFFFFFFFF
            result = self._parts.call(operation, file.address, low, high, origin)
            # The result has 64 bits, of which this is the lower half.
            return result if -4096 < result < 0 else 0

        file = self._table.get(fd)
        try:
            self._with_file(fd, move)
            return int(file.f_pos)
        finally:
            self._table.put(file)

    def ioctl(self, fd: int, command: int, argument: int | bytes = 0) -> tuple[int, bytes]:
        """Ask a driver for something special.

        Parameters
        ----------
        argument : int or bytes
            A number, or what lies in the process's memory where the driver looks.

        Returns
        -------
        int, bytes
            The driver's result, and what lies there afterwards.
        """
        after = b""

        def ask(file: Any) -> int:
            nonlocal after
            operation = self._operation(file, "ioctl", ENOTTY)
            inode = self._dcache.view(file.f_dentry).d_inode
            if isinstance(argument, int):
                return self._parts.call(operation, inode, file.address, command, argument)
            with self._user.one(argument) as buffer:
                result = self._parts.call(operation, inode, file.address, command, buffer)
                after = self._memory.read(buffer, len(argument))
            return result

        result = self._with_file(fd, ask)
        return result, after

    def poll(self, fds: Sequence[tuple[int, int]], timeout: int = -1) -> list[int]:
        """Wait until something can be done with one of some files; see :meth:`.Select.poll`."""
        self._enter()
        return self._select.poll(fds, timeout)

    def ftruncate(self, fd: int, size: int) -> None:
        """Make an open file this long."""

        def cut(file: Any) -> int:
            if not file.f_mode & FMODE_WRITE:
                return -EINVAL
            self._truncate(self._dcache.view(file.f_dentry), size, f"descriptor {fd}")
            return 0

        self._with_file(fd, cut)

    def truncate(self, path: str, size: int) -> None:
        """Make a file this long."""
        self._enter()
        with self._names.at(path) as place:
            inode = self._inodes.view(place.dentry.d_inode)
            if inode.i_mode & S_IFMT == S_IFDIR:
                raise FileError(EISDIR, path)
            self._names_may_change(place, path)
            checked(self._attributes.permission(inode, attr.MAY_WRITE), path)
            self._truncate(place.dentry, size, path)

    def fsync(self, fd: int) -> None:
        """Write an open file to its disk, and wait."""

        def write(file: Any) -> int:
            operation = self._operation(file, "fsync")
            inode = self._inodes.view(self._dcache.view(file.f_dentry).d_inode)
            sem = inode.i_sem.address
            self._parts.semaphores.down(sem)
            try:
                self._inodes.write_pages(inode)
                return self._parts.call(operation, file.address, file.f_dentry, 0)
            finally:
                self._parts.semaphores.up(sem)

        self._with_file(fd, write)

    def sync(self) -> None:
        """Write everything to the disks, and wait."""
        self._enter()
        self._supers.sync_metadata()
        checked(self._buffers.sync_buffers(), "sync")

    # Whole files

    def read_file(self, path: str) -> bytes:
        """Return all that a file holds."""
        fd = self.open(path)
        try:
            parts, size = [], 0
            while some := self.read(fd, SIZE):
                parts.append(some)
                size += len(some)
                if size > LARGEST_FILE:
                    raise FileError(EFBIG, path)
            return b"".join(parts)
        finally:
            self.close(fd)

    def write_file(self, path: str, data: bytes, mode: int = 0o666) -> None:
        """Make a file, or empty it, and write all of this into it."""
        fd = self.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode)
        try:
            done = 0
            while done < len(data):
                put = self.write(fd, data[done:])
                if not put:
                    raise FileError(EIO, f"{path}: nothing more is written")
                done += put
        finally:
            self.close(fd)

    def listdir(self, path: str) -> list[Entry]:
        """Return a directory's entries but ``.`` and ``..``, in the order of the filesystem."""
        fd = self.open(path, O_RDONLY | O_DIRECTORY)
        try:
            found: list[Entry] = []
            while some := self.getdents(fd):
                found += some
                if len(found) > LONGEST_DIRECTORY:
                    raise FileError(EIO, f"{path}: a directory without an end")
            return [entry for entry in found if entry.name not in (".", "..")]
        finally:
            self.close(fd)

    # Memory

    def shrink_caches(self) -> None:
        """Free every dentry, inode, page and block that nobody uses and that has nothing to write."""
        while self._dcache.prune(1 << 16):
            pass
        # Twice: the first time, what was referenced lately gets away.
        for _ in range(2):
            self._pages.shrink(1 << 16)
        self._inodes.prune(1 << 16)
        self._buffers.shrink(1 << 16)


__all__ = ["MOST_DENTRIES", "Entry", "FileError", "Files", "Stat", "StatFs"]
