"""``/proc/sys``: variables of the kernel that a user reads and writes (Linux 2.4 ``kernel/sysctl.c``)."""

from collections.abc import Callable, Iterator
from typing import Any

from nooks_lab.kernel.errno import EACCES, EINVAL, ENOENT
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.lists import init_list_head, list_add, list_add_tail, list_del, list_for_each
from nooks_lab.kernel.slab import SlabAllocator
from nooks_lab.kernel.structs import Types
from nooks_lab.kernel.uaccess import UserMemory
from nooks_lab.machine.linear import LinearMemory

_READ, _WRITE = 0o400, 0o200
_NAME_LIMIT = 64
_LONGEST_TABLE = 256
_LARGEST_READ = 4096


class SysctlError(OSError):
    """What a user of ``/proc/sys`` could not do, with Linux's error number in ``errno``."""


class Sysctl:
    """The registered tables, each a tree of arrays of ``struct ctl_table``.

    Parameters
    ----------
    head : int
        Address of the list of tables.
    call : callable (address, arguments) -> int
        Calls a handler.
    """

    def __init__(
        self,
        types: Types,
        memory: LinearMemory,
        slab: SlabAllocator,
        user: UserMemory,
        head: int,
        call: Callable[..., int],
    ) -> None:
        self._types, self._memory, self._slab, self._user = types, memory, slab, user
        self._head, self._call = head, call
        self._size = types.size("ctl_table")
        self._node = types.offset("ctl_table_header", "ctl_entry")
        init_list_head(memory, head)

    @export(cycles=300)
    def register_sysctl_table(self, table: int, insert_at_head: int) -> int:
        """Show a table to users; returns what takes it back, or NULL when memory is short."""
        header = self._slab.zalloc(self._types.size("ctl_table_header"))
        if header:
            self._types.view("ctl_table_header", header).ctl_table = table
            add = list_add if insert_at_head else list_add_tail
            add(self._memory, header + self._node, self._head)
        return header

    @export(cycles=300)
    def unregister_sysctl_table(self, header: int) -> None:
        """Take a table back."""
        list_del(self._memory, header + self._node)
        self._slab.free(header)

    @export(cycles=400)
    def proc_dointvec(self, table: int, write: int, buffer: int, lenp: int) -> int:
        """Read or write one int, as text."""
        entry, size = self._types.view("ctl_table", table), self._memory.u32(lenp)
        if not write:
            value = self._memory.u32(entry.data)
            text = b"%d\n" % (value - (1 << 32) if value >> 31 else value)
            self._memory.set_u32(lenp, min(size, len(text)))
            return -self._user.copy_out(buffer, text[:size])
        text = self._user.copy_in(buffer, min(size, _NAME_LIMIT))
        try:
            value = int(text.split(b"\0")[0])
        except ValueError:
            return -EINVAL
        self._memory.set_u32(entry.data, value)
        return 0

    def entries(self, table: int) -> Iterator[Any]:
        """Yield views of an array's entries, up to the one without a name."""
        for index in range(_LONGEST_TABLE):
            entry = self._types.view("ctl_table", table + index * self._size)
            if not entry.procname:
                return
            yield entry

    def tables(self) -> list[int]:
        """Return the addresses of the registered tables' headers."""
        return [entry - self._node for entry in list_for_each(self._memory, self._head)]

    # What a user does, in a process

    def read(self, name: str) -> bytes:
        """Return what a variable holds, as ``cat /proc/sys/NAME`` does.

        Raises
        ------
        SysctlError
            When there is no such variable, it is not for reading, or its handler fails.
        """
        entry = self._find(name, _READ)
        buffer = self._user.place(bytes(_LARGEST_READ))
        length = self._handle(name, entry, 0, buffer, _LARGEST_READ)
        return self._memory.read(buffer, min(length, _LARGEST_READ))

    def write(self, name: str, data: bytes) -> None:
        """Set a variable, as ``echo DATA > /proc/sys/NAME`` does; see :meth:`read`."""
        entry = self._find(name, _WRITE)
        self._handle(name, entry, 1, self._user.place(data), len(data))

    def _handle(self, name: str, entry: Any, write: int, buffer: int, size: int) -> int:
        lenp = self._slab.zalloc(4)
        if not lenp:
            raise SysctlError(EINVAL, f"no memory to reach {name}")
        try:
            self._memory.set_u32(lenp, size)
            result = self._call(entry.proc_handler, entry.address, write, buffer, lenp)
            if result:
                errno = (1 << 32) - result
                raise SysctlError(errno, f"{name}: its handler returned error {errno}")
            return self._memory.u32(lenp)
        finally:
            self._slab.free(lenp)

    def _find(self, name: str, access: int) -> Any:
        tables = [self._types.view("ctl_table_header", header).ctl_table for header in self.tables()]
        for part in name.split("/"):
            found = [
                entry
                for table in tables
                for entry in self.entries(table)
                if self._memory.string(entry.procname, _NAME_LIMIT) == part.encode()
            ]
            tables = [entry.child for entry in found if entry.child]
        leaf = next((entry for entry in found if entry.proc_handler), None)
        if leaf is None:
            raise SysctlError(ENOENT, f"there is no variable {name} in /proc/sys")
        if not leaf.mode & access:
            raise SysctlError(EACCES, f"{name} is not for {'reading' if access == _READ else 'writing'}")
        return leaf
