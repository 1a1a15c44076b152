/*
 * Files: the blocks of the page cache, read and write, truncate, attributes.
 */

static int fat_get_block(struct inode *inode, long iblock, struct buffer_head *bh_result, int create)
{
	struct super_block *sb = inode->i_sb;
	struct vfat_sb *sbi = VFAT_SB(sb);
	struct vfat_inode *vi = VFAT_I(inode);
	unsigned long blocks = (vi->mmu_private + sb->s_blocksize - 1) >> sb->s_blocksize_bits;
	struct fat_position at;
	int err;

	if (!create && (unsigned long)iblock >= blocks)
		return 0;
	if (create && (unsigned long)iblock > blocks) {
		fat_fs_panic(sb, "block %ld of a file is to follow its %lu blocks", iblock, blocks);
		return -EIO;
	}
	err = fat_get_cluster(inode, (unsigned long)iblock >> sbi->sec_bits, &at);
	if (err > 0 && (unsigned long)iblock < blocks) {
		fat_fs_panic(sb, "the file at cluster 0x%08x has %lu blocks, and no block %ld", vi->start, blocks,
			     iblock);
		return -EIO;
	}
	if (err > 0)
		err = fat_add_cluster(inode, &at);
	if (err < 0)
		return err;
	bh_result->b_dev = sb->s_dev;
	bh_result->b_blocknr = fat_cluster_sector(sbi, at.disk_cluster) + (iblock & ((1UL << sbi->sec_bits) - 1));
	set_bit(BH_Mapped, &bh_result->b_state);
	if ((unsigned long)iblock == blocks) {
		vi->mmu_private = (blocks + 1) << sb->s_blocksize_bits;
		set_bit(BH_New, &bh_result->b_state);
	}
	return 0;
}

static int fat_readpage(struct file *file, struct page *page)
{
	return block_read_full_page(page, fat_get_block);
}

static int fat_writepage(struct page *page)
{
	return block_write_full_page(page, fat_get_block);
}

/* FAT has no holes: what lies between the end of a file and where it is written to is zeroed. */
static int fat_prepare_write(struct file *file, struct page *page, unsigned from, unsigned to)
{
	return cont_prepare_write(page, from, to, fat_get_block, &VFAT_I(page->mapping->host)->mmu_private);
}

static int fat_block_map(struct address_space *mapping, long block)
{
	return generic_block_bmap(mapping, block, fat_get_block);
}

static struct address_space_operations fat_aops = {
	.readpage = fat_readpage,
	.writepage = fat_writepage,
	.prepare_write = fat_prepare_write,
	.commit_write = generic_commit_write,
	.bmap = fat_block_map,
};

static ssize_t fat_file_write(struct file *filp, const char *buf, size_t count, loff_t *ppos)
{
	struct inode *inode = filp->f_dentry->d_inode;
	ssize_t written;

	written = generic_file_write(filp, buf, count, ppos);
	if (written > 0) {
		inode->i_mtime = inode->i_ctime = CURRENT_TIME;
		VFAT_I(inode)->attrs |= ATTR_ARCH;
		mark_inode_dirty(inode);
	}
	return written;
}

/* As DOS does, so that what was closed survives a crash as far as its blocks do. */
static int fat_file_release(struct inode *inode, struct file *filp)
{
	if (filp->f_mode & FMODE_WRITE && !IS_RDONLY(inode))
		fat_write_inode(inode, 0);
	return 0;
}

