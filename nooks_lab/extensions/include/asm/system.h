#ifndef _ASM_SYSTEM_H
#define _ASM_SYSTEM_H

#include <linux/compiler.h>

/*
 * Real instructions, also inside a domain: ring 0 stays ring 0 (paper,
 * section 3.1), and an extension that leaves interrupts off really does.
 */
#define save_flags(x) __asm__ __volatile__("pushfl ; popl %0" : "=g"(x) : : "memory")
#define restore_flags(x) __asm__ __volatile__("pushl %0 ; popfl" : : "g"(x) : "memory", "cc")
#define cli() __asm__ __volatile__("cli" : : : "memory")
#define sti() __asm__ __volatile__("sti" : : : "memory")

#define local_irq_save(x) do { save_flags(x); cli(); } while (0)
#define local_irq_restore(x) restore_flags(x)
#define local_irq_disable() cli()
#define local_irq_enable() sti()

/* A locked instruction orders loads and stores on every i686; stores alone stay in order. */
#define mb() __asm__ __volatile__("lock; addl $0,0(%%esp)" : : : "memory", "cc")
#define rmb() mb()
#define wmb() barrier()

#endif
