"""The transmit side of the 82540EM: from the driver's ring to the line.

Source: Intel 8254x Software Developer's Manual, sections 3.3 (packet transmission) and 3.4 (transmit descriptor ring).
"""

from collections.abc import Sequence

from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.machine.devices import e1000_registers as reg
from nooks_lab.machine.devices.e1000_descriptors import (
    DESCRIPTOR_BYTES,
    TRANSMIT,
    TRANSMIT_STATUS_OFFSET,
    TX_CMD_DEXT,
    TX_CMD_EOP,
    TX_CMD_IC,
    TX_CMD_IDE,
    TX_CMD_IFCS,
    TX_CMD_RS,
    TX_CMD_VLE,
    TX_STA_DD,
)
from nooks_lab.machine.devices.e1000_interrupts import InterruptLogic
from nooks_lab.machine.devices.e1000_registers import CTRL, CTRL_VME, TCTL, TCTL_PSP, VET
from nooks_lab.machine.ethernet import (
    FCS_BYTES,
    frame_check_sequence,
    insert_tag,
    line_cycles,
    ones_complement_sum,
    pad,
)

FETCH_CYCLES = CPU_HZ // 1_000_000
"""From the write of TDT until the first descriptor and its data are on the chip: about one microsecond."""

DESCRIPTOR_CACHE = 64
"""Descriptors that the controller fetches at once."""

LONGEST_TRANSMIT = 16_288


def frame_on_line(
    frame: bytes, registers: Sequence[int], command: int, cso: int, css: int, special: int
) -> tuple[bytes, bool]:
    """Return the frame as it goes out, without check sequence, and whether its check sequence is right.

    Parameters
    ----------
    frame : bytes
        The bytes gathered from the driver's buffers.
    registers : sequence of int
        All registers, by offset / 4.
    command, cso, css, special : int
        Fields of the frame's last descriptor.
    """
    if command & TX_CMD_IC and cso + 2 <= len(frame) and css < len(frame):
        checksum = ~ones_complement_sum(frame[css:]) & 0xFFFF
        frame = frame[:cso] + checksum.to_bytes(2, "big") + frame[cso + 2 :]
    if command & TX_CMD_VLE and registers[CTRL >> 2] & CTRL_VME:
        frame = insert_tag(frame, registers[VET >> 2], special)
    if not command & TX_CMD_IFCS:
        frame, check = frame[:-FCS_BYTES], frame[-FCS_BYTES:]
        return frame, check == frame_check_sequence(frame)
    if registers[TCTL >> 2] & TCTL_PSP:
        frame = pad(frame)
    return frame, True


class Transmitter(InterruptLogic):
    """Fetches descriptors and sends frames."""

    def _start_transmitter(self, value: int = 0) -> None:  # noqa: ARG002
        state = self.state
        registers = state.registers
        if (
            not state.transmitting
            and registers[reg.TDH >> 2] != registers[reg.TDT >> 2]
            and registers[reg.TCTL >> 2] & reg.TCTL_EN
        ):
            state.transmitting = True
            self.clock.after(FETCH_CYCLES, self.name, "fetch_transmit")

    def fetch_transmit(self) -> None:
        """Event: take descriptors from the ring up to the end of a frame, and put the frame on the line."""
        state = self.state
        registers = state.registers
        count = registers[reg.TDLEN >> 2] // DESCRIPTOR_BYTES
        head, tail = registers[reg.TDH >> 2], registers[reg.TDT >> 2]
        base = registers[reg.TDBAH >> 2] << 32 | registers[reg.TDBAL >> 2]
        state.transmitting = False
        if not (state.link and registers[reg.TCTL >> 2] & reg.TCTL_EN and self.may_master()):
            return
        # A head or tail outside the ring stops the transmitter: the manual leaves open what the chip does.
        if head >= count or tail >= count:
            return
        dma_read = self.bus.dma_read
        for _ in range(DESCRIPTOR_CACHE):
            if head == tail:
                return
            address = base + head * DESCRIPTOR_BYTES
            buffer, length, cso, command, status, css, special = TRANSMIT.unpack(
                dma_read(address, DESCRIPTOR_BYTES)
            )
            if not command & TX_CMD_DEXT:
                if len(state.outgoing) <= LONGEST_TRANSMIT:
                    state.outgoing += dma_read(buffer, length)
                if command & TX_CMD_EOP:
                    frame, state.outgoing = state.outgoing, b""
                    if 0 < len(frame) <= LONGEST_TRANSMIT:
                        state.transmitting = True
                        taken = self._send(frame, command, cso, css, special)
                        self.clock.after(taken, self.name, "finish_transmit", address, command, status)
                        return
            head = self._write_back_transmit(address, command, status)
        state.transmitting = True
        self.clock.after(FETCH_CYCLES, self.name, "fetch_transmit")

    def _send(self, frame: bytes, command: int, cso: int, css: int, special: int) -> int:
        """Put a frame on the line; returns the cycles until the line is free again."""
        registers = self.state.registers
        frame, intact = frame_on_line(frame, registers, command, cso, css, special)
        self._count(reg.TPT)
        self._count_frame(frame, reg.GPTC, reg.PTC64, reg.MPTC, reg.BPTC)
        self._count(reg.GOTCL, len(frame) + FCS_BYTES)
        self._count(reg.TOTL, len(frame) + FCS_BYTES)
        # A frame whose sender got the check sequence wrong takes its time on the line, and nobody keeps it.
        if intact and self.wire_end is not None:
            self.wire_end.send(frame)
        return line_cycles(len(frame))

    def _write_back_transmit(self, address: int, command: int, status: int) -> int:
        """Be done with the descriptor at the ring's head; returns the new head."""
        state = self.state
        registers = state.registers
        head = registers[reg.TDH >> 2] + 1
        if head * DESCRIPTOR_BYTES >= registers[reg.TDLEN >> 2]:
            head = 0
        registers[reg.TDH >> 2] = head
        causes = reg.ICR_TXQE if head == registers[reg.TDT >> 2] else 0
        if command & TX_CMD_RS:
            self.bus.dma_write(address + TRANSMIT_STATUS_OFFSET, bytes((status | TX_STA_DD,)))
            delay = registers[reg.TIDV >> 2]
            if command & TX_CMD_IDE and delay:
                limit = registers[reg.TADV >> 2]
                self._restart_delay(state.transmit_delay, delay, limit, "end_transmit_delay")
            else:
                causes |= reg.ICR_TXDW
        if causes:
            self.cause(causes)
        return head

    def finish_transmit(self, address: int, command: int, status: int) -> None:
        """Event: a frame and the gap behind it have left; the next one, fetched meanwhile, follows."""
        self._write_back_transmit(address, command, status)
        self.fetch_transmit()
