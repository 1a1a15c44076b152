"""Files that an extension has opened for itself."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nooks_lab.nooks.isolation.domain import Domain
from nooks_lab.nooks.tracking.object_types import Lifetime, ObjectType, Transfer, register

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks
    from nooks_lab.nooks.tracking.tracker import TrackedObject


def _close(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> None:
    nooks.kernel.kernel_files.filp_close(tracked.kernel, 0)


def _check_file(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    if nooks.kernel.slab.size_of(tracked.kernel) is None:
        yield f"{tracked.kernel:08x} is no allocated file"
    elif domain.may_write(tracked.kernel):
        yield f"the extension may write the file {tracked.kernel:08x}"


register(
    ObjectType(
        39,
        "open file",
        Lifetime.EXPLICIT,
        Transfer.HANDLE,
        _close,
        _check_file,
        struct="file",
        shared=True,
    ),
)
