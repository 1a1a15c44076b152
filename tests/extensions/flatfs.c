/*
 * flatfs: a small filesystem for the tests, which has one of everything that
 * the VFS can ask for. Blocks of 1,024 bytes:
 *
 *   0      super block: magic, blocks, inodes
 *   1      bitmap of the blocks in use
 *   2..9   inodes, 64 bytes each, 16 in a block; number 1 is the root
 *   10..   data
 *
 * A file has 12 blocks of its own and one that lists 256 more. A directory
 * holds entries of 64 bytes: inode number, and a name of at most 59 bytes.
 */
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/locks.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/slab.h>
#include <linux/string.h>

#define FLAT_MAGIC 0x54414c46
#define FLAT_BLOCK 1024
#define FLAT_BITMAP 1
#define FLAT_TABLE 2
#define FLAT_INODES 128
#define FLAT_DATA 10
#define FLAT_DIRECT 12
#define FLAT_NAME 59
#define FLAT_ROOT 1

struct flat_super {
	u32 magic, blocks, inodes;
};

struct flat_inode {
	u16 mode, nlink;
	u32 size, mtime;
	u32 block[FLAT_DIRECT + 1];
};

struct flat_entry {
	u32 ino;
	char name[FLAT_NAME + 1];
};

/* What a mount has of its own. */
struct flat_info {
	u32 blocks;
	struct buffer_head *bitmap;
};

/* Which function stores wildly, from now on; 0 for none. */
volatile int bug_place = 0;
MODULE_PARM(bug_place, "i");

enum { LOOKUP = 1, CREATE, GET_BLOCK, READDIR, WRITE_INODE, READ_SUPER, PUT_SUPER, DELETE_INODE, READPAGE, STATFS };

static void bug_in(int place)
{
	if (bug_place == place)
		*(volatile int *)0xc0100000 = 0x0badf00d;
}

static struct super_operations flat_sops;
static struct inode_operations flat_dir_iops, flat_file_iops;
static struct file_operations flat_dir_fops, flat_file_fops;
static struct address_space_operations flat_aops;

static struct flat_info *info(struct super_block *sb)
{
	return sb->u.generic_sbp;
}

static struct buffer_head *table_block(struct super_block *sb, unsigned long ino, struct flat_inode **raw)
{
	struct buffer_head *bh;

	if (ino < 1 || ino >= FLAT_INODES)
		return NULL;
	bh = sb_bread(sb, FLAT_TABLE + ino / 16);
	if (bh)
		*raw = (struct flat_inode *)bh->b_data + ino % 16;
	return bh;
}

static u32 new_block(struct super_block *sb)
{
	struct buffer_head *bh = info(sb)->bitmap, *fresh;
	u32 block;

	for (block = FLAT_DATA; block < info(sb)->blocks; block++)
		if (!test_and_set_bit(block, bh->b_data)) {
			mark_buffer_dirty(bh);
			fresh = sb_getblk(sb, block);
			if (!fresh)
				return 0;
			memset(fresh->b_data, 0, FLAT_BLOCK);
			mark_buffer_uptodate(fresh, 1);
			mark_buffer_dirty(fresh);
			brelse(fresh);
			return block;
		}
	return 0;
}

static void free_block(struct super_block *sb, u32 block)
{
	struct buffer_head *bh = info(sb)->bitmap;

	if (!block)
		return;
	bforget(sb_get_hash_table(sb, block));
	clear_bit(block, bh->b_data);
	mark_buffer_dirty(bh);
}

/* Where block number index of a file is; 0 for nowhere. */
static int find_block(struct inode *inode, long index, int create, u32 *found, int *fresh)
{
	struct super_block *sb = inode->i_sb;
	struct flat_inode *raw;
	struct buffer_head *bh, *list = NULL;
	u32 *slot;
	int error = 0;

	*found = *fresh = 0;
	if (index < 0 || index >= FLAT_DIRECT + FLAT_BLOCK / 4)
		return create ? -EFBIG : 0;
	bh = table_block(sb, inode->i_ino, &raw);
	if (!bh)
		return -EIO;
	slot = &raw->block[index < FLAT_DIRECT ? index : FLAT_DIRECT];
	if (index >= FLAT_DIRECT) {
		if (!*slot && create) {
			*slot = new_block(sb);
			mark_buffer_dirty(bh);
		}
		if (!*slot) {
			error = create ? -ENOSPC : 0;
			goto out;
		}
		list = sb_bread(sb, *slot);
		if (!list) {
			error = -EIO;
			goto out;
		}
		slot = (u32 *)list->b_data + index - FLAT_DIRECT;
	}
	if (!*slot && create) {
		*slot = new_block(sb);
		if (*slot) {
			*fresh = 1;
			mark_buffer_dirty(list ? list : bh);
			inode->i_blocks += FLAT_BLOCK / 512;
			mark_inode_dirty(inode);
		} else {
			error = -ENOSPC;
		}
	}
	*found = *slot;
	brelse(list);
out:
	brelse(bh);
	return error;
}

