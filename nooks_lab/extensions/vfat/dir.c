/*
 * Directories: their entries, one after another; finding, adding and
 * removing names; readdir.
 */

/*
 * Goes to the entry at *pos, and *pos to the one behind it. *bh holds the
 * block meanwhile; the caller releases it. Returns 1, 0 at the end of the
 * directory, or an error.
 */
static int fat_get_entry(struct inode *dir, loff_t *pos, struct buffer_head **bh,
			 struct msdos_dir_entry **de, unsigned long *i_pos)
{
	struct super_block *sb = dir->i_sb;
	unsigned long offset = *pos & (sb->s_blocksize - 1);
	unsigned long block;
	int err;

	if (*pos >= FAT_MAX_DIR_SIZE)
		return 0;
	if (!*bh || !offset) {
		brelse(*bh);
		*bh = NULL;
		err = fat_bmap(dir, (unsigned long)*pos >> sb->s_blocksize_bits, &block);
		if (err || !block)
			return err;
		*bh = sb_bread(sb, block);
		if (!*bh) {
			printk(KERN_ERR "VFAT: block %lu of a directory of %s cannot be read\n", block,
			       kdevname(sb->s_dev));
			return -EIO;
		}
	}
	*de = (struct msdos_dir_entry *)((*bh)->b_data + offset);
	*i_pos = (*bh)->b_blocknr * fat_entries_per_block(sb) + (offset >> MSDOS_DIR_BITS);
	*pos += MSDOS_DIR_SIZE;
	return 1;
}

/* A walk over the names of a directory, and the name that it has come to. */
struct fat_walk {
	loff_t pos;			/* behind the entry */
	loff_t first;			/* of its slots, or of the entry if it has none */
	struct buffer_head *bh;
	struct msdos_dir_entry *de;
	unsigned long i_pos;
	int long_len;			/* characters of the long name; 0: none */
	u16 uni[VFAT_NAME_BUF];
};

static void fat_walk_begin(struct fat_walk *walk, loff_t pos)
{
	walk->pos = pos;
	walk->bh = NULL;
}

static void fat_walk_end(struct fat_walk *walk)
{
	brelse(walk->bh);
	walk->bh = NULL;
}

/* The characters of one slot; bytes, since the middle ones lie at odd addresses. */
static void fat_slot_chars(const struct msdos_dir_slot *slot, u16 *uni)
{
	int i;

	for (i = 0; i < 5; i++)
		uni[i] = slot->name0_4[2 * i] | slot->name0_4[2 * i + 1] << 8;
	for (i = 0; i < 6; i++)
		uni[5 + i] = slot->name5_10[2 * i] | slot->name5_10[2 * i + 1] << 8;
	for (i = 0; i < 2; i++)
		uni[11 + i] = slot->name11_12[2 * i] | slot->name11_12[2 * i + 1] << 8;
}

static void fat_set_slot_chars(struct msdos_dir_slot *slot, const u16 *uni)
{
	int i;

	for (i = 0; i < 5; i++) {
		slot->name0_4[2 * i] = uni[i];
		slot->name0_4[2 * i + 1] = uni[i] >> 8;
	}
	for (i = 0; i < 6; i++) {
		slot->name5_10[2 * i] = uni[5 + i];
		slot->name5_10[2 * i + 1] = uni[5 + i] >> 8;
	}
	for (i = 0; i < 2; i++) {
		slot->name11_12[2 * i] = uni[11 + i];
		slot->name11_12[2 * i + 1] = uni[11 + i] >> 8;
	}
}

/*
 * Goes to the next name: past free entries, volume labels, and long slots
 * that belong to no short name, which an old system has left behind when it
 * changed the name. Returns 1, 0 at the end, or an error.
 */
