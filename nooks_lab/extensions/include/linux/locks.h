#ifndef _LINUX_LOCKS_H
#define _LINUX_LOCKS_H

#include <linux/fs.h>

/* They write the kernel's objects, so they are functions here (see linux/module.h). */
extern void lock_buffer(struct buffer_head *bh);	/* Nooks: inline in Linux */
extern void unlock_buffer(struct buffer_head *bh);
extern void lock_super(struct super_block *sb);		/* Nooks: inline in Linux */
extern void unlock_super(struct super_block *sb);	/* Nooks: inline in Linux */

#endif
