"""Changing an inode's attributes, and asking for permission (Linux 2.4 ``fs/attr.c``, ``fs/namei.c``)."""

from typing import Any

from nooks_lab.kernel.errno import EACCES, EFBIG, EPERM, EROFS
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.fs.inodes import MS_RDONLY, S_IFDIR, S_IFMT, S_IFREG, Inodes
from nooks_lab.kernel.fs.page_cache import PageCache
from nooks_lab.kernel.fs.parts import FsParts

MODE, UID, GID, SIZE, ATIME, MTIME, CTIME, ATIME_SET, MTIME_SET, FORCE = (1 << bit for bit in range(10))
MAY_EXEC, MAY_WRITE, MAY_READ = 1, 2, 4


class Attributes:
    """``notify_change`` and what it is made of."""

    def __init__(self, parts: FsParts, inodes: Inodes, pages: PageCache) -> None:
        self._parts, self._inodes, self._pages = parts, inodes, pages

    def _iattr(self, address: int) -> Any:
        return self._parts.view("iattr", address)

    def _owner(self, inode: Any) -> bool:
        uid = self._parts.sched.current.uid
        return uid in (0, inode.i_uid)

    @export(cycles=120)
    def inode_change_ok(self, inode: int, attr: int) -> int:
        """Tell whether the process may change these attributes: 0, or ``-EPERM``."""
        struct, change = self._inodes.view(inode), self._iattr(attr)
        valid = change.ia_valid
        if valid & FORCE:
            return 0
        if valid & (MODE | UID | GID | ATIME_SET | MTIME_SET) and not self._owner(struct):
            return -EPERM
        return 0

    @export(cycles=150)
    def inode_setattr(self, inode: int, attr: int) -> int:
        """Change attributes, the size among them."""
        struct, change = self._inodes.view(inode), self._iattr(attr)
        valid = change.ia_valid
        if valid & SIZE and change.ia_size != struct.i_size:
            error = self.vmtruncate(inode, change.ia_size)
            if error:
                return error
        if valid & UID:
            struct.i_uid = change.ia_uid
        if valid & GID:
            struct.i_gid = change.ia_gid
        if valid & MODE:
            struct.i_mode = change.ia_mode
        if valid & ATIME:
            struct.i_atime = change.ia_atime
        if valid & MTIME:
            struct.i_mtime = change.ia_mtime
        if valid & CTIME:
            struct.i_ctime = change.ia_ctime
        self._inodes.mark_dirty(struct)
        return 0

    @export(cycles=150)
    def notify_change(self, dentry: int, attr: int) -> int:
        """Change the attributes of a name's inode, in the way of its filesystem."""
        inode = self._inodes.view(self._parts.view("dentry", dentry).d_inode)
        change = self._iattr(attr)
        now, valid = self._inodes.now(), change.ia_valid
        change.ia_ctime = now
        if valid & ATIME and not valid & ATIME_SET:
            change.ia_atime = now
        if valid & MTIME and not valid & MTIME_SET:
            change.ia_mtime = now
        change.ia_valid = valid | CTIME
        setattr_ = self._inodes.operations(inode).setattr
        if setattr_:
            return self._parts.call(setattr_, dentry, attr)
        error = self.inode_change_ok(inode.address, attr)
        return error or self.inode_setattr(inode.address, attr)

    @export(cycles=300)
    def vmtruncate(self, inode: int, offset: int) -> int:
        """Make a file this long: its pages behind the end go, then the filesystem's ``truncate`` is called."""
        struct = self._inodes.view(inode)
        if offset < 0 or offset > self._parts.view("super_block", struct.i_sb).s_maxbytes:
            return -EFBIG
        # As long as before counts: a write that failed half-way has left pages behind the end.
        not_longer = offset <= struct.i_size
        struct.i_size = offset
        if not_longer:
            self._pages.truncate_inode_pages(struct.i_mapping, offset)
        truncate = self._inodes.operations(struct).truncate
        if truncate:
            self._parts.raw_call(truncate, inode)
        return 0

    @export(cycles=80)
    def vfs_permission(self, inode: int, mask: int) -> int:
        """Tell by the mode bits whether the process may use an inode so: 0, ``-EACCES`` or ``-EROFS``."""
        struct = self._inodes.view(inode)
        mode, task = struct.i_mode, self._parts.sched.current
        read_only = self._parts.view("super_block", struct.i_sb).s_flags & MS_RDONLY
        if mask & MAY_WRITE and read_only and mode & S_IFMT in (S_IFREG, S_IFDIR):
            return -EROFS
        bits = mode >> 6 if task.uid == struct.i_uid else mode
        if bits & mask & 7 == mask:
            return 0
        if task.uid == 0 and (not mask & MAY_EXEC or mode & 0o111 or mode & S_IFMT == S_IFDIR):
            return 0
        return -EACCES

    def permission(self, inode: Any, mask: int) -> int:
        """``permission``: ask the filesystem, or go by the mode bits."""
        operation = self._inodes.operations(inode).permission
        if operation:
            return self._parts.call(operation, inode.address, mask)
        return self.vfs_permission(inode.address, mask)
