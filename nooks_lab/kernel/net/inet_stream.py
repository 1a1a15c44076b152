"""TCP's operations on a ``struct socket``: ``inet_stream_ops`` (Linux 2.4 ``net/ipv4/af_inet.c``)."""

from collections.abc import Callable, Mapping
from typing import Any

from nooks_lab.kernel.errno import (
    EADDRNOTAVAIL,
    EAFNOSUPPORT,
    EAGAIN,
    EINVAL,
    EOPNOTSUPP,
    EPIPE,
)
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.kthread import KernelThreads
from nooks_lab.kernel.net.iovec import Messages
from nooks_lab.kernel.net.parts import Parts
from nooks_lab.kernel.net.route import Routes
from nooks_lab.kernel.net.sock import SocketError
from nooks_lab.kernel.net.tcp import Tcp
from nooks_lab.kernel.sched import MAX_SCHEDULE_TIMEOUT
from nooks_lab.kernel.timers import HZ

SS_UNCONNECTED, SS_CONNECTING, SS_CONNECTED = 1, 2, 3
AF_INET = 2
O_NONBLOCK = 0o4000
MSG_PEEK, MSG_DONTWAIT, MSG_NOSIGNAL = 0x02, 0x40, 0x4000
SIGPIPE = 13
_SEND_SHUTDOWN = 2
_SOCKADDR_IN = 16

OPERATIONS = {
    "release": "inet_release",
    "bind": "inet_bind",
    "connect": "inet_stream_connect",
    "accept": "inet_accept",
    "getname": "inet_getname",
    "listen": "inet_listen",
    "shutdown": "inet_shutdown",
    "sendmsg": "inet_sendmsg",
    "recvmsg": "inet_recvmsg",
}
"""The members of ``struct proto_ops``, and the kernel function that each of them points to."""


