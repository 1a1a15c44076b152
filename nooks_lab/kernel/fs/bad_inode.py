"""Operations that do nothing but fail (Linux 2.4 ``fs/bad_inode.c``)."""

from nooks_lab.kernel.errno import EIO
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.fs.parts import FsParts, error_pointer
from nooks_lab.kernel.fs.select import POLLERR

_INODE = {
    "create": "bad_inode_create",
    "lookup": "bad_inode_lookup",
    "unlink": "bad_inode_unlink",
    "mkdir": "bad_inode_create",
    "rmdir": "bad_inode_unlink",
    "mknod": "bad_inode_mknod",
    "rename": "bad_inode_rename",
    "permission": "bad_inode_permission",
    "revalidate": "bad_inode_revalidate",
    "setattr": "bad_inode_setattr",
}
_FILE = {
    "llseek": "bad_file_llseek",
    "read": "bad_file_read",
    "write": "bad_file_write",
    "readdir": "bad_file_readdir",
    "poll": "bad_file_poll",
    "ioctl": "bad_file_ioctl",
    "open": "bad_file_open",
    "fsync": "bad_file_fsync",
}


class BadInodes:
    """``bad_inode_ops`` and ``bad_file_ops``."""

    def __init__(self, parts: FsParts) -> None:
        self._parts = parts

    def boot(self) -> None:
        """Fill the two tables."""
        inode = self._parts.global_view("inode_operations", "bad_inode_ops")
        file = self._parts.global_view("file_operations", "bad_file_ops")
        for table, entries in ((inode, _INODE), (file, _FILE)):
            for member, function in entries.items():
                setattr(table, member, self._parts.entry[function])

    @export()
    def bad_inode_create(self, dir_: int, dentry: int, mode: int) -> int:
        """Fail."""
        return -EIO

    @export()
    def bad_inode_lookup(self, dir_: int, dentry: int) -> int:
        """Fail."""
        return error_pointer(-EIO)

    @export()
    def bad_inode_unlink(self, dir_: int, dentry: int) -> int:
        """Fail."""
        return -EIO

    @export()
    def bad_inode_mknod(self, dir_: int, dentry: int, mode: int, rdev: int) -> int:
        """Fail."""
        return -EIO

    @export()
    def bad_inode_rename(self, old_dir: int, old_dentry: int, new_dir: int, new_dentry: int) -> int:
        """Fail."""
        return -EIO

    @export()
    def bad_inode_permission(self, inode: int, mask: int) -> int:
        """Fail."""
        return -EIO

    @export()
    def bad_inode_revalidate(self, dentry: int) -> int:
        """Fail."""
        return -EIO

    @export()
    def bad_inode_setattr(self, dentry: int, attr: int) -> int:
        """Fail."""
        return -EIO

    @export()
    def bad_file_llseek(self, file: int, offset: int, origin: int) -> int:
        """Fail."""
        return -EIO

    @export()
    def bad_file_read(self, file: int, buf: int, count: int, ppos: int) -> int:
        """Fail."""
        return -EIO

    @export()
    def bad_file_write(self, file: int, buf: int, count: int, ppos: int) -> int:
        """Fail."""
        return -EIO

    @export()
    def bad_file_readdir(self, file: int, dirent: int, filldir: int) -> int:
        """Fail."""
        return -EIO

    @export()
    def bad_file_poll(self, file: int, wait: int) -> int:
        """Say that there is an error: nobody waits for anything here."""
        return POLLERR

    @export()
    def bad_file_ioctl(self, inode: int, file: int, cmd: int, arg: int) -> int:
        """Fail."""
        return -EIO

    @export()
    def bad_file_open(self, inode: int, file: int) -> int:
        """Fail."""
        return -EIO

    @export()
    def bad_file_fsync(self, file: int, dentry: int, datasync: int) -> int:
        """Fail."""
        return -EIO
