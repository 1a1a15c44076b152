"""Interrupt controller: two cascaded 8259A seen as sixteen lines, level- or edge-triggered.

Source: Intel 8259A data sheet; the edge/level control registers of the PIIX (ELCR) say which lines are level.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

LINES = 16
FIRST_VECTOR = 0x20
"""Vector of line 0, where Linux 2.4 puts it (FIRST_EXTERNAL_VECTOR)."""

MASTER_COMMAND, MASTER_DATA, SLAVE_COMMAND, SLAVE_DATA = 0x20, 0x21, 0xA0, 0xA1
_CASCADE = 2


@dataclass
class ControllerState:
    """Registers of the pair: request latches, mask, in-service, and who holds each level line up."""

    latched: int = 0
    levels: int = 0
    imr: int = 0xFFFF & ~(1 << _CASCADE)
    isr: int = 0
    holders: list[set[str]] = field(default_factory=lambda: [set() for _ in range(LINES)])


class InterruptController:
    """Sixteen interrupt lines; several devices may share a level-triggered one.

    Parameters
    ----------
    set_intr : callable (bool)
        Drives the pin INTR of the CPU, whenever its level changes.
    """

    def __init__(self, set_intr: Callable[[bool], None] = lambda _asserted: None) -> None:
        self.name = "pic"
        self.state = ControllerState()
        self._set_intr = set_intr
        self._intr = False

    def _drive_intr(self) -> None:
        asserted = self.pending() is not None
        if asserted != self._intr:
            self._intr = asserted
            self._set_intr(asserted)

    def hold(self, line: int, device: str) -> None:
        """Keep a level-triggered line asserted on behalf of a device."""
        self.state.holders[line].add(device)
        self.state.levels |= 1 << line
        self._drive_intr()

    def release(self, line: int, device: str) -> None:
        """Stop holding the line for a device; it falls when nobody holds it."""
        self.state.holders[line].discard(device)
        if not self.state.holders[line]:
            self.state.levels &= ~(1 << line)
        self._drive_intr()

    def pulse(self, line: int) -> None:
        """Signal an edge; it stays latched until it is acknowledged."""
        self.state.latched |= 1 << line
        self._drive_intr()

    def asserted(self, line: int) -> bool:
        """Tell whether the line requests service now."""
        return bool((self.state.levels | self.state.latched) >> line & 1)

    def mask(self, line: int) -> None:
        """Set the line's bit in the interrupt mask register."""
        self.state.imr |= 1 << line
        self._drive_intr()

    def unmask(self, line: int) -> None:
        """Clear the line's bit in the interrupt mask register."""
        self.state.imr &= ~(1 << line)
        self._drive_intr()

    def masked(self, line: int) -> bool:
        """Tell whether the line is masked."""
        return bool(self.state.imr >> line & 1)

    def pending(self) -> int | None:
        """Return the line of highest priority that may interrupt now, or None."""
        state = self.state
        ready = (state.latched | state.levels) & ~state.imr
        if not ready:
            return None
        first = ready & -ready
        # A line in service holds back itself and all of lower priority.
        if state.isr and state.isr & -state.isr <= first:
            return None
        return first.bit_length() - 1

    def acknowledge(self, line: int) -> int:
        """Answer the CPU's acknowledge cycle: the line goes in service; returns its vector."""
        self.state.latched &= ~(1 << line)
        self.state.isr |= 1 << line
        self._drive_intr()
        return FIRST_VECTOR + line

    def in_service(self) -> list[int]:
        """Return the lines that the CPU has acknowledged and not ended, as the in-service registers say."""
        return [line for line in range(16) if self.state.isr >> line & 1]

    def end_of_interrupt(self, line: int) -> None:
        """Specific EOI: the line leaves service."""
        self.state.isr &= ~(1 << line)
        self._drive_intr()

    def port_read(self, port: int, size: int) -> int:
        """Read a data port (the mask register) or a command port (the request register)."""
        requests = self.state.latched | self.state.levels
        value = {
            MASTER_DATA: self.state.imr & 0xFF,
            SLAVE_DATA: self.state.imr >> 8,
            MASTER_COMMAND: requests & 0xFF,
            SLAVE_COMMAND: requests >> 8,
        }[port]
        return value if size == 1 else value | ~0xFF & (1 << 8 * size) - 1

    def port_write(self, port: int, size: int, value: int) -> None:
        """Write a mask register (OCW1) or an end-of-interrupt command (OCW2)."""
        value &= 0xFF
        state = self.state
        if port == MASTER_DATA:
            state.imr = state.imr & 0xFF00 | value
        elif port == SLAVE_DATA:
            state.imr = state.imr & 0x00FF | value << 8
        elif value & 0x20:
            first = 0 if port == MASTER_COMMAND else 8
            if value & 0x40:
                self.end_of_interrupt(first + (value & 7))
            else:
                served = state.isr >> first & 0xFF
                if served:
                    self.end_of_interrupt(first + (served & -served).bit_length() - 1)
        self._drive_intr()

    def save(self) -> ControllerState:
        """Return a copy of the registers."""
        return copy.deepcopy(self.state)

    def load(self, state: ControllerState) -> None:
        """Take the registers back."""
        self.state = copy.deepcopy(state)
        self._drive_intr()
