"""A filesystem without a device: files live in the page cache only (Linux 2.4 ``fs/ramfs``).

It is the root filesystem, and has nothing but what others rest on: directories, files, devices.
"""

from typing import Any

from nooks_lab.kernel.block.buffer_bits import PG_UPTODATE
from nooks_lab.kernel.errno import ENOSPC, ENOTEMPTY
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.fs.dcache import Dcache
from nooks_lab.kernel.fs.inodes import S_IFDIR, S_IFMT, S_IFREG, Inodes
from nooks_lab.kernel.fs.page_cache import PageCache
from nooks_lab.kernel.fs.parts import FsParts
from nooks_lab.kernel.fs.supers import FS_LITTER
from nooks_lab.machine.memory import PAGE_SIZE

RAMFS_MAGIC = 0x858458F6

_TABLES: dict[str, tuple[str, dict[str, str]]] = {
    "ramfs_dir_inode_operations": (
        "inode_operations",
        {
            name: f"ramfs_{name}"
            for name in ("create", "lookup", "unlink", "mkdir", "rmdir", "mknod", "rename")
        },
    ),
    "ramfs_dir_operations": (
        "file_operations",
        {"read": "generic_read_dir", "readdir": "dcache_readdir", "fsync": "ramfs_fsync"},
    ),
    "ramfs_file_operations": (
        "file_operations",
        {
            "llseek": "generic_file_llseek",
            "read": "generic_file_read",
            "write": "generic_file_write",
            "fsync": "ramfs_fsync",
        },
    ),
    "ramfs_aops": (
        "address_space_operations",
        {
            "readpage": "ramfs_readpage",
            "prepare_write": "ramfs_prepare_write",
            "commit_write": "ramfs_commit_write",
        },
    ),
    "ramfs_ops": ("super_operations", {"statfs": "ramfs_statfs"}),
    "ramfs_fs_type": ("file_system_type", {"read_super": "ramfs_read_super"}),
}


