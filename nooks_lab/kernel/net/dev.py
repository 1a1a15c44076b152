"""Network devices: registration, transmission, reception (Linux 2.4 ``net/core/dev.c``, ``net/sched``)."""

from collections.abc import Callable
from typing import Any

from nooks_lab.kernel.errno import EEXIST, ENETDOWN, ENFILE, ENODEV, ENOMEM, EOPNOTSUPP
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.net.dev_mcast import MulticastLists
from nooks_lab.kernel.net.skbuff import SocketBuffers
from nooks_lab.kernel.slab import SlabAllocator
from nooks_lab.kernel.softirq import NET_RX_SOFTIRQ, NET_TX_SOFTIRQ, SoftIrqs
from nooks_lab.kernel.structs import Types
from nooks_lab.kernel.timers import HZ, Timers
from nooks_lab.machine.linear import LinearMemory

XOFF, START, PRESENT, SCHED, NOCARRIER = 0, 1, 2, 3, 4
"""Bits of ``net_device.state`` (``enum netdev_state_t``)."""

IFF_UP, IFF_BROADCAST, IFF_PROMISC, IFF_RUNNING, IFF_MULTICAST = 0x1, 0x2, 0x100, 0x40, 0x1000
ETH_P_ALL = 0x0003
ARPHRD_ETHER = 1
NET_RX_SUCCESS, NET_RX_DROP = 0, 4
BACKLOG_LIMIT = 300
TX_QUEUE_LENGTH = 100
_ALIGN = 32

Handler = Callable[[int], None]
"""Takes a received packet (address of its sk_buff) and owns it from then on."""


