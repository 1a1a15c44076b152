"""``struct sock``: making, holding, freeing, sleeping on one (Linux 2.4 ``net/core/sock.c``)."""

from typing import Any

from nooks_lab.kernel.errno import (
    EAGAIN,
    EBADF,
    ECONNREFUSED,
    ECONNRESET,
    EHOSTUNREACH,
    EINTR,
    EMSGSIZE,
    ENETDOWN,
    ENETUNREACH,
    ENOBUFS,
    ENOMEM,
    ETIMEDOUT,
)
from nooks_lab.kernel.lists import init_list_head
from nooks_lab.kernel.net.parts import Parts
from nooks_lab.kernel.sched import MAX_SCHEDULE_TIMEOUT, TASK_INTERRUPTIBLE, TASK_UNINTERRUPTIBLE
from nooks_lab.kernel.timers import HZ

RCVBUF = 32768
"""Bytes of data that may wait for the process: TCP's largest window."""
SNDBUF = 65536
"""Bytes of memory (``truesize``) that may wait for acknowledgement."""

_REASONS = {
    ENOMEM: "the device's queue is full, or memory is short",
    EMSGSIZE: "the packet is larger than the device's MTU",
    ENETDOWN: "the network device is down",
    ENETUNREACH: "no interface leads to the destination",
    ECONNRESET: "the peer has reset the connection",
    ENOBUFS: "no memory for the network",
    ETIMEDOUT: "the peer does not answer",
    ECONNREFUSED: "nothing listens on the peer's port",
    EHOSTUNREACH: "the host does not answer to ARP, or no router reaches it",
}


class SocketError(OSError):
    """What a socket call could not do, with Linux's error number in ``errno``."""

    def __init__(self, errno: int, reason: str | None = None) -> None:
        super().__init__(errno, reason or _REASONS.get(errno, f"error {errno}"))


class Socks:
    """Every protocol's sockets, and the sleep and wake-up on them."""

    def __init__(self, parts: Parts) -> None:
        self._types, self._memory, self._slab = parts.types, parts.memory, parts.slab
        self._skbs, self._sched, self._timers = parts.skbs, parts.sched, parts.timers

    def view(self, address: int) -> Any:
        """Return a socket by address."""
        return self._types.view("sock", address)

    def alloc(self, protocol: int, state: int = 0) -> Any:
        """``sk_alloc``: return a new socket that its caller holds, or None when memory is short."""
        address = self._slab.zalloc(self._types.size("sock"))
        if not address:
            return None
        sk = self.view(address)
        sk.protocol, sk.state, sk.refcnt = protocol, state, 1
        sk.rcvbuf, sk.sndbuf = RCVBUF, SNDBUF
        self._skbs.queue_init(sk.receive_queue.address)
        sk.rcvtimeo = sk.sndtimeo = MAX_SCHEDULE_TIMEOUT
        sk.sleep = sk.sleep_queue.address
        init_list_head(self._memory, sk.sleep_queue.task_list.address)
        return sk

    def create(self, protocol: int, state: int = 0) -> Any:
        """Return a new socket for a process.

        Raises
        ------
        SocketError
            ENOBUFS when memory is short.
        """
        sk = self.alloc(protocol, state)
        if sk is None:
            raise SocketError(ENOBUFS, "no memory for another socket")
        return sk

    def hold(self, sk: Any) -> None:
        """``sock_hold``: keep a socket from being freed."""
        sk.refcnt += 1

    def put(self, sk: Any) -> None:
        """``sock_put``: let go of a socket; the last one to do so frees it."""
        left = sk.refcnt - 1
        sk.refcnt = left
        if not left:
            self._skbs.purge(sk.receive_queue.address)
            self._slab.free(sk.address)

    def wake(self, sk: Any) -> None:
        """Wake every process that sleeps on a socket: something has changed."""
        self._sched.wake_up(sk.sleep, TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE, 0)

    def deadline(self, timeout: float | None) -> int | None:
        """Return the jiffy at which a wait of ``timeout`` seconds ends; None waits without end."""
        return None if timeout is None else self._timers.jiffies + max(0, round(timeout * HZ))

    def wait(self, sk: Any, deadline: int | None) -> None:
        """Sleep until something changes; the caller looks again what it was.

        Parameters
        ----------
        deadline : int or None
            From :meth:`deadline`.

        Raises
        ------
        SocketError
            EAGAIN at the deadline, EINTR on a signal, EBADF when the socket was closed meanwhile.
        RuntimeError
            Outside of any process.
        """
        if self._sched.current.pid == 0:
            raise RuntimeError("a socket call that waits needs a process: call it inside kernel.in_task")
        left = MAX_SCHEDULE_TIMEOUT if deadline is None else deadline - self._timers.jiffies
        if left <= 0:
            raise SocketError(EAGAIN, "nothing came before the socket call's timeout")
        self.hold(sk)
        try:
            self._sched.interruptible_sleep_on_timeout(sk.sleep, left)
            dead = sk.dead
        finally:
            # Also when the task is unwound out of its sleep.
            self.put(sk)
        if dead:
            raise SocketError(EBADF, "the socket was closed while a process waited on it")
        if self._sched.current.sigpending:
            raise SocketError(EINTR, "a signal interrupted the socket call")

    def take_error(self, sk: Any) -> None:
        """``sock_error``: raise a socket's pending error, once.

        Raises
        ------
        SocketError
            When there is one.
        """
        error = sk.err
        if error:
            sk.err = 0
            raise SocketError(error)

    def queue_rcv(self, sk: Any, address: int) -> bool:
        """``sock_queue_rcv_skb``: give a datagram to a socket; a full one drops it and returns False."""
        skb = self._skbs.view(address)
        size = skb.truesize
        taken = sk.rmem_alloc
        if taken + size > sk.rcvbuf:
            self._skbs.release(address)
            return False
        sk.rmem_alloc = taken + size
        skb.dev = 0
        self._skbs.queue_tail(sk.receive_queue.address, address)
        self.wake(sk)
        return True

    def dequeue(self, sk: Any) -> int:
        """Take the first datagram of a socket, or 0."""
        address = self._skbs.dequeue(sk.receive_queue.address)
        if address:
            sk.rmem_alloc -= self._skbs.view(address).truesize
        return address
