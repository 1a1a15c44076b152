"""Filesystem types, super blocks and mounts (Linux 2.4 ``fs/super.c``, ``fs/namespace.c``)."""

from typing import Any

from nooks_lab.kernel.block.buffer_cache import BufferCache
from nooks_lab.kernel.block.devices import BlockDevices
from nooks_lab.kernel.errno import EBUSY, EINVAL, EIO, ENODEV, ENOMEM
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.fs.dcache import Dcache
from nooks_lab.kernel.fs.inodes import I_DIRTY, I_FREEING, I_LOCK, MS_ACTIVE, MS_RDONLY, Inodes
from nooks_lab.kernel.fs.page_cache import PageCache
from nooks_lab.kernel.fs.parts import FsParts
from nooks_lab.kernel.lists import init_list_head, list_add, list_add_tail, list_for_each
from nooks_lab.kernel.sched import TASK_UNINTERRUPTIBLE
from nooks_lab.machine.memory import PAGE_SIZE

FS_REQUIRES_DEV, FS_LITTER = 1, 32
MAX_NON_LFS = (1 << 31) - 1
MS_DEAD = 1 << 29
"""In ``s_flags``: the filesystem's code is gone; what is still open of it ends with EIO."""


_UNUSED = 1
"""``mnt_count`` and ``s_count`` of what nobody uses."""


