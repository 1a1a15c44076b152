"""Interrupts of a 3C905C: indications, the latch, the CountDown timer, and counts that ask to be read.

Source: 3Com 3C90xC NICs Technical Reference, chapter 5 (interrupts and indications).
"""

from nooks_lab.machine.devices import c905_registers as reg
from nooks_lab.machine.devices.c905_access import RegisterFile
from nooks_lab.machine.devices.c905_statistics import Statistics
from nooks_lab.machine.devices.c905_timing import FAST_TICK_CYCLES, TICK_CYCLES


class InterruptLogic(RegisterFile):
    """What raises an interrupt, and what takes it away."""

    def _causes(self) -> int:
        state = self.state
        causes = state.status
        if state.tx_status:
            causes |= reg.TX_COMPLETE
        if state.received:
            causes |= reg.RX_COMPLETE
        if Statistics(state.statistics).nearly_full():
            causes |= reg.UPDATE_STATS
        return causes & state.indication_enable & reg.INDICATIONS

    def _cause(self, bits: int) -> None:
        self.state.status |= bits
        self._drive_interrupt()

    def _drive_interrupt(self) -> None:
        state = self.state
        if not state.latch and self._causes() & state.interrupt_enable:
            state.latch = True
            state.latched_at = self.clock.now
            state.interrupts += 1
        self.set_interrupt(state.latch and bool(state.interrupt_enable))

    def _int_status(self) -> int:
        state = self.state
        value = self._causes() | state.window << reg.WINDOW_SHIFT
        value |= reg.INTERRUPT_LATCH if state.latch else 0
        return value | (reg.CMD_IN_PROGRESS if self._in_progress() else 0)

    def _int_status_auto(self) -> int:
        """Reading this copy acknowledges, and disables interrupts."""
        value = self._int_status()
        state = self.state
        state.status &= ~(reg.ACKNOWLEDGED | reg.LINK_EVENT)
        state.interrupt_enable = 0
        state.latch = False
        self._drive_interrupt()
        return value

    def _acknowledge(self, bits: int) -> None:
        state = self.state
        state.status &= ~(bits & reg.ACKNOWLEDGED)
        if bits & reg.LINK_EVENT_ACK:
            state.status &= ~reg.LINK_EVENT
        if bits & reg.LATCH_ACK:
            state.latch = False
        dma = self._fixed(reg.DMA_CTRL)
        dma &= ~(reg.DMA_DN_COMPLETE if bits & reg.DN_COMPLETE else 0)
        dma &= ~(reg.DMA_UP_COMPLETE if bits & reg.UP_COMPLETE else 0)
        self._set_fixed(reg.DMA_CTRL, dma)
        self._drive_interrupt()

    def _timer(self) -> int:
        if not self.state.latch:
            return 0
        return min((self.clock.now - self.state.latched_at) // TICK_CYCLES, 0xFF)

    def _abort(self) -> None:
        """Nobody has claimed an address: the controller gives up its lists and says so."""
        self._set_fixed(reg.DMA_CTRL, self._fixed(reg.DMA_CTRL) | reg.DMA_MASTER_ABORT)
        self._cause(reg.HOST_ERROR)

    # CountDown

    def _tick(self) -> int:
        fast = self._fixed(reg.DMA_CTRL) & reg.DMA_COUNTER_SPEED
        return FAST_TICK_CYCLES if fast else TICK_CYCLES

    def _countdown(self) -> int:
        due = self.state.countdown_due
        return max(0, due - self.clock.now) // self._tick() if due else self._fixed(reg.COUNTDOWN, 2)

    def _write_countdown(self) -> None:
        self.clock.cancel(self.name, "end_countdown")
        self.state.countdown_due = 0
        if not self._fixed(reg.DMA_CTRL) & reg.DMA_COUNTDOWN_MODE:
            self._start_countdown()

    def _start_countdown(self) -> None:
        value = self._fixed(reg.COUNTDOWN, 2)
        if value and not self.state.countdown_due:
            self.state.countdown_due = self.clock.now + value * self._tick()
            self.clock.at(self.state.countdown_due, self.name, "end_countdown")

    def end_countdown(self) -> None:
        """Event: CountDown has run out."""
        self.state.countdown_due = 0
        if not self._fixed(reg.DMA_CTRL) & reg.DMA_COUNTDOWN_MODE:
            self._set_fixed(reg.COUNTDOWN, 0, 2)
        self._cause(reg.INT_REQUESTED)

    def _clear_abort(self) -> None:
        self.state.status &= ~reg.HOST_ERROR
        self._set_fixed(reg.DMA_CTRL, self._fixed(reg.DMA_CTRL) & ~reg.DMA_MASTER_ABORT)

    def _in_progress(self) -> bool:
        """Tell whether a command has not ended: a reset, or a stall that waits for a transfer under way."""
        state = self.state
        return (
            self.clock.now < state.command_done_at
            or (state.dn_stalled and state.downloading)
            or (state.up_stalled and state.uploading)
        )

    # Statistics

    def _count_read(self, window: int, offset: int) -> int:
        value = Statistics(self.state.statistics).read(window, offset)
        self._drive_interrupt()
        return value

    def _count(self, offset: int, amount: int = 1) -> None:
        if self.state.statistics_enabled:
            upper = bool(self._window(4, reg.NETWORK_DIAGNOSTIC) & reg.NET_UPPER_BYTES_ENABLE)
            Statistics(self.state.statistics).add(offset, amount, upper)
            self._drive_interrupt()
