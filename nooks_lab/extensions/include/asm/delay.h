#ifndef _ASM_DELAY_H
#define _ASM_DELAY_H

extern void __udelay(unsigned long usecs);

#define udelay(usecs) __udelay(usecs)

#endif
