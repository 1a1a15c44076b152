#ifndef _LINUX_PAGEMAP_H
#define _LINUX_PAGEMAP_H

#include <linux/fs.h>
#include <linux/mm.h>

#define PAGE_CACHE_SHIFT PAGE_SHIFT
#define PAGE_CACHE_SIZE PAGE_SIZE
#define PAGE_CACHE_MASK PAGE_MASK
#define PAGE_CACHE_ALIGN(addr) PAGE_ALIGN(addr)

extern struct page *find_get_page(struct address_space *mapping, unsigned long index);	/* Nooks: a macro in Linux */
extern struct page *grab_cache_page(struct address_space *mapping, unsigned long index);
extern struct page *read_cache_page(struct address_space *mapping, unsigned long index,
				    int (*filler)(void *data, struct page *page), void *data);
extern void page_cache_release(struct page *page);	/* Nooks: a macro in Linux */
extern void truncate_inode_pages(struct address_space *mapping, loff_t lstart);

#endif
