"""The two versions of an inode, a dentry, an open file and a super block (paper, section 4.4).

These objects are complex: they point to each other, the kernel changes them while an extension sleeps in a call, and
an extension changes fields without a call.  So each has a routine of its own that synchronises the versions.

Beside the kernel's version and the extension's there is a third, the twin, which holds what the two had when they
were last synchronised.  A field of the extension's version that differs from its twin was changed by the extension
and goes to the kernel's; all others come from there.  Pointers are followed: where the kernel's version points to
another object, the extension's points to the extension's version of that.

What belongs to a filesystem of the extension's own has versions until the kernel forgets it.  The driver of a
character device sees inodes and dentries of another filesystem, in which the device's node lies.  Those it only
reads, while the file is open; nothing of theirs is the extension's, and nothing changes for them when it fails.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from nooks_lab.nooks.isolation.domain import BadParameter, Domain
from nooks_lab.nooks.tracking.tracker import NoRecord, TrackedObject
from nooks_lab.nooks.wrappers.copies import BYTES_A_CYCLE, COPY_START_CYCLES

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks

WRITABLE: dict[str, tuple[str, ...]] = {
    "inode": (
        "i_ino",
        "i_mode",
        "i_nlink",
        "i_uid",
        "i_gid",
        "i_rdev",
        "i_size",
        "i_atime",
        "i_mtime",
        "i_ctime",
        "i_blksize",
        "i_blocks",
        "i_version",
        "i_flags",
        "i_generation",
    ),
    "dentry": ("d_time", "d_flags"),
    "file": ("f_pos", "f_version", "f_error", "f_flags"),
    "super_block": (
        "s_blocksize",
        "s_blocksize_bits",
        "s_dirt",
        "s_maxbytes",
        "s_flags",
        "s_magic",
    ),
}
"""Fields that flow both ways, by struct."""

READABLE: dict[str, tuple[str, ...]] = {
    "inode": ("i_count", "i_dev", "i_state", "i_writecount"),
    "dentry": ("d_count", "d_name", "d_mounted", "d_vfs_flags", "d_iname"),
    "file": ("f_count", "f_mode", "f_uid", "f_gid"),
    "super_block": ("s_dev", "s_count", "s_active"),
}
"""Fields that flow to the extension only.  The rest are the extension's own, or pointers."""

OPERATIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "inode": (("i_op", "inode_operations"), ("i_fop", "file_operations")),
    "dentry": (("d_op", "dentry_operations"),),
    "file": (("f_op", "file_operations"),),
    "super_block": (("s_op", "super_operations"),),
}
"""Pointers to structs of function pointers, and which structs."""

ALWAYS: dict[str, tuple[str, ...]] = {
    "super_operations": ("clear_inode", "delete_inode", "put_super"),
    "dentry_operations": ("d_release",),
    "file_operations": ("release",),
}
"""Function pointers that the kernel's version has in any case: by them the manager learns that an object ends."""

VERSIONED = tuple(WRITABLE)


