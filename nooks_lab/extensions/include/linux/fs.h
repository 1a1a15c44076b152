#ifndef _LINUX_FS_H
#define _LINUX_FS_H

#include <linux/dcache.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/kdev_t.h>
#include <linux/limits.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <linux/stat.h>
#include <linux/time.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <asm/atomic.h>
#include <asm/bitops.h>
#include <asm/semaphore.h>
#include <asm/statfs.h>

#define BLOCK_SIZE_BITS 10
#define BLOCK_SIZE (1 << BLOCK_SIZE_BITS)

#define NR_OPEN 64

#define FMODE_READ 1
#define FMODE_WRITE 2

#define READ 0
#define WRITE 1
#define READA 2

#define MAY_EXEC 1
#define MAY_WRITE 2
#define MAY_READ 4

#define FS_REQUIRES_DEV 1
#define FS_NOMOUNT 16
#define FS_LITTER 32	/* names that exist in memory only are in use until umount */
#define FS_SINGLE 8

#define MS_RDONLY 1
#define MS_NOSUID 2
#define MS_NODEV 4
#define MS_NOEXEC 8
#define MS_SYNCHRONOUS 16
#define MS_NOATIME 1024
#define MS_NODIRATIME 2048

#define S_SYNC 1
#define S_NOATIME 2
#define S_APPEND 4
#define S_IMMUTABLE 8
#define S_DEAD 16

#define IS_RDONLY(inode) ((inode)->i_sb->s_flags & MS_RDONLY)
#define IS_SYNC(inode) (((inode)->i_sb->s_flags & MS_SYNCHRONOUS) || ((inode)->i_flags & S_SYNC))
#define IS_IMMUTABLE(inode) ((inode)->i_flags & S_IMMUTABLE)
#define IS_APPEND(inode) ((inode)->i_flags & S_APPEND)
#define IS_DEADDIR(inode) ((inode)->i_flags & S_DEAD)

#define MAX_NON_LFS ((1UL << 31) - 1)

/* A pointer that may be an error number instead: the last page of addresses is never mapped. */
static inline void *ERR_PTR(long error)
{
	return (void *)error;
}

static inline long PTR_ERR(const void *ptr)
{
	return (long)ptr;
}

static inline long IS_ERR(const void *ptr)
{
	return (unsigned long)ptr > (unsigned long)-1000L;
}

struct address_space;
struct block_device;
struct buffer_head;
struct file;
struct file_operations;
struct inode;
struct inode_operations;
struct module;
struct page;
struct poll_table_struct;
struct super_block;
struct super_operations;

/* Bits of buffer_head.b_state. */
enum bh_state_bits {
	BH_Uptodate,
	BH_Dirty,
	BH_Lock,
	BH_Req,		/* has been submitted for I/O */
	BH_Mapped,	/* b_dev and b_blocknr say where on disk it is */
	BH_New,		/* mapped just now, to a block that was free */
	BH_Async,
};

#define BUF_CLEAN 0
#define BUF_LOCKED 1
#define BUF_DIRTY 2
#define NR_LIST 3

struct buffer_head {
	struct buffer_head *b_next;	/* hash chain */
	unsigned long b_blocknr;
	unsigned short b_size;		/* bytes */
	unsigned short b_list;		/* which of the lists of buffers */
	kdev_t b_dev;
	atomic_t b_count;
	kdev_t b_rdev;
	unsigned long b_state;
	unsigned long b_flushtime;	/* jiffies when a dirty one shall be written */
	struct list_head b_lru;		/* Linux: b_next_free and b_prev_free */
	struct buffer_head *b_this_page;	/* ring of the page's buffers */
	struct buffer_head *b_reqnext;	/* next in the request */
	struct buffer_head **b_pprev;
	char *b_data;
	struct page *b_page;
	void (*b_end_io)(struct buffer_head *bh, int uptodate);
	void *b_private;
	unsigned long b_rsector;	/* where on the whole disk */
	wait_queue_head_t b_wait;
	struct inode *b_inode;
	struct list_head b_inode_buffers;	/* dirty ones, in the inode's i_dirty_buffers */
};

#define buffer_uptodate(bh) test_bit(BH_Uptodate, &(bh)->b_state)
#define buffer_dirty(bh) test_bit(BH_Dirty, &(bh)->b_state)
#define buffer_locked(bh) test_bit(BH_Lock, &(bh)->b_state)
#define buffer_req(bh) test_bit(BH_Req, &(bh)->b_state)
#define buffer_mapped(bh) test_bit(BH_Mapped, &(bh)->b_state)
#define buffer_new(bh) test_bit(BH_New, &(bh)->b_state)

