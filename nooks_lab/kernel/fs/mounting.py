"""Mounting, unmounting and ``statfs`` as a process has them (Linux 2.4 ``fs/namespace.c``, ``fs/open.c``)."""

from dataclasses import dataclass

from nooks_lab.kernel.errno import EBUSY, EINVAL, ENODEV, ENOSYS, ENOTDIR
from nooks_lab.kernel.fs.file_error import FileError, checked
from nooks_lab.kernel.fs.inodes import MS_RDONLY, S_IFDIR, S_IFMT
from nooks_lab.kernel.fs.system_calls import SystemCalls


@dataclass(frozen=True)
class StatFs:
    """What ``statfs`` tells of a filesystem: sizes in blocks of ``bsize`` bytes."""

    type: int
    bsize: int
    blocks: int
    bfree: int
    bavail: int
    files: int
    ffree: int
    namelen: int


class MountCalls(SystemCalls):
    """Filesystems in the tree of names."""

    def mount(self, device: str, path: str, kind: str, options: str = "", read_only: bool = False) -> None:
        """Mount a filesystem.

        Parameters
        ----------
        device : str
            ``hda``, ``hda1`` or ``/dev/hda``; any name for a filesystem without a device.
        options : str
            For the filesystem, as after ``-o``.
        """
        self._enter()
        found = [each for each in self._supers.filesystems() if self._supers.type_name(each) == kind]
        if not found:
            raise FileError(ENODEV, f"filesystem type {kind}")
        place = self._names.walk(path)
        data = 0
        try:
            if not place.dentry.d_inode:
                raise FileError(2, path)
            if self._inodes.view(place.dentry.d_inode).i_mode & S_IFMT != S_IFDIR:
                raise FileError(ENOTDIR, path)
            if place.dentry.address == place.mount.mnt_root:
                raise FileError(EBUSY, path)
            if options:
                data = self._parts.pages.get_zeroed_page()
                self._memory.write(data, options.encode()[:4095])
            name = device.removeprefix("/dev/")
            sb = self._supers.read(found[0], name, MS_RDONLY if read_only else 0, data)
            if isinstance(sb, int):
                raise FileError(-sb, f"mount of {device} on {path}")
            # The mount takes over the use of the dentry.
            self._dcache.hold(place.dentry)
            if self._supers.attach(sb, device, place.mount, place.dentry):
                self._dcache.dput(place.dentry.address)
                self._supers.kill(sb)
                raise FileError(12, path)
        finally:
            self._names.put(place)
            if data:
                self._parts.pages.free(data, 0)
        if sb.s_bdev:
            self._keep_flushing()

    def umount(self, path: str) -> None:
        """Take a mounted filesystem out; everything of it is written first."""
        self._enter()
        place = self._names.walk(path)
        mount, root = place.mount, place.dentry.address == place.mount.mnt_root
        self._dcache.dput(place.dentry.address)
        try:
            if not root:
                raise FileError(EINVAL, path)
            checked(self._supers.unmount(mount), path)
        finally:
            self._supers.put(mount)

    def statfs(self, path: str) -> StatFs:
        """Return how much room a filesystem has."""
        self._enter()
        with self._names.at(path) as place:
            sb = self._supers.view(place.dentry.d_sb)
            operation = self._parts.view("super_operations", sb.s_op).statfs if sb.s_op else 0
            if not operation:
                raise FileError(ENOSYS, path)
            with self._parts.on_stack(self._parts.types.size("statfs") + 16) as room:
                self._memory.fill(room, self._parts.types.size("statfs"), 0)
                checked(self._parts.call(operation, sb.address, room), path)
                result = self._parts.view("statfs", room)
                return StatFs(
                    result.f_type & 0xFFFFFFFF,
                    result.f_bsize,
                    result.f_blocks,
                    result.f_bfree,
                    result.f_bavail,
                    result.f_files,
                    result.f_ffree,
                    result.f_namelen,
                )
