"""Files as a process has them: what Python code in a task calls (Linux 2.4's system calls on files).

Descriptors are numbers, as in a C program; a process's files are closed when it ends.  Every call raises
:class:`.FileError` with Linux's error number.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nooks_lab.kernel.block.buffer_cache import BufferCache
from nooks_lab.kernel.errno import (
    EBADF,
    EBUSY,
    EEXIST,
    EFAULT,
    EINVAL,
    EISDIR,
    ENODEV,
    ENOSYS,
    ENOTDIR,
    ENOTTY,
    EROFS,
)
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.fs import attributes as attr
from nooks_lab.kernel.fs.attributes import Attributes
from nooks_lab.kernel.fs.dcache import Dcache
from nooks_lab.kernel.fs.file_error import FileError, checked
from nooks_lab.kernel.fs.file_table import FMODE_READ, FMODE_WRITE, O_ACCMODE, FileTable
from nooks_lab.kernel.fs.inodes import MS_RDONLY, S_IFDIR, S_IFMT, S_IFREG, Inodes
from nooks_lab.kernel.fs.namei import Names, Place
from nooks_lab.kernel.fs.page_cache import PageCache
from nooks_lab.kernel.fs.parts import FsParts
from nooks_lab.kernel.fs.select import Select
from nooks_lab.kernel.fs.supers import Supers
from nooks_lab.kernel.fs.user_buffers import SIZE, UserBuffers

O_RDONLY, O_WRONLY, O_RDWR = range(3)
O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_NONBLOCK = 0o100, 0o200, 0o1000, 0o2000, 0o4000
O_SYNC, O_DIRECTORY = 0o10000, 0o200000
SEEK_SET, SEEK_CUR, SEEK_END = range(3)
UMASK = 0o022

SYSTEM_CALL_CYCLES = 500
"""Into the kernel by ``int 0x80`` and back, on a Pentium 4."""

MOST_DENTRIES, MOST_INODES = 1_024, 512
"""How many dentries and inodes stay in memory, unless they are in use."""

_DIRENT_HEAD = 19


@dataclass(frozen=True)
class Stat:
    """What ``stat`` tells of a file; times in seconds since 1970, ``blocks`` of 512 bytes."""

    dev: int
    ino: int
    mode: int
    nlink: int
    uid: int
    gid: int
    rdev: int
    size: int
    blksize: int
    blocks: int
    atime: int
    mtime: int
    ctime: int

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return self.mode & S_IFMT == S_IFDIR


@dataclass(frozen=True)
class Entry:
    """An entry of a directory; ``kind`` is ``DT_DIR`` (4), ``DT_REG`` (8), ..., 0 when the filesystem does not say."""

    name: str
    ino: int
    kind: int


@dataclass(frozen=True)
class StatFs:
    """What ``statfs`` tells of a filesystem: sizes in blocks of ``bsize`` bytes."""

    type: int
    bsize: int
    blocks: int
    bfree: int
    bavail: int
    files: int
    ffree: int
    namelen: int


class Files:
    """The system calls."""

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

    # Directories

    def listdir(self, path: str) -> list[Entry]:
        """Return a directory's entries but ``.`` and ``..``, in the order of the filesystem."""
        fd = self.open(path, O_RDONLY | O_DIRECTORY)
        try:
            found: list[Entry] = []
            while some := self.getdents(fd):
                found += some
            return [entry for entry in found if entry.name not in (".", "..")]
        finally:
            self.close(fd)

    def getdents(self, fd: int) -> list[Entry]:
        """Return the next entries of an open directory; none at its end."""
        found: list[Entry] = []

        def read(file: Any) -> int:
            operation = self._operation(file, "readdir", ENOTDIR)
            inode = self._inodes.view(self._dcache.view(file.f_dentry).d_inode)
            sem = inode.i_sem.address
            self._parts.semaphores.down(sem)
            try:
                with self._user.one() as buffer, self._parts.on_stack(32) as room:
                    callback = self._parts.view("getdents_callback64", room)
                    callback.current_dir, callback.count, callback.error = buffer, SIZE, 0
                    result = self._parts.call(operation, file.address, room, self._parts.entry["filldir64"])
                    used = callback.current_dir - buffer
                    if 0 <= used <= SIZE:
                        found.extend(_entries(self._memory.read(buffer, used)))
                    return min(result, 0) if not found else 0
            finally:
                self._parts.semaphores.up(sem)

        self._with_file(fd, read)
        return found

    @export(cycles=100)
    def filldir64(self, buf: int, name: int, namlen: int, offset: int, ino: int, d_type: int) -> int:
        """Put a directory entry into the process's buffer; not 0 when it is full."""
        if not 0 < namlen <= 255:
            return -EINVAL
        callback = self._parts.view("getdents_callback64", buf)
        text = self._memory.read(name, namlen)
        length = _DIRENT_HEAD + namlen + 1 + 7 & ~7
        if length > callback.count:
            return -EINVAL
        record = ino.to_bytes(8, "little") + (offset & (1 << 64) - 1).to_bytes(8, "little")
        record += length.to_bytes(2, "little") + bytes((d_type & 0xFF,)) + text
        at = callback.current_dir
        self._memory.write(at, record.ljust(length, b"\0"))
        callback.current_dir, callback.count = at + length, callback.count - length
        return 0

    def mkdir(self, path: str, mode: int = 0o777) -> None:
        """Make a directory."""
        self._enter()
        self._names.mkdir(path, mode & ~UMASK & 0o1777)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        self._enter()
        self._names.rmdir(path)

    def unlink(self, path: str) -> None:
        """Remove a file's name."""
        self._enter()
        self._names.unlink(path)

    def rename(self, old: str, new: str) -> None:
        """Give a file or directory another name."""
        self._enter()
        self._names.rename(old, new)

    def mknod(self, path: str, mode: int, major: int, minor: int) -> None:
        """Make the file of a device."""
        self._enter()
        self._names.mknod(path, mode & ~UMASK, major << 8 | minor)

    def chdir(self, path: str) -> None:
        """Change the process's current directory."""
        self._enter()
        with self._names.at(path) as place:
            if self._inodes.view(place.dentry.d_inode).i_mode & S_IFMT != S_IFDIR:
                raise FileError(ENOTDIR, path)
            task = self._parts.sched.current
            before = task.pwd
            self._dcache.hold(place.dentry)
            task.pwd = place.dentry.address
            if before:
                self._dcache.dput(before)

    # Attributes

    def stat(self, path: str) -> Stat:
        """Return what is known of a file."""
        self._enter()
        with self._names.at(path) as place:
            return self._stat(place.dentry)

    def fstat(self, fd: int) -> Stat:
        """Return what is known of an open file."""
        self._enter()
        file = self._table.get(fd)
        try:
            return self._stat(self._dcache.view(file.f_dentry))
        finally:
            self._table.put(file)

    def _stat(self, dentry: Any) -> Stat:
        inode = self._inodes.view(dentry.d_inode)
        return Stat(
            inode.i_dev,
            inode.i_ino,
            inode.i_mode,
            inode.i_nlink,
            inode.i_uid,
            inode.i_gid,
            inode.i_rdev,
            inode.i_size,
            inode.i_blksize,
            inode.i_blocks,
            inode.i_atime,
            inode.i_mtime,
            inode.i_ctime,
        )

    def exists(self, path: str) -> bool:
        """Tell whether a path leads to something."""
        try:
            self.stat(path)
        except FileError as error:
            if error.errno in (2, ENOTDIR):
                return False
            raise
        return True

    def chmod(self, path: str, mode: int) -> None:
        """Change a file's mode bits."""
        self._enter()
        with self._names.at(path) as place:
            self._names_may_change(place, path)
            kind = self._inodes.view(place.dentry.d_inode).i_mode & S_IFMT
            self._change(place.dentry, path, attr.MODE | attr.CTIME, ia_mode=kind | mode & 0o7777)

    def utime(self, path: str, atime: int, mtime: int) -> None:
        """Change a file's times, in seconds since 1970."""
        self._enter()
        with self._names.at(path) as place:
            self._names_may_change(place, path)
            valid = attr.ATIME | attr.MTIME | attr.ATIME_SET | attr.MTIME_SET
            self._change(place.dentry, path, valid, ia_atime=atime, ia_mtime=mtime)

    # Filesystems

    def mount(self, device: str, path: str, kind: str, options: str = "", read_only: bool = False) -> None:
        """Mount a filesystem.

        Parameters
        ----------
        device : str
            ``hda``, ``hda1`` or ``/dev/hda``; any name for a filesystem without a device.
        options : str
            For the filesystem, as after ``-o``.
        """
        self._enter()
        found = [each for each in self._supers.filesystems() if self._supers.type_name(each) == kind]
        if not found:
            raise FileError(ENODEV, f"filesystem type {kind}")
        place = self._names.walk(path)
        data = 0
        try:
            if not place.dentry.d_inode:
                raise FileError(2, path)
            if self._inodes.view(place.dentry.d_inode).i_mode & S_IFMT != S_IFDIR:
                raise FileError(ENOTDIR, path)
            if place.dentry.address == place.mount.mnt_root:
                raise FileError(EBUSY, path)
            if options:
                data = self._parts.pages.get_zeroed_page()
                self._memory.write(data, options.encode()[:4095])
            name = device.removeprefix("/dev/")
            sb = self._supers.read(found[0], name, MS_RDONLY if read_only else 0, data)
            if isinstance(sb, int):
                raise FileError(-sb, f"mount of {device} on {path}")
            # The mount takes over the use of the dentry.
            self._dcache.hold(place.dentry)
            if self._supers.attach(sb, device, place.mount, place.dentry):
                self._dcache.dput(place.dentry.address)
                self._supers.kill(sb)
                raise FileError(12, path)
        finally:
            self._names.put(place)
            if data:
                self._parts.pages.free(data, 0)
        if sb.s_bdev:
            self._keep_flushing()

    def umount(self, path: str) -> None:
        """Take a mounted filesystem out; everything of it is written first."""
        self._enter()
        place = self._names.walk(path)
        mount, root = place.mount, place.dentry.address == place.mount.mnt_root
        self._dcache.dput(place.dentry.address)
        try:
            if not root:
                raise FileError(EINVAL, path)
            checked(self._supers.unmount(mount), path)
        finally:
            self._supers.put(mount)

    def statfs(self, path: str) -> StatFs:
        """Return how much room a filesystem has."""
        self._enter()
        with self._names.at(path) as place:
            sb = self._supers.view(place.dentry.d_sb)
            operation = self._parts.view("super_operations", sb.s_op).statfs if sb.s_op else 0
            if not operation:
                raise FileError(ENOSYS, path)
            with self._parts.on_stack(self._parts.types.size("statfs") + 16) as room:
                self._memory.fill(room, self._parts.types.size("statfs"), 0)
                checked(self._parts.call(operation, sb.address, room), path)
                result = self._parts.view("statfs", room)
                return StatFs(
                    result.f_type & 0xFFFFFFFF,
                    result.f_bsize,
                    result.f_blocks,
                    result.f_bfree,
                    result.f_bavail,
                    result.f_files,
                    result.f_ffree,
                    result.f_namelen,
                )

    # Whole files

    def read_file(self, path: str) -> bytes:
        """Return all that a file holds."""
        fd = self.open(path)
        try:
            parts = []
            while some := self.read(fd, SIZE):
                parts.append(some)
            return b"".join(parts)
        finally:
            self.close(fd)

    def write_file(self, path: str, data: bytes, mode: int = 0o666) -> None:
        """Make a file, or empty it, and write all of this into it."""
        fd = self.open(path, O_WRONLY | O_CREAT | O_TRUNC, mode)
        try:
            done = self.write(fd, data) if data else 0
            while done < len(data):
                done += self.write(fd, data[done:])
        finally:
            self.close(fd)

    # Memory

    def shrink_caches(self) -> None:
        """Free every dentry, inode, page and block that nobody uses and that has nothing to write."""
        while self._dcache.prune(1 << 16) or any(True for _ in self._dcache.unused()):
            pass
        # Twice: the first time, what was referenced lately gets away.
        for _ in range(2):
            self._pages.shrink(1 << 16)
        self._inodes.prune(1 << 16)
        self._buffers.shrink(1 << 16)


def _entries(data: bytes) -> list[Entry]:
    found = []
    while len(data) >= _DIRENT_HEAD:
        length = int.from_bytes(data[16:18], "little")
        name = data[_DIRENT_HEAD:length].split(b"\0", 1)[0].decode("utf-8", "replace")
        found.append(Entry(name, int.from_bytes(data[:8], "little"), data[18]))
        data = data[length:]
    return found


__all__ = ["Entry", "FileError", "Files", "Stat", "StatFs"]
