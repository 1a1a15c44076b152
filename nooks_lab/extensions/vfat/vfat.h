/* The driver's own structures: what it keeps of a mounted volume, and of an inode in use. */
#ifndef _VFAT_H
#define _VFAT_H

#include <linux/fs.h>
#include <linux/list.h>
#include <linux/types.h>
#include <asm/semaphore.h>

/* How short names are shown, and when a name gets slots of its own beside them. */
#define SHORTNAME_DISPLAY_LOWER 0x01
#define SHORTNAME_DISPLAY_WINNT 0x02
#define SHORTNAME_CREATE_WINNT 0x10

#define FAT_HASH_SIZE 64

struct vfat_options {
	uid_t uid;
	gid_t gid;
	unsigned short umask;
	unsigned short shortname;
	unsigned int utf8:1,
		     quiet:1;
};

struct vfat_sb {
	unsigned int cluster_bits;	/* of the bytes in a cluster */
	unsigned int sec_bits;		/* of the sectors in a cluster */
	unsigned int fat_bits;		/* 12, 16 or 32 */
	unsigned int fats;
	unsigned int active_fat;
	unsigned int mirror;		/* all FATs are written, not the active one alone */
	unsigned long fat_start;
	unsigned long fat_length;
	unsigned long dir_start;	/* FAT12 and FAT16: the root directory */
	unsigned long dir_entries;
	unsigned long data_start;
	unsigned long total_sect;
	int max_cluster;		/* one past the last */
	int root_cluster;		/* FAT32 */
	unsigned long fsinfo_sector;

	struct semaphore fat_lock;	/* while more than one entry of the FAT changes */
	int prev_free;
	int free_clusters;		/* -1: nobody has counted them */
	int free_counted;		/* we have, rather than whoever wrote the FSINFO sector */
	struct vfat_options options;

	/* The inodes in use, by the place of their directory entries. */
	struct list_head inode_hash[FAT_HASH_SIZE];
};

#define FAT_CACHE_SIZE 4

/* Where a cluster of a file is on the disk. */
struct fat_position {
	int file_cluster;
	int disk_cluster;		/* 0: none */
};

struct vfat_inode {
	struct inode *inode;
	struct list_head hash;
	unsigned long i_pos;		/* number of its directory entry on the disk; 0: it has none */
	unsigned long mmu_private;	/* bytes that are on the disk, or are zeroed */
	int start;			/* first cluster; 0: none */
	u8 attrs;
	unsigned int next_cached;
	struct fat_position cache[FAT_CACHE_SIZE];
};

static inline struct vfat_sb *VFAT_SB(struct super_block *sb)
{
	return sb->u.generic_sbp;
}

static inline struct vfat_inode *VFAT_I(struct inode *inode)
{
	return inode->u.generic_ip;
}

static inline unsigned int fat_entries_per_block(struct super_block *sb)
{
	return sb->s_blocksize >> MSDOS_DIR_BITS;
}

static inline int fat_valid_cluster(struct vfat_sb *sbi, int nr)
{
	return nr >= FAT_START_ENT && nr < sbi->max_cluster;
}

static inline unsigned long fat_cluster_sector(struct vfat_sb *sbi, int nr)
{
	return sbi->data_start + ((unsigned long)(nr - FAT_START_ENT) << sbi->sec_bits);
}

static inline void lock_fat(struct vfat_sb *sbi)
{
	down(&sbi->fat_lock);
}

static inline void unlock_fat(struct vfat_sb *sbi)
{
	up(&sbi->fat_lock);
}

/* The volume contradicts itself: nothing more may be written to it. */
#define fat_fs_panic(sb, fmt, args...) do { \
	printk(KERN_ERR "Filesystem panic (dev %s).\n", kdevname((sb)->s_dev)); \
	printk(KERN_ERR "  " fmt "\n", ##args); \
	fat_set_read_only(sb); \
} while (0)

static void fat_set_read_only(struct super_block *sb)
{
	if (sb->s_flags & MS_RDONLY)
		return;
	sb->s_flags |= MS_RDONLY;
	printk(KERN_ERR "  File system has been set read-only\n");
}

#endif
