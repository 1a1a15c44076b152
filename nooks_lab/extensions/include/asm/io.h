#ifndef _ASM_IO_H
#define _ASM_IO_H

#include <linux/types.h>
#include <asm/page.h>

extern void *ioremap(unsigned long offset, unsigned long size);
extern void iounmap(void *addr);

/* What a device puts on the bus for an address of the kernel's, where no struct pci_dev is there to ask. */
#define virt_to_bus(addr) ((unsigned long)__pa(addr))
#define bus_to_virt(addr) __va(addr)

/* Device registers are mapped into the extension's domain: an access is a plain, volatile one. */
static inline u8 readb(const volatile void *addr)
{
	return *(const volatile u8 *)addr;
}

static inline u16 readw(const volatile void *addr)
{
	return *(const volatile u16 *)addr;
}

static inline u32 readl(const volatile void *addr)
{
	return *(const volatile u32 *)addr;
}

static inline void writeb(u8 value, volatile void *addr)
{
	*(volatile u8 *)addr = value;
}

static inline void writew(u16 value, volatile void *addr)
{
	*(volatile u16 *)addr = value;
}

static inline void writel(u32 value, volatile void *addr)
{
	*(volatile u32 *)addr = value;
}

static inline u8 inb(unsigned short port)
{
	u8 value;

	__asm__ __volatile__("inb %w1,%b0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline u16 inw(unsigned short port)
{
	u16 value;

	__asm__ __volatile__("inw %w1,%w0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline u32 inl(unsigned short port)
{
	u32 value;

	__asm__ __volatile__("inl %w1,%0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline void outb(u8 value, unsigned short port)
{
	__asm__ __volatile__("outb %b0,%w1" : : "a"(value), "Nd"(port));
}

static inline void outw(u16 value, unsigned short port)
{
	__asm__ __volatile__("outw %w0,%w1" : : "a"(value), "Nd"(port));
}

static inline void outl(u32 value, unsigned short port)
{
	__asm__ __volatile__("outl %0,%w1" : : "a"(value), "Nd"(port));
}

static inline void insw(unsigned short port, void *addr, unsigned long count)
{
	__asm__ __volatile__("cld; rep; insw" : "+D"(addr), "+c"(count) : "d"(port) : "memory", "cc");
}

static inline void outsw(unsigned short port, const void *addr, unsigned long count)
{
	__asm__ __volatile__("cld; rep; outsw" : "+S"(addr), "+c"(count) : "d"(port) : "memory", "cc");
}

static inline void insl(unsigned short port, void *addr, unsigned long count)
{
	__asm__ __volatile__("cld; rep; insl" : "+D"(addr), "+c"(count) : "d"(port) : "memory", "cc");
}

static inline void outsl(unsigned short port, const void *addr, unsigned long count)
{
	__asm__ __volatile__("cld; rep; outsl" : "+S"(addr), "+c"(count) : "d"(port) : "memory", "cc");
}

#endif
