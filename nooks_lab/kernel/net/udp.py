"""The User Datagram Protocol (RFC 768; Linux 2.4 ``net/ipv4/udp.c``)."""

import struct
from typing import Any

from nooks_lab.kernel.errno import EADDRINUSE, EINVAL, EMSGSIZE, ENETUNREACH
from nooks_lab.kernel.net.checksum import LAYER_CYCLES, checksum_cycles, copy_cycles, transport_checksum
from nooks_lab.kernel.net.icmp import Icmp
from nooks_lab.kernel.net.ipv4 import IPPROTO_UDP, Ipv4, Packet
from nooks_lab.kernel.net.parts import HashTable, Parts
from nooks_lab.kernel.net.ports import ephemeral_port
from nooks_lab.kernel.net.sock import SocketError, Socks

UDP_HTABLE_SIZE = 128
RCVBUF = 131072
"""Bytes of memory (``truesize``: a page and more for each) that datagrams may take until they are read."""
_CHECKSUM_UNNECESSARY = 2
_HEADER = struct.Struct("!HHHH")
_HEADER_SIZE = 8
_MAX_DATA = 0xFFFF - _HEADER_SIZE


class Udp:
    """Datagrams to and from ports."""

    def __init__(self, parts: Parts, ip: Ipv4, icmp: Icmp, socks: Socks) -> None:
        self._parts, self._memory, self._skbs, self._clock = parts, parts.memory, parts.skbs, parts.clock
        self._bh, self._ip, self._icmp, self._socks = parts.bottom_halves, ip, icmp, socks
        self._bound = HashTable(parts, "udp_hash", UDP_HTABLE_SIZE, "sock", "node")
        self.mib = parts.global_view("udp_mib", "udp_statistics")

    def boot(self) -> None:
        """Take UDP packets from IP."""
        self._bound.boot()
        self._ip.add_protocol(IPPROTO_UDP, self.receive, self.error)

    # Reception

    def receive(self, address: int, packet: Packet) -> None:
        """Give a received datagram to its port's socket."""
        self._clock.advance(LAYER_CYCLES)
        length = self._check(packet, self._skbs.view(address).ip_summed)
        if not length:
            self.mib.InErrors += 1
            self._skbs.release(address)
            return
        sk = self._lookup(packet.destination, int.from_bytes(packet.payload[2:4], "big"), packet.broadcast)
        if sk is None:
            self.mib.NoPorts += 1
            self._skbs.release(address)
            self._icmp.port_unreachable(packet)
            return
        skb = self._skbs.view(address)
        skb.data += _HEADER_SIZE
        skb.len = length - _HEADER_SIZE
        skb.tail = skb.data + skb.len
        if self._socks.queue_rcv(sk, address):
            self.mib.InDatagrams += 1
        else:
            self.mib.InErrors += 1

    def _check(self, packet: Packet, ip_summed: int) -> int:
        """Return the datagram's length, or 0 when it is not sound."""
        data = packet.payload
        if len(data) < _HEADER_SIZE:
            return 0
        _, _, length, total = _HEADER.unpack_from(data)
        if not _HEADER_SIZE <= length <= len(data):
            return 0
        if total and ip_summed != _CHECKSUM_UNNECESSARY:
            self._clock.advance(checksum_cycles(length))
            if transport_checksum(packet.source, packet.destination, IPPROTO_UDP, data[:length]):
                return 0
        return int(length)

    def _lookup(self, destination: int, port: int, broadcast: bool) -> Any:
        """Return the socket of a port: the one bound to the very address before one bound to all."""
        found = None
        for sk in self._bound.chain(port):
            if sk.num == port:
                own = sk.rcv_saddr
                if own == destination:
                    return sk
                if not own or broadcast:
                    found = sk
        return found

    def error(self, packet: Packet, error: int) -> None:
        """A datagram of ours did not arrive: its socket's next call says so."""
        sk = self._lookup(packet.source, int.from_bytes(packet.payload[:2], "big"), False)
        if sk is not None:
            sk.err = error
            self._socks.wake(sk)

    # Socket calls

    def create(self) -> Any:
        """Return a new socket, which its caller has to :meth:`close`."""
        sk = self._socks.create(IPPROTO_UDP)
        sk.rcvbuf = RCVBUF
        return sk

    def bind(self, sk: Any, address: int, port: int) -> None:
        """Give a socket its address (0: any of ours) and port (0: a free one).

        Raises
        ------
        SocketError
            EINVAL when it is bound already, EADDRINUSE when the port is taken.
        """
        if sk.num:
            raise SocketError(EINVAL, f"the socket is bound to port {sk.num} already")
        sk.rcv_saddr = address
        if port:
            if self._taken(address, port):
                raise SocketError(EADDRINUSE, f"another socket is bound to UDP port {port}")
        else:
            port = ephemeral_port(self._parts, lambda candidate: self._taken(address, candidate))
        sk.num = port
        self._bound.add(sk, port)

    def _taken(self, address: int, port: int) -> bool:
        return any(
            sk.num == port and (not address or sk.rcv_saddr in (0, address)) for sk in self._bound.chain(port)
        )

    def sendto(self, sk: Any, data: bytes, address: int, port: int) -> int:
        """Send a datagram; returns its length in bytes.

        Raises
        ------
        SocketError
            The pending error of an earlier datagram, or why this one cannot be sent.
        """
        self._socks.take_error(sk)
        if len(data) > _MAX_DATA:
            raise SocketError(EMSGSIZE, f"{len(data)} bytes do not fit into a UDP datagram")
        if not sk.num:
            self.bind(sk, 0, 0)
        route = self._ip.routes.lookup(address)
        if route is None:
            self._ip.mib.OutNoRoutes += 1
            raise SocketError(ENETUNREACH)
        source, length = sk.rcv_saddr or route.source, _HEADER_SIZE + len(data)
        datagram = _HEADER.pack(sk.num & 0xFFFF, port, length, 0) + data
        # 0 would say that there is no checksum; its other form is as good.
        total = transport_checksum(source, address, IPPROTO_UDP, datagram) or 0xFFFF
        self._clock.advance(LAYER_CYCLES + copy_cycles(length) + checksum_cycles(length))
        with self._bh:
            self.mib.OutDatagrams += 1
            result = self._ip.output(
                route, IPPROTO_UDP, source, address, datagram[:6] + total.to_bytes(2, "big") + data
            )
        if result:
            raise SocketError(-result)
        return len(data)

    def recvfrom(self, sk: Any, size: int, timeout: float | None) -> tuple[bytes, tuple[int, int]]:
        """Return the next datagram, cut off at ``size`` bytes, and the address and port it came from.

        Parameters
        ----------
        timeout : float or None
            Simulated seconds to wait; None waits without end.

        Raises
        ------
        SocketError
            EAGAIN at the timeout, or the error that a datagram of ours met.
        """
        deadline = self._socks.deadline(timeout)
        while not (address := self._socks.dequeue(sk)):
            self._socks.take_error(sk)
            self._socks.wait(sk, deadline)
        skb = self._skbs.view(address)
        source = int.from_bytes(self._memory.read(skb.nh.raw + 12, 4), "big")
        port = int.from_bytes(self._memory.read(skb.h.raw, 2), "big")
        data = self._memory.read(skb.data, min(skb.len, size))
        self._clock.advance(copy_cycles(len(data)))
        self._skbs.release(address)
        return data, (source, port)

    def close(self, sk: Any) -> None:
        """Give a socket up; what waits in it is dropped."""
        if sk.num:
            self._bound.remove(sk)
        sk.dead = 1
        self._socks.wake(sk)
        self._socks.put(sk)
