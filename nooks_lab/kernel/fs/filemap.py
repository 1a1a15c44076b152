"""Reading and writing files by way of the page cache (Linux 2.4 ``mm/filemap.c``)."""

from typing import Any

from nooks_lab.kernel.errno import EFAULT, EFBIG, EINVAL, EISDIR, ENOMEM, ESPIPE
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.fs.attributes import Attributes
from nooks_lab.kernel.fs.inodes import I_DIRTY_SYNC, Inodes
from nooks_lab.kernel.fs.page_cache import PageCache
from nooks_lab.kernel.fs.parts import FsParts
from nooks_lab.kernel.fs.supers import Supers
from nooks_lab.machine.memory import PAGE_SIZE

O_APPEND, O_SYNC = 0o2000, 0o10000
_SEEK_SET, _SEEK_CUR, _SEEK_END = range(3)


class FileMap:
    """``generic_file_read`` and its kin."""

    def __init__(
        self, parts: FsParts, supers: Supers, inodes: Inodes, pages: PageCache, attributes: Attributes
    ) -> None:
        self._parts, self._memory = parts, parts.memory
        self._supers, self._inodes, self._pages, self._attributes = supers, inodes, pages, attributes

    def _inode(self, file: int) -> Any:
        dentry = self._parts.view("file", file).f_dentry
        return self._inodes.view(self._parts.view("dentry", dentry).d_inode)

    def _position(self, ppos: int) -> int:
        return int.from_bytes(self._memory.read(ppos, 8), "little", signed=True)

    def _set_position(self, ppos: int, value: int) -> None:
        self._memory.write(ppos, value.to_bytes(8, "little", signed=True))

    @export(cycles=60)
    def generic_file_llseek(self, file: int, offset: int, origin: int) -> int:
        """Move a file's position."""
        struct = self._parts.view("file", file)
        if origin == _SEEK_END:
            offset += self._inode(file).i_size
        elif origin == _SEEK_CUR:
            offset += struct.f_pos
        elif origin != _SEEK_SET:
            return -EINVAL
        if offset < 0 or offset > self._supers.view(self._inode(file).i_sb).s_maxbytes:
            return -EINVAL
        struct.f_pos = offset
        return offset

    @export(cycles=20)
    def no_llseek(self, file: int, offset: int, origin: int) -> int:
        """The file has no position."""
        return -ESPIPE

    @export(cycles=20)
    def generic_read_dir(self, file: int, buf: int, count: int, ppos: int) -> int:
        """A directory is not read as a file."""
        return -EISDIR

    @export(cycles=400, sleeps=True)
    def generic_file_read(self, file: int, buf: int, count: int, ppos: int) -> int:
        """Read into user memory; returns how many bytes."""
        inode = self._inode(file)
        position, done = self._position(ppos), 0
        if position < 0:
            return -EINVAL
        error = 0
        while done < count and position < inode.i_size:
            index, offset = divmod(position, PAGE_SIZE)
            page = self._pages.filled(inode.i_mapping, index, file)
            if isinstance(page, int):
                error = page
                break
            take = min(PAGE_SIZE - offset, count - done, inode.i_size - position)
            left = self._parts.user.copy_to_user(buf + done, page.virtual + offset, take) if take > 0 else 0
            self._pages.release(page)
            done, position = done + max(take, 0) - left, position + max(take, 0) - left
            if left:
                error = -EFAULT
            if left or take <= 0:
                break
        self._set_position(ppos, position)
        self._inodes.update_atime(inode.address)
        return done or error

    @export(cycles=500, sleeps=True)
    def generic_file_write(self, file: int, buf: int, count: int, ppos: int) -> int:
        """Write from user memory; returns how many bytes."""
        inode = self._inode(file)
        semaphores, sem = self._parts.semaphores, inode.i_sem.address
        semaphores.down(sem)
        try:
            return self._write(file, inode, buf, count, ppos)
        finally:
            semaphores.up(sem)

    def _write(self, file: int, inode: Any, buf: int, count: int, ppos: int) -> int:
        flags = self._parts.view("file", file).f_flags
        position = inode.i_size if flags & O_APPEND else self._position(ppos)
        if position < 0:
            return -EINVAL
        room = self._supers.view(inode.i_sb).s_maxbytes - position
        if count and room <= 0:
            return -EFBIG
        count, done, error = min(count, room), 0, 0
        if count:
            inode.i_ctime = inode.i_mtime = self._inodes.now()
            self._inodes.mark_dirty(inode, I_DIRTY_SYNC)
        while done < count:
            offset = position % PAGE_SIZE
            take = min(PAGE_SIZE - offset, count - done)
            error = self._write_page(file, inode, position, buf + done, take)
            if error:
                break
            done, position = done + take, position + take
        self._set_position(ppos, position)
        if done and flags & O_SYNC:
            fsync = self._parts.view("file_operations", self._parts.view("file", file).f_op).fsync
            if fsync:
                error = self._parts.call(fsync, file, self._parts.view("file", file).f_dentry, 0)
                return error or done
        return done or error

    def _write_page(self, file: int, inode: Any, position: int, source: int, take: int) -> int:
        """Write bytes that lie in one page; 0, or an error after which the file is as long as before."""
        offset = position % PAGE_SIZE
        mapping = self._pages.mapping(inode.i_mapping)
        operations = self._parts.view("address_space_operations", mapping.a_ops)
        page = self._pages.grab(mapping.address, position // PAGE_SIZE)
        if page is None:
            return -ENOMEM
        try:
            error = self._parts.call(operations.prepare_write, file, page.address, offset, offset + take)
            if not error:
                left = self._parts.user.copy_from_user(page.virtual + offset, source, take)
                error = self._parts.call(operations.commit_write, file, page.address, offset, offset + take)
                if left:
                    error = -EFAULT
        finally:
            self._pages.unlock(page)
            self._pages.release(page)
        if error and position + take > inode.i_size:
            self._attributes.vmtruncate(inode.address, inode.i_size)
        return error
