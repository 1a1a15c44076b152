#ifndef _ASM_BITOPS_H
#define _ASM_BITOPS_H

/* The bit number may lie beyond the first word: the memory forms of bts and its kin address it. */

static inline void set_bit(int nr, volatile void *addr)
{
	__asm__ __volatile__("btsl %1,%0" : "+m"(*(volatile unsigned long *)addr) : "r"(nr) : "memory", "cc");
}

static inline void clear_bit(int nr, volatile void *addr)
{
	__asm__ __volatile__("btrl %1,%0" : "+m"(*(volatile unsigned long *)addr) : "r"(nr) : "memory", "cc");
}

static inline void change_bit(int nr, volatile void *addr)
{
	__asm__ __volatile__("btcl %1,%0" : "+m"(*(volatile unsigned long *)addr) : "r"(nr) : "memory", "cc");
}

static inline int test_and_set_bit(int nr, volatile void *addr)
{
	unsigned char old;

	__asm__ __volatile__("btsl %2,%0; setc %1"
			     : "+m"(*(volatile unsigned long *)addr), "=qm"(old) : "r"(nr) : "memory", "cc");
	return old;
}

static inline int test_and_clear_bit(int nr, volatile void *addr)
{
	unsigned char old;

	__asm__ __volatile__("btrl %2,%0; setc %1"
			     : "+m"(*(volatile unsigned long *)addr), "=qm"(old) : "r"(nr) : "memory", "cc");
	return old;
}

static inline int test_bit(int nr, const volatile void *addr)
{
	return (((const volatile unsigned int *)addr)[nr >> 5] >> (nr & 31)) & 1;
}

#endif
