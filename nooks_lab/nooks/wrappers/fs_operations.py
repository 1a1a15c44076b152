"""Extension wrappers of filesystems and of character devices: the function pointers that the kernel calls."""

from typing import TYPE_CHECKING

from nooks_lab.kernel.errno import EIO
from nooks_lab.kernel.fs.select import POLLERR
from nooks_lab.machine.memory import PAGE_SIZE
from nooks_lab.nooks.isolation.domain import Domain
from nooks_lab.nooks.tracking.object_types import TYPES
from nooks_lab.nooks.wrappers.declare import extension_wrapper
from nooks_lab.nooks.wrappers.fs_calls import Argument, Copied, Handle, PageOf, Version

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks

_ERROR = -EIO & 0xFFFFFFFF


def _inode(address: int) -> Version:
    return Version("inode", address)


def _dentry(address: int) -> Version:
    return Version("dentry", address)


def _file(address: int) -> Version:
    return Version("file", address)


# Filesystem types and super blocks


@extension_wrapper(
    "file_system_type.read_super", "struct super_block *(*)(struct super_block *, void *, int)"
)
def read_super(nooks: "Nooks", sb: int, data: int, silent: int) -> int:
    """Fill in a super block; when the filesystem does not, its version ends at once."""
    kind = nooks.kernel.types.view("super_block", sb).s_type
    held = nooks.tracker.by_kernel("file_system_type", kind)
    if held is None or held[0].failed:
        return 0
    domain, tracked = held
    function = nooks.kernel.types.view("file_system_type", tracked.extension).read_super
    options = Copied("mount options", data, PAGE_SIZE)
    result = nooks.fs_calls.call(domain, function, 0, Version("super_block", sb), options, silent)
    version = nooks.fs.find(domain, "super_block", sb)
    if version is None:
        return 0
    if (
        not domain.failed
        and result == version.extension
        and nooks.kernel.types.view("super_block", sb).s_root
    ):
        return sb
    _drop_references(nooks, domain, sb)
    nooks.kernel.fs.inodes.prune(1 << 16, sb)
    nooks.fs.end(domain, "super_block", sb)
    return 0


def _drop_references(nooks: "Nooks", domain: Domain, sb: int) -> None:
    """What an extension still holds of a filesystem that has not come to be goes before the super block does."""
    for tracked in reversed(nooks.tracker.objects(domain)):
        kind, _, rest = tracked.type.partition(" ")
        if rest != "reference" or nooks.tracker.find(domain, tracked.type, tracked.extension) != tracked:
            continue
        view = nooks.kernel.types.view(kind, tracked.kernel)
        if (view.i_sb if kind == "inode" else view.d_sb) == sb:
            nooks.tracker.remove(tracked)
            TYPES[tracked.type].release(nooks, domain, tracked)


def _super_operation(nooks: "Nooks", sb: int, member: str, otherwise: int, *rest: Argument) -> int:
    table = nooks.kernel.types.view("super_block", sb).s_op
    return nooks.fs_calls.operation("super_operations", table, member, otherwise, *rest)


def _of_inode(nooks: "Nooks", inode: int, member: str, *rest: Argument) -> int:
    sb = nooks.kernel.types.view("inode", inode).i_sb
    return _super_operation(nooks, sb, member, 0, _inode(inode), *rest)


def _end_inode(nooks: "Nooks", inode: int) -> None:
    held = nooks.tracker.by_kernel("inode", inode)
    if held is not None:
        nooks.fs.end(held[0], "inode", inode)


@extension_wrapper("super_operations.read_inode", "void (*)(struct inode *)")
def read_inode(nooks: "Nooks", inode: int) -> int:
    """Read an inode in; one that its filesystem fails to read is a bad one."""
    result = _of_inode(nooks, inode, "read_inode")
    held = nooks.tracker.by_kernel("inode", inode)
    if held is None or held[0].failed:
        nooks.kernel.fs.inodes.make_bad_inode(inode)
    return result


@extension_wrapper("super_operations.write_inode", "void (*)(struct inode *, int)")
def write_inode(nooks: "Nooks", inode: int, sync: int) -> int:
    """Write an inode."""
    return _of_inode(nooks, inode, "write_inode", sync)


