"""What TCP does with a segment (RFC 793, section 3.9, "SEGMENT ARRIVES"; Linux 2.4 ``tcp_input.c``).

The functions stand in the order of the RFC's text, and each says which paragraph it is.
"""

from typing import Any

from nooks_lab.kernel.errno import ECONNREFUSED, ECONNRESET
from nooks_lab.kernel.net.checksum import LAYER_CYCLES, checksum_cycles, copy_cycles
from nooks_lab.kernel.net.ipv4 import Packet
from nooks_lab.kernel.net.parts import Parts
from nooks_lab.kernel.net.skb_order import skb_append
from nooks_lab.kernel.net.sock import Socks
from nooks_lab.kernel.net.tcp_connection import TcpConnection
from nooks_lab.kernel.net.tcp_output import TcpOutput
from nooks_lab.kernel.net.tcp_segment import ACK, FIN, RST, SYN, Segment, State, after, before, parse
from nooks_lab.kernel.net.tcp_table import TcpTable

_CHECKSUM_UNNECESSARY = 2
MAX_OUT_OF_ORDER = 64
"""Packets kept that wait for one before them: a whole window of the largest, and some."""
COPYBREAK = 256
"""Data up to this many bytes are copied behind what waits already, to save the packet's page."""

DUPLICATES = 3
"""Acknowledgements without anything new from which a segment counts as lost."""

_RECEIVING = (State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2)
_SENDING = (State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK)