/* Frees the clusters behind the size that an inode has got; the kernel has dropped its pages. */
static void fat_truncate(struct inode *inode)
{
	struct super_block *sb = inode->i_sb;
	struct vfat_sb *sbi = VFAT_SB(sb);
	struct vfat_inode *vi = VFAT_I(inode);
	int keep = ((unsigned long)inode->i_size + (1UL << sbi->cluster_bits) - 1) >> sbi->cluster_bits;
	struct fat_position last;
	int next, err = 0;

	if (IS_RDONLY(inode) || !vi->start)
		return;
	if (vi->mmu_private > inode->i_size)
		vi->mmu_private = inode->i_size;
	lock_fat(sbi);
	if (keep) {
		err = fat_get_cluster(inode, keep - 1, &last);
		if (!err) {
			struct fat_scan scan;

			fat_scan_begin(&scan, sb);
			next = fat_scan_next(&scan, last.disk_cluster);
			if (next > 0 && next != FAT_ENT_EOF)
				err = fat_scan_put(&scan, last.disk_cluster, FAT_ENT_EOF);
			fat_scan_end(&scan);
			fat_cache_clear(inode);
			if (!err && next > 0 && next != FAT_ENT_EOF)
				fat_free_chain(sb, next);
		}
	} else {
		next = vi->start;
		vi->start = 0;
		fat_cache_clear(inode);
		/* The entry must not name clusters that are free: it is written first. */
		fat_write_inode(inode, 0);
		if (fat_valid_cluster(sbi, next))
			fat_free_chain(sb, next);
	}
	unlock_fat(sbi);
	inode->i_blocks = (unsigned long)keep << (sbi->cluster_bits - 9);
	inode->i_mtime = inode->i_ctime = CURRENT_TIME;
	vi->attrs |= ATTR_ARCH;
	mark_inode_dirty(inode);
}

/* A FAT entry has one bit for all permissions, and no owner. */
static int fat_setattr(struct dentry *dentry, struct iattr *attr)
{
	struct inode *inode = dentry->d_inode;
	struct vfat_options *opts = &VFAT_SB(inode->i_sb)->options;
	int err;

	/* What is behind the end of a file would have to be written first. */
	if (attr->ia_valid & ATTR_SIZE && attr->ia_size > inode->i_size)
		return -EPERM;
	err = inode_change_ok(inode, attr);
	if (!err && ((attr->ia_valid & ATTR_UID && attr->ia_uid != opts->uid) ||
		     (attr->ia_valid & ATTR_GID && attr->ia_gid != opts->gid) ||
		     (attr->ia_valid & ATTR_MODE && attr->ia_mode & ~(umode_t)(S_IFMT | S_IRWXUGO))))
		err = -EPERM;
	if (err)
		return opts->quiet ? 0 : err;
	if (attr->ia_valid & ATTR_MODE) {
		if (S_ISDIR(inode->i_mode) || attr->ia_mode & S_IWUSR)
			attr->ia_mode = S_IRWXUGO & ~opts->umask;
		else
			attr->ia_mode = (S_IRUGO | S_IXUGO) & ~opts->umask;
		attr->ia_mode |= inode->i_mode & S_IFMT;
	}
	return inode_setattr(inode, attr);
}

/* Hidden, system and archive bits, which no mode has. */
static int fat_ioctl(struct inode *inode, struct file *filp, unsigned int cmd, unsigned long arg)
{
	struct vfat_inode *vi = VFAT_I(inode);
	u32 attr;

	switch (cmd) {
	case FAT_IOCTL_GET_ATTRIBUTES:
		attr = fat_make_attrs(inode);
		return put_user(attr, (u32 *)arg);
	case FAT_IOCTL_SET_ATTRIBUTES:
		if (get_user(attr, (u32 *)arg))
			return -EFAULT;
		if (IS_RDONLY(inode))
			return -EROFS;
		if (attr & ~(u32)(ATTR_RO | ATTR_HIDDEN | ATTR_SYS | ATTR_ARCH | ATTR_DIR) ||
		    !(attr & ATTR_DIR) != !S_ISDIR(inode->i_mode) || inode->i_ino == MSDOS_ROOT_INO)
			return -EINVAL;
		vi->attrs = attr & (ATTR_HIDDEN | ATTR_SYS | ATTR_ARCH);
		if (!S_ISDIR(inode->i_mode))
			inode->i_mode = fat_make_mode(inode->i_sb, attr);
		else
			vi->attrs |= attr & ATTR_RO;
		inode->i_ctime = CURRENT_TIME;
		mark_inode_dirty(inode);
		return 0;
	default:
		return -ENOTTY;
	}
}

static struct file_operations fat_file_operations = {
	.llseek = generic_file_llseek,
	.read = generic_file_read,
	.write = fat_file_write,
	.ioctl = fat_ioctl,
	.release = fat_file_release,
	.fsync = file_fsync,
};

static struct inode_operations fat_file_inode_operations = {
	.truncate = fat_truncate,
	.setattr = fat_setattr,
};

static struct file_operations fat_dir_operations = {
	.read = generic_read_dir,
	.readdir = fat_readdir,
	.ioctl = fat_ioctl,
	.fsync = file_fsync,
};
