"""What TCP does when nothing comes (RFC 793, "TIMEOUTS"; Linux 2.4 ``net/ipv4/tcp_timer.c``)."""

from typing import Any

from nooks_lab.kernel.errno import ETIMEDOUT
from nooks_lab.kernel.net.sock import Socks
from nooks_lab.kernel.net.tcp_connection import TcpConnection
from nooks_lab.kernel.net.tcp_input import DUPLICATES
from nooks_lab.kernel.net.tcp_output import MAX_RETRANSMITS, TcpOutput
from nooks_lab.kernel.net.tcp_segment import State
from nooks_lab.kernel.net.timer_bh import TimerBottomHalf


class TcpTimer:
    """The one timer of each socket."""

    def __init__(
        self, timer_bh: TimerBottomHalf, socks: Socks, output: TcpOutput, connection: TcpConnection
    ) -> None:
        self._timer_bh, self._socks, self._output, self._connection = timer_bh, socks, output, connection

    def expired(self, address: int) -> None:
        """``tcp_write_timer``: act by the socket's state."""
        sk = self._socks.view(address)
        if self._timer_bh.defer(sk.tp.timer.address):
            return
        if sk.state in (State.TIME_WAIT, State.FIN_WAIT_2):
            self._connection.done(sk)
        elif sk.tp.write_queue.qlen:
            self._try_again(sk)

    def _try_again(self, sk: Any) -> None:
        tp = sk.tp
        probing = tp.write_queue.next == tp.send_head
        tries = tp.probes_out if probing else tp.retransmits
        # A peer that answers may keep its window closed, but not when no process has the socket open.
        if tries >= MAX_RETRANSMITS or (sk.dead and tp.retransmits >= MAX_RETRANSMITS):
            self._connection.fail(sk, ETIMEDOUT)
            return
        tp.retransmits = min(tp.retransmits + 1, MAX_RETRANSMITS)
        if probing:
            tp.probes_out += 1
        else:
            # Whatever else was on the way may be lost with it: each acknowledgement calls for the next.
            tp.dup_acks, tp.high_seq = DUPLICATES, tp.snd_nxt
        self._output.retransmit(sk)
        self._output.restart_timer(sk)
