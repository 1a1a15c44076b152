"""Which frames the 3C905C accepts: station address with its mask, multicast, hash filter, broadcast, all.

Source: 3Com 3C90xC NICs Technical Reference, chapter 7 (RxFilter, StationAddress, SetHashFilterBit).
"""

from nooks_lab.machine.devices.c905_registers import (
    RECEIVE_ALL_FRAMES,
    RECEIVE_BROADCAST,
    RECEIVE_INDIVIDUAL,
    RECEIVE_MULTICAST,
    RECEIVE_MULTICAST_HASH,
)
from nooks_lab.machine.ethernet import BROADCAST

HASH_BITS = 256

_POLYNOMIAL = 0x04C11DB7


def hash_of(address: bytes) -> int:
    """Return the number of an address's bit in the hash filter: the low 8 bits of its CRC-32.

    The remainder is as the shift register holds it, the most significant bit first, without a final inversion.
    """
    remainder = 0xFFFFFFFF
    for byte in address:
        for bit in range(8):
            carry = remainder >> 31 ^ byte >> bit & 1
            remainder = remainder << 1 & 0xFFFFFFFF
            if carry:
                remainder ^= _POLYNOMIAL
    return remainder % HASH_BITS


def accepts(destination: bytes, rx_filter: int, station: bytes, mask: bytes, hash_filter: int) -> bool:
    """Tell whether a frame to this address passes.

    Parameters
    ----------
    destination : bytes
        Six bytes, the first one of the frame first.
    rx_filter : int
        What SetRxFilter has set.
    station, mask : bytes
        StationAddress, and StationMask: a bit that is set there is not compared.
    hash_filter : int
        The bits that SetHashFilterBit has set.
    """
    if rx_filter & RECEIVE_ALL_FRAMES:
        return True
    if destination == BROADCAST:
        return bool(rx_filter & (RECEIVE_BROADCAST | RECEIVE_MULTICAST))
    if destination[0] & 1:
        if rx_filter & RECEIVE_MULTICAST:
            return True
        return bool(rx_filter & RECEIVE_MULTICAST_HASH and hash_filter >> hash_of(destination) & 1)
    if not rx_filter & RECEIVE_INDIVIDUAL:
        return False
    return all(not (a ^ b) & ~m & 0xFF for a, b, m in zip(destination, station, mask, strict=True))
