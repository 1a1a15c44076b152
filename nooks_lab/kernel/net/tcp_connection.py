"""A connection's beginning and end, common to several of TCP's events (Linux 2.4 ``tcp_minisocks.c``)."""

from typing import Any

from nooks_lab.kernel.lists import init_list_head, list_add_tail, list_del, list_for_each
from nooks_lab.kernel.net.ipv4 import IPPROTO_TCP
from nooks_lab.kernel.net.parts import Parts
from nooks_lab.kernel.net.sock import Socks
from nooks_lab.kernel.net.tcp_output import TcpOutput
from nooks_lab.kernel.net.tcp_segment import MIN_MSS, SYN, Segment, State
from nooks_lab.kernel.net.tcp_table import TcpTable
from nooks_lab.kernel.timers import HZ

TIME_WAIT_TIME = HZ
"""Jiffies in TIME-WAIT: twice a segment's lifetime, which is short on one wire."""
FIN_TIMEOUT = 60 * HZ
"""Jiffies that a socket nobody has open waits for the peer's FIN."""

_ISN_PER_JIFFY = 2500
"""The clock of RFC 793, page 27, ticks every four microseconds."""
_ISN_PER_CONNECTION = 64000
_CONNECTED = (State.ESTABLISHED, State.CLOSE_WAIT)


class TcpConnection:
    """Sockets made, established, failed and done with.

    A socket is held by the process that has it open (a listener, before it is accepted) and, from its first
    segment to state CLOSED, by the protocol.
    """

    def __init__(self, parts: Parts, socks: Socks, table: TcpTable, output: TcpOutput, mib: Any) -> None:
        self._parts, self._memory = parts, parts.memory
        self._skbs, self._timers, self._socks = parts.skbs, parts.timers, socks
        self._table, self._output, self._mib = table, output, mib
        self._queue_node = parts.types.offset("sock", "tp") + parts.types.offset("tcp_opt", "queue_node")

    def init(self, sk: Any) -> None:
        """Set the variables of a new socket."""
        tp = sk.tp
        self._skbs.queue_init(tp.write_queue.address)
        self._skbs.queue_init(tp.out_of_order_queue.address)
        init_list_head(self._memory, tp.syn_queue.address)
        init_list_head(self._memory, tp.accept_queue.address)
        tp.timer.data, tp.timer.function = sk.address, self._parts.timer_functions["tcp_write_timer"]

    def set_state(self, sk: Any, state: State) -> None:
        """Write a socket's state, and count connections as RFC 1213 does."""
        self._mib.CurrEstab += (state in _CONNECTED) - (sk.state in _CONNECTED)
        sk.state = state

    def begin(self, sk: Any, state: State, mss: int) -> bool:
        """Send SYN: choose the initial sequence number and hash the socket; False when memory is short."""
        tp = sk.tp
        counted = self._parts.next_number("tcp_isn", _ISN_PER_CONNECTION)
        tp.iss = tp.snd_una = tp.snd_nxt = self._timers.jiffies * _ISN_PER_JIFFY + counted
        tp.mss = max(MIN_MSS, min(mss, self._output.route_mss(sk.daddr)))
        # SYN needs no window; the peer's is known when it has answered.
        tp.snd_wnd = 1
        if not self._output.queue(sk, b"", SYN):
            return False
        self.set_state(sk, state)
        self._socks.hold(sk)
        self._table.hash(sk)
        self._output.push(sk)
        return True

    def make_child(self, listener: Any, segment: Segment) -> None:
        """Answer a SYN for a listener with a new socket in SYN-RECEIVED; a full backlog drops it."""
        if listener.tp.ack_backlog >= listener.tp.max_ack_backlog:
            return
        sk = self._socks.alloc(IPPROTO_TCP)
        if sk is None:
            return
        self.init(sk)
        sk.rcv_saddr, sk.num = segment.destination, segment.destination_port
        sk.daddr, sk.dport = segment.source, segment.source_port
        tp = sk.tp
        tp.irs = segment.seq
        tp.rcv_nxt = tp.rcv_adv = segment.seq + 1
        tp.listener = listener.address
        if not self.begin(sk, State.SYN_RECEIVED, segment.mss):
            self._socks.put(sk)
            return
        listener.tp.ack_backlog += 1
        list_add_tail(self._memory, tp.queue_node.address, listener.tp.syn_queue.address)

    def establish(self, sk: Any) -> None:
        """Enter ESTABLISHED: wake who connects, or hand a listener's child over to be accepted."""
        tp = sk.tp
        self.set_state(sk, State.ESTABLISHED)
        if tp.listener:
            self._mib.PassiveOpens += 1
            listener = self._socks.view(tp.listener)
            list_del(self._memory, tp.queue_node.address)
            list_add_tail(self._memory, tp.queue_node.address, listener.tp.accept_queue.address)
            self._socks.wake(listener)
        self._socks.wake(sk)

    def start_fin_timeout(self, sk: Any) -> None:
        """Wait for the peer's FIN, but not for ever: no process has the socket open."""
        self._timers.mod_timer(sk.tp.timer.address, self._timers.jiffies + FIN_TIMEOUT)

    def start_time_wait(self, sk: Any) -> None:
        """Enter TIME-WAIT, or begin it anew."""
        self.set_state(sk, State.TIME_WAIT)
        self._timers.mod_timer(sk.tp.timer.address, self._timers.jiffies + TIME_WAIT_TIME)
        self._socks.wake(sk)

    def fail(self, sk: Any, error: int) -> None:
        """End a connection with an error for its process."""
        if sk.state in (State.SYN_SENT, State.SYN_RECEIVED):
            self._mib.AttemptFails += 1
        sk.err = error
        self.done(sk)

    def done(self, sk: Any) -> None:
        """``tcp_done``: enter CLOSED, drop all that was to be sent, and let go of the socket."""
        tp = sk.tp
        self.set_state(sk, State.CLOSED)
        self._timers.del_timer(tp.timer.address)
        tp.send_head = 0
        self._skbs.purge(tp.write_queue.address)
        self._skbs.purge(tp.out_of_order_queue.address)
        sk.wmem_queued = 0
        self._table.unhash(sk)
        self._table.release_port(sk)
        self._socks.wake(sk)
        if tp.listener:
            self.leave_listener(sk)
            self._socks.put(sk)
        self._socks.put(sk)

    def leave_listener(self, sk: Any) -> None:
        """Take a socket out of its listener's queues; who does it holds the socket from then on."""
        tp = sk.tp
        list_del(self._memory, tp.queue_node.address)
        self._socks.view(tp.listener).tp.ack_backlog -= 1
        tp.listener = 0

    def first_child(self, queue: int) -> Any:
        """Return the first socket in one of a listener's queues, or None."""
        node = self._memory.u32(queue)
        return None if node == queue else self._socks.view(node - self._queue_node)

    def children(self, queue: int) -> list[Any]:
        """Return the sockets in one of a listener's queues."""
        return [self._socks.view(node - self._queue_node) for node in list_for_each(self._memory, queue)]
