/*
 * What the VFS asks of a directory: look a name up, make, remove and rename.
 */

/* Names that are the same to us have the same hash. */
static int vfat_hash(struct dentry *dentry, struct qstr *qname)
{
	struct vfat_options *opts = &VFAT_SB(dentry->d_sb)->options;
	const unsigned char *name = qname->name;
	int len = fat_striptail_len(name, qname->len), bytes;
	unsigned long hash = init_name_hash();
	u32 ch;

	while (len > 0) {
		bytes = fat_take_char(opts, name, len, &ch);
		if (bytes < 0) {
			bytes = 1;
			ch = *name;
		}
		hash = partial_name_hash(ch > 0xffff ? ch : fat_toupper(ch), hash);
		name += bytes;
		len -= bytes;
	}
	qname->hash = end_name_hash(hash);
	return 0;
}

static int vfat_cmp(struct dentry *dentry, struct qstr *a, struct qstr *b)
{
	return fat_name_cmp(&VFAT_SB(dentry->d_sb)->options, a->name, a->len, b->name, b->len);
}

/*
 * A negative dentry has its name as somebody once asked for it; what is
 * created is to have it as it is asked for now.
 */
static int vfat_revalidate(struct dentry *dentry, int flags)
{
	return dentry->d_inode != NULL;
}

static struct dentry_operations vfat_dentry_ops = {
	.d_revalidate = vfat_revalidate,
	.d_hash = vfat_hash,
	.d_compare = vfat_cmp,
};

static struct dentry *vfat_lookup(struct inode *dir, struct dentry *dentry)
{
	struct inode *inode = NULL;
	struct fat_slot_info info;
	struct dentry *alias;
	int err;

	err = vfat_find(dir, &dentry->d_name, &info);
	if (err && err != -ENOENT)
		return ERR_PTR(err);
	if (!err) {
		inode = fat_build_inode(dir->i_sb, &info.de, info.i_pos, &err);
		if (!inode)
			return ERR_PTR(err);
		/* A file has two names, the long and the short one, and should have one dentry. */
		alias = d_find_alias(inode);
		if (alias) {
			if (d_invalidate(alias) == 0) {
				dput(alias);
			} else {
				iput(inode);
				return alias;
			}
		}
	}
	dentry->d_op = &vfat_dentry_ops;
	d_add(dentry, inode);
	return NULL;
}

/* The entry of something new. */
static void fat_new_entry(struct msdos_dir_entry *de, u8 attr, int start)
{
	memset(de, 0, sizeof(*de));
	de->attr = attr;
	fat_set_entry_start(de, start);
	fat_from_unix_time(CURRENT_TIME, &de->time, &de->date);
	de->ctime = de->time;
	de->cdate = de->adate = de->date;
}

static int vfat_create(struct inode *dir, struct dentry *dentry, int mode)
{
	struct super_block *sb = dir->i_sb;
	struct msdos_dir_entry entry;
	struct fat_slot_info info;
	struct inode *inode;
	int err;

	fat_new_entry(&entry, ATTR_ARCH, 0);
	err = vfat_add_entry(dir, &dentry->d_name, &entry, &info);
	if (err)
		return err;
	inode = fat_build_inode(sb, &info.de, info.i_pos, &err);
	if (!inode) {
		vfat_remove_slots(dir, &info);
		return err;
	}
	inode->i_mtime = inode->i_atime = inode->i_ctime = CURRENT_TIME;
	mark_inode_dirty(inode);
	d_instantiate(dentry, inode);
	return 0;
}

/* "." and ".." of a new directory; the root directory is always cluster 0 to its children. */
static int fat_make_dots(struct inode *dir, int nr)
{
	struct super_block *sb = dir->i_sb;
	struct msdos_dir_entry *de;
	struct buffer_head *bh;
	int err;

	err = fat_zero_cluster(sb, nr);
	if (err)
		return err;
	bh = sb_bread(sb, fat_cluster_sector(VFAT_SB(sb), nr));
	if (!bh)
		return -EIO;
	de = (struct msdos_dir_entry *)bh->b_data;
	fat_new_entry(de, ATTR_DIR, nr);
	memcpy(de->name, MSDOS_DOT, MSDOS_NAME);
	fat_new_entry(de + 1, ATTR_DIR, dir->i_ino == MSDOS_ROOT_INO ? 0 : VFAT_I(dir)->start);
	memcpy(de[1].name, MSDOS_DOTDOT, MSDOS_NAME);
	mark_buffer_dirty(bh);
	brelse(bh);
	return 0;
}

static int vfat_mkdir(struct inode *dir, struct dentry *dentry, int mode)
{
	struct super_block *sb = dir->i_sb;
	struct msdos_dir_entry entry;
	struct fat_slot_info info;
	struct inode *inode;
	int nr, err;

	lock_fat(VFAT_SB(sb));
	nr = fat_alloc_cluster(sb);
	unlock_fat(VFAT_SB(sb));
	if (nr < 0)
		return nr;
	err = fat_make_dots(dir, nr);
	if (!err) {
		fat_new_entry(&entry, ATTR_DIR, nr);
		err = vfat_add_entry(dir, &dentry->d_name, &entry, &info);
	}
	if (err) {
		fat_release_cluster(sb, nr);
		return err;
	}
	dir->i_nlink++;
	inode = fat_build_inode(sb, &info.de, info.i_pos, &err);
	if (!inode) {
		dir->i_nlink--;
		vfat_remove_slots(dir, &info);
		fat_release_cluster(sb, nr);
		return err;
	}
	inode->i_mtime = inode->i_atime = inode->i_ctime = CURRENT_TIME;
	mark_inode_dirty(inode);
	d_instantiate(dentry, inode);
	return 0;
}

