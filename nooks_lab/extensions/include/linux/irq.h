#ifndef _LINUX_IRQ_H
#define _LINUX_IRQ_H

#include <linux/interrupt.h>
#include <linux/spinlock.h>

#define IRQ_INPROGRESS 1
#define IRQ_DISABLED 2
#define IRQ_PENDING 4

typedef struct irq_desc {
	unsigned int status;	/* IRQ_... */
	struct irqaction *action;	/* handlers of the line */
	unsigned int depth;	/* of disable_irq */
	spinlock_t lock;	/* the kernel's */
} irq_desc_t;

#endif
