"""Filesystems: kernel functions on types, super blocks, inodes, dentries and files; semaphores."""

from typing import TYPE_CHECKING

from nooks_lab.kernel.errno import EINTR, ENOMEM
from nooks_lab.nooks.isolation.domain import BadParameter, Domain
from nooks_lab.nooks.tracking.tracker import TrackedObject
from nooks_lab.nooks.tracking.types.fs import free_filesystem
from nooks_lab.nooks.wrappers import fs_operations
from nooks_lab.nooks.wrappers.block import waiting
from nooks_lab.nooks.wrappers.decisions import Body, Cookie, Reads, Text, WaitQueue, Writes, held
from nooks_lab.nooks.wrappers.declare import declare_wrapper, kernel_wrapper, parse
from nooks_lab.nooks.wrappers.memory import end
from nooks_lab.nooks.wrappers.tasks import kernel_queue, show_waiters

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks

__all__ = ["fs_operations"]

_INODE, _DENTRY, _SUPER = held("inode"), held("dentry"), held("super_block")
_INODE_OR_NULL, _DENTRY_OR_NULL = held("inode", null=True), held("dentry", null=True)

# Types


@kernel_wrapper("int register_filesystem(struct file_system_type *fs)", fs=Reads("file_system_type"))
def register_filesystem(nooks: "Nooks", domain: Domain, fs: int) -> int:
    """Register the kernel's version of a filesystem type."""
    if nooks.tracker.find(domain, "file_system_type", fs) is not None:
        raise BadParameter(f"register_filesystem: {fs:08x} is registered already")
    types = nooks.kernel.types
    kernel = nooks.kernel.slab.zalloc(types.size("file_system_type"))
    if not kernel:
        return -ENOMEM
    own, version = types.view("file_system_type", fs), types.view("file_system_type", kernel)
    domain.read(own.name, 1, "register_filesystem")
    version.name, version.fs_flags, version.owner = own.name, own.fs_flags, own.owner
    version.read_super = nooks.entry_point("file_system_type.read_super")
    result = nooks.kernel.fs.supers.register_filesystem(kernel)
    if result:
        nooks.kernel.slab.free(kernel)
        return result
    nooks.tracker.add(domain, "file_system_type", kernel, fs)
    return 0


@kernel_wrapper(
    "int unregister_filesystem(struct file_system_type *fs)", fs=held("file_system_type", ends=True)
)
def unregister_filesystem(nooks: "Nooks", domain: Domain, fs: TrackedObject) -> int:
    """Forget a filesystem type."""
    nooks.tracker.remove(fs)
    free_filesystem(nooks, domain, fs)
    return 0


@kernel_wrapper(
    "int register_chrdev(unsigned int major, char *name, struct file_operations *fops)",
    name=Text(),
    fops=Reads("file_operations"),
)
def register_chrdev(nooks: "Nooks", domain: Domain, major: int, name: int, fops: int) -> int:
    """Take a major number for the kernel's version of the operations."""
    table = nooks.fs.table(domain, "file_operations", fops)
    result = nooks.kernel.fs.chrdevs.register_chrdev(major, name, table)
    taken = major or result
    if result >= 0 and nooks.tracker.find(domain, "character device", taken) is None:
        nooks.tracker.add(domain, "character device", taken, taken)
    return result


@kernel_wrapper("int unregister_chrdev(unsigned int major, char *name)", name=Text())
def unregister_chrdev(nooks: "Nooks", domain: Domain, major: int, name: int) -> int:
    """Give a major number back."""
    tracked = nooks.tracker.check(domain, "character device", major, "unregister_chrdev")
    end(nooks, domain, tracked)
    return 0


# Inodes


def _gets(nooks: "Nooks", domain: Domain, inode: int) -> int:
    """The extension has one more use of an inode."""
    if not inode:
        return 0
    own = nooks.fs.hand_in(domain, "inode", inode)
    nooks.tracker.add(domain, "inode reference", inode, own)
    return own


def _gives(nooks: "Nooks", domain: Domain, inode: TrackedObject, function: str) -> None:
    """The extension has one use of an inode less."""
    nooks.tracker.remove(nooks.tracker.check(domain, "inode reference", inode.extension, function))


@kernel_wrapper("struct inode *new_inode(struct super_block *sb)", sb=_SUPER)
def new_inode(nooks: "Nooks", domain: Domain, sb: TrackedObject) -> int:
    """Make an inode; the extension fills its version in."""
    nooks.fs.take(domain, sb)
    return _gets(nooks, domain, nooks.kernel.fs.inodes.new_inode(sb.kernel))


