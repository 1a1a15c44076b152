#ifndef _LINUX_BLKDEV_H
#define _LINUX_BLKDEV_H

#include <linux/fs.h>
#include <linux/kdev_t.h>
#include <linux/list.h>
#include <linux/major.h>

/* A stretch of sectors to read or write, and the buffers that hold them, in order. */
struct request {
	struct list_head queue;
	kdev_t rq_dev;
	int cmd;			/* READ or WRITE */
	int errors;
	unsigned long sector;		/* of 512 bytes, on the whole disk */
	unsigned long nr_sectors;
	struct buffer_head *bh;
	struct buffer_head *bhtail;
};

/* Sizes of disks in sectors of 512 bytes, and their own sector sizes in bytes, by minor number. */
#define BLK_SECTOR_BITS 9

#endif
