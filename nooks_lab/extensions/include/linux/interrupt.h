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
	void (*handler)(int irq, void *dev_id, struct pt_regs *regs);	/* interrupt: see to the device */
	unsigned long flags;	/* SA_... */
	unsigned long mask;	/* not used */
	const char *name;	/* for show */
	void *dev_id;	/* handed to the handler */
	struct irqaction *next;	/* of the same line */
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
