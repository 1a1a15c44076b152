"""Ethernet frames: their lengths, their check sequence, their tag, their time on the line.

Source: IEEE 802.3, clauses 3, 4.2, 24 and 40; IEEE 802.1Q, clause 9.
"""

import zlib

from nooks_lab.machine.clock import CPU_HZ

SHORTEST_FRAME = 60
"""Bytes of the shortest frame, without the frame check sequence; shorter ones are padded."""

FCS_BYTES = 4
PREAMBLE_BYTES = 8
GAP_BYTES = 12
TAG_BYTES = 4
ADDRESSES_BYTES = 12
BROADCAST = b"\xff" * 6

GIGABIT = 1_000_000_000
"""Bits per second of 1000BASE-T."""

FAST_ETHERNET = 100_000_000
"""Bits per second of 100BASE-TX."""


def line_cycles(length: int, bits_per_second: int = GIGABIT) -> int:
    """Return how many CPU cycles the line is taken by a frame: preamble, frame, check sequence and gap.

    Parameters
    ----------
    length : int
        Bytes of the frame without its check sequence.
    bits_per_second : int
        The speed of the line.
    """
    sent = PREAMBLE_BYTES + max(length, SHORTEST_FRAME) + FCS_BYTES + GAP_BYTES
    return sent * 8 * CPU_HZ // bits_per_second


def arrival_cycles(length: int, bits_per_second: int = GIGABIT) -> int:
    """Return the cycles from a frame's first bit on the line to its last one, without the gap behind it."""
    sent = PREAMBLE_BYTES + max(length, SHORTEST_FRAME) + FCS_BYTES
    return sent * 8 * CPU_HZ // bits_per_second


def frame_check_sequence(frame: bytes) -> bytes:
    """Return the four bytes of CRC-32 that follow a frame on the line."""
    return zlib.crc32(frame).to_bytes(FCS_BYTES, "little")


def pad(frame: bytes) -> bytes:
    """Return the frame, filled up with zeros to the shortest length."""
    return frame if len(frame) >= SHORTEST_FRAME else frame.ljust(SHORTEST_FRAME, b"\0")


def is_tagged(frame: bytes, ether_type: int) -> bool:
    """Tell whether a frame carries an 802.1Q tag with this EtherType."""
    return int.from_bytes(frame[ADDRESSES_BYTES : ADDRESSES_BYTES + 2], "big") == ether_type


def tag_of(frame: bytes) -> int:
    """Return the tag control information of a tagged frame."""
    return int.from_bytes(frame[ADDRESSES_BYTES + 2 : ADDRESSES_BYTES + TAG_BYTES], "big")


def insert_tag(frame: bytes, ether_type: int, tag: int) -> bytes:
    """Return the frame with an 802.1Q tag behind its addresses."""
    inserted = ether_type.to_bytes(2, "big") + tag.to_bytes(2, "big")
    return frame[:ADDRESSES_BYTES] + inserted + frame[ADDRESSES_BYTES:]


def strip_tag(frame: bytes) -> bytes:
    """Return a tagged frame without its tag."""
    return frame[:ADDRESSES_BYTES] + frame[ADDRESSES_BYTES + TAG_BYTES :]


def ones_complement_sum(data: bytes) -> int:
    """Return the 16-bit one's complement sum of the Internet checksum (RFC 1071), not inverted."""
    if len(data) % 2:
        data += b"\0"
    # 0x10000 is 1 modulo 0xFFFF, so the remainder of the whole number is the sum of its digits with the
    # carries added back; only all-zero data sums to zero.
    number = int.from_bytes(data, "big")
    return (number - 1) % 0xFFFF + 1 if number else 0
