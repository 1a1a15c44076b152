"""How the 82540EM stores a frame in the driver's receive ring.

Source: Intel 8254x Software Developer's Manual, sections 3.2.3 to 3.2.7.
"""

from collections.abc import MutableSequence

from nooks_lab.machine.bus import Bus
from nooks_lab.machine.devices.e1000_descriptors import (
    DESCRIPTOR_BYTES,
    RECEIVE_BUFFER,
    RECEIVE_WRITE_BACK,
    RECEIVE_WRITE_BACK_OFFSET,
    RX_STATUS_EOP,
)
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
from nooks_lab.machine.ethernet import ones_complement_sum

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
