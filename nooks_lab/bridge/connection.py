"""One TCP connection from the host's end (RFC 793; the numbers are those of RFC 1122 and RFC 5681).

It opens, sends, acknowledges, puts in order, sends again what is lost, and ends; time is the simulated one.
"""

from collections.abc import Callable
from dataclasses import dataclass

from nooks_lab.bridge.packets import ACK, DEFAULT_MSS, FIN, MSS, PSH, RST, SYN, WRAP, TcpSegment
from nooks_lab.machine.clock import CPU_HZ

WINDOW = 65535
RTO = CPU_HZ // 5
"""Cycles to the first retransmission; each later one waits twice as long, up to ``LONGEST_RTO``."""
LONGEST_RTO = 4 * RTO
PATIENCE = 12
"""Retransmissions of one segment; with the doublings these are 9 simulated seconds."""
DUPLICATES = 3
"""Acknowledgements of the same number that mean a loss (RFC 5681, section 3.2)."""

Transmit = Callable[["Connection", int, int, bytes], None]


@dataclass
class Sent:
    """A segment on the way: its number, and what it was."""

    seq: int
    flags: int
    data: bytes

    @property
    def end(self) -> int:
        """The number behind it."""
        return (self.seq + len(self.data) + bool(self.flags & (SYN | FIN))) % WRAP


def _after(a: int, b: int) -> bool:
    return 0 < (a - b) % WRAP < WRAP // 2


