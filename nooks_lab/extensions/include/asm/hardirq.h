#ifndef _ASM_HARDIRQ_H
#define _ASM_HARDIRQ_H

/* What runs on the CPU now, and which softirqs wait. */
struct irq_cpustat {
	unsigned int softirq_pending;	/* bits of the softirqs that are due */
	unsigned int local_irq_count;	/* interrupt handlers that run */
	unsigned int local_bh_count;	/* softirqs that run */
	unsigned int syscall_count;	/* not used */
};

extern struct irq_cpustat irq_stat;

#define in_interrupt() (irq_stat.local_irq_count + irq_stat.local_bh_count != 0)
#define in_irq() (irq_stat.local_irq_count != 0)

#endif
