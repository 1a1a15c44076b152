"""Where TCP finds its sockets: connections, listeners, ports (Linux 2.4 ``net/ipv4/tcp_ipv4.c``)."""

import struct
from typing import Any

from nooks_lab.kernel.errno import EADDRINUSE
from nooks_lab.kernel.net.parts import HashTable, Parts
from nooks_lab.kernel.net.ports import ephemeral_port
from nooks_lab.kernel.net.sock import SocketError
from nooks_lab.kernel.net.tcp_segment import State

TCP_EHASH_SIZE, TCP_LHTABLE_SIZE, TCP_BHTABLE_SIZE = 512, 32, 128
_IDENTITY = struct.Struct("<4I")
"""rcv_saddr, daddr, num and dport, which lie together in ``struct sock``."""


class TcpTable:
    """Connections by both ends' addresses and ports, listeners by port, and the owners of ports.

    A socket that a listener made shares the listener's port and does not own it.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts, self._memory, self._types = parts, parts.memory, parts.types
        self._connections = HashTable(parts, "tcp_ehash", TCP_EHASH_SIZE, "sock", "node")
        self._listeners = HashTable(parts, "tcp_listening_hash", TCP_LHTABLE_SIZE, "sock", "node")
        self._ports = HashTable(parts, "tcp_bhash", TCP_BHTABLE_SIZE, "sock", "bind_node")
        self._identity = parts.types.offset("sock", "rcv_saddr")

    def boot(self) -> None:
        """Empty every table."""
        for table in (self._connections, self._listeners, self._ports):
            table.boot()

    def connections(self) -> list[Any]:
        """Return every connection's socket."""
        return list(self._connections.all())

    def listeners(self) -> list[Any]:
        """Return every listening socket."""
        return list(self._listeners.all())

    def connection(self, local: int, port: int, peer: int, peer_port: int) -> Any:
        """Return the socket of a connection, or None."""
        wanted = _IDENTITY.pack(local, peer, port, peer_port)
        read, offset = self._memory.read, self._identity
        for address in self._connections.addresses(_key(port, peer, peer_port)):
            if read(address + offset, 16) == wanted:
                return self._types.view("sock", address)
        return None

    def listener(self, local: int, port: int) -> Any:
        """Return the listening socket for an address and port, or None."""
        found = None
        for sk in self._listeners.chain(port):
            if sk.num == port:
                own = sk.rcv_saddr
                if own == local:
                    return sk
                if not own:
                    found = sk
        return found

    def hash(self, sk: Any) -> None:
        """Put a socket where its state says: among the listeners or the connections."""
        if sk.state == State.LISTEN:
            self._listeners.add(sk, sk.num)
        else:
            self._connections.add(sk, _key(sk.num, sk.daddr, sk.dport))

    def unhash(self, sk: Any) -> None:
        """Take a socket out of the listeners or the connections."""
        self._connections.remove(sk)

    def bind(self, sk: Any, address: int, port: int) -> None:
        """Make a socket the owner of a port; 0 lets the kernel choose.

        A port may be taken over from connections that are only waiting for their end, so that a server can
        be started again at once.

        Raises
        ------
        SocketError
            EADDRINUSE when the port is taken.
        """
        if port:
            if self._taken(address, port, State.TIME_WAIT):
                raise SocketError(EADDRINUSE, f"another socket is bound to TCP port {port}")
        else:
            port = ephemeral_port(self._parts, lambda candidate: self._taken(address, candidate))
        sk.rcv_saddr, sk.num = address, port
        self._ports.add(sk, port)

    def _taken(self, address: int, port: int, ignored: State | None = None) -> bool:
        return any(
            sk.num == port and sk.state != ignored and (not address or sk.rcv_saddr in (0, address))
            for sk in self._ports.chain(port)
        )

    def release_port(self, sk: Any) -> None:
        """Let the port of a socket go, when it owns one."""
        if sk.bind_node.next:
            self._ports.remove(sk)
            sk.bind_node.next = 0


def _key(port: int, peer: int, peer_port: int) -> int:
    return port ^ peer_port ^ peer ^ peer >> 16
