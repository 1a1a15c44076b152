"""Tables of ``/proc/sys``: the kernel works on its own version of them, in which handlers are wrappers."""

from typing import TYPE_CHECKING, Any

from nooks_lab.kernel.errno import EIO
from nooks_lab.nooks.isolation.domain import BadParameter, Domain
from nooks_lab.nooks.tracking.tracker import NoRecord, TrackedObject
from nooks_lab.nooks.wrappers.decisions import Body, Callback, Writes, held
from nooks_lab.nooks.wrappers.declare import extension_wrapper, kernel_wrapper
from nooks_lab.nooks.wrappers.memory import end

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks

_LONGEST_TABLE = 256
_DEEPEST_TREE = 8


@kernel_wrapper(
    "struct ctl_table_header *register_sysctl_table(struct ctl_table *table, int insert_at_head)",
    table=Body("the whole tree of tables is copied, and checked as it is"),
)
def register_sysctl_table(nooks: "Nooks", domain: Domain, table: int, insert_at_head: int) -> int:
    """Register a version of the kernel's own of a tree of tables."""
    version = _copy(nooks, domain, table, 0)
    header = nooks.kernel.sysctl.register_sysctl_table(version, insert_at_head)
    if not header:
        _free(nooks, domain, version)
        return 0
    nooks.tracker.add(domain, "sysctl header", header, header, version)
    return header


def _copy(nooks: "Nooks", domain: Domain, table: int, depth: int) -> int:
    """Return the kernel's version of one table and all beneath it.

    Raises
    ------
    BadParameter
        When something in it is not what it should be.
    """
    if depth == _DEEPEST_TREE:
        raise BadParameter("register_sysctl_table: the tree of tables has no end")
    kernel = nooks.kernel
    size = kernel.types.size("ctl_table")
    data = b""
    while True:
        entry = domain.read(table + len(data), size, "register_sysctl_table")
        data += entry
        if not int.from_bytes(entry[:4], "little"):
            break
        if len(data) > _LONGEST_TABLE * size:
            raise BadParameter(f"register_sysctl_table: the table at {table:08x} has no end")
    version = kernel.slab.alloc(len(data))
    if not version:
        raise MemoryError("no memory for the kernel's version of a sysctl table")
    kernel.memory.write(version, data)
    try:
        nooks.tracker.add(domain, "sysctl table", version, version, table, len(data) // size)
    except NoRecord:
        kernel.slab.free(version)
        raise
    for entry in kernel.sysctl.entries(version):
        domain.read(entry.procname, 1, "register_sysctl_table")
        if entry.child:
            entry.child = _copy(nooks, domain, entry.child, depth + 1)
        elif entry.proc_handler:
            entry.proc_handler = _handler(nooks, domain, entry)
    return version


def _handler(nooks: "Nooks", domain: Domain, entry: Any) -> int:
    if entry.proc_handler == nooks.interposition.kernel_gates["proc_dointvec"]:
        domain.check_writable(entry.data, 4, "register_sysctl_table")
        return nooks.kernel.exported["proc_dointvec"]
    Callback().check(nooks, domain, "register_sysctl_table", entry.proc_handler, {})
    return nooks.entry_point("ctl_table.proc_handler")


def _free(nooks: "Nooks", domain: Domain, version: int) -> None:
    """Free the kernel's version of a tree."""
    for entry in list(nooks.kernel.sysctl.entries(version)):
        if entry.child:
            _free(nooks, domain, entry.child)
    tracked = nooks.tracker.find(domain, "sysctl table", version)
    if tracked is not None:
        end(nooks, domain, tracked)


@kernel_wrapper(
    "void unregister_sysctl_table(struct ctl_table_header *header)", header=held("sysctl header", ends=True)
)
def unregister_sysctl_table(nooks: "Nooks", domain: Domain, header: TrackedObject) -> None:
    """Take a tree back."""
    end(nooks, domain, header)
    _free(nooks, domain, header.detail[0])


@kernel_wrapper(
    "int proc_dointvec(struct ctl_table *table, int write, void *buffer, unsigned int *lenp)",
    table=Body("the int that it names must be the domain's"),
    buffer=Body("a user's address, which the function itself checks"),
    lenp=Writes(4),
)
def proc_dointvec(nooks: "Nooks", domain: Domain, table: int, write: int, buffer: int, lenp: int) -> int:
    """An extension's handler may leave an int to the kernel's."""
    domain.read(table, nooks.kernel.types.size("ctl_table"), "proc_dointvec")
    domain.check_writable(nooks.kernel.types.view("ctl_table", table).data, 4, "proc_dointvec")
    return nooks.kernel.sysctl.proc_dointvec(table, write, buffer, lenp)


@extension_wrapper("ctl_table.proc_handler", "int (*)(struct ctl_table *, int, void *, unsigned int *)")
def handle(nooks: "Nooks", ctl: int, write: int, buffer: int, lenp: int) -> int:
    """A user reads or writes a variable: the extension gets its own entry, and a length of its own to change."""
    found = _entry_of(nooks, ctl)
    if found is None or found[0].failed:
        return -EIO
    domain, own = found
    memory = nooks.kernel.memory
    length = domain.heap.alloc(4)
    if not length:
        raise NoRecord(domain, "length")
    size = memory.u32(lenp)
    memory.set_u32(length, size)
    handler = nooks.kernel.types.view("ctl_table", own).proc_handler
    result = nooks.call_extension(domain, -EIO, handler, own, write, buffer, length)
    if not domain.failed:
        memory.set_u32(lenp, min(memory.u32(length), size))
        domain.heap.free(length)
    return result


def _entry_of(nooks: "Nooks", ctl: int) -> tuple[Domain, int] | None:
    """Return the domain and the extension's version of an entry of the kernel's."""
    size = nooks.kernel.types.size("ctl_table")
    for index in range(_LONGEST_TABLE):
        held_by = nooks.tracker.by_kernel("sysctl table", ctl - index * size)
        if held_by is not None:
            domain, tracked = held_by
            return (domain, tracked.detail[0] + index * size) if index < tracked.detail[1] else None
    return None
