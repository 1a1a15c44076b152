"""Sockets as machine code in the kernel has them: ``struct socket`` and its operations (Linux 2.4 ``net/socket.c``).

Every operation goes through ``sock->ops``, a table in guest memory; :mod:`.inet_stream` is what stands in it.
"""

from collections.abc import Callable
from typing import Any

from nooks_lab.kernel.errno import (
    EAFNOSUPPORT,
    EINVAL,
    ENOBUFS,
    ENOPROTOOPT,
    EPROTONOSUPPORT,
    ESOCKTNOSUPPORT,
)
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.net.inet_stream import SS_UNCONNECTED, InetStream
from nooks_lab.kernel.net.ipv4 import IPPROTO_TCP
from nooks_lab.kernel.net.parts import Parts
from nooks_lab.kernel.sched import MAX_SCHEDULE_TIMEOUT
from nooks_lab.kernel.timers import HZ

PF_INET, SOCK_STREAM = 2, 1
SOL_SOCKET, SO_REUSEADDR, SO_RCVTIMEO, SO_SNDTIMEO = 1, 2, 20, 21
_TIMEVAL = 8


class KernelSockets:
    """What a part of the kernel calls that wants to talk over the network.

    Parameters
    ----------
    stream : InetStream
        TCP's operations.
    call : callable (address, arguments) -> int
        Calls a function in guest memory.
    """

    def __init__(self, parts: Parts, stream: InetStream, call: Callable[..., int]) -> None:
        self._types, self._memory, self._slab = parts.types, parts.memory, parts.slab
        self._stream, self._call = stream, call
        self._size = parts.types.size("socket")

    def _view(self, sock: int) -> Any:
        return self._types.view("socket", sock)

    @export(cycles=200)
    def sock_alloc(self) -> int:
        """Return a new socket without a protocol, or NULL; ``accept`` wants one."""
        sock = self._slab.zalloc(self._size)
        if sock:
            self._view(sock).state = SS_UNCONNECTED
        return sock

    @export(cycles=300)
    def sock_create(self, family: int, type: int, protocol: int, res: int) -> int:
        """Make a socket of a protocol; its address goes to ``*res``."""
        if family != PF_INET:
            return -EAFNOSUPPORT
        if type != SOCK_STREAM:
            return -ESOCKTNOSUPPORT
        if protocol not in (0, IPPROTO_TCP):
            return -EPROTONOSUPPORT
        sock = self.sock_alloc()
        if not sock:
            return -ENOBUFS
        self._view(sock).type = type
        error = self._stream.create(sock)
        if error:
            self._slab.free(sock)
            return error
        self._memory.set_u32(res, sock)
        return 0

    @export(cycles=200)
    def sock_release(self, sock: int) -> None:
        """Give a socket up; its connection ends by itself."""
        view = self._view(sock)
        if view.ops:
            self._operation(view, "release", sock)
        self._slab.free(sock)

    @export(cycles=100, sleeps=True)
    def sock_sendmsg(self, sock: int, msg: int, len: int) -> int:
        """Send the data that a message's vector names; returns how many bytes were taken."""
        return self._operation(self._view(sock), "sendmsg", sock, msg, len)

    @export(cycles=100, sleeps=True)
    def sock_recvmsg(self, sock: int, msg: int, len: int, flags: int) -> int:
        """Receive at most ``len`` bytes into a message's vector; 0 at the end of the stream."""
        return self._operation(self._view(sock), "recvmsg", sock, msg, len, flags)

    def _operation(self, view: Any, name: str, *arguments: int) -> int:
        operations = self._types.view("proto_ops", view.ops)
        result = self._call(getattr(operations, name), *arguments)
        return result - (1 << 32) if result >> 31 else result

    @export(cycles=100)
    def sock_setsockopt(self, sock: int, level: int, optname: int, optval: int, optlen: int) -> int:
        """Set how long calls may wait (``struct timeval``; 0 waits without end)."""
        if level != SOL_SOCKET:
            return -ENOPROTOOPT
        if optname == SO_REUSEADDR:
            # A port whose connections only wait for their end can be taken anyway.
            return 0
        if optname not in (SO_RCVTIMEO, SO_SNDTIMEO):
            return -ENOPROTOOPT
        if optlen < _TIMEVAL:
            return -EINVAL
        value = self._types.view("timeval", optval)
        jiffies = value.tv_sec * HZ + -(-value.tv_usec * HZ // 1_000_000)
        sk = self._types.view("sock", self._view(sock).sk)
        limit = jiffies if jiffies > 0 else MAX_SCHEDULE_TIMEOUT
        if optname == SO_RCVTIMEO:
            sk.rcvtimeo = limit
        else:
            sk.sndtimeo = limit
        return 0