class FsVersions:
    """Makes, finds, synchronises and frees the versions."""

    def __init__(self, nooks: "Nooks") -> None:
        self._nooks, self._kernel = nooks, nooks.kernel
        self._memory, self._types = nooks.kernel.memory, nooks.kernel.types
        self._block = nooks.kernel.machine.clock.block
        self._both = {kind: self._spans(kind, WRITABLE[kind]) for kind in VERSIONED}
        self._inward = {kind: self._spans(kind, (*WRITABLE[kind], *READABLE[kind])) for kind in VERSIONED}
        self._sizes = {kind: self._types.size(kind) for kind in VERSIONED}
        self._data = self._types.offset("inode", "i_data")
        self._iname = self._types.offset("dentry", "d_iname")
        self._tables = {
            kind: [(self._types.offset(kind, member), table) for member, table in OPERATIONS[kind]]
            for kind in VERSIONED
        }
        aops = self._data + self._types.offset("address_space", "a_ops")
        self._tables["inode"].append((aops, "address_space_operations"))
        self._members = {
            kind: self._function_pointers(kind)
            for kind in (
                "inode_operations",
                "file_operations",
                "super_operations",
                "dentry_operations",
                "address_space_operations",
            )
        }
        self._direct: dict[int, int] = {}
        self._defaults: dict[int, int] = {}
        self.deleting: set[int] = set()

    def _spans(self, kind: str, members: Iterable[str]) -> list[slice]:
        fields = self._types.layouts.structs[kind].fields
        return [slice(fields[name].offset, fields[name].offset + fields[name].type.size) for name in members]

    def _function_pointers(self, struct: str) -> dict[str, int]:
        fields = self._types.layouts.structs[struct].fields.values()
        return {
            field.name: field.offset
            for field in fields
            if field.type.target is not None and field.type.target.function is not None
        }

    def view(self, kind: str, address: int) -> Any:
        """Return a view of a struct."""
        return self._types.view(kind, address)

    # Tables of function pointers

    def table(self, domain: Domain, kind: str, own: int) -> int:
        """Return the kernel's version of an extension's struct of function pointers, made at its first use.

        Every pointer in it is a wrapper's; where the extension points to a kernel function, its version points to
        the kernel function itself.
        """
        if not own:
            return 0
        found = self._nooks.tracker.find(domain, kind, own)
        if found is not None:
            return found.kernel
        size = self._types.size(kind)
        data = domain.read(own, size, kind)
        # All checks come before there is anything that a refusal would leave behind.
        targets = {
            offset: self._target(domain, f"{kind}.{member}", pointer)
            for member, offset in self._members[kind].items()
            if (pointer := int.from_bytes(data[offset : offset + 4], "little"))
            or member in ALWAYS.get(kind, ())
        }
        owner = self._owner(domain, own) if kind == "file_operations" else 0
        kernel = self._kernel.slab.zalloc(size)
        if not kernel:
            raise NoRecord(domain, kind)
        for offset, target in targets.items():
            self._memory.set_u32(kernel + offset, target)
        if kind == "file_operations":
            self.view(kind, kernel).owner = owner
        self._nooks.tracker.add(domain, kind, kernel, own)
        return kernel

    def _owner(self, domain: Domain, operations: int) -> int:
        """Return the module whose uses the kernel counts with every open file; it writes the count there."""
        owner = int(self.view("file_operations", operations).owner)
        if owner and owner not in [module.struct.address for module in self._nooks.loaded(domain)]:
            raise BadParameter(f"file_operations.owner: {owner:08x} is no module of domain {domain.name}")
        return owner

    def _target(self, domain: Domain, kind: str, pointer: int) -> int:
        if not self._direct:
            gates = self._nooks.interposition.kernel_gates
            self._direct = {gate: self._kernel.exported[name] for name, gate in gates.items()}
        if pointer in self._direct and not kind.endswith(".release"):
            return self._direct[pointer]
        if pointer and not any(module.holds(pointer) for module in self._nooks.loaded(domain)):
            raise BadParameter(f"{kind}: {pointer:08x} is no function of domain {domain.name}")
        return self._nooks.entry_point(kind)

    def pointers(self, kind: str, table: int) -> dict[str, int]:
        """Return the function pointers in a struct, by member."""
        return {member: self._memory.u32(table + offset) for member, offset in self._members[kind].items()}

    def function(self, kind: str, table: int, member: str) -> tuple[Domain, int] | None:
        """Return whose function a wrapper in the kernel's version of a table stands for, and where it is.

        None when its extension has failed; 0 when the extension has no such function.
        """
        held = self._nooks.tracker.by_kernel(kind, table)
        if held is None or held[0].failed:
            return None
        return held[0], self._memory.u32(held[1].extension + self._members[kind][member])

    # Versions

    def find(self, domain: Domain, kind: str, kernel: int) -> TrackedObject | None:
        """Return the tracked object of a kernel's version, or None when the extension does not have it."""
        held = self._nooks.tracker.by_kernel(kind, kernel)
        return held[1] if held is not None and held[0] is domain else None

    def hand_in(self, domain: Domain, kind: str, kernel: int) -> int:
        """Return the extension's version of an object, up to date; made when the extension sees it first."""
        if not kernel:
            return 0
        tracked = self.find(domain, kind, kernel) or self._make(domain, kind, kernel)
        self.synchronise(domain, tracked)
        return tracked.extension

    def _make(self, domain: Domain, kind: str, kernel: int) -> TrackedObject:
        size = self._sizes[kind]
        extension = domain.heap.zalloc(size)
        twin = self._kernel.slab.zalloc(size) if extension else 0
        if not twin:
            domain.heap.kfree(extension)
            raise NoRecord(domain, kind)
        borrowed = self._belongs_elsewhere(domain, kind, kernel)
        tracked = self._nooks.tracker.add(domain, kind, kernel, extension, twin, int(borrowed))
        own, theirs = self.view(kind, extension), self.view(kind, kernel)
        if kind == "inode":
            for head in (own.i_hash, own.i_list, own.i_dentry, own.i_dirty_buffers):
                self._empty(head.address)
            self._empty(own.i_wait.task_list.address)
            for semaphore in (own.i_sem, own.i_zombie):
                self._kernel.semaphores.init(semaphore.address)
            self._kernel.fs.pages.init_mapping(own.i_data, extension)
            own.i_mapping = own.i_data.address
            own.i_sb = 0 if borrowed else self._pointer(domain, "super_block", theirs.i_sb)
        elif kind == "dentry":
            for head in (own.d_hash, own.d_lru, own.d_child, own.d_subdirs, own.d_alias):
                self._empty(head.address)
            if not borrowed and not theirs.d_op:
                # So that the manager is told when the dentry ends.
                theirs.d_op = self._default_table(domain)
            own.d_sb = 0 if borrowed else self._pointer(domain, "super_block", theirs.d_sb)
        elif kind == "super_block":
            for head in (own.s_list, own.s_dirty, own.s_files, own.s_instances):
                self._empty(head.address)
            self._kernel.semaphores.init(own.s_lock.address)
        elif kind == "file":
            self._empty(own.f_list.address)
            held = self._nooks.tracker.by_kernel("file_operations", theirs.f_op)
            own.f_op = held[1].extension if held is not None and held[0] is domain else 0
            own.f_dentry = self._pointer(domain, "dentry", theirs.f_dentry)
        return tracked

    def _belongs_elsewhere(self, domain: Domain, kind: str, kernel: int) -> bool:
        """Tell whether an inode or dentry lies in a filesystem that is not the domain's."""
        if kind not in ("inode", "dentry"):
            return False
        struct = self.view(kind, kernel)
        sb = struct.i_sb if kind == "inode" else struct.d_sb
        return self.find(domain, "super_block", sb) is None

    def _default_table(self, domain: Domain) -> int:
        """Return a table of dentry operations of this domain that has ``d_release`` only."""
        kind = "dentry_operations"
        known = self._defaults.get(domain.number)
        if known is not None:
            return known
        size = self._types.size(kind)
        kernel = self._kernel.slab.zalloc(size)
        own = domain.heap.zalloc(size) if kernel else 0
        if not own:
            raise NoRecord(domain, kind)
        self._memory.set_u32(
            kernel + self._members[kind]["d_release"], self._nooks.entry_point(f"{kind}.d_release")
        )
        self._nooks.tracker.add(domain, kind, kernel, own, 1)
        self._defaults[domain.number] = kernel
        return kernel

    def _empty(self, head: int) -> None:
        self._memory.set_u32(head, head)
        self._memory.set_u32(head + 4, head)

    def _pointer(self, domain: Domain, kind: str, kernel: int) -> int:
        """Return the extension's version that another of its versions shall point to."""
        if not kernel:
            return 0
        tracked = self.find(domain, kind, kernel)
        return tracked.extension if tracked is not None else self.hand_in(domain, kind, kernel)

    def _charge(self, size: int) -> None:
        self._block.now += COPY_START_CYCLES + size // BYTES_A_CYCLE

    def synchronise(self, domain: Domain, tracked: TrackedObject) -> None:
        """Bring the extension's changes to the kernel's version, and everything else to the extension's."""
        self.take(domain, tracked)
        self.give(domain, tracked)

    def take(self, domain: Domain, tracked: TrackedObject) -> None:
        """Bring what the extension has changed of its version to the kernel's."""
        if tracked.detail[1]:
            return
        kind, size = tracked.type, self._sizes[tracked.type]
        self._charge(size)
        own = domain.read(tracked.extension, size, kind)
        twin = self._memory.read(tracked.detail[0], size)
        for span in self._both[kind]:
            if own[span] != twin[span]:
                self._memory.write(tracked.kernel + span.start, own[span])
                self._memory.write(tracked.detail[0] + span.start, own[span])
        for offset, table in self._tables[kind]:
            # The twin's word tells which of the extension's tables the kernel's version stands for.
            pointer = own[offset : offset + 4]
            if pointer != twin[offset : offset + 4]:
                self._take_table(domain, tracked, offset, table, int.from_bytes(pointer, "little"))
        if kind == "super_block":
            self._take_root(domain, tracked)

    def _take_table(
        self, domain: Domain, tracked: TrackedObject, offset: int, table: str, pointer: int
    ) -> None:
        """The extension has set a table of function pointers: the kernel's version gets its version of that."""
        if pointer:
            self._memory.set_u32(tracked.kernel + offset, self.table(domain, table, pointer))
        self._memory.set_u32(tracked.detail[0] + offset, pointer)

    def _take_root(self, domain: Domain, tracked: TrackedObject) -> None:
        offset = self._types.offset("super_block", "s_root")
        root = self._memory.u32(tracked.extension + offset)
        if root == self._memory.u32(tracked.detail[0] + offset):
            return
        if root:
            dentry = self._nooks.tracker.check(domain, "dentry", root, "s_root")
            self._nooks.tracker.remove(self._nooks.tracker.check(domain, "dentry reference", root, "s_root"))
            self.view("super_block", tracked.kernel).s_root = dentry.kernel
        self._memory.set_u32(tracked.detail[0] + offset, root)

    def give(self, domain: Domain, tracked: TrackedObject) -> None:
        """Bring the kernel's version to the extension's, as far as it flows there."""
        kind, size = tracked.type, self._sizes[tracked.type]
        self._charge(size)
        data = self._memory.read(tracked.kernel, size)
        image = bytearray(self._memory.read(tracked.extension, size))
        before = bytes(image)
        for span in self._inward[kind]:
            image[span] = data[span]
        if image != before:
            self._memory.write(tracked.extension, bytes(image))
            for span in self._both[kind]:
                if image[span] != before[span]:
                    self._memory.write(tracked.detail[0] + span.start, bytes(image[span]))
        if kind == "dentry":
            self._give_dentry(domain, tracked)
        elif kind == "file":
            dentry = self._nooks.tracker.by_kernel("dentry", self.view("file", tracked.kernel).f_dentry)
            if dentry is not None and dentry[0] is domain:
                self._give_dentry(domain, dentry[1])

    def _give_dentry(self, domain: Domain, tracked: TrackedObject) -> None:
        own, theirs = self.view("dentry", tracked.extension), self.view("dentry", tracked.kernel)
        own.d_inode = self.hand_in(domain, "inode", theirs.d_inode)
        parent = theirs.d_parent
        # From a borrowed dentry nothing leads up into the other filesystem.
        own.d_parent = (
            tracked.extension
            if tracked.detail[1] or parent == tracked.kernel
            else self._pointer(domain, "dentry", parent)
        )
        if theirs.d_name.name == theirs.address + self._iname:
            own.d_name.name = own.address + self._iname
        for mine, real in ((own.d_hash, theirs.d_hash), (own.d_subdirs, theirs.d_subdirs)):
            # Only whether a list is empty is to be seen.
            mine.next = mine.prev = mine.address if real.next == real.address else real.address

    def take_inode(self, domain: Domain, dentry: TrackedObject) -> None:
        """Bring the extension's changes of a dentry and of its inode to the kernel."""
        self.take(domain, dentry)
        inode = self.find(domain, "inode", self.view("dentry", dentry.kernel).d_inode)
        if inode is not None:
            self.take(domain, inode)

    def mapping(self, domain: Domain, address: int, function: str) -> TrackedObject:
        """Return the inode in whose version an address space lies.

        Raises
        ------
        BadParameter
            When it lies in none.
        """
        return self._nooks.tracker.check(domain, "inode", address - self._data, function)

    def kernel_mapping(self, inode: TrackedObject) -> int:
        """Return the address of the kernel's address space of an inode."""
        return inode.kernel + self._data

    def extension_mapping(self, domain: Domain, mapping: int) -> int:
        """Return the extension's version of a kernel's address space."""
        return self.hand_in(domain, "inode", self.view("address_space", mapping).host) + self._data

    # The end

    def end(self, domain: Domain, kind: str, kernel: int) -> None:
        """An object ends: the extension's version goes with it."""
        tracked = self.find(domain, kind, kernel)
        if tracked is not None:
            self._nooks.tracker.remove(tracked)
            self.free(domain, tracked)
            if kind == "file":
                self._give_back(domain, self.view("file", kernel).f_dentry)

    def _give_back(self, domain: Domain, dentry: int) -> None:
        """A file is closed: when it was the last on its name, what the extension has borrowed for it ends."""
        tracker, borrowed = self._nooks.tracker, self.find(domain, "dentry", dentry)
        if borrowed is None or not borrowed.detail[1]:
            return
        files = tracker.objects(domain, ["file"])
        if any(self.view("file", each.kernel).f_dentry == dentry for each in files):
            return
        for kind, kernel in (("inode", self.view("dentry", dentry).d_inode), ("dentry", dentry)):
            tracked = self.find(domain, kind, kernel)
            # Unless the extension has counted a use of its own.
            if tracked is not None and tracker.find(domain, f"{kind} reference", tracked.extension) is None:
                self.end(domain, kind, kernel)

    def free(self, domain: Domain, tracked: TrackedObject) -> None:
        """Free the extension's version and the twin."""
        self._kernel.slab.free(tracked.detail[0])
        domain.heap.free(tracked.extension)

    def detach(self, domain: Domain) -> None:
        """A domain ends: nothing in the kernel points to the wrappers of its functions any more."""
        kernel, bad = self._kernel, self._kernel.variable("bad_file_ops")
        self._defaults.pop(domain.number, None)
        tables = set()
        for tracked in self._nooks.tracker.objects(
            domain, ["super_block", "inode", "dentry", "file_operations"]
        ):
            if tracked.type in ("inode", "dentry") and tracked.detail[1]:
                continue
            if tracked.type == "super_block":
                self.view("super_block", tracked.kernel).s_op = 0
            elif tracked.type == "inode":
                kernel.fs.inodes.make_bad_inode(tracked.kernel)
                self.view("inode", tracked.kernel).i_data.a_ops = 0
            elif tracked.type == "dentry":
                self.view("dentry", tracked.kernel).d_op = 0
            else:
                tables.add(tracked.kernel)
        for file in kernel.fs.table.everything() if tables else ():
            if file.f_op in tables:
                file.f_op = bad
