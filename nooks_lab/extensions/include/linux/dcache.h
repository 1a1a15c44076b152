#ifndef _LINUX_DCACHE_H
#define _LINUX_DCACHE_H

#include <linux/list.h>
#include <linux/types.h>
#include <asm/atomic.h>

struct inode;
struct super_block;

struct qstr {
	const unsigned char *name;
	unsigned int len;
	unsigned int hash;
};

/* The hash of a name, a character at a time; a filesystem's d_hash may fold the characters first. */
#define init_name_hash() 0

static inline unsigned long partial_name_hash(unsigned long c, unsigned long prevhash)
{
	return (prevhash + (c << 4) + (c >> 4)) * 11;
}

static inline unsigned long end_name_hash(unsigned long hash)
{
	return (unsigned int)hash;
}

static inline unsigned int full_name_hash(const unsigned char *name, unsigned int len)
{
	unsigned long hash = init_name_hash();

	while (len--)
		hash = partial_name_hash(*name++, hash);
	return end_name_hash(hash);
}

#define DNAME_INLINE_LEN 16

/* d_name.name points to d_iname when the name is short, or else to memory of its own. */
struct dentry {
	atomic_t d_count;
	unsigned int d_flags;
	struct inode *d_inode;		/* NULL: a negative dentry */
	struct dentry *d_parent;
	struct list_head d_hash;
	struct list_head d_lru;		/* those that nobody uses, the oldest last */
	struct list_head d_child;	/* in the parent's d_subdirs */
	struct list_head d_subdirs;
	struct list_head d_alias;	/* in the inode's i_dentry */
	int d_mounted;
	struct qstr d_name;
	unsigned long d_time;		/* for d_revalidate */
	struct dentry_operations *d_op;
	struct super_block *d_sb;
	unsigned long d_vfs_flags;
	void *d_fsdata;
	unsigned char d_iname[DNAME_INLINE_LEN];
};

#define DCACHE_REFERENCED 0x0008	/* d_vfs_flags: used since the pruner last came by */

struct dentry_operations {
	int (*d_revalidate)(struct dentry *dentry, int flags);
	int (*d_hash)(struct dentry *dentry, struct qstr *name);
	int (*d_compare)(struct dentry *dentry, struct qstr *a, struct qstr *b);	/* 0: equal */
	int (*d_delete)(struct dentry *dentry);		/* on the last dput: not 0 to forget it at once */
	void (*d_release)(struct dentry *dentry);
	void (*d_iput)(struct dentry *dentry, struct inode *inode);
};

extern struct dentry *d_alloc(struct dentry *parent, const struct qstr *name);
extern struct dentry *d_alloc_root(struct inode *root_inode);
extern void d_instantiate(struct dentry *entry, struct inode *inode);
extern void d_rehash(struct dentry *entry);
extern void d_drop(struct dentry *dentry);	/* Nooks: inline in Linux */
extern void d_delete(struct dentry *dentry);
extern void d_move(struct dentry *entry, struct dentry *target);
extern int d_invalidate(struct dentry *dentry);
extern struct dentry *d_lookup(struct dentry *parent, struct qstr *name);
extern struct dentry *d_find_alias(struct inode *inode);
extern void d_prune_aliases(struct inode *inode);
extern void shrink_dcache_parent(struct dentry *parent);
extern void shrink_dcache_sb(struct super_block *sb);
extern struct dentry *dget(struct dentry *dentry);	/* Nooks: inline in Linux */
extern void dput(struct dentry *dentry);

static inline void d_add(struct dentry *entry, struct inode *inode)
{
	d_instantiate(entry, inode);
	d_rehash(entry);
}

static inline int d_unhashed(struct dentry *dentry)
{
	return list_empty(&dentry->d_hash);
}

static inline int d_mountpoint(struct dentry *dentry)
{
	return dentry->d_mounted;
}

#endif