@kernel_wrapper(
    "struct inode *iget4(struct super_block *sb, unsigned long ino, "
    "int (*find_actor)(struct inode *, unsigned long, void *), void *opaque)",
    sb=_SUPER,
    find_actor=Body("none is supported but NULL: inodes are found by their numbers"),
    opaque=Cookie(),
)
def iget4(nooks: "Nooks", domain: Domain, sb: TrackedObject, ino: int, find_actor: int, opaque: int) -> int:
    """Return the inode of a number; the extension's read_inode may be called for it."""
    if find_actor:
        raise BadParameter(f"iget4: find_actor is {find_actor:08x}, and can only be NULL")
    nooks.fs.take(domain, sb)
    found = waiting(nooks, lambda: nooks.kernel.fs.inodes.iget4(sb.kernel, ino, 0, 0))
    return 0 if domain.failed else _gets(nooks, domain, found)


@kernel_wrapper("struct inode *igrab(struct inode *inode)", inode=_INODE)
def igrab(nooks: "Nooks", domain: Domain, inode: TrackedObject) -> int:
    """One use of an inode more."""
    return _gets(nooks, domain, nooks.kernel.fs.inodes.igrab(inode.kernel))


@kernel_wrapper("void iput(struct inode *inode)", inode=_INODE_OR_NULL)
def iput(nooks: "Nooks", domain: Domain, inode: TrackedObject | None) -> None:
    """One use of an inode less; it must be one of the extension's own."""
    if inode is not None:
        nooks.fs.take(domain, inode)
        _gives(nooks, domain, inode, "iput")
        waiting(nooks, lambda: nooks.kernel.fs.inodes.iput(inode.kernel))


@kernel_wrapper("unsigned long iunique(struct super_block *sb, unsigned long max_reserved)", sb=_SUPER)
def iunique(nooks: "Nooks", domain: Domain, sb: TrackedObject, max_reserved: int) -> int:
    """Return a number that no inode in memory has."""
    return nooks.kernel.fs.inodes.iunique(sb.kernel, max_reserved)


def _of_inode(prototype: str) -> None:
    """A function whose only object is an inode: the versions are synchronised before and after."""
    parsed = parse(prototype)
    void = parsed.result == "void"

    def body(nooks: "Nooks", domain: Domain, inode: TrackedObject, *arguments: int) -> int | None:
        nooks.fs.take(domain, inode)
        result = waiting(nooks, lambda: nooks.kernel_function(parsed.name)(inode.kernel, *arguments))
        if not domain.failed and nooks.tracker.find(domain, "inode", inode.extension) == inode:
            nooks.fs.give(domain, inode)
        return None if void else int(result)

    kernel_wrapper(prototype, inode=_INODE)(body)


_of_inode("void insert_inode_hash(struct inode *inode)")
_of_inode("void remove_inode_hash(struct inode *inode)")
_of_inode("void clear_inode(struct inode *inode)")
_of_inode("void make_bad_inode(struct inode *inode)")
_of_inode("int is_bad_inode(struct inode *inode)")
_of_inode("void __mark_inode_dirty(struct inode *inode, int flags)")
_of_inode("void write_inode_now(struct inode *inode, int sync)")
_of_inode("void init_special_inode(struct inode *inode, unsigned short mode, int rdev)")
_of_inode("void update_atime(struct inode *inode)")
_of_inode("int vmtruncate(struct inode *inode, long long offset)")
_of_inode("int vfs_permission(struct inode *inode, int mask)")


def _of_attributes(prototype: str) -> None:
    """A function on an inode and attributes, which the kernel reads."""
    parsed = parse(prototype)

    def body(nooks: "Nooks", domain: Domain, inode: TrackedObject, attr: int) -> int:
        nooks.fs.take(domain, inode)
        result = int(waiting(nooks, lambda: nooks.kernel_function(parsed.name)(inode.kernel, attr)))
        if not domain.failed:
            nooks.fs.give(domain, inode)
        return result

    kernel_wrapper(prototype, inode=_INODE, attr=Reads("iattr"))(body)


_of_attributes("int inode_change_ok(struct inode *inode, struct iattr *attr)")
_of_attributes("int inode_setattr(struct inode *inode, struct iattr *attr)")


