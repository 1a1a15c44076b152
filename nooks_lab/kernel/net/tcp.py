"""TCP's calls for processes (RFC 793, section 3.8; Linux 2.4 ``net/ipv4/tcp.c``)."""

from typing import Any

from nooks_lab.kernel.errno import (
    EADDRNOTAVAIL,
    EAGAIN,
    EINVAL,
    EISCONN,
    ENETUNREACH,
    ENOBUFS,
    ENOTCONN,
    EPIPE,
    ETIMEDOUT,
)
from nooks_lab.kernel.net.checksum import copy_cycles
from nooks_lab.kernel.net.ipv4 import IPPROTO_TCP, Ipv4, Packet
from nooks_lab.kernel.net.parts import Parts
from nooks_lab.kernel.net.sock import SocketError, Socks
from nooks_lab.kernel.net.tcp_connection import TcpConnection
from nooks_lab.kernel.net.tcp_input import TcpInput
from nooks_lab.kernel.net.tcp_output import MSS, TcpOutput
from nooks_lab.kernel.net.tcp_segment import FIN, State
from nooks_lab.kernel.net.tcp_table import TcpTable
from nooks_lab.kernel.net.tcp_timer import TcpTimer

_OPENING = (State.SYN_SENT, State.SYN_RECEIVED)
_CAN_SEND = (State.ESTABLISHED, State.CLOSE_WAIT)
_CAN_RECEIVE = (State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2)
_AFTER_FIN = {State.ESTABLISHED: State.FIN_WAIT_1, State.CLOSE_WAIT: State.LAST_ACK}


