#ifndef _LINUX_SLAB_H
#define _LINUX_SLAB_H

#include <linux/mm.h>
#include <linux/types.h>

extern void *kmalloc(size_t size, int flags);
extern void kfree(const void *objp);

#endif
