/*
 * Inodes: made of directory entries, and written back to them.
 */

/* Days before each month, in a year that is no leap year. */
static const int fat_days_before[12] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };

#define SECONDS_PER_DAY (24 * 60 * 60)
/* FAT counts from 1980, which is 3652 days from 1970 on. */
#define FAT_EPOCH_DAYS 3652
#define FAT_LAST_YEAR 127

/* Local time of a directory entry, in two-second steps, to the kernel's; wrong dates give some time. */
static time_t fat_to_unix_time(u16 time, u16 date)
{
	int month = ((date >> 5) - 1) & 15, year = date >> 9, day = date & 31;
	long days;

	if (month > 11)
		month = 0;
	days = FAT_EPOCH_DAYS + year * 365 + (year + 3) / 4 + fat_days_before[month] + (day ? day - 1 : 0);
	/* Of the years from 1980 to 2107 every fourth is a leap year but 2100. */
	if (year % 4 == 0 && month > 1 && year != 120)
		days++;
	if (year > 120)
		days--;
	return days * SECONDS_PER_DAY + (time >> 11) * 3600 + (time >> 5 & 63) * 60 + (time & 31) * 2 +
	       sys_tz.tz_minuteswest * 60;
}

static void fat_from_unix_time(time_t when, u16 *time, u16 *date)
{
	long seconds, days;
	int year, month, leap;

	when -= sys_tz.tz_minuteswest * 60;
	if (when < FAT_EPOCH_DAYS * SECONDS_PER_DAY)
		when = FAT_EPOCH_DAYS * SECONDS_PER_DAY;
	days = when / SECONDS_PER_DAY - FAT_EPOCH_DAYS;
	seconds = when % SECONDS_PER_DAY;
	for (year = 0; year < FAT_LAST_YEAR; year++) {
		leap = year % 4 == 0 && year != 120;
		if (days < 365 + leap)
			break;
		days -= 365 + leap;
	}
	leap = year % 4 == 0 && year != 120;
	for (month = 11; month > 0; month--)
		if (days >= fat_days_before[month] + (leap && month > 1))
			break;
	days -= fat_days_before[month] + (leap && month > 1);
	*date = cpu_to_le16(year << 9 | (month + 1) << 5 | (days + 1));
	*time = cpu_to_le16(seconds / 3600 << 11 | seconds / 60 % 60 << 5 | seconds % 60 / 2);
}

/* The inodes in use, by their entries: an entry may not have two inodes. */

static struct list_head *fat_hash_chain(struct super_block *sb, unsigned long i_pos)
{
	return &VFAT_SB(sb)->inode_hash[i_pos % FAT_HASH_SIZE];
}

static void fat_attach(struct inode *inode, unsigned long i_pos)
{
	struct vfat_inode *vi = VFAT_I(inode);

	vi->i_pos = i_pos;
	list_add(&vi->hash, fat_hash_chain(inode->i_sb, i_pos));
}

static void fat_detach(struct inode *inode)
{
	struct vfat_inode *vi = VFAT_I(inode);

	vi->i_pos = 0;
	list_del_init(&vi->hash);
}

/* Returns the inode of an entry, if it is in use; the caller drops it with iput. */
static struct inode *fat_find_inode(struct super_block *sb, unsigned long i_pos)
{
	struct list_head *chain = fat_hash_chain(sb, i_pos), *at;

	list_for_each(at, chain) {
		struct vfat_inode *vi = list_entry(at, struct vfat_inode, hash);

		if (vi->i_pos == i_pos)
			return igrab(vi->inode);
	}
	return NULL;
}

static umode_t fat_make_mode(struct super_block *sb, u32 attr)
{
	mode_t mode = attr & ATTR_RO && !(attr & ATTR_DIR) ? S_IRUGO | S_IXUGO : S_IRWXUGO;

	return (mode & ~VFAT_SB(sb)->options.umask) | (attr & ATTR_DIR ? S_IFDIR : S_IFREG);
}

static u32 fat_make_attrs(struct inode *inode)
{
	u32 attr = VFAT_I(inode)->attrs;

	if (S_ISDIR(inode->i_mode))
		attr |= ATTR_DIR;
	else if (!(inode->i_mode & S_IWUGO))
		attr |= ATTR_RO;
	return attr;
}

