"""Blocks of disks and pages of files: they are mapped, not copied (paper, section 4.4).

Rights are those of pages, and the buffer cache puts several blocks of less than 4 KiB on one, as Linux does.  So while
an extension holds one block it can write the others of that page too: its neighbours by number of bytes, whoever they
belong to, and a block that it has released, until it releases the last one of the page.  Every block of a page is of
one size, and in practice of one device; so what a stray store can reach is other blocks of the extension's own volume,
never the kernel's structs (a ``buffer_head`` lies on the slab's pages, and stays read-only).  A stray store into a
neighbour changes what the cache holds; it gets to the disk when somebody marks that block dirty.  A page for each block
would cost four times the memory (512-byte blocks: eight times) and would change the kernel's allocation for the sake of
isolation; the paper grants pages as well.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nooks_lab.machine.memory import PAGE_SIZE
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


def release_block(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> None:
    """Map a block out again, and let the cache have it."""
    data, size, _ = tracked.detail
    domain.revoke(data, size)
    nooks.kernel.fs.buffers.release(nooks.kernel.fs.buffers.view(tracked.kernel))


def _check_block(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    data, size, _ = tracked.detail
    if nooks.kernel.slab.size_of(tracked.kernel) is None:
        yield f"{tracked.kernel:08x} is no allocated buffer_head"
        return
    bh = nooks.kernel.fs.buffers.view(tracked.kernel)
    if (bh.b_data, bh.b_size) != (data, size):
        yield f"its data lie at {bh.b_data:08x}, {data:08x} was granted"
    if bh.b_count.counter <= 0:
        yield f"nobody uses block {bh.b_blocknr}"
    if domain.may_write(tracked.kernel):
        yield f"the extension may write the buffer_head {tracked.kernel:08x}"
    if not domain.may_write(data, size):
        yield f"its data at {data:08x} are not granted"


def release_page(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> None:
    """Map a page of a file out again; one that the extension uses is unlocked, and has one user less."""
    data, used, _ = tracked.detail
    domain.revoke(data, PAGE_SIZE)
    domain.heap.free(tracked.extension)
    if used:
        pages = nooks.kernel.fs.pages
        pages.unlock(pages.view(tracked.kernel))
        pages.release(pages.view(tracked.kernel))


def _check_page(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    if nooks.kernel.types.view("page", tracked.kernel).virtual != tracked.detail[0]:
        yield f"{tracked.kernel:08x} is not the struct page of {tracked.detail[0]:08x}"
    elif not domain.may_write(tracked.detail[0], PAGE_SIZE):
        yield f"its data at {tracked.detail[0]:08x} are not granted"


register(
    ObjectType(
        59,
        "buffer_head",
        Lifetime.EXPLICIT,
        Transfer.MAP,
        release_block,
        _check_block,
        struct="buffer_head",
        shared=True,
    ),
    ObjectType(
        60,
        "get_block result",
        Lifetime.CALL,
        Transfer.COPY,
        nothing_to_release,
        nothing_to_check,
        struct="buffer_head",
    ),
    ObjectType(
        61,
        "page",
        Lifetime.EXPLICIT,
        Transfer.MAP,
        release_page,
        _check_page,
        struct="page",
        shared=True,
    ),
    ObjectType(
        62,
        "semaphore",
        Lifetime.CALL,
        Transfer.HANDLE,
        nothing_to_release,
        nothing_to_check,
        struct="semaphore",
    ),
)