@extension_wrapper("super_operations.put_inode", "void (*)(struct inode *)")
def put_inode(nooks: "Nooks", inode: int) -> int:
    """One user of an inode less."""
    return _of_inode(nooks, inode, "put_inode")


@extension_wrapper("super_operations.delete_inode", "void (*)(struct inode *)")
def delete_inode(nooks: "Nooks", inode: int) -> int:
    """Delete a file; its inode's version lives until the extension has returned."""
    table = nooks.kernel.types.view("super_block", nooks.kernel.types.view("inode", inode).i_sb).s_op
    found = nooks.fs.function("super_operations", table, "delete_inode")
    if found is None or not found[1]:
        # The kernel clears the inode itself.
        return 0
    nooks.fs.deleting.add(inode)
    try:
        _of_inode(nooks, inode, "delete_inode")
    finally:
        nooks.fs.deleting.discard(inode)
    if nooks.kernel.types.view("inode", inode).i_state & _I_CLEAR:
        _end_inode(nooks, inode)
    return 0


_I_CLEAR = 32


@extension_wrapper("super_operations.clear_inode", "void (*)(struct inode *)")
def clear_inode(nooks: "Nooks", inode: int) -> int:
    """An inode ends."""
    if nooks.tracker.by_kernel("inode", inode) is not None:
        _of_inode(nooks, inode, "clear_inode")
    if inode not in nooks.fs.deleting:
        _end_inode(nooks, inode)
    return 0


@extension_wrapper("super_operations.put_super", "void (*)(struct super_block *)")
def put_super(nooks: "Nooks", sb: int) -> int:
    """A filesystem is unmounted."""
    _super_operation(nooks, sb, "put_super", 0, Version("super_block", sb))
    held = nooks.tracker.by_kernel("super_block", sb)
    if held is not None:
        nooks.fs.end(held[0], "super_block", sb)
    return 0


@extension_wrapper("super_operations.write_super", "void (*)(struct super_block *)")
def write_super(nooks: "Nooks", sb: int) -> int:
    """Write a super block."""
    return _super_operation(nooks, sb, "write_super", 0, Version("super_block", sb))


@extension_wrapper("super_operations.statfs", "int (*)(struct super_block *, struct statfs *)")
def statfs(nooks: "Nooks", sb: int, buf: int) -> int:
    """Say how much room there is."""
    result = Copied("statfs", buf, nooks.kernel.types.size("statfs"), back=True)
    return _super_operation(nooks, sb, "statfs", -EIO, Version("super_block", sb), result)


# Inodes


def _inode_operation(nooks: "Nooks", inode: int, member: str, otherwise: int, *arguments: Argument) -> int:
    table = nooks.kernel.types.view("inode", inode).i_op
    return nooks.fs_calls.operation("inode_operations", table, member, otherwise, *arguments)


@extension_wrapper("inode_operations.create", "int (*)(struct inode *, struct dentry *, int)")
def create(nooks: "Nooks", dir_: int, dentry: int, mode: int) -> int:
    """Make a file."""
    return _inode_operation(nooks, dir_, "create", -EIO, _inode(dir_), _dentry(dentry), mode)


@extension_wrapper("inode_operations.lookup", "struct dentry *(*)(struct inode *, struct dentry *)")
def lookup(nooks: "Nooks", dir_: int, dentry: int) -> int:
    """Find a name; another dentry that is returned passes to the kernel, and its use with it."""
    result = _inode_operation(nooks, dir_, "lookup", _ERROR, _inode(dir_), _dentry(dentry))
    if not result or result >= 0xFFFFF000:
        return result
    held = nooks.tracker.by_kernel("inode", dir_)
    if held is None or held[0].failed:
        return _ERROR
    domain = held[0]
    found = nooks.tracker.find(domain, "dentry", result)
    reference = nooks.tracker.find(domain, "dentry reference", result)
    if found is None or reference is None:
        nooks.fail(domain, f"lookup returns {result:08x}, which is no dentry that the extension uses")
        return _ERROR
    nooks.tracker.remove(reference)
    return found.kernel


