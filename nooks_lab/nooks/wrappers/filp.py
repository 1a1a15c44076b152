"""Files that an extension opens and reads for itself."""

from typing import TYPE_CHECKING

from nooks_lab.nooks.isolation.domain import Domain
from nooks_lab.nooks.tracking.tracker import TrackedObject
from nooks_lab.nooks.wrappers.decisions import Cookie, Text, Writes, held
from nooks_lab.nooks.wrappers.declare import kernel_wrapper
from nooks_lab.nooks.wrappers.memory import end
from nooks_lab.nooks.wrappers.tasks import sleeping

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks


@kernel_wrapper("struct file *filp_open(char *filename, int flags, int mode)", filename=Text())
def filp_open(nooks: "Nooks", domain: Domain, filename: int, flags: int, mode: int) -> int:
    """Open a file, which may mean to wait for a disk; the extension reads the ``struct file`` where it is."""
    file = sleeping(nooks, lambda: nooks.kernel.kernel_files.filp_open(filename, flags, mode))
    if file > 0:
        if domain.failed:
            nooks.kernel.kernel_files.filp_close(file, 0)
        else:
            nooks.tracker.add(domain, "open file", file, file)
    return file


@kernel_wrapper("int filp_close(struct file *filp, void *id)", filp=held("open file", ends=True), id=Cookie())
def filp_close(nooks: "Nooks", domain: Domain, filp: TrackedObject, id: int) -> int:
    """Give a file up."""
    sleeping(nooks, lambda: end(nooks, domain, filp))
    return 0


@kernel_wrapper(
    "int kernel_read(struct file *file, unsigned long offset, char *addr, unsigned long count)",
    file=held("open file"),
    addr=Writes("count"),
)
def kernel_read(
    nooks: "Nooks", domain: Domain, file: TrackedObject, offset: int, addr: int, count: int
) -> int:
    """Read into the extension's memory; that may mean to wait for a disk."""
    read = nooks.kernel.kernel_files.kernel_read
    return sleeping(nooks, lambda: read(file.kernel, offset, addr, count))