@kernel_wrapper(
    "int notify_change(struct dentry *dentry, struct iattr *attr)", dentry=_DENTRY, attr=Writes("iattr")
)
def notify_change(nooks: "Nooks", domain: Domain, dentry: TrackedObject, attr: int) -> int:
    """Change the attributes of a name's inode."""
    nooks.fs.take_inode(domain, dentry)
    result = int(waiting(nooks, lambda: nooks.kernel.fs.attributes.notify_change(dentry.kernel, attr)))
    if not domain.failed:
        nooks.fs.give(domain, dentry)
    return result


# Dentries


def _gets_dentry(nooks: "Nooks", domain: Domain, dentry: int) -> int:
    """The extension has one more use of a dentry."""
    if not dentry:
        return 0
    own = nooks.fs.hand_in(domain, "dentry", dentry)
    nooks.tracker.add(domain, "dentry reference", dentry, own)
    return own


@kernel_wrapper(
    "struct dentry *d_alloc(struct dentry *parent, struct qstr *name)",
    parent=_DENTRY_OR_NULL,
    name=Reads("qstr"),
)
def d_alloc(nooks: "Nooks", domain: Domain, parent: TrackedObject | None, name: int) -> int:
    """Make a dentry."""
    qstr = nooks.kernel.types.view("qstr", name)
    if qstr.len > 255:
        raise BadParameter(f"d_alloc: a name of {qstr.len} bytes")
    domain.read(qstr.name, qstr.len, "d_alloc")
    above = parent.kernel if parent is not None else 0
    return _gets_dentry(nooks, domain, nooks.kernel.fs.dcache.d_alloc(above, name))


@kernel_wrapper("struct dentry *d_alloc_root(struct inode *root_inode)", root_inode=_INODE_OR_NULL)
def d_alloc_root(nooks: "Nooks", domain: Domain, root_inode: TrackedObject | None) -> int:
    """Make the dentry of a root directory; the use of its inode passes to it."""
    if root_inode is None:
        return 0
    nooks.fs.take(domain, root_inode)
    dentry = nooks.kernel.fs.dcache.d_alloc_root(root_inode.kernel)
    if dentry:
        _gives(nooks, domain, root_inode, "d_alloc_root")
    return _gets_dentry(nooks, domain, dentry)


@kernel_wrapper(
    "void d_instantiate(struct dentry *entry, struct inode *inode)", entry=_DENTRY, inode=_INODE_OR_NULL
)
def d_instantiate(nooks: "Nooks", domain: Domain, entry: TrackedObject, inode: TrackedObject | None) -> None:
    """A name stands for an inode, whose use passes to the dentry."""
    nooks.fs.take(domain, entry)
    if nooks.kernel.types.view("dentry", entry.kernel).d_inode:
        raise BadParameter(f"d_instantiate: {entry.extension:08x} has an inode already")
    if inode is not None:
        nooks.fs.take(domain, inode)
        _gives(nooks, domain, inode, "d_instantiate")
    nooks.kernel.fs.dcache.d_instantiate(entry.kernel, inode.kernel if inode is not None else 0)
    nooks.fs.give(domain, entry)


def _of_dentry(prototype: str) -> None:
    """A function whose only object is a dentry."""
    parsed = parse(prototype)
    void = parsed.result == "void"

    def body(nooks: "Nooks", domain: Domain, *arguments: TrackedObject) -> int | None:
        (dentry,) = arguments
        nooks.fs.take_inode(domain, dentry)
        result = waiting(nooks, lambda: nooks.kernel_function(parsed.name)(dentry.kernel))
        if not domain.failed and nooks.tracker.find(domain, "dentry", dentry.extension) == dentry:
            nooks.fs.give(domain, dentry)
        return None if void else int(result)

    declare_wrapper(prototype, {parsed.parameters[0]: _DENTRY})(body)


_of_dentry("void d_rehash(struct dentry *entry)")
_of_dentry("void d_drop(struct dentry *dentry)")
_of_dentry("void d_delete(struct dentry *dentry)")
_of_dentry("int d_invalidate(struct dentry *dentry)")
_of_dentry("void shrink_dcache_parent(struct dentry *parent)")


@kernel_wrapper("void d_move(struct dentry *entry, struct dentry *target)", entry=_DENTRY, target=_DENTRY)
def d_move(nooks: "Nooks", domain: Domain, entry: TrackedObject, target: TrackedObject) -> None:
    """Move a name to another's place."""
    for dentry in (entry, target):
        nooks.fs.take(domain, dentry)
    nooks.kernel.fs.dcache.d_move(entry.kernel, target.kernel)
    for dentry in (entry, target):
        nooks.fs.give(domain, dentry)


