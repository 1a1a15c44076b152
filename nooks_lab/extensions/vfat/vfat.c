/*
 * VFAT: the FAT file system, with 12, 16 and 32 bits and with long names.
 *
 * The format is that of Microsoft's "FAT32 File System Specification" (FAT:
 * General Overview of On-Disk Format), version 1.03; its headings are named
 * where they apply. The driver is one module of several files.
 */
#include <linux/module.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/errno.h>
#include <linux/string.h>
#include <linux/slab.h>
#include <linux/fs.h>
#include <linux/locks.h>
#include <linux/pagemap.h>
#include <linux/stat.h>
#include <asm/byteorder.h>
#include <asm/uaccess.h>

#include "msdos_fs.h"
#include "vfat.h"

MODULE_AUTHOR("The Nooks Lab project");
MODULE_DESCRIPTION("VFAT filesystem support");
MODULE_LICENSE("GPL");

static struct inode_operations vfat_dir_inode_operations;
static struct file_operations fat_dir_operations;
static struct inode_operations fat_file_inode_operations;
static struct file_operations fat_file_operations;
static struct address_space_operations fat_aops;

static struct inode *fat_find_inode(struct super_block *sb, unsigned long i_pos);
static void fat_write_inode(struct inode *inode, int sync);
static void fat_truncate(struct inode *inode);

#include "names.c"
#include "fatent.c"
#include "dir.c"
#include "inode.c"
#include "file.c"
#include "namei.c"
#include "super.c"

static DECLARE_FSTYPE_DEV(vfat_fs_type, "vfat", vfat_read_super);

EXPORT_NO_SYMBOLS;

static int __init init_vfat_fs(void)
{
	return register_filesystem(&vfat_fs_type);
}

static void __exit exit_vfat_fs(void)
{
	unregister_filesystem(&vfat_fs_type);
}

module_init(init_vfat_fs);
module_exit(exit_vfat_fs);
