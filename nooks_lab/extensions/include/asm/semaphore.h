#ifndef _ASM_SEMAPHORE_H
#define _ASM_SEMAPHORE_H

#include <linux/wait.h>
#include <asm/atomic.h>

/* count: how many may still enter; sleepers: how many wait. */
struct semaphore {
	atomic_t count;
	int sleepers;
	wait_queue_head_t wait;
};

#define __SEMAPHORE_INITIALIZER(name, n) \
	{ .count = ATOMIC_INIT(n), .sleepers = 0, .wait = __WAIT_QUEUE_HEAD_INITIALIZER((name).wait) }
#define DECLARE_MUTEX(name) struct semaphore name = __SEMAPHORE_INITIALIZER(name, 1)
#define DECLARE_MUTEX_LOCKED(name) struct semaphore name = __SEMAPHORE_INITIALIZER(name, 0)

static inline void sema_init(struct semaphore *sem, int val)
{
	atomic_set(&sem->count, val);
	sem->sleepers = 0;
	init_waitqueue_head(&sem->wait);
}

#define init_MUTEX(sem) sema_init((sem), 1)
#define init_MUTEX_LOCKED(sem) sema_init((sem), 0)

extern void down(struct semaphore *sem);		/* Nooks: inline in Linux */
extern int down_interruptible(struct semaphore *sem);	/* Nooks: inline in Linux */
extern int down_trylock(struct semaphore *sem);		/* Nooks: inline in Linux */
extern void up(struct semaphore *sem);			/* Nooks: inline in Linux */

#endif
