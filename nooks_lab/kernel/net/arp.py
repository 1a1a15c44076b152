"""Address resolution on Ethernet (RFC 826; Linux 2.4 ``net/ipv4/arp.c``, ``net/core/neighbour.c``)."""

import struct
from collections.abc import Callable, Iterator
from typing import Any

from nooks_lab.kernel.errno import EHOSTUNREACH, ENOBUFS, ENOMEM
from nooks_lab.kernel.net.checksum import LAYER_CYCLES, copy_cycles
from nooks_lab.kernel.net.parts import HashTable, Parts
from nooks_lab.kernel.net.route import Route, Routes
from nooks_lab.kernel.timers import HZ
from nooks_lab.machine.ethernet import BROADCAST

ETH_P_IP, ETH_P_ARP = 0x0800, 0x0806
_ETH_HLEN = 14
_HEADROOM = 16
"""Room for the Ethernet header, with the IP header behind it aligned."""

NEIGH_HASH_SIZE = 16
NUD_INCOMPLETE, NUD_REACHABLE = 1, 2

MAX_PROBES = 3
RETRANS_TIME = HZ
"""Jiffies between two requests for the same address."""
REACHABLE_TIME = 30 * HZ
"""Jiffies for which an answer is believed."""
MAX_QUEUED = 3
"""Packets that may wait for an answer, as in Linux."""
MAX_ENTRIES = 128

_PACKET = struct.Struct("!HHBBH6s4s6s4s")
_ETHERNET_IPV4 = (1, ETH_P_IP, 6, 4)
_REQUEST, _REPLY = 1, 2

Unreachable = Callable[[bytes, int], None]
"""Takes an IP packet that could not be delivered, and an error number."""