@kernel_wrapper(
    "struct dentry *d_lookup(struct dentry *parent, struct qstr *name)", parent=_DENTRY, name=Reads("qstr")
)
def d_lookup(nooks: "Nooks", domain: Domain, parent: TrackedObject, name: int) -> int:
    """Find a name in memory; the caller has one use more."""
    return _gets_dentry(nooks, domain, nooks.kernel.fs.dcache.d_lookup(parent.kernel, name))


@kernel_wrapper("struct dentry *d_find_alias(struct inode *inode)", inode=_INODE)
def d_find_alias(nooks: "Nooks", domain: Domain, inode: TrackedObject) -> int:
    """Find a name of an inode; the caller has one use more."""
    return _gets_dentry(nooks, domain, nooks.kernel.fs.dcache.d_find_alias(inode.kernel))


@kernel_wrapper("void d_prune_aliases(struct inode *inode)", inode=_INODE)
def d_prune_aliases(nooks: "Nooks", domain: Domain, inode: TrackedObject) -> None:
    """Free an inode's names that nobody uses."""
    waiting(nooks, lambda: nooks.kernel.fs.dcache.d_prune_aliases(inode.kernel))


@kernel_wrapper("void shrink_dcache_sb(struct super_block *sb)", sb=_SUPER)
def shrink_dcache_sb(nooks: "Nooks", domain: Domain, sb: TrackedObject) -> None:
    """Free a filesystem's names that nobody uses."""
    waiting(nooks, lambda: nooks.kernel.fs.dcache.shrink_dcache_sb(sb.kernel))


@kernel_wrapper("struct dentry *dget(struct dentry *dentry)", dentry=_DENTRY_OR_NULL)
def dget(nooks: "Nooks", domain: Domain, dentry: TrackedObject | None) -> int:
    """One use of a dentry more."""
    if dentry is None:
        return 0
    return _gets_dentry(nooks, domain, nooks.kernel.fs.dcache.dget(dentry.kernel))


@kernel_wrapper("void dput(struct dentry *dentry)", dentry=_DENTRY_OR_NULL)
def dput(nooks: "Nooks", domain: Domain, dentry: TrackedObject | None) -> None:
    """One use of a dentry less; it must be one of the extension's own."""
    if dentry is not None:
        nooks.fs.take_inode(domain, dentry)
        nooks.tracker.remove(nooks.tracker.check(domain, "dentry reference", dentry.extension, "dput"))
        waiting(nooks, lambda: nooks.kernel.fs.dcache.dput(dentry.kernel))


# Super blocks


def _of_super(prototype: str) -> None:
    function = parse(prototype).name

    def body(nooks: "Nooks", domain: Domain, sb: TrackedObject) -> None:
        nooks.fs.take(domain, sb)
        waiting(nooks, lambda: nooks.kernel_function(function)(sb.kernel))
        nooks.fs.synchronise(domain, sb)

    kernel_wrapper(prototype, sb=_SUPER)(body)


_of_super("void lock_super(struct super_block *sb)")
_of_super("void unlock_super(struct super_block *sb)")


# Files


def _transfers(prototype: str) -> None:
    """Reading or writing through the page cache; the extension's own functions are called for pages."""
    function = parse(prototype).name

    def body(nooks: "Nooks", domain: Domain, file: TrackedObject, buf: int, count: int, ppos: int) -> int:
        nooks.fs.take(domain, file)
        dentry = nooks.tracker.by_kernel("dentry", nooks.fs.view("file", file.kernel).f_dentry)
        if dentry is not None:
            nooks.fs.take_inode(domain, dentry[1])
        work = nooks.kernel_function(function)
        result = int(waiting(nooks, lambda: work(file.kernel, buf, count, ppos)))
        if not domain.failed:
            nooks.fs.synchronise(domain, file)
        return result

    kernel_wrapper(
        prototype,
        file=held("file"),
        buf=Body("a user's address, which the copy itself checks"),
        ppos=Writes(8),
    )(body)


_transfers("int generic_file_read(struct file *file, char *buf, unsigned int count, long long *ppos)")
_transfers("int generic_file_write(struct file *file, char *buf, unsigned int count, long long *ppos)")
_transfers("int generic_read_dir(struct file *file, char *buf, unsigned int count, long long *ppos)")


def _seeks(prototype: str) -> None:
    function = parse(prototype).name

    def body(nooks: "Nooks", domain: Domain, file: TrackedObject, offset: int, origin: int) -> int:
        nooks.fs.take(domain, file)
        result = int(nooks.kernel_function(function)(file.kernel, offset, origin))
        nooks.fs.give(domain, file)
        return result

    kernel_wrapper(prototype, file=held("file"))(body)


