#ifndef _LINUX_IRQ_H
#define _LINUX_IRQ_H

#include <linux/interrupt.h>
#include <linux/spinlock.h>

#define IRQ_INPROGRESS 1
#define IRQ_DISABLED 2
#define IRQ_PENDING 4

typedef struct irq_desc {
	unsigned int status;
	struct irqaction *action;
	unsigned int depth;
	spinlock_t lock;
} irq_desc_t;

#endif