static int flat_get_block(struct inode *inode, long iblock, struct buffer_head *bh_result, int create)
{
	u32 block;
	int fresh, error;

	bug_in(GET_BLOCK);
	error = find_block(inode, iblock, create, &block, &fresh);
	if (error || !block)
		return error;
	bh_result->b_dev = inode->i_dev;
	bh_result->b_blocknr = block;
	bh_result->b_state |= 1UL << BH_Mapped;
	if (fresh)
		bh_result->b_state |= 1UL << BH_New;
	return 0;
}

static int flat_readpage(struct file *file, struct page *page)
{
	bug_in(READPAGE);
	return block_read_full_page(page, flat_get_block);
}

static int flat_writepage(struct page *page)
{
	return block_write_full_page(page, flat_get_block);
}

static int flat_prepare_write(struct file *file, struct page *page, unsigned from, unsigned to)
{
	return block_prepare_write(page, from, to, flat_get_block);
}

static int flat_bmap(struct address_space *mapping, long block)
{
	return generic_block_bmap(mapping, block, flat_get_block);
}

static struct address_space_operations flat_aops = {
	.readpage = flat_readpage,
	.writepage = flat_writepage,
	.prepare_write = flat_prepare_write,
	.commit_write = generic_commit_write,
	.bmap = flat_bmap,
};

static void set_operations(struct inode *inode)
{
	if (S_ISDIR(inode->i_mode)) {
		inode->i_op = &flat_dir_iops;
		inode->i_fop = &flat_dir_fops;
	} else {
		inode->i_op = &flat_file_iops;
		inode->i_fop = &flat_file_fops;
		inode->i_mapping->a_ops = &flat_aops;
	}
}

static void flat_read_inode(struct inode *inode)
{
	struct flat_inode *raw;
	struct buffer_head *bh = table_block(inode->i_sb, inode->i_ino, &raw);

	if (!bh || !raw->nlink) {
		brelse(bh);
		make_bad_inode(inode);
		return;
	}
	inode->i_mode = raw->mode;
	inode->i_nlink = raw->nlink;
	inode->i_size = raw->size;
	inode->i_blocks = (raw->size + FLAT_BLOCK - 1) / FLAT_BLOCK * 2;
	inode->i_atime = inode->i_mtime = inode->i_ctime = raw->mtime;
	brelse(bh);
	set_operations(inode);
}

static void flat_write_inode(struct inode *inode, int sync)
{
	struct flat_inode *raw;
	struct buffer_head *bh = table_block(inode->i_sb, inode->i_ino, &raw);

	bug_in(WRITE_INODE);
	if (!bh)
		return;
	raw->mode = inode->i_mode;
	raw->nlink = inode->i_nlink;
	raw->size = inode->i_size;
	raw->mtime = inode->i_mtime;
	mark_buffer_dirty(bh);
	if (sync) {
		ll_rw_block(WRITE, 1, &bh);
		wait_on_buffer(bh);
	}
	brelse(bh);
}

