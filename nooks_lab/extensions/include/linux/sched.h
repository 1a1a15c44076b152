#ifndef _LINUX_SCHED_H
#define _LINUX_SCHED_H

#include <linux/capability.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/signal.h>
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

#define CLONE_VM 0x00000100
#define CLONE_FS 0x00000200
#define CLONE_FILES 0x00000400
#define CLONE_SIGHAND 0x00000800

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
	volatile long state;	/* TASK_...: set_current_state */
	unsigned long flags;	/* PF_... */
	int sigpending;	/* signal_pending(current) */
	mm_segment_t addr_limit;	/* the kernel's */
	volatile long need_resched;	/* the kernel's */
	long counter;	/* the kernel's */
	struct list_head run_list;	/* the kernel's */
	struct task_struct *next_task, *prev_task;	/* all tasks */
	struct task_struct *p_pptr;	/* parent */
	int exit_code;	/* once it has ended */
	int exit_signal;	/* the kernel's */
	pid_t pid;	/* number of the process */
	uid_t uid;	/* whose */
	kernel_cap_t cap_effective;	/* capable(CAP_...) */
	char comm[16];	/* name of its program */
	wait_queue_head_t wait_chldexit;	/* the kernel's */
	unsigned long start_time;	/* jiffies */
	struct thread_struct thread;	/* the kernel's */
	struct sigpending pending;	/* the kernel's */
	sigset_t blocked;	/* the kernel's */
	struct dentry *pwd;	/* the kernel's; Linux: fs->pwd, and NULL is the root */
	struct files_struct *files;	/* the kernel's */
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

/* A thread of the kernel's: runs fn(arg) and ends when that returns. The result is its pid. */
extern int kernel_thread(int (*fn)(void *), void *arg, unsigned long flags);
extern void daemonize(void);
extern int kill_proc(pid_t pid, int sig, int priv);
extern void flush_signals(struct task_struct *tsk);

/* At the top of a kernel thread's stack: what it was started with. */
struct kthread_start {
	int (*fn)(void *arg);
	void *arg;
};

/* These write the current task, so they are functions here (see linux/module.h). */
extern void set_task_comm(struct task_struct *tsk, const char *name);	/* Nooks: a strcpy in Linux */

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
