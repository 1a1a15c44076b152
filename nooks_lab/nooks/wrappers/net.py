"""Network: devices are copied, packets are mapped (paper, sections 4.2 and 4.3)."""

from typing import TYPE_CHECKING

from nooks_lab.kernel.errno import EIO
from nooks_lab.nooks.copies import NET_DEVICE_OPS
from nooks_lab.nooks.domain import BadParameter, Domain
from nooks_lab.nooks.tracker import TrackedObject
from nooks_lab.nooks.wrappers.declare import extension_wrapper, kernel_wrapper

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks

_IFREQ = "ifreq"
_SOCKADDR_SIZE = 16


@kernel_wrapper("alloc_etherdev")
def alloc_etherdev(nooks: "Nooks", domain: Domain, sizeof_priv: int) -> int:
    """Allocate a device: the kernel's version without a private area, the extension's with it."""
    own = nooks.kernel.types.size("net_device") + 31 & ~31
    extension = domain.heap.zalloc(own + sizeof_priv)
    kernel = nooks.kernel.net.alloc_etherdev(0) if extension else 0
    if not kernel:
        domain.heap.kfree(extension)
        return 0
    nooks.net_device.to_extension(kernel, extension)
    nooks.kernel.net.view(extension).priv = extension + own

    def release(tracked: TrackedObject) -> None:
        nooks.kernel.slab.free(tracked.kernel)
        domain.heap.free(tracked.extension)

    nooks.tracker.add(domain, "net_device", kernel, extension, release)
    return extension


def _device(nooks: "Nooks", domain: Domain, dev: int, function: str) -> TrackedObject:
    return nooks.tracker.check(domain, "net_device", dev, function)


@kernel_wrapper("register_netdev")
def register_netdev(nooks: "Nooks", domain: Domain, dev: int) -> int:
    """Register the kernel's version, every function pointer replaced by its wrapper."""
    tracked = _device(nooks, domain, dev, "register_netdev")
    nooks.net_device.to_kernel(tracked.kernel, dev)
    own, version = nooks.kernel.net.view(dev), nooks.kernel.net.view(tracked.kernel)
    operations = {name: getattr(own, name) for name in NET_DEVICE_OPS}
    for name, function in operations.items():
        setattr(version, name, nooks.entry_point(f"net_device.{name}") if function else 0)
    tracked.detail = operations
    result = nooks.kernel.net.register_netdev(tracked.kernel)
    nooks.net_device.to_extension(tracked.kernel, dev)
    if result == 0:
        nooks.tracker.add(
            domain, "registered_netdev", tracked.kernel, dev, lambda o: nooks.kernel.net.forget(o.kernel)
        )
    return result


@kernel_wrapper("unregister_netdev")
def unregister_netdev(nooks: "Nooks", domain: Domain, dev: int) -> None:
    """Take a device out of the system; its stop is called if it is up."""
    tracked = nooks.tracker.check(domain, "registered_netdev", dev, "unregister_netdev")
    nooks.kernel.net.unregister_netdev(tracked.kernel)
    nooks.tracker.remove(domain, tracked)
    stats = nooks.tracker.by_kernel("net_device_stats", tracked.kernel)
    if stats is not None:
        nooks.tracker.remove(*stats)
        stats[1].release(stats[1])


def _state_function(function: str) -> None:
    """A function that changes ``dev->state``, which the extension reads in its own version."""

    @kernel_wrapper(function)
    def body(nooks: "Nooks", domain: Domain, dev: int) -> None:
        tracked = _device(nooks, domain, dev, function)
        nooks.kernel_function(function)(tracked.kernel)
        nooks.kernel.net.view(dev).state = nooks.kernel.net.view(tracked.kernel).state


for _name in (
    "netif_start_queue",
    "netif_stop_queue",
    "netif_wake_queue",
    "netif_carrier_on",
    "netif_carrier_off",
    "netif_device_attach",
    "netif_device_detach",
):
    _state_function(_name)


# Packets.  The extension gets a version of the sk_buff on its heap; the data are the kernel's own pages,
# which it may write as long as it has the packet.


def _hand_in(nooks: "Nooks", domain: Domain, skb: int) -> TrackedObject | None:
    extension = domain.heap.alloc(nooks.sk_buff.size)
    if not extension:
        return None
    nooks.sk_buff.to_extension(skb, extension)
    packet, version = nooks.kernel.skbs.view(skb), nooks.kernel.skbs.view(extension)
    version.next = version.prev = version.list = version.sk = version.destructor = 0
    device = nooks.tracker.by_kernel("net_device", packet.dev) if packet.dev else None
    version.dev = device[1].extension if device and device[0] is domain else 0
    domain.grant(packet.head, packet.end - packet.head, "packet")

    def release(tracked: TrackedObject) -> None:
        _take_back(nooks, domain, tracked)
        nooks.kernel.skbs.release(tracked.kernel)

    return nooks.tracker.add(domain, "sk_buff", skb, extension, release, (packet.head, packet.end))


