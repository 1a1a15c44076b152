"""Memory: the domain's private heap, pages, vmalloc areas, device registers, user memory, strings."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from nooks_lab.kernel.exports import VaList
from nooks_lab.kernel.format import vsprintf
from nooks_lab.kernel.page_alloc import MAX_ORDER
from nooks_lab.nooks.isolation.domain import BadParameter, Domain
from nooks_lab.nooks.isolation.page_tracker import Grant
from nooks_lab.nooks.tracking.object_types import TYPES
from nooks_lab.nooks.tracking.tracker import TrackedObject
from nooks_lab.nooks.wrappers.decisions import Body, Reads, Text, Writes, held
from nooks_lab.nooks.wrappers.declare import kernel_wrapper, pass_through

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks

pass_through("int printk(char *fmt, ...)", fmt=Text())


def end(nooks: "Nooks", domain: Domain, tracked: TrackedObject) -> None:
    """End an object's lifetime: forget it and give it back."""
    nooks.tracker.remove(tracked)
    TYPES[tracked.type].release(nooks, domain, tracked)


@kernel_wrapper("void *kmalloc(unsigned int size, int flags)")
def kmalloc(nooks: "Nooks", domain: Domain, size: int, flags: int) -> int:
    """Allocate from the domain's heap, whose pages it may write."""
    address = _within_limit(nooks, domain, lambda: domain.heap.alloc(size))
    if address:
        nooks.tracker.add(domain, "heap block", address, address)
    return address


def _within_limit(nooks: "Nooks", domain: Domain, allocate: Callable[[], int]) -> int:
    """Allocate; when that fails for the limit of the domain's pages, policy says what follows."""
    refused = domain.heap.pages.refused
    address = allocate()
    if not address and domain.heap.pages.refused > refused:
        nooks.over_limit(domain, f"heap of {domain.heap.pages.limit} pages")
    return address


@kernel_wrapper("void kfree(void *objp)", objp=held("heap block", "net_device", null=True, ends=True))
def kfree(nooks: "Nooks", domain: Domain, objp: TrackedObject | None) -> None:
    """Free a heap block or a net_device; anything else is a bad parameter, a double free included."""
    if objp is not None:
        end(nooks, domain, objp)


@kernel_wrapper("unsigned long __get_free_pages(unsigned int gfp_mask, unsigned int order)")
def get_free_pages(nooks: "Nooks", domain: Domain, gfp_mask: int, order: int) -> int:
    """Allocate whole pages, which count towards the heap's limit, and grant them."""
    if order >= MAX_ORDER:
        return 0
    address = _within_limit(nooks, domain, lambda: domain.heap.pages.alloc(order))
    if address:
        nooks.tracker.add(domain, "pages", address, address, order)
    return address


@kernel_wrapper(
    "void free_pages(unsigned long addr, unsigned int order)", addr=held("pages", null=True, ends=True)
)
def free_pages(nooks: "Nooks", domain: Domain, addr: TrackedObject | None, order: int) -> None:
    """Free whole pages; the order must be the one they were allocated with."""
    if addr is None:
        return
    if addr.detail[0] != order:
        raise BadParameter(f"free_pages: {addr.kernel:08x} has order {addr.detail[0]}, not {order}")
    end(nooks, domain, addr)


@kernel_wrapper("void *vmalloc(unsigned long size)")
def vmalloc(nooks: "Nooks", domain: Domain, size: int) -> int:
    """Allocate an area and grant its pages."""
    address = nooks.kernel.vmalloc.alloc(size)
    if address:
        domain.grant(address, size, Grant.HEAP)
        nooks.tracker.add(domain, "vmalloc area", address, address, size)
    return address


@kernel_wrapper("void vfree(void *addr)", addr=held("vmalloc area", null=True, ends=True))
def vfree(nooks: "Nooks", domain: Domain, addr: TrackedObject | None) -> None:
    """Free an area of the domain's."""
    if addr is not None:
        end(nooks, domain, addr)


@kernel_wrapper("void *ioremap(unsigned long offset, unsigned long size)")
def ioremap(nooks: "Nooks", domain: Domain, offset: int, size: int) -> int:
    """Map device registers and grant them; RAM is none of a device's registers."""
    if offset < nooks.kernel.machine.memory.size:
        raise BadParameter(f"ioremap: {offset:08x} is RAM")
    address = nooks.kernel.vmalloc.ioremap(offset, size)
    if address:
        domain.grant(address, size, Grant.DEVICE_REGISTERS)
        nooks.tracker.add(domain, "ioremap area", address, address, size)
    return address


@kernel_wrapper("void iounmap(void *addr)", addr=held("ioremap area", ends=True))
def iounmap(nooks: "Nooks", domain: Domain, addr: TrackedObject) -> None:
    """Unmap device registers."""
    end(nooks, domain, addr)


pass_through(
    "unsigned long copy_to_user(void *to, void *from, unsigned long n)",
    to=Body("a user's address, which copy_to_user itself checks"),
    from_=Reads("n"),
)
pass_through(
    "unsigned long copy_from_user(void *to, void *from, unsigned long n)",
    to=Writes("n"),
    from_=Body("a user's address, which copy_from_user itself checks"),
)


@kernel_wrapper(
    "int sprintf(char *buf, char *fmt, ...)",
    buf=Body("how long the text is shows only when it is formatted"),
    fmt=Text(),
)
def sprintf(nooks: "Nooks", domain: Domain, buf: int, fmt: int, arguments: VaList) -> int:
    """Format into a buffer of the extension's."""
    text = vsprintf(nooks.kernel.memory, nooks.kernel.memory.string(fmt), arguments)
    domain.check_writable(buf, len(text) + 1, "sprintf")
    nooks.kernel.memory.write(buf, text + b"\0")
    return len(text)


@kernel_wrapper("int snprintf(char *buf, unsigned int size, char *fmt, ...)", buf=Writes("size"), fmt=Text())
def snprintf(nooks: "Nooks", domain: Domain, buf: int, size: int, fmt: int, arguments: VaList) -> int:
    """Format into a buffer of the extension's of ``size`` bytes."""
    return nooks.kernel.printk.snprintf(buf, size, fmt, arguments)
