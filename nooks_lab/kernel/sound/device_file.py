"""A process's view of sound: open, write, ioctl and close of /dev/dsp and /dev/mixer.

What ``sys_open`` and its kin do for a character device (Linux 2.4 ``fs/open.c``, ``fs/read_write.c``, ``fs/ioctl.c``,
``fs/file_table.c``, and ``soundcore_open``).  A file is named by the address of its ``struct file``, as ``filp_open``
gives it to kernel code; processes have no table of descriptors here.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from nooks_lab.kernel.errno import EBADF, EINVAL, EIO, ENODEV, ENOENT, ENOMEM
from nooks_lab.kernel.slab import SlabAllocator
from nooks_lab.kernel.sound import sound_core
from nooks_lab.kernel.sound.sound_core import SOUND_MAJOR, SoundCore
from nooks_lab.kernel.structs import Types

O_RDONLY, O_WRONLY, O_RDWR, O_ACCMODE, O_NONBLOCK = 0, 1, 2, 3, 0o4000
FMODE_READ, FMODE_WRITE = 1, 2
ENOTTY = 25

OPEN_CYCLES = 3_000
"""System call, path look-up, and three objects to allocate."""
CALL_CYCLES = 500
"""System call and the checks before the driver's function."""

_PATH = re.compile(r"/dev/(mixer|dsp|audio)([0-7]?)")
_KINDS = {"mixer": sound_core.MIXER, "dsp": sound_core.DSP, "audio": sound_core.AUDIO}
_S_IFCHR = 0o020000


class DeviceFiles:
    """Open files of sound devices.

    Parameters
    ----------
    call : callable
        Calls a driver's function.
    spend : callable (cycles)
        Lets time pass.
    current_pid : callable
        Says which process this is.
    """

    def __init__(
        self,
        types: Types,
        slab: SlabAllocator,
        core: SoundCore,
        call: Callable[..., int],
        spend: Callable[[int], None],
        current_pid: Callable[[], int],
    ) -> None:
        self._types, self._slab, self._core = types, slab, core
        self._call, self._spend, self._current_pid = call, spend, current_pid
        self._opened: dict[int, list[int]] = {}

    def view(self, file: int) -> Any:
        """Return a ``struct file``."""
        return self._types.view("file", file)

    def open(self, path: str, flags: int) -> int:
        """Open a device; returns the address of its ``struct file``, or an error number, negated."""
        self._spend(OPEN_CYCLES)
        named = _PATH.fullmatch(path)
        if named is None:
            return -ENOENT
        minor = _KINDS[named[1]] + sound_core.STEP * int(named[2] or 0)
        fops = self._core.fops(minor)
        if not fops:
            return -ENODEV
        file = self._make(SOUND_MAJOR << 8 | minor, fops, flags)
        if not file:
            return -ENOMEM
        self._use(fops, 1)
        function = self._types.view("file_operations", fops).open
        result = _signed(self._call(function, self._inode(file), file)) if function else 0
        if result:
            self._discard(file)
            return min(result, -1)
        self._opened.get(self._current_pid(), []).append(file)
        return file

    def _make(self, rdev: int, fops: int, flags: int) -> int:
        """Allocate inode, dentry and file of one opening."""
        inode, dentry, file = (
            self._slab.zalloc(self._types.size(name)) for name in ("inode", "dentry", "file")
        )
        if not (inode and dentry and file):
            for each in (inode, dentry, file):
                if each:
                    self._slab.free(each)
            return 0
        node = self._types.view("inode", inode)
        node.i_rdev, node.i_mode, node.i_fop = rdev, _S_IFCHR | 0o666, fops
        node.i_count.counter = 1
        entry = self._types.view("dentry", dentry)
        entry.d_inode = inode
        entry.d_count.counter = 1
        opened = self.view(file)
        opened.f_dentry, opened.f_op, opened.f_flags = dentry, fops, flags
        opened.f_mode = (flags & O_ACCMODE) + 1 & 3
        opened.f_count.counter = 1
        return file

    def _inode(self, file: int) -> int:
        return int(self._types.view("dentry", self.view(file).f_dentry).d_inode)

    def _use(self, fops: int, change: int) -> None:
        """Count the use of the module that the operations belong to: it cannot be unloaded meanwhile."""
        owner = self._types.view("file_operations", fops).owner
        if owner:
            self._types.view("module", owner).usecount += change

    def _discard(self, file: int) -> None:
        opened = self.view(file)
        # A file that was revoked (its driver is gone) has no operations any more.
        if opened.f_op:
            self._use(opened.f_op, -1)
        dentry, inode = opened.f_dentry, self._inode(file)
        for each in (file, dentry, inode):
            self._slab.free(each)

    def _operation(self, file: int, name: str) -> int:
        fops = self.view(file).f_op
        return int(getattr(self._types.view("file_operations", fops), name)) if fops else 0

    def write(self, file: int, buf: int, count: int) -> int:
        """Write from user memory; returns the bytes that were taken, or an error number, negated."""
        self._spend(CALL_CYCLES)
        opened = self.view(file)
        if not opened.f_mode & FMODE_WRITE:
            return -EBADF
        if not opened.f_op:
            return -EIO
        function = self._operation(file, "write")
        if not function:
            return -EINVAL
        return _signed(self._call(function, file, buf, count, opened.offset_of("f_pos")))

    def ioctl(self, file: int, cmd: int, arg: int) -> int:
        """Control a device; returns its result, or an error number, negated."""
        self._spend(CALL_CYCLES)
        if not self.view(file).f_op:
            return -EIO
        function = self._operation(file, "ioctl")
        return _signed(self._call(function, self._inode(file), file, cmd, arg)) if function else -ENOTTY

    def close(self, file: int) -> None:
        """Close a file; its driver's release may wait until all has been played."""
        self._spend(CALL_CYCLES)
        for files in self._opened.values():
            if file in files:
                files.remove(file)
        function = self._operation(file, "release")
        try:
            if function:
                self._call(function, self._inode(file), file)
        finally:
            self._discard(file)

    @contextmanager
    def process(self) -> Iterator[None]:
        """Within, what the process leaves open is closed at its end, as by ``do_exit``, however it ends."""
        pid = self._current_pid()
        files = self._opened[pid] = []
        try:
            yield
        finally:
            del self._opened[pid]
            for file in reversed(files):
                self.close(file)


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value
