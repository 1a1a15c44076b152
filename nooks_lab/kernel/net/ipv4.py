"""The Internet Protocol: headers in and out (RFC 791; Linux 2.4 ``net/ipv4/ip_input.c``, ``ip_output.c``)."""

import struct
from collections.abc import Callable
from typing import NamedTuple

from nooks_lab.kernel.errno import EMSGSIZE, ENETUNREACH, ENOMEM
from nooks_lab.kernel.net.arp import Arp
from nooks_lab.kernel.net.checksum import LAYER_CYCLES, checksum, checksum_cycles, copy_cycles
from nooks_lab.kernel.net.parts import Parts
from nooks_lab.kernel.net.route import Route, Routes

IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP = 1, 6, 17
HEADER_SIZE = 20
DEFAULT_TTL = 64
_VERSION = 4
_MORE_FRAGMENTS, _OFFSET_MASK = 0x2000, 0x1FFF
_OTHERHOST, _LOOPBACK = 3, 5
_HEADER = struct.Struct("!BBHHHBBHII")
_HTONS_ETH_P_IP = 0x0008


class Packet(NamedTuple):
    """A received IP packet, its header checked.

    Attributes
    ----------
    source, destination : int
        Addresses in host order.
    header, payload : bytes
        The header with its options, and what the protocol gets.
    broadcast : bool
        Whether it was for every station.
    """

    source: int
    destination: int
    protocol: int
    header: bytes
    payload: bytes
    broadcast: bool


Protocol = Callable[[int, Packet], None]
"""Takes a received packet: the sk_buff, which it owns from then on, and its contents."""
ErrorHandler = Callable[[Packet, int], None]
"""Takes a packet of ours (as much of it as came back) that did not arrive, and an error number."""


