"""Registers of the Ensoniq AudioPCI 97, offsets and bits.

Source: Ensoniq, AudioPCI 97 (ES1371) specification; names as there.
"""

CONTROL, STATUS, UART_DATA, UART_STATUS, MEMORY_PAGE = 0x00, 0x04, 0x08, 0x09, 0x0C
SRC, CODEC, LEGACY, SERIAL = 0x10, 0x14, 0x18, 0x20
COUNT = {0x24: 0, 0x28: 1, 0x2C: 2}
"""Sample count registers by channel: DAC1, DAC2, ADC."""
FRAME_WINDOW = 0x30
PORTS = 0x40

DAC1, DAC2, ADC = 0, 1, 2
CHANNEL_NAMES = ("DAC1", "DAC2", "ADC")

PAGE_DAC, PAGE_ADC = 0x0C, 0x0D
FRAME = {
    (PAGE_DAC, 0x30): (DAC1, "address"),
    (PAGE_DAC, 0x34): (DAC1, "size"),
    (PAGE_DAC, 0x38): (DAC2, "address"),
    (PAGE_DAC, 0x3C): (DAC2, "size"),
    (PAGE_ADC, 0x30): (ADC, "address"),
    (PAGE_ADC, 0x34): (ADC, "size"),
}
"""What the window shows, by page and offset."""

CONTROL_ENABLE = (1 << 6, 1 << 5, 1 << 4)
"""DAC1_EN, DAC2_EN, ADC_EN."""
CONTROL_SYNC_RES = 1 << 14
CONTROL_WRITABLE = 0x030F7FFF

STATUS_INTR = 1 << 31
STATUS_CAUSE = (1 << 2, 1 << 1, 1 << 0)

SRC_ADDRESS_SHIFT = 25
SRC_WRITE, SRC_BUSY, SRC_DISABLE = 1 << 24, 1 << 23, 1 << 22
SRC_DISABLE_CHANNEL = (1 << 21, 1 << 20, 1 << 19)
SRC_DATA = 0xFFFF
SRC_CONTROL = SRC_DISABLE | sum(SRC_DISABLE_CHANNEL)
SRC_RAM_WORDS = 128
SRC_RAM = (0x70, 0x74, 0x78)
"""Where each channel's four words are."""
SRC_INTEGER, SRC_FRACTION = 1, 3
"""Words of these: the whole part of the pitch is in bits 15-10, its fraction in bits 14-0."""
SRC_UNIT_HZ = 3_000
"""A pitch of 1.0: one sixteenth of the codec's 48 kHz."""

CODEC_READY, CODEC_BUSY, CODEC_READ = 1 << 31, 1 << 30, 1 << 23
CODEC_ADDRESS_SHIFT = 16

SERIAL_MODE_SHIFT = (0, 2, 4)
SERIAL_STEREO, SERIAL_16_BIT = 1, 2
SERIAL_INTERRUPT = (1 << 8, 1 << 9, 1 << 10)
SERIAL_PAUSE = (1 << 11, 1 << 12, 0)
SERIAL_STOP = (1 << 13, 1 << 14, 1 << 15)
"""Loop select: with the bit set a channel stops when its sample count is through."""
SERIAL_RELOAD = 1 << 7
SERIAL_WRITABLE = 0x003FFFFF