struct address_space_operations {
	int (*writepage)(struct page *page);
	int (*readpage)(struct file *file, struct page *page);
	int (*prepare_write)(struct file *file, struct page *page, unsigned from, unsigned to);
	int (*commit_write)(struct file *file, struct page *page, unsigned from, unsigned to);
	int (*bmap)(struct address_space *mapping, long block);
};

struct address_space {
	struct list_head clean_pages;
	struct list_head dirty_pages;
	struct list_head locked_pages;
	unsigned long nrpages;
	struct address_space_operations *a_ops;
	struct inode *host;
};

struct block_device {
	struct list_head bd_hash;
	atomic_t bd_count;
	kdev_t bd_dev;
	int bd_openers;
	struct semaphore bd_sem;
};

struct inode {
	struct list_head i_hash;
	struct list_head i_list;	/* in use, unused, or dirty */
	struct list_head i_dentry;
	struct list_head i_dirty_buffers;
	unsigned long i_ino;
	atomic_t i_count;
	kdev_t i_dev;
	umode_t i_mode;
	nlink_t i_nlink;
	uid_t i_uid;
	gid_t i_gid;
	kdev_t i_rdev;
	loff_t i_size;
	time_t i_atime;
	time_t i_mtime;
	time_t i_ctime;
	unsigned long i_blksize;
	unsigned long i_blocks;		/* of 512 bytes */
	unsigned long i_version;
	struct semaphore i_sem;
	struct semaphore i_zombie;
	struct inode_operations *i_op;
	struct file_operations *i_fop;
	struct super_block *i_sb;
	wait_queue_head_t i_wait;
	struct address_space *i_mapping;
	struct address_space i_data;
	struct block_device *i_bdev;
	unsigned long i_state;
	unsigned int i_flags;
	atomic_t i_writecount;
	__u32 i_generation;
	union {
		void *generic_ip;
	} u;
};

/* Bits of inode.i_state. */
#define I_DIRTY_SYNC 1
#define I_DIRTY_DATASYNC 2
#define I_DIRTY_PAGES 4
#define I_LOCK 8
#define I_FREEING 16
#define I_CLEAR 32
#define I_DIRTY (I_DIRTY_SYNC | I_DIRTY_DATASYNC | I_DIRTY_PAGES)

struct file {
	struct list_head f_list;	/* in the super block's s_files */
	struct dentry *f_dentry;
	struct vfsmount *f_vfsmnt;
	struct file_operations *f_op;
	atomic_t f_count;
	unsigned int f_flags;
	mode_t f_mode;
	loff_t f_pos;
	unsigned int f_uid, f_gid;
	int f_error;
	unsigned long f_version;
	void *private_data;
};

/* What a filesystem's readdir calls for each entry; not 0 means that the buffer is full. */
typedef int (*filldir_t)(void *buf, const char *name, int namlen, loff_t offset, ino_t ino, unsigned d_type);

/* The one that the kernel passes. */
extern int filldir64(void *buf, const char *name, int namlen, loff_t offset, ino_t ino, unsigned d_type);

#define DT_UNKNOWN 0
#define DT_CHR 2
#define DT_DIR 4
#define DT_BLK 6
#define DT_REG 8

struct file_operations {
	struct module *owner;
	loff_t (*llseek)(struct file *file, loff_t offset, int origin);
	ssize_t (*read)(struct file *file, char *buf, size_t count, loff_t *ppos);
	ssize_t (*write)(struct file *file, const char *buf, size_t count, loff_t *ppos);
	int (*readdir)(struct file *file, void *dirent, filldir_t filldir);
	unsigned int (*poll)(struct file *file, struct poll_table_struct *wait);
	int (*ioctl)(struct inode *inode, struct file *file, unsigned int cmd, unsigned long arg);
	int (*open)(struct inode *inode, struct file *file);
	int (*flush)(struct file *file);
	int (*release)(struct inode *inode, struct file *file);
	int (*fsync)(struct file *file, struct dentry *dentry, int datasync);
};