static struct vfat_inode *fat_alloc_info(struct inode *inode)
{
	struct vfat_inode *vi = kmalloc(sizeof(*vi), GFP_KERNEL);

	if (vi) {
		memset(vi, 0, sizeof(*vi));
		vi->inode = inode;
		INIT_LIST_HEAD(&vi->hash);
		inode->u.generic_ip = vi;
	}
	return vi;
}

/* A directory's entry has no size: its clusters are counted. */
static int fat_calc_dir_size(struct inode *inode)
{
	struct super_block *sb = inode->i_sb;
	struct vfat_sb *sbi = VFAT_SB(sb);
	int limit = FAT_MAX_DIR_SIZE >> sbi->cluster_bits;
	struct fat_position last;
	int err;

	if (!fat_valid_cluster(sbi, VFAT_I(inode)->start)) {
		fat_fs_panic(sb, "a directory begins at cluster 0x%08x", VFAT_I(inode)->start);
		return -EIO;
	}
	err = fat_get_cluster(inode, limit ? limit : 1, &last);
	if (err < 0)
		return err;
	if (!err) {
		fat_fs_panic(sb, "the directory at cluster 0x%08x has no end", VFAT_I(inode)->start);
		return -EIO;
	}
	inode->i_size = (loff_t)(last.file_cluster + 1) << sbi->cluster_bits;
	return 0;
}

static int fat_count_subdirs(struct inode *dir)
{
	struct fat_walk walk;
	int count = 0;

	fat_walk_begin(&walk, 0);
	while (fat_walk_next(dir, &walk) > 0)
		if (walk.de->attr & ATTR_DIR && !fat_is_dot(walk.de))
			count++;
	fat_walk_end(&walk);
	return count;
}

static int fat_fill_dir(struct inode *inode)
{
	int err = fat_calc_dir_size(inode);

	if (err)
		return err;
	inode->i_op = &vfat_dir_inode_operations;
	inode->i_fop = &fat_dir_operations;
	VFAT_I(inode)->mmu_private = inode->i_size;
	inode->i_nlink = fat_count_subdirs(inode) + 2;
	return 0;
}

static void fat_fill_file(struct inode *inode, u32 size)
{
	inode->i_op = &fat_file_inode_operations;
	inode->i_fop = &fat_file_operations;
	inode->i_mapping->a_ops = &fat_aops;
	inode->i_size = size;
	inode->i_nlink = 1;
	VFAT_I(inode)->mmu_private = size;
}

static int fat_fill_inode(struct inode *inode, const struct msdos_dir_entry *de)
{
	struct super_block *sb = inode->i_sb;
	struct vfat_sb *sbi = VFAT_SB(sb);
	unsigned long cluster = 1UL << sbi->cluster_bits;
	int err;

	if (!fat_alloc_info(inode))
		return -ENOMEM;
	inode->i_uid = sbi->options.uid;
	inode->i_gid = sbi->options.gid;
	inode->i_mode = fat_make_mode(sb, de->attr);
	inode->i_version++;
	inode->i_generation = 0;
	VFAT_I(inode)->start = fat_entry_start(sbi, de);
	VFAT_I(inode)->attrs = de->attr & (ATTR_HIDDEN | ATTR_SYS | ATTR_ARCH);
	if (de->attr & ATTR_DIR) {
		VFAT_I(inode)->attrs |= de->attr & ATTR_RO;
		err = fat_fill_dir(inode);
		if (err)
			return err;
	} else {
		fat_fill_file(inode, le32_to_cpu(de->size));
	}
	inode->i_blksize = cluster;
	inode->i_blocks = (unsigned long)((inode->i_size + cluster - 1) >> sbi->cluster_bits)
			  << (sbi->cluster_bits - 9);
	inode->i_mtime = inode->i_atime = fat_to_unix_time(le16_to_cpu(de->time), le16_to_cpu(de->date));
	inode->i_ctime = de->cdate ? fat_to_unix_time(le16_to_cpu(de->ctime), le16_to_cpu(de->cdate)) :
				     inode->i_mtime;
	if (de->adate)
		inode->i_atime = fat_to_unix_time(0, le16_to_cpu(de->adate));
	return 0;
}

