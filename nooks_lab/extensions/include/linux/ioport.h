#ifndef _LINUX_IOPORT_H
#define _LINUX_IOPORT_H

#include <linux/types.h>

struct resource {
	const char *name;	/* who has it */
	unsigned long start, end;	/* first and last */
	unsigned long flags;	/* IORESOURCE_... */
	struct resource *parent, *sibling, *child;	/* the kernel's */
};

#define IORESOURCE_IO 0x00000100
#define IORESOURCE_MEM 0x00000200
#define IORESOURCE_PREFETCH 0x00001000
#define IORESOURCE_BUSY 0x80000000

extern struct resource ioport_resource;
extern struct resource iomem_resource;

extern struct resource *__request_region(struct resource *parent, unsigned long start, unsigned long n,
					 const char *name);
extern void __release_region(struct resource *parent, unsigned long start, unsigned long n);

#define request_region(start, n, name) __request_region(&ioport_resource, (start), (n), (name))
#define request_mem_region(start, n, name) __request_region(&iomem_resource, (start), (n), (name))
#define release_region(start, n) __release_region(&ioport_resource, (start), (n))
#define release_mem_region(start, n) __release_region(&iomem_resource, (start), (n))

#endif
