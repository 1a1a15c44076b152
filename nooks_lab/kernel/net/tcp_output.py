"""What TCP sends (RFC 793, section 3.7; Linux 2.4 ``net/ipv4/tcp_output.c``)."""

from typing import Any

from nooks_lab.kernel.net.checksum import LAYER_CYCLES, checksum_cycles, copy_cycles
from nooks_lab.kernel.net.ipv4 import IPPROTO_TCP, Ipv4
from nooks_lab.kernel.net.parts import Parts
from nooks_lab.kernel.net.skb_order import skb_append
from nooks_lab.kernel.net.tcp_segment import ACK, FIN, PSH, RST, SYN, Segment, State, after, build
from nooks_lab.kernel.timers import HZ

MSS = 1460
"""What we announce: Ethernet's 1500 bytes without two headers."""
RTO = HZ // 5
"""Jiffies to the first retransmission; each later one waits twice as long."""
MAX_RETRANSMITS = 6
MAX_WINDOW = 0xFFFF
_HEADERS = 40


class TcpOutput:
    """Segments out of a socket's write queue, acknowledgements, resets and retransmissions.

    The write queue keeps every packet until it is acknowledged.  SYN and FIN stand in it as packets without
    data, so that they are sent again like everything else.  What is sent is always a copy, which the driver
    then owns.  All of it runs with bottom halves off.
    """

    def __init__(self, parts: Parts, ip: Ipv4, mib: Any) -> None:
        self._types, self._skbs, self._clock = parts.types, parts.skbs, parts.clock
        self._timers, self._ip, self._mib = parts.timers, ip, mib
        self._cb = parts.types.offset("sk_buff", "cb")

    def cb(self, address: int) -> Any:
        """Return ``TCP_SKB_CB(skb)``: the sequence numbers of a queued packet."""
        return self._types.view("tcp_skb_cb", address + self._cb)

    # The write queue

    def queue(self, sk: Any, data: bytes, flags: int = 0) -> bool:
        """Append a packet with data, or with SYN or FIN; False when memory is short."""
        tp = sk.tp
        address = self._skbs.make(data, 0)
        if not address:
            return False
        seq = self.write_seq(tp)
        cb = self.cb(address)
        cb.seq, cb.end_seq, cb.flags = seq, seq + len(data) + bool(flags & (SYN | FIN)), flags
        self._skbs.queue_tail(tp.write_queue.address, address)
        sk.wmem_queued += self._skbs.view(address).truesize
        if not tp.send_head:
            tp.send_head = address
        return True

    def write_seq(self, tp: Any) -> int:
        """Return the sequence number behind everything queued."""
        queue = tp.write_queue
        return int(self.cb(queue.prev).end_seq if queue.qlen else tp.snd_nxt)

    def clean(self, sk: Any, ack: int) -> None:
        """Free the packets that ``ack`` acknowledges."""
        tp = sk.tp
        queue = tp.write_queue
        while queue.qlen:
            address = queue.next
            if address == tp.send_head or after(self.cb(address).end_seq, ack):
                return
            sk.wmem_queued -= self._skbs.view(address).truesize
            self._skbs.unlink(address)
            self._skbs.release(address)

    def push(self, sk: Any) -> None:
        """Send what the peer's window has room for."""
        tp = sk.tp
        nothing_on_the_way = tp.snd_nxt == tp.snd_una
        while address := tp.send_head:
            cb = self.cb(address)
            end = tp.snd_una + tp.snd_wnd
            if after(cb.end_seq, end) and not self._fits_in_part(sk, address, end):
                break
            following = self._skbs.view(address).next
            tp.send_head = 0 if following == tp.write_queue.address else following
            tp.snd_nxt = self.cb(address).end_seq
            self._transmit(sk, address)
        if nothing_on_the_way and tp.snd_nxt != tp.snd_una:
            tp.retransmits = 0
            self.restart_timer(sk)
        elif tp.write_queue.qlen and not tp.timer.list.next:
            self.restart_timer(sk)

    def _fits_in_part(self, sk: Any, address: int, end: int) -> bool:
        """Tell whether a packet beyond the window may go, cut to what the window takes.

        Cutting waits until nothing is on the way: the window may open further until then.
        """
        tp = sk.tp
        room = end - self.cb(address).seq & 0xFFFFFFFF
        if tp.snd_nxt != tp.snd_una or not 0 < room < self._skbs.view(address).len:
            return False
        return self._split(sk, address, room)

    def _split(self, sk: Any, address: int, length: int) -> bool:
        """``tcp_fragment``: cut a packet in two behind ``length`` bytes; False when memory is short."""
        data = self._skbs.data(address)
        rest = self._skbs.make(data[length:], 0)
        if not rest:
            return False
        skb, cb, rest_cb = self._skbs.view(address), self.cb(address), self.cb(rest)
        rest_cb.seq, rest_cb.end_seq, rest_cb.flags = cb.seq + length, cb.end_seq, cb.flags
        skb.len, skb.tail, cb.end_seq = length, skb.data + length, cb.seq + length
        skb_append(self._types, sk.tp.write_queue, address, rest)
        sk.wmem_queued += self._skbs.view(rest).truesize
        return True

    # Segments

    def _transmit(self, sk: Any, address: int) -> None:
        """Send a copy of a queued packet."""
        cb = self.cb(address)
        data = self._skbs.data(address)
        self._clock.advance(copy_cycles(len(data)))
        self._send(sk, cb.seq, cb.flags | PSH if data else cb.flags, data)

    def ack(self, sk: Any) -> None:
        """Send an acknowledgement without data."""
        self._send(sk, sk.tp.snd_nxt, 0, b"")

    def _send(self, sk: Any, seq: int, flags: int, data: bytes) -> None:
        tp = sk.tp
        ack = window = 0
        if sk.state != State.SYN_SENT:
            flags, ack, window = flags | ACK, tp.rcv_nxt, self._select_window(sk)
        else:
            window = min(sk.rcvbuf, MAX_WINDOW)
        source, destination = sk.rcv_saddr, sk.daddr
        segment = build(
            (source, sk.num),
            (destination, sk.dport),
            seq,
            ack,
            flags,
            window,
            data,
            MSS if flags & SYN else 0,
        )
        self._output(source, destination, segment)

    def _output(self, source: int, destination: int, segment: bytes) -> None:
        """Hand a segment to IP; one that does not get away counts as lost on the way."""
        self._clock.advance(LAYER_CYCLES + checksum_cycles(len(segment)))
        self._mib.OutSegs += 1
        route = self._ip.routes.lookup(destination)
        if route is not None:
            self._ip.output(route, IPPROTO_TCP, source, destination, segment)

    def _select_window(self, sk: Any) -> int:
        """Return RCV.WND: the free buffer, but no small increase and never less than was promised.

        A window that grows by a few bytes makes the peer send small segments (RFC 1122, section 4.2.3.3).
        """
        tp = sk.tp
        promised = self.promised_window(tp)
        window = self.free_window(sk)
        if window < promised + min(sk.rcvbuf // 2, MSS):
            return promised
        tp.rcv_adv = tp.rcv_nxt + window
        return window

    def promised_window(self, tp: Any) -> int:
        """Return how much of the window that the peer was told it may still use."""
        return int(tp.rcv_adv - tp.rcv_nxt & 0xFFFFFFFF)

    def route_mss(self, destination: int) -> int:
        """Return the largest segment that the way to a destination takes."""
        route = self._ip.routes.lookup(destination)
        return MSS if route is None else min(MSS, route.dev.mtu - _HEADERS)

    def free_window(self, sk: Any) -> int:
        """Return how many bytes the receive buffer has room for."""
        return int(min(max(0, sk.rcvbuf - sk.rmem_alloc), MAX_WINDOW))

    def window_update(self, sk: Any) -> None:
        """After the process has read: tell the peer when the window has grown by enough."""
        if self.free_window(sk) >= self.promised_window(sk.tp) + min(sk.rcvbuf // 2, 2 * MSS):
            self.ack(sk)

    def reset(self, segment: Segment) -> None:
        """Answer a segment that belongs to no connection (RFC 793, page 36); a reset is never answered."""
        if segment.flags & RST:
            return
        seq, ack, flags = segment.ack, 0, RST
        if not segment.flags & ACK:
            seq, ack, flags = 0, segment.end, RST | ACK
        self._mib.OutRsts += 1
        source = segment.destination, segment.destination_port
        destination = segment.source, segment.source_port
        self._output(source[0], destination[0], build(source, destination, seq, ack, flags, 0))

    def send_reset(self, sk: Any) -> None:
        """Break a connection off: tell the peer."""
        self._mib.OutRsts += 1
        self._send(sk, sk.tp.snd_nxt, RST, b"")

    # Retransmission

    def restart_timer(self, sk: Any) -> None:
        """Start the retransmission timer, for the attempt that is due."""
        tp = sk.tp
        timeout = RTO << min(tp.retransmits, MAX_RETRANSMITS)
        self._timers.mod_timer(tp.timer.address, self._timers.jiffies + timeout)

    def retransmit(self, sk: Any) -> None:
        """Send the first unacknowledged packet again, or probe a closed window."""
        tp = sk.tp
        head = tp.write_queue.next
        if head != tp.send_head:
            self._mib.RetransSegs += 1
            self._transmit(sk, head)
        else:
            # An old sequence number makes the peer answer with its present window.
            self._send(sk, tp.snd_una - 1 & 0xFFFFFFFF, 0, b"")
