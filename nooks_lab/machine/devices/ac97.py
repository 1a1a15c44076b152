"""The AC '97 codec behind an audio controller: a Cirrus Logic CS4297A, as far as its registers go.

Its converters run at 48 kHz; what they get is already converted, so volumes and mutes are all that is kept here.

Source: Intel, Audio Codec '97 Component Specification 2.1, section 5.7.
"""

RESET, MASTER, HEADPHONE, MONO, BEEP, PHONE, MIC = 0x00, 0x02, 0x04, 0x06, 0x0A, 0x0C, 0x0E
LINE, CD, VIDEO, AUX, PCM_OUT = 0x10, 0x12, 0x14, 0x16, 0x18
RECORD_SELECT, RECORD_GAIN, GENERAL_PURPOSE, POWERDOWN = 0x1A, 0x1C, 0x20, 0x26
VENDOR_ID1, VENDOR_ID2 = 0x7C, 0x7E

REGISTERS = 64
MUTE = 0x8000
READY = 0x000F
"""Analogue mixer, reference, and both converters are up."""

_RESET_VALUES = {
    MASTER: MUTE,
    HEADPHONE: MUTE,
    MONO: MUTE,
    PHONE: 0x8008,
    MIC: 0x8008,
    LINE: 0x8808,
    CD: 0x8808,
    VIDEO: 0x8808,
    AUX: 0x8808,
    PCM_OUT: 0x8808,
    RECORD_GAIN: MUTE,
    POWERDOWN: READY,
    VENDOR_ID1: 0x4352,
    VENDOR_ID2: 0x5913,
}
_WRITABLE = {
    MASTER: 0x9F1F,
    HEADPHONE: 0x9F1F,
    MONO: 0x801F,
    BEEP: 0x801E,
    PHONE: 0x801F,
    MIC: 0x805F,
    LINE: 0x9F1F,
    CD: 0x9F1F,
    VIDEO: 0x9F1F,
    AUX: 0x9F1F,
    PCM_OUT: 0x9F1F,
    RECORD_SELECT: 0x0707,
    RECORD_GAIN: 0x8F0F,
    GENERAL_PURPOSE: 0x8380,
    POWERDOWN: 0x7F00,
}
_SIX_BITS = {MASTER: 0x2020, HEADPHONE: 0x2020, MONO: 0x0020}
"""Volume bits that this codec lacks: who sets one gets all ones below it, so that drivers learn of it."""


def reset() -> tuple[int, ...]:
    """Return the registers, 16 bits each, as a reset leaves them."""
    return tuple(_RESET_VALUES.get(2 * index, 0) for index in range(REGISTERS))


def write(registers: tuple[int, ...], address: int, value: int) -> tuple[int, ...]:
    """Return the registers after a write to an even address below 128."""
    if address == RESET:
        return reset()
    mask = _WRITABLE.get(address, 0)
    if not mask:
        return registers
    asked = value & _SIX_BITS.get(address, 0)
    value |= (asked & 0x2000) - (asked >> 5 & 0x100) | (asked & 0x20) - (asked >> 5 & 1)
    kept = registers[address >> 1] & ~mask
    changed = list(registers)
    changed[address >> 1] = kept | value & mask
    return tuple(changed)


def read(registers: tuple[int, ...], address: int) -> int:
    """Return a register."""
    return registers[address >> 1]
