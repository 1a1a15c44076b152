"""Variables that an extension shows in ``/proc/sys``."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nooks_lab.nooks.isolation.domain import Domain
from nooks_lab.nooks.tracking.object_types import Lifetime, ObjectType, Transfer, register

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks
    from nooks_lab.nooks.tracking.tracker import TrackedObject


def _unregister(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> None:
    nooks.kernel.sysctl.unregister_sysctl_table(tracked.kernel)


def _check_header(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    if tracked.kernel not in nooks.kernel.sysctl.tables():
        yield f"{tracked.kernel:08x} is not in the kernel's list of tables"
    elif domain.may_write(tracked.kernel):
        yield f"the extension may write the header {tracked.kernel:08x}"


def _free_table(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> None:
    nooks.kernel.slab.free(tracked.kernel)


def _check_table(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    kernel = nooks.kernel
    if kernel.slab.size_of(tracked.kernel) is None:
        yield f"the kernel's version {tracked.kernel:08x} is no allocated table"
        return
    if domain.may_write(tracked.kernel):
        yield f"the extension may write the kernel's version {tracked.kernel:08x}"
    allowed = {0, kernel.exported["proc_dointvec"]}
    for entry in kernel.sysctl.entries(tracked.kernel):
        gate = kernel.execution.gates.get(entry.proc_handler)
        if entry.proc_handler not in allowed and (
            gate is None or gate.name != "nooks_ctl_table.proc_handler"
        ):
            yield f"the handler {entry.proc_handler:08x} is no wrapper"


register(
    ObjectType(
        17,
        "sysctl table",
        Lifetime.EXPLICIT,
        Transfer.COPY,
        _free_table,
        _check_table,
        struct="ctl_table",
    ),
    ObjectType(
        18,
        "sysctl header",
        Lifetime.EXPLICIT,
        Transfer.HANDLE,
        _unregister,
        _check_header,
        struct="ctl_table_header",
    ),
)
