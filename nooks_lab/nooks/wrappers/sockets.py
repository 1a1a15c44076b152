"""Sockets for extensions.

An extension has its own version of a ``struct socket``, and of the table of operations that it calls through: in
that one every pointer is a kernel wrapper's.  The protocol's end, ``struct sock``, it reads where it is.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nooks_lab.kernel.errno import EINVAL, ENOMEM
from nooks_lab.kernel.lists import list_for_each
from nooks_lab.kernel.net.inet_stream import OPERATIONS
from nooks_lab.kernel.net.iovec import UIO_MAXIOV
from nooks_lab.machine.clock import Clock
from nooks_lab.nooks.isolation.domain import BadParameter, Domain
from nooks_lab.nooks.tracking.tracker import TrackedObject
from nooks_lab.nooks.wrappers.copies import BYTES_A_CYCLE, COPY_START_CYCLES
from nooks_lab.nooks.wrappers.decisions import Body, Reads, Writes, held
from nooks_lab.nooks.wrappers.declare import kernel_wrapper
from nooks_lab.nooks.wrappers.memory import end
from nooks_lab.nooks.wrappers.tasks import sleeping

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks

_SOCKET_WRITABLE = ("type", "flags")
_SOCKET_SHOWN = ("state", "flags", "sk", "type")


def _copy_cycles(clock: Clock, size: int) -> None:
    clock.advance(COPY_START_CYCLES + size // BYTES_A_CYCLE)


def _operations(nooks: "Nooks", domain: Domain) -> int:
    """Return the domain's version of ``inet_stream_ops``, made at its first use."""
    kernel, original = nooks.kernel, nooks.kernel.variable("inet_stream_ops")
    for tracked in nooks.tracker.objects(domain, ["proto_ops"]):
        return tracked.extension
    table = domain.heap.alloc(kernel.types.size("proto_ops"))
    if not table:
        raise MemoryError(f"no memory for the operations of the sockets of {domain.name}")
    version = kernel.types.view("proto_ops", table)
    version.family = kernel.types.view("proto_ops", original).family
    for member, function in OPERATIONS.items():
        setattr(version, member, nooks.interposition.kernel_gates[function])
    nooks.tracker.add(domain, "proto_ops", original, table)
    return table


def _hand_out(nooks: "Nooks", domain: Domain, socket: int) -> int:
    """Give a new socket to the extension; returns its version's address, 0 when memory is short."""
    own = domain.heap.alloc(nooks.kernel.types.size("socket"))
    if not own:
        nooks.kernel.sockets.sock_release(socket)
        return 0
    nooks.kernel.memory.write(own, bytes(nooks.kernel.types.size("socket")))
    _show(nooks, domain, nooks.tracker.add(domain, "socket", socket, own))
    return own


def _show(nooks: "Nooks", domain: Domain, tracked: TrackedObject) -> None:
    """Bring the extension's version up to date, and note which ``struct sock`` it may wait on."""
    types = nooks.kernel.types
    _copy_cycles(nooks.kernel.machine.clock, types.size("socket"))
    kernel, own = types.view("socket", tracked.kernel), types.view("socket", tracked.extension)
    for member in _SOCKET_SHOWN:
        setattr(own, member, getattr(kernel, member))
    if not kernel.ops:
        own.ops = 0
    elif nooks.tracker.find(domain, "proto_ops", own.ops) is None:
        own.ops = _operations(nooks, domain)
    if kernel.sk and nooks.tracker.find(domain, "sock", kernel.sk) is None:
        nooks.tracker.add(domain, "sock", kernel.sk, kernel.sk)


def _take(nooks: "Nooks", domain: Domain, tracked: TrackedObject, function: str) -> None:
    """Bring the extension's changes back.

    Raises
    ------
    BadParameter
        When its operations are not those that it was given.
    """
    types = nooks.kernel.types
    _copy_cycles(nooks.kernel.machine.clock, types.size("socket"))
    kernel, own = types.view("socket", tracked.kernel), types.view("socket", tracked.extension)
    for member in _SOCKET_WRITABLE:
        setattr(kernel, member, getattr(own, member))
    if own.ops and not kernel.ops:
        if nooks.tracker.find(domain, "proto_ops", own.ops) is None:
            raise BadParameter(f"{function}: {own.ops:08x} are no operations of domain {domain.name}")
        kernel.ops = nooks.kernel.variable("inet_stream_ops")