/* Takes a file or an empty directory out of its directory; its clusters go with the inode. */
static int fat_remove(struct inode *dir, struct dentry *dentry)
{
	struct inode *inode = dentry->d_inode;
	struct fat_slot_info info;
	int err;

	err = vfat_find(dir, &dentry->d_name, &info);
	if (!err && info.i_pos != VFAT_I(inode)->i_pos)
		err = -ENOENT;
	if (!err)
		err = vfat_remove_slots(dir, &info);
	if (err)
		return err;
	fat_detach(inode);
	inode->i_nlink = 0;
	inode->i_mtime = inode->i_atime = inode->i_ctime = CURRENT_TIME;
	mark_inode_dirty(inode);
	fat_touch_dir(dir);
	return 0;
}

static int vfat_unlink(struct inode *dir, struct dentry *dentry)
{
	return fat_remove(dir, dentry);
}

static int vfat_rmdir(struct inode *dir, struct dentry *dentry)
{
	int err = fat_dir_empty(dentry->d_inode);

	if (!err)
		err = fat_remove(dir, dentry);
	if (!err)
		dir->i_nlink--;
	return err;
}

/* Returns ".." of a directory and the block that holds it. */
static struct msdos_dir_entry *fat_dotdot(struct inode *inode, struct buffer_head **bh)
{
	struct msdos_dir_entry *de;
	unsigned long i_pos;
	loff_t pos = MSDOS_DIR_SIZE;

	*bh = NULL;
	if (fat_get_entry(inode, &pos, bh, &de, &i_pos) > 0 && !memcmp(de->name, MSDOS_DOTDOT, MSDOS_NAME))
		return de;
	brelse(*bh);
	*bh = NULL;
	fat_fs_panic(inode->i_sb, "the directory at cluster 0x%08x has no parent", VFAT_I(inode)->start);
	return NULL;
}

/*
 * The new name is there before the old one goes: whatever happens between,
 * the file has one. An existing file gives its entry over.
 */
static int vfat_rename(struct inode *old_dir, struct dentry *old_dentry,
		       struct inode *new_dir, struct dentry *new_dentry)
{
	struct inode *inode = old_dentry->d_inode, *target = new_dentry->d_inode;
	struct msdos_dir_entry *dotdot = NULL, *de;
	struct buffer_head *dotdot_bh = NULL, *bh;
	struct fat_slot_info old, new;
	int is_dir = S_ISDIR(inode->i_mode), err;

	err = vfat_find(old_dir, &old_dentry->d_name, &old);
	if (!err && old.i_pos != VFAT_I(inode)->i_pos)
		err = -ENOENT;
	if (err)
		return err;
	if (is_dir) {
		dotdot = fat_dotdot(inode, &dotdot_bh);
		if (!dotdot)
			return -EIO;
	}
	if (target) {
		err = vfat_find(new_dir, &new_dentry->d_name, &new);
		if (!err && new.i_pos != VFAT_I(target)->i_pos)
			err = -ENOENT;
		if (!err && is_dir)
			err = fat_dir_empty(target);
		if (!err) {
			bh = sb_bread(new_dir->i_sb, new.i_pos / fat_entries_per_block(new_dir->i_sb));
			if (bh) {
				de = (struct msdos_dir_entry *)bh->b_data +
				     new.i_pos % fat_entries_per_block(new_dir->i_sb);
				de->attr = fat_make_attrs(inode);
				de->size = is_dir ? 0 : cpu_to_le32((u32)inode->i_size);
				fat_set_entry_start(de, VFAT_I(inode)->start);
				mark_buffer_dirty(bh);
				brelse(bh);
			} else {
				err = -EIO;
			}
		}
		if (!err)
			fat_detach(target);
	} else {
		err = vfat_add_entry(new_dir, &new_dentry->d_name, &old.de, &new);
	}
	if (err) {
		brelse(dotdot_bh);
		return err;
	}
	fat_detach(inode);
	fat_attach(inode, new.i_pos);
	mark_inode_dirty(inode);
	/* Adding the new name can move nothing: the old one is where it was. */
	err = vfat_remove_slots(old_dir, &old);
	fat_touch_dir(old_dir);
	if (target) {
		target->i_nlink = 0;
		target->i_ctime = CURRENT_TIME;
		mark_inode_dirty(target);
		fat_touch_dir(new_dir);
		if (is_dir)
			new_dir->i_nlink--;
	}
	if (dotdot) {
		fat_set_entry_start(dotdot, new_dir->i_ino == MSDOS_ROOT_INO ? 0 : VFAT_I(new_dir)->start);
		mark_buffer_dirty(dotdot_bh);
		brelse(dotdot_bh);
		old_dir->i_nlink--;
		new_dir->i_nlink++;
	}
	return err;
}

static struct inode_operations vfat_dir_inode_operations = {
	.create = vfat_create,
	.lookup = vfat_lookup,
	.unlink = vfat_unlink,
	.mkdir = vfat_mkdir,
	.rmdir = vfat_rmdir,
	.rename = vfat_rename,
	.setattr = fat_setattr,
};
