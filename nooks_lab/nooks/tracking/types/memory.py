"""Memory that an extension has allocated, and device registers that it has mapped."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nooks_lab.kernel.page_alloc import MAX_ORDER
from nooks_lab.machine.memory import PAGE_MASK, PAGE_SIZE
from nooks_lab.nooks.isolation.domain import Domain
from nooks_lab.nooks.tracking.object_types import Lifetime, ObjectType, Transfer, register

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks
    from nooks_lab.nooks.tracking.tracker import TrackedObject


def _free_block(_nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> None:
    domain.heap.free(tracked.kernel)


def _check_block(_nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    if domain.heap.size_of(tracked.kernel) is None:
        yield f"{tracked.kernel:08x} is no allocated block of the domain's heap"
    elif not domain.may_write(tracked.kernel):
        yield f"its page {tracked.kernel & ~0xFFF:08x} is not granted"


def _free_pages(_nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> None:
    domain.heap.pages.free(tracked.kernel, tracked.detail[0])


def _check_pages(_nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    order = tracked.detail[0]
    if order >= MAX_ORDER:
        yield f"there are no blocks of order {order}"
    elif not domain.may_write(tracked.kernel, PAGE_SIZE << order):
        yield f"the pages at {tracked.kernel:08x} are not all granted"


def _free_area(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> None:
    nooks.kernel.vmalloc.free(tracked.kernel)


def _check_area(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    size = tracked.detail[0]
    area = nooks.kernel.vmalloc.area(tracked.kernel & PAGE_MASK)
    if area is None:
        yield f"{tracked.kernel:08x} is no area of the kernel's"
    elif tracked.kernel + size > area.addr + area.size - PAGE_SIZE:
        yield f"its {size} bytes are more than the area at {area.addr:08x} has"
    elif not domain.may_write(tracked.kernel, size):
        yield f"the area at {tracked.kernel:08x} is not all granted"


def _unmap_registers(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> None:
    nooks.kernel.vmalloc.iounmap(tracked.kernel)


register(
    ObjectType(1, "heap block", Lifetime.EXPLICIT, Transfer.MAP, _free_block, _check_block),
    ObjectType(2, "pages", Lifetime.EXPLICIT, Transfer.MAP, _free_pages, _check_pages, dma=True),
    ObjectType(3, "vmalloc area", Lifetime.EXPLICIT, Transfer.MAP, _free_area, _check_area),
    ObjectType(4, "ioremap area", Lifetime.EXPLICIT, Transfer.MAP, _unmap_registers, _check_area, dma=True),
)
