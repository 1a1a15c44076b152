#ifndef _LINUX_SPINLOCK_H
#define _LINUX_SPINLOCK_H

#include <linux/compiler.h>
#include <asm/atomic.h>
#include <asm/system.h>

/*
 * One processor: nobody can hold a lock while another spins, so a lock is
 * what keeps interrupts out and no more. The word is there because C has
 * no empty structures.
 */
typedef struct {
	unsigned int lock;
} spinlock_t;

#define SPIN_LOCK_UNLOCKED (spinlock_t) { 0 }

#define spin_lock_init(x) do { (x)->lock = 0; } while (0)

#define spin_lock(x) do { (void)(x); barrier(); } while (0)
#define spin_unlock(x) do { (void)(x); barrier(); } while (0)
#define spin_lock_irq(x) do { (void)(x); cli(); } while (0)
#define spin_unlock_irq(x) do { (void)(x); sti(); } while (0)
#define spin_lock_irqsave(x, flags) do { (void)(x); local_irq_save(flags); } while (0)
#define spin_unlock_irqrestore(x, flags) do { (void)(x); local_irq_restore(flags); } while (0)

#endif
