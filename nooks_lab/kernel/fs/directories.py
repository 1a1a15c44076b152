"""Directories as a process has them (Linux 2.4 ``fs/readdir.c``, and the names' part of ``fs/namei.c``)."""

from dataclasses import dataclass
from typing import Any

from nooks_lab.kernel.errno import EINVAL, ENOTDIR
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.fs.file_error import FileError
from nooks_lab.kernel.fs.inodes import S_IFDIR, S_IFMT
from nooks_lab.kernel.fs.system_calls import UMASK, SystemCalls
from nooks_lab.kernel.fs.user_buffers import SIZE

_DIRENT_HEAD = 19


@dataclass(frozen=True)
class Entry:
    """An entry of a directory; ``kind`` is ``DT_DIR`` (4), ``DT_REG`` (8), ..., 0 when the filesystem does not say."""

    name: str
    ino: int
    kind: int


class DirectoryCalls(SystemCalls):
    """Listing, making and removing names."""

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
        record = (ino & (1 << 64) - 1).to_bytes(8, "little") + (offset & (1 << 64) - 1).to_bytes(8, "little")
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


def _entries(data: bytes) -> list[Entry]:
    found = []
    while len(data) >= _DIRENT_HEAD:
        length = int.from_bytes(data[16:18], "little")
        if length < _DIRENT_HEAD:
            # Somebody has written over the buffer.
            break
        name = data[_DIRENT_HEAD:length].split(b"\0", 1)[0].decode("utf-8", "replace")
        found.append(Entry(name, int.from_bytes(data[:8], "little"), data[18]))
        data = data[length:]
    return found