class Arp:
    """The neighbour table, and how a packet gets to a neighbour."""

    def __init__(self, parts: Parts, routes: Routes) -> None:
        self._types, self._memory, self._slab, self._skbs = parts.types, parts.memory, parts.slab, parts.skbs
        self._net, self._timers, self._clock, self._routes = parts.net, parts.timers, parts.clock, routes
        self._timer_bh, self._timer_functions = parts.timer_bh, parts.timer_functions
        self._entries = parts.variables["arp_entries"]
        self.table = HashTable(parts, "arp_hash", NEIGH_HASH_SIZE, "neighbour", "node")
        self.mib = parts.global_view("arp_mib", "arp_statistics")

    def boot(self, unreachable: Unreachable) -> None:
        """Empty the table.

        Parameters
        ----------
        unreachable : callable
            Told of each packet that will wait in vain.
        """
        self.table.boot()
        self._unreachable = unreachable

    # Reception

    def receive(self, address: int) -> None:
        """Handle a received ARP packet (RFC 826, "Packet Reception")."""
        self._clock.advance(LAYER_CYCLES)
        skb = self._skbs.view(address)
        packet, dev = self._skbs.data(address), self._net.view(skb.dev)
        self._skbs.release(address)
        if len(packet) < _PACKET.size:
            self.mib.InErrors += 1
            return
        *kind, operation, hardware, sender, _, target = _PACKET.unpack_from(packet)
        ifa = self._routes.of_device(dev)
        source, wanted = int.from_bytes(sender, "big"), int.from_bytes(target, "big")
        if tuple(kind) != _ETHERNET_IPV4 or operation not in (_REQUEST, _REPLY) or hardware[0] & 1:
            self.mib.InErrors += 1
        elif ifa is not None:
            self._answer(dev, ifa, operation, hardware, source, wanted)

    def _answer(self, dev: Any, ifa: Any, operation: int, hardware: bytes, source: int, wanted: int) -> None:
        local = ifa.ifa_local
        if operation == _REQUEST:
            self.mib.InRequests += 1
        else:
            self.mib.InReplies += 1
        # Address 0 is a station that asks whether its address is free; our own would be a second owner of it.
        if source not in (0, local) and self._routes.is_on_link(ifa, source):
            neigh = self._find(ifa, source)
            if neigh is None and operation == _REQUEST and wanted == local:
                neigh = self._create(ifa, source)
            if neigh is not None:
                self._update(neigh, dev, hardware)
        if operation == _REQUEST and wanted == local:
            self.mib.OutReplies += 1
            self._send_packet(dev, _REPLY, hardware, local, hardware, source)

    def _update(self, neigh: Any, dev: Any, hardware: bytes) -> None:
        """Note a neighbour's hardware address, and send what has waited for it."""
        self._timers.del_timer(neigh.timer.address)
        neigh.ha, neigh.nud_state, neigh.confirmed = hardware, NUD_REACHABLE, self._timers.jiffies
        while address := self._skbs.dequeue(neigh.arp_queue.address):
            self._push_header(address, dev, hardware)
            self._net.queue_xmit(address)

    # Transmission

    def output(self, route: Route, packet: bytes) -> int:
        """Send an IP packet to its next hop, now or when that has answered; 0 or an error number, negated."""
        self._clock.advance(LAYER_CYCLES + copy_cycles(len(packet)))
        if route.kind == "broadcast":
            return self._send(route.dev, BROADCAST, ETH_P_IP, packet)
        neigh = self._find(route.ifa, route.next_hop)
        if neigh is None:
            neigh = self._create(route.ifa, route.next_hop)
            if neigh is None:
                return -ENOBUFS
        if neigh.nud_state == NUD_REACHABLE:
            if self._timers.jiffies - neigh.confirmed & 0xFFFFFFFF <= REACHABLE_TIME:
                return self._send(route.dev, neigh.ha[:6], ETH_P_IP, packet)
            neigh.nud_state = 0
        return self._wait_for_answer(neigh, route.dev, packet)

    def _wait_for_answer(self, neigh: Any, dev: Any, packet: bytes) -> int:
        queue = neigh.arp_queue
        if queue.qlen >= MAX_QUEUED:
            self._skbs.release(self._skbs.dequeue(queue.address))
        address = self._skbs.make(packet, _HEADROOM)
        if not address:
            return -ENOMEM
        self._skbs.queue_tail(queue.address, address)
        if neigh.nud_state != NUD_INCOMPLETE:
            neigh.nud_state, neigh.probes = NUD_INCOMPLETE, 0
            self._probe(neigh, dev)
        return 0

    def _probe(self, neigh: Any, dev: Any) -> None:
        neigh.probes += 1
        self._timers.mod_timer(neigh.timer.address, self._timers.jiffies + RETRANS_TIME)
        self.mib.OutRequests += 1
        local = self._types.view("in_ifaddr", neigh.ifa).ifa_local
        self._send_packet(dev, _REQUEST, BROADCAST, local, bytes(6), neigh.primary_key)

    def timer_expired(self, address: int) -> None:
        """``neigh_timer_handler``: ask again, or give up."""
        neigh = self._types.view("neighbour", address)
        if self._timer_bh.defer(neigh.timer.address):
            return
        dev = self._routes.device(self._types.view("in_ifaddr", neigh.ifa))
        if neigh.probes < MAX_PROBES and dev is not None:
            self._probe(neigh, dev)
        else:
            self.mib.Failures += 1
            self._fail(neigh)

    def _fail(self, neigh: Any) -> None:
        """Report the waiting packets, and forget the neighbour: the next packet starts afresh."""
        queue = neigh.arp_queue.address
        waiting = []
        while address := self._skbs.dequeue(queue):
            waiting.append(self._skbs.data(address))
            self._skbs.release(address)
        self._destroy(neigh)
        for packet in waiting:
            self._unreachable(packet, EHOSTUNREACH)

    def _send_packet(
        self, dev: Any, operation: int, to: bytes, source: int, target_hardware: bytes, target: int
    ) -> None:
        packet = _PACKET.pack(
            *_ETHERNET_IPV4,
            operation,
            dev.dev_addr[:6],
            source.to_bytes(4, "big"),
            target_hardware,
            target.to_bytes(4, "big"),
        )
        self._send(dev, to, ETH_P_ARP, packet)

    def _send(self, dev: Any, to: bytes, protocol: int, payload: bytes) -> int:
        header = to + dev.dev_addr[:6] + protocol.to_bytes(2, "big")
        address = self._skbs.make(header + payload)
        if not address:
            return -ENOMEM
        skb = self._skbs.view(address)
        skb.dev = dev.address
        return self._net.queue_xmit(address)

    def _push_header(self, address: int, dev: Any, to: bytes) -> None:
        skb = self._skbs.view(address)
        start = skb.data - _ETH_HLEN
        self._memory.write(start, to + dev.dev_addr[:6] + ETH_P_IP.to_bytes(2, "big"))
        skb.data, skb.len, skb.dev = start, skb.len + _ETH_HLEN, dev.address

    # The table

    def entries(self) -> Iterator[Any]:
        """Yield every neighbour, as a view of ``struct neighbour``."""
        return self.table.all()

    def _find(self, ifa: Any, address: int) -> Any:
        for neigh in self.table.chain(address):
            if neigh.primary_key == address and neigh.ifa == ifa.address:
                return neigh
        return None

    def _create(self, ifa: Any, address: int) -> Any:
        """Return a new neighbour; an old one makes room when the table is full, or None is returned."""
        if self._memory.u32(self._entries) >= MAX_ENTRIES and not self._evict():
            return None
        new = self._slab.zalloc(self._types.size("neighbour"))
        if not new:
            return None
        neigh = self._types.view("neighbour", new)
        neigh.ifa, neigh.primary_key = ifa.address, address
        self._skbs.queue_init(neigh.arp_queue.address)
        neigh.timer.function, neigh.timer.data = self._timer_functions["neigh_timer_handler"], new
        self.table.add(neigh, address)
        self._memory.set_u32(self._entries, self._memory.u32(self._entries) + 1)
        return neigh

    def _evict(self) -> bool:
        now = self._timers.jiffies
        idle = [neigh for neigh in self.entries() if neigh.nud_state != NUD_INCOMPLETE]
        if not idle:
            return False
        self._destroy(max(idle, key=lambda neigh: now - neigh.confirmed & 0xFFFFFFFF))
        return True

    def _destroy(self, neigh: Any) -> None:
        self._timers.del_timer(neigh.timer.address)
        self._skbs.purge(neigh.arp_queue.address)
        self.table.remove(neigh)
        self._memory.set_u32(self._entries, self._memory.u32(self._entries) - 1)
        self._slab.free(neigh.address)