class Tcp:
    """The protocol put together, and its socket calls; these run in process context and may sleep."""

    def __init__(self, parts: Parts, ip: Ipv4, socks: Socks) -> None:
        self._memory, self._skbs, self._clock = parts.memory, parts.skbs, parts.clock
        self._bh, self._ip, self._socks = parts.bottom_halves, ip, socks
        self.mib = parts.global_view("tcp_mib", "tcp_statistics")
        self.table = TcpTable(parts)
        self._output = TcpOutput(parts, ip, self.mib)
        self._connection = TcpConnection(parts, socks, self.table, self._output, self.mib)
        self._input = TcpInput(parts, socks, self.table, self._output, self._connection, self.mib)
        self.timer = TcpTimer(parts.timer_bh, socks, self._output, self._connection)

    def boot(self) -> None:
        """Take TCP packets from IP."""
        self.table.boot()
        self._ip.add_protocol(IPPROTO_TCP, self._input.receive, self.error)

    def error(self, packet: Packet, error: int) -> None:
        """A segment of ours did not arrive: an attempt to connect fails, a connection goes on trying."""
        source_port, port = (int.from_bytes(packet.payload[at : at + 2], "big") for at in (0, 2))
        sk = self.table.connection(packet.source, source_port, packet.destination, port)
        if sk is not None and sk.state == State.SYN_SENT:
            self._connection.fail(sk, error)

    # Opening

    def create(self) -> Any:
        """Return a new socket, which its caller has to :meth:`close`."""
        sk = self._socks.create(IPPROTO_TCP, State.CLOSED)
        self._connection.init(sk)
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
        self.table.bind(sk, address, port)

    def listen(self, sk: Any, backlog: int) -> None:
        """Passive OPEN: take connections from anybody.

        Parameters
        ----------
        backlog : int
            How many connections may wait to be accepted, half-open ones included.

        Raises
        ------
        SocketError
            EINVAL when the socket is not bound, EISCONN when it is in use.
        """
        if not sk.num:
            raise SocketError(EINVAL, "a socket must be bound before it can listen")
        if sk.state != State.CLOSED:
            raise SocketError(EISCONN, "the socket listens or is connected already")
        with self._bh:
            sk.tp.max_ack_backlog = max(1, backlog)
            self._connection.set_state(sk, State.LISTEN)
            self._socks.hold(sk)
            self.table.hash(sk)

    def accept(self, sk: Any, timeout: float | None) -> Any:
        """Return the socket of the next established connection; the caller has to close it.

        Raises
        ------
        SocketError
            EINVAL when the socket does not listen, EAGAIN at the timeout.
        """
        deadline = self._socks.deadline(timeout)
        while True:
            if sk.state != State.LISTEN:
                raise SocketError(EINVAL, "accept needs a listening socket")
            child = self._connection.first_child(sk.tp.accept_queue.address)
            if child is not None:
                self._connection.leave_listener(child)
                return child
            self._socks.wait(sk, deadline)

    def connect(self, sk: Any, address: int, port: int, timeout: float | None) -> None:
        """Active OPEN: connect to a peer, and wait until it has answered.

        Raises
        ------
        SocketError
            ECONNREFUSED, EHOSTUNREACH, ETIMEDOUT and so on.
        """
        if sk.state != State.CLOSED or sk.dport:
            raise SocketError(EISCONN, "the socket listens or is connected already")
        route = self._ip.routes.lookup(address)
        if route is None:
            raise SocketError(ENETUNREACH)
        if route.kind == "broadcast":
            raise SocketError(EINVAL, "a connection needs one peer, not a broadcast address")
        if not sk.num:
            self.table.bind(sk, 0, 0)
        source = sk.rcv_saddr or route.source
        if self.table.connection(source, sk.num, address, port) is not None:
            raise SocketError(EADDRNOTAVAIL, f"port {sk.num} has a connection to that peer already")
        sk.rcv_saddr, sk.daddr, sk.dport = source, address, port
        deadline = self._socks.deadline(timeout)
        with self._bh:
            self.mib.ActiveOpens += 1
            if not self._connection.begin(sk, State.SYN_SENT, MSS):
                raise SocketError(ENOBUFS)
        self._wait_until_open(sk, deadline)

    def _wait_until_open(self, sk: Any, deadline: int | None) -> None:
        while sk.state in _OPENING:
            try:
                self._socks.wait(sk, deadline)
            except SocketError as error:
                if error.errno != EAGAIN:
                    raise
                with self._bh:
                    self._connection.fail(sk, ETIMEDOUT)
        self._socks.take_error(sk)

    # Data

    def send(self, sk: Any, data: bytes, timeout: float | None) -> int:
        """SEND: queue data, waiting for room; returns how many bytes were taken.

        At the timeout that may be a part of them.

        Raises
        ------
        SocketError
            EPIPE when the connection is not open for sending, or the error that it met.
        """
        deadline = self._socks.deadline(timeout)
        done = 0
        while done < len(data):
            self._socks.take_error(sk)
            if sk.state not in _CAN_SEND:
                raise SocketError(EPIPE, "the connection is not open for sending")
            if sk.wmem_queued < sk.sndbuf:
                with self._bh:
                    taken = self._queue(sk, data[done : done + sk.tp.mss])
                    self._output.push(sk)
                if not taken:
                    if done:
                        return done
                    raise SocketError(ENOBUFS)
                done += taken
                continue
            try:
                self._socks.wait(sk, deadline)
            except SocketError:
                if done:
                    return done
                raise
        return done

    def _queue(self, sk: Any, data: bytes) -> int:
        """Put data behind what is queued: into the last packet while that is unsent and has room."""
        self._clock.advance(copy_cycles(len(data)))
        tp = sk.tp
        last = tp.write_queue.prev
        if tp.send_head:
            skb, cb = self._skbs.view(last), self._output.cb(last)
            room = min(tp.mss - skb.len, skb.end - skb.tail)
            if room > 0:
                data = data[:room]
                self._memory.write(skb.tail, data)
                skb.tail += len(data)
                skb.len += len(data)
                cb.end_seq += len(data)
                return len(data)
        return len(data) if self._output.queue(sk, data) else 0

    def recv(self, sk: Any, size: int, timeout: float | None) -> bytes:
        """RECEIVE: return at most ``size`` bytes, as soon as there are any; no bytes at the peer's FIN.

        Raises
        ------
        SocketError
            ENOTCONN, EAGAIN at the timeout, or the error that the connection met.
        """
        if not sk.dport:
            raise SocketError(ENOTCONN, "the socket is not connected")
        deadline = self._socks.deadline(timeout)
        while not (data := self._take(sk, size)) and size:
            self._socks.take_error(sk)
            if sk.state not in _CAN_RECEIVE + _OPENING:
                return b""
            self._socks.wait(sk, deadline)
        if sk.state in _CAN_RECEIVE:
            with self._bh:
                self._output.window_update(sk)
        return data

    def _take(self, sk: Any, size: int) -> bytes:
        """Take bytes out of the receive queue."""
        chunks = []
        queue = sk.receive_queue
        while size and queue.qlen:
            address = queue.next
            skb = self._skbs.view(address)
            length = min(size, skb.len)
            chunks.append(self._memory.read(skb.data, length))
            size -= length
            if length < skb.len:
                skb.data += length
                skb.len -= length
            else:
                self._skbs.unlink(address)
                self._skbs.release(address)
        data = b"".join(chunks)
        sk.rmem_alloc -= len(data)
        self._clock.advance(copy_cycles(len(data)))
        return data

    # Closing

    def shutdown(self, sk: Any) -> None:
        """Send FIN behind what is queued; the peer may go on sending.

        Raises
        ------
        SocketError
            ENOTCONN when the connection is not open for sending.
        """
        if sk.state not in _CAN_SEND:
            raise SocketError(ENOTCONN, "the connection is not open for sending")
        with self._bh:
            self._send_fin(sk)

    def _send_fin(self, sk: Any) -> None:
        """CLOSE in ESTABLISHED or CLOSE-WAIT."""
        if not self._output.queue(sk, b"", FIN):
            self._output.send_reset(sk)
            self._connection.fail(sk, ENOBUFS)
            return
        self._connection.set_state(sk, _AFTER_FIN[State(sk.state)])
        self._output.push(sk)

    def close(self, sk: Any) -> None:
        """CLOSE: give a socket up; what is queued is still sent, and the connection ends by itself."""
        with self._bh:
            state = sk.state
            sk.dead = 1
            self._socks.wake(sk)
            if state == State.LISTEN:
                self._close_listener(sk)
            elif state in _OPENING:
                self._connection.done(sk)
            elif state in _CAN_SEND:
                self._close_connected(sk)
            elif state == State.FIN_WAIT_2:
                self._connection.start_fin_timeout(sk)
            elif state == State.CLOSED:
                self.table.release_port(sk)
            self._socks.put(sk)

    def _close_connected(self, sk: Any) -> None:
        """End a connection; unread data reset it, since the peer believes them read (RFC 2525, 2.17)."""
        if sk.receive_queue.qlen:
            self._output.send_reset(sk)
            self._connection.done(sk)
        else:
            self._send_fin(sk)

    def _close_listener(self, sk: Any) -> None:
        tp = sk.tp
        for queue in (tp.syn_queue, tp.accept_queue):
            for child in self._connection.children(queue.address):
                self._output.send_reset(child)
                self._connection.done(child)
        self._connection.done(sk)
