#ifndef _MSDOS_FS_I
#define _MSDOS_FS_I

#include <linux/list.h>
#include <linux/types.h>

struct inode;

/* The FAT filesystems' part of an inode. */
struct msdos_inode_info {
	unsigned long mmu_private;	/* bytes of the file that have clusters */
	int i_start;			/* first cluster, 0 for none */
	int i_logstart;
	int i_attrs;			/* unused attribute bits of the directory entry */
	int i_ctime_ms;
	int i_binary;
	loff_t i_location;		/* where the directory entry is on disk, or 0 */
	struct inode *i_fat_inode;
	struct list_head i_fat_hash;	/* by i_location */
};

#endif