@contextmanager
def _in_step(nooks: "Nooks", domain: Domain, function: str, *sockets: TrackedObject) -> Iterator[None]:
    """Within, the kernel's versions are up to date; behind, the extension's are."""
    for tracked in sockets:
        _take(nooks, domain, tracked, function)
    yield
    # While the task slept, the domain may have failed, and lost all it had.
    if not domain.failed:
        for tracked in sockets:
            _show(nooks, domain, tracked)


@kernel_wrapper("struct socket *sock_alloc(void)")
def sock_alloc(nooks: "Nooks", domain: Domain) -> int:
    """Return a socket without a protocol."""
    socket = nooks.kernel.sockets.sock_alloc()
    return _hand_out(nooks, domain, socket) if socket else 0


@kernel_wrapper(
    "int sock_create(int family, int type, int protocol, struct socket **res)",
    res=Writes(4),
)
def sock_create(nooks: "Nooks", domain: Domain, family: int, type: int, protocol: int, res: int) -> int:
    """Make a socket; ``*res`` is the extension's, and gets its version."""
    kernel = nooks.kernel
    result = kernel.slab.zalloc(4)
    if not result:
        return -ENOMEM
    try:
        error = kernel.sockets.sock_create(family, type, protocol, result)
        if error:
            return error
        own = _hand_out(nooks, domain, kernel.memory.u32(result))
    finally:
        kernel.slab.free(result)
    kernel.memory.set_u32(res, own)
    return 0 if own else -ENOMEM


@kernel_wrapper("void sock_release(struct socket *sock)", sock=held("socket", ends=True))
def sock_release(nooks: "Nooks", domain: Domain, sock: TrackedObject) -> None:
    """Give a socket up; one that the domain still waits on is a bad parameter."""
    sk = nooks.kernel.types.view("socket", sock.kernel).sk
    _check_waiters(nooks, domain, sk, "sock_release")
    _forget_sock(nooks, domain, sk)
    end(nooks, domain, sock)


def _check_waiters(nooks: "Nooks", domain: Domain, sk: int, function: str) -> None:
    if not sk:
        return
    kernel = nooks.kernel
    queue = kernel.types.view("sock", sk).sleep_queue.task_list.address
    link = kernel.types.offset("__wait_queue", "task_list")
    for entry in list_for_each(kernel.memory, queue):
        waiter = nooks.tracker.by_kernel("waiter", entry - link)
        if waiter is not None and waiter[0] is domain:
            raise BadParameter(f"{function}: {waiter[1].extension:08x} still waits on the socket")


def _forget_sock(nooks: "Nooks", domain: Domain, sk: int) -> None:
    tracked = nooks.tracker.find(domain, "sock", sk) if sk else None
    if tracked is not None:
        nooks.tracker.remove(tracked)


@kernel_wrapper(
    "int sock_setsockopt(struct socket *sock, int level, int optname, char *optval, int optlen)",
    sock=held("socket"),
    optval=Reads("optlen"),
)
def sock_setsockopt(
    nooks: "Nooks", domain: Domain, sock: TrackedObject, level: int, optname: int, optval: int, optlen: int
) -> int:
    """Set an option; it needs a protocol's end."""
    if not nooks.kernel.types.view("socket", sock.kernel).sk:
        return -EINVAL
    return nooks.kernel.sockets.sock_setsockopt(sock.kernel, level, optname, optval, optlen)


# Messages: the kernel works on its own copy of the header and of the vector, so that nobody changes them while it
# sleeps.  The buffers stay where they are.

Check = Callable[[int, int], object]