def _of_entry(member: str) -> None:
    @extension_wrapper(f"inode_operations.{member}", "int (*)(struct inode *, struct dentry *)")
    def body(nooks: "Nooks", dir_: int, dentry: int) -> int:
        return _inode_operation(nooks, dir_, member, -EIO, _inode(dir_), _dentry(dentry))


_of_entry("unlink")
_of_entry("rmdir")


@extension_wrapper("inode_operations.mkdir", "int (*)(struct inode *, struct dentry *, int)")
def mkdir(nooks: "Nooks", dir_: int, dentry: int, mode: int) -> int:
    """Make a directory."""
    return _inode_operation(nooks, dir_, "mkdir", -EIO, _inode(dir_), _dentry(dentry), mode)


@extension_wrapper("inode_operations.mknod", "int (*)(struct inode *, struct dentry *, int, int)")
def mknod(nooks: "Nooks", dir_: int, dentry: int, mode: int, rdev: int) -> int:
    """Make the file of a device."""
    return _inode_operation(nooks, dir_, "mknod", -EIO, _inode(dir_), _dentry(dentry), mode, rdev)


@extension_wrapper(
    "inode_operations.rename",
    "int (*)(struct inode *, struct dentry *, struct inode *, struct dentry *)",
)
def rename(nooks: "Nooks", old_dir: int, old_dentry: int, new_dir: int, new_dentry: int) -> int:
    """Give a file another name."""
    objects = (_inode(old_dir), _dentry(old_dentry), _inode(new_dir), _dentry(new_dentry))
    return _inode_operation(nooks, old_dir, "rename", -EIO, *objects)


@extension_wrapper("inode_operations.truncate", "void (*)(struct inode *)")
def truncate(nooks: "Nooks", inode: int) -> int:
    """Give the blocks behind a file's end back."""
    return _inode_operation(nooks, inode, "truncate", 0, _inode(inode))


@extension_wrapper("inode_operations.permission", "int (*)(struct inode *, int)")
def permission(nooks: "Nooks", inode: int, mask: int) -> int:
    """May the process use it?"""
    return _inode_operation(nooks, inode, "permission", -EIO, _inode(inode), mask)


def _inode_of(nooks: "Nooks", dentry: int) -> int:
    return int(nooks.kernel.types.view("dentry", dentry).d_inode)


@extension_wrapper("inode_operations.revalidate", "int (*)(struct dentry *)")
def revalidate(nooks: "Nooks", dentry: int) -> int:
    """Is what is in memory of an inode still true?"""
    return _inode_operation(nooks, _inode_of(nooks, dentry), "revalidate", -EIO, _dentry(dentry))


@extension_wrapper("inode_operations.setattr", "int (*)(struct dentry *, struct iattr *)")
def setattr_(nooks: "Nooks", dentry: int, attr: int) -> int:
    """Change attributes."""
    change = Copied("iattr", attr, nooks.kernel.types.size("iattr"))
    return _inode_operation(nooks, _inode_of(nooks, dentry), "setattr", -EIO, _dentry(dentry), change)


# Dentries


def _dentry_operation(nooks: "Nooks", dentry: int, member: str, otherwise: int, *arguments: Argument) -> int:
    table = nooks.kernel.types.view("dentry", dentry).d_op
    return nooks.fs_calls.operation("dentry_operations", table, member, otherwise, *arguments)


@extension_wrapper("dentry_operations.d_revalidate", "int (*)(struct dentry *, int)")
def d_revalidate(nooks: "Nooks", dentry: int, flags: int) -> int:
    """Does a name still stand for the same?"""
    return _dentry_operation(nooks, dentry, "d_revalidate", 0, _dentry(dentry), flags)


@extension_wrapper("dentry_operations.d_hash", "int (*)(struct dentry *, struct qstr *)")
def d_hash(nooks: "Nooks", dentry: int, name: int) -> int:
    """Hash a name in the filesystem's way; of the qstr only the hash is its to change."""
    qstr = nooks.kernel.types.view("qstr", name)
    text, length = qstr.name, qstr.len
    copy = Copied("qstr", name, nooks.kernel.types.size("qstr"), back=True)
    result = _dentry_operation(nooks, dentry, "d_hash", -EIO, _dentry(dentry), copy)
    qstr.name, qstr.len = text, length
    return result


