"""From paths to dentries, and the calls that change directories (Linux 2.4 ``fs/namei.c``)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from nooks_lab.kernel.errno import (
    EBUSY,
    EEXIST,
    EINVAL,
    EISDIR,
    ENAMETOOLONG,
    ENOENT,
    ENOMEM,
    ENOTDIR,
    EPERM,
    EROFS,
    EXDEV,
)
from nooks_lab.kernel.fs.attributes import MAY_EXEC, MAY_WRITE, Attributes
from nooks_lab.kernel.fs.dcache import Dcache, full_name_hash
from nooks_lab.kernel.fs.file_error import FileError, checked
from nooks_lab.kernel.fs.inodes import MS_RDONLY, S_IFDIR, S_IFMT, Inodes
from nooks_lab.kernel.fs.parts import FsParts, is_error, signed
from nooks_lab.kernel.fs.supers import Supers

NAME_MAX, PATH_MAX = 255, 4096
_S_DEAD = 16


@dataclass
class Place:
    """A mount and a dentry in it, both of which whoever has this uses."""

    mount: Any
    dentry: Any


class Names:
    """Path walks, and creating, removing and renaming."""

    def __init__(
        self, parts: FsParts, supers: Supers, inodes: Inodes, dcache: Dcache, attributes: Attributes
    ) -> None:
        self._parts, self._memory = parts, parts.memory
        self._supers, self._inodes, self._dcache, self._attributes = supers, inodes, dcache, attributes

    # Walking

    def _start(self, path: bytes) -> Place:
        root = self._supers.root()
        task = self._parts.sched.current
        pwd = 0 if path.startswith(b"/") else task.pwd
        if pwd:
            dentry = self._dcache.view(pwd)
            mount = next((each for each in self._supers.mounts() if each.mnt_sb == dentry.d_sb), root)
            if mount.mnt_sb != dentry.d_sb:
                # The filesystem of the current directory has gone.
                raise FileError(ENOENT, path.decode("utf-8", "replace"))
        else:
            mount, dentry = root, self._dcache.view(root.mnt_root)
        self._dcache.hold(dentry)
        self._supers.hold(mount)
        return Place(mount, dentry)

    def walk(self, path: str) -> Place:
        """Return what a path leads to; the dentry may be negative in the last component.

        Raises
        ------
        FileError
            When a directory on the way is none, or may not be searched, or the filesystem fails.
        """
        return self._walk(self._encoded(path), path)

    def _encoded(self, path: str) -> bytes:
        encoded = path.encode("utf-8", "surrogateescape")
        if not encoded:
            raise FileError(ENOENT, repr(path))
        if len(encoded) >= PATH_MAX or b"\0" in encoded:
            raise FileError(EINVAL if b"\0" in encoded else ENAMETOOLONG, repr(path[:80]))
        return encoded

    def _walk(self, path: bytes, shown: str) -> Place:
        place = self._start(path)
        names = [name for name in path.split(b"/") if name]
        try:
            for name in names:
                self._step(place, name, shown)
            if path.endswith(b"/") and place.dentry.d_inode:
                self._must_be_directory(place.dentry, shown)
        except BaseException:
            self.put(place)
            raise
        return place

    def _step(self, place: Place, name: bytes, shown: str) -> None:
        inode = self._must_be_directory(place.dentry, shown)
        checked(self._attributes.permission(inode, MAY_EXEC), shown)
        if name == b".":
            return
        if name == b"..":
            self._up(place)
            return
        dentry = self.lookup(place.dentry, name, shown)
        self._dcache.dput(place.dentry.address)
        place.dentry = dentry
        while (mounted := self._supers.mounted_on(place.mount, place.dentry)) is not None:
            below = self._dcache.view(mounted.mnt_root)
            self._dcache.hold(below)
            self._dcache.dput(place.dentry.address)
            place.dentry = below
            self._change_mount(place, mounted)

    def _change_mount(self, place: Place, mount: Any) -> None:
        self._supers.hold(mount)
        self._supers.put(place.mount)
        place.mount = mount

    def _up(self, place: Place) -> None:
        """``follow_dotdot``: to the parent, out of a mount if need be."""
        while (mount := place.mount).mnt_root == place.dentry.address and mount.mnt_parent != mount.address:
            above = self._dcache.view(mount.mnt_mountpoint)
            self._dcache.hold(above)
            self._dcache.dput(place.dentry.address)
            place.dentry = above
            self._change_mount(place, self._supers.mount_at(mount.mnt_parent))
        parent = self._dcache.view(place.dentry.d_parent)
        self._dcache.hold(parent)
        self._dcache.dput(place.dentry.address)
        place.dentry = parent

    def _must_be_directory(self, dentry: Any, shown: str) -> Any:
        if not dentry.d_inode:
            raise FileError(ENOENT, shown)
        inode = self._inodes.view(dentry.d_inode)
        if not self._inodes.operations(inode).lookup:
            raise FileError(ENOTDIR, shown)
        return inode

    @contextmanager
    def _qstr(self, parent: Any, name: bytes) -> Iterator[int]:
        """Have a ``struct qstr`` for a name on the stack, hashed as the filesystem wants it.

        Raises
        ------
        FileError
            When the filesystem does not take such a name.
        """
        if len(name) > NAME_MAX:
            raise FileError(ENAMETOOLONG, name[:40].decode("utf-8", "replace") + "...")
        with self._parts.on_stack(16 + NAME_MAX + 1) as room:
            self._memory.write(room + 16, name + b"\0")
            qstr = self._parts.view("qstr", room)
            qstr.name, qstr.len, qstr.hash = room + 16, len(name), full_name_hash(name)
            hash_ = self._dcache.operation(parent, "d_hash")
            if hash_:
                checked(self._parts.call(hash_, parent.address, room), name.decode("utf-8", "replace"))
            yield room

    def lookup(self, parent: Any, name: bytes, shown: str) -> Any:
        """Return the dentry of a name in a directory, with a user: from memory, or from the filesystem.

        Raises
        ------
        FileError
            When the filesystem cannot say.
        """
        with self._qstr(parent, name) as qstr:
            found = self._cached(parent, qstr)
            if found:
                return self._dcache.view(found)
            directory = self._inodes.view(parent.d_inode)
            semaphores, sem = self._parts.semaphores, directory.i_sem.address
            semaphores.down(sem)
            try:
                return self._real_lookup(parent, directory, qstr, shown)
            finally:
                semaphores.up(sem)

    def _cached(self, parent: Any, qstr: int) -> int:
        found = self._dcache.d_lookup(parent.address, qstr)
        if found:
            dentry = self._dcache.view(found)
            revalidate = self._dcache.operation(dentry, "d_revalidate")
            stale = revalidate and not self._parts.call(revalidate, found, 0)
            if stale and not self._dcache.d_invalidate(found):
                self._dcache.dput(found)
                return 0
        return found

    def _real_lookup(self, parent: Any, directory: Any, qstr: int, shown: str) -> Any:
        """Ask the filesystem; the directory is locked."""
        found = self._cached(parent, qstr)
        if found:
            return self._dcache.view(found)
        if directory.i_flags & _S_DEAD:
            raise FileError(ENOENT, shown)
        address = self._dcache.d_alloc(parent.address, qstr)
        if not address:
            raise FileError(ENOMEM, shown)
        dentry = self._dcache.view(address)
        dentry.d_op = 0
        result = self._parts.raw_call(self._inodes.operations(directory).lookup, directory.address, address)
        if result:
            self._dcache.dput(address)
            if is_error(result):
                raise FileError(-signed(result), shown)
            return self._dcache.view(result)
        return dentry

    def put(self, place: Place) -> None:
        """``path_release``: no longer use a place."""
        self._dcache.dput(place.dentry.address)
        self._supers.put(place.mount)

    @contextmanager
    def at(self, path: str) -> Iterator[Place]:
        """Have what a path leads to, for a while; it must exist.

        Raises
        ------
        FileError
            When it does not.
        """
        place = self.walk(path)
        try:
            if not place.dentry.d_inode:
                raise FileError(ENOENT, path)
            self._revalidate(place.dentry, path)
            yield place
        finally:
            self.put(place)

    def _revalidate(self, dentry: Any, path: str) -> None:
        operation = self._inodes.operations(self._inodes.view(dentry.d_inode)).revalidate
        if operation:
            checked(self._parts.call(operation, dentry.address), path)

    # Directories

    def parent(self, path: str) -> tuple[Place, bytes]:
        """Return the directory of a path's last component, with a user, and that component.

        Raises
        ------
        FileError
            When there is no such directory; EEXIST when the path ends in none that could be made or removed.
        """
        encoded = self._encoded(path)
        stripped = encoded.rstrip(b"/")
        head, _, last = stripped.rpartition(b"/")
        if last in (b"", b".", b".."):
            raise FileError(EBUSY if last == b"" else EINVAL, path)
        place = self._walk((head + b"/") if head or stripped.startswith(b"/") else b".", path)
        return place, last

    @contextmanager
    def changing(self, path: str) -> Iterator[tuple[Place, Any, Any]]:
        """Have the directory of a path locked; yields its place, its inode, and the last component's dentry."""
        place, last = self.parent(path)
        try:
            directory = self._must_be_directory(place.dentry, path)
            semaphores, sem = self._parts.semaphores, directory.i_sem.address
            semaphores.down(sem)
            try:
                with self._qstr(place.dentry, last) as qstr:
                    dentry = self._real_lookup(place.dentry, directory, qstr, path)
                try:
                    yield place, directory, dentry
                finally:
                    self._dcache.dput(dentry.address)
            finally:
                semaphores.up(sem)
        finally:
            self.put(place)

    def may_write(self, place: Place, directory: Any, path: str) -> None:
        """Look whether the process may change a directory.

        Raises
        ------
        FileError
            When it may not.
        """
        if self._supers.view(directory.i_sb).s_flags & MS_RDONLY or place.mount.mnt_flags & MS_RDONLY:
            raise FileError(EROFS, path)
        checked(self._attributes.permission(directory, MAY_EXEC | MAY_WRITE), path)

    def _operation(self, directory: Any, name: str, path: str) -> int:
        operation = int(getattr(self._inodes.operations(directory), name))
        if not operation:
            raise FileError(EPERM, path)
        return operation

    def create(self, place: Place, directory: Any, dentry: Any, mode: int, path: str) -> None:
        """``vfs_create``: make a file of a negative dentry whose directory is locked."""
        self.may_write(place, directory, path)
        operation = self._operation(directory, "create", path)
        checked(self._parts.call(operation, directory.address, dentry.address, mode), path)

    def mkdir(self, path: str, mode: int) -> None:
        """Make a directory."""
        with self.changing(path) as (place, directory, dentry):
            self._must_be_free(dentry, path)
            self.may_write(place, directory, path)
            operation = self._operation(directory, "mkdir", path)
            checked(self._parts.call(operation, directory.address, dentry.address, mode), path)

    def mknod(self, path: str, mode: int, rdev: int) -> None:
        """Make a device's inode."""
        with self.changing(path) as (place, directory, dentry):
            self._must_be_free(dentry, path)
            self.may_write(place, directory, path)
            operation = self._operation(directory, "mknod", path)
            checked(self._parts.call(operation, directory.address, dentry.address, mode, rdev), path)

    def _must_be_free(self, dentry: Any, path: str) -> None:
        if dentry.d_inode:
            raise FileError(EEXIST, path)

    def unlink(self, path: str) -> None:
        """Remove a file's name, and the file with its last name."""
        if path.endswith("/"):
            raise FileError(ENOTDIR, path)
        with self.changing(path) as (place, directory, dentry):
            inode = self._existing(dentry, path)
            if inode.i_mode & S_IFMT == S_IFDIR:
                raise FileError(EISDIR, path)
            self.may_write(place, directory, path)
            operation = self._operation(directory, "unlink", path)
            # The file must not go before its dentry has been dealt with.
            self._inodes.hold(inode)
            try:
                checked(self._parts.call(operation, directory.address, dentry.address), path)
                self._dcache.d_delete(dentry.address)
            finally:
                self._inodes.iput(inode.address)

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        with self.changing(path) as (place, directory, dentry):
            inode = self._existing(dentry, path)
            if inode.i_mode & S_IFMT != S_IFDIR:
                raise FileError(ENOTDIR, path)
            self.may_write(place, directory, path)
            if dentry.d_mounted:
                raise FileError(EBUSY, path)
            self._dcache.shrink_dcache_parent(dentry.address)
            operation = self._operation(directory, "rmdir", path)
            checked(self._parts.call(operation, directory.address, dentry.address), path)
            inode.i_flags |= _S_DEAD
            self._dcache.d_delete(dentry.address)

    def _existing(self, dentry: Any, path: str) -> Any:
        if not dentry.d_inode:
            raise FileError(ENOENT, path)
        return self._inodes.view(dentry.d_inode)

    def rename(self, old: str, new: str) -> None:
        """Give a file or directory another name, which may be in another directory, and may be taken."""
        source, old_name = self.parent(old)
        try:
            target, new_name = self.parent(new)
            try:
                if source.mount != target.mount:
                    raise FileError(EXDEV, f"{old} to {new}")
                self._rename(source, old_name, target, new_name, f"{old} to {new}")
            finally:
                self.put(target)
        finally:
            self.put(source)

    def _rename(self, source: Place, old_name: bytes, target: Place, new_name: bytes, shown: str) -> None:
        old_dir = self._must_be_directory(source.dentry, shown)
        new_dir = self._must_be_directory(target.dentry, shown)
        # Always in the same order, so that two renames do not wait for each other.
        locks = sorted({old_dir.i_sem.address, new_dir.i_sem.address})
        for sem in locks:
            self._parts.semaphores.down(sem)
        held: list[Any] = []
        try:
            for place, directory, name in ((source, old_dir, old_name), (target, new_dir, new_name)):
                with self._qstr(place.dentry, name) as qstr:
                    held.append(self._real_lookup(place.dentry, directory, qstr, shown))
            dentry, other = held
            inode = self._existing(dentry, shown)
            if other.d_inode == dentry.d_inode:
                return
            self._may_rename(source, dentry, inode, target, other, shown)
            if other.d_inode:
                self._dcache.shrink_dcache_parent(other.address)
            operation = self._operation(old_dir, "rename", shown)
            victim = self._inodes.view(other.d_inode) if other.d_inode else None
            if victim is not None:
                self._inodes.hold(victim)
            try:
                checked(
                    self._parts.call(
                        operation, old_dir.address, dentry.address, new_dir.address, other.address
                    ),
                    shown,
                )
                self._dcache.d_move(dentry.address, other.address)
            finally:
                if victim is not None:
                    self._inodes.iput(victim.address)
        finally:
            for dentry in held:
                self._dcache.dput(dentry.address)
            for sem in locks:
                self._parts.semaphores.up(sem)

    def _may_rename(
        self, source: Place, dentry: Any, inode: Any, target: Place, other: Any, shown: str
    ) -> None:
        for place in (source, target):
            self.may_write(place, self._inodes.view(place.dentry.d_inode), shown)
        directory = inode.i_mode & S_IFMT == S_IFDIR
        if other.d_inode:
            onto = self._inodes.view(other.d_inode).i_mode & S_IFMT == S_IFDIR
            if directory and not onto:
                raise FileError(ENOTDIR, shown)
            if onto and not directory:
                raise FileError(EISDIR, shown)
        if dentry.d_mounted or other.d_mounted:
            raise FileError(EBUSY, shown)
        at = target.dentry
        while directory:
            if at == dentry:
                raise FileError(EINVAL, shown)
            if at.d_parent == at.address:
                break
            at = self._dcache.view(at.d_parent)
