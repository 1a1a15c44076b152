"""Network: devices are copied, packets are mapped (paper, sections 4.2 to 4.4)."""

from typing import TYPE_CHECKING

from nooks_lab.kernel.errno import EIO
from nooks_lab.nooks.isolation.domain import BadParameter, Domain
from nooks_lab.nooks.isolation.page_tracker import Grant
from nooks_lab.nooks.tracking.tracker import TrackedObject
from nooks_lab.nooks.wrappers.decisions import Body, Cookie, held
from nooks_lab.nooks.wrappers.declare import Deferral, extension_wrapper, kernel_wrapper, parse
from nooks_lab.nooks.wrappers.memory import end

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks

_SOCKADDR_SIZE = 16
NET_RX_SUCCESS = 0


def _new_device(nooks: "Nooks", domain: Domain, sizeof_priv: int) -> TrackedObject | None:
    """Allocate both versions: the kernel's without a private area, the extension's with it."""
    own = nooks.kernel.types.size("net_device") + 31 & ~31
    extension = domain.heap.zalloc(own + sizeof_priv) if sizeof_priv >= 0 else 0
    kernel = nooks.kernel.net.alloc_etherdev(0) if extension else 0
    if not kernel:
        domain.heap.kfree(extension)
        return None
    nooks.net_device.to_extension(kernel, extension)
    nooks.kernel.net.view(extension).priv = extension + own
    return nooks.tracker.add(domain, "net_device", kernel, extension)


@kernel_wrapper("struct net_device *alloc_etherdev(int sizeof_priv)")
def alloc_etherdev(nooks: "Nooks", domain: Domain, sizeof_priv: int) -> int:
    """Allocate a device."""
    device = _new_device(nooks, domain, sizeof_priv)
    return 0 if device is None else device.extension


@kernel_wrapper(
    "struct net_device *init_etherdev(struct net_device *dev, int sizeof_priv)",
    dev=held("net_device", null=True),
)
def init_etherdev(nooks: "Nooks", domain: Domain, dev: TrackedObject | None, sizeof_priv: int) -> int:
    """Allocate and register a device; the extension fills it in "in time", so it is copied back later."""
    device = dev or _new_device(nooks, domain, sizeof_priv)
    if device is None:
        return 0
    if _register(nooks, domain, device):
        if dev is None:
            end(nooks, domain, device)
        return 0
    nooks.copy_back_later(domain, device)
    return device.extension


def _register(nooks: "Nooks", domain: Domain, device: TrackedObject) -> int:
    nooks.net_device.to_kernel(device.kernel, device.extension)
    result = nooks.kernel.net.register_netdev(device.kernel)
    nooks.net_device.to_extension(device.kernel, device.extension)
    if result == 0:
        nooks.tracker.add(domain, "registered_netdev", device.kernel, device.extension)
    return result


@kernel_wrapper("int register_netdev(struct net_device *dev)", dev=held("net_device"))
def register_netdev(nooks: "Nooks", domain: Domain, dev: TrackedObject) -> int:
    """Register the kernel's version, every function pointer replaced by its wrapper."""
    if nooks.tracker.find(domain, "registered_netdev", dev.extension) is not None:
        raise BadParameter(f"register_netdev: {dev.extension:08x} is registered already")
    return _register(nooks, domain, dev)


@kernel_wrapper("void unregister_netdev(struct net_device *dev)", dev=held("registered_netdev"))
def unregister_netdev(nooks: "Nooks", domain: Domain, dev: TrackedObject) -> None:
    """Take a device out of the system; its stop is called if it is up."""
    nooks.kernel.net.unregister_netdev(dev.kernel)
    nooks.tracker.remove(dev)
    for statistics in nooks.tracker.objects(domain, ["net_device_stats"]):
        if statistics.detail[0] == dev.kernel:
            end(nooks, domain, statistics)


def _changes_state(prototype: str) -> None:
    """A function that changes ``dev->state``, which the extension reads in its own version."""
    function = parse(prototype).name

    def body(nooks: "Nooks", domain: Domain, dev: TrackedObject) -> None:
        nooks.kernel_function(function)(dev.kernel)
        nooks.refresh_later(domain, dev)

    kernel_wrapper(prototype, dev=held("net_device"))(body)


for _function in (
    "netif_start_queue",
    "netif_stop_queue",
    "netif_wake_queue",
    "netif_carrier_on",
    "netif_carrier_off",
    "netif_device_attach",
    "netif_device_detach",
):
    _changes_state(f"void {_function}(struct net_device *dev)")


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
    head, tail = packet.head, packet.end
    domain.grant(head, tail - head, Grant.PACKET)
    return nooks.tracker.add(domain, "sk_buff", skb, extension, head, tail)


