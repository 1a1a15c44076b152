"""Memory: the domain's private heap, vmalloc areas, device registers, user memory."""

from typing import TYPE_CHECKING

from nooks_lab.kernel.exports import VaList
from nooks_lab.kernel.format import vsprintf
from nooks_lab.nooks.domain import BadParameter, Domain
from nooks_lab.nooks.tracker import TrackedObject
from nooks_lab.nooks.wrappers.declare import kernel_wrapper, pass_through

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks

pass_through("printk")


@kernel_wrapper("kmalloc")
def kmalloc(nooks: "Nooks", domain: Domain, size: int, flags: int) -> int:
    """Allocate from the domain's heap, whose pages it may write."""
    address = domain.heap.alloc(size)
    if address:
        nooks.tracker.add(domain, "heap block", address, address, lambda o: domain.heap.free(o.kernel))
    return address


@kernel_wrapper("kfree")
def kfree(nooks: "Nooks", domain: Domain, objp: int) -> None:
    """Free a heap block or a net_device; anything else is a bad parameter, a double free included."""
    if not objp:
        return
    tracked = nooks.tracker.find(domain, "heap block", objp) or nooks.tracker.find(domain, "net_device", objp)
    if tracked is None:
        raise BadParameter(f"kfree: {objp:08x} is no object of domain {domain.name}")
    nooks.tracker.remove(domain, tracked)
    tracked.release(tracked)


@kernel_wrapper("vmalloc")
def vmalloc(nooks: "Nooks", domain: Domain, size: int) -> int:
    """Allocate an area and grant its pages."""
    address = nooks.kernel.vmalloc.alloc(size)
    if address:
        domain.grant(address, size, "heap")
        nooks.tracker.add(domain, "vmalloc area", address, address, lambda o: _vfree(nooks, o))
    return address


@kernel_wrapper("vfree")
def vfree(nooks: "Nooks", domain: Domain, addr: int) -> None:
    """Free an area of the domain's."""
    if addr:
        tracked = nooks.tracker.check(domain, "vmalloc area", addr, "vfree")
        nooks.tracker.remove(domain, tracked)
        tracked.release(tracked)


def _vfree(nooks: "Nooks", tracked: TrackedObject) -> None:
    nooks.kernel.vmalloc.free(tracked.kernel)


@kernel_wrapper("ioremap")
def ioremap(nooks: "Nooks", domain: Domain, offset: int, size: int) -> int:
    """Map device registers and grant them; RAM is none of a device's registers."""
    if offset < nooks.kernel.machine.memory.size:
        raise BadParameter(f"ioremap: {offset:08x} is RAM")
    address = nooks.kernel.vmalloc.ioremap(offset, size)
    if address:
        domain.grant(address, size, "device registers")
        nooks.tracker.add(
            domain, "ioremap area", address, address, lambda o: nooks.kernel.vmalloc.iounmap(o.kernel)
        )
    return address


@kernel_wrapper("iounmap")
def iounmap(nooks: "Nooks", domain: Domain, addr: int) -> None:
    """Unmap device registers."""
    tracked = nooks.tracker.check(domain, "ioremap area", addr, "iounmap")
    nooks.tracker.remove(domain, tracked)
    tracked.release(tracked)


@kernel_wrapper("copy_to_user")
def copy_to_user(nooks: "Nooks", domain: Domain, to: int, from_: int, n: int) -> int:
    """Copy to user memory from what the extension can read."""
    domain.read(from_, n, "copy_to_user")
    return nooks.kernel.user.copy_to_user(to, from_, n)


@kernel_wrapper("copy_from_user")
def copy_from_user(nooks: "Nooks", domain: Domain, to: int, from_: int, n: int) -> int:
    """Copy from user memory to what the extension may write."""
    domain.check_writable(to, n, "copy_from_user")
    return nooks.kernel.user.copy_from_user(to, from_, n)


@kernel_wrapper("sprintf")
def sprintf(nooks: "Nooks", domain: Domain, buf: int, fmt: int, arguments: VaList) -> int:
    """Format into a buffer of the extension's."""
    text = vsprintf(nooks.kernel.memory, nooks.kernel.memory.string(fmt), arguments)
    domain.check_writable(buf, len(text) + 1, "sprintf")
    nooks.kernel.memory.write(buf, text + b"\0")
    return len(text)


@kernel_wrapper("snprintf")
def snprintf(nooks: "Nooks", domain: Domain, buf: int, size: int, fmt: int, arguments: VaList) -> int:
    """Format into a buffer of the extension's of ``size`` bytes."""
    if size:
        domain.check_writable(buf, size, "snprintf")
    return nooks.kernel.printk.snprintf(buf, size, fmt, arguments)