class Ipv4:
    """Reception, delivery to the protocols, and sending; packets are neither forwarded nor fragmented."""

    def __init__(self, parts: Parts, routes: Routes, arp: Arp) -> None:
        self._parts, self._memory, self._skbs, self._net = parts, parts.memory, parts.skbs, parts.net
        self._clock, self._arp, self.routes = parts.clock, arp, routes
        self.mib = parts.global_view("ip_mib", "ip_statistics")
        self._protocols: dict[int, tuple[Protocol, ErrorHandler]] = {}

    def add_protocol(self, number: int, receive: Protocol, error: ErrorHandler) -> None:
        """``inet_add_protocol``: say who gets a protocol's packets, and who hears that one was lost."""
        self._protocols[number] = receive, error

    # Reception

    def receive(self, address: int) -> None:
        """Check a received packet and hand it to its protocol."""
        skb = self._skbs.view(address)
        self.mib.InReceives += 1
        self._clock.advance(LAYER_CYCLES)
        kind = skb.pkt_type
        packet = None
        if kind != _OTHERHOST:
            packet = self._check(self._memory.read(skb.data, skb.len), kind == _LOOPBACK)
        if packet is None:
            self._skbs.release(address)
            return
        handlers = self._protocols.get(packet.protocol)
        if handlers is None:
            self.mib.InUnknownProtos += 1
            self._skbs.release(address)
            return
        start = skb.data
        skb.nh.raw = start
        skb.h.raw = skb.data = start + len(packet.header)
        skb.len = len(packet.payload)
        skb.tail = skb.data + skb.len
        self.mib.InDelivers += 1
        handlers[0](address, packet)

    def _check(self, data: bytes, own: bool) -> Packet | None:
        """Return the packet when it is sound and for us; count it and return None otherwise."""
        packet = parse(data)
        if packet is None or checksum(packet.header):
            self.mib.InHdrErrors += 1
            return None
        self._clock.advance(checksum_cycles(len(packet.header)))
        routes = self.routes
        broadcast = routes.is_broadcast(packet.destination)
        if not broadcast and not routes.is_local(packet.destination):
            self.mib.InAddrErrors += 1
            return None
        source = packet.source
        # Nobody else may speak for us, or a forged packet has us talk to ourselves without end.
        if not _may_be_source(source) or routes.is_broadcast(source) or routes.is_local(source) != own:
            self.mib.InAddrErrors += 1
            return None
        if int.from_bytes(data[6:8], "big") & (_MORE_FRAGMENTS | _OFFSET_MASK):
            self.mib.ReasmReqds += 1
            self.mib.ReasmFails += 1
            return None
        return packet._replace(broadcast=True) if broadcast else packet

    # Transmission

    def output(self, route: Route, protocol: int, source: int, destination: int, payload: bytes) -> int:
        """Send a packet; called with bottom halves off.

        Parameters
        ----------
        route : Route
            From :meth:`.Routes.lookup`.
        source, destination : int
            Addresses in host order; the source is the route's, or another one of ours.
        payload : bytes
            The protocol's header and data.

        Returns
        -------
        int
            0, or an error number, negated.
        """
        total = HEADER_SIZE + len(payload)
        self._clock.advance(LAYER_CYCLES)
        if total > route.dev.mtu:
            self.mib.FragFails += 1
            return -EMSGSIZE
        identification = self._parts.next_number("ip_ident") & 0xFFFF
        fields = (
            *(_VERSION << 4 | HEADER_SIZE >> 2, 0, total, identification, 0, DEFAULT_TTL, protocol),
            *(0, source, destination),
        )
        header = _HEADER.pack(*fields)
        header = header[:10] + checksum(header).to_bytes(2, "big") + header[12:]
        self.mib.OutRequests += 1
        if route.kind == "local":
            return self._loop_back(route, header + payload)
        result = self._arp.output(route, header + payload)
        if result:
            self.mib.OutDiscards += 1
        return result

    def send(self, protocol: int, destination: int, payload: bytes) -> int:
        """Send a packet by whatever route there is; see :meth:`output`."""
        route = self.routes.lookup(destination)
        if route is None:
            self.mib.OutNoRoutes += 1
            return -ENETUNREACH
        return self.output(route, protocol, route.source, destination, payload)

    def _loop_back(self, route: Route, data: bytes) -> int:
        """Receive a packet to ourselves, as the loopback device does."""
        self._clock.advance(copy_cycles(len(data)))
        address = self._skbs.make(data)
        if not address:
            return -ENOMEM
        skb = self._skbs.view(address)
        skb.dev, skb.protocol, skb.mac.raw = route.dev.address, _HTONS_ETH_P_IP, skb.data
        skb.pkt_type = _LOOPBACK
        self._net.netif_rx(address)
        return 0

    # Errors

    def report_error(self, data: bytes, error: int) -> None:
        """Tell the protocol of a packet of ours that it did not arrive.

        Parameters
        ----------
        data : bytes
            Its IP header and at least eight bytes behind it; anything less is ignored.
        error : int
            Error number for the socket, positive.
        """
        packet = parse(data, whole=False)
        if packet is None or len(packet.payload) < 8 or not self.routes.is_local(packet.source):
            return
        handlers = self._protocols.get(packet.protocol)
        if handlers is not None:
            handlers[1](packet, error)


def parse(data: bytes, whole: bool = True) -> Packet | None:
    """Return an IP packet's parts, or None when its lengths or its version make no sense.

    Parameters
    ----------
    data : bytes
        From the header on; what lies behind the packet (Ethernet's padding) is left out.
    whole : bool
        Whether all of the packet has to be there; an ICMP error returns only its beginning.
    """
    if len(data) < HEADER_SIZE:
        return None
    first, _, total, _, _, _, protocol, _, source, destination = _HEADER.unpack_from(data)
    size = (first & 15) << 2
    if first >> 4 != _VERSION or not HEADER_SIZE <= size <= total or size > len(data):
        return None
    if whole and total > len(data):
        return None
    return Packet(source, destination, protocol, data[:size], data[size:total], False)


def _may_be_source(address: int) -> bool:
    """Tell whether a station can have an address: not 0, not loopback, neither multicast nor reserved."""
    return 0 < address < 0xE0000000 and address >> 24 != 127