@contextmanager
def _message(nooks: "Nooks", domain: Domain, msg: int, function: str, check: Check) -> Iterator[int]:
    """Within, the kernel has its copy of a message; 0 when memory is short.

    Raises
    ------
    BadParameter
        When header, vector or a buffer is not what it should be.
    """
    kernel = nooks.kernel
    header_size, entry_size = kernel.types.size("msghdr"), kernel.types.size("iovec")
    domain.check_writable(msg, header_size, function)
    own = kernel.types.view("msghdr", msg)
    count, vector = own.msg_iovlen, own.msg_iov
    if count > UIO_MAXIOV:
        raise BadParameter(f"{function}: {count} buffers are more than a message can have")
    entries = domain.read(vector, count * entry_size, function) if count else b""
    for at in range(0, len(entries), entry_size):
        base, length = (int.from_bytes(entries[at + i : at + i + 4], "little") for i in (0, 4))
        if length:
            check(base, length)
    copy = kernel.slab.alloc(header_size + len(entries))
    if copy:
        _copy_cycles(kernel.machine.clock, header_size + len(entries))
        kernel.memory.write(copy, own.bytes() + entries)
        version = kernel.types.view("msghdr", copy)
        version.msg_iov = copy + header_size
        version.msg_name = version.msg_control = 0
    if not copy:
        yield 0
        return
    try:
        with nooks.tracker.call_object(domain, "msghdr", copy, msg):
            yield copy
    finally:
        kernel.slab.free(copy)


def _send(
    nooks: "Nooks",
    domain: Domain,
    function: str,
    sock: TrackedObject,
    msg: int,
    call: Callable[[int, int], int],
) -> int:
    def check(base: int, length: int) -> object:
        return domain.read(base, length, function)

    with _in_step(nooks, domain, function, sock), _message(nooks, domain, msg, function, check) as copy:
        return sleeping(nooks, lambda: call(sock.kernel, copy)) if copy else -ENOMEM


def _receive(
    nooks: "Nooks",
    domain: Domain,
    function: str,
    sock: TrackedObject,
    msg: int,
    call: Callable[[int, int], int],
) -> int:
    def check(base: int, length: int) -> None:
        domain.check_writable(base, length, function)

    with _in_step(nooks, domain, function, sock), _message(nooks, domain, msg, function, check) as copy:
        return sleeping(nooks, lambda: call(sock.kernel, copy)) if copy else -ENOMEM


_MESSAGE = Body("it is the extension's, and the vector that it names is checked with it")


@kernel_wrapper(
    "int sock_sendmsg(struct socket *sock, struct msghdr *msg, int len)", sock=held("socket"), msg=_MESSAGE
)
def sock_sendmsg(nooks: "Nooks", domain: Domain, sock: TrackedObject, msg: int, len: int) -> int:
    """Send a message's data; that may sleep."""
    send = nooks.kernel.sockets.sock_sendmsg
    return _send(nooks, domain, "sock_sendmsg", sock, msg, lambda at, copy: send(at, copy, len))


@kernel_wrapper(
    "int inet_sendmsg(struct socket *sock, struct msghdr *msg, int size)", sock=held("socket"), msg=_MESSAGE
)
def inet_sendmsg(nooks: "Nooks", domain: Domain, sock: TrackedObject, msg: int, size: int) -> int:
    """As ``sock_sendmsg``, called through the socket's operations."""
    send = nooks.kernel.inet_stream.inet_sendmsg
    return _send(nooks, domain, "inet_sendmsg", sock, msg, lambda at, copy: send(at, copy, size))


@kernel_wrapper(
    "int sock_recvmsg(struct socket *sock, struct msghdr *msg, int len, int flags)",
    sock=held("socket"),
    msg=_MESSAGE,
)
def sock_recvmsg(nooks: "Nooks", domain: Domain, sock: TrackedObject, msg: int, len: int, flags: int) -> int:
    """Receive into a message's buffers, which must be the extension's; that may sleep."""
    receive = nooks.kernel.sockets.sock_recvmsg
    return _receive(nooks, domain, "sock_recvmsg", sock, msg, lambda at, copy: receive(at, copy, len, flags))


