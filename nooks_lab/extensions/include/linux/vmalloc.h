#ifndef _LINUX_VMALLOC_H
#define _LINUX_VMALLOC_H

#include <linux/types.h>

#define VM_IOREMAP 0x00000001
#define VM_ALLOC 0x00000002

struct vm_struct {
	unsigned long flags;	/* VM_... */
	void *addr;	/* where */
	unsigned long size;	/* bytes, the guard page included */
	struct vm_struct *next;	/* by address */
};

extern void *vmalloc(unsigned long size);
extern void vfree(void *addr);

#endif
