"""Files as machine code in the kernel opens and reads them (Linux 2.4 ``fs/open.c``, ``fs/exec.c``)."""

from nooks_lab.kernel.errno import EBADF, EINVAL
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.fs.file_error import FileError
from nooks_lab.kernel.fs.file_table import FMODE_READ, FileTable
from nooks_lab.kernel.fs.files import Files
from nooks_lab.kernel.fs.parts import FsParts
from nooks_lab.kernel.kthread import KERNEL_DS, KernelThreads

_LONGEST_PATH = 4096


class KernelFiles:
    """Open files without a descriptor."""

    def __init__(self, parts: FsParts, files: Files, table: FileTable, threads: KernelThreads) -> None:
        self._parts, self._files, self._table, self._threads = parts, files, table, threads

    @export(cycles=600, sleeps=True)
    def filp_open(self, filename: int, flags: int, mode: int) -> int:
        """Open a file; a small negative number instead of its address says why not (``IS_ERR``)."""
        path = self._parts.memory.string(filename, _LONGEST_PATH).decode("utf-8", "surrogateescape")
        try:
            return int(self._files.open_file(path, flags, mode).address)
        except FileError as error:
            return -(error.errno or EINVAL)

    @export(cycles=200, sleeps=True)
    def filp_close(self, filp: int, id: int) -> int:
        """Give an open file up."""
        self._table.put(self._table.view(filp))
        return 0

    @export(cycles=200, sleeps=True)
    def kernel_read(self, file: int, offset: int, addr: int, count: int) -> int:
        """Read from a position into the kernel's own memory; returns how many bytes."""
        view = self._table.view(file)
        operation = self._table.operation(view, "read")
        if not operation or not view.f_mode & FMODE_READ:
            return -EBADF
        limit = self._threads.address_limit()
        self._threads.set_fs(KERNEL_DS)
        try:
            with self._parts.on_stack(8) as position:
                self._parts.memory.write(position, offset.to_bytes(8, "little"))
                return int(self._parts.call(operation, file, addr, count, position))
        finally:
            self._threads.set_fs(limit)
