"""The receive side of a 3C905C: from the line into the FIFO, from the FIFO into the upload list.

Source: 3Com 3C90xC NICs Technical Reference, chapter 7 (packet reception and upload).
"""

from nooks_lab.machine.devices import c905_registers as reg
from nooks_lab.machine.devices.c905_filter import accepts
from nooks_lab.machine.devices.c905_interrupts import InterruptLogic
from nooks_lab.machine.devices.c905_lists import STATUS_OFFSET, read_word, store_upload, write_word
from nooks_lab.machine.devices.c905_timing import CYCLES_PER_BYTE, FAST_TICK_CYCLES, FETCH_CYCLES
from nooks_lab.machine.devices.device import MasterAbort
from nooks_lab.machine.ethernet import FCS_BYTES, SHORTEST_FRAME

HEADER_BYTES = 14
LONGEST_RECEIVE = 1514
_LONGEST_LARGE = 4491

_UPLOAD_EVENTS = ("finish_upload", "poll_upload")


class Receiver(InterruptLogic):
    """Receives frames and uploads them."""

    def _reset_upload(self) -> None:
        state = self.state
        for action in _UPLOAD_EVENTS:
            self.clock.cancel(self.name, action)
        state.uploading = state.up_stalled = state.up_halted = False
        self._set_fixed(reg.UP_LIST_PTR, 0)
        self._set_fixed(reg.UP_PKT_STATUS, 0)
        self._set_fixed(reg.UP_POLL, 0, 1)
        self._clear_abort()

    # Receive: from the line into the FIFO

    def _receive_room(self) -> int:
        return self._receive_bytes() - sum(map(len, self.state.received))

    def receive(self, frame: bytes) -> None:
        """Take a frame whose last bit has just arrived from the wire."""
        state = self.state
        # What is shorter than a header has no address that could be filtered.
        if not (state.link and state.rx_enabled) or len(frame) < HEADER_BYTES:
            return
        window = state.windows[2]
        if not accepts(frame[:6], state.rx_filter, bytes(window[:6]), bytes(window[6:12]), state.hash_filter):
            return
        if len(frame) > self._receive_room() or len(frame) > reg.UP_LENGTH:
            self._count(reg.RX_OVERRUNS)
            return
        if SHORTEST_FRAME <= len(frame) <= self._longest():
            self._count(reg.FRAMES_RCVD_OK)
            self._count(reg.BYTES_RCVD_OK, len(frame))
        state.received.append(frame)
        self._drive_interrupt()
        self._start_upload()

    def _longest(self) -> int:
        if self._window(3, reg.MAC_CONTROL) & reg.MAC_ALLOW_LARGE_PACKETS:
            return _LONGEST_LARGE
        return self._window(3, reg.MAX_PKT_SIZE)

    # Upload: from the FIFO into RAM

    def _up_pkt_status(self) -> int:
        stalled = self.state.up_stalled or self.state.up_halted
        return self._fixed(reg.UP_PKT_STATUS) | (reg.UP_STALLED if stalled else 0)

    def _write_up_list_ptr(self) -> None:
        self._set_fixed(reg.UP_LIST_PTR, self._fixed(reg.UP_LIST_PTR) & ~7)
        self.state.up_halted = False
        self._start_upload()

    def _may_upload(self) -> bool:
        state = self.state
        return bool(
            state.received
            and not state.uploading
            and not state.up_stalled
            and not state.status & reg.HOST_ERROR
            and self._fixed(reg.UP_LIST_PTR)
            and self.may_master()
        )

    def _start_upload(self) -> None:
        state = self.state
        if not self._may_upload():
            return
        if state.up_halted:
            self.clock.cancel(self.name, "poll_upload")
            interval = (self._fixed(reg.UP_POLL, 1) & 0x7F) * FAST_TICK_CYCLES
            if interval:
                self.clock.after(interval, self.name, "poll_upload")
            return
        descriptor = self._fixed(reg.UP_LIST_PTR)
        try:
            status = read_word(self, descriptor + STATUS_OFFSET)
        except MasterAbort:
            self._abort()
            return
        if status & (reg.UP_PKT_COMPLETE | reg.UP_ERROR):
            # Software has not been through with it: wait rather than overwrite.
            state.up_halted = True
            self._start_upload()
            return
        state.uploading = True
        taken = FETCH_CYCLES + len(state.received[0]) * CYCLES_PER_BYTE
        self.clock.after(taken, self.name, "finish_upload")

    def poll_upload(self) -> None:
        """Event: look again whether the current descriptor is free."""
        self.state.up_halted = False
        self._start_upload()

    def finish_upload(self) -> None:
        """Event: a frame has been moved; mark its descriptor and go on with the next."""
        state = self.state
        state.uploading = False
        if not state.received:
            # RxReset has emptied the FIFO, and left the list alone.
            return
        frame = state.received.pop(0)
        descriptor = self._fixed(reg.UP_LIST_PTR)
        try:
            status = self._up_status(frame, store_upload(self, descriptor, self._stored(frame)))
            write_word(self, descriptor + STATUS_OFFSET, status)
            following = read_word(self, descriptor) & ~7
        except MasterAbort:
            self._abort()
            return
        self._set_fixed(reg.UP_PKT_STATUS, status)
        self._set_fixed(reg.UP_LIST_PTR, following)
        self._set_fixed(reg.DMA_CTRL, self._fixed(reg.DMA_CTRL) | reg.DMA_UP_COMPLETE)
        self._cause(reg.UP_COMPLETE)
        self._start_upload()

    def _stored(self, frame: bytes) -> bytes:
        """Return what is moved of a frame: its check sequence too when nothing strips it."""
        kept = self._window(4, reg.MEDIA_STATUS) & reg.MEDIA_CRC_STRIP_DISABLE
        return frame + bytes(FCS_BYTES) if kept else frame

    def _up_status(self, frame: bytes, lost: int) -> int:
        status = len(self._stored(frame)) & reg.UP_LENGTH | reg.UP_PKT_COMPLETE
        if len(frame) < SHORTEST_FRAME:
            status |= reg.UP_ERROR | reg.UP_RUNT_FRAME
        if len(frame) > self._longest():
            status |= reg.UP_ERROR | reg.UP_OVERSIZED_FRAME
        if lost:
            status |= reg.UP_ERROR | reg.UP_OVERFLOW
        return status