class TcpInput:
    """The state machine, driven by segments; it runs in the receive softirq."""

    def __init__(
        self,
        parts: Parts,
        socks: Socks,
        table: TcpTable,
        output: TcpOutput,
        connection: TcpConnection,
        mib: Any,
    ) -> None:
        self._types, self._memory, self._skbs = parts.types, parts.memory, parts.skbs
        self._clock, self._timers, self._socks = parts.clock, parts.timers, socks
        self._table, self._output, self._connection, self._mib = table, output, connection, mib

    def receive(self, address: int, packet: Packet) -> None:
        """Check a received segment and give it to its socket."""
        self._mib.InSegs += 1
        verify = self._skbs.view(address).ip_summed != _CHECKSUM_UNNECESSARY
        self._clock.advance(LAYER_CYCLES + (checksum_cycles(len(packet.payload)) if verify else 0))
        segment = None if packet.broadcast else parse(packet, verify)
        if segment is None:
            self._mib.InErrs += 1
        elif self._arrives(self._lookup(segment), segment, address):
            return
        self._skbs.release(address)

    def _lookup(self, segment: Segment) -> Any:
        local, port = segment.destination, segment.destination_port
        sk = self._table.connection(local, port, segment.source, segment.source_port)
        if sk is not None and sk.state == State.TIME_WAIT and self._starts_anew(sk, segment):
            self._connection.done(sk)
            sk = None
        return sk or self._table.listener(local, port)

    def _starts_anew(self, sk: Any, segment: Segment) -> bool:
        """Tell whether the peer may open the connection again already (RFC 1122, section 4.2.2.13)."""
        return segment.flags & (SYN | ACK | RST) == SYN and after(segment.seq, sk.tp.rcv_nxt)

    def _arrives(self, sk: Any, segment: Segment, address: int) -> bool:
        """SEGMENT ARRIVES; returns whether the packet was kept."""
        if sk is None:
            self._output.reset(segment)
            return False
        state = sk.state
        if state == State.LISTEN:
            self._listen(sk, segment)
            return False
        if state == State.SYN_SENT:
            return self._syn_sent(sk, segment, address)
        return self._otherwise(sk, segment, address)

    def _listen(self, sk: Any, segment: Segment) -> None:
        """If the state is LISTEN."""
        if segment.flags & RST:
            return
        if segment.flags & ACK:
            self._output.reset(segment)
        elif segment.flags & SYN:
            self._connection.make_child(sk, segment)

    def _syn_sent(self, sk: Any, segment: Segment, address: int) -> bool:
        """If the state is SYN-SENT."""
        tp = sk.tp
        acknowledged = segment.flags & ACK
        if acknowledged and not (after(segment.ack, tp.iss) and not after(segment.ack, tp.snd_nxt)):
            self._output.reset(segment)
            return False
        if segment.flags & RST:
            if acknowledged:
                self._connection.fail(sk, ECONNREFUSED)
            return False
        if not segment.flags & SYN:
            return False
        tp.irs, tp.rcv_nxt = segment.seq, segment.seq + 1
        tp.rcv_adv = segment.seq + 1 + self._output.free_window(sk)
        tp.mss = min(tp.mss, segment.mss)
        if not acknowledged:
            # Both sides have opened at once.
            self._connection.set_state(sk, State.SYN_RECEIVED)
            self._set_window(tp, segment)
            self._output.retransmit(sk)
            return False
        self._acknowledge(sk, segment.ack)
        self._set_window(tp, segment)
        self._connection.establish(sk)
        self._output.ack(sk)
        return self._text_and_fin(sk, segment, address)

    def _otherwise(self, sk: Any, segment: Segment, address: int) -> bool:
        """Otherwise: all other states, in eight steps; the third, security, does not exist here."""
        tp = sk.tp
        if not self._first_check_sequence_number(sk, segment):
            self._unacceptable(sk, segment)
            return False
        if segment.flags & RST:
            self._second_check_reset(sk)
            return False
        if segment.flags & SYN and not before(segment.seq, tp.rcv_nxt):
            self._fourth_check_syn(sk)
            return False
        if not segment.flags & ACK or not self._fifth_check_ack(sk, segment):
            return False
        # The sixth step, urgent data, leaves them in the stream, as most applications want it.
        return self._text_and_fin(sk, segment, address)

    def _first_check_sequence_number(self, sk: Any, segment: Segment) -> bool:
        """Check that part of the segment lies in the window (RFC 793, page 69).

        An empty one may stand at the right edge: the peer has used all of the window and acknowledges.
        """
        start, end = sk.tp.rcv_nxt, sk.tp.rcv_adv
        if not segment.length:
            return not before(segment.seq, start) and not after(segment.seq, end)
        return after(segment.end, start) and before(segment.seq, end)

    def _unacceptable(self, sk: Any, segment: Segment) -> None:
        """Answer a segment outside of the window."""
        if segment.flags & RST:
            return
        tp, state = sk.tp, sk.state
        if state == State.SYN_RECEIVED and segment.flags & SYN and segment.seq == tp.irs:
            # The peer has not got our SYN.
            self._output.retransmit(sk)
            return
        if state == State.TIME_WAIT and segment.flags & FIN:
            self._connection.start_time_wait(sk)
        if segment.flags & ACK and segment.seq == tp.rcv_nxt and not self._fifth_check_ack(sk, segment):
            # A closed window keeps data out, not acknowledgements.
            return
        self._output.ack(sk)

    def _second_check_reset(self, sk: Any) -> None:
        """Check the RST bit."""
        state = sk.state
        if state == State.SYN_RECEIVED:
            self._connection.fail(sk, ECONNREFUSED)
        elif state in (State.CLOSING, State.LAST_ACK, State.TIME_WAIT):
            self._connection.done(sk)
        else:
            self._mib.EstabResets += 1
            self._connection.fail(sk, ECONNRESET)

    def _fourth_check_syn(self, sk: Any) -> None:
        """Check the SYN bit: in the window it is an error."""
        self._output.send_reset(sk)
        self._connection.fail(sk, ECONNRESET)

    def _fifth_check_ack(self, sk: Any, segment: Segment) -> bool:
        """Check the ACK field; False says that the segment needs nothing more."""
        tp, ack = sk.tp, segment.ack
        if sk.state == State.SYN_RECEIVED:
            if not after(ack, tp.iss) or after(ack, tp.snd_nxt):
                self._output.reset(segment)
                return False
            self._set_window(tp, segment)
            self._connection.establish(sk)
        if after(ack, tp.snd_nxt):
            self._output.ack(sk)
            return False
        tp.probes_out = 0
        if after(ack, tp.snd_una):
            self._acknowledge(sk, ack)
        elif ack == tp.snd_una and not segment.length and segment.window == tp.snd_wnd:
            self._duplicate_ack(sk)
        if not before(ack, tp.snd_una) and (
            before(tp.snd_wl1, segment.seq) or (tp.snd_wl1 == segment.seq and not after(tp.snd_wl2, ack))
        ):
            self._set_window(tp, segment)
        return self._own_fin_acknowledged(sk) if not tp.write_queue.qlen else self._send_more(sk)

    def _acknowledge(self, sk: Any, ack: int) -> None:
        """Take acknowledged packets out of the write queue."""
        tp = sk.tp
        tp.snd_una, tp.retransmits = ack, 0
        self._output.clean(sk, ack)
        self._timers.del_timer(tp.timer.address)
        if tp.dup_acks >= DUPLICATES and before(ack, tp.high_seq):
            # One more of those that were on the way is missing (RFC 2582, "partial ACK").
            self._output.retransmit(sk)
        else:
            tp.dup_acks = 0
        self._socks.wake(sk)

    def _duplicate_ack(self, sk: Any) -> None:
        """Fast retransmit: what is acknowledged again and again lacks its successor (RFC 2581, section 3.2)."""
        tp = sk.tp
        if tp.snd_nxt == tp.snd_una:
            return
        duplicates = tp.dup_acks + 1
        tp.dup_acks = duplicates
        if duplicates == DUPLICATES:
            tp.high_seq = tp.snd_nxt
            self._output.retransmit(sk)

    def _set_window(self, tp: Any, segment: Segment) -> None:
        tp.snd_wnd, tp.snd_wl1, tp.snd_wl2 = segment.window, segment.seq, segment.ack

    def _send_more(self, sk: Any) -> bool:
        if sk.state in _SENDING:
            self._output.push(sk)
        return True

    def _own_fin_acknowledged(self, sk: Any) -> bool:
        """All that was sent is acknowledged; when our FIN was part of it, the state changes."""
        state = sk.state
        if state == State.FIN_WAIT_1:
            self._connection.set_state(sk, State.FIN_WAIT_2)
            if sk.dead:
                self._connection.start_fin_timeout(sk)
        elif state == State.CLOSING:
            self._connection.start_time_wait(sk)
        elif state == State.LAST_ACK:
            self._connection.done(sk)
            return False
        return True

    # The seventh and eighth step

    def _text_and_fin(self, sk: Any, segment: Segment, address: int) -> bool:
        """Process the segment text and check the FIN bit; returns whether the packet was kept."""
        fin = segment.flags & FIN
        if not (segment.data_length or fin) or sk.state not in _RECEIVING:
            return False
        tp = sk.tp
        seq = segment.seq + bool(segment.flags & SYN)
        skb, cb = self._skbs.view(address), self._output.cb(address)
        skb.data += segment.data_at
        skb.len = segment.data_length
        skb.tail = skb.data + segment.data_length
        cb.seq, cb.end_seq, cb.flags = seq, seq + segment.data_length + bool(fin), fin
        if sk.dead and after(seq + segment.data_length, tp.rcv_nxt):
            # Nobody will ever read it; the peer should know (RFC 1122, section 4.2.2.13).
            self._output.send_reset(sk)
            self._connection.done(sk)
            return False
        self._trim_to_window(tp, skb, cb)
        kept = self._take(sk, address) if cb.seq == tp.rcv_nxt else self._keep_for_later(sk, address)
        self._output.ack(sk)
        return kept

    def _trim_to_window(self, tp: Any, skb: Any, cb: Any) -> None:
        """Cut off what was received before, and what lies beyond the window."""
        early = tp.rcv_nxt - cb.seq & 0xFFFFFFFF
        if before(cb.seq, tp.rcv_nxt):
            skb.data += early
            skb.len -= early
            cb.seq = tp.rcv_nxt
        if after(cb.end_seq, tp.rcv_adv):
            room = tp.rcv_adv - cb.seq & 0xFFFFFFFF
            skb.len, cb.flags, cb.end_seq = min(skb.len, room), 0, tp.rcv_adv
            skb.tail = skb.data + skb.len

    def _take(self, sk: Any, address: int) -> bool:
        """Take a packet that is next in order, and those that waited for it; returns whether it was kept."""
        kept = self._deliver(sk, address)
        queue = sk.tp.out_of_order_queue
        while queue.qlen:
            waiting = queue.next
            cb, tp = self._output.cb(waiting), sk.tp
            if after(cb.seq, tp.rcv_nxt):
                break
            self._skbs.unlink(waiting)
            fresh = after(cb.end_seq, tp.rcv_nxt) and sk.state in _RECEIVING
            if fresh:
                self._trim_to_window(tp, self._skbs.view(waiting), cb)
            if not fresh or not self._deliver(sk, waiting):
                self._skbs.release(waiting)
        self._socks.wake(sk)
        return kept

    def _deliver(self, sk: Any, address: int) -> bool:
        """Advance RCV.NXT over a packet and queue its data; returns whether the packet was kept."""
        cb = self._output.cb(address)
        fin = cb.flags & FIN
        sk.tp.rcv_nxt = cb.end_seq
        kept = self._queue_data(sk, address)
        if fin:
            self._eighth_check_fin(sk)
        return kept

    def _queue_data(self, sk: Any, address: int) -> bool:
        skb = self._skbs.view(address)
        length = skb.len
        if not length:
            return False
        sk.rmem_alloc += length
        queue = sk.receive_queue
        if length <= COPYBREAK and queue.qlen:
            last = self._skbs.view(queue.prev)
            if last.tail + length <= last.end:
                self._memory.write(last.tail, self._memory.read(skb.data, length))
                self._clock.advance(copy_cycles(length))
                last.tail += length
                last.len += length
                return False
        skb.dev = 0
        self._skbs.queue_tail(queue.address, address)
        return True

    def _keep_for_later(self, sk: Any, address: int) -> bool:
        """Queue a packet that came too early, in order; returns whether it was kept."""
        queue, cb = sk.tp.out_of_order_queue, self._output.cb(address)
        if queue.qlen >= MAX_OUT_OF_ORDER:
            return False
        place = queue.prev
        while place != queue.address:
            other = self._output.cb(place)
            if not before(cb.seq, other.seq):
                if not after(cb.end_seq, other.end_seq):
                    return False
                break
            place = self._skbs.view(place).prev
        self._skbs.view(address).dev = 0
        skb_append(self._types, queue, place, address)
        return True

    def _eighth_check_fin(self, sk: Any) -> None:
        """Check the FIN bit; it has been counted in RCV.NXT."""
        state = sk.state
        if state == State.ESTABLISHED:
            self._connection.set_state(sk, State.CLOSE_WAIT)
        elif state == State.FIN_WAIT_1:
            # Our own FIN is not acknowledged yet, or the state were FIN-WAIT-2.
            self._connection.set_state(sk, State.CLOSING)
        elif state == State.FIN_WAIT_2:
            self._connection.start_time_wait(sk)
        self._socks.wake(sk)
