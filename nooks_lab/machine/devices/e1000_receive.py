"""The receive side of the 82540EM: from the line into the driver's ring.

Source: Intel 8254x Software Developer's Manual, sections 3.2.3 to 3.2.7.
"""

from collections.abc import MutableSequence

from nooks_lab.machine.bus import Bus
from nooks_lab.machine.devices import e1000_registers as reg
from nooks_lab.machine.devices.e1000_descriptors import (
    DESCRIPTOR_BYTES,
    RECEIVE_BUFFER,
    RECEIVE_WRITE_BACK,
    RECEIVE_WRITE_BACK_OFFSET,
    RX_STATUS_DD,
    RX_STATUS_EOP,
    RX_STATUS_IXSM,
    RX_STATUS_PIF,
    RX_STATUS_VP,
)
from nooks_lab.machine.devices.e1000_filter import accepts
from nooks_lab.machine.devices.e1000_interrupts import InterruptLogic
from nooks_lab.machine.devices.e1000_registers import (
    ICR_RXDMT0,
    ICR_RXO,
    RCTL,
    RCTL_BSEX,
    RCTL_BSIZE_SHIFT,
    RCTL_RDMTS_SHIFT,
    RDBAH,
    RDBAL,
    RDH,
    RDLEN,
    RDT,
    RXCSUM,
)
from nooks_lab.machine.ethernet import (
    BROADCAST,
    FCS_BYTES,
    SHORTEST_FRAME,
    frame_check_sequence,
    is_tagged,
    ones_complement_sum,
    strip_tag,
    tag_of,
)

LONGEST_RECEIVE = 1522
LONGEST_RECEIVE_LPE = 16_384
_BUFFER_BYTES = (2048, 1024, 512, 256)
_BUFFER_BYTES_BSEX = (2048, 16_384, 8192, 4096)


def store_frame(bus: Bus, registers: MutableSequence[int], data: bytes, status: int, special: int) -> int:
    """Write a frame into the buffers at the ring's head, and its descriptors back.

    Parameters
    ----------
    bus : Bus
        The way into RAM.
    registers : mutable sequence of int
        All registers, by offset / 4; RDH moves.
    data : bytes
        What is stored of the frame.
    status, special : int
        Fields of the written-back descriptors; EOP is added to the last one.

    Returns
    -------
    int
        Interrupt causes: RXO when there were too few descriptors and the frame is lost, RXDMT0 when the free
        ones have come down to the threshold.
    """
    control = registers[RCTL >> 2]
    count = registers[RDLEN >> 2] // DESCRIPTOR_BYTES
    head, tail = registers[RDH >> 2], registers[RDT >> 2]
    if head >= count or tail >= count:
        return ICR_RXO
    free = (tail - head) % count
    sizes = _BUFFER_BYTES_BSEX if control & RCTL_BSEX else _BUFFER_BYTES
    size = sizes[control >> RCTL_BSIZE_SHIFT & 3]
    length = len(data)
    if free * size < length:
        return ICR_RXO
    base = registers[RDBAH >> 2] << 32 | registers[RDBAL >> 2]
    checksum = ones_complement_sum(data[registers[RXCSUM >> 2] & 0xFF :])
    threshold = count >> (control >> RCTL_RDMTS_SHIFT & 3) + 1
    position = causes = 0
    while position < length and free:
        descriptor = base + head * DESCRIPTOR_BYTES
        (buffer,) = RECEIVE_BUFFER.unpack(bus.dma_read(descriptor, RECEIVE_BUFFER.size))
        piece = 0
        # A null buffer address makes the controller pass over the descriptor.
        if buffer:
            piece = min(size, length - position)
            bus.dma_write(buffer, data[position : position + piece])
            position += piece
        flags = status | RX_STATUS_EOP if position == length else status
        write_back = RECEIVE_WRITE_BACK.pack(piece, checksum, flags, 0, special)
        bus.dma_write(descriptor + RECEIVE_WRITE_BACK_OFFSET, write_back)
        head = head + 1 if head + 1 < count else 0
        free -= 1
        if free == threshold:
            causes = ICR_RXDMT0
    registers[RDH >> 2] = head
    return causes if position == length else causes | ICR_RXO


class Receiver(InterruptLogic):
    """Receives frames."""

    def receive(self, frame: bytes) -> None:
        """Take a frame whose last bit has just arrived from the wire."""
        state = self.state
        registers = state.registers
        control = registers[reg.RCTL >> 2]
        if not (state.link and control & reg.RCTL_EN):
            return
        octets = len(frame) + FCS_BYTES
        self._count(reg.TPR)
        self._count(reg.TORL, octets)
        if len(frame) < SHORTEST_FRAME:
            self._count(reg.RUC)
            return
        if octets > (LONGEST_RECEIVE_LPE if control & reg.RCTL_LPE else LONGEST_RECEIVE):
            self._count(reg.ROC)
            return
        if not accepts(frame, registers, state.exact):
            return
        status = RX_STATUS_IXSM | RX_STATUS_DD
        destination = frame[:6]
        if frame[0] & 1 and destination != BROADCAST and destination not in state.exact:
            status |= RX_STATUS_PIF
        special = 0
        stored = frame
        if registers[reg.CTRL >> 2] & reg.CTRL_VME and is_tagged(frame, registers[reg.VET >> 2]):
            special = tag_of(frame)
            status |= RX_STATUS_VP
            stored = strip_tag(frame)
        if not control & reg.RCTL_SECRC:
            stored += frame_check_sequence(frame)
        causes = (
            store_frame(self.bus, registers, stored, status, special) if self.may_master() else reg.ICR_RXO
        )
        if causes:
            self.cause(causes)
        if causes & reg.ICR_RXO:
            self._count(reg.RNBC)
            self._count(reg.MPC)
            return
        self._count_frame(frame, reg.GPRC, reg.PRC64, reg.MPRC, reg.BPRC)
        self._count(reg.GORCL, octets)
        self._signal_receive(octets)

    def _signal_receive(self, octets: int) -> None:
        state = self.state
        registers = state.registers
        small = registers[reg.RSRPD >> 2]
        if small and octets <= small:
            self.cause(reg.ICR_SRPD)
        delay = registers[reg.RDTR >> 2]
        if delay:
            limit = registers[reg.RADV >> 2]
            self._restart_delay(state.receive_delay, delay, limit, "end_receive_delay")
        else:
            self.cause(reg.ICR_RXT0)
