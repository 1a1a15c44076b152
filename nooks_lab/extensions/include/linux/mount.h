#ifndef _LINUX_MOUNT_H
#define _LINUX_MOUNT_H

#include <linux/list.h>
#include <asm/atomic.h>

struct dentry;
struct super_block;

struct vfsmount {
	struct vfsmount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct dentry *mnt_root;
	struct super_block *mnt_sb;
	atomic_t mnt_count;
	int mnt_flags;
	char *mnt_devname;
	struct list_head mnt_list;
};

#endif
