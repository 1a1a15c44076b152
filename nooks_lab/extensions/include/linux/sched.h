#ifndef _LINUX_SCHED_H
#define _LINUX_SCHED_H

#include <linux/capability.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/timer.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <asm/param.h>
#include <asm/processor.h>

#define TASK_RUNNING 0
#define TASK_INTERRUPTIBLE 1
#define TASK_UNINTERRUPTIBLE 2
#define TASK_ZOMBIE 4
#define TASK_STOPPED 8

#define PF_EXITING 0x00000004
#define PF_SUPERPRIV 0x00000100
#define PF_MEMALLOC 0x00000800

struct dentry;
struct files_struct;

typedef struct {
	unsigned long sig[2];
} sigset_t;

struct sigpending {
	sigset_t signal;
};

struct task_struct {
	volatile long state;
	unsigned long flags;
	int sigpending;
	mm_segment_t addr_limit;
	volatile long need_resched;
	long counter;
	struct list_head run_list;
	struct task_struct *next_task, *prev_task;
	struct task_struct *p_pptr;
	int exit_code;
	int exit_signal;
	pid_t pid;
	uid_t uid;
	kernel_cap_t cap_effective;
	char comm[16];
	wait_queue_head_t wait_chldexit;
	unsigned long start_time;
	struct thread_struct thread;
	struct sigpending pending;
	sigset_t blocked;
	struct dentry *pwd;		/* Linux: fs->pwd; NULL is the root */
	struct files_struct *files;
	void *isolation;	/* Nooks: an isolation manager's table of the objects of calls in progress */
};

#define THREAD_SIZE 8192

union task_union {
	struct task_struct task;
	unsigned long stack[THREAD_SIZE / sizeof(long)];
};

/*
 * Linux 2.4 finds the current task by masking %esp, since the task lies at
 * the bottom of its kernel stack. Inside a domain %esp points to a stack of
 * the domain's pool, so Nooks moved the pointer into a variable (paper,
 * section 4.2). Extensions read it in place.
 */
extern struct task_struct *current_task;	/* Nooks: for get_current() */
#define current current_task			/* Nooks: for get_current() */

extern volatile unsigned long jiffies;

extern void schedule(void);
extern signed long schedule_timeout(signed long timeout);
extern void __wake_up(wait_queue_head_t *q, unsigned int mode, int nr);
extern void sleep_on(wait_queue_head_t *q);
extern long sleep_on_timeout(wait_queue_head_t *q, signed long timeout);
extern void interruptible_sleep_on(wait_queue_head_t *q);
extern long interruptible_sleep_on_timeout(wait_queue_head_t *q, signed long timeout);
extern int wake_up_process(struct task_struct *tsk);

/* Writes a task_struct, so it is a function here (see linux/module.h). */
extern void set_task_state(struct task_struct *tsk, long state);	/* Nooks: a macro in Linux */

#define set_current_state(state) set_task_state(current, (state))

#define MAX_SCHEDULE_TIMEOUT 0x7fffffffL

#define wake_up(q) __wake_up((q), TASK_UNINTERRUPTIBLE | TASK_INTERRUPTIBLE, 1)
#define wake_up_all(q) __wake_up((q), TASK_UNINTERRUPTIBLE | TASK_INTERRUPTIBLE, 0)
#define wake_up_interruptible(q) __wake_up((q), TASK_INTERRUPTIBLE, 1)
#define wake_up_interruptible_all(q) __wake_up((q), TASK_INTERRUPTIBLE, 0)

static inline int signal_pending(struct task_struct *tsk)
{
	return tsk->sigpending != 0;
}

/* Unlike Linux's, this does not note the use in current->flags: it only reads. */
static inline int capable(int cap)
{
	return (current->cap_effective >> cap) & 1;
}

struct pt_regs;

extern int request_irq(unsigned int irq, void (*handler)(int irq, void *dev_id, struct pt_regs *regs),
		       unsigned long irqflags, const char *devname, void *dev_id);
extern void free_irq(unsigned int irq, void *dev_id);

#endif