static int fat_walk_next(struct inode *dir, struct fat_walk *walk)
{
	struct msdos_dir_slot *slot;
	int slots = 0, expect = 0, order, err;
	loff_t at;
	u8 sum = 0;

	for (;;) {
		at = walk->pos;
		err = fat_get_entry(dir, &walk->pos, &walk->bh, &walk->de, &walk->i_pos);
		if (err <= 0)
			return err;
		/* An entry that was never used: nor are those behind it. */
		if (!walk->de->name[0])
			return 0;
		if (walk->de->name[0] == DELETED_FLAG) {
			slots = 0;
			continue;
		}
		if ((walk->de->attr & ATTR_EXT_MASK) == ATTR_EXT) {
			slot = (struct msdos_dir_slot *)walk->de;
			order = slot->id & LONG_ORDER_MASK;
			if (slot->id & LAST_LONG_ENTRY) {
				slots = order <= LONG_NAME_SLOTS ? order : 0;
				expect = slots;
				sum = slot->alias_checksum;
				walk->first = at;
			}
			if (!slots || order != expect || slot->alias_checksum != sum) {
				slots = 0;
				continue;
			}
			expect--;
			fat_slot_chars(slot, walk->uni + expect * LONG_SLOT_CHARS);
			continue;
		}
		if (!(walk->de->attr & ATTR_VOLUME))
			break;
		slots = 0;
	}
	walk->long_len = 0;
	if (slots && !expect && fat_checksum(walk->de->name) == sum) {
		while (walk->long_len < slots * LONG_SLOT_CHARS && walk->uni[walk->long_len])
			walk->long_len++;
		if (walk->long_len > VFAT_NAME_MAX)
			walk->long_len = 0;
	}
	if (!walk->long_len)
		walk->first = at;
	return 1;
}

static int fat_is_dot(const struct msdos_dir_entry *de)
{
	return !memcmp(de->name, MSDOS_DOT, MSDOS_NAME) || !memcmp(de->name, MSDOS_DOTDOT, MSDOS_NAME);
}

static int fat_entry_start(struct vfat_sb *sbi, const struct msdos_dir_entry *de)
{
	int start = le16_to_cpu(de->start);

	if (sbi->fat_bits == 32)
		start |= le16_to_cpu(de->starthi) << 16;
	return start;
}

static void fat_set_entry_start(struct msdos_dir_entry *de, int start)
{
	de->start = cpu_to_le16(start);
	de->starthi = cpu_to_le16(start >> 16);
}

/* Where a name is in its directory. */
struct fat_slot_info {
	loff_t first;
	int slots;			/* long ones and the short one */
	unsigned long i_pos;
	struct msdos_dir_entry de;
};

/* Finds a name, by its long or its short form. */
static int vfat_find(struct inode *dir, struct qstr *qname, struct fat_slot_info *found)
{
	struct vfat_options *opts = &VFAT_SB(dir->i_sb)->options;
	u16 wanted[VFAT_NAME_MAX], alias[MSDOS_NAME + 2];
	struct fat_walk walk;
	int len, err;

	len = fat_name_to_uni(opts, qname->name, fat_striptail_len(qname->name, qname->len), wanted);
	if (len <= 0)
		return len ? len : -ENOENT;
	fat_walk_begin(&walk, 0);
	while ((err = fat_walk_next(dir, &walk)) > 0) {
		if (fat_is_dot(walk.de))
			continue;
		if (walk.long_len && !fat_uni_cmp(walk.uni, walk.long_len, wanted, len))
			break;
		if (!fat_uni_cmp(alias, fat_short_to_uni(opts, walk.de, alias), wanted, len))
			break;
	}
	if (err > 0) {
		found->first = walk.first;
		found->slots = (walk.pos - walk.first) >> MSDOS_DIR_BITS;
		found->i_pos = walk.i_pos;
		found->de = *walk.de;
	}
	fat_walk_end(&walk);
	return err > 0 ? 0 : err ? err : -ENOENT;
}

/* Whether a directory has a short name already; 1, 0 or an error. */
static int fat_short_exists(struct inode *dir, const u8 *name)
{
	struct buffer_head *bh = NULL;
	struct msdos_dir_entry *de;
	unsigned long i_pos;
	loff_t pos = 0;
	int err;

	while ((err = fat_get_entry(dir, &pos, &bh, &de, &i_pos)) > 0) {
		if (!de->name[0]) {
			err = 0;
			break;
		}
		if (!(de->attr & ATTR_VOLUME) && !memcmp(de->name, name, MSDOS_NAME))
			break;
	}
	brelse(bh);
	return err;
}

