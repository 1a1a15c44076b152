"""The card's serial EEPROM, 64 words: who made it, its station addresses, and what a reset loads from it.

Source: 3Com 3C90xC NICs Technical Reference, chapter 8 (EEPROM).
"""

from nooks_lab.machine.devices.c905_registers import (
    CONFIG_AUTO_SELECT,
    CONFIG_XCVR_SHIFT,
    MEDIA_10BASE_T,
    MEDIA_100BASE_TX,
    XCVR_AUTO_NEGOTIATION,
)

WORDS = 64
NODE_ADDRESS = 0x00
PRODUCT_ID = 0x03
MANUFACTURER_ID = 0x07
OEM_NODE_ADDRESS = 0x0A
CAPABILITIES = 0x10
INTERNAL_CONFIG_LOW, INTERNAL_CONFIG_HIGH = 0x12, 0x13
SUBSYSTEM_VENDOR_ID, SUBSYSTEM_ID = 0x17, 0x18
MEDIA_OPTIONS_WORD = 0x19
CHECKSUM_WORD = 0x20

THREE_COM = 0x6D50
"""The company as EISA names it."""

_CAPABILITIES = 0x3B82
"""Full duplex, full bus mastering, CRC pass-through, no TxLength, snooping, 100 Mb/s, power management."""

_INTERNAL_CONFIG = CONFIG_AUTO_SELECT | XCVR_AUTO_NEGOTIATION << CONFIG_XCVR_SHIFT


def eeprom_words(mac: bytes, vendor: int, device: int, subsystem: int) -> list[int]:
    """Return the contents of a programmed EEPROM.

    Parameters
    ----------
    mac : bytes
        The six bytes of the station address.
    vendor, device, subsystem : int
        PCI identifiers.

    Raises
    ------
    ValueError
        When the address does not have six bytes.
    """
    if len(mac) != 6:
        raise ValueError(f"Ethernet address {mac.hex(':')} has {len(mac)} bytes instead of 6")
    words = [0] * WORDS
    for index in range(3):
        # The first byte on the wire is a word's high byte.
        word = int.from_bytes(mac[2 * index : 2 * index + 2], "big")
        words[NODE_ADDRESS + index] = words[OEM_NODE_ADDRESS + index] = word
    words[PRODUCT_ID] = device
    words[MANUFACTURER_ID] = THREE_COM
    words[CAPABILITIES] = _CAPABILITIES
    words[INTERNAL_CONFIG_LOW] = _INTERNAL_CONFIG & 0xFFFF
    words[INTERNAL_CONFIG_HIGH] = _INTERNAL_CONFIG >> 16
    words[SUBSYSTEM_VENDOR_ID] = vendor
    words[SUBSYSTEM_ID] = subsystem
    words[MEDIA_OPTIONS_WORD] = MEDIA_100BASE_TX | MEDIA_10BASE_T
    words[CHECKSUM_WORD] = checksum(words)
    return words


def checksum(words: list[int]) -> int:
    """Return the exclusive or of all bytes before the checksum word; the word's high byte is zero."""
    folded = 0
    for word in words[:CHECKSUM_WORD]:
        folded ^= word ^ word >> 8
    return folded & 0xFF
