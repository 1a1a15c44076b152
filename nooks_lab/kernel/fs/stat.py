"""What a process asks of a file's attributes, and changes of them (Linux 2.4 ``fs/stat.c``, ``fs/open.c``)."""

from dataclasses import dataclass
from typing import Any

from nooks_lab.kernel.errno import ENOTDIR
from nooks_lab.kernel.fs import attributes as attr
from nooks_lab.kernel.fs.file_error import FileError
from nooks_lab.kernel.fs.inodes import S_IFDIR, S_IFMT
from nooks_lab.kernel.fs.system_calls import SystemCalls


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


class StatCalls(SystemCalls):
    """Attributes of files."""

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