/* Returns the inode of an entry: the one in use, or a new one. NULL with *err when there is none. */
static struct inode *fat_build_inode(struct super_block *sb, const struct msdos_dir_entry *de,
				     unsigned long i_pos, int *err)
{
	struct inode *inode = fat_find_inode(sb, i_pos);

	*err = 0;
	if (inode)
		return inode;
	inode = new_inode(sb);
	if (!inode) {
		*err = -ENOMEM;
		return NULL;
	}
	inode->i_ino = iunique(sb, MSDOS_ROOT_INO);
	*err = fat_fill_inode(inode, de);
	if (*err) {
		/* Nothing of it may reach the disk, or be freed there. */
		make_bad_inode(inode);
		iput(inode);
		return NULL;
	}
	fat_attach(inode, i_pos);
	insert_inode_hash(inode);
	return inode;
}

static int fat_read_root(struct inode *inode)
{
	struct super_block *sb = inode->i_sb;
	struct vfat_sb *sbi = VFAT_SB(sb);
	int err = 0;

	if (!fat_alloc_info(inode))
		return -ENOMEM;
	inode->i_ino = MSDOS_ROOT_INO;
	inode->i_uid = sbi->options.uid;
	inode->i_gid = sbi->options.gid;
	inode->i_mode = fat_make_mode(sb, ATTR_DIR);
	inode->i_version++;
	inode->i_generation = 0;
	inode->i_blksize = 1UL << sbi->cluster_bits;
	if (sbi->fat_bits == 32) {
		VFAT_I(inode)->start = sbi->root_cluster;
		err = fat_fill_dir(inode);
	} else {
		inode->i_op = &vfat_dir_inode_operations;
		inode->i_fop = &fat_dir_operations;
		inode->i_size = (loff_t)sbi->dir_entries << MSDOS_DIR_BITS;
		VFAT_I(inode)->mmu_private = inode->i_size;
		inode->i_nlink = fat_count_subdirs(inode) + 2;
	}
	inode->i_blocks = (unsigned long)inode->i_size >> 9;
	inode->i_mtime = inode->i_atime = inode->i_ctime = 0;
	return err;
}

static void fat_write_inode(struct inode *inode, int sync)
{
	struct super_block *sb = inode->i_sb;
	struct vfat_inode *vi = VFAT_I(inode);
	struct msdos_dir_entry *de;
	struct buffer_head *bh;
	unsigned long i_pos;
	u16 unused;

	if (!vi)
		return;
again:
	i_pos = vi->i_pos;
	if (inode->i_ino == MSDOS_ROOT_INO || !i_pos)
		return;
	bh = sb_bread(sb, i_pos / fat_entries_per_block(sb));
	if (!bh) {
		fat_fs_panic(sb, "the directory entry %lu cannot be read", i_pos);
		return;
	}
	/* It may have been renamed while we slept. */
	if (i_pos != vi->i_pos) {
		brelse(bh);
		goto again;
	}
	de = (struct msdos_dir_entry *)bh->b_data + i_pos % fat_entries_per_block(sb);
	de->attr = fat_make_attrs(inode);
	de->size = S_ISDIR(inode->i_mode) ? 0 : cpu_to_le32((u32)inode->i_size);
	fat_set_entry_start(de, vi->start);
	fat_from_unix_time(inode->i_mtime, &de->time, &de->date);
	fat_from_unix_time(inode->i_ctime, &de->ctime, &de->cdate);
	fat_from_unix_time(inode->i_atime, &unused, &de->adate);
	de->ctime_cs = 0;
	mark_buffer_dirty(bh);
	if (sync) {
		ll_rw_block(WRITE, 1, &bh);
		wait_on_buffer(bh);
	}
	brelse(bh);
}

/* The last user of a removed file has gone. */
static void fat_delete_inode(struct inode *inode)
{
	if (!is_bad_inode(inode) && VFAT_I(inode)) {
		inode->i_size = 0;
		fat_truncate(inode);
	}
	clear_inode(inode);
}

static void fat_clear_inode(struct inode *inode)
{
	struct vfat_inode *vi = VFAT_I(inode);

	if (!vi)
		return;
	list_del(&vi->hash);
	inode->u.generic_ip = NULL;
	kfree(vi);
}
