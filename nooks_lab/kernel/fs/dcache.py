"""The directory cache: names and what they stand for (Linux 2.4 ``fs/dcache.c``)."""

from collections.abc import Iterator
from typing import Any

from nooks_lab.kernel.bug import KernelBug
from nooks_lab.kernel.errno import EBUSY
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.fs.inodes import S_IFDIR, S_IFMT, Inodes
from nooks_lab.kernel.fs.parts import FsParts
from nooks_lab.kernel.lists import init_list_head, list_add, list_empty, list_for_each

HASH_SIZE = 256
NAME_INLINE = 16
DCACHE_REFERENCED = 8
_MASK = 0xFFFFFFFF


def full_name_hash(name: bytes) -> int:
    """Return the hash of a name, as ``linux/dcache.h`` computes it."""
    value = 0
    for byte in name:
        value = (value + (byte << 4) + (byte >> 4)) * 11 & _MASK
    return value


class Dcache:
    """All dentries."""

    def __init__(self, parts: FsParts, inodes: Inodes) -> None:
        self._parts, self._memory, self._inodes = parts, parts.memory, inodes
        offset = parts.types.offset
        self._table, self._unused = parts.variables["dentry_hashtable"], parts.variables["dentry_unused"]
        self._hash, self._lru = offset("dentry", "d_hash"), offset("dentry", "d_lru")
        self._child, self._alias = offset("dentry", "d_child"), offset("dentry", "d_alias")
        self._iname = offset("dentry", "d_iname")

    def boot(self) -> None:
        """There is no dentry."""
        for index in range(HASH_SIZE):
            init_list_head(self._memory, self._table + 8 * index)
        init_list_head(self._memory, self._unused)

    def view(self, address: int) -> Any:
        """Return a dentry by address."""
        return self._parts.view("dentry", address)

    def operation(self, dentry: Any, name: str) -> int:
        """Return the address of an operation of a dentry's, 0 for the default."""
        operations = dentry.d_op
        return int(getattr(self._parts.view("dentry_operations", operations), name)) if operations else 0

    def name(self, dentry: Any) -> bytes:
        """Return a dentry's name."""
        return self._memory.read(dentry.d_name.name, dentry.d_name.len)

    def path(self, dentry: Any) -> str:
        """Return the path of a dentry within its filesystem, for messages."""
        names: list[bytes] = []
        while dentry.d_parent != dentry.address and len(names) < 100:
            names.insert(0, self.name(dentry))
            dentry = self.view(dentry.d_parent)
        return "/" + b"/".join(names).decode("utf-8", "replace")

    # Making

    @export(cycles=300)
    def d_alloc(self, parent: int, name: int) -> int:
        """Return a new negative dentry with one user, in no hash table; 0 without memory.

        Parameters
        ----------
        parent : int
            Its directory's dentry, which it uses; 0 for a root.
        name : int
            Address of a ``struct qstr``.
        """
        parts, qstr = self._parts, self._parts.view("qstr", name)
        text = self._memory.read(qstr.name, qstr.len)
        address = parts.slab.zalloc(parts.types.size("dentry"))
        if not address:
            return 0
        where = address + self._iname
        if len(text) >= NAME_INLINE:
            where = parts.slab.alloc(len(text) + 1)
            if not where:
                parts.slab.free(address)
                return 0
        self._memory.write(where, text + b"\0")
        dentry = self.view(address)
        dentry.d_name.name, dentry.d_name.len, dentry.d_name.hash = where, len(text), qstr.hash
        dentry.d_count.counter = 1
        for member in ("d_hash", "d_lru", "d_child", "d_subdirs", "d_alias"):
            init_list_head(self._memory, dentry.offset_of(member))
        if parent:
            directory = self.view(parent)
            directory.d_count.counter += 1
            dentry.d_parent, dentry.d_sb = parent, directory.d_sb
            list_add(self._memory, address + self._child, directory.d_subdirs.address)
        else:
            dentry.d_parent = address
        parts.count("nr_dentry", 1)
        return address

    @export(cycles=300)
    def d_alloc_root(self, root_inode: int) -> int:
        """Return the dentry of a root directory, which takes over the use of its inode; 0 without memory."""
        if not root_inode:
            return 0
        with self._parts.on_stack(32) as room:
            qstr = self._parts.view("qstr", room)
            self._memory.write(room + 16, b"/\0")
            qstr.name, qstr.len, qstr.hash = room + 16, 1, 0
            address = self.d_alloc(0, room)
        if address:
            self.view(address).d_sb = self._inodes.view(root_inode).i_sb
            self.d_instantiate(address, root_inode)
        return address

    @export(cycles=80)
    def d_instantiate(self, entry: int, inode: int) -> None:
        """A name stands for this inode, whose use the dentry takes over; 0: for none."""
        dentry = self.view(entry)
        if not list_empty(self._memory, entry + self._alias):
            raise KernelBug(f"d_instantiate of dentry {entry:08x}, which has an inode")
        if inode:
            list_add(self._memory, entry + self._alias, self._inodes.view(inode).i_dentry.address)
        dentry.d_inode = inode

    # Finding

    def _bucket(self, parent: int, value: int) -> int:
        value = (value + parent // 32) & _MASK
        return self._table + 8 * ((value ^ value >> 8 ^ value >> 16) % HASH_SIZE)

    @export(cycles=60)
    def d_rehash(self, entry: int) -> None:
        """Let a dentry be found by its name."""
        dentry = self.view(entry)
        self._parts.list_del_init(entry + self._hash)
        list_add(self._memory, entry + self._hash, self._bucket(dentry.d_parent, dentry.d_name.hash))

    @export(cycles=60)
    def d_drop(self, dentry: int) -> None:
        """Let a dentry no longer be found."""
        self._parts.list_del_init(dentry + self._hash)

    @export(cycles=150)
    def d_lookup(self, parent: int, name: int) -> int:
        """Return the dentry of a name (address of a ``struct qstr``) with one more user; 0 when there is none."""
        qstr = self._parts.view("qstr", name)
        value, text = qstr.hash, self._memory.read(qstr.name, qstr.len)
        compare = self.operation(self.view(parent), "d_compare")
        for at in list_for_each(self._memory, self._bucket(parent, value)):
            dentry = self.view(at - self._hash)
            if dentry.d_name.hash != value or dentry.d_parent != parent:
                continue
            if compare:
                if self._parts.call(compare, parent, dentry.d_name.address, name):
                    continue
            elif self.name(dentry) != text:
                continue
            dentry.d_vfs_flags |= DCACHE_REFERENCED
            self.hold(dentry)
            return int(dentry.address)
        return 0

    def hold(self, dentry: Any) -> None:
        """``dget``, for a view."""
        count = dentry.d_count.counter
        dentry.d_count.counter = count + 1
        if not count:
            self._parts.list_del_init(dentry.address + self._lru)

    @export(cycles=40)
    def dget(self, dentry: int) -> int:
        """One user more; returns the dentry."""
        if dentry:
            self.hold(self.view(dentry))
        return dentry

    def aliases(self, inode: Any) -> list[Any]:
        """Return the dentries that stand for an inode."""
        return [self.view(at - self._alias) for at in list_for_each(self._memory, inode.i_dentry.address)]

    @export(cycles=80)
    def d_find_alias(self, inode: int) -> int:
        """Return a dentry of an inode that can be found, with one more user; 0 when there is none."""
        for dentry in self.aliases(self._inodes.view(inode)):
            if not list_empty(self._memory, dentry.address + self._hash):
                self.hold(dentry)
                return int(dentry.address)
        return 0

    # Letting go

    @export(cycles=120)
    def dput(self, dentry: int) -> None:
        """One user less; with the last one the dentry stays in memory for a while, if it can be found.

        Raises
        ------
        KernelBug
            When nobody uses it.
        """
        at = dentry
        while at:
            entry = self.view(at)
            count = entry.d_count.counter
            if count <= 0:
                raise KernelBug(f"dput of dentry {at:08x}, which nobody uses")
            if count > 1:
                entry.d_count.counter = count - 1
                return
            delete = self.operation(entry, "d_delete")
            if delete and self._parts.call(delete, at):
                self.d_drop(at)
            count = entry.d_count.counter - 1
            entry.d_count.counter = count
            if count:
                return
            if not list_empty(self._memory, at + self._hash):
                list_add(self._memory, at + self._lru, self._unused)
                return
            at = self._kill(entry)

    def _kill(self, dentry: Any) -> int:
        """Free a dentry that nobody uses; returns its directory's, which has one user less to lose, or 0."""
        self._parts.list_del_init(dentry.address + self._child)
        self._parts.list_del_init(dentry.address + self._lru)
        self._iput(dentry)
        parent = dentry.d_parent if dentry.d_parent != dentry.address else 0
        release = self.operation(dentry, "d_release")
        if release:
            self._parts.raw_call(release, dentry.address)
        if dentry.d_name.name != dentry.address + self._iname:
            self._parts.slab.free(dentry.d_name.name)
        self._parts.slab.free(dentry.address)
        self._parts.count("nr_dentry", -1)
        return int(parent)

    def _iput(self, dentry: Any) -> None:
        """``dentry_iput``: a dentry no longer stands for its inode."""
        inode = dentry.d_inode
        if not inode:
            return
        dentry.d_inode = 0
        self._parts.list_del_init(dentry.address + self._alias)
        operation = self.operation(dentry, "d_iput")
        if operation:
            self._parts.raw_call(operation, dentry.address, inode)
        else:
            self._inodes.iput(inode)

    @export(cycles=150)
    def d_delete(self, dentry: int) -> None:
        """The name is gone from its directory: a dentry that only the caller uses becomes negative."""
        entry = self.view(dentry)
        if entry.d_count.counter == 1:
            self._iput(entry)
        else:
            self.d_drop(dentry)

    @export(cycles=200)
    def d_move(self, entry: int, target: int) -> None:
        """A name has been moved to another's place in its directory; the other is no longer found."""
        dentry, other = self.view(entry), self.view(target)
        self.d_drop(entry)
        self.d_drop(target)
        self._swap_names(dentry, other)
        for at in (entry, target):
            self._parts.list_del_init(at + self._child)
        dentry.d_parent, other.d_parent = other.d_parent, dentry.d_parent
        for each in (dentry, other):
            parent = self.view(each.d_parent)
            list_add(self._memory, each.address + self._child, parent.d_subdirs.address)
        self.d_rehash(entry)

    def _swap_names(self, one: Any, other: Any) -> None:
        texts = [self.name(one), self.name(other)]
        hashes = [one.d_name.hash, other.d_name.hash]
        places = [each.d_name.name - each.address == self._iname for each in (one, other)]
        pointers = [one.d_name.name, other.d_name.name]
        for each, text, value, inside, pointer in (
            (one, texts[1], hashes[1], places[1], pointers[1]),
            (other, texts[0], hashes[0], places[0], pointers[0]),
        ):
            where = each.address + self._iname if inside else pointer
            if inside:
                self._memory.write(where, text + b"\0")
            each.d_name.name, each.d_name.len, each.d_name.hash = where, len(text), value

    @export(cycles=150)
    def d_invalidate(self, dentry: int) -> int:
        """A name may stand for something else now: forget it, unless it is a directory in use (``-EBUSY``)."""
        entry = self.view(dentry)
        if list_empty(self._memory, dentry + self._hash):
            return 0
        self.shrink_dcache_parent(dentry)
        inode = entry.d_inode
        if entry.d_count.counter > 1 and inode and self._inodes.view(inode).i_mode & S_IFMT == S_IFDIR:
            return -EBUSY
        self.d_drop(dentry)
        return 0

    @export(cycles=150)
    def d_prune_aliases(self, inode: int) -> None:
        """Free the dentries of an inode that nobody uses."""
        while True:
            aliases = self.aliases(self._inodes.view(inode))
            unused = next((dentry for dentry in aliases if not dentry.d_count.counter), None)
            if unused is None:
                return
            self.prune_one(unused)

    # Shrinking

    def prune_one(self, dentry: Any) -> None:
        """Free a dentry that nobody uses."""
        self.d_drop(dentry.address)
        parent = self._kill(dentry)
        if parent:
            self.dput(parent)

    def unused(self) -> Iterator[Any]:
        """Yield the dentries that nobody uses, the latest first."""
        for at in list_for_each(self._memory, self._unused):
            yield self.view(at - self._lru)

    def prune(self, most: int) -> int:
        """``prune_dcache``: free dentries, the longest unused first; returns how many.

        To free one may take sleep, after which the list is another; so each is looked up anew.
        """
        freed = 0
        for _ in range(2 * self._memory.u32(self._parts.variables["nr_dentry"])):
            last = self._memory.u32(self._unused + 4)
            if freed >= most or last == self._unused:
                break
            dentry = self.view(last - self._lru)
            if dentry.d_vfs_flags & DCACHE_REFERENCED:
                dentry.d_vfs_flags &= ~DCACHE_REFERENCED
                self._parts.list_del_init(last)
                list_add(self._memory, last, self._unused)
                continue
            self.prune_one(dentry)
            freed += 1
        return freed

    def children(self, parent: Any) -> list[Any]:
        """Return the dentries below one."""
        return [self.view(at - self._child) for at in list_for_each(self._memory, parent.d_subdirs.address)]

    @export(cycles=300)
    def shrink_dcache_parent(self, parent: int) -> None:
        """Free what nobody uses below a directory."""
        while (dentry := self._unused_below(self.view(parent))) is not None:
            self.prune_one(dentry)

    def _unused_below(self, parent: Any) -> Any:
        """Return a dentry below one that nobody uses; None when there is none."""
        waiting = [parent]
        while waiting:
            for child in self.children(waiting.pop()):
                if not child.d_count.counter:
                    return child
                if not list_empty(self._memory, child.d_subdirs.address):
                    waiting.append(child)
        return None

    def genocide(self, root: Any) -> None:
        """``d_genocide``: end the use of every name below a root that exists in memory only."""
        for child in self.children(root):
            if child.d_inode and not list_empty(self._memory, child.address + self._hash):
                self.genocide(child)
                self.dput(child.address)

    @export(cycles=300)
    def shrink_dcache_sb(self, sb: int) -> None:
        """Free what nobody uses of a filesystem."""
        again = True
        while again:
            again = False
            for dentry in list(self.unused()):
                if dentry.d_sb == sb and not dentry.d_count.counter:
                    self.prune_one(dentry)
                    again = True
                    break