class Connection:
    """A connection that this end opens.

    Parameters
    ----------
    port : int
        This end's port.
    iss : int
        Its first sequence number.
    transmit : callable (connection, sequence number, flags, data)
        Puts a segment on the wire.
    now : callable -> int
        The clock, in cycles.
    changed : callable (connection)
        Told when there is something to read, room to write, or an end.

    Attributes
    ----------
    limit : int
        Bytes that may wait here to be read; the other end is told what is left of it.
    error : str
        What ended the connection too early; empty while nothing did.
    open, ended, closed : bool
        The other end has answered; it has ended its half; nothing is left to do.
    """

    def __init__(
        self,
        port: int,
        iss: int,
        transmit: Transmit,
        now: Callable[[], int],
        changed: Callable[["Connection"], None],
    ) -> None:
        self.port, self._transmit, self._now, self._changed = port, transmit, now, changed
        self._una = self._nxt = iss
        self._flight: list[Sent] = []
        self._queue = bytearray()
        self._window, self._mss = 1, DEFAULT_MSS
        self._wl1 = self._wl2 = 0
        self._rto, self._tries, self._deadline = RTO, 0, 0
        self._duplicates = 0
        self.rcv_nxt = 0
        self.limit = WINDOW
        self._received = bytearray()
        self._early: dict[int, tuple[bytes, bool]] = {}
        self._ending = self._fin_sent = False
        self.open = self.ended = self.closed = False
        self.error = ""
        self._send(SYN, b"")

    # What a user does

    @property
    def unsent(self) -> int:
        """Bytes that wait for the other end's window, or for its acknowledgement."""
        return len(self._queue) + sum(len(sent.data) for sent in self._flight)

    @property
    def available(self) -> int:
        """Bytes that can be read."""
        return len(self._received)

    def send(self, data: bytes) -> None:
        """Queue data; they go as the other end takes them."""
        if not self.closed and not self._ending:
            self._queue += data
            self._push()

    def read(self, size: int = WINDOW) -> bytes:
        """Take at most ``size`` bytes of what has arrived; none may mean none yet, or the end (``ended``)."""
        narrow = self.window < min(2 * MSS, self.limit)
        data = bytes(self._received[:size])
        del self._received[:size]
        if narrow and self.window >= min(2 * MSS, self.limit) and self.open and not self.closed:
            self._acknowledge()
        return data

    def end(self) -> None:
        """End this half of the stream, behind what is queued."""
        self._ending = True
        self._push()

    def abort(self) -> None:
        """Break the connection off."""
        if not self.closed:
            self._transmit(self, self._nxt, RST | ACK if self.open else RST, b"")
            self._finish("aborted")

    @property
    def window(self) -> int:
        """What the other end may send."""
        return max(0, self.limit - len(self._received))

    # Sending

    def _send(self, flags: int, data: bytes) -> None:
        sent = Sent(self._nxt, flags, data)
        self._nxt = sent.end
        if not self._flight:
            self._restart_timer()
        self._flight.append(sent)
        self._transmit(self, sent.seq, self._flags(sent), data)

    def _flags(self, sent: Sent) -> int:
        return sent.flags | (PSH if sent.data else 0) | (ACK if self.open else 0)

    def _push(self) -> None:
        """Send what the other end's window has room for."""
        if not self.open or self.closed:
            return
        while self._queue:
            room = (self._una + self._window - self._nxt) % WRAP
            if room == 0 or room > WRAP // 2:
                break
            size = min(len(self._queue), self._mss, room)
            data = bytes(self._queue[:size])
            del self._queue[:size]
            self._send(0, data)
        if self._queue and not self._flight and not self._deadline:
            self._restart_timer()
        if self._ending and not self._queue and not self._fin_sent:
            self._fin_sent = True
            self._send(FIN, b"")

    def _acknowledge(self) -> None:
        self._transmit(self, self._nxt, ACK, b"")

    def _restart_timer(self) -> None:
        self._deadline = self._now() + self._rto

    def tick(self) -> None:
        """Send again what has not been acknowledged in time."""
        if self.closed or not self._deadline or self._now() < self._deadline:
            return
        self._tries += 1
        if self._tries > PATIENCE:
            self._finish("the other end does not answer")
            return
        self._rto = min(2 * self._rto, LONGEST_RTO)
        if self._flight:
            self._resend()
        elif self._queue:
            # A closed window: one byte makes the other end say how it is now.
            data = bytes(self._queue[:1])
            del self._queue[:1]
            self._send(0, data)
        else:
            self._deadline = 0
            return
        self._restart_timer()

    def _resend(self) -> None:
        sent = self._flight[0]
        self._transmit(self, sent.seq, self._flags(sent), sent.data)

    # Receiving

    def receive(self, segment: TcpSegment) -> None:
        """Take a segment of the other end's."""
        if self.closed:
            return
        if not self.open:
            self._answered(segment)
        else:
            self._take(segment)

    def _answered(self, segment: TcpSegment) -> None:
        """SYN has been answered, or something old has come."""
        if segment.flags & ACK and segment.ack != self._nxt:
            if not segment.flags & RST:
                self._transmit(self, segment.ack, RST, b"")
            return
        if segment.flags & RST:
            if segment.flags & ACK:
                self._finish("connection refused")
            return
        if segment.flags & (SYN | ACK) != SYN | ACK:
            return
        self.open = True
        self.rcv_nxt = (segment.seq + 1) % WRAP
        self._mss = min(MSS, segment.mss or DEFAULT_MSS)
        self._window, self._wl1, self._wl2 = segment.window, segment.seq, segment.ack
        self._acknowledged(segment.ack)
        self._acknowledge()
        self._push()
        self._changed(self)

    def _take(self, segment: TcpSegment) -> None:
        size = len(segment.data)
        offset = (segment.seq - self.rcv_nxt + WRAP // 2) % WRAP - WRAP // 2
        if segment.flags & RST:
            if 0 <= offset <= max(self.window, 1):
                self._finish("connection reset by the other end")
            return
        if segment.flags & SYN:
            # Ours was not acknowledged, as the other end sees it.
            self._acknowledge()
            return
        if not segment.flags & ACK:
            return
        self._take_ack(segment)
        if self.closed or not (size or segment.flags & FIN):
            return
        if offset <= 0:
            self._in_order(segment.data[-offset:] if -offset <= size else b"", segment, offset)
        elif offset + size <= WINDOW:
            self._early[segment.seq] = (segment.data, bool(segment.flags & FIN))
        self._acknowledge()
        self._maybe_finish()
        self._changed(self)

    def _in_order(self, data: bytes, segment: TcpSegment, offset: int) -> None:
        if self.ended or -offset > len(segment.data):
            return
        self._append(data, bool(segment.flags & FIN))
        while not self.ended:
            following = next((seq for seq in self._early if not _after(seq, self.rcv_nxt)), None)
            if following is None:
                return
            early, fin = self._early.pop(following)
            known = (self.rcv_nxt - following) % WRAP
            if known <= len(early):
                self._append(early[known:], fin)

    def _append(self, data: bytes, fin: bool) -> None:
        room = self.window
        fin = fin and len(data) <= room
        data = data[:room]
        self._received += data
        self.rcv_nxt = (self.rcv_nxt + len(data) + fin) % WRAP
        self.ended = self.ended or fin

    def _take_ack(self, segment: TcpSegment) -> None:
        ack = segment.ack
        if _after(ack, self._nxt):
            self._acknowledge()
            return
        if _after(ack, self._una):
            self._acknowledged(ack)
            self._duplicates = 0
        elif ack == self._una and self._flight and not segment.data and segment.window == self._window:
            self._duplicates += 1
            if self._duplicates == DUPLICATES:
                self._resend()
        if not _after(self._una, ack) and (
            _after(segment.seq, self._wl1) or (segment.seq == self._wl1 and not _after(self._wl2, ack))
        ):
            if segment.window > self._window:
                self._tries, self._rto = 0, RTO
            self._window, self._wl1, self._wl2 = segment.window, segment.seq, ack
        if self._tries and not segment.window and not self._flight:
            # It answers, and may keep its window closed.
            self._tries = 1
        self._push()
        self._maybe_finish()
        self._changed(self)

    def _acknowledged(self, ack: int) -> None:
        self._una = ack
        while self._flight and not _after(self._flight[0].end, ack):
            self._flight.pop(0)
        if self._flight and _after(ack, self._flight[0].seq):
            sent = self._flight[0]
            known = (ack - sent.seq) % WRAP
            self._flight[0] = Sent(ack, sent.flags, sent.data[known:])
        self._rto, self._tries = RTO, 0
        if self._flight or self._queue:
            self._restart_timer()
        else:
            self._deadline = 0

    # The end

    def _maybe_finish(self) -> None:
        if self.ended and self._fin_sent and not self._flight:
            self.closed = True
            self._deadline = 0

    def _finish(self, error: str) -> None:
        self.error, self.closed, self._deadline = error, True, 0
        self._flight.clear()
        self._queue.clear()
        self._changed(self)