class InetStream:
    """The operations; what goes wrong is an error number, negated."""

    def __init__(self, parts: Parts, tcp: Tcp, routes: Routes, threads: KernelThreads) -> None:
        self._parts, self._types, self._memory = parts, parts.types, parts.memory
        self._tcp, self._routes, self._threads = tcp, routes, threads
        self._messages = Messages(parts)

    def boot(self, entry_points: Mapping[str, int]) -> None:
        """Fill the table of operations.

        Parameters
        ----------
        entry_points : mapping
            Addresses of the exported functions, by name.
        """
        table = self._parts.global_view("proto_ops", "inet_stream_ops")
        table.family = AF_INET
        for member, function in OPERATIONS.items():
            setattr(table, member, entry_points[function])

    def create(self, sock: int) -> int:
        """``inet_create``: give a socket its protocol's end."""

        def body() -> int:
            self._graft(sock, self._tcp.create())
            return 0

        return _errors(body)

    def _graft(self, sock: int, sk: Any) -> None:
        socket = self._types.view("socket", sock)
        socket.sk = sk.address
        socket.ops = self._parts.variables["inet_stream_ops"]

    def _sk(self, sock: int) -> Any:
        sk = self._types.view("socket", sock).sk
        if not sk:
            raise SocketError(EINVAL, "the socket has no protocol yet")
        return self._types.view("sock", sk)

    def _timeout(self, jiffies: int, flags: int, nonblocking: int) -> float | None:
        """Return how long a call may wait, in seconds."""
        if flags & nonblocking:
            return 0.0
        return None if jiffies == MAX_SCHEDULE_TIMEOUT else jiffies / HZ

    def _address(self, uaddr: int, addr_len: int) -> tuple[int, int]:
        """Return address and port of a ``struct sockaddr_in``, in host order."""
        if addr_len < _SOCKADDR_IN:
            raise SocketError(EINVAL, "the address is shorter than a sockaddr_in")
        name = self._types.view("sockaddr_in", uaddr)
        if name.sin_family != AF_INET:
            raise SocketError(EAFNOSUPPORT, "the address is no Internet address")
        raw = self._memory.read(uaddr, 8)
        return int.from_bytes(raw[4:8], "big"), int.from_bytes(raw[2:4], "big")

    # The operations

    @export(cycles=200)
    def inet_release(self, sock: int) -> int:
        """Close the protocol's end, which lives on until the connection has ended."""
        socket = self._types.view("socket", sock)
        if socket.sk:
            sk = self._types.view("sock", socket.sk)
            socket.sk = 0
            self._tcp.close(sk)
        return 0

    @export(cycles=300)
    def inet_bind(self, sock: int, uaddr: int, addr_len: int) -> int:
        """Take a local address and port."""

        def body() -> int:
            address, port = self._address(uaddr, addr_len)
            if address and not self._routes.is_local(address):
                raise SocketError(EADDRNOTAVAIL, "no address of this machine")
            self._tcp.bind(self._sk(sock), address, port)
            return 0

        return _errors(body)

    @export(cycles=300)
    def inet_listen(self, sock: int, backlog: int) -> int:
        """Take connections."""

        def body() -> int:
            self._tcp.listen(self._sk(sock), backlog)
            return 0

        return _errors(body)

    @export(cycles=500, sleeps=True)
    def inet_accept(self, sock: int, newsock: int, flags: int) -> int:
        """Give the next connection to ``newsock``, which has no protocol's end yet."""

        def body() -> int:
            new = self._types.view("socket", newsock)
            if new.sk:
                raise SocketError(EINVAL, "the socket for the connection is in use")
            sk = self._sk(sock)
            child = self._tcp.accept(sk, self._timeout(sk.rcvtimeo, flags, O_NONBLOCK))
            self._graft(newsock, child)
            new.state = SS_CONNECTED
            return 0

        return _errors(body)

    @export(cycles=500, sleeps=True)
    def inet_stream_connect(self, sock: int, uaddr: int, addr_len: int, flags: int) -> int:
        """Connect to a peer, and wait until it has answered."""

        def body() -> int:
            address, port = self._address(uaddr, addr_len)
            if flags & O_NONBLOCK:
                raise SocketError(EOPNOTSUPP, "connecting waits for the answer")
            sk = self._sk(sock)
            self._tcp.connect(sk, address, port, self._timeout(sk.sndtimeo, 0, 0))
            self._types.view("socket", sock).state = SS_CONNECTED
            return 0

        return _errors(body)

    @export(cycles=150)
    def inet_getname(self, sock: int, uaddr: int, uaddr_len: int, peer: int) -> int:
        """Write our own address, or the peer's, as a ``struct sockaddr_in``."""

        def body() -> int:
            sk = self._sk(sock)
            address, port = (sk.daddr, sk.dport) if peer else (sk.rcv_saddr, sk.num)
            name = AF_INET.to_bytes(2, "little") + port.to_bytes(2, "big") + address.to_bytes(4, "big")
            self._memory.write(uaddr, name.ljust(_SOCKADDR_IN, b"\0"))
            self._memory.set_u32(uaddr_len, _SOCKADDR_IN)
            return 0

        return _errors(body)

    @export(cycles=300)
    def inet_shutdown(self, sock: int, how: int) -> int:
        """End our half of the stream; the peer's half is read to its end in any case."""

        def body() -> int:
            if not how & _SEND_SHUTDOWN:
                raise SocketError(EOPNOTSUPP, "only sending can be shut down")
            self._tcp.shutdown(self._sk(sock))
            return 0

        return _errors(body)

    @export(cycles=300, sleeps=True)
    def inet_sendmsg(self, sock: int, msg: int, size: int) -> int:
        """Send a message's data; returns how many bytes of it were taken."""

        def body() -> int:
            sk, flags = self._sk(sock), self._messages.view(msg).msg_flags
            data = self._messages.gather(msg, max(0, size))
            try:
                return self._tcp.send(sk, data, self._timeout(sk.sndtimeo, flags, MSG_DONTWAIT))
            except SocketError as error:
                if error.errno == EPIPE and not flags & MSG_NOSIGNAL:
                    self._threads.send_to_current(SIGPIPE)
                raise

        return _errors(body)

    @export(cycles=300, sleeps=True)
    def inet_recvmsg(self, sock: int, msg: int, size: int, flags: int) -> int:
        """Receive into a message's buffers; 0 at the end of the stream."""

        def body() -> int:
            sk = self._sk(sock)
            if flags & MSG_PEEK:
                raise SocketError(EOPNOTSUPP, "data are read once")
            room = self._messages.room(msg, max(0, size))
            data = self._tcp.recv(sk, room, self._timeout(sk.rcvtimeo, flags, MSG_DONTWAIT))
            self._messages.scatter(msg, data)
            return len(data)

        return _errors(body)


def _errors(body: Callable[[], int]) -> int:
    try:
        return body()
    except SocketError as error:
        return -(error.errno or EAGAIN)