def _take_back(nooks: "Nooks", domain: Domain, tracked: TrackedObject) -> None:
    """Revoke the packet's pages and free the extension's version."""
    head, end = tracked.detail
    domain.revoke(head, end - head)
    domain.heap.free(tracked.extension)


def _copy_back(nooks: "Nooks", domain: Domain, tracked: TrackedObject, function: str) -> None:
    """Bring the extension's changes of a packet to the kernel's version, after checking its pointers.

    Raises
    ------
    BadParameter
        When data and tail do not lie in the packet's buffer, or the length is another.
    """
    version = nooks.kernel.skbs.view(tracked.extension)
    head, end = tracked.detail
    data, tail = version.data, version.tail
    if not head <= data <= tail <= end or tail - data != version.len:
        raise BadParameter(f"{function}: packet {tracked.extension:08x} has data {data:08x}, tail {tail:08x}")
    if version.mac.raw and not head <= version.mac.raw <= end:
        raise BadParameter(f"{function}: packet {tracked.extension:08x} has its MAC header elsewhere")
    nooks.sk_buff.to_kernel(tracked.kernel, tracked.extension)


def _packet(nooks: "Nooks", domain: Domain, skb: int, function: str) -> TrackedObject:
    return nooks.tracker.check(domain, "sk_buff", skb, function)


def _allocated(nooks: "Nooks", domain: Domain, skb: int) -> int:
    if not skb:
        return 0
    tracked = _hand_in(nooks, domain, skb)
    if tracked is None:
        nooks.kernel.skbs.release(skb)
        return 0
    return tracked.extension


@kernel_wrapper("dev_alloc_skb")
def dev_alloc_skb(nooks: "Nooks", domain: Domain, length: int) -> int:
    """Allocate a packet and map it in."""
    return _allocated(nooks, domain, nooks.kernel.skbs.dev_alloc_skb(length))


@kernel_wrapper("alloc_skb")
def alloc_skb(nooks: "Nooks", domain: Domain, size: int, gfp_mask: int) -> int:
    """Allocate a packet and map it in."""
    return _allocated(nooks, domain, nooks.kernel.skbs.alloc_skb(size, gfp_mask))


def _freeing(function: str) -> None:
    @kernel_wrapper(function)
    def body(nooks: "Nooks", domain: Domain, skb: int) -> None:
        if not skb:
            return
        tracked = _packet(nooks, domain, skb, function)
        nooks.tracker.remove(domain, tracked)
        _take_back(nooks, domain, tracked)
        nooks.kernel_function(function)(tracked.kernel)


for _name in ("kfree_skb", "dev_kfree_skb_irq", "dev_kfree_skb_any"):
    _freeing(_name)


def _panicking(function: str, what: str) -> None:
    @kernel_wrapper(function)
    def body(nooks: "Nooks", domain: Domain, skb: int, sz: int, here: int) -> None:
        raise BadParameter(f"{what} of {sz} bytes leaves packet {skb:08x}, at {here:08x}")


_panicking("skb_over_panic", "skb_put")
_panicking("skb_under_panic", "skb_push")


@kernel_wrapper("eth_type_trans")
def eth_type_trans(nooks: "Nooks", domain: Domain, skb: int, dev: int) -> int:
    """Strip the Ethernet header of both versions."""
    tracked = _packet(nooks, domain, skb, "eth_type_trans")
    device = _device(nooks, domain, dev, "eth_type_trans")
    _copy_back(nooks, domain, tracked, "eth_type_trans")
    protocol = nooks.kernel.net.eth_type_trans(tracked.kernel, device.kernel)
    packet, version = nooks.kernel.skbs.view(tracked.kernel), nooks.kernel.skbs.view(skb)
    version.data, version.len, version.mac.raw = packet.data, packet.len, packet.mac.raw
    version.pkt_type = packet.pkt_type
    return protocol


@kernel_wrapper("netif_rx")
def netif_rx(nooks: "Nooks", domain: Domain, skb: int) -> int:
    """Take a received packet: map it out, hand the kernel's version on."""
    tracked = _packet(nooks, domain, skb, "netif_rx")
    version = nooks.kernel.skbs.view(skb)
    device = _device(nooks, domain, version.dev, "netif_rx")
    _copy_back(nooks, domain, tracked, "netif_rx")
    nooks.kernel.skbs.view(tracked.kernel).dev = device.kernel
    nooks.tracker.remove(domain, tracked)
    _take_back(nooks, domain, tracked)
    return nooks.kernel.net.netif_rx(tracked.kernel)