class NetDevices:
    """The device list, each device's queue, and the softirqs that move packets.

    Parameters
    ----------
    variables : dict
        Addresses of ``dev_base``, ``dev_ifindex`` and ``softnet_data``.
    call : callable
        Calls a driver's function.
    watchdog : int
        Address of the entry point ``dev_watchdog``; set after boot.
    """

    def __init__(
        self,
        types: Types,
        memory: LinearMemory,
        slab: SlabAllocator,
        skbs: SocketBuffers,
        timers: Timers,
        softirqs: SoftIrqs,
        variables: dict[str, int],
        call: Callable[..., int],
        log: Callable[[str], None],
    ) -> None:
        self._types, self._memory, self._slab, self.skbs = types, memory, slab, skbs
        self._timers, self._softirqs, self._call, self._log = timers, softirqs, call, log
        self._base, self._ifindex = variables["dev_base"], variables["dev_ifindex"]
        self._softnet = types.view("softnet_data", variables["softnet_data"])
        self._handlers: dict[int, Handler] = {}
        self.multicast = MulticastLists(types, memory, slab)
        self.taps: list[Callable[[Any, bytes], None]] = []
        self.watchdog = 0
        self.rx_dropped = 0

    def boot(self) -> None:
        """Empty the backlog and open the softirqs."""
        self.skbs.queue_init(self._softnet.input_pkt_queue.address)
        self._softirqs.open(NET_TX_SOFTIRQ, self._net_tx_action)
        self._softirqs.open(NET_RX_SOFTIRQ, self._net_rx_action)

    def add_protocol(self, ethertype: int, handler: Handler) -> None:
        """``dev_add_pack``: receive packets of an Ethernet type."""
        self._handlers[ethertype] = handler

    def view(self, address: int) -> Any:
        """Return a device by address."""
        return self._types.view("net_device", address)

    def devices(self) -> list[Any]:
        """Return every registered device."""
        found = []
        at = self._memory.u32(self._base)
        while at:
            found.append(self.view(at))
            at = found[-1].next
        return found

    def by_name(self, name: str) -> Any:
        """Return a registered device, or None."""
        return next((dev for dev in self.devices() if dev.name == name.encode()), None)

    @export(cycles=600)
    def alloc_etherdev(self, sizeof_priv: int) -> int:
        """Return a zeroed device set up for Ethernet, its private area behind it."""
        own = self._types.size("net_device") + _ALIGN - 1 & ~(_ALIGN - 1)
        address = self._slab.zalloc(own + sizeof_priv)
        if address:
            dev = self.view(address)
            dev.priv = address + own if sizeof_priv else 0
            self.ether_setup(dev)
        return address

    @export(cycles=2_600)
    def init_etherdev(self, dev: int, sizeof_priv: int) -> int:
        """Allocate a device unless there is one, and register it; its driver fills in its functions later."""
        address = dev or self.alloc_etherdev(sizeof_priv)
        if address and self.register_netdev(address):
            if not dev:
                self._slab.free(address)
            return 0
        return address

    def ether_setup(self, dev: Any) -> None:
        """Fill a device's Ethernet parts."""
        dev.name = b"eth%d"
        dev.type, dev.mtu, dev.hard_header_len, dev.addr_len = ARPHRD_ETHER, 1500, 14, 6
        dev.tx_queue_len, dev.flags = TX_QUEUE_LENGTH, IFF_BROADCAST | IFF_MULTICAST
        dev.broadcast = b"\xff" * 6

    @export(cycles=2_000)
    def register_netdev(self, dev: int) -> int:
        """Add a device to the system, and give it a name when its own has a ``%d``."""
        device = self.view(dev)
        name = device.name
        if b"%d" in name:
            taken = {other.name for other in self.devices()}
            free = (name.replace(b"%d", b"%d" % i) for i in range(100))
            chosen = next((candidate for candidate in free if candidate not in taken), None)
            if chosen is None:
                return -ENFILE
            device.name = chosen
        elif self.by_name(name.decode("latin-1")):
            return -EEXIST
        index = self._memory.u32(self._ifindex) + 1
        self._memory.set_u32(self._ifindex, index)
        device.ifindex = index
        device.state |= 1 << PRESENT
        device.refcnt.counter = 1
        self.skbs.queue_init(device.qdisc.address)
        device.watchdog_timer.data, device.watchdog_timer.function = dev, self.watchdog
        device.next = self._memory.u32(self._base)
        self._memory.set_u32(self._base, dev)
        return 0

    @export(cycles=2_000)
    def unregister_netdev(self, dev: int) -> None:
        """Close a device and take it out of the system."""
        device = self.view(dev)
        if device.flags & IFF_UP:
            self.close(device)
        self.forget(dev)

    def forget(self, dev: int) -> None:
        """Take a device out of the list and free its queue, without a call into its driver."""
        link = self._base
        while at := self._memory.u32(link):
            device = self.view(at)
            if at == dev:
                self._memory.set_u32(link, device.next)
                self._timers.del_timer(device.watchdog_timer.address)
                self.skbs.purge(device.qdisc.address)
                self._drop_backlog(dev)
                self.multicast.discard(device)
                device.state &= ~(1 << PRESENT | 1 << START)
                return
            link = device.offset_of("next")

    def _drop_backlog(self, dev: int) -> None:
        """Free received packets that name a device about to vanish."""
        head = self._softnet.input_pkt_queue.address
        at = self._memory.u32(head)
        while at != head:
            skb = self.skbs.view(at)
            at = skb.next
            if skb.dev == dev:
                self.skbs.unlink(skb.address)
                self.skbs.release(skb.address)

    def open(self, dev: Any) -> int:
        """``dev_open``: bring a device up; returns the driver's result."""
        if dev.flags & IFF_UP:
            return 0
        if not dev.state >> PRESENT & 1:
            return -ENODEV
        dev.state |= 1 << START
        result = _signed(self._call(dev.open, dev.address)) if dev.open else 0
        if result:
            dev.state &= ~(1 << START)
            return result
        dev.flags |= IFF_UP
        if dev.set_multicast_list:
            self._call(dev.set_multicast_list, dev.address)
        self._watch(dev)
        return 0

    def close(self, dev: Any) -> int:
        """``dev_close``: bring a device down."""
        if not dev.flags & IFF_UP:
            return 0
        dev.state &= ~(1 << START)
        self._timers.del_timer(dev.watchdog_timer.address)
        self.skbs.purge(dev.qdisc.address)
        if dev.stop:
            self._call(dev.stop, dev.address)
        dev.flags &= ~IFF_UP
        return 0

    def add_multicast(self, dev: Any, address: bytes) -> int:
        """``dev_mc_add``: listen to a multicast address (6 bytes); 0 or an error number, negated."""
        result = self.multicast.add(dev, address)
        self._upload_filter(dev)
        return result

    def delete_multicast(self, dev: Any, address: bytes) -> int:
        """``dev_mc_delete``: undo one :meth:`add_multicast`."""
        result = self.multicast.delete(dev, address)
        self._upload_filter(dev)
        return result

    def set_promiscuity(self, dev: Any, change: int) -> None:
        """``dev_set_promiscuity``: one listener to everything more (1), or fewer (-1)."""
        dev.promiscuity += change
        dev.flags = dev.flags | IFF_PROMISC if dev.promiscuity else dev.flags & ~IFF_PROMISC
        self._upload_filter(dev)

    def _upload_filter(self, dev: Any) -> None:
        if dev.flags & IFF_UP and dev.set_multicast_list:
            self._call(dev.set_multicast_list, dev.address)

    def ioctl(self, dev: Any, ifreq: int, command: int) -> int:
        """Pass an ioctl to the driver; ``ifreq`` is a kernel copy of the user's ``struct ifreq``."""
        if not dev.do_ioctl:
            return -EOPNOTSUPP
        return _signed(self._call(dev.do_ioctl, dev.address, ifreq, command))

    def stats(self, dev: Any) -> Any:
        """Return the driver's ``struct net_device_stats``, or None when it keeps none."""
        address = self._call(dev.get_stats, dev.address) if dev.get_stats else 0
        return self._types.view("net_device_stats", address) if address else None

    def queue_xmit(self, address: int) -> int:
        """``dev_queue_xmit``: queue a packet on its device and let the queue run; the packet is taken."""
        skb = self.skbs.view(address)
        dev = self.view(skb.dev)
        if not dev.flags & IFF_UP:
            self.skbs.release(address)
            return -ENETDOWN
        if dev.qdisc.qlen >= dev.tx_queue_len:
            self.skbs.release(address)
            return -ENOMEM
        if dev.qdisc.qlen == 0 and not dev.state >> XOFF & 1:
            if not self._transmit(dev, address):
                return 0
        else:
            self.skbs.queue_tail(dev.qdisc.address, address)
        self._qdisc_run(dev)
        return 0

    def _transmit(self, dev: Any, address: int) -> bool:
        """Hand one packet to the driver; a refused one goes back to the queue, and True is returned."""
        for tap in self.taps:
            tap(dev, self.skbs.data(address))
        if self._call(dev.hard_start_xmit, address, dev.address) == 0:
            return False
        self.skbs.queue_tail(dev.qdisc.address, address)
        return True

    def _qdisc_run(self, dev: Any) -> None:
        while dev.flags & IFF_UP and not dev.state >> XOFF & 1:
            address = self.skbs.dequeue(dev.qdisc.address)
            if not address or self._transmit(dev, address):
                return

    @export(cycles=250)
    def netif_rx(self, skb: int) -> int:
        """Take a received packet from a driver; the softirq does the rest."""
        queue = self._softnet.input_pkt_queue
        if queue.qlen >= BACKLOG_LIMIT:
            self.rx_dropped += 1
            self.skbs.release(skb)
            return NET_RX_DROP
        self.skbs.queue_tail(queue.address, skb)
        self._softirqs.raise_softirq(NET_RX_SOFTIRQ)
        return NET_RX_SUCCESS

    def _net_rx_action(self) -> None:
        queue = self._softnet.input_pkt_queue.address
        while address := self.skbs.dequeue(queue):
            skb = self.skbs.view(address)
            if self.taps:
                frame = self._memory.read(skb.mac.raw, skb.data - skb.mac.raw + skb.len)
                for tap in self.taps:
                    tap(self.view(skb.dev), frame)
            handler = self._handlers.get(_swap16(skb.protocol))
            if handler is None:
                self.skbs.release(address)
            else:
                handler(address)

    def _net_tx_action(self) -> None:
        while address := self._softnet.completion_queue:
            skb = self.skbs.view(address)
            self._softnet.completion_queue = skb.next
            skb.next = 0
            self.skbs.free(address)
        for dev in self.devices():
            if dev.state >> SCHED & 1:
                dev.state &= ~(1 << SCHED)
                self._qdisc_run(dev)

    @export(cycles=60)
    def netif_start_queue(self, dev: int) -> None:
        """Let packets flow to the driver."""
        self.view(dev).state &= ~(1 << XOFF)

    @export(cycles=60)
    def netif_stop_queue(self, dev: int) -> None:
        """Hold packets back: the driver's ring is full."""
        self.view(dev).state |= 1 << XOFF

    @export(cycles=100)
    def netif_wake_queue(self, dev: int) -> None:
        """Let packets flow again, from the softirq."""
        device = self.view(dev)
        if device.state >> XOFF & 1:
            device.state = device.state & ~(1 << XOFF) | 1 << SCHED
            self._softirqs.raise_softirq(NET_TX_SOFTIRQ)

    @export(cycles=60)
    def netif_carrier_on(self, dev: int) -> None:
        """The link is up."""
        self.view(dev).state &= ~(1 << NOCARRIER)

    @export(cycles=60)
    def netif_carrier_off(self, dev: int) -> None:
        """The link is down."""
        self.view(dev).state |= 1 << NOCARRIER

    @export(cycles=60)
    def netif_device_attach(self, dev: int) -> None:
        """The hardware is there again."""
        self.view(dev).state |= 1 << PRESENT
        self.netif_wake_queue(dev)

    @export(cycles=60)
    def netif_device_detach(self, dev: int) -> None:
        """The hardware has gone."""
        self.view(dev).state &= ~(1 << PRESENT)
        self.netif_stop_queue(dev)

    def complete(self, skb: int) -> None:
        """Have the softirq free a packet that has no reference left, as the inline ``dev_kfree_skb_irq`` does."""
        self.skbs.view(skb).next = self._softnet.completion_queue
        self._softnet.completion_queue = skb
        self._softirqs.raise_softirq(NET_TX_SOFTIRQ)

    @export(cycles=250)
    def dev_kfree_skb_any(self, skb: int) -> None:
        """Free a packet from whatever context."""
        if self._softirqs.in_hard_irq():
            packet = self.skbs.view(skb)
            packet.users.counter -= 1
            if not packet.users.counter:
                self.complete(skb)
        else:
            self.skbs.release(skb)

    @export(cycles=100)
    def eth_type_trans(self, skb: int, dev: int) -> int:
        """Strip the Ethernet header; returns the protocol in network order and sets ``pkt_type``."""
        packet, device = self.skbs.view(skb), self.view(dev)
        packet.mac.raw = packet.data
        header = self._memory.read(packet.data, 14)
        packet.data += 14
        packet.len -= 14
        if header[0] & 1:
            packet.pkt_type = 1 if header[:6] == b"\xff" * 6 else 2
        elif header[:6] != device.dev_addr[:6]:
            packet.pkt_type = 3
        return header[12] | header[13] << 8

    @export(cycles=200)
    def dev_watchdog(self, arg: int) -> None:
        """Every few seconds: a queue stopped for too long means that the driver must reset its device."""
        dev = self.view(arg)
        stalled = dev.state >> XOFF & 1 and self._timers.jiffies - dev.trans_start > dev.watchdog_timeo
        # Without a link nothing leaves, and a reset would not help.
        if dev.flags & IFF_UP and stalled and dev.tx_timeout and not dev.state >> NOCARRIER & 1:
            self._log(f"NETDEV WATCHDOG: {dev.name.decode('latin-1')}: transmit timed out\n")
            self._call(dev.tx_timeout, arg)
        self._watch(dev)

    def _watch(self, dev: Any) -> None:
        if dev.tx_timeout:
            if dev.watchdog_timeo <= 0:
                dev.watchdog_timeo = 5 * HZ
            self._timers.mod_timer(dev.watchdog_timer.address, self._timers.jiffies + dev.watchdog_timeo)


def _signed(value: int) -> int:
    return value - (1 << 32) if value >> 31 else value


def _swap16(value: int) -> int:
    return (value & 0xFF) << 8 | value >> 8