static void flat_truncate(struct inode *inode)
{
	struct super_block *sb = inode->i_sb;
	long index, first = (inode->i_size + FLAT_BLOCK - 1) / FLAT_BLOCK;
	struct flat_inode *raw;
	struct buffer_head *list, *bh = table_block(sb, inode->i_ino, &raw);
	u32 *slot;

	if (!bh)
		return;
	for (index = first; index < FLAT_DIRECT; index++) {
		free_block(sb, raw->block[index]);
		raw->block[index] = 0;
	}
	if (raw->block[FLAT_DIRECT] && (list = sb_bread(sb, raw->block[FLAT_DIRECT]))) {
		slot = (u32 *)list->b_data;
		for (index = 0; index < FLAT_BLOCK / 4; index++)
			if (index + FLAT_DIRECT >= first) {
				free_block(sb, slot[index]);
				slot[index] = 0;
			}
		mark_buffer_dirty(list);
		brelse(list);
		if (first <= FLAT_DIRECT) {
			free_block(sb, raw->block[FLAT_DIRECT]);
			raw->block[FLAT_DIRECT] = 0;
		}
	}
	mark_buffer_dirty(bh);
	brelse(bh);
	inode->i_blocks = first * 2;
	inode->i_mtime = inode->i_ctime = CURRENT_TIME;
	mark_inode_dirty(inode);
}

static void flat_delete_inode(struct inode *inode)
{
	bug_in(DELETE_INODE);
	inode->i_size = 0;
	if (!is_bad_inode(inode)) {
		flat_truncate(inode);
		inode->i_nlink = 0;
		flat_write_inode(inode, 0);
	}
	clear_inode(inode);
}

/* Directories */

/* Find a name, or with a name of NULL a free place, behind which the directory may grow. */
static struct buffer_head *find_entry(struct inode *dir, const char *name, int len, struct flat_entry **entry)
{
	struct buffer_head *bh;
	struct flat_entry *at;
	u32 block;
	int fresh;
	long index, blocks = (dir->i_size + FLAT_BLOCK - 1) / FLAT_BLOCK;

	for (index = 0; index < blocks + (name == NULL); index++) {
		if (find_block(dir, index, name == NULL, &block, &fresh) || !block)
			return NULL;
		bh = sb_bread(dir->i_sb, block);
		if (!bh)
			return NULL;
		if (index == blocks) {
			dir->i_size = (index + 1) * FLAT_BLOCK;
			mark_inode_dirty(dir);
		}
		for (at = (struct flat_entry *)bh->b_data; (char *)at < bh->b_data + FLAT_BLOCK; at++) {
			if (name ? at->ino && strlen(at->name) == (size_t)len && !memcmp(at->name, name, len)
				 : !at->ino) {
				*entry = at;
				return bh;
			}
		}
		brelse(bh);
	}
	return NULL;
}

static int add_entry(struct inode *dir, struct dentry *dentry, unsigned long ino)
{
	struct flat_entry *entry;
	struct buffer_head *bh;

	bh = find_entry(dir, NULL, 0, &entry);
	if (!bh)
		return -ENOSPC;
	memset(entry->name, 0, sizeof(entry->name));
	memcpy(entry->name, dentry->d_name.name, dentry->d_name.len);
	entry->ino = ino;
	mark_buffer_dirty_inode(bh, dir);
	brelse(bh);
	dir->i_mtime = dir->i_ctime = CURRENT_TIME;
	mark_inode_dirty(dir);
	return 0;
}

static int remove_entry(struct inode *dir, struct dentry *dentry)
{
	struct flat_entry *entry;
	struct buffer_head *bh;

	bh = find_entry(dir, (const char *)dentry->d_name.name, dentry->d_name.len, &entry);
	if (!bh)
		return -ENOENT;
	entry->ino = 0;
	mark_buffer_dirty_inode(bh, dir);
	brelse(bh);
	dir->i_mtime = dir->i_ctime = CURRENT_TIME;
	mark_inode_dirty(dir);
	return 0;
}

static struct dentry *flat_lookup(struct inode *dir, struct dentry *dentry)
{
	struct flat_entry *entry;
	struct buffer_head *bh;
	struct inode *inode = NULL;

	bug_in(LOOKUP);
	if (dentry->d_name.len > FLAT_NAME)
		return (struct dentry *)-ENAMETOOLONG;
	bh = find_entry(dir, (const char *)dentry->d_name.name, dentry->d_name.len, &entry);
	if (bh) {
		inode = iget(dir->i_sb, entry->ino);
		brelse(bh);
		if (!inode)
			return (struct dentry *)-EACCES;
	}
	d_add(dentry, inode);
	return NULL;
}

