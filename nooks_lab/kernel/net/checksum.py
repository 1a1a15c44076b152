"""The Internet checksum, and what the protocols' work costs in cycles (RFC 1071)."""

import struct

from nooks_lab.machine.ethernet import ones_complement_sum

LAYER_CYCLES = 500
"""One packet through one layer: some two hundred instructions and a few cache misses on its headers."""

_PSEUDO_HEADER = struct.Struct("!IIBBH")


def checksum(data: bytes) -> int:
    """Return the checksum of bytes: the inverted 16-bit one's complement sum.

    Over data that holds its own correct checksum, the result is 0.
    """
    return ones_complement_sum(data) ^ 0xFFFF


def transport_checksum(source: int, destination: int, protocol: int, segment: bytes) -> int:
    """Return the checksum of a TCP or UDP packet and its pseudo header (RFC 793, section 3.1).

    Parameters
    ----------
    source, destination : int
        Addresses in host order.
    """
    return checksum(_PSEUDO_HEADER.pack(source, destination, 0, protocol, len(segment)) + segment)


def checksum_cycles(length: int) -> int:
    """Return what summing ``length`` bytes takes: two bytes a cycle, an add with carry for each word."""
    return length // 2


def copy_cycles(length: int) -> int:
    """Return what copying ``length`` bytes takes: four bytes a cycle, as ``rep movsl`` from the cache."""
    return length // 4
