"""``struct file``, and which files each process has open (Linux 2.4 ``fs/file_table.c``, ``fs/open.c``)."""

from typing import Any

from nooks_lab.kernel.errno import EBADF, EMFILE, ENOMEM
from nooks_lab.kernel.fs.dcache import Dcache
from nooks_lab.kernel.fs.file_error import FileError
from nooks_lab.kernel.fs.fops import fops_get, fops_put
from nooks_lab.kernel.fs.inodes import Inodes
from nooks_lab.kernel.fs.namei import Place
from nooks_lab.kernel.fs.parts import FsParts
from nooks_lab.kernel.fs.supers import Supers
from nooks_lab.kernel.lists import init_list_head, list_add

NR_OPEN = 64
FMODE_READ, FMODE_WRITE = 1, 2
O_ACCMODE = 3


class FileTable:
    """All open files."""

    def __init__(self, parts: FsParts, supers: Supers, inodes: Inodes, dcache: Dcache) -> None:
        self._parts, self._memory = parts, parts.memory
        self._supers, self._inodes, self._dcache = supers, inodes, dcache

    def view(self, address: int) -> Any:
        """Return an open file by address."""
        return self._parts.view("file", address)

    def operation(self, file: Any, name: str) -> int:
        """Return the address of an operation of a file's, 0 when it has none."""
        operations = file.f_op
        return int(getattr(self._parts.view("file_operations", operations), name)) if operations else 0

    def open(self, place: Place, flags: int) -> Any:
        """``dentry_open``: return an open file of a place, whose use it takes over, or a negative error number."""
        parts = self._parts
        address = parts.slab.zalloc(parts.types.size("file"))
        if not address:
            self._dcache.dput(place.dentry.address)
            self._supers.put(place.mount)
            return -ENOMEM
        file, inode = self.view(address), self._inodes.view(place.dentry.d_inode)
        file.f_dentry, file.f_vfsmnt, file.f_op = place.dentry.address, place.mount.address, inode.i_fop
        file.f_count.counter, file.f_flags, file.f_mode = 1, flags, (flags + 1) & O_ACCMODE
        file.f_uid = parts.sched.current.uid
        init_list_head(self._memory, address)
        sb = self._supers.view(inode.i_sb)
        list_add(self._memory, address, sb.s_files.address)
        parts.count("nr_files", 1)
        fops_get(parts, file.f_op)
        operation = self.operation(file, "open")
        error = parts.call(operation, inode.address, address) if operation else 0
        if error:
            fops_put(parts, file.f_op)
            self._free(file)
            return error
        return file

    def _free(self, file: Any) -> None:
        inode = self._inodes.view(self._dcache.view(file.f_dentry).d_inode)
        sb = self._supers.view(inode.i_sb)
        self._parts.list_del_init(file.address)
        dentry, mount = file.f_dentry, self._supers.mount_at(file.f_vfsmnt)
        self._parts.slab.free(file.address)
        self._parts.count("nr_files", -1)
        sb.s_count += 1
        self._dcache.dput(dentry)
        self._supers.put(mount)
        sb.s_count -= 1
        self._supers.reap(sb)

    def put(self, file: Any) -> None:
        """``fput``: one user of an open file less; the last one closes it."""
        count = file.f_count.counter - 1
        file.f_count.counter = count
        if count:
            return
        release = self.operation(file, "release")
        if release:
            inode = self._dcache.view(file.f_dentry).d_inode
            self._parts.raw_call(release, inode, file.address)
        fops_put(self._parts, file.f_op)
        self._free(file)

    # Of a process

    def _slots(self, make: bool) -> int:
        task = self._parts.sched.current
        if not task.files and make:
            self._parts.sched.must_be_process()
            task.files = self._parts.slab.zalloc(self._parts.types.size("files_struct"))
            if not task.files:
                raise FileError(ENOMEM)
        return int(task.files)

    def free_descriptor(self) -> int:
        """``get_unused_fd``: return the lowest free descriptor of the process.

        Raises
        ------
        FileError
            EMFILE when all are taken.
        """
        slots = self._slots(make=True)
        for fd in range(NR_OPEN):
            if not self._memory.u32(slots + 4 * fd):
                return fd
        raise FileError(EMFILE)

    def install(self, fd: int, file: Any) -> None:
        """``fd_install``."""
        self._memory.set_u32(self._slots(make=True) + 4 * fd, file.address)

    def get(self, fd: int) -> Any:
        """``fget``: return the process's open file of a descriptor, with one more user.

        Raises
        ------
        FileError
            EBADF when there is none.
        """
        slots = self._slots(make=False)
        address = self._memory.u32(slots + 4 * fd) if slots and 0 <= fd < NR_OPEN else 0
        if not address:
            raise FileError(EBADF, f"descriptor {fd}")
        file = self.view(address)
        file.f_count.counter += 1
        return file

    def close(self, fd: int) -> int:
        """Give a descriptor up; returns what the file's ``flush`` said.

        Raises
        ------
        FileError
            EBADF when there is none.
        """
        file = self.get(fd)
        self._memory.set_u32(self._slots(make=False) + 4 * fd, 0)
        flush = self.operation(file, "flush")
        result = self._parts.call(flush, file.address) if flush else 0
        file.f_count.counter -= 1
        self.put(file)
        return result

    def exit(self, task: Any) -> None:
        """``exit_files``: a process ends; what it has open is closed."""
        if task.files:
            for fd in range(NR_OPEN):
                if self._memory.u32(task.files + 4 * fd):
                    self.close(fd)
            self._parts.slab.free(task.files)
            task.files = 0
        if task.pwd:
            pwd, task.pwd = task.pwd, 0
            self._dcache.dput(pwd)

    def everything(self) -> list[Any]:
        """Return every open file."""
        return [file for sb in self._supers.supers() for file in self._supers.files(sb)]