/* Chooses the short name for a long one; *is_long says whether the long one must be written too. */
static int vfat_create_shortname(struct inode *dir, const u16 *uni, int len, u8 *name, u8 *lcase, int *is_long)
{
	struct vfat_options *opts = &VFAT_SB(dir->i_sb)->options;
	int base_len, number, err;
	u8 base[MSDOS_NAME];

	*is_long = 0;
	if (fat_short_as_is(uni, len, name, lcase) && (!*lcase || opts->shortname & SHORTNAME_CREATE_WINNT))
		return 0;
	*lcase = 0;
	*is_long = 1;
	if (!fat_basis_name(uni, len, base, &base_len)) {
		memcpy(name, base, MSDOS_NAME);
		err = fat_short_exists(dir, name);
		if (err <= 0)
			return err;
	}
	for (number = 1; number < 1000000; number++) {
		if (number == 5)
			base_len = fat_hashed_base(uni, len, base, base_len);
		memcpy(name, base, MSDOS_NAME);
		fat_numeric_tail(name, base_len, number);
		err = fat_short_exists(dir, name);
		if (err <= 0)
			return err;
	}
	return -EEXIST;
}

/* Fills the slots of a new name, the short one last; returns how many. */
static int vfat_build_slots(struct inode *dir, struct qstr *qname, struct msdos_dir_slot *slots, u8 *lcase)
{
	struct vfat_options *opts = &VFAT_SB(dir->i_sb)->options;
	u16 uni[VFAT_NAME_BUF];
	int len, is_long, count, i, err;
	u8 name[MSDOS_NAME], sum;

	len = fat_name_to_uni(opts, qname->name, fat_striptail_len(qname->name, qname->len), uni);
	if (len < 0)
		return len;
	if (!fat_valid_longname(uni, len))
		return -EINVAL;
	err = vfat_create_shortname(dir, uni, len, name, lcase, &is_long);
	if (err)
		return err;
	count = 0;
	if (is_long) {
		count = (len + LONG_SLOT_CHARS - 1) / LONG_SLOT_CHARS;
		/* The end is marked if there is room, and what is left is filled up. */
		for (i = len; i < count * LONG_SLOT_CHARS; i++)
			uni[i] = i == len ? 0 : 0xffff;
		sum = fat_checksum(name);
		for (i = 0; i < count; i++) {
			struct msdos_dir_slot *slot = slots + count - 1 - i;

			memset(slot, 0, sizeof(*slot));
			slot->id = i + 1 == count ? (i + 1) | LAST_LONG_ENTRY : i + 1;
			slot->attr = ATTR_EXT;
			slot->alias_checksum = sum;
			fat_set_slot_chars(slot, uni + i * LONG_SLOT_CHARS);
		}
	}
	memset(slots + count, 0, sizeof(*slots));
	memcpy(((struct msdos_dir_entry *)(slots + count))->name, name, MSDOS_NAME);
	return count + 1;
}

/* Gives a directory another cluster, of entries that were never used. */
static int fat_extend_dir(struct inode *dir)
{
	struct vfat_sb *sbi = VFAT_SB(dir->i_sb);
	struct fat_position last;
	int err;

	if (dir->i_ino == MSDOS_ROOT_INO && sbi->fat_bits != 32)
		return -ENOSPC;
	if (dir->i_size + (1UL << sbi->cluster_bits) > FAT_MAX_DIR_SIZE)
		return -ENOSPC;
	err = fat_get_cluster(dir, dir->i_size >> sbi->cluster_bits, &last);
	if (err < 0)
		return err;
	if (!err) {
		fat_fs_panic(dir->i_sb, "the directory at cluster 0x%08x is longer than its size",
			     VFAT_I(dir)->start);
		return -EIO;
	}
	err = fat_add_cluster(dir, &last);
	if (err)
		return err;
	dir->i_size += 1UL << sbi->cluster_bits;
	VFAT_I(dir)->mmu_private = dir->i_size;
	mark_inode_dirty(dir);
	return 0;
}