/* Flags for notify_change: which members of the iattr count. */
#define ATTR_MODE 1
#define ATTR_UID 2
#define ATTR_GID 4
#define ATTR_SIZE 8
#define ATTR_ATIME 16
#define ATTR_MTIME 32
#define ATTR_CTIME 64
#define ATTR_ATIME_SET 128
#define ATTR_MTIME_SET 256
#define ATTR_FORCE 512

struct iattr {
	unsigned int ia_valid;
	umode_t ia_mode;
	uid_t ia_uid;
	gid_t ia_gid;
	loff_t ia_size;
	time_t ia_atime;
	time_t ia_mtime;
	time_t ia_ctime;
};

struct inode_operations {
	int (*create)(struct inode *dir, struct dentry *dentry, int mode);
	struct dentry *(*lookup)(struct inode *dir, struct dentry *dentry);
	int (*unlink)(struct inode *dir, struct dentry *dentry);
	int (*mkdir)(struct inode *dir, struct dentry *dentry, int mode);
	int (*rmdir)(struct inode *dir, struct dentry *dentry);
	int (*mknod)(struct inode *dir, struct dentry *dentry, int mode, int rdev);
	int (*rename)(struct inode *old_dir, struct dentry *old_dentry,
		      struct inode *new_dir, struct dentry *new_dentry);
	void (*truncate)(struct inode *inode);
	int (*permission)(struct inode *inode, int mask);
	int (*revalidate)(struct dentry *dentry);
	int (*setattr)(struct dentry *dentry, struct iattr *attr);
};

struct super_operations {
	void (*read_inode)(struct inode *inode);
	void (*write_inode)(struct inode *inode, int sync);
	void (*put_inode)(struct inode *inode);
	void (*delete_inode)(struct inode *inode);	/* ends with clear_inode() */
	void (*put_super)(struct super_block *sb);
	void (*write_super)(struct super_block *sb);
	int (*statfs)(struct super_block *sb, struct statfs *buf);
	void (*clear_inode)(struct inode *inode);
};

struct file_system_type;

struct super_block {
	struct list_head s_list;
	kdev_t s_dev;
	unsigned long s_blocksize;
	unsigned char s_blocksize_bits;
	unsigned char s_dirt;
	unsigned long long s_maxbytes;
	struct file_system_type *s_type;
	struct super_operations *s_op;
	unsigned long s_flags;
	unsigned long s_magic;
	struct dentry *s_root;
	struct semaphore s_lock;
	int s_count;
	atomic_t s_active;
	struct list_head s_dirty;	/* inodes */
	struct list_head s_files;
	struct block_device *s_bdev;
	struct list_head s_instances;
	union {
		void *generic_sbp;
	} u;
};

struct file_system_type {
	const char *name;
	int fs_flags;
	struct super_block *(*read_super)(struct super_block *sb, void *data, int silent);
	struct module *owner;
	struct file_system_type *next;
	struct list_head fs_supers;
};

#define DECLARE_FSTYPE(var, type, read, flags) \
	struct file_system_type var = { \
		.name = (type), .read_super = (read), .fs_flags = (flags), .owner = THIS_MODULE }
#define DECLARE_FSTYPE_DEV(var, type, read) DECLARE_FSTYPE(var, type, read, FS_REQUIRES_DEV)

extern int register_filesystem(struct file_system_type *fs);
extern int unregister_filesystem(struct file_system_type *fs);

extern int register_chrdev(unsigned int major, const char *name, struct file_operations *fops);
extern int unregister_chrdev(unsigned int major, const char *name);

/* The buffer cache. */
extern struct buffer_head *getblk(kdev_t dev, int block, int size);
extern struct buffer_head *get_hash_table(kdev_t dev, int block, int size);
extern struct buffer_head *bread(kdev_t dev, int block, int size);
extern void __brelse(struct buffer_head *bh);
extern void __bforget(struct buffer_head *bh);
extern void ll_rw_block(int rw, int nr, struct buffer_head *bhs[]);
extern void __wait_on_buffer(struct buffer_head *bh);
extern void mark_buffer_dirty(struct buffer_head *bh);
extern void mark_buffer_dirty_inode(struct buffer_head *bh, struct inode *inode);	/* Nooks: inline in Linux */
extern void mark_buffer_clean(struct buffer_head *bh);		/* Nooks: inline in Linux */
extern void mark_buffer_uptodate(struct buffer_head *bh, int on);	/* Nooks: inline in Linux */
extern int set_blocksize(kdev_t dev, int size);
extern int get_hardsect_size(kdev_t dev);	/* Nooks: inline in Linux */
extern int is_read_only(kdev_t dev);
extern int fsync_dev(kdev_t dev);
extern int fsync_inode_buffers(struct inode *inode);
extern int file_fsync(struct file *file, struct dentry *dentry, int datasync);

