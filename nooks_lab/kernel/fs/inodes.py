"""Inodes: their hash table, their lists, their reference counts, writing them back (Linux 2.4 ``fs/inode.c``)."""

from collections.abc import Callable, Iterator
from typing import Any

from nooks_lab.kernel.block.buffer_cache import BufferCache
from nooks_lab.kernel.bug import KernelBug
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.fs.page_cache import PageCache
from nooks_lab.kernel.fs.parts import FsParts
from nooks_lab.kernel.lists import init_list_head, list_add, list_empty, list_for_each
from nooks_lab.machine.memory import PAGE_SIZE

I_DIRTY_SYNC, I_DIRTY_DATASYNC, I_DIRTY_PAGES, I_LOCK, I_FREEING, I_CLEAR = (1 << bit for bit in range(6))
I_DIRTY = I_DIRTY_SYNC | I_DIRTY_DATASYNC | I_DIRTY_PAGES
S_IFMT, S_IFREG, S_IFDIR, S_IFCHR, S_IFBLK = 0o170000, 0o100000, 0o040000, 0o020000, 0o060000
MS_RDONLY, MS_SYNCHRONOUS, MS_NOATIME, MS_NODIRATIME = 1, 16, 1024, 2048
MS_ACTIVE = 1 << 30
"""In ``s_flags``: the super block is mounted, so that unused inodes are kept."""

HASH_SIZE = 128
_LAST_INO = (1 << 32) - 1