static int make(struct inode *dir, struct dentry *dentry, int mode)
{
	struct super_block *sb = dir->i_sb;
	struct flat_inode *raw;
	struct buffer_head *bh;
	struct inode *inode;
	unsigned long ino;
	int error;

	bug_in(CREATE);
	for (ino = FLAT_ROOT + 1; ino < FLAT_INODES; ino++) {
		bh = table_block(sb, ino, &raw);
		if (!bh)
			return -EIO;
		if (!raw->nlink)
			break;
		brelse(bh);
	}
	if (ino == FLAT_INODES)
		return -ENOSPC;
	memset(raw, 0, sizeof(*raw));
	raw->mode = mode;
	raw->nlink = 1;
	mark_buffer_dirty(bh);
	brelse(bh);
	inode = new_inode(sb);
	if (!inode)
		return -ENOMEM;
	inode->i_ino = ino;
	inode->i_mode = mode;
	inode->i_uid = current->uid;
	inode->i_atime = inode->i_mtime = inode->i_ctime = CURRENT_TIME;
	set_operations(inode);
	insert_inode_hash(inode);
	mark_inode_dirty(inode);
	error = add_entry(dir, dentry, ino);
	if (error) {
		inode->i_nlink = 0;
		iput(inode);
		return error;
	}
	d_instantiate(dentry, inode);
	return 0;
}

static int flat_create(struct inode *dir, struct dentry *dentry, int mode)
{
	return make(dir, dentry, mode | S_IFREG);
}

static int flat_mkdir(struct inode *dir, struct dentry *dentry, int mode)
{
	return make(dir, dentry, mode | S_IFDIR);
}

static int flat_unlink(struct inode *dir, struct dentry *dentry)
{
	struct inode *inode = dentry->d_inode;
	int error = remove_entry(dir, dentry);

	if (error)
		return error;
	inode->i_nlink = 0;
	inode->i_ctime = CURRENT_TIME;
	mark_inode_dirty(inode);
	return 0;
}

static int empty(struct inode *dir)
{
	struct flat_entry *at;
	struct buffer_head *bh;
	u32 block;
	int fresh, used = 0;
	long index;

	for (index = 0; index < dir->i_size / FLAT_BLOCK && !used; index++) {
		if (find_block(dir, index, 0, &block, &fresh) || !block)
			continue;
		bh = sb_bread(dir->i_sb, block);
		if (!bh)
			return 0;
		for (at = (struct flat_entry *)bh->b_data; (char *)at < bh->b_data + FLAT_BLOCK; at++)
			used |= at->ino != 0;
		brelse(bh);
	}
	return !used;
}

static int flat_rmdir(struct inode *dir, struct dentry *dentry)
{
	if (!empty(dentry->d_inode))
		return -ENOTEMPTY;
	return flat_unlink(dir, dentry);
}

static int flat_rename(struct inode *old_dir, struct dentry *old_dentry,
		       struct inode *new_dir, struct dentry *new_dentry)
{
	struct inode *inode = old_dentry->d_inode, *victim = new_dentry->d_inode;
	int error;

	if (victim) {
		if (S_ISDIR(victim->i_mode) && !empty(victim))
			return -ENOTEMPTY;
		error = flat_unlink(new_dir, new_dentry);
		if (error)
			return error;
	}
	error = add_entry(new_dir, new_dentry, inode->i_ino);
	if (error)
		return error;
	return remove_entry(old_dir, old_dentry);
}

static int flat_readdir(struct file *file, void *dirent, filldir_t filldir)
{
	struct inode *dir = file->f_dentry->d_inode;
	struct flat_entry *at;
	struct buffer_head *bh;
	u32 block;
	int fresh, full;

	bug_in(READDIR);
	while (file->f_pos < 2) {
		if (filldir(dirent, "..", file->f_pos + 1, file->f_pos,
			    file->f_pos ? file->f_dentry->d_parent->d_inode->i_ino : dir->i_ino, DT_DIR))
			return 0;
		file->f_pos++;
	}
	while ((file->f_pos - 2) * sizeof(*at) < (u32)dir->i_size) {
		u32 offset = (u32)(file->f_pos - 2) * sizeof(*at);

		if (find_block(dir, offset / FLAT_BLOCK, 0, &block, &fresh) || !block)
			return -EIO;
		bh = sb_bread(dir->i_sb, block);
		if (!bh)
			return -EIO;
		at = (struct flat_entry *)(bh->b_data + offset % FLAT_BLOCK);
		full = at->ino && filldir(dirent, at->name, strlen(at->name), file->f_pos, at->ino, DT_UNKNOWN);
		brelse(bh);
		if (full)
			return 0;
		file->f_pos++;
	}
	return 0;
}