static inline void brelse(struct buffer_head *bh)
{
	if (bh)
		__brelse(bh);
}

static inline void bforget(struct buffer_head *bh)
{
	if (bh)
		__bforget(bh);
}

static inline void wait_on_buffer(struct buffer_head *bh)
{
	if (buffer_locked(bh))
		__wait_on_buffer(bh);
}

static inline struct buffer_head *sb_bread(struct super_block *sb, int block)
{
	return bread(sb->s_dev, block, sb->s_blocksize);
}

static inline struct buffer_head *sb_getblk(struct super_block *sb, int block)
{
	return getblk(sb->s_dev, block, sb->s_blocksize);
}

static inline struct buffer_head *sb_get_hash_table(struct super_block *sb, int block)
{
	return get_hash_table(sb->s_dev, block, sb->s_blocksize);
}

/* Where on disk a block of a file is: the filesystem fills b_dev, b_blocknr and b_state of bh_result. */
typedef int (get_block_t)(struct inode *inode, long iblock, struct buffer_head *bh_result, int create);

extern int block_read_full_page(struct page *page, get_block_t *get_block);
extern int block_write_full_page(struct page *page, get_block_t *get_block);
extern int block_prepare_write(struct page *page, unsigned from, unsigned to, get_block_t *get_block);
extern int cont_prepare_write(struct page *page, unsigned from, unsigned to, get_block_t *get_block,
			      unsigned long *bytes);
extern int generic_commit_write(struct file *file, struct page *page, unsigned from, unsigned to);
extern int generic_block_bmap(struct address_space *mapping, long block, get_block_t *get_block);
extern int block_truncate_page(struct address_space *mapping, loff_t from, get_block_t *get_block);

/* Files. */
extern struct file *filp_open(const char *filename, int flags, int mode);
extern int filp_close(struct file *filp, void *id);
extern int kernel_read(struct file *file, unsigned long offset, char *addr, unsigned long count);
extern loff_t generic_file_llseek(struct file *file, loff_t offset, int origin);
extern ssize_t generic_file_read(struct file *file, char *buf, size_t count, loff_t *ppos);
extern ssize_t generic_file_write(struct file *file, const char *buf, size_t count, loff_t *ppos);
extern ssize_t generic_read_dir(struct file *file, char *buf, size_t count, loff_t *ppos);
extern loff_t no_llseek(struct file *file, loff_t offset, int origin);

/* Inodes. */
extern struct inode *new_inode(struct super_block *sb);
extern struct inode *iget4(struct super_block *sb, unsigned long ino,
			   int (*find_actor)(struct inode *inode, unsigned long ino, void *opaque), void *opaque);
extern struct inode *igrab(struct inode *inode);
extern void iput(struct inode *inode);
extern ino_t iunique(struct super_block *sb, ino_t max_reserved);
extern void insert_inode_hash(struct inode *inode);
extern void remove_inode_hash(struct inode *inode);
extern void clear_inode(struct inode *inode);
extern void make_bad_inode(struct inode *inode);
extern int is_bad_inode(struct inode *inode);
extern void __mark_inode_dirty(struct inode *inode, int flags);
extern void write_inode_now(struct inode *inode, int sync);
extern void init_special_inode(struct inode *inode, umode_t mode, int rdev);
extern void update_atime(struct inode *inode);
extern int inode_change_ok(struct inode *inode, struct iattr *attr);
extern int inode_setattr(struct inode *inode, struct iattr *attr);
extern int notify_change(struct dentry *dentry, struct iattr *attr);
extern int vmtruncate(struct inode *inode, loff_t offset);
extern int vfs_permission(struct inode *inode, int mask);

#define mark_inode_dirty(inode) __mark_inode_dirty((inode), I_DIRTY)
#define mark_inode_dirty_sync(inode) __mark_inode_dirty((inode), I_DIRTY_SYNC)
#define UPDATE_ATIME(inode) update_atime(inode)

static inline struct inode *iget(struct super_block *sb, unsigned long ino)
{
	return iget4(sb, ino, NULL, NULL);
}

#endif
