/*
 * Registers, descriptors and initialization block of the PCnet-PCI family in
 * 32-bit software style, by the names of AMD's publications 19436
 * (Am79C970A) and 20550 (Am79C971).
 */
#ifndef _PCNET32_HW_H_
#define _PCNET32_HW_H_

#include <linux/types.h>

/* The I/O region: the address PROM, then four registers, 32 bits wide once DWIO is on. */
#define PCNET32_TOTAL_SIZE 0x20
#define PCNET32_APROM_SIZE 16
#define PCNET32_WIO_RESET 0x14
#define PCNET32_RDP 0x10
#define PCNET32_RAP 0x14
#define PCNET32_RESET 0x18
#define PCNET32_BDP 0x1C

/* Address PROM: a sum over all other bytes, and two letters. */
#define PCNET32_APROM_CHECKSUM 12
#define PCNET32_APROM_SIGNATURE 14
#define PCNET32_SIGNATURE_BYTE 'W'

/* CSR0, controller status and control: the causes are cleared by writing ones. */
#define PCNET32_CSR0 0
#define CSR0_INIT 0x0001
#define CSR0_STRT 0x0002
#define CSR0_STOP 0x0004
#define CSR0_TDMD 0x0008
#define CSR0_TXON 0x0010
#define CSR0_RXON 0x0020
#define CSR0_IENA 0x0040
#define CSR0_INTR 0x0080
#define CSR0_IDON 0x0100
#define CSR0_TINT 0x0200
#define CSR0_RINT 0x0400
#define CSR0_MERR 0x0800
#define CSR0_MISS 0x1000
#define CSR0_CERR 0x2000
#define CSR0_BABL 0x4000
#define CSR0_CAUSES 0x7F00

/* CSR1 and CSR2: bus address of the initialization block. */
#define PCNET32_IADRL 1
#define PCNET32_IADRH 2

/* CSR3, interrupt masks: the place of each is that of its cause in CSR0. */
#define PCNET32_CSR3 3

/* CSR4, test and features */
#define PCNET32_CSR4 4
#define CSR4_JABM 0x0001
#define CSR4_TXSTRTM 0x0004
#define CSR4_RCVCCOM 0x0010
#define CSR4_MFCOM 0x0100
#define CSR4_APAD_XMT 0x0800
#define CSR4_DPOLL 0x1000

/* CSR5, extended control and interrupt */
#define PCNET32_CSR5 5
#define CSR5_SPND 0x0001
#define CSR5_SINTE 0x0400
#define CSR5_SINT 0x0800

/* CSR8 to CSR11, logical address filter */
#define PCNET32_LADRF 8
#define PCNET32_LADRF_WORDS 4

/* CSR15, mode */
#define PCNET32_MODE 15
#define MODE_PROM 0x8000

#define PCNET32_CHIP_ID_LOW 88
#define PCNET32_CHIP_ID_HIGH 89
#define PCNET32_MANUFACTURER_MASK 0xFFF
#define PCNET32_MANUFACTURER_AMD 0x003
#define PCNET32_PART_SHIFT 12
#define PCNET32_PART_MASK 0xFFFF

#define PCNET32_MISSED_FRAMES 112

/* Bus configuration registers */
#define PCNET32_BCR2 2
#define BCR2_ASEL 0x0002
#define PCNET32_BCR4 4
#define BCR4_LNKSTE 0x0040
#define BCR4_LEDOUT 0x8000
#define PCNET32_BCR9 9
#define BCR9_FDEN 0x0001
#define PCNET32_BCR18 18
#define BCR18_BWRITE 0x0020
#define BCR18_BREADE 0x0040
#define PCNET32_BCR20 20
#define BCR20_SWSTYLE_PCI 0x0002
#define PCNET32_MII_ADDRESS 33
#define PCNET32_MII_PHY_SHIFT 5
#define PCNET32_MII_DATA 34
#define PCNET32_PHYS 32
#define PCNET32_PHY_REGS 32

/* PCI status register: nobody answered the chip's DMA, or the target gave it up. */
#define PCNET32_STATUS_RTABORT 0x1000
#define PCNET32_STATUS_RMABORT 0x2000

/*
 * Descriptors of software style 2.  The lengths are 12 bits of two's
 * complement below four ones.
 */
struct pcnet32_rx_desc {
	u32 base;
	u32 control;
	u32 msg_length;
	u32 reserved;
};

struct pcnet32_tx_desc {
	u32 base;
	u32 control;
	u32 misc;
	u32 reserved;
};

#define DESC_OWN 0x80000000
#define DESC_ERR 0x40000000
#define DESC_STP 0x02000000
#define DESC_ENP 0x01000000
#define DESC_LENGTH(len) (0xF000 | (-(len) & 0x0FFF))

#define RMD1_FRAM 0x20000000
#define RMD1_OFLO 0x10000000
#define RMD1_CRC 0x08000000
#define RMD1_BUFF 0x04000000
#define RMD1_LAFM 0x00200000
#define RMD2_MCNT 0x00000FFF

#define TMD1_MORE 0x10000000
#define TMD1_ONE 0x08000000
#define TMD2_BUFF 0x80000000
#define TMD2_UFLO 0x40000000
#define TMD2_LCOL 0x10000000
#define TMD2_LCAR 0x08000000
#define TMD2_RTRY 0x04000000

/* Rings and buffers begin at multiples of 16 bytes, their lengths are powers of two. */
#define PCNET32_LOG_TX 4
#define PCNET32_LOG_RX 5
#define PCNET32_TX_RING_SIZE (1 << PCNET32_LOG_TX)
#define PCNET32_RX_RING_SIZE (1 << PCNET32_LOG_RX)
#define PCNET32_RLEN_SHIFT 4
#define PCNET32_TLEN_SHIFT 12

struct pcnet32_init_block {
	u16 mode;
	u16 tlen_rlen;
	u8 phys_addr[6];
	u16 reserved;
	u16 filter[PCNET32_LADRF_WORDS];
	u32 rx_ring;
	u32 tx_ring;
};

#endif
