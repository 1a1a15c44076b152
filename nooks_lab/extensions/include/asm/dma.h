#ifndef _ASM_DMA_H
#define _ASM_DMA_H

#include <linux/types.h>
#include <asm/io.h>
#include <asm/system.h>

/*
 * The two 8237A of an AT. Channels 0 to 3 move bytes and cannot cross a
 * boundary of 64 KiB, channels 5 to 7 move words and cannot cross one of
 * 128 KiB; 4 is the cascade. Addresses and counts below are in bytes.
 */
#define MAX_DMA_CHANNELS 8
#define MAX_DMA_ADDRESS (PAGE_OFFSET + 0x1000000)

#define IO_DMA1_BASE 0x00
#define IO_DMA2_BASE 0xC0

#define DMA1_STAT_REG 0x08
#define DMA1_MASK_REG 0x0A
#define DMA1_MODE_REG 0x0B
#define DMA1_CLEAR_FF_REG 0x0C

#define DMA2_STAT_REG 0xD0
#define DMA2_MASK_REG 0xD4
#define DMA2_MODE_REG 0xD6
#define DMA2_CLEAR_FF_REG 0xD8

#define DMA_PAGE_0 0x87
#define DMA_PAGE_1 0x83
#define DMA_PAGE_2 0x81
#define DMA_PAGE_3 0x82
#define DMA_PAGE_5 0x8B
#define DMA_PAGE_6 0x89
#define DMA_PAGE_7 0x8A

/* Directions as the memory sees them: a write to the device reads memory. */
#define DMA_MODE_READ 0x44
#define DMA_MODE_WRITE 0x48
#define DMA_AUTOINIT 0x10

extern int request_dma(unsigned int dmanr, const char *device_id);
extern void free_dma(unsigned int dmanr);

/* One processor: to keep interrupts out is all that the controllers' flip-flops need. */
static inline unsigned long claim_dma_lock(void)
{
	unsigned long flags;

	local_irq_save(flags);
	return flags;
}

static inline void release_dma_lock(unsigned long flags)
{
	local_irq_restore(flags);
}

static inline void enable_dma(unsigned int dmanr)
{
	if (dmanr <= 3)
		outb(dmanr, DMA1_MASK_REG);
	else
		outb(dmanr & 3, DMA2_MASK_REG);
}

static inline void disable_dma(unsigned int dmanr)
{
	if (dmanr <= 3)
		outb(dmanr | 4, DMA1_MASK_REG);
	else
		outb((dmanr & 3) | 4, DMA2_MASK_REG);
}

/* The next access to an address or count is to its low byte. */
static inline void clear_dma_ff(unsigned int dmanr)
{
	outb(0, dmanr <= 3 ? DMA1_CLEAR_FF_REG : DMA2_CLEAR_FF_REG);
}

static inline void set_dma_mode(unsigned int dmanr, char mode)
{
	if (dmanr <= 3)
		outb(mode | dmanr, DMA1_MODE_REG);
	else
		outb(mode | (dmanr & 3), DMA2_MODE_REG);
}

static inline void set_dma_page(unsigned int dmanr, char pagenr)
{
	switch (dmanr) {
	case 0:
		outb(pagenr, DMA_PAGE_0);
		break;
	case 1:
		outb(pagenr, DMA_PAGE_1);
		break;
	case 2:
		outb(pagenr, DMA_PAGE_2);
		break;
	case 3:
		outb(pagenr, DMA_PAGE_3);
		break;
	case 5:
		outb(pagenr & 0xfe, DMA_PAGE_5);
		break;
	case 6:
		outb(pagenr & 0xfe, DMA_PAGE_6);
		break;
	case 7:
		outb(pagenr & 0xfe, DMA_PAGE_7);
		break;
	}
}

static inline void set_dma_addr(unsigned int dmanr, unsigned int address)
{
	set_dma_page(dmanr, address >> 16);
	if (dmanr <= 3) {
		outb(address & 0xff, IO_DMA1_BASE + ((dmanr & 3) << 1));
		outb((address >> 8) & 0xff, IO_DMA1_BASE + ((dmanr & 3) << 1));
	} else {
		outb((address >> 1) & 0xff, IO_DMA2_BASE + ((dmanr & 3) << 2));
		outb((address >> 9) & 0xff, IO_DMA2_BASE + ((dmanr & 3) << 2));
	}
}

static inline void set_dma_count(unsigned int dmanr, unsigned int count)
{
	count--;
	if (dmanr <= 3) {
		outb(count & 0xff, IO_DMA1_BASE + ((dmanr & 3) << 1) + 1);
		outb((count >> 8) & 0xff, IO_DMA1_BASE + ((dmanr & 3) << 1) + 1);
	} else {
		outb((count >> 1) & 0xff, IO_DMA2_BASE + ((dmanr & 3) << 2) + 2);
		outb((count >> 9) & 0xff, IO_DMA2_BASE + ((dmanr & 3) << 2) + 2);
	}
}

/* How much is left to the terminal count; clear_dma_ff before. */
static inline int get_dma_residue(unsigned int dmanr)
{
	unsigned int port = dmanr <= 3 ? IO_DMA1_BASE + ((dmanr & 3) << 1) + 1
				       : IO_DMA2_BASE + ((dmanr & 3) << 2) + 2;
	unsigned short count;

	count = 1 + inb(port);
	count += inb(port) << 8;
	return dmanr <= 3 ? count : count << 1;
}

#endif
