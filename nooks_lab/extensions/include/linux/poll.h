#ifndef _LINUX_POLL_H
#define _LINUX_POLL_H

#include <linux/fs.h>
#include <linux/wait.h>
#include <asm/poll.h>

struct poll_table_page;

/* What a driver's poll gets: where to note the queues that the caller shall wait on. NULL: it will not wait. */
typedef struct poll_table_struct {
	int error;
	struct poll_table_page *table;
} poll_table;

extern void __pollwait(struct file *filp, wait_queue_head_t *wait_address, poll_table *p);

static inline void poll_wait(struct file *filp, wait_queue_head_t *wait_address, poll_table *p)
{
	if (p && wait_address)
		__pollwait(filp, wait_address, p);
}

#endif
