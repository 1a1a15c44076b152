"""Interrupts of the 82540EM: causes and their mask, throttling, and the delays of receive and transmit interrupts.

Source: Intel 8254x Software Developer's Manual, sections 3.2.7 (receive interrupts), 3.4.3 (transmit interrupts) and
13.4 (ICR, ITR, ICS, IMS, IMC, RDTR, RADV, TIDV, TADV).
"""

from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.machine.devices import e1000_registers as reg
from nooks_lab.machine.devices.e1000_state import DelayTimer
from nooks_lab.machine.devices.e1000_statistics import Statistics


def _interval(units: int) -> int:
    """ITR counts 256 ns."""
    return units * 256 * CPU_HZ // 1_000_000_000


def _delay(units: int) -> int:
    """RDTR, RADV, TIDV and TADV count 1.024 us."""
    return units * 1024 * CPU_HZ // 1_000_000_000


class InterruptLogic(Statistics):
    """What raises an interrupt, what holds it back, and what takes it away."""

    def cause(self, causes: int) -> None:
        """Set bits of ICR, as the hardware does for an event and software does through ICS."""
        self.state.causes |= causes & reg.INTERRUPT_CAUSES
        self._drive_interrupt()

    def _drive_interrupt(self) -> None:
        state = self.state
        if not state.causes & state.mask:
            if state.asserted:
                state.asserted = False
                self.set_interrupt(False)
        elif not state.asserted:
            now = self.clock.now
            if now >= state.throttled_until:
                state.asserted = True
                state.interrupts += 1
                state.throttled_until = now + _interval(state.registers[reg.ITR >> 2])
                self.set_interrupt(True)
            elif not state.throttle_pending:
                state.throttle_pending = True
                self.clock.at(state.throttled_until, self.name, "end_throttle")

    def end_throttle(self) -> None:
        """Event: the interval of ITR since the last assertion is over."""
        self.state.throttle_pending = False
        self._drive_interrupt()

    def _read_icr(self) -> int:
        causes = self.state.causes
        self.state.causes = 0
        self._drive_interrupt()
        return causes

    def _write_icr(self, value: int) -> None:
        self.state.causes &= ~value
        self._drive_interrupt()

    def _write_itr(self, value: int) -> None:
        state = self.state
        state.throttled_until = min(state.throttled_until, self.clock.now + _interval(value & 0xFFFF))
        if state.throttle_pending:
            self.clock.cancel(self.name, "end_throttle")
            state.throttle_pending = False
        self._drive_interrupt()

    def _read_ims(self) -> int:
        return self.state.mask

    def _write_ims(self, value: int) -> None:
        self.state.mask |= value & reg.INTERRUPT_CAUSES
        self._drive_interrupt()

    def _write_imc(self, value: int) -> None:
        self.state.mask &= ~value
        self._drive_interrupt()

    def _restart_delay(self, timer: DelayTimer, delay: int, limit: int, action: str) -> None:
        # The queued event stays where it is and looks at `due` when it runs: moving it for each packet
        # would cost a search through the clock's queue.
        now = self.clock.now
        if not timer.running:
            timer.limit = now + _delay(limit) if limit else None
        due = now + _delay(delay)
        timer.due = due if timer.limit is None else min(due, timer.limit)
        if not timer.running:
            timer.running = True
            self.clock.at(timer.due, self.name, action)

    def _delay_over(self, timer: DelayTimer, action: str) -> bool:
        if self.clock.now < timer.due:
            self.clock.at(timer.due, self.name, action)
            return False
        timer.running = False
        return True

    def end_receive_delay(self) -> None:
        """Event: look whether the delay of RDTR or the limit of RADV is over."""
        if self._delay_over(self.state.receive_delay, "end_receive_delay"):
            self.cause(reg.ICR_RXT0)

    def end_transmit_delay(self) -> None:
        """Event: look whether the delay of TIDV or the limit of TADV is over."""
        if self._delay_over(self.state.transmit_delay, "end_transmit_delay"):
            self.cause(reg.ICR_TXDW)

    def _write_rdtr(self, value: int) -> None:
        if value & reg.RDTR_FPD and self.state.receive_delay.running:
            self.clock.cancel(self.name, "end_receive_delay")
            self.state.receive_delay = DelayTimer()
            self.cause(reg.ICR_RXT0)