_seeks("long long generic_file_llseek(struct file *file, long long offset, int origin)")
_seeks("long long no_llseek(struct file *file, long long offset, int origin)")


@kernel_wrapper(
    "int file_fsync(struct file *file, struct dentry *dentry, int datasync)",
    file=held("file"),
    dentry=_DENTRY,
)
def file_fsync(
    nooks: "Nooks", domain: Domain, file: TrackedObject, dentry: TrackedObject, datasync: int
) -> int:
    """Write a file and its filesystem."""
    nooks.fs.take_inode(domain, dentry)
    sync = nooks.kernel.fs.supers.file_fsync
    return int(waiting(nooks, lambda: sync(file.kernel, dentry.kernel, datasync)))


@kernel_wrapper(
    "int filldir64(void *buf, char *name, int namlen, long long offset, unsigned long ino, unsigned int d_type)",
    buf=held("readdir buffer"),
    name=Reads("namlen"),
)
def filldir64(
    nooks: "Nooks",
    domain: Domain,
    buf: TrackedObject,
    name: int,
    namlen: int,
    offset: int,
    ino: int,
    d_type: int,
) -> int:
    """Take a directory entry."""
    return nooks.kernel.files.filldir64(buf.kernel, name, namlen, offset, ino, d_type)


@kernel_wrapper(
    "void __pollwait(struct file *filp, struct __wait_queue_head *wait_address, struct poll_table_struct *p)",
    filp=held("file"),
    wait_address=WaitQueue(),
    p=held("poll_table"),
)
def pollwait(
    nooks: "Nooks", domain: Domain, filp: TrackedObject, wait_address: int, p: TrackedObject
) -> None:
    """Let the process wait on a queue of the extension's: on the kernel's version, as long as it polls."""
    queue = kernel_queue(nooks, domain, wait_address)
    nooks.kernel.fs.select.pollwait(filp.kernel, queue, p.kernel)
    show_waiters(nooks, wait_address, queue)


# Semaphores lie in the extension's memory; who waits, waits on the kernel's version of their wait queue.


@kernel_wrapper("void down(struct semaphore *sem)", sem=Writes("semaphore"))
def down(nooks: "Nooks", domain: Domain, sem: int) -> None:
    """Enter a semaphore of the extension's."""
    semaphore, sched = nooks.kernel.types.view("semaphore", sem), nooks.kernel.sched
    queue = semaphore.wait.address

    def enter() -> None:
        while semaphore.count.counter <= 0:
            sched.must_be_process()
            semaphore.sleepers += 1
            sched.sleep_on(kernel_queue(nooks, domain, queue))
            if domain.failed:
                return
            semaphore.sleepers -= 1
        semaphore.count.counter -= 1

    waiting(nooks, enter)


@kernel_wrapper("int down_interruptible(struct semaphore *sem)", sem=Writes("semaphore"))
def down_interruptible(nooks: "Nooks", domain: Domain, sem: int) -> int:
    """Enter a semaphore of the extension's, unless a signal comes."""
    semaphore, sched = nooks.kernel.types.view("semaphore", sem), nooks.kernel.sched
    queue = semaphore.wait.address

    def enter() -> int:
        while semaphore.count.counter <= 0:
            sched.must_be_process()
            if sched.current.sigpending:
                return -EINTR
            semaphore.sleepers += 1
            sched.interruptible_sleep_on(kernel_queue(nooks, domain, queue))
            if domain.failed:
                return -EINTR
            semaphore.sleepers -= 1
        semaphore.count.counter -= 1
        return 0

    return int(waiting(nooks, enter))


@kernel_wrapper("int down_trylock(struct semaphore *sem)", sem=Writes("semaphore"))
def down_trylock(nooks: "Nooks", domain: Domain, sem: int) -> int:
    """Enter a semaphore of the extension's if there is room."""
    return nooks.kernel.semaphores.down_trylock(sem)


@kernel_wrapper("void up(struct semaphore *sem)", sem=Writes("semaphore"))
def up(nooks: "Nooks", domain: Domain, sem: int) -> None:
    """Leave a semaphore of the extension's, and wake those who wait."""
    semaphore = nooks.kernel.types.view("semaphore", sem)
    semaphore.count.counter += 1
    if semaphore.sleepers > 0:
        nooks.kernel.sched.wake_up(kernel_queue(nooks, domain, semaphore.wait.address), 3, 0)