class Inodes:
    """All inodes in memory.

    Attributes
    ----------
    freed : callable (super block)
        Told when an inode of a super block has gone.
    """

    def __init__(self, parts: FsParts, buffers: BufferCache, pages: PageCache) -> None:
        self.freed: Callable[[int], None] = lambda sb: None
        self._parts, self._memory, self._buffers, self._pages = parts, parts.memory, buffers, pages
        variables, offset = parts.variables, parts.types.offset
        self._table = variables["inode_hashtable"]
        self._in_use, self._unused = variables["inode_in_use"], variables["inode_unused"]
        self._hash, self._list = offset("inode", "i_hash"), offset("inode", "i_list")

    def boot(self) -> None:
        """There is no inode."""
        for index in range(HASH_SIZE):
            init_list_head(self._memory, self._table + 8 * index)
        init_list_head(self._memory, self._in_use)
        init_list_head(self._memory, self._unused)

    def view(self, address: int) -> Any:
        """Return an inode by address."""
        return self._parts.view("inode", address)

    def operations(self, inode: Any) -> Any:
        """Return a view of an inode's ``i_op``."""
        return self._parts.view("inode_operations", inode.i_op)

    def _super_operation(self, inode: Any, name: str) -> int:
        sb = self._parts.view("super_block", inode.i_sb)
        operations = sb.s_op
        return int(getattr(self._parts.view("super_operations", operations), name)) if operations else 0

    def _alloc(self, sb: int) -> Any:
        parts = self._parts
        address = parts.slab.zalloc(parts.types.size("inode"))
        if not address:
            return None
        inode = self.view(address)
        for head in (inode.i_hash, inode.i_list, inode.i_dentry, inode.i_dirty_buffers):
            init_list_head(self._memory, head.address)
        parts.semaphores.init(inode.i_sem.address)
        parts.semaphores.init(inode.i_zombie.address)
        parts.init_queue(inode.i_wait)
        self._pages.init_mapping(inode.i_data, address)
        inode.i_mapping = inode.i_data.address
        inode.i_sb, inode.i_dev = sb, parts.view("super_block", sb).s_dev
        inode.i_count.counter, inode.i_nlink, inode.i_blksize = 1, 1, PAGE_SIZE
        inode.i_op, inode.i_fop = parts.variables["empty_iops"], parts.variables["empty_fops"]
        list_add(self._memory, address + self._list, self._in_use)
        parts.count("nr_inodes", 1)
        return inode

    def _free(self, inode: Any) -> None:
        self._parts.list_del_init(inode.address + self._hash)
        self._parts.list_del_init(inode.address + self._list)
        sb = inode.i_sb
        self._parts.slab.free(inode.address)
        self._parts.count("nr_inodes", -1)
        self.freed(sb)

    def everything(self) -> Iterator[Any]:
        """Yield every inode: in use, dirty, unused."""
        heads = [self._in_use, self._unused]
        supers = self._parts.variables["super_blocks"]
        link = self._parts.types.offset("super_block", "s_list")
        dirty = self._parts.types.offset("super_block", "s_dirty")
        heads += [at - link + dirty for at in list_for_each(self._memory, supers)]
        for head in heads:
            for at in list_for_each(self._memory, head):
                yield self.view(at - self._list)

    def of(self, sb: int) -> list[Any]:
        """Return every inode of a super block."""
        return [inode for inode in self.everything() if inode.i_sb == sb]

    # Finding and making

    def _bucket(self, sb: int, ino: int) -> int:
        return self._table + 8 * ((sb >> 5 ^ ino ^ ino >> 7) % HASH_SIZE)

    def _find(self, sb: int, ino: int, actor: int, opaque: int) -> Any:
        for at in list_for_each(self._memory, self._bucket(sb, ino)):
            inode = self.view(at - self._hash)
            if inode.i_ino != ino or inode.i_sb != sb or inode.i_state & I_FREEING:
                continue
            if actor and not self._parts.call(actor, inode.address, ino, opaque):
                continue
            return inode
        return None

    def hold(self, inode: Any) -> None:
        """``__iget``: one user more."""
        count = inode.i_count.counter
        inode.i_count.counter = count + 1
        if not count and not inode.i_state & I_DIRTY:
            self._parts.list_del_init(inode.address + self._list)
            list_add(self._memory, inode.address + self._list, self._in_use)

    @export(cycles=300, sleeps=True)
    def iget4(self, sb: int, ino: int, find_actor: int, opaque: int) -> int:
        """Return the inode of a number, read in by the filesystem unless it is in memory; 0 without memory."""
        inode = self._find(sb, ino, find_actor, opaque)
        if inode is not None:
            self.hold(inode)
            while inode.i_state & I_LOCK:
                self._parts.sleep_on(inode.i_wait)
            return int(inode.address)
        inode = self._alloc(sb)
        if inode is None:
            return 0
        inode.i_ino, inode.i_state = ino, I_LOCK
        list_add(self._memory, inode.address + self._hash, self._bucket(sb, ino))
        read_inode = self._super_operation(inode, "read_inode")
        if read_inode:
            self._parts.raw_call(read_inode, inode.address)
        else:
            self.make_bad_inode(inode.address)
        inode.i_state &= ~I_LOCK
        self._parts.wake(inode.i_wait)
        return int(inode.address)

    @export(cycles=300)
    def new_inode(self, sb: int) -> int:
        """Return a fresh inode of a super block, which no hash table knows; 0 without memory."""
        inode = self._alloc(sb)
        return 0 if inode is None else int(inode.address)

    @export(cycles=80)
    def igrab(self, inode: int) -> int:
        """One user more; returns the inode, or 0 when it is about to go."""
        struct = self.view(inode)
        if struct.i_state & I_FREEING:
            return 0
        self.hold(struct)
        return inode

    @export(cycles=200)
    def iunique(self, sb: int, max_reserved: int) -> int:
        """Return a number that no inode of a super block in memory has; each time another one.

        Raises
        ------
        KernelBug
            When every number is reserved.
        """
        if max_reserved >= _LAST_INO:
            raise KernelBug(f"iunique is to find a number above {max_reserved:08x}")
        last = self._parts.variables["last_ino"]
        if not max_reserved <= self._memory.u32(last) < _LAST_INO:
            self._memory.set_u32(last, max_reserved)
        while True:
            number = self._parts.count("last_ino", 1)
            if self._find(sb, number, 0, 0) is None:
                return number

    @export(cycles=80)
    def insert_inode_hash(self, inode: int) -> None:
        """Let an inode be found by its number."""
        struct = self.view(inode)
        self._parts.list_del_init(inode + self._hash)
        list_add(self._memory, inode + self._hash, self._bucket(struct.i_sb, struct.i_ino))

    @export(cycles=60)
    def remove_inode_hash(self, inode: int) -> None:
        """Let an inode no longer be found by its number."""
        self._parts.list_del_init(inode + self._hash)

    # Dirty inodes

    @export(cycles=100, name="__mark_inode_dirty")
    def __mark_inode_dirty(self, inode: int, flags: int) -> None:
        """Have an inode written, some time."""
        self.mark_dirty(self.view(inode), flags)

    def mark_dirty(self, inode: Any, flags: int = I_DIRTY) -> None:
        """``mark_inode_dirty``."""
        state = inode.i_state
        if state & flags == flags or state & (I_FREEING | I_CLEAR):
            inode.i_state = state | flags
            return
        inode.i_state = state | flags
        if not state & I_DIRTY and not list_empty(self._memory, inode.address + self._hash):
            self._parts.list_del_init(inode.address + self._list)
            sb = self._parts.view("super_block", inode.i_sb)
            list_add(self._memory, inode.address + self._list, sb.s_dirty.address)

    def write(self, inode: Any, sync: int) -> None:
        """``sync_one``: have the filesystem write an inode, if it is dirty."""
        while inode.i_state & I_LOCK:
            self._parts.sleep_on(inode.i_wait)
        if not inode.i_state & I_DIRTY:
            return
        self._parts.list_del_init(inode.address + self._list)
        home = self._in_use if inode.i_count.counter else self._unused
        list_add(self._memory, inode.address + self._list, home)
        # Filesystems write metadata; what belongs to pages is in buffers already.
        inode.i_state = inode.i_state & ~I_DIRTY | I_LOCK
        self.write_pages(inode)
        operation = self._super_operation(inode, "write_inode")
        if operation:
            self._parts.raw_call(operation, inode.address, sync)
        inode.i_state &= ~I_LOCK
        self._parts.wake(inode.i_wait)

    def write_pages(self, inode: Any) -> None:
        """``filemap_fdatasync``: have the filesystem start writing an inode's dirty pages."""
        mapping = self._pages.mapping(inode.i_mapping)
        if list_empty(self._memory, mapping.dirty_pages.address) or not mapping.a_ops:
            return
        writepage = self._parts.view("address_space_operations", mapping.a_ops).writepage
        if not writepage:
            return
        for page in self._pages.dirty_pages(mapping):
            self._parts.raw_call(writepage, page.address)

    @export(cycles=150, sleeps=True)
    def write_inode_now(self, inode: int, sync: int) -> None:
        """Write an inode, and wait if asked to."""
        self.write(self.view(inode), sync)

    def sync(self, sb: Any) -> None:
        """``sync_inodes_sb``: write every dirty inode of a super block."""
        head = sb.s_dirty.address
        # One that becomes dirty again meanwhile waits for the next time.
        for _ in range(sum(1 for _ in list_for_each(self._memory, head))):
            last = self._memory.u32(head + 4)
            if last == head:
                return
            inode = self.view(last - self._list)
            inode.i_count.counter += 1
            self.write(inode, 0)
            self.iput(inode.address)

    # The end

    @export(cycles=250)
    def iput(self, inode: int) -> None:
        """One user less; with the last one a file without a name is deleted, and others stay in memory for a while.

        Raises
        ------
        KernelBug
            When the inode has no user.
        """
        if not inode:
            return
        struct = self.view(inode)
        if struct.i_state & I_CLEAR:
            raise KernelBug(f"iput of inode {inode:08x}, which is cleared")
        put_inode = self._super_operation(struct, "put_inode")
        if put_inode:
            self._parts.raw_call(put_inode, inode)
        count = struct.i_count.counter
        if count <= 0:
            raise KernelBug(f"iput of inode {inode:08x}, which nobody uses")
        struct.i_count.counter = count - 1
        if count == 1:
            self._last(struct)

    def _last(self, inode: Any) -> None:
        if not inode.i_nlink:
            self._delete(inode)
            return
        sb = self._parts.view("super_block", inode.i_sb)
        hashed = not list_empty(self._memory, inode.address + self._hash)
        if hashed and sb.s_flags & MS_ACTIVE and sb.s_root:
            if not inode.i_state & (I_DIRTY | I_LOCK):
                self._parts.list_del_init(inode.address + self._list)
                list_add(self._memory, inode.address + self._list, self._unused)
            return
        if hashed and inode.i_state & I_DIRTY:
            inode.i_count.counter = 1
            self.write(inode, 1)
            inode.i_count.counter = 0
        if inode.i_data.nrpages:
            inode.i_count.counter = 1
            self._pages.write_buffers(inode.i_data)
            inode.i_count.counter = 0
        self.dispose(inode)

    def _delete(self, inode: Any) -> None:
        """The last name and the last user are gone."""
        self._parts.list_del_init(inode.address + self._hash)
        self._parts.list_del_init(inode.address + self._list)
        list_add(self._memory, inode.address + self._list, self._in_use)
        inode.i_state |= I_FREEING
        self._pages.truncate_inode_pages(inode.i_data.address, 0)
        operation = self._super_operation(inode, "delete_inode")
        if operation:
            self._parts.raw_call(operation, inode.address)
        if not inode.i_state & I_CLEAR:
            self.clear_inode(inode.address)
        self._free(inode)

    def dispose(self, inode: Any) -> None:
        """Free an inode that nobody uses; what it has in memory is not written."""
        self._parts.list_del_init(inode.address + self._hash)
        inode.i_state |= I_FREEING
        self._pages.truncate_inode_pages(inode.i_data.address, 0)
        self.clear_inode(inode.address)
        self._free(inode)

    @export(cycles=200)
    def clear_inode(self, inode: int) -> None:
        """An inode ends: the filesystem gives up what it has of its own with it."""
        struct = self.view(inode)
        self._buffers.forget_inode_buffers(struct)
        if struct.i_state & I_CLEAR:
            raise KernelBug(f"clear_inode of inode {inode:08x}, which is cleared")
        operation = self._super_operation(struct, "clear_inode")
        if operation:
            self._parts.raw_call(operation, inode)
        struct.i_state = I_CLEAR | I_FREEING

    def forget_place(self, inode: Any) -> None:
        """An inode can no longer be found, and is in no list of its super block's."""
        self._parts.list_del_init(inode.address + self._hash)
        self._parts.list_del_init(inode.address + self._list)
        list_add(self._memory, inode.address + self._list, self._in_use)

    def prune(self, most: int, sb: int = 0) -> int:
        """``prune_icache``: free clean inodes that nobody uses, the longest unused first; returns how many.

        Parameters
        ----------
        sb : int
            Only those of this super block.
        """
        freed = 0
        while freed < most and (inode := self._prunable(sb)) is not None:
            self.dispose(inode)
            freed += 1
        return freed

    def _prunable(self, sb: int) -> Any:
        """Return the longest unused inode that has nothing to write, or None."""
        at = self._memory.u32(self._unused + 4)
        while at != self._unused:
            inode = self.view(at - self._list)
            at = self._memory.u32(at + 4)
            if inode.i_count.counter or inode.i_state & (I_DIRTY | I_LOCK | I_FREEING):
                continue
            # A clean inode may have pages that are not.
            if (not sb or inode.i_sb == sb) and self._pages.drop_clean(inode.i_data):
                return inode
        return None

    def dispose_unused(self, sb: int) -> None:
        """Free every inode of a super block that nobody uses; what it has in memory is not written."""
        while True:
            unused = (
                inode for inode in self.of(sb) if not inode.i_count.counter and not inode.i_state & I_FREEING
            )
            inode = next(unused, None)
            if inode is None:
                return
            self.dispose(inode)

    # Bad inodes

    @export(cycles=80)
    def make_bad_inode(self, inode: int) -> None:
        """An inode could not be read, or its filesystem is gone: every operation on it ends with EIO."""
        struct = self.view(inode)
        struct.i_op = self._parts.variables["bad_inode_ops"]
        struct.i_fop = self._parts.variables["bad_file_ops"]
        if not struct.i_mode & S_IFMT:
            struct.i_mode = S_IFREG
        struct.i_atime = struct.i_mtime = struct.i_ctime = self.now()

    @export(cycles=20)
    def is_bad_inode(self, inode: int) -> int:
        """Tell whether an inode is a bad one."""
        return int(self.view(inode).i_op == self._parts.variables["bad_inode_ops"])

    @export(cycles=80)
    def init_special_inode(self, inode: int, mode: int, rdev: int) -> None:
        """Make an inode that of a device."""
        struct = self.view(inode)
        struct.i_mode = mode
        struct.i_rdev = rdev & 0xFFFF
        if mode & S_IFMT == S_IFCHR:
            struct.i_fop = self._parts.variables["def_chr_fops"]

    # Times

    def now(self) -> int:
        """``CURRENT_TIME``: seconds since 1970."""
        return self._memory.u32(self._parts.variables["xtime"])

    @export(cycles=60)
    def update_atime(self, inode: int) -> None:
        """Note that an inode was read."""
        struct = self.view(inode)
        flags = self._parts.view("super_block", struct.i_sb).s_flags
        if flags & (MS_RDONLY | MS_NOATIME):
            return
        if flags & MS_NODIRATIME and struct.i_mode & S_IFMT == S_IFDIR:
            return
        now = self.now()
        if struct.i_atime != now:
            struct.i_atime = now
            self.mark_dirty(struct, I_DIRTY_SYNC)