static struct inode_operations flat_dir_iops = {
	.create = flat_create,
	.lookup = flat_lookup,
	.unlink = flat_unlink,
	.mkdir = flat_mkdir,
	.rmdir = flat_rmdir,
	.rename = flat_rename,
};

static struct inode_operations flat_file_iops = {
	.truncate = flat_truncate,
};

static struct file_operations flat_dir_fops = {
	.read = generic_read_dir,
	.readdir = flat_readdir,
	.fsync = file_fsync,
};

static struct file_operations flat_file_fops = {
	.llseek = generic_file_llseek,
	.read = generic_file_read,
	.write = generic_file_write,
	.fsync = file_fsync,
};

/* Super block */

static int flat_statfs(struct super_block *sb, struct statfs *buf)
{
	struct flat_info *flat = info(sb);
	u32 block, used = 0;

	bug_in(STATFS);
	for (block = 0; block < flat->blocks; block++)
		used += test_bit(block, flat->bitmap->b_data);
	buf->f_type = sb->s_magic;
	buf->f_bsize = FLAT_BLOCK;
	buf->f_blocks = flat->blocks;
	buf->f_bfree = buf->f_bavail = flat->blocks - used;
	buf->f_files = FLAT_INODES;
	buf->f_namelen = FLAT_NAME;
	return 0;
}

static void flat_put_super(struct super_block *sb)
{
	struct flat_info *flat = info(sb);

	bug_in(PUT_SUPER);
	brelse(flat->bitmap);
	kfree(flat);
	sb->u.generic_sbp = NULL;
}

static void flat_write_super(struct super_block *sb)
{
	sb->s_dirt = 0;
}

static struct super_operations flat_sops = {
	.read_inode = flat_read_inode,
	.write_inode = flat_write_inode,
	.delete_inode = flat_delete_inode,
	.put_super = flat_put_super,
	.write_super = flat_write_super,
	.statfs = flat_statfs,
};

static struct super_block *flat_read_super(struct super_block *sb, void *data, int silent)
{
	struct buffer_head *bh;
	struct flat_super *raw;
	struct flat_info *flat;
	struct inode *root;

	bug_in(READ_SUPER);
	set_blocksize(sb->s_dev, FLAT_BLOCK);
	sb->s_blocksize = FLAT_BLOCK;
	sb->s_blocksize_bits = 10;
	bh = sb_bread(sb, 0);
	if (!bh) {
		printk(KERN_ERR "flatfs: cannot read the super block of %s\n", bdevname(sb->s_dev));
		return NULL;
	}
	raw = (struct flat_super *)bh->b_data;
	flat = kmalloc(sizeof(*flat), GFP_KERNEL);
	if (!flat)
		goto release;
	if (raw->magic != FLAT_MAGIC || raw->blocks > 8 * FLAT_BLOCK) {
		if (!silent)
			printk(KERN_ERR "flatfs: no flatfs on %s\n", kdevname(sb->s_dev));
		goto free;
	}
	flat->blocks = raw->blocks;
	flat->bitmap = sb_bread(sb, FLAT_BITMAP);
	if (!flat->bitmap)
		goto free;
	sb->u.generic_sbp = flat;
	sb->s_magic = FLAT_MAGIC;
	sb->s_op = &flat_sops;
	root = iget(sb, FLAT_ROOT);
	if (!root)
		goto bitmap;
	sb->s_root = d_alloc_root(root);
	if (!sb->s_root) {
		iput(root);
		goto bitmap;
	}
	brelse(bh);
	return sb;

bitmap:
	brelse(flat->bitmap);
free:
	kfree(flat);
release:
	brelse(bh);
	return NULL;
}

static DECLARE_FSTYPE_DEV(flat_fs_type, "flatfs", flat_read_super);

int init_module(void)
{
	return register_filesystem(&flat_fs_type);
}

void cleanup_module(void)
{
	unregister_filesystem(&flat_fs_type);
}

MODULE_LICENSE("GPL");
