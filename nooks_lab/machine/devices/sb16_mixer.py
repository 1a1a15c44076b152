"""The mixer of a Sound Blaster 16 (CT1745): volumes, and the registers that say which IRQ and DMA it uses.

Source: Creative Labs, Sound Blaster Series Hardware Programming Guide, chapter 4.
"""

RESET, VOICE_OLD, MIC_OLD, MASTER_OLD, MIDI_OLD, CD_OLD, LINE_OLD = 0x00, 0x04, 0x0A, 0x22, 0x26, 0x28, 0x2E
MASTER_LEFT, VOICE_LEFT, MIDI_LEFT, CD_LEFT, LINE_LEFT, MIC = 0x30, 0x32, 0x34, 0x36, 0x38, 0x3A
IRQ_SELECT, DMA_SELECT, IRQ_STATUS = 0x80, 0x81, 0x82

IRQ_LINES = (9, 5, 7, 10)
"""Line for each bit of IRQ_SELECT; what the first computer called IRQ 2 is line 9 of an AT."""
DMA_CHANNELS_8 = (0, 1, 3)
DMA_CHANNELS_16 = (5, 6, 7)

_RESET_VALUES = {
    0x30: 0xC0,
    0x31: 0xC0,
    0x32: 0xC0,
    0x33: 0xC0,
    0x34: 0xC0,
    0x35: 0xC0,
    0x3C: 0x1F,
    0x3D: 0x15,
    0x3E: 0x0B,
    0x44: 0x80,
    0x45: 0x80,
    0x46: 0x80,
    0x47: 0x80,
}
_WRITABLE = {
    **dict.fromkeys(range(0x30, 0x3C), 0xF8),
    0x3C: 0x1F,
    0x3D: 0x7F,
    0x3E: 0x7F,
    **dict.fromkeys(range(0x3F, 0x43), 0xC0),
    0x43: 0x01,
    **dict.fromkeys(range(0x44, 0x48), 0xF0),
    IRQ_SELECT: 0x0F,
    DMA_SELECT: 0xEB,
}
_PAIRS = {
    VOICE_OLD: VOICE_LEFT,
    MASTER_OLD: MASTER_LEFT,
    MIDI_OLD: MIDI_LEFT,
    CD_OLD: CD_LEFT,
    LINE_OLD: LINE_LEFT,
}
"""Registers of the Sound Blaster Pro: two volumes of 4 bits in one, the upper bits of the SB16's pair."""


def power_on(irq: int, dma: int, dma16: int) -> bytes:
    """Return the registers as the card's configuration leaves them.

    Raises
    ------
    ValueError
        When the card has no such line or channel.
    """
    if irq not in IRQ_LINES or dma not in DMA_CHANNELS_8 or dma16 not in DMA_CHANNELS_16:
        raise ValueError(f"a Sound Blaster 16 has no IRQ {irq} with DMA {dma} and {dma16}")
    registers = bytearray(256)
    registers[IRQ_SELECT] = 1 << IRQ_LINES.index(irq)
    registers[DMA_SELECT] = 1 << dma | 1 << dma16
    return reset(bytes(registers))


def reset(registers: bytes) -> bytes:
    """Return the registers after a write to index 0: volumes at their defaults, IRQ and DMA as they were."""
    fresh = bytearray(256)
    for index, value in _RESET_VALUES.items():
        fresh[index] = value
    fresh[IRQ_SELECT], fresh[DMA_SELECT] = registers[IRQ_SELECT], registers[DMA_SELECT]
    return bytes(fresh)


def read(registers: bytes, index: int) -> int:
    """Return a register; IRQ_STATUS is the device's own business."""
    if index in _PAIRS:
        left = _PAIRS[index]
        return registers[left] & 0xF0 | registers[left + 1] >> 4
    if index == MIC_OLD:
        return registers[MIC] >> 5
    return registers[index]


def write(registers: bytes, index: int, value: int) -> bytes:
    """Return the registers after a write."""
    if index == RESET:
        return reset(registers)
    changed = bytearray(registers)
    if index in _PAIRS:
        left = _PAIRS[index]
        changed[left], changed[left + 1] = value & 0xF0, value << 4 & 0xF0
    elif index == MIC_OLD:
        changed[MIC] = value << 5 & 0xE0
    elif index in _WRITABLE:
        changed[index] = value & _WRITABLE[index]
    return bytes(changed)


def interrupt_line(registers: bytes) -> int | None:
    """Return the selected interrupt line, or None."""
    selected = registers[IRQ_SELECT]
    return next((line for bit, line in enumerate(IRQ_LINES) if selected >> bit & 1), None)


def dma_channel(registers: bytes, bits: int) -> int | None:
    """Return the channel for samples of 8 or 16 bits, or None; without a 16-bit one the 8-bit one serves both."""
    selected = registers[DMA_SELECT]
    wanted = (*DMA_CHANNELS_16, *DMA_CHANNELS_8) if bits == 16 else DMA_CHANNELS_8
    return next((channel for channel in wanted if selected >> channel & 1), None)