class Ramfs:
    """``ramfs``."""

    def __init__(self, parts: FsParts, inodes: Inodes, dcache: Dcache, pages: PageCache) -> None:
        self._parts, self._memory = parts, parts.memory
        self._inodes, self._dcache, self._pages = inodes, dcache, pages

    def boot(self) -> int:
        """Fill the tables; returns the address of the filesystem type."""
        for variable, (struct, members) in _TABLES.items():
            table = self._parts.global_view(struct, variable)
            for member, function in members.items():
                setattr(table, member, self._parts.entry[function])
        kind = self._parts.global_view("file_system_type", "ramfs_fs_type")
        kind.fs_flags = FS_LITTER
        kind.name = self._parts.slab.alloc(8)
        self._memory.write(kind.name, b"ramfs\0")
        return int(kind.address)

    def _new(self, sb: int, mode: int, rdev: int = 0) -> Any:
        address = self._inodes.new_inode(sb)
        if not address:
            return None
        inode, variables = self._inodes.view(address), self._parts.variables
        inode.i_ino = self._parts.count("ramfs_next_ino", 1)
        inode.i_mode, inode.i_uid = mode, self._parts.sched.current.uid
        inode.i_atime = inode.i_mtime = inode.i_ctime = self._inodes.now()
        self._pages.mapping(inode.i_mapping).a_ops = variables["ramfs_aops"]
        if mode & S_IFMT == S_IFDIR:
            inode.i_op = variables["ramfs_dir_inode_operations"]
            inode.i_fop, inode.i_nlink = variables["ramfs_dir_operations"], 2
        elif mode & S_IFMT == S_IFREG:
            inode.i_fop = variables["ramfs_file_operations"]
        else:
            self._inodes.init_special_inode(address, mode, rdev)
        return inode

    @export(cycles=300)
    def ramfs_read_super(self, sb: int, data: int, silent: int) -> int:
        """Make an empty root directory."""
        struct = self._parts.view("super_block", sb)
        struct.s_magic, struct.s_op = RAMFS_MAGIC, self._parts.variables["ramfs_ops"]
        inode = self._new(sb, S_IFDIR | 0o755)
        if inode is None:
            return 0
        root = self._dcache.d_alloc_root(inode.address)
        if not root:
            self._inodes.iput(inode.address)
            return 0
        struct.s_root = root
        return sb

    @export(cycles=120)
    def ramfs_lookup(self, dir_: int, dentry: int) -> int:
        """A name that is not in memory does not exist."""
        self._dcache.d_instantiate(dentry, 0)
        self._dcache.d_rehash(dentry)
        return 0

    def _touch(self, directory: int) -> None:
        inode = self._inodes.view(directory)
        inode.i_ctime = inode.i_mtime = self._inodes.now()

    @export(cycles=250)
    def ramfs_mknod(self, dir_: int, dentry: int, mode: int, rdev: int) -> int:
        """Make an inode of any kind; the name stays in memory by the use that is counted here."""
        inode = self._new(self._inodes.view(dir_).i_sb, mode, rdev)
        if inode is None:
            return -ENOSPC
        self._dcache.d_instantiate(dentry, inode.address)
        self._dcache.dget(dentry)
        self._touch(dir_)
        return 0

    @export(cycles=250)
    def ramfs_create(self, dir_: int, dentry: int, mode: int) -> int:
        """Make a file."""
        return self.ramfs_mknod(dir_, dentry, mode | S_IFREG, 0)

    @export(cycles=250)
    def ramfs_mkdir(self, dir_: int, dentry: int, mode: int) -> int:
        """Make a directory."""
        error = self.ramfs_mknod(dir_, dentry, mode | S_IFDIR, 0)
        if not error:
            self._inodes.view(dir_).i_nlink += 1
        return error

    def _empty(self, dentry: int) -> bool:
        children = self._dcache.children(self._dcache.view(dentry))
        return not any(child.d_inode and child.d_hash.next != child.d_hash.address for child in children)

    @export(cycles=200)
    def ramfs_unlink(self, dir_: int, dentry: int) -> int:
        """Remove a name; its use in memory ends."""
        inode = self._inodes.view(self._dcache.view(dentry).d_inode)
        inode.i_nlink -= 1
        inode.i_ctime = self._inodes.now()
        self._touch(dir_)
        self._dcache.dput(dentry)
        return 0

    @export(cycles=200)
    def ramfs_rmdir(self, dir_: int, dentry: int) -> int:
        """Remove an empty directory."""
        if not self._empty(dentry):
            return -ENOTEMPTY
        self._inodes.view(self._dcache.view(dentry).d_inode).i_nlink -= 1
        self._inodes.view(dir_).i_nlink -= 1
        return self.ramfs_unlink(dir_, dentry)

    @export(cycles=250)
    def ramfs_rename(self, old_dir: int, old_dentry: int, new_dir: int, new_dentry: int) -> int:
        """Move a name; what has the new one already is removed."""
        victim = self._dcache.view(new_dentry).d_inode
        moved = self._inodes.view(self._dcache.view(old_dentry).d_inode)
        directory = moved.i_mode & S_IFMT == S_IFDIR
        if victim:
            error = (self.ramfs_rmdir if directory else self.ramfs_unlink)(new_dir, new_dentry)
            if error:
                return error
        if directory and old_dir != new_dir:
            self._inodes.view(old_dir).i_nlink -= 1
            self._inodes.view(new_dir).i_nlink += 1
        self._touch(old_dir)
        self._touch(new_dir)
        return 0

    @export(cycles=200)
    def ramfs_readpage(self, file: int, page: int) -> int:
        """What was never written is zero."""
        struct = self._pages.view(page)
        self._memory.fill(struct.virtual, PAGE_SIZE, 0)
        struct.flags |= PG_UPTODATE
        self._pages.unlock(struct)
        return 0

    @export(cycles=100)
    def ramfs_prepare_write(self, file: int, page: int, from_: int, to: int) -> int:
        """A new page is zero around what will be written."""
        struct = self._pages.view(page)
        if not struct.flags & PG_UPTODATE:
            self._memory.fill(struct.virtual, PAGE_SIZE, 0)
            struct.flags |= PG_UPTODATE
        self._pages.set_page_dirty(page)
        return 0

    @export(cycles=100)
    def ramfs_commit_write(self, file: int, page: int, from_: int, to: int) -> int:
        """The file may have become longer."""
        struct = self._pages.view(page)
        inode = self._inodes.view(self._pages.mapping(struct.mapping).host)
        inode.i_size = max(inode.i_size, struct.index * PAGE_SIZE + to)
        return 0

    @export(cycles=60)
    def ramfs_statfs(self, sb: int, buf: int) -> int:
        """There is nothing to count."""
        result = self._parts.view("statfs", buf)
        result.f_type, result.f_bsize, result.f_namelen = RAMFS_MAGIC, PAGE_SIZE, 255
        return 0

    @export(cycles=20)
    def ramfs_fsync(self, file: int, dentry: int, datasync: int) -> int:
        """There is no disk."""
        return 0

    @export(cycles=300)
    def dcache_readdir(self, file: int, dirent: int, filldir: int) -> int:
        """List a directory all of whose names are in memory; the position counts entries."""
        struct = self._parts.view("file", file)
        dentry = self._dcache.view(struct.f_dentry)
        parent = self._dcache.view(dentry.d_parent)
        entries = [
            (b".", self._inodes.view(dentry.d_inode)),
            (b"..", self._inodes.view(parent.d_inode)),
        ]
        entries += [
            (self._dcache.name(child), self._inodes.view(child.d_inode))
            for child in reversed(self._dcache.children(dentry))
            if child.d_inode and child.d_hash.next != child.d_hash.address
        ]
        with self._parts.on_stack(256) as room:
            for position in range(struct.f_pos, len(entries)):
                name, inode = entries[position]
                self._memory.write(room, name)
                kind = inode.i_mode >> 12
                if self._parts.call(filldir, dirent, room, len(name), position, 0, inode.i_ino, kind):
                    break
                struct.f_pos = position + 1
        return 0