@extension_wrapper("dentry_operations.d_compare", "int (*)(struct dentry *, struct qstr *, struct qstr *)")
def d_compare(nooks: "Nooks", dentry: int, a: int, b: int) -> int:
    """Compare two names, which the filesystem only reads, where they are."""
    names = (Handle("qstr", a), Handle("qstr", b))
    return _dentry_operation(nooks, dentry, "d_compare", 1, _dentry(dentry), *names)


@extension_wrapper("dentry_operations.d_delete", "int (*)(struct dentry *)")
def d_delete(nooks: "Nooks", dentry: int) -> int:
    """Shall a dentry that nobody uses be forgotten at once?"""
    return _dentry_operation(nooks, dentry, "d_delete", 1, _dentry(dentry))


@extension_wrapper("dentry_operations.d_release", "void (*)(struct dentry *)")
def d_release(nooks: "Nooks", dentry: int) -> int:
    """A dentry ends."""
    held = nooks.tracker.by_kernel("dentry", dentry)
    if held is None:
        return 0
    _dentry_operation(nooks, dentry, "d_release", 0, _dentry(dentry))
    # Even when the extension has failed: the kernel frees its version now.
    nooks.fs.end(held[0], "dentry", dentry)
    return 0


@extension_wrapper("dentry_operations.d_iput", "void (*)(struct dentry *, struct inode *)")
def d_iput(nooks: "Nooks", dentry: int, inode: int) -> int:
    """A dentry gives up its inode: the use of it passes to the extension, which ends it."""
    table = nooks.kernel.types.view("dentry", dentry).d_op
    found = nooks.fs.function("dentry_operations", table, "d_iput")
    if found is None or not found[1]:
        nooks.kernel.fs.inodes.iput(inode)
        return 0
    domain = found[0]
    own = nooks.fs.hand_in(domain, "inode", inode)
    nooks.tracker.add(domain, "inode reference", inode, own)
    return _dentry_operation(nooks, dentry, "d_iput", 0, _dentry(dentry), _inode(inode))


# Open files


def _file_operation(nooks: "Nooks", file: int, member: str, otherwise: int, *arguments: Argument) -> int:
    table = nooks.kernel.types.view("file", file).f_op
    return nooks.fs_calls.operation("file_operations", table, member, otherwise, *arguments)


@extension_wrapper("file_operations.llseek", "long long (*)(struct file *, long long, int)")
def llseek(nooks: "Nooks", file: int, offset: int, origin: int) -> int:
    """Move the position."""
    low, high = offset & 0xFFFFFFFF, offset >> 32 & 0xFFFFFFFF
    return _file_operation(nooks, file, "llseek", -EIO, _file(file), low, high, origin)


def _transfers(member: str) -> None:
    @extension_wrapper(
        f"file_operations.{member}", "int (*)(struct file *, char *, unsigned int, long long *)"
    )
    def body(nooks: "Nooks", file: int, buf: int, count: int, ppos: int) -> int:
        position = _Position(nooks, file, ppos)
        return _file_operation(nooks, file, member, -EIO, _file(file), buf, count, position.argument)


class _Position:
    """The position that a call is given: in the file itself, or a copy."""

    def __init__(self, nooks: "Nooks", file: int, ppos: int) -> None:
        struct = nooks.kernel.types.view("file", file)
        held = nooks.tracker.by_kernel("file_operations", struct.f_op)
        self.argument: Argument = Copied("position", ppos, 8, back=True)
        if ppos == struct.offset_of("f_pos") and held is not None and not held[0].failed:
            own = nooks.fs.hand_in(held[0], "file", file)
            self.argument = own + ppos - file


_transfers("read")
_transfers("write")


@extension_wrapper(
    "file_operations.readdir",
    "int (*)(struct file *, void *, int (*)(void *, char *, int, long long, unsigned long, unsigned int))",
)
def readdir(nooks: "Nooks", file: int, dirent: int, filldir: int) -> int:
    """List a directory; the extension gets the wrapper of the kernel's ``filldir64``."""
    if filldir != nooks.kernel.exported["filldir64"]:
        return -EIO
    gate = nooks.interposition.kernel_gates["filldir64"]
    return _file_operation(nooks, file, "readdir", -EIO, _file(file), Handle("readdir buffer", dirent), gate)