@kernel_wrapper(
    "int inet_recvmsg(struct socket *sock, struct msghdr *msg, int size, int flags)",
    sock=held("socket"),
    msg=_MESSAGE,
)
def inet_recvmsg(nooks: "Nooks", domain: Domain, sock: TrackedObject, msg: int, size: int, flags: int) -> int:
    """As ``sock_recvmsg``, called through the socket's operations."""
    receive = nooks.kernel.inet_stream.inet_recvmsg
    return _receive(nooks, domain, "inet_recvmsg", sock, msg, lambda at, copy: receive(at, copy, size, flags))


# The operations


@kernel_wrapper("int inet_release(struct socket *sock)", sock=held("socket"))
def inet_release(nooks: "Nooks", domain: Domain, sock: TrackedObject) -> int:
    """Close the protocol's end; the socket itself remains."""
    sk = nooks.kernel.types.view("socket", sock.kernel).sk
    _check_waiters(nooks, domain, sk, "inet_release")
    _forget_sock(nooks, domain, sk)
    with _in_step(nooks, domain, "inet_release", sock):
        return nooks.kernel.inet_stream.inet_release(sock.kernel)


@kernel_wrapper(
    "int inet_bind(struct socket *sock, struct sockaddr *uaddr, int addr_len)",
    sock=held("socket"),
    uaddr=Reads("addr_len"),
)
def inet_bind(nooks: "Nooks", domain: Domain, sock: TrackedObject, uaddr: int, addr_len: int) -> int:
    """Take a local address."""
    with _in_step(nooks, domain, "inet_bind", sock):
        return nooks.kernel.inet_stream.inet_bind(sock.kernel, uaddr, addr_len)


@kernel_wrapper(
    "int inet_stream_connect(struct socket *sock, struct sockaddr *uaddr, int addr_len, int flags)",
    sock=held("socket"),
    uaddr=Reads("addr_len"),
)
def inet_stream_connect(
    nooks: "Nooks", domain: Domain, sock: TrackedObject, uaddr: int, addr_len: int, flags: int
) -> int:
    """Connect; that sleeps."""
    connect = nooks.kernel.inet_stream.inet_stream_connect
    with _in_step(nooks, domain, "inet_stream_connect", sock):
        return sleeping(nooks, lambda: connect(sock.kernel, uaddr, addr_len, flags))


@kernel_wrapper(
    "int inet_accept(struct socket *sock, struct socket *newsock, int flags)",
    sock=held("socket"),
    newsock=held("socket"),
)
def inet_accept(
    nooks: "Nooks", domain: Domain, sock: TrackedObject, newsock: TrackedObject, flags: int
) -> int:
    """Take the next connection; that may sleep."""
    accept = nooks.kernel.inet_stream.inet_accept
    with _in_step(nooks, domain, "inet_accept", sock, newsock):
        return sleeping(nooks, lambda: accept(sock.kernel, newsock.kernel, flags))


@kernel_wrapper(
    "int inet_getname(struct socket *sock, struct sockaddr *uaddr, int *uaddr_len, int peer)",
    sock=held("socket"),
    uaddr=Writes("sockaddr"),
    uaddr_len=Writes(4),
)
def inet_getname(
    nooks: "Nooks", domain: Domain, sock: TrackedObject, uaddr: int, uaddr_len: int, peer: int
) -> int:
    """Say who is at one end."""
    with _in_step(nooks, domain, "inet_getname", sock):
        return nooks.kernel.inet_stream.inet_getname(sock.kernel, uaddr, uaddr_len, peer)


@kernel_wrapper("int inet_listen(struct socket *sock, int backlog)", sock=held("socket"))
def inet_listen(nooks: "Nooks", domain: Domain, sock: TrackedObject, backlog: int) -> int:
    """Take connections."""
    with _in_step(nooks, domain, "inet_listen", sock):
        return nooks.kernel.inet_stream.inet_listen(sock.kernel, backlog)


@kernel_wrapper("int inet_shutdown(struct socket *sock, int how)", sock=held("socket"))
def inet_shutdown(nooks: "Nooks", domain: Domain, sock: TrackedObject, how: int) -> int:
    """End this half of the stream."""
    with _in_step(nooks, domain, "inet_shutdown", sock):
        return nooks.kernel.inet_stream.inet_shutdown(sock.kernel, how)