class Supers:
    """Everything that is mounted."""

    def __init__(
        self,
        parts: FsParts,
        buffers: BufferCache,
        devices: BlockDevices,
        pages: PageCache,
        inodes: Inodes,
        dcache: Dcache,
    ) -> None:
        self._pages = pages
        inodes.freed = lambda sb: self.reap(self.view(sb))
        self._parts, self._memory, self._buffers = parts, parts.memory, buffers
        self._devices, self._inodes, self._dcache = devices, inodes, dcache
        self._supers, self._mounts = parts.variables["super_blocks"], parts.variables["vfsmntlist"]
        self._s_list = parts.types.offset("super_block", "s_list")
        self._mnt_list = parts.types.offset("vfsmount", "mnt_list")

    def boot(self) -> None:
        """Nothing is mounted."""
        init_list_head(self._memory, self._supers)
        init_list_head(self._memory, self._mounts)

    def view(self, address: int) -> Any:
        """Return a super block by address."""
        return self._parts.view("super_block", address)

    def mount_at(self, address: int) -> Any:
        """Return a mount by address."""
        return self._parts.view("vfsmount", address)

    # Types

    def filesystems(self) -> list[Any]:
        """Return the registered filesystem types."""
        found = []
        at = self._memory.u32(self._parts.variables["file_systems"])
        while at:
            found.append(self._parts.view("file_system_type", at))
            at = found[-1].next
        return found

    def type_name(self, kind: Any) -> str:
        """Return a filesystem type's name."""
        return self._memory.string(kind.name, 64).decode("latin-1")

    @export(cycles=200)
    def register_filesystem(self, fs: int) -> int:
        """Make a filesystem type known, by its name."""
        new = self._parts.view("file_system_type", fs)
        name = self._memory.string(new.name, 64)
        link = self._parts.variables["file_systems"]
        for kind in self.filesystems():
            if kind.address == fs or self._memory.string(kind.name, 64) == name:
                return -EBUSY
            link = kind.offset_of("next")
        new.next = 0
        init_list_head(self._memory, new.fs_supers.address)
        self._memory.set_u32(link, fs)
        return 0

    @export(cycles=200)
    def unregister_filesystem(self, fs: int) -> int:
        """Forget a filesystem type."""
        link = self._parts.variables["file_systems"]
        for kind in self.filesystems():
            if kind.address == fs:
                self._memory.set_u32(link, kind.next)
                kind.next = 0
                return 0
            link = kind.offset_of("next")
        return -EINVAL

    # Super blocks

    def supers(self) -> list[Any]:
        """Return every super block."""
        return [self.view(at - self._s_list) for at in list_for_each(self._memory, self._supers)]

    def _new(self, kind: Any, dev: int, flags: int) -> Any:
        address = self._parts.slab.zalloc(self._parts.types.size("super_block"))
        if not address:
            return None
        sb = self.view(address)
        for head in (sb.s_dirty, sb.s_files, sb.s_instances):
            init_list_head(self._memory, head.address)
        self._parts.semaphores.init(sb.s_lock.address)
        sb.s_dev, sb.s_flags, sb.s_type, sb.s_count = dev, flags, kind.address, 1
        sb.s_active.counter, sb.s_maxbytes = 1, MAX_NON_LFS
        sb.s_blocksize, sb.s_blocksize_bits = PAGE_SIZE, 12
        list_add_tail(self._memory, address + self._s_list, self._supers)
        list_add(self._memory, sb.s_instances.address, kind.fs_supers.address)
        return sb

    def hold_super(self, sb: Any) -> None:
        """Keep a super block's struct in memory."""
        sb.s_count += 1

    def release_super(self, sb: Any) -> None:
        """Undo :meth:`hold_super`; one that was unmounted or abandoned meanwhile is freed with its last user."""
        sb.s_count -= 1
        if not sb.s_count:
            self._parts.slab.free(sb.address)
        else:
            self.reap(sb)

    def _free(self, sb: Any) -> None:
        """A super block is no longer one of the kernel's."""
        self._parts.list_del_init(sb.s_instances.address)
        self._parts.list_del_init(sb.address + self._s_list)
        sb.s_flags &= ~MS_DEAD
        self.release_super(sb)

    def _anonymous(self) -> int:
        """Return a device number for a filesystem without a device."""
        at = self._parts.variables["unnamed_dev_in_use"]
        used = self._memory.u32(at)
        minor = next(bit for bit in range(1, 32) if not used >> bit & 1)
        self._memory.set_u32(at, used | 1 << minor)
        return minor

    def read(self, kind: Any, device: str, flags: int, data: int) -> Any:
        """``get_sb_bdev`` or ``get_sb_nodev``: return a super block that the filesystem has filled in, or an error.

        Parameters
        ----------
        data : int
            Address of the mount options, or 0.
        """
        bdev = None
        if kind.fs_flags & FS_REQUIRES_DEV:
            dev = self._devices.number(device)
            if not dev:
                return -ENODEV
            if self._mounted(dev):
                return -EBUSY
            bdev = self._devices.get(dev)
            if isinstance(bdev, int):
                return bdev
            # While the disk was asked for its size, the filesystem's code may have gone, or another been faster.
            if not self._registered(kind) or self._mounted(dev):
                self._give_back(dev, bdev)
                return -EBUSY if self._registered(kind) else -ENODEV
        else:
            dev = self._anonymous()
        sb = self._new(kind, dev, flags)
        if sb is None:
            self._give_back(dev, bdev)
            return -ENOMEM
        sb.s_bdev = 0 if bdev is None else bdev.address
        owner = kind.owner
        self._count_module(owner, 1)
        sb.s_count += 1
        done = self._parts.raw_call(kind.read_super, sb.address, data, 0)
        sb.s_count -= 1
        if sb.s_flags & MS_DEAD:
            self.reap(sb)
            return -EIO
        if not done or not sb.s_root:
            if self._registered(kind):
                self._count_module(owner, -1)
            self._inodes.prune(1 << 16, sb.address)
            self._free(sb)
            self._give_back(dev, bdev)
            return -EINVAL
        sb.s_flags |= MS_ACTIVE
        return sb

    def _mounted(self, dev: int) -> bool:
        return any(sb.s_dev == dev for sb in self.supers())

    def _registered(self, kind: Any) -> bool:
        return kind.address in [each.address for each in self.filesystems()]

    def _give_back(self, dev: int, bdev: Any) -> None:
        if bdev is not None:
            self._devices.put(bdev)
        elif dev >> 8 == 0:
            at = self._parts.variables["unnamed_dev_in_use"]
            self._memory.set_u32(at, self._memory.u32(at) & ~(1 << dev))

    def _count_module(self, owner: int, step: int) -> None:
        if owner:
            module = self._parts.view("module", owner)
            module.usecount += step

    def kill(self, sb: Any) -> None:
        """``kill_super``: write what is dirty, let the filesystem go, and free everything of it."""
        parts = self._parts
        # The filesystem may fail in what follows, and be abandoned by another task.
        self.hold_super(sb)
        while sb.s_count > _UNUSED + 1:
            # Somebody writes back what is dirty.
            parts.sched.set_task_state(parts.sched.current.address, TASK_UNINTERRUPTIBLE)
            parts.sched.schedule_timeout(1)
        # First: an inode that is dropped once the root has gone takes its unwritten pages along.
        if not sb.s_flags & MS_DEAD:
            self.sync_one(sb)
        root, sb.s_root = sb.s_root, 0
        if root:
            if not sb.s_flags & MS_DEAD and parts.view("file_system_type", sb.s_type).fs_flags & FS_LITTER:
                self._dcache.genocide(self._dcache.view(root))
            self._dcache.shrink_dcache_parent(root)
            self._dcache.dput(root)
        self._dcache.shrink_dcache_sb(sb.address)
        sb.s_flags &= ~MS_ACTIVE
        if not sb.s_flags & MS_DEAD:
            self.sync_one(sb)
        self._inodes.dispose_unused(sb.address)
        operations = parts.view("super_operations", sb.s_op) if sb.s_op else None
        if operations and operations.put_super:
            parts.raw_call(operations.put_super, sb.address)
        sb.s_count -= 1
        if sb.s_flags & MS_DEAD:
            self.reap(sb)
            return
        self._count_module(parts.view("file_system_type", sb.s_type).owner, -1)
        left = self._inodes.of(sb.address)
        if left:
            parts.log(f"VFS: Busy inodes after unmount: {len(left)}\n")
        dev, bdev = sb.s_dev, sb.s_bdev
        self._free(sb)
        self._give_back(dev, parts.view("block_device", bdev) if bdev else None)

    # Writing back

    @export(cycles=60, sleeps=True)
    def lock_super(self, sb: int) -> None:
        """Keep others from a super block."""
        self._parts.semaphores.down(self.view(sb).s_lock.address)

    @export(cycles=60)
    def unlock_super(self, sb: int) -> None:
        """Let others at a super block."""
        self._parts.semaphores.up(self.view(sb).s_lock.address)

    def write_super(self, sb: Any) -> None:
        """Have the filesystem write its super block, if it is dirty."""
        if not sb.s_dirt or not sb.s_op or not sb.s_root:
            return
        operation = self._parts.view("super_operations", sb.s_op).write_super
        self.lock_super(sb.address)
        try:
            if sb.s_dirt and operation and not sb.s_flags & MS_RDONLY:
                self._parts.raw_call(operation, sb.address)
        finally:
            self.unlock_super(sb.address)

    def sync_one(self, sb: Any) -> int:
        """``fsync_super``: inodes, super block, and the device's buffers; 0 or a negative error number."""
        self._inodes.sync(sb)
        self.write_super(sb)
        return self._buffers.sync_buffers(sb.s_dev) if sb.s_bdev else 0

    def _held(self) -> list[Any]:
        """Return every super block, each kept in memory for the caller."""
        found = self.supers()
        for sb in found:
            self.hold_super(sb)
        return found

    def sync_metadata(self) -> None:
        """Have every filesystem put its dirty inodes and super block into buffers."""
        for sb in self._held():
            if not sb.s_flags & MS_DEAD and sb.s_root:
                self._inodes.sync(sb)
                self.write_super(sb)
            self.release_super(sb)

    @export(cycles=300, sleeps=True)
    def fsync_dev(self, dev: int) -> int:
        """Write everything that belongs to a device, and wait."""
        for sb in self._held():
            if sb.s_dev == dev and not sb.s_flags & MS_DEAD:
                self._inodes.sync(sb)
                self.write_super(sb)
            self.release_super(sb)
        return self._buffers.sync_buffers(dev)

    @export(cycles=300, sleeps=True)
    def file_fsync(self, file: int, dentry: int, datasync: int) -> int:
        """Write a file's inode and everything else of its filesystem, and wait."""
        inode = self._inodes.view(self._dcache.view(dentry).d_inode)
        self._inodes.write_inode_now(inode.address, 0)
        sb = self.view(inode.i_sb)
        self.write_super(sb)
        return self._buffers.sync_buffers(sb.s_dev)

    # Mounts

    def mounts(self) -> list[Any]:
        """Return every mount, the oldest first."""
        return [self.mount_at(at - self._mnt_list) for at in list_for_each(self._memory, self._mounts)]

    def root(self) -> Any:
        """Return the mount of the root filesystem."""
        return self.mounts()[0]

    def attach(self, sb: Any, name: str, parent: Any, mountpoint: Any) -> int:
        """Mount a super block on a dentry, whose use the mount takes over; None and None for the root."""
        parts = self._parts
        address = parts.slab.zalloc(parts.types.size("vfsmount"))
        text = parts.slab.alloc(len(name) + 1)
        if not address or not text:
            return -ENOMEM
        self._memory.write(text, name.encode() + b"\0")
        mount = self.mount_at(address)
        mount.mnt_devname, mount.mnt_sb, mount.mnt_root = text, sb.address, self._dcache.dget(sb.s_root)
        mount.mnt_count.counter = 1
        if mountpoint is not None:
            mount.mnt_parent, mount.mnt_mountpoint = parent.address, mountpoint.address
            mountpoint.d_mounted += 1
        else:
            mount.mnt_parent, mount.mnt_mountpoint = address, sb.s_root
        list_add_tail(self._memory, address + self._mnt_list, self._mounts)
        return 0

    def mounted_on(self, mount: Any, dentry: Any) -> Any:
        """``lookup_mnt``: return what is mounted on a dentry, the latest; or None."""
        if not dentry.d_mounted:
            return None
        found = None
        for each in self.mounts():
            if each.mnt_parent == mount.address and each.mnt_mountpoint == dentry.address:
                found = each
        return found

    def detach(self, mount: Any) -> None:
        """Undo :meth:`attach`; the super block stays."""
        if mount.mnt_mountpoint and mount.mnt_parent != mount.address:
            mountpoint = self._dcache.view(mount.mnt_mountpoint)
            mountpoint.d_mounted -= 1
            self._dcache.dput(mountpoint.address)
        self._dcache.dput(mount.mnt_root)
        self._parts.list_del_init(mount.address + self._mnt_list)
        self.put(mount)

    def hold(self, mount: Any) -> None:
        """``mntget``: one user of a mount more."""
        mount.mnt_count.counter += 1

    def put(self, mount: Any) -> None:
        """``mntput``: one user less; one that was taken out is freed with its last."""
        mount.mnt_count.counter -= 1
        if not mount.mnt_count.counter:
            self._parts.slab.free(mount.mnt_devname)
            self._parts.slab.free(mount.address)

    def busy(self, mount: Any) -> bool:
        """Tell whether somebody but the caller uses a mount, or other mounts lie below it."""
        if any(each.mnt_parent == mount.address and each != mount for each in self.mounts()):
            return True
        if mount.mnt_count.counter > _UNUSED + 1:
            return True
        directories = [thread.task.pwd for thread in self._parts.sched.threads.values()]
        return any(pwd and self._dcache.view(pwd).d_sb == mount.mnt_sb for pwd in directories)

    def files(self, sb: Any) -> list[Any]:
        """Return the open files of a super block."""
        link = self._parts.types.offset("file", "f_list")
        return [self._parts.view("file", at - link) for at in list_for_each(self._memory, sb.s_files.address)]

    def unmount(self, mount: Any) -> int:
        """Take a filesystem out, whose mount the caller uses; ``-EBUSY`` while anybody else does."""
        if mount == self.root() or self.busy(mount):
            return -EBUSY
        sb = self.view(mount.mnt_sb)
        self.detach(mount)
        if not any(each.mnt_sb == sb.address for each in self.mounts()):
            self.kill(sb)
        return 0

    # A filesystem whose code has failed

    def abandon(self, sb: Any) -> None:
        """Let a filesystem go without a call into its code.

        Its mounts end.  What somebody still has open of it ends with EIO, and is freed when it is closed; the super
        block is freed with the last of it.  Pages of its files that were not written are lost (``invalidate_inodes``);
        the device's own dirty blocks are written when it is closed (``blkdev_put``), whole or torn as they are.
        """
        parts = self._parts
        sb.s_count += 1
        sb.s_flags = sb.s_flags & ~MS_ACTIVE | MS_DEAD
        sb.s_op, sb.s_dirt = 0, 0
        parts.list_del_init(sb.s_instances.address)
        bad = parts.variables["bad_file_ops"]
        for file in self.files(sb):
            file.f_op = bad
        for inode in self._inodes.of(sb.address):
            self._inodes.make_bad_inode(inode.address)
            inode.i_state &= ~(I_DIRTY | I_LOCK)
            parts.wake(inode.i_wait)
            inode.i_nlink = 1
            self._inodes.forget_place(inode)
            for dentry in self._dcache.aliases(inode):
                dentry.d_op = 0
        while (inode := self._with_pages(sb)) is not None:
            inode.i_count.counter += 1
            self._pages.forget_all(inode.i_data)
            inode.i_count.counter -= 1
        for mount in [each for each in self.mounts() if each.mnt_sb == sb.address]:
            self.detach(mount)
        root, sb.s_root = sb.s_root, 0
        if root:
            self._dcache.shrink_dcache_parent(root)
            self._dcache.d_drop(root)
            self._dcache.dput(root)
        self._dcache.shrink_dcache_sb(sb.address)
        self._inodes.dispose_unused(sb.address)
        dev, bdev = sb.s_dev, sb.s_bdev
        sb.s_dev = sb.s_bdev = 0
        self._give_back(dev, parts.view("block_device", bdev) if bdev else None)
        sb.s_count -= 1
        self.reap(sb)

    def _with_pages(self, sb: Any) -> Any:
        inodes = (each for each in self._inodes.of(sb.address) if not each.i_state & I_FREEING)
        return next((inode for inode in inodes if inode.i_data.nrpages), None)

    def reap(self, sb: Any) -> None:
        """Free the super block of an abandoned filesystem, once nothing of it is open any more."""
        # Few are abandoned: nobody else's inodes are looked through at each close.
        abandoned = sb.s_flags & MS_DEAD and sb.s_count == 1
        if abandoned and not self.files(sb) and not self._inodes.of(sb.address):
            self._free(sb)
