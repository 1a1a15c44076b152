#ifndef _LINUX_SYSCTL_H
#define _LINUX_SYSCTL_H

#include <linux/list.h>
#include <linux/types.h>

struct ctl_table;

/* Linux passes a struct file too. buffer is the user's; lenp says how long it is, and afterwards how much of it was used. */
typedef int proc_handler(struct ctl_table *ctl, int write, void *buffer, size_t *lenp);

/* An array of these ends with one whose procname is NULL. */
struct ctl_table {
	const char *procname;
	void *data;
	int maxlen;
	unsigned short mode;
	struct ctl_table *child;
	proc_handler *proc_handler;
};

typedef struct ctl_table ctl_table;

struct ctl_table_header {
	struct ctl_table *ctl_table;
	struct list_head ctl_entry;
};

extern struct ctl_table_header *register_sysctl_table(struct ctl_table *table, int insert_at_head);
extern void unregister_sysctl_table(struct ctl_table_header *header);
extern int proc_dointvec(struct ctl_table *table, int write, void *buffer, size_t *lenp);

#endif