def _call_device(nooks: "Nooks", dev: int, operation: str, otherwise: int, *arguments: int) -> int:
    """Call a device's function between two synchronisations of its versions."""
    held = nooks.tracker.by_kernel("net_device", dev)
    if held is None:
        return otherwise
    domain, tracked = held
    nooks.net_device.to_extension(dev, tracked.extension)
    result = nooks.call_extension(domain, otherwise, tracked.detail[operation], tracked.extension, *arguments)
    if not domain.failed:
        nooks.net_device.to_kernel(dev, tracked.extension)
    return result


def _operation(name: str, otherwise: int) -> None:
    @extension_wrapper(f"net_device.{name}")
    def body(nooks: "Nooks", dev: int, *arguments: int) -> int:
        return _call_device(nooks, dev, name, otherwise, *arguments)


for _operation_name in ("init", "open", "stop", "change_mtu"):
    _operation(_operation_name, -EIO)
for _operation_name in ("set_multicast_list", "tx_timeout"):
    _operation(_operation_name, 0)


@extension_wrapper("net_device.hard_start_xmit")
def hard_start_xmit(nooks: "Nooks", skb: int, dev: int) -> int:
    """Give a packet to the driver; it is the driver's from then on, unless it refuses it."""
    held = nooks.tracker.by_kernel("net_device", dev)
    packet = _hand_in(nooks, held[0], skb) if held is not None and not held[0].failed else None
    if held is None or packet is None:
        nooks.kernel.skbs.release(skb)
        return 0
    domain, tracked = held
    nooks.net_device.to_extension(dev, tracked.extension)
    result = nooks.call_extension(
        domain, 0, tracked.detail["hard_start_xmit"], packet.extension, tracked.extension
    )
    if domain.failed:
        return 0
    nooks.net_device.to_kernel(dev, tracked.extension)
    if result and nooks.tracker.find(domain, "sk_buff", packet.extension) is packet:
        nooks.tracker.remove(domain, packet)
        _take_back(nooks, domain, packet)
    return result


@extension_wrapper("net_device.get_stats")
def get_stats(nooks: "Nooks", dev: int) -> int:
    """Copy the driver's statistics to the kernel's version, which is what the caller sees."""
    address = _call_device(nooks, dev, "get_stats", 0)
    held = nooks.tracker.by_kernel("net_device", dev)
    if not address or held is None:
        return 0
    domain = held[0]
    size = nooks.kernel.types.size("net_device_stats")
    kept = nooks.tracker.by_kernel("net_device_stats", dev)
    if kept is None:
        copy = nooks.kernel.slab.zalloc(size)
        tracked = nooks.tracker.add(
            domain, "net_device_stats", dev, address, lambda o: nooks.kernel.slab.free(o.detail), copy
        )
    else:
        tracked = kept[1]
    try:
        data = domain.read(address, size, "get_stats")
    except BadParameter as refused:
        nooks.fail(domain, str(refused))
        return 0
    nooks.kernel.memory.write(tracked.detail, data)
    return int(tracked.detail)


def _call_with_copy(nooks: "Nooks", dev: int, operation: str, pointer: int, size: int, *rest: int) -> int:
    """Call a function with a struct of the kernel's by value and result; the copy lives for this call."""
    held = nooks.tracker.by_kernel("net_device", dev)
    if held is None:
        return -EIO
    domain = held[0]
    copy = domain.heap.alloc(size)
    if not copy:
        return -EIO
    nooks.kernel.memory.write(copy, nooks.kernel.memory.read(pointer, size))
    tracked = nooks.tracker.add(domain, "ifreq", pointer, copy, lambda o: domain.heap.free(o.extension))
    result = _call_device(nooks, dev, operation, -EIO, copy, *rest)
    if not domain.failed:
        nooks.kernel.memory.write(pointer, nooks.kernel.memory.read(copy, size))
        nooks.tracker.remove(domain, tracked)
        domain.heap.free(copy)
    return result


@extension_wrapper("net_device.do_ioctl")
def do_ioctl(nooks: "Nooks", dev: int, ifr: int, cmd: int) -> int:
    """Pass an ioctl; ``struct ifreq`` goes by value and result."""
    return _call_with_copy(nooks, dev, "do_ioctl", ifr, nooks.kernel.types.size(_IFREQ), cmd)


@extension_wrapper("net_device.set_mac_address")
def set_mac_address(nooks: "Nooks", dev: int, addr: int) -> int:
    """Change the station address; the sockaddr goes by value."""
    return _call_with_copy(nooks, dev, "set_mac_address", addr, _SOCKADDR_SIZE)
