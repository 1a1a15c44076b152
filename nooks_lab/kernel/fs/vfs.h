/*
 * The data of the filesystem layer, the buffer cache and the IDE driver that
 * extensions do not see, and the kernel functions that only the kernel itself
 * points to.
 */
#ifndef _FS_VFS_H
#define _FS_VFS_H

#include <linux/blkdev.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/kdev_t.h>
#include <linux/locks.h>
#include <linux/major.h>
#include <linux/pagemap.h>
#include <linux/poll.h>
#include <linux/smp_lock.h>
#include <linux/time.h>
#include <linux/timer.h>
#include <linux/vfs.h>
#include <asm/semaphore.h>

#define BUFFER_HASH_SIZE 512
#define NR_SIZES 4		/* buffers of 512, 1024, 2048 and 4096 bytes */
#define PAGE_HASH_SIZE 512
#define INODE_HASH_SIZE 128
#define DENTRY_HASH_SIZE 256
#define IDE_MINORS 5		/* the disk, and the four entries of its partition table */

/* A process's open files. */
struct files_struct {
	struct file *fd[NR_OPEN];
};

/* Where readdir has got to in a process's buffer. */
struct getdents_callback64 {
	char *current_dir;
	unsigned int count;
	int error;
};

struct linux_dirent64 {
	u64 d_ino;
	s64 d_off;
	unsigned short d_reclen;
	unsigned char d_type;
	char d_name[1];
};

struct char_device {
	const char *name;
	struct file_operations *fops;
};

struct hd_struct {
	unsigned long start_sect;
	unsigned long nr_sects;
	unsigned long blocksize;
};

/* One channel: its queue, and the request that the drive works on. */
struct ide_hwgroup {
	struct list_head queue;
	struct request *rq;
	unsigned int errors;		/* of this request so far */
	unsigned int bm_base;		/* ports of the bus master; 0: there is no controller */
	unsigned long capacity;		/* sectors */
	void *dma_table;
	struct timer_list timer;
};

extern void ide_intr(int irq, void *dev_id, struct pt_regs *regs);
extern void ide_timer_expiry(unsigned long data);
extern void end_buffer_io_sync(struct buffer_head *bh, int uptodate);
extern void end_buffer_io_async(struct buffer_head *bh, int uptodate);

/* A process in poll() stands on a queue by each entry; the entries fill the rest of the page. */
struct poll_table_entry {
	struct file *filp;
	wait_queue_t wait;
	wait_queue_head_t *wait_address;
};

struct poll_table_page {
	struct poll_table_page *next;
	struct poll_table_entry *entry;		/* the next free one */
};

extern int chrdev_open(struct inode *inode, struct file *file);

extern int bad_inode_create(struct inode *dir, struct dentry *dentry, int mode);
extern struct dentry *bad_inode_lookup(struct inode *dir, struct dentry *dentry);
extern int bad_inode_unlink(struct inode *dir, struct dentry *dentry);
extern int bad_inode_mknod(struct inode *dir, struct dentry *dentry, int mode, int rdev);
extern int bad_inode_rename(struct inode *old_dir, struct dentry *old_dentry,
			    struct inode *new_dir, struct dentry *new_dentry);
extern int bad_inode_permission(struct inode *inode, int mask);
extern int bad_inode_revalidate(struct dentry *dentry);
extern int bad_inode_setattr(struct dentry *dentry, struct iattr *attr);
extern loff_t bad_file_llseek(struct file *file, loff_t offset, int origin);
extern ssize_t bad_file_read(struct file *file, char *buf, size_t count, loff_t *ppos);
extern ssize_t bad_file_write(struct file *file, const char *buf, size_t count, loff_t *ppos);
extern int bad_file_readdir(struct file *file, void *dirent, filldir_t filldir);
extern unsigned int bad_file_poll(struct file *file, struct poll_table_struct *wait);
extern int bad_file_ioctl(struct inode *inode, struct file *file, unsigned int cmd, unsigned long arg);
extern int bad_file_open(struct inode *inode, struct file *file);
extern int bad_file_fsync(struct file *file, struct dentry *dentry, int datasync);

extern struct super_block *ramfs_read_super(struct super_block *sb, void *data, int silent);
extern int ramfs_create(struct inode *dir, struct dentry *dentry, int mode);
extern struct dentry *ramfs_lookup(struct inode *dir, struct dentry *dentry);
extern int ramfs_unlink(struct inode *dir, struct dentry *dentry);
extern int ramfs_mkdir(struct inode *dir, struct dentry *dentry, int mode);
extern int ramfs_rmdir(struct inode *dir, struct dentry *dentry);
extern int ramfs_mknod(struct inode *dir, struct dentry *dentry, int mode, int rdev);
extern int ramfs_rename(struct inode *old_dir, struct dentry *old_dentry,
			struct inode *new_dir, struct dentry *new_dentry);
extern int ramfs_readpage(struct file *file, struct page *page);
extern int ramfs_prepare_write(struct file *file, struct page *page, unsigned from, unsigned to);
extern int ramfs_commit_write(struct file *file, struct page *page, unsigned from, unsigned to);
extern int ramfs_statfs(struct super_block *sb, struct statfs *buf);
extern int ramfs_fsync(struct file *file, struct dentry *dentry, int datasync);
extern int dcache_readdir(struct file *file, void *dirent, filldir_t filldir);


#endif