/* Finds so many free entries in a row. *unused is set when they reach beyond all that were ever used. */
static int fat_find_room(struct inode *dir, int slots, loff_t *first, int *unused)
{
	struct buffer_head *bh = NULL;
	struct msdos_dir_entry *de;
	unsigned long i_pos;
	loff_t pos = 0;
	int free = 0, end = 0, err;

	*unused = 0;
	while (free < slots) {
		err = fat_get_entry(dir, &pos, &bh, &de, &i_pos);
		if (!err) {
			err = fat_extend_dir(dir);
			if (!err)
				continue;
		}
		if (err < 0) {
			brelse(bh);
			return err;
		}
		if (!de->name[0])
			end = 1;
		if (end || de->name[0] == DELETED_FLAG)
			free++;
		else
			free = 0;
		*first = pos - free * (loff_t)MSDOS_DIR_SIZE;
	}
	brelse(bh);
	*unused = end;
	return 0;
}

static int fat_write_slots(struct inode *dir, loff_t pos, const struct msdos_dir_slot *slots, int count,
			   int unused, unsigned long *i_pos)
{
	struct buffer_head *bh = NULL;
	struct msdos_dir_entry *de;
	unsigned long next;
	int i, err = 0;

	/* Behind the first entry never used there may be anything: the mark moves on first. */
	if (unused) {
		loff_t behind = pos + count * (loff_t)MSDOS_DIR_SIZE;

		if (behind < dir->i_size) {
			err = fat_get_entry(dir, &behind, &bh, &de, &next);
			if (err > 0 && de->name[0]) {
				de->name[0] = 0;
				mark_buffer_dirty(bh);
			}
			brelse(bh);
			bh = NULL;
			if (err < 0)
				return err;
		}
	}
	for (i = 0; i < count; i++) {
		err = fat_get_entry(dir, &pos, &bh, &de, i_pos);
		if (err <= 0)
			break;
		memcpy(de, slots + i, sizeof(*slots));
		mark_buffer_dirty(bh);
	}
	brelse(bh);
	return i == count ? 0 : err ? err : -EIO;
}

/* Frees the entries of a name; the short one, which makes it a file, first. */
static int vfat_remove_slots(struct inode *dir, const struct fat_slot_info *info)
{
	struct buffer_head *bh = NULL;
	struct msdos_dir_entry *de;
	unsigned long i_pos;
	loff_t pos;
	int i, err = 1;

	for (i = info->slots - 1; i >= 0 && err > 0; i--) {
		pos = info->first + i * (loff_t)MSDOS_DIR_SIZE;
		err = fat_get_entry(dir, &pos, &bh, &de, &i_pos);
		if (err > 0) {
			de->name[0] = DELETED_FLAG;
			mark_buffer_dirty(bh);
		}
		brelse(bh);
		bh = NULL;
	}
	return err > 0 ? 0 : err ? err : -EIO;
}

static void fat_touch_dir(struct inode *dir)
{
	dir->i_mtime = dir->i_ctime = dir->i_atime = CURRENT_TIME;
	dir->i_version++;
	mark_inode_dirty(dir);
}

/*
 * Adds a name to a directory, with the entry as given but for the name
 * itself; tells where it is now.
 */
static int vfat_add_entry(struct inode *dir, struct qstr *qname, const struct msdos_dir_entry *entry,
			  struct fat_slot_info *info)
{
	struct msdos_dir_slot *slots;
	struct msdos_dir_entry *de;
	u8 name[MSDOS_NAME], lcase;
	int count, unused, err;

