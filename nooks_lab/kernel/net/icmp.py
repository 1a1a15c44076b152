"""Echo and errors (RFC 792; Linux 2.4 ``net/ipv4/icmp.c``)."""

import struct
from typing import Any

from nooks_lab.kernel.errno import (
    ECONNREFUSED,
    EHOSTUNREACH,
    EMSGSIZE,
    ENETUNREACH,
    ENOPROTOOPT,
)
from nooks_lab.kernel.net.checksum import LAYER_CYCLES, checksum, checksum_cycles
from nooks_lab.kernel.net.ipv4 import IPPROTO_ICMP, Ipv4, Packet
from nooks_lab.kernel.net.parts import HashTable, Parts
from nooks_lab.kernel.net.sock import SocketError, Socks

ECHO_REPLY, DEST_UNREACH, ECHO = 0, 3, 8
PORT_UNREACH = 3
PING_HTABLE_SIZE = 16
_ERRORS = {0: ENETUNREACH, 1: EHOSTUNREACH, 2: ENOPROTOOPT, 3: ECONNREFUSED, 4: EMSGSIZE}
"""Error numbers by code of "destination unreachable"."""

_HEADER = struct.Struct("!BBHHH")
_HEADER_SIZE = 8
_SENT_BACK = 8
"""Bytes behind the IP header that an error message returns."""


class Icmp:
    """Answers echo requests, reports and receives errors, and sends echo requests of its own."""

    def __init__(self, parts: Parts, ip: Ipv4, socks: Socks) -> None:
        self._parts, self._skbs, self._clock = parts, parts.skbs, parts.clock
        self._bh, self._ip, self._socks = parts.bottom_halves, ip, socks
        self._waiting = HashTable(parts, "ping_hash", PING_HTABLE_SIZE, "sock", "node")
        self.mib = parts.global_view("icmp_mib", "icmp_statistics")

    def boot(self) -> None:
        """Take ICMP packets from IP."""
        self._waiting.boot()
        self._ip.add_protocol(IPPROTO_ICMP, self.receive, self.error)

    def receive(self, address: int, packet: Packet) -> None:
        """Handle a received message."""
        message = packet.payload
        self.mib.InMsgs += 1
        self._clock.advance(LAYER_CYCLES + checksum_cycles(len(message)))
        if len(message) < _HEADER_SIZE or checksum(message):
            self.mib.InErrors += 1
            self._skbs.release(address)
            return
        kind, code, _, identifier, _ = _HEADER.unpack_from(message)
        if kind == ECHO_REPLY:
            self.mib.InEchoReps += 1
            self._echo_reply(address, packet.source, identifier)
            return
        self._skbs.release(address)
        if kind == ECHO:
            self.mib.InEchos += 1
            # An answer to a broadcast would let one small packet cause many.
            if not packet.broadcast:
                self._answer_echo(packet.source, message)
        elif kind == DEST_UNREACH:
            self.mib.InDestUnreachs += 1
            self._ip.report_error(message[_HEADER_SIZE:], _ERRORS.get(code, EHOSTUNREACH))

    def _answer_echo(self, destination: int, request: bytes) -> None:
        self.mib.OutEchoReps += 1
        self._send(destination, bytes((ECHO_REPLY, 0)), request[4:])

    def _send(self, destination: int, kind_and_code: bytes, rest: bytes) -> int:
        """Send a message; ``rest`` is what follows the checksum."""
        total = checksum(kind_and_code + bytes(2) + rest)
        self._clock.advance(LAYER_CYCLES + checksum_cycles(4 + len(rest)))
        self.mib.OutMsgs += 1
        result = self._ip.send(IPPROTO_ICMP, destination, kind_and_code + total.to_bytes(2, "big") + rest)
        if result:
            self.mib.OutErrors += 1
        return result

    def port_unreachable(self, packet: Packet) -> None:
        """Tell a packet's sender that nothing listens on its port; broadcasts are not answered."""
        if not packet.broadcast:
            self.mib.OutDestUnreachs += 1
            returned = bytes(4) + packet.header + packet.payload[:_SENT_BACK]
            self._send(packet.source, bytes((DEST_UNREACH, PORT_UNREACH)), returned)

    # The echo client

    def ping(self, destination: int, size: int, sequence: int, timeout: float) -> int | None:
        """Send an echo request and wait for its reply; in process context.

        Parameters
        ----------
        destination : int
            Address in host order.
        size : int
            Bytes behind the ICMP header.
        timeout : float
            Seconds to wait.

        Returns
        -------
        int or None
            Cycles from request to reply; None when none came, or the host does not answer to ARP.

        Raises
        ------
        SocketError
            When the request cannot be sent.
        """
        sk = self._socks.create(IPPROTO_ICMP)
        sk.num = self._parts.next_number("ping_ident") & 0xFFFF
        sk.daddr = destination
        self._waiting.add(sk, sk.num)
        try:
            return self._ping(sk, size, sequence & 0xFFFF, self._socks.deadline(timeout))
        finally:
            self._waiting.remove(sk)
            self._socks.put(sk)

    def _ping(self, sk: Any, size: int, sequence: int, deadline: int | None) -> int | None:
        rest = struct.pack("!HH", sk.num & 0xFFFF, sequence) + bytes(i & 0xFF for i in range(size))
        began = self._clock.now
        with self._bh:
            self.mib.OutEchos += 1
            result = self._send(sk.daddr, bytes((ECHO, 0)), rest)
        if result:
            raise SocketError(-result)
        while True:
            while address := self._socks.dequeue(sk):
                answer = self._skbs.data(address)
                self._skbs.release(address)
                if answer[4:] == rest:
                    return self._clock.now - began
            if sk.err:
                return None
            try:
                self._socks.wait(sk, deadline)
            except SocketError:
                return None

    def _echo_reply(self, address: int, source: int, identifier: int) -> None:
        for sk in self._waiting.chain(identifier):
            if sk.num == identifier and sk.daddr == source:
                self._socks.queue_rcv(sk, address)
                return
        self._skbs.release(address)

    def error(self, packet: Packet, error: int) -> None:
        """An echo request of ours did not arrive: tell the process that waits."""
        identifier = int.from_bytes(packet.payload[4:6], "big")
        for sk in self._waiting.chain(identifier):
            if sk.num == identifier and sk.daddr == packet.destination and packet.payload[0] == ECHO:
                sk.err = error
                self._socks.wake(sk)
