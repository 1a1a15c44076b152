"""The controller's serial EEPROM: 64 words, the first of them its Ethernet address.

Source: Intel 8254x Software Developer's Manual, chapter 5 (EEPROM Interface).
"""

WORDS = 64
CHECKSUM = 0xBABA
"""What all 64 words add up to, modulo 2**16."""

COMPATIBILITY = 0x03
INITIALIZATION_CONTROL_1 = 0x0A
SUBSYSTEM_ID = 0x0B
SUBSYSTEM_VENDOR_ID = 0x0C
DEVICE_ID = 0x0D
VENDOR_ID = 0x0E
INITIALIZATION_CONTROL_2 = 0x0F
CHECKSUM_WORD = 0x3F

_LOAD_VENDOR_DEVICE_IDS = 0x0001
_LOAD_SUBSYSTEM_IDS = 0x0002
_SIGNATURE = 0x4000
"""Bits 15:14 of initialization control word 1 read 01 in a programmed EEPROM."""

_ANE = 0x1000
"""Initialization control word 2: auto-negotiation enabled."""

_SINGLE_PORT_COPPER = 0x0000


def eeprom_words(mac: bytes, vendor: int, device: int) -> list[int]:
    """Return the contents of a programmed EEPROM.

    Parameters
    ----------
    mac : bytes
        The six bytes of the Ethernet address.
    vendor, device : int
        PCI identifiers.

    Raises
    ------
    ValueError
        When the address does not have six bytes.
    """
    if len(mac) != 6:
        raise ValueError(f"Ethernet address {mac.hex(':')} has {len(mac)} bytes instead of 6")
    words = [0xFFFF] * WORDS
    for index in range(3):
        words[index] = int.from_bytes(mac[2 * index : 2 * index + 2], "little")
    words[COMPATIBILITY] = _SINGLE_PORT_COPPER
    words[INITIALIZATION_CONTROL_1] = _SIGNATURE | _LOAD_SUBSYSTEM_IDS | _LOAD_VENDOR_DEVICE_IDS
    words[SUBSYSTEM_ID] = device
    words[SUBSYSTEM_VENDOR_ID] = vendor
    words[DEVICE_ID] = device
    words[VENDOR_ID] = vendor
    words[INITIALIZATION_CONTROL_2] = _ANE
    words[CHECKSUM_WORD] = (CHECKSUM - sum(words[:CHECKSUM_WORD])) & 0xFFFF
    return words


def mac_address(words: list[int]) -> bytes:
    """Return the Ethernet address in words 0 to 2."""
    return b"".join(word.to_bytes(2, "little") for word in words[:3])
