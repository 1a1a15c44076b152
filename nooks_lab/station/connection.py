"""One TCP connection of the station's (RFC 793; the numbers are those of RFC 1122 and RFC 5681).

It opens or is opened, sends, acknowledges, puts in order, sends again what is lost, and ends, all in simulated time.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.station.frames import ACK, DEFAULT_MSS, FIN, MSS, PSH, RST, SYN, WRAP, Address, TcpSegment

WINDOW = 65535
UNLIMITED = 1 << 62
"""A limit for one that takes whatever comes: its window stays open."""

RTO = CPU_HZ // 5
"""Cycles to the first retransmission; each later one waits twice as long, up to ``LONGEST_RTO``."""
LONGEST_RTO = 4 * RTO
PATIENCE = 12
"""Retransmissions of one segment; with the doublings these are 9 simulated seconds."""
DUPLICATES = 3
"""Acknowledgements of the same number that mean a loss (RFC 5681, section 3.2)."""

Transmit = Callable[["Connection", int, int, bytes], None]


def _after(a: int, b: int) -> bool:
    return 0 < (a - b) % WRAP < WRAP // 2


@dataclass
class ConnectionState:
    """All that changes in a connection, as plain values that a snapshot can copy.

    Attributes
    ----------
    una, nxt, top : int
        The oldest number not acknowledged, the next to send, and the one behind all that were ever sent.
    waiting : bytearray
        Data from ``una`` on: on the way, or not sent yet.
    known : bool
        The other end's SYN has come: there is something to acknowledge.
    ending, end_acknowledged : bool
        This half is to end behind what waits; the other end knows.
    due : int or None
        Cycle of the retransmission timer; None when it does not run.
    early : dict
        What came before its turn: data, and whether FIN is behind them, by sequence number.
    """

    una: int
    nxt: int
    top: int
    waiting: bytearray = field(default_factory=bytearray)
    known: bool = False
    open: bool = False
    ending: bool = False
    end_acknowledged: bool = False
    window: int = 1
    mss: int = DEFAULT_MSS
    wl1: int = 0
    wl2: int = 0
    rto: int = RTO
    tries: int = 0
    due: int | None = None
    duplicates: int = 0
    retransmitted: int = 0
    irs: int = 0
    rcv_nxt: int = 0
    limit: int = WINDOW
    received: bytearray = field(default_factory=bytearray)
    early: dict[int, tuple[bytes, bool]] = field(default_factory=dict)
    ended: bool = False
    closed: bool = False
    error: str = ""


class Connection:
    """A connection, from this end.

    Parameters
    ----------
    port : int
        This end's port.
    far : (bytes, int)
        The other end's IP address and port.
    iss : int
        Its first sequence number.
    transmit : callable (connection, sequence number, flags, data)
        Puts a segment on the wire.
    now : callable -> int
        The clock, in cycles.
    wake : callable (cycle)
        Has :meth:`time_out` called at a cycle, or earlier.
    changed : callable (connection)
        Told when something has come, room has come to write, or an end.
    """

    def __init__(
        self,
        port: int,
        far: Address,
        iss: int,
        transmit: Transmit,
        now: Callable[[], int],
        wake: Callable[[int], None],
        changed: Callable[["Connection"], None],
    ) -> None:
        self.port, self.far = port, far
        self._transmit, self._now, self._wake, self._changed = transmit, now, wake, changed
        self.state = ConnectionState(iss, iss, iss)

    # What a user does, and sees

    @property
    def open(self) -> bool:
        """Whether both ends know each other's first numbers."""
        return self.state.open

    @property
    def ended(self) -> bool:
        """Whether the other end has ended its half, and all of it is here."""
        return self.state.ended

    @property
    def ending(self) -> bool:
        """Whether :meth:`end` has been called."""
        return self.state.ending

    @property
    def closed(self) -> bool:
        """Whether nothing is left to do."""
        return self.state.closed

    @property
    def error(self) -> str:
        """What ended the connection too early; empty while nothing did."""
        return self.state.error

    @property
    def limit(self) -> int:
        """Bytes that may wait here to be read; the other end is told what is left of it."""
        return self.state.limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self.state.limit = limit

    @property
    def unsent(self) -> int:
        """Bytes that wait for the other end's window, or for its acknowledgement."""
        return len(self.state.waiting)

    @property
    def available(self) -> int:
        """Bytes that can be read."""
        return len(self.state.received)

    @property
    def retransmitted(self) -> int:
        """Segments that were sent again."""
        return self.state.retransmitted

    @property
    def window(self) -> int:
        """What the other end may send."""
        return max(0, min(WINDOW, self.state.limit - len(self.state.received)))

    @property
    def acknowledgement(self) -> int:
        """What the other end's next number should be."""
        return self.state.rcv_nxt

    @property
    def due(self) -> int | None:
        """Cycle at which :meth:`time_out` must be called; None when nothing waits for an answer."""
        return self.state.due

    def send(self, data: bytes) -> None:
        """Queue data; they go as the other end takes them."""
        if not self.closed and not self.ending:
            self.state.waiting += data
            self._push()

    def read(self, size: int | None = None) -> bytes:
        """Take at most ``size`` bytes of what has arrived; none may mean none yet, or the end (``ended``)."""
        received = self.state.received
        enough = min(2 * MSS, self.state.limit)
        narrow = self.window < enough
        data = bytes(received[:size])
        del received[:size]
        if narrow and self.window >= enough and self.open and not self.closed:
            self._acknowledge()
        return data

    def end(self) -> None:
        """End this half of the stream, behind what is queued."""
        self.state.ending = True
        self._push()

    def abort(self) -> None:
        """Break the connection off."""
        if not self.closed:
            self._transmit(self, self.state.nxt, RST | ACK if self.open else RST, b"")
            self._finish("aborted")

    # Opening

    def connect(self) -> None:
        """Ask the other end for a connection."""
        self._send_syn()

    def accept(self, segment: TcpSegment) -> None:
        """Answer the SYN with which the other end has asked for the connection."""
        state = self.state
        state.known, state.irs, state.rcv_nxt = True, segment.seq, (segment.seq + 1) % WRAP
        state.mss = min(MSS, segment.mss or DEFAULT_MSS)
        self._send_syn()

    def _send_syn(self) -> None:
        state = self.state
        state.nxt = state.top = (state.una + 1) % WRAP
        self._transmit(self, state.una, SYN | ACK if state.known else SYN, b"")
        self._start_timer()

    def _established(self, segment: TcpSegment) -> None:
        state = self.state
        state.open, state.una = True, segment.ack
        state.window, state.wl1, state.wl2 = segment.window, segment.seq, segment.ack
        self._answered()

    # Sending

    def _push(self) -> None:
        """Send what the other end's window has room for; a closed one is probed when the timer fires."""
        state = self.state
        if not state.open or state.closed:
            return
        while (at := (state.nxt - state.una) % WRAP) < self._length() and (
            at < state.window or at == len(state.waiting)
        ):
            self._send_from(at)
        if state.due is None and self._length():
            self._start_timer()

    def _length(self) -> int:
        """Return how many numbers wait to be sent, or to be acknowledged."""
        return len(self.state.waiting) + (self.state.ending and not self.state.end_acknowledged)

    def _send_from(self, at: int) -> None:
        """Send a segment that begins so far behind the oldest number, in what the window leaves; at least a byte."""
        state = self.state
        room = max(1, state.window - at)
        data = bytes(state.waiting[at : at + min(state.mss, room)])
        last = state.ending and at + len(data) == len(state.waiting)
        seq = (state.una + at) % WRAP
        state.retransmitted += _after(state.top, seq)
        self._transmit(self, seq, ACK | (PSH if data else 0) | (FIN if last else 0), data)
        state.nxt = (seq + len(data) + last) % WRAP
        if _after(state.nxt, state.top):
            state.top = state.nxt

    def _acknowledge(self) -> None:
        self._transmit(self, self.state.nxt, ACK, b"")

    def _start_timer(self) -> None:
        self.state.due = self._now() + self.state.rto
        self._wake(self.state.due)

    def time_out(self) -> None:
        """Go back to what has not been acknowledged in time, or ask whether a closed window is open again."""
        state = self.state
        if state.closed or state.due is None or self._now() < state.due:
            return
        state.due = None
        state.tries += 1
        if state.tries > PATIENCE:
            self._finish("the other end does not answer")
            return
        state.rto = min(2 * state.rto, LONGEST_RTO)
        state.duplicates = 0
        if not state.open:
            state.retransmitted += 1
            self._send_syn()
            return
        self._send_from(0)
        self._push()

    # Receiving

    def receive(self, segment: TcpSegment) -> None:
        """Take a segment of the other end's."""
        if self.closed:
            return
        if self.open:
            self._take(segment)
        elif self.state.known:
            self._take_answer_to_answer(segment)
        else:
            self._take_answer(segment)

    def _take_answer(self, segment: TcpSegment) -> None:
        """Our SYN has been answered, or something old has come."""
        state = self.state
        if segment.flags & ACK and segment.ack != state.nxt:
            if not segment.flags & RST:
                self._transmit(self, segment.ack, RST, b"")
            return
        if segment.flags & RST:
            if segment.flags & ACK:
                self._finish("connection refused")
            return
        if segment.flags & (SYN | ACK) != SYN | ACK:
            return
        state.known, state.irs, state.rcv_nxt = True, segment.seq, (segment.seq + 1) % WRAP
        state.mss = min(MSS, segment.mss or DEFAULT_MSS)
        self._established(segment)
        self._acknowledge()
        self._push()
        self._changed(self)

    def _take_answer_to_answer(self, segment: TcpSegment) -> None:
        """Our SYN and acknowledgement have been answered, or lost."""
        state = self.state
        if segment.flags & RST:
            if segment.seq == state.rcv_nxt:
                self._finish("connection reset by the other end")
        elif segment.flags & SYN:
            if segment.seq == state.irs:
                self._transmit(self, state.una, SYN | ACK, b"")
        elif segment.flags & ACK:
            if segment.ack == state.nxt:
                self._established(segment)
                self._take(segment)
            else:
                self._transmit(self, segment.ack, RST, b"")

    def _take(self, segment: TcpSegment) -> None:
        state = self.state
        size, fin = len(segment.data), bool(segment.flags & FIN)
        offset = (segment.seq - state.rcv_nxt + WRAP // 2) % WRAP - WRAP // 2
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
        if size or fin:
            if offset <= 0:
                self._in_order(segment.data, offset, fin)
            elif offset + size <= WINDOW:
                before = state.early.get(segment.seq, (b"", False))
                state.early[segment.seq] = max(before, (segment.data, fin), key=lambda each: len(each[0]))
            self._acknowledge()
        self._push()
        self._maybe_finish()
        self._changed(self)

    def _in_order(self, data: bytes, offset: int, fin: bool) -> None:
        state = self.state
        if state.ended or -offset > len(data):
            return
        self._append(data[-offset:], fin)
        while not state.ended:
            following = next((seq for seq in state.early if not _after(seq, state.rcv_nxt)), None)
            if following is None:
                return
            early, fin = state.early.pop(following)
            known = (state.rcv_nxt - following) % WRAP
            if known <= len(early):
                self._append(early[known:], fin)

    def _append(self, data: bytes, fin: bool) -> None:
        state, room = self.state, self.window
        fin = fin and len(data) <= room
        data = data[:room]
        state.received += data
        state.rcv_nxt = (state.rcv_nxt + len(data) + fin) % WRAP
        state.ended = state.ended or fin

    def _take_ack(self, segment: TcpSegment) -> None:
        state = self.state
        ack = segment.ack
        if _after(ack, state.top):
            self._acknowledge()
            return
        if _after(ack, state.una):
            self._acknowledged(ack)
        elif ack == state.una != state.top and not segment.data and segment.window == state.window:
            # The same acknowledgement again: a segment is missing.
            state.duplicates += 1
            if state.duplicates == DUPLICATES:
                following = state.nxt
                self._send_from(0)
                state.nxt = following
        if not _after(state.una, ack) and (
            _after(segment.seq, state.wl1) or (segment.seq == state.wl1 and not _after(state.wl2, ack))
        ):
            self._take_window(segment)

    def _take_window(self, segment: TcpSegment) -> None:
        state = self.state
        if segment.window > state.window:
            state.tries, state.rto = 0, RTO
            if not state.window:
                # What was sent to a closed window was a probe, and is not kept.
                state.nxt = state.una
        elif not segment.window and state.tries:
            # It answers, and may keep its window closed.
            state.tries = 1
        state.window, state.wl1, state.wl2 = segment.window, segment.seq, segment.ack

    def _acknowledged(self, ack: int) -> None:
        state = self.state
        done = (ack - state.una) % WRAP
        state.end_acknowledged = state.ending and done > len(state.waiting)
        del state.waiting[:done]
        state.una = ack
        if _after(ack, state.nxt):
            state.nxt = ack
        self._answered()

    def _answered(self) -> None:
        """The other end has acknowledged something new: the timer begins anew, if there is more."""
        state = self.state
        state.rto, state.tries, state.duplicates, state.due = RTO, 0, 0, None

    # The end

    def _maybe_finish(self) -> None:
        if self.state.ended and self.state.end_acknowledged:
            self.state.closed = True
            self.state.due = None

    def _finish(self, error: str) -> None:
        state = self.state
        state.error, state.closed, state.due = error, True, None
        state.waiting.clear()
        # Whoever keeps the connection looks at it soon, and puts it away.
        self._wake(self._now())
        self._changed(self)
