"""Registers of the PCnet controllers by AMD's names: numbers, bits, reset values, and when software can write them.

Source: AMD publications 19436 (Am79C970A, PCnet-PCI II) and 20550 (Am79C971, PCnet-FAST), chapter "User
Accessible Registers".
"""

# Offsets in the I/O and memory regions, by width of the registers

APROM_BYTES = 0x10
WIO_RDP, WIO_RAP, WIO_RESET, WIO_BDP = 0x10, 0x12, 0x14, 0x16
DWIO_RDP, DWIO_RAP, DWIO_RESET, DWIO_BDP = 0x10, 0x14, 0x18, 0x1C
REGION_BYTES = 0x20

# Control and status registers

CSR0 = 0
CSR0_INIT = 1 << 0
CSR0_STRT = 1 << 1
CSR0_STOP = 1 << 2
CSR0_TDMD = 1 << 3
CSR0_TXON = 1 << 4
CSR0_RXON = 1 << 5
CSR0_IENA = 1 << 6
CSR0_INTR = 1 << 7
CSR0_IDON = 1 << 8
CSR0_TINT = 1 << 9
CSR0_RINT = 1 << 10
CSR0_MERR = 1 << 11
CSR0_MISS = 1 << 12
CSR0_CERR = 1 << 13
CSR0_BABL = 1 << 14
CSR0_ERR = 1 << 15
CSR0_CAUSES = CSR0_IDON | CSR0_TINT | CSR0_RINT | CSR0_MERR | CSR0_MISS | CSR0_CERR | CSR0_BABL
CSR0_ERRORS = CSR0_MERR | CSR0_MISS | CSR0_CERR | CSR0_BABL
CSR0_INTERRUPTS = CSR0_CAUSES & ~CSR0_CERR
"""The causes that can interrupt; each has its mask bit in the same place of CSR3."""

CSR1, CSR2 = 1, 2

CSR3 = 3
CSR3_DXSUFLO = 1 << 6

CSR4 = 4
CSR4_JAB = 1 << 1
CSR4_TXSTRT = 1 << 3
CSR4_RCVCCO = 1 << 5
CSR4_UINT = 1 << 6
CSR4_UINTCMD = 1 << 7
CSR4_MFCO = 1 << 9
CSR4_ASTRP_RCV = 1 << 10
CSR4_APAD_XMT = 1 << 11
CSR4_DPOLL = 1 << 12
CSR4_MASKED_CAUSES = CSR4_JAB | CSR4_TXSTRT | CSR4_RCVCCO | CSR4_MFCO
"""The causes that have a mask bit, one place below."""
CSR4_CAUSES = CSR4_MASKED_CAUSES | CSR4_UINT

CSR5 = 5
CSR5_SPND = 1 << 0
CSR5_SINTE = 1 << 10
CSR5_SINT = 1 << 11
CSR5_LTINTEN = 1 << 14
CSR5_TOKINTD = 1 << 15
CSR5_CAUSES = CSR5_SINT | 1 << 9 | 1 << 7 | 1 << 4
"""The causes; each has its enable bit one place below."""

CSR6 = 6

CSR7 = 7
CSR7_MCCINT = 1 << 5
CSR7_MAPINT = 1 << 7
CSR7_CAUSES = 0x0AAA
"""The causes; each has its enable bit one place below."""

LADRF = 8
PADR = 12

CSR15 = MODE = 15
MODE_DRX = 1 << 0
MODE_DTX = 1 << 1
MODE_LOOP = 1 << 2
MODE_DXMTFCS = 1 << 3
MODE_DRCVPA = 1 << 13
MODE_DRCVBC = 1 << 14
MODE_PROM = 1 << 15

BADRL, BADRU = 24, 25
BADXL, BADXU = 30, 31
POLLINT = 47
CSR58 = 58
RCVRC, XMTRC = 72, 74
RCVRL, XMTRL = 76, 78
CSR88, CSR89 = 88, 89
MERRTO = 100
MFC = 112
CSR124 = 124
CSR124_RPA = 1 << 3

CSR_RESET = {
    CSR0: CSR0_STOP,
    CSR4: 0x0115,
    80: 0xE810,
    MERRTO: 0x0200,
    125: 0x603C,
}
"""What a CSR holds after H_RESET, where that is not zero."""

CSR_ALWAYS = {CSR3: 0x5F7C, CSR7: 0xD555}
"""CSRs that can be written at any time, and their bits; CSR0, CSR4 and CSR5 have rules of their own."""

CSR4_WRITABLE = 0xFD15
CSR5_WRITABLE = 0xC56E

CSR_SOFT_RESET = (CSR3, CSR5, CSR7, MODE, MFC, 114, CSR124)
"""CSRs that S_RESET clears, beside those of :data:`CSR_RESET`."""

CSR_STOPPED = {
    CSR1: 0xFFFF,
    CSR2: 0xFFFF,
    **dict.fromkeys(range(LADRF, LADRF + 4), 0xFFFF),
    **dict.fromkeys(range(PADR, PADR + 3), 0xFFFF),
    MODE: 0xFFFF,
    **dict.fromkeys((BADRL, BADRU, BADXL, BADXU, POLLINT, RCVRC, XMTRC, RCVRL, XMTRL), 0xFFFF),
    80: 0x3FFF,
    82: 0xFFFF,
    MERRTO: 0xFFFF,
    MFC: 0xFFFF,
    114: 0xFFFF,
    122: 0x0001,
    CSR124: 0x001F,
    125: 0xFFFF,
}
"""CSRs that can be written only while STOP or SPND is set, and their bits."""

# Bus configuration registers

BCR2 = 2
BCR4 = 4
BCR4_LNKSTE = 1 << 6
BCR4_LEDOUT = 1 << 15
BCR9 = 9
BCR9_FDEN = 1 << 0
BCR18 = 18
BCR18_DWIO = 1 << 7
BCR20 = 20
BCR20_SWSTYLE = 0xFF
BCR20_SSIZE32 = 1 << 8
BCR20_CSRPCNET = 1 << 9
BCR32 = 32
BCR32_APEP = 1 << 11
BCR32_MIIPD = 1 << 14
BCR33 = 33
BCR34 = 34

BCR_RESET = {
    0: 0x0005,
    1: 0x0005,
    BCR2: 0x0002,
    BCR4: 0x00C0,
    5: 0x0084,
    6: 0x0088,
    7: 0x0090,
    BCR18: 0x9001,
    19: 0xA002,
    BCR20: BCR20_CSRPCNET,
    22: 0xFF06,
    31: 0xFFFF,
    BCR32: 0x0400,
    35: 0x1022,
    36: 0xC811,
}
"""What a BCR holds after H_RESET, where that is not zero."""

BCR_WRITABLE = {
    BCR2: 0xF1FE,
    BCR4: 0x73FF,
    5: 0x73FF,
    6: 0x73FF,
    7: 0x73FF,
    BCR9: 0x0007,
    BCR18: 0xFB60,
    19: 0x001F,
    21: 0x00FF,
    22: 0xFFFF,
    BCR32: 0x1FFE,
    BCR33: 0x03FF,
}
"""Bits that keep what software writes; a BCR that is not listed ignores writes."""
