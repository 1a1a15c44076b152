"""Sockets as a process has them: what Python code in a task calls (Linux 2.4 ``net/socket.c``)."""

from abc import ABC, abstractmethod
from ipaddress import IPv4Address
from types import TracebackType
from typing import Any, Self

from nooks_lab.kernel.errno import EADDRNOTAVAIL, EBADF, EINVAL
from nooks_lab.kernel.net.route import Routes
from nooks_lab.kernel.net.sock import SocketError, Socks
from nooks_lab.kernel.net.tcp import Tcp
from nooks_lab.kernel.net.udp import Udp

SMALLEST_BUFFER = 2048
"""Bytes; ``SOCK_MIN_SNDBUF``."""


class _Socket(ABC):
    """The address of a ``struct sock``, as long as it is open; leaving a ``with`` block closes it."""

    def __init__(self, socks: Socks, routes: Routes, sk: Any) -> None:
        self._socks, self._routes, self.address = socks, routes, sk.address

    @property
    def sk(self) -> Any:
        """A view of the ``struct sock``.

        Raises
        ------
        SocketError
            EBADF when the socket is closed.
        """
        if not self.address:
            raise SocketError(EBADF, "the socket is closed")
        return self._socks.view(self.address)

    def _local(self, address: str) -> int:
        value = int(IPv4Address(address))
        if value and not self._routes.is_local(value):
            raise SocketError(EADDRNOTAVAIL, f"{address} is not an address of this machine")
        return value

    def _port(self, port: int) -> int:
        if not 0 <= port <= 0xFFFF:
            raise SocketError(EINVAL, f"{port} is no port: ports go from 0 to 65535")
        return port

    def set_buffers(self, size: int) -> None:
        """``SO_SNDBUF`` and ``SO_RCVBUF``: bytes that may wait in each direction.

        Raises
        ------
        SocketError
            EINVAL when that is less than Linux takes.
        """
        if size < SMALLEST_BUFFER:
            raise SocketError(EINVAL, f"a socket's buffer has {SMALLEST_BUFFER} bytes at least, not {size}")
        self.sk.sndbuf = self.sk.rcvbuf = size

    def getsockname(self) -> tuple[str, int]:
        """Return our own address and port."""
        return str(IPv4Address(self.sk.rcv_saddr)), self.sk.num

    @abstractmethod
    def close(self) -> None:
        """Give the socket up; closing it again does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class UdpSocket(_Socket):
    """A UDP socket; addresses are in dotted notation, timeouts in simulated seconds (None: no end).

    Every method raises :class:`.SocketError` with Linux's error number.
    """

    def __init__(self, udp: Udp, socks: Socks, routes: Routes) -> None:
        super().__init__(socks, routes, udp.create())
        self._udp = udp

    def bind(self, port: int, address: str = "0.0.0.0") -> None:
        """Receive what comes for a port; 0 lets the kernel choose."""
        self._udp.bind(self.sk, self._local(address), self._port(port))

    def sendto(self, data: bytes, address: str, port: int) -> int:
        """Send a datagram."""
        return self._udp.sendto(self.sk, data, int(IPv4Address(address)), self._port(port))

    def recvfrom(self, size: int = 65535, timeout: float | None = None) -> tuple[bytes, tuple[str, int]]:
        """Return a datagram, cut off at ``size`` bytes, and its sender's address and port."""
        data, (address, port) = self._udp.recvfrom(self.sk, size, timeout)
        return data, (str(IPv4Address(address)), port)

    def close(self) -> None:
        """Give the socket up; closing it again does nothing."""
        if self.address:
            sk, self.address = self.sk, 0
            self._udp.close(sk)


class TcpSocket(_Socket):
    """A TCP socket; addresses are in dotted notation, timeouts in simulated seconds (None: no end).

    Every method raises :class:`.SocketError` with Linux's error number.
    """

    def __init__(self, tcp: Tcp, socks: Socks, routes: Routes, sk: Any = None) -> None:
        super().__init__(socks, routes, tcp.create() if sk is None else sk)
        self._tcp = tcp

    def bind(self, port: int, address: str = "0.0.0.0") -> None:
        """Own a port; 0 lets the kernel choose."""
        self._tcp.bind(self.sk, self._local(address), self._port(port))

    def listen(self, backlog: int = 128) -> None:
        """Take connections; at most ``backlog`` of them wait to be accepted."""
        self._tcp.listen(self.sk, backlog)

    def accept(self, timeout: float | None = None) -> "TcpSocket":
        """Return the next connection."""
        return TcpSocket(self._tcp, self._socks, self._routes, self._tcp.accept(self.sk, timeout))

    def connect(self, address: str, port: int, timeout: float | None = None) -> None:
        """Connect to a peer."""
        self._tcp.connect(self.sk, int(IPv4Address(address)), self._port(port), timeout)

    def getpeername(self) -> tuple[str, int]:
        """Return the peer's address and port."""
        return str(IPv4Address(self.sk.daddr)), self.sk.dport

    def send(self, data: bytes, timeout: float | None = None) -> int:
        """Send all of the data, waiting for room; at the timeout, less."""
        return self._tcp.send(self.sk, data, timeout)

    def recv(self, size: int = 65535, timeout: float | None = None) -> bytes:
        """Return at most ``size`` bytes, as soon as there are any; none at the peer's end of the stream."""
        return self._tcp.recv(self.sk, size, timeout)

    def shutdown(self) -> None:
        """End our half of the stream."""
        self._tcp.shutdown(self.sk)

    def close(self) -> None:
        """Give the socket up; closing it again does nothing."""
        if self.address:
            sk, self.address = self.sk, 0
            self._tcp.close(sk)