@extension_wrapper("file_operations.poll", "unsigned int (*)(struct file *, struct poll_table_struct *)")
def poll(nooks: "Nooks", file: int, wait: int) -> int:
    """Say what can be done with a file, and on which queues to wait until it can."""
    table = Handle("poll_table", wait) if wait else 0
    return _file_operation(nooks, file, "poll", POLLERR, _file(file), table)


@extension_wrapper(
    "file_operations.ioctl", "int (*)(struct inode *, struct file *, unsigned int, unsigned long)"
)
def ioctl(nooks: "Nooks", inode: int, file: int, cmd: int, arg: int) -> int:
    """Something special."""
    return _file_operation(nooks, file, "ioctl", -EIO, _inode(inode), _file(file), cmd, arg)


@extension_wrapper("file_operations.open", "int (*)(struct inode *, struct file *)")
def open_(nooks: "Nooks", inode: int, file: int) -> int:
    """A file is opened."""
    result = _file_operation(nooks, file, "open", -EIO, _inode(inode), _file(file))
    held = nooks.tracker.by_kernel("file", file)
    if result and held is not None:
        nooks.fs.end(held[0], "file", file)
    return result


@extension_wrapper("file_operations.flush", "int (*)(struct file *)")
def flush(nooks: "Nooks", file: int) -> int:
    """A descriptor of a file is closed."""
    return _file_operation(nooks, file, "flush", -EIO, _file(file))


@extension_wrapper("file_operations.release", "int (*)(struct inode *, struct file *)")
def release(nooks: "Nooks", inode: int, file: int) -> int:
    """The last user of an open file has gone; its version ends."""
    table = nooks.kernel.types.view("file", file).f_op
    found = nooks.fs.function("file_operations", table, "release")
    result = 0
    if found is not None and found[1]:
        result = _file_operation(nooks, file, "release", 0, _inode(inode), _file(file))
    held = nooks.tracker.by_kernel("file", file)
    if held is not None:
        nooks.fs.end(held[0], "file", file)
    return result


@extension_wrapper("file_operations.fsync", "int (*)(struct file *, struct dentry *, int)")
def fsync(nooks: "Nooks", file: int, dentry: int, datasync: int) -> int:
    """Write a file to disk."""
    return _file_operation(nooks, file, "fsync", -EIO, _file(file), _dentry(dentry), datasync)


# Pages


def _page_operation(nooks: "Nooks", page: int, member: str, *arguments: Argument) -> int:
    struct = nooks.kernel.types.view("page", page)
    table = nooks.kernel.types.view("address_space", struct.mapping).a_ops
    return nooks.fs_calls.operation("address_space_operations", table, member, -EIO, *arguments)


def _maybe_file(file: int) -> Argument:
    return _file(file) if file else 0


@extension_wrapper("address_space_operations.writepage", "int (*)(struct page *)")
def writepage(nooks: "Nooks", page: int) -> int:
    """Write a page."""
    return _page_operation(nooks, page, "writepage", PageOf(page))


@extension_wrapper("address_space_operations.readpage", "int (*)(struct file *, struct page *)")
def readpage(nooks: "Nooks", file: int, page: int) -> int:
    """Read a page."""
    return _page_operation(nooks, page, "readpage", _maybe_file(file), PageOf(page))


def _writes(member: str) -> None:
    @extension_wrapper(
        f"address_space_operations.{member}",
        "int (*)(struct file *, struct page *, unsigned int, unsigned int)",
    )
    def body(nooks: "Nooks", file: int, page: int, from_: int, to: int) -> int:
        return _page_operation(nooks, page, member, _maybe_file(file), PageOf(page), from_, to)


_writes("prepare_write")
_writes("commit_write")


@extension_wrapper("address_space_operations.bmap", "int (*)(struct address_space *, long)")
def bmap(nooks: "Nooks", mapping: int, block: int) -> int:
    """Say where a block of a file is."""
    space = nooks.kernel.types.view("address_space", mapping)
    found = nooks.fs.function("address_space_operations", space.a_ops, "bmap")
    if found is None or not found[1]:
        return 0
    own = nooks.fs.extension_mapping(found[0], mapping)
    return nooks.fs_calls.call(found[0], found[1], 0, own, block)
