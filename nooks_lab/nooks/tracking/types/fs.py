"""Filesystems: their types, super blocks, inodes, dentries, open files, and their structs of function pointers."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nooks_lab.nooks.isolation.domain import Domain
from nooks_lab.nooks.tracking.object_types import (
    Lifetime,
    ObjectType,
    Transfer,
    nothing_to_check,
    nothing_to_release,
    register,
)

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks
    from nooks_lab.nooks.tracking.tracker import TrackedObject


def free_filesystem(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> None:
    """Forget a filesystem type and free the kernel's version."""
    nooks.kernel.fs.supers.unregister_filesystem(tracked.kernel)
    nooks.kernel.slab.free(tracked.kernel)


def _check_filesystem(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    if tracked.kernel not in [kind.address for kind in nooks.kernel.fs.supers.filesystems()]:
        yield f"{tracked.kernel:08x} is not in the kernel's list of filesystem types"
        return
    pointer = nooks.kernel.types.view("file_system_type", tracked.kernel).read_super
    gate = nooks.kernel.execution.gates.get(pointer)
    if gate is None or gate.name != "nooks_file_system_type.read_super":
        yield f"its read_super is {pointer:08x}, which is no wrapper"


def _abandon(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> None:
    nooks.fs.free(domain, tracked)
    supers = nooks.kernel.fs.supers
    if tracked.kernel in [sb.address for sb in supers.supers()]:
        supers.abandon(supers.view(tracked.kernel))


def _free_versions(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> None:
    nooks.fs.free(domain, tracked)


def _iput(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> None:
    nooks.kernel.fs.inodes.iput(tracked.kernel)


def _dput(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> None:
    nooks.kernel.fs.dcache.dput(tracked.kernel)


def _check_versions(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    size = nooks.kernel.types.size(tracked.type)
    for what, address in (("the kernel's version", tracked.kernel), ("the twin", tracked.detail[0])):
        if (nooks.kernel.slab.size_of(address) or 0) < size:
            yield f"{what} {address:08x} is no allocated {tracked.type}"
        elif domain.may_write(address):
            yield f"the extension may write {what} {address:08x}"
    if domain.heap.size_of(tracked.extension) is None:
        yield f"the extension's version {tracked.extension:08x} is no block of its heap"


def _check_reference(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    kind = tracked.type.removesuffix(" reference")
    found = nooks.tracker.find(domain, kind, tracked.extension)
    if found is None or found.kernel != tracked.kernel:
        yield f"it counts a use of {tracked.extension:08x}, which is no {kind} of the domain"
        return
    view = nooks.kernel.types.view(kind, tracked.kernel)
    count = (view.i_count if kind == "inode" else view.d_count).counter
    if count <= 0:
        yield f"it counts a use of {kind} {tracked.kernel:08x}, which nobody uses"


def free_table(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> None:
    """Free the kernel's version of a struct of function pointers."""
    nooks.kernel.slab.free(tracked.kernel)
    if tracked.detail[0]:
        domain.heap.free(tracked.extension)


def _check_table(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    if (nooks.kernel.slab.size_of(tracked.kernel) or 0) < nooks.kernel.types.size(tracked.type):
        yield f"the kernel's version {tracked.kernel:08x} is no allocated {tracked.type}"
        return
    if domain.may_write(tracked.kernel):
        yield f"the extension may write the kernel's version {tracked.kernel:08x}"
    for member, pointer in nooks.fs.pointers(tracked.type, tracked.kernel).items():
        gate = nooks.kernel.execution.gates.get(pointer)
        if pointer and (
            gate is None or gate.name not in (f"nooks_{tracked.type}.{member}", *nooks.kernel.exported)
        ):
            yield f"the kernel's {member} is {pointer:08x}, which is neither a wrapper nor a kernel function"


def _release_chrdev(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> None:
    nooks.kernel.fs.chrdevs.unregister_chrdev(tracked.kernel, 0)


def _check_chrdev(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    if not nooks.kernel.fs.chrdevs.operations(tracked.kernel):
        yield f"nobody has the major number {tracked.kernel}"


def _check_heap_copy(_nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    if domain.heap.size_of(tracked.extension) is None:
        yield f"the extension's version {tracked.extension:08x} is no block of its heap"


def _versions(number: int, name: str) -> ObjectType:
    return ObjectType(
        number,
        name,
        Lifetime.EXPLICIT,
        Transfer.COPY,
        _abandon if name == "super_block" else _free_versions,
        _check_versions,
        struct=name,
        shared=True,
    )


def _table(number: int, name: str) -> ObjectType:
    return ObjectType(
        number, name, Lifetime.EXPLICIT, Transfer.COPY, free_table, _check_table, struct=name, shared=True
    )


def _call(number: int, name: str, struct: str, transfer: Transfer = Transfer.COPY) -> ObjectType:
    check = _check_heap_copy if transfer is Transfer.COPY else nothing_to_check
    return ObjectType(number, name, Lifetime.CALL, transfer, nothing_to_release, check, struct=struct)


register(
    ObjectType(
        40,
        "file_system_type",
        Lifetime.EXPLICIT,
        Transfer.COPY,
        free_filesystem,
        _check_filesystem,
        struct="file_system_type",
        shared=True,
    ),
    _versions(41, "super_block"),
    _versions(42, "inode"),
    ObjectType(43, "inode reference", Lifetime.EXPLICIT, Transfer.HANDLE, _iput, _check_reference),
    _versions(44, "dentry"),
    ObjectType(45, "dentry reference", Lifetime.EXPLICIT, Transfer.HANDLE, _dput, _check_reference),
    _versions(46, "file"),
    _table(47, "file_operations"),
    _table(48, "inode_operations"),
    _table(49, "super_operations"),
    _table(50, "dentry_operations"),
    _table(51, "address_space_operations"),
    ObjectType(52, "character device", Lifetime.EXPLICIT, Transfer.HANDLE, _release_chrdev, _check_chrdev),
    _call(53, "qstr", "qstr"),
    _call(54, "iattr", "iattr"),
    _call(55, "statfs", "statfs"),
    _call(56, "address_space", "address_space", Transfer.HANDLE),
    _call(57, "readdir buffer", "", Transfer.HANDLE),
    _call(58, "mount options", ""),
    _call(63, "poll_table", "poll_table_struct", Transfer.HANDLE),
    _call(16, "position", ""),
)
