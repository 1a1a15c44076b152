"""The transmit side of a 3C905C: from the download list into the FIFO, from the FIFO to the line.

Source: 3Com 3C90xC NICs Technical Reference, chapter 6 (packet download and transmission).
"""

from nooks_lab.machine.devices import c905_registers as reg
from nooks_lab.machine.devices.c905_access import RAM_BYTES
from nooks_lab.machine.devices.c905_interrupts import InterruptLogic
from nooks_lab.machine.devices.c905_lists import (
    STATUS_OFFSET,
    frame_on_line,
    read_download,
    read_word,
    write_word,
)
from nooks_lab.machine.devices.c905_state import Outgoing
from nooks_lab.machine.devices.c905_timing import CYCLES_PER_BYTE, FAST_TICK_CYCLES, FETCH_CYCLES
from nooks_lab.machine.devices.device import MasterAbort
from nooks_lab.machine.ethernet import FAST_ETHERNET, line_cycles

LONGEST_TRANSMIT = 8191
"""A longer frame is jabber."""

TX_STATUS_ENTRIES = 31

_DOWNLOAD_EVENTS = ("fetch_download", "finish_download", "poll_download")


class Transmitter(InterruptLogic):
    """Downloads frames and sends them."""

    def _reset_download(self) -> None:
        state = self.state
        for action in _DOWNLOAD_EVENTS:
            self.clock.cancel(self.name, action)
        state.downloading = state.dn_stalled = state.dn_at_end = False
        self._set_fixed(reg.DN_LIST_PTR, 0)
        self._set_fixed(reg.DN_POLL, 0, 1)
        self._clear_abort()

    def _reset_transmitter(self) -> None:
        state = self.state
        self.clock.cancel(self.name, "finish_transmit")
        state.outgoing, state.tx_status = [], []
        state.transmitting = state.tx_failed = False

    # Download: from RAM into the transmit FIFO

    def _dma_ctrl(self) -> int:
        state = self.state
        value = self._fixed(reg.DMA_CTRL)
        value |= reg.DMA_DN_STALLED if state.dn_stalled and not state.downloading else 0
        value |= reg.DMA_ARM_COUNTDOWN if state.countdown_due else 0
        return value | (reg.DMA_DN_IN_PROG if state.downloading else 0)

    def _transmit_room(self) -> int:
        return RAM_BYTES - self._receive_bytes() - sum(len(waiting.frame) for waiting in self.state.outgoing)

    def _write_dn_list_ptr(self) -> None:
        state = self.state
        self._set_fixed(reg.DN_LIST_PTR, self._fixed(reg.DN_LIST_PTR) & ~7)
        if not state.downloading:
            state.dn_at_end = False
        self._start_download()

    def _write_dn_poll(self) -> None:
        state = self.state
        if state.dn_at_end:
            if self._fixed(reg.DN_POLL, 1):
                self._start_download()
            else:
                state.dn_at_end = False
                self._set_fixed(reg.DN_LIST_PTR, 0)

    def _may_download(self) -> bool:
        state = self.state
        return not (
            state.downloading
            or state.dn_stalled
            or state.status & reg.HOST_ERROR
            or not self._fixed(reg.DN_LIST_PTR)
        )

    def _start_download(self) -> None:
        # A frame is fetched as long as there is room at all; the longest one then waits in the FIFO's stead.
        if not self._may_download() or self._transmit_room() <= 0:
            return
        if self.state.dn_at_end:
            self.clock.cancel(self.name, "poll_download")
            interval = (self._fixed(reg.DN_POLL, 1) & 0x7F) * FAST_TICK_CYCLES
            if interval:
                self.clock.after(interval, self.name, "poll_download")
            return
        self.state.downloading = True
        self.clock.after(FETCH_CYCLES, self.name, "fetch_download")

    def poll_download(self) -> None:
        """Event: look again whether the last descriptor has got a successor."""
        if not self._may_download():
            return
        try:
            following = read_word(self, self._fixed(reg.DN_LIST_PTR)) & ~7
        except MasterAbort:
            self._abort()
            return
        if following:
            self.state.dn_at_end = False
            self._set_fixed(reg.DN_LIST_PTR, following)
        self._start_download()

    def fetch_download(self) -> None:
        """Event: the bus is ours; fetch a descriptor and its fragments."""
        state = self.state
        if not self.may_master():
            state.downloading = False
            return
        try:
            download = read_download(self, self._fixed(reg.DN_LIST_PTR))
        except MasterAbort:
            state.downloading = False
            self._abort()
            return
        frame, intact = frame_on_line(download)
        header = download.header
        waiting = Outgoing(
            frame, intact, header >> reg.FSH_PKT_ID_SHIFT & 0xFF, bool(header & reg.FSH_TX_INDICATE)
        )
        taken = FETCH_CYCLES + len(download.data) * CYCLES_PER_BYTE
        self.clock.after(taken, self.name, "finish_download", header, waiting)

    def finish_download(self, header: int, waiting: Outgoing) -> None:
        """Event: a frame is in the FIFO; mark its descriptor and go on with the next."""
        state = self.state
        descriptor = self._fixed(reg.DN_LIST_PTR)
        state.downloading = False
        try:
            write_word(self, descriptor + STATUS_OFFSET, header | reg.FSH_DN_COMPLETE)
            following = read_word(self, descriptor) & ~7
        except MasterAbort:
            self._abort()
            return
        if waiting.frame and not header & reg.FSH_EMPTY:
            state.outgoing.append(waiting)
        if following or not self._fixed(reg.DN_POLL, 1) & 0x7F:
            self._set_fixed(reg.DN_LIST_PTR, following)
        else:
            state.dn_at_end = True
        dma = self._fixed(reg.DMA_CTRL)
        if dma & reg.DMA_COUNTDOWN_MODE:
            self._start_countdown()
        if header & reg.FSH_DN_INDICATE:
            self._set_fixed(reg.DMA_CTRL, dma | reg.DMA_DN_COMPLETE)
            self._cause(reg.DN_COMPLETE)
        self._start_transmitter()
        self._start_download()

    # Transmit: from the FIFO to the line

    def _start_transmitter(self) -> None:
        state = self.state
        if state.transmitting or state.tx_failed or not (state.tx_enabled and state.outgoing):
            return
        state.transmitting = True
        waiting = state.outgoing[0]
        length = len(waiting.frame)
        self.clock.after(line_cycles(length, FAST_ETHERNET), self.name, "finish_transmit")
        # A frame whose sender got the check sequence wrong takes its time on the line, and nobody keeps it.
        if waiting.intact and length <= LONGEST_TRANSMIT and state.link and self.wire_end is not None:
            self.wire_end.send(waiting.frame)

    def finish_transmit(self) -> None:
        """Event: a frame and the gap behind it have left."""
        state = self.state
        sent = state.outgoing.pop(0)
        state.transmitting = False
        if len(sent.frame) > LONGEST_TRANSMIT:
            self._push_tx_status(reg.TX_JABBER, sent.pkt_id)
            state.tx_enabled, state.tx_failed = False, True
        else:
            if state.link:
                self._count(reg.FRAMES_XMITTED_OK)
                self._count(reg.BYTES_XMITTED_OK, len(sent.frame))
            else:
                self._count(reg.CARRIER_LOST)
            if sent.indicate:
                self._push_tx_status(reg.TX_INTERRUPT_REQUESTED, sent.pkt_id)
        self._start_transmitter()
        self._start_download()

    def _push_tx_status(self, bits: int, pkt_id: int) -> None:
        state = self.state
        if len(state.tx_status) < TX_STATUS_ENTRIES:
            state.tx_status.append((bits | reg.TX_STATUS_COMPLETE, pkt_id))
        else:
            oldest = state.tx_status[-1]
            state.tx_status[-1] = (oldest[0] | reg.TX_STATUS_OVERFLOW, oldest[1])
            state.tx_enabled = False
        self._drive_interrupt()

    def _tx_status(self) -> int:
        return self.state.tx_status[0][0] if self.state.tx_status else 0

    def _tx_pkt_id(self) -> int:
        return self.state.tx_status[0][1] if self.state.tx_status else 0

    def _pop_tx_status(self) -> None:
        if self.state.tx_status:
            self.state.tx_status.pop(0)
        self._drive_interrupt()
