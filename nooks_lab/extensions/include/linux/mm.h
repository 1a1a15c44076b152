#ifndef _LINUX_MM_H
#define _LINUX_MM_H

#include <linux/list.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <asm/atomic.h>
#include <asm/bitops.h>
#include <asm/page.h>

struct address_space;
struct buffer_head;

/* private: the order of a free block while the page heads one in the buddy lists. */
struct page {
	struct list_head list;	/* the allocator's lists, or those of the mapping */
	struct address_space *mapping;	/* page cache: whose page, */
	unsigned long index;	/* and which of it, in pages */
	struct page *next_hash;	/* page cache: the hash chain */
	struct page **pprev_hash;	/* page cache: what points to it there */
	unsigned long flags;	/* bits PG_... */
	atomic_t count;	/* who has it; 0 is free */
	struct list_head lru;	/* page cache: by last use */
	wait_queue_head_t wait;	/* who waits for PG_locked */
	struct buffer_head *buffers;	/* a ring, linked by b_this_page */
	unsigned long private;	/* the order of a free block */
	void *virtual;	/* its address */
};

#define PG_locked 0
#define PG_error 1
#define PG_referenced 2
#define PG_uptodate 3
#define PG_dirty 4
#define PG_slab 8
#define PG_reserved 14

extern struct page *mem_map;

#define virt_to_page(kaddr) (mem_map + (__pa(kaddr) >> PAGE_SHIFT))
#define page_address(page) ((page)->virtual)

#define PageLocked(page) test_bit(PG_locked, &(page)->flags)
#define PageError(page) test_bit(PG_error, &(page)->flags)
#define Page_Uptodate(page) test_bit(PG_uptodate, &(page)->flags)
#define PageDirty(page) test_bit(PG_dirty, &(page)->flags)

/* They write a struct page, so they are functions here (see linux/module.h). */
extern void SetPageUptodate(struct page *page);		/* Nooks: a macro in Linux */
extern void ClearPageUptodate(struct page *page);	/* Nooks: a macro in Linux */
extern void SetPageError(struct page *page);		/* Nooks: a macro in Linux */
extern void set_page_dirty(struct page *page);
extern void lock_page(struct page *page);
extern void unlock_page(struct page *page);

#define UnlockPage(page) unlock_page(page)

#define __GFP_DMA 0x01
#define __GFP_WAIT 0x10
#define __GFP_HIGH 0x20
#define __GFP_IO 0x40
#define __GFP_HIGHIO 0x80
#define __GFP_FS 0x100

#define GFP_ATOMIC (__GFP_HIGH)
#define GFP_NOIO (__GFP_HIGH | __GFP_WAIT)
#define GFP_NOFS (__GFP_HIGH | __GFP_WAIT | __GFP_IO | __GFP_HIGHIO)
#define GFP_KERNEL (__GFP_HIGH | __GFP_WAIT | __GFP_IO | __GFP_HIGHIO | __GFP_FS)
#define GFP_DMA __GFP_DMA

extern unsigned long __get_free_pages(unsigned int gfp_mask, unsigned int order);
extern void free_pages(unsigned long addr, unsigned int order);

#define __get_free_page(gfp_mask) __get_free_pages((gfp_mask), 0)
#define free_page(addr) free_pages((addr), 0)

#endif
