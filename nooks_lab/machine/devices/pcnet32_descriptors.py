"""The initialization block and the descriptors of the PCnet controllers, in the software styles 0, 2 and 3.

Style 0 is that of the LANCE: 16-bit words and 24-bit addresses.  The others have 32-bit words; 3 differs from 2 in the
order of a descriptor's words only, so that its status and its buffer address can be read in one burst.

Source: AMD publication 20550 (Am79C971), sections "Initialization Block", "Receive Descriptors" and "Transmit
Descriptors".
"""

import struct
from dataclasses import dataclass

OWN = 1 << 31
ERR = 1 << 30
STP = 1 << 25
ENP = 1 << 24

RX_FRAM = 1 << 29
RX_OFLO = 1 << 28
RX_CRC = 1 << 27
RX_BUFF = 1 << 26
RX_PAM = 1 << 22
RX_LAFM = 1 << 21
RX_BAM = 1 << 20
RX_RESULT = ERR | RX_FRAM | RX_OFLO | RX_CRC | RX_BUFF | STP | ENP | RX_PAM | RX_LAFM | RX_BAM

TX_ADD_FCS = 1 << 29
TX_LTINT = 1 << 28
TX_ONE = 1 << 27
TX_DEF = 1 << 26

TX_BUFF = 1 << 31
TX_UFLO = 1 << 30
TX_LCAR = 1 << 27

LONGEST_BUFFER = 4096
"""A buffer's length is 12 bits of two's complement, and 0 stands for this many bytes."""

_BCNT = 0x0FFF
_LANCE = struct.Struct("<4H")
_WIDE = struct.Struct("<4I")
_INIT_LANCE = struct.Struct("<H6s8sHHHH")
_INIT_WIDE = struct.Struct("<I6sxx8sII")
_MOST_RING_BITS_LANCE, _MOST_RING_BITS = 7, 9


@dataclass(frozen=True)
class InitBlock:
    """What the controller learns at initialization.

    Attributes
    ----------
    mode : int
        For CSR15.
    padr, ladrf : bytes
        Station address and logical address filter, 6 and 8 bytes.
    receive_ring, transmit_ring : int
        Bus addresses of the rings.
    receive_bits, transmit_bits : int
        Logarithms of their lengths, as encoded.
    """

    mode: int
    padr: bytes
    ladrf: bytes
    receive_ring: int
    receive_bits: int
    transmit_ring: int
    transmit_bits: int


@dataclass
class Descriptor:
    """One descriptor, whatever its style: its words by what they mean.

    Attributes
    ----------
    buffer : int
        Bus address.
    control : int
        OWN, status bits and the buffer's length, as in RMD1 and TMD1 of style 2.
    status : int
        As RMD2 or TMD2 of style 2: the message's length, or the transmitter's errors.
    user : int
        The word that the controller leaves alone.
    """

    buffer: int
    control: int
    status: int
    user: int

    @property
    def length(self) -> int:
        """Bytes of the buffer."""
        return -self.control & _BCNT or LONGEST_BUFFER


def known_style(style: int) -> bool:
    """Tell whether software structures of this style can be used."""
    return style in (0, 2, 3)


def init_block_bytes(wide: bool) -> int:
    """Return the length of the initialization block."""
    return _INIT_WIDE.size if wide else _INIT_LANCE.size


def read_init_block(data: bytes, wide: bool) -> InitBlock:
    """Take an initialization block apart.

    Parameters
    ----------
    data : bytes
        :func:`init_block_bytes` of them.
    wide : bool
        SSIZE32 is set: 32-bit addresses.
    """
    if wide:
        head, padr, ladrf, receive, transmit = _INIT_WIDE.unpack(data)
        return InitBlock(
            head & 0xFFFF,
            padr,
            ladrf,
            receive & ~0xF,
            min(head >> 20 & 0xF, _MOST_RING_BITS),
            transmit & ~0xF,
            min(head >> 28, _MOST_RING_BITS),
        )
    mode, padr, ladrf, receive_low, receive_high, transmit_low, transmit_high = _INIT_LANCE.unpack(data)
    return InitBlock(
        mode,
        padr,
        ladrf,
        (receive_low | (receive_high & 0xFF) << 16) & ~0x7,
        min(receive_high >> 13, _MOST_RING_BITS_LANCE),
        (transmit_low | (transmit_high & 0xFF) << 16) & ~0x7,
        min(transmit_high >> 13, _MOST_RING_BITS_LANCE),
    )


def descriptor_bytes(style: int) -> int:
    """Return the length of a descriptor."""
    return _WIDE.size if style else _LANCE.size


def read_descriptor(data: bytes, style: int) -> Descriptor:
    """Take a descriptor apart."""
    if not style:
        low, high, count, status = _LANCE.unpack(data)
        return Descriptor(low | (high & 0xFF) << 16, (high & 0xFF00) << 16 | count, status, 0)
    first, control, third, user = _WIDE.unpack(data)
    if style == 3:
        first, third = third, first
    return Descriptor(first, control, third, user)


def write_back(
    descriptor: Descriptor, style: int, transmit: bool
) -> tuple[tuple[int, bytes], tuple[int, bytes]]:
    """Return what the controller writes back: the status word, then the word with OWN, each with its offset.

    The order matters: whoever sees OWN cleared must find the status complete.
    """
    if not style:
        status = descriptor.status >> 16 if transmit else descriptor.status & _BCNT
        high = (descriptor.control >> 16 & 0xFF00) | (descriptor.buffer >> 16 & 0xFF)
        return (6, status.to_bytes(2, "little")), (2, high.to_bytes(2, "little"))
    offset = 0 if style == 3 else 8
    return (offset, descriptor.status.to_bytes(4, "little")), (4, descriptor.control.to_bytes(4, "little"))