def _copy_back(nooks: "Nooks", domain: Domain, tracked: TrackedObject, function: str) -> None:
    """Bring the extension's changes of a packet to the kernel's version, after checking its pointers.

    Raises
    ------
    BadParameter
        When data and tail do not lie in the packet's buffer, or the length is another.
    """
    version = nooks.kernel.skbs.view(tracked.extension)
    head, limit, _ = tracked.detail
    data, tail = version.data, version.tail
    if not head <= data <= tail <= limit or tail - data != version.len:
        raise BadParameter(f"{function}: packet {tracked.extension:08x} has data {data:08x}, tail {tail:08x}")
    if version.mac.raw and not head <= version.mac.raw <= limit:
        raise BadParameter(f"{function}: packet {tracked.extension:08x} has its MAC header elsewhere")
    nooks.sk_buff.to_kernel(tracked.kernel, tracked.extension)


def _allocated(nooks: "Nooks", domain: Domain, skb: int) -> int:
    if not skb:
        return 0
    tracked = _hand_in(nooks, domain, skb)
    if tracked is None:
        nooks.kernel.skbs.release(skb)
        return 0
    return tracked.extension


@kernel_wrapper("struct sk_buff *dev_alloc_skb(unsigned int length)")
def dev_alloc_skb(nooks: "Nooks", domain: Domain, length: int) -> int:
    """Allocate a packet and map it in."""
    return _allocated(nooks, domain, nooks.kernel.skbs.dev_alloc_skb(length))


@kernel_wrapper("struct sk_buff *alloc_skb(unsigned int size, int gfp_mask)")
def alloc_skb(nooks: "Nooks", domain: Domain, size: int, gfp_mask: int) -> int:
    """Allocate a packet and map it in."""
    return _allocated(nooks, domain, nooks.kernel.skbs.alloc_skb(size, gfp_mask))


def _frees(prototype: str) -> None:
    function = parse(prototype).name

    def body(nooks: "Nooks", domain: Domain, skb: TrackedObject | None) -> None:
        if skb is not None:
            nooks.tracker.remove(skb)
            nooks.take_packet_back(domain, skb)
            nooks.kernel_function(function)(skb.kernel)

    kernel_wrapper(prototype, skb=held("sk_buff", null=True, ends=True))(body)


_frees("void kfree_skb(struct sk_buff *skb)")
_frees("void dev_kfree_skb_any(struct sk_buff *skb)")


def _panics(prototype: str, what: str) -> None:
    def body(nooks: "Nooks", domain: Domain, skb: int, sz: int, here: int) -> None:
        raise BadParameter(f"{what} of {sz} bytes leaves packet {skb:08x}, at {here:08x}")

    kernel_wrapper(prototype, skb=Body("it is reported, not used"), here=Cookie())(body)


_panics("void skb_over_panic(struct sk_buff *skb, int sz, void *here)", "skb_put")
_panics("void skb_under_panic(struct sk_buff *skb, int sz, void *here)", "skb_push")


@kernel_wrapper(
    "unsigned short eth_type_trans(struct sk_buff *skb, struct net_device *dev)",
    skb=held("sk_buff"),
    dev=held("net_device"),
)
def eth_type_trans(nooks: "Nooks", domain: Domain, skb: TrackedObject, dev: TrackedObject) -> int:
    """Strip the Ethernet header of both versions."""
    _copy_back(nooks, domain, skb, "eth_type_trans")
    protocol = nooks.kernel.net.eth_type_trans(skb.kernel, dev.kernel)
    packet, version = nooks.kernel.skbs.view(skb.kernel), nooks.kernel.skbs.view(skb.extension)
    version.data, version.len, version.mac.raw = packet.data, packet.len, packet.mac.raw
    version.pkt_type = packet.pkt_type
    return protocol


@kernel_wrapper(
    "int netif_rx(struct sk_buff *skb)",
    deferral=Deferral(
        "the softirq delivers it later anyway, and a driver cannot help a full backlog", NET_RX_SUCCESS
    ),
    skb=held("sk_buff", ends=True),
)
def netif_rx(nooks: "Nooks", domain: Domain, skb: TrackedObject) -> int:
    """Take a received packet: map it out, hand the kernel's version on."""
    device = nooks.tracker.check(domain, "net_device", nooks.kernel.skbs.view(skb.extension).dev, "netif_rx")
    _copy_back(nooks, domain, skb, "netif_rx")
    nooks.kernel.skbs.view(skb.kernel).dev = device.kernel
    nooks.tracker.remove(skb)
    nooks.take_packet_back(domain, skb)
    return nooks.kernel.net.netif_rx(skb.kernel)


# Extension wrappers

_NO_XMIT = "it has no hard_start_xmit, which the kernel calls without asking whether it is there"


def _call_device(nooks: "Nooks", dev: int, operation: str, otherwise: int, *arguments: int) -> int:
    """Call a device's function; its version is brought up to date before, and copied back when it returns."""
    held_by = nooks.tracker.by_kernel("net_device", dev)
    if held_by is None or held_by[0].failed:
        return otherwise
    domain, device = held_by
    if not nooks.bring_up_to_date(domain, device):
        return otherwise
    own = nooks.kernel.memory.read(device.extension, nooks.net_device.size)
    function = nooks.net_device.function(own, operation)
    if operation == "hard_start_xmit":
        return nooks.call_extension(domain, otherwise, function, *arguments, device.extension)
    return nooks.call_extension(domain, otherwise, function, device.extension, *arguments)


