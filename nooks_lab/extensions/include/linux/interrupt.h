#ifndef _LINUX_INTERRUPT_H
#define _LINUX_INTERRUPT_H

#include <linux/kernel.h>
#include <linux/sched.h>
#include <asm/hardirq.h>
#include <asm/irq.h>
#include <asm/ptrace.h>

#define SA_INTERRUPT 0x20000000
#define SA_SHIRQ 0x04000000

struct irqaction {
	void (*handler)(int irq, void *dev_id, struct pt_regs *regs);
	unsigned long flags;
	unsigned long mask;
	const char *name;
	void *dev_id;
	struct irqaction *next;
};

enum {
	HI_SOFTIRQ = 0,
	NET_TX_SOFTIRQ,
	NET_RX_SOFTIRQ,
	TASKLET_SOFTIRQ
};

/* Writes what the kernel owns, as in Linux; see dev_kfree_skb_irq. Interrupts must be off. */
#define __cpu_raise_softirq(nr) (irq_stat.softirq_pending |= 1UL << (nr))

#endif
