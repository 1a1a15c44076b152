#ifndef _LINUX_HIGHMEM_H
#define _LINUX_HIGHMEM_H

#include <linux/mm.h>

/* All memory is mapped where it lies: there is none beyond the kernel's window. */
#define kmap(page) page_address(page)
#define kunmap(page) do { (void)(page); } while (0)
#define flush_dcache_page(page) do { (void)(page); } while (0)

#endif