def _operation(name: str, prototype: str, otherwise: int) -> None:
    @extension_wrapper(f"net_device.{name}", prototype)
    def body(nooks: "Nooks", dev: int, *arguments: int) -> int:
        return _call_device(nooks, dev, name, otherwise, *arguments)


@extension_wrapper("net_device.open", "int (*)(struct net_device *)")
def open_device(nooks: "Nooks", dev: int) -> int:
    """Bring a device up; it must have been filled in by now."""
    result = _call_device(nooks, dev, "open", -EIO)
    found = nooks.tracker.by_kernel("net_device", dev)
    if result == 0 and found is not None and not nooks.kernel.net.view(dev).hard_start_xmit:
        nooks.fail(found[0], f"net_device.open: {found[1].extension:08x}: {_NO_XMIT}")
        return -EIO
    return result


_operation("init", "int (*)(struct net_device *)", -EIO)
_operation("stop", "int (*)(struct net_device *)", -EIO)
_operation("change_mtu", "int (*)(struct net_device *, int)", -EIO)
_operation("set_multicast_list", "void (*)(struct net_device *)", 0)
_operation("tx_timeout", "void (*)(struct net_device *)", 0)


@extension_wrapper("net_device.hard_start_xmit", "int (*)(struct sk_buff *, struct net_device *)")
def hard_start_xmit(nooks: "Nooks", skb: int, dev: int) -> int:
    """Give a packet to the driver; it is the driver's from then on, unless it refuses it."""
    held_by = nooks.tracker.by_kernel("net_device", dev)
    packet = _hand_in(nooks, held_by[0], skb) if held_by is not None and not held_by[0].failed else None
    if held_by is None or packet is None:
        nooks.kernel.skbs.release(skb)
        return 0
    domain = held_by[0]
    result = _call_device(nooks, dev, "hard_start_xmit", 0, packet.extension)
    if domain.failed:
        return 0
    if result and nooks.tracker.find(domain, "sk_buff", packet.extension) != packet:
        nooks.fail(domain, f"hard_start_xmit refuses packet {packet.extension:08x}, which it has given away")
        return 0
    if result:
        nooks.tracker.remove(packet)
        nooks.take_packet_back(domain, packet)
    return result


@extension_wrapper("net_device.get_stats", "struct net_device_stats *(*)(struct net_device *)")
def get_stats(nooks: "Nooks", dev: int) -> int:
    """Copy the driver's statistics to the kernel's version, which is what the caller sees."""
    address = _call_device(nooks, dev, "get_stats", 0)
    held_by = nooks.tracker.by_kernel("net_device", dev)
    if not address or held_by is None:
        return 0
    domain = held_by[0]
    size = nooks.kernel.types.size("net_device_stats")
    try:
        data = domain.read(address, size, "get_stats")
        tracked = nooks.tracker.find(domain, "net_device_stats", address)
        if tracked is None:
            copy = nooks.kernel.slab.zalloc(size)
            if not copy:
                return 0
            tracked = nooks.tracker.add(domain, "net_device_stats", copy, address, dev)
    except BadParameter as refused:
        nooks.fail(domain, str(refused))
        return 0
    nooks.kernel.memory.write(tracked.kernel, data)
    return tracked.kernel


def _call_with_copy(
    nooks: "Nooks", dev: int, operation: str, kind: str, pointer: int, size: int, *rest: int
) -> int:
    """Call a function with a struct of the kernel's by value and result; the copy lives for this call."""
    held_by = nooks.tracker.by_kernel("net_device", dev)
    if held_by is None or held_by[0].failed:
        return -EIO
    domain = held_by[0]
    copy = domain.heap.alloc(size)
    if not copy:
        return -EIO
    nooks.kernel.memory.write(copy, nooks.kernel.memory.read(pointer, size))
    with nooks.tracker.call_object(domain, kind, pointer, copy):
        result = _call_device(nooks, dev, operation, -EIO, copy, *rest)
        if not domain.failed:
            nooks.kernel.memory.write(pointer, nooks.kernel.memory.read(copy, size))
    if not domain.failed:
        # The heap of a failed domain may have gone with the last task that left it.
        domain.heap.free(copy)
    return result


@extension_wrapper("net_device.do_ioctl", "int (*)(struct net_device *, struct ifreq *, int)")
def do_ioctl(nooks: "Nooks", dev: int, ifr: int, cmd: int) -> int:
    """Pass an ioctl; ``struct ifreq`` goes by value and result."""
    return _call_with_copy(nooks, dev, "do_ioctl", "ifreq", ifr, nooks.kernel.types.size("ifreq"), cmd)


@extension_wrapper("net_device.set_mac_address", "int (*)(struct net_device *, void *)")
def set_mac_address(nooks: "Nooks", dev: int, addr: int) -> int:
    """Change the station address; the sockaddr goes by value."""
    return _call_with_copy(nooks, dev, "set_mac_address", "sockaddr", addr, _SOCKADDR_SIZE)