	slots = kmalloc((LONG_NAME_SLOTS + 1) * sizeof(*slots), GFP_KERNEL);
	if (!slots)
		return -ENOMEM;
	count = vfat_build_slots(dir, qname, slots, &lcase);
	if (count < 0) {
		kfree(slots);
		return count;
	}
	de = (struct msdos_dir_entry *)(slots + count - 1);
	memcpy(name, de->name, MSDOS_NAME);
	*de = *entry;
	memcpy(de->name, name, MSDOS_NAME);
	de->lcase = lcase;
	err = fat_find_room(dir, count, &info->first, &unused);
	if (!err)
		err = fat_write_slots(dir, info->first, slots, count, unused, &info->i_pos);
	if (!err) {
		info->slots = count;
		info->de = *de;
		fat_touch_dir(dir);
	}
	kfree(slots);
	return err;
}

/* Returns 0 when a directory has nothing but itself and its parent in it. */
static int fat_dir_empty(struct inode *dir)
{
	struct fat_walk walk;
	int err;

	fat_walk_begin(&walk, 0);
	while ((err = fat_walk_next(dir, &walk)) > 0)
		if (!fat_is_dot(walk.de))
			break;
	fat_walk_end(&walk);
	return err > 0 ? -ENOTEMPTY : err;
}

/* readdir: "." and ".." are at the positions 0 and 1, and an entry at its own place plus 2. */
#define READDIR_FIRST 2

struct fat_readdir {
	struct fat_walk walk;
	unsigned char name[NAME_MAX];
};

static int fat_readdir_entries(struct inode *dir, struct file *filp, void *dirent, filldir_t filldir,
			       struct fat_readdir *rd)
{
	struct vfat_options *opts = &VFAT_SB(dir->i_sb)->options;
	struct fat_walk *walk = &rd->walk;
	u16 alias[MSDOS_NAME + 2];
	struct inode *inode;
	unsigned long ino;
	int len, err;

	while ((err = fat_walk_next(dir, walk)) > 0) {
		if (fat_is_dot(walk->de))
			continue;
		len = 0;
		if (walk->long_len)
			len = fat_uni_to_name(opts, walk->uni, walk->long_len, rd->name, sizeof(rd->name));
		/* What is too long for the kernel in this character set has its short name only. */
		if (len <= 0)
			len = fat_uni_to_name(opts, alias, fat_short_to_uni(opts, walk->de, alias), rd->name,
					      sizeof(rd->name));
		inode = fat_find_inode(dir->i_sb, walk->i_pos);
		if (inode) {
			ino = inode->i_ino;
			iput(inode);
		} else {
			ino = iunique(dir->i_sb, MSDOS_ROOT_INO);
		}
		if (filldir(dirent, (char *)rd->name, len, walk->first + READDIR_FIRST, ino,
			    walk->de->attr & ATTR_DIR ? DT_DIR : DT_REG) < 0)
			return 0;
		filp->f_pos = walk->pos + READDIR_FIRST;
	}
	return err;
}

static int fat_readdir(struct file *filp, void *dirent, filldir_t filldir)
{
	struct dentry *dentry = filp->f_dentry;
	struct inode *dir = dentry->d_inode;
	struct fat_readdir *rd;
	int err;

	if (filp->f_pos == 0) {
		if (filldir(dirent, ".", 1, 0, dir->i_ino, DT_DIR) < 0)
			return 0;
		filp->f_pos = 1;
	}
	if (filp->f_pos == 1) {
		if (filldir(dirent, "..", 2, 1, dentry->d_parent->d_inode->i_ino, DT_DIR) < 0)
			return 0;
		filp->f_pos = READDIR_FIRST;
	}
	if ((filp->f_pos - READDIR_FIRST) & (MSDOS_DIR_SIZE - 1))
		return -ENOENT;
	rd = kmalloc(sizeof(*rd), GFP_KERNEL);
	if (!rd)
		return -ENOMEM;
	fat_walk_begin(&rd->walk, filp->f_pos - READDIR_FIRST);
	err = fat_readdir_entries(dir, filp, dirent, filldir, rd);
	fat_walk_end(&rd->walk);
	kfree(rd);
	return err;
}
