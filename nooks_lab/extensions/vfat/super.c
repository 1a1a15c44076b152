/*
 * The volume: mount options, the BIOS parameter block, mount and umount.
 */

static const char *const vfat_shortname_names[] = { "lower", "win95", "winnt", "mixed" };
static const unsigned short vfat_shortname_flags[] = {
	SHORTNAME_DISPLAY_LOWER,
	0,
	SHORTNAME_DISPLAY_WINNT | SHORTNAME_CREATE_WINNT,
	SHORTNAME_DISPLAY_WINNT,
};

/* Whether an option is the one of this name; *value is what follows the equals sign, of *len bytes. */
static int vfat_option(const char *option, int *len, const char *name, const char **value)
{
	int n = strlen(name);

	if (*len < n || memcmp(option, name, n))
		return 0;
	if (name[n - 1] != '=')
		return *len == n;
	*value = option + n;
	*len -= n;
	return 1;
}

static int vfat_number(const char *value, int len, unsigned int base, unsigned int *number)
{
	unsigned int digit, n = 0;

	if (len <= 0)
		return -EINVAL;
	for (; len > 0; value++, len--) {
		digit = *value - '0';
		if (digit >= base || n > 0xffffffff / base - 1)
			return -EINVAL;
		n = n * base + digit;
	}
	*number = n;
	return 0;
}

static int vfat_word(const char *value, int len, const char *word)
{
	return len == (int)strlen(word) && !memcmp(value, word, len);
}

static int vfat_parse_option(const char *option, int len, struct vfat_options *opts)
{
	const char *value = NULL;
	unsigned int number, i;

	if (vfat_option(option, &len, "uid=", &value))
		return vfat_number(value, len, 10, &opts->uid);
	if (vfat_option(option, &len, "gid=", &value))
		return vfat_number(value, len, 10, &opts->gid);
	if (vfat_option(option, &len, "umask=", &value)) {
		if (vfat_number(value, len, 8, &number) || number > S_IRWXUGO)
			return -EINVAL;
		opts->umask = number;
		return 0;
	}
	if (vfat_option(option, &len, "iocharset=", &value)) {
		if (!vfat_word(value, len, "utf8") && !vfat_word(value, len, "iso8859-1"))
			return -EINVAL;
		opts->utf8 = vfat_word(value, len, "utf8");
		return 0;
	}
	if (vfat_option(option, &len, "utf8", &value)) {
		opts->utf8 = 1;
		return 0;
	}
	if (vfat_option(option, &len, "quiet", &value)) {
		opts->quiet = 1;
		return 0;
	}
	/* The short names are read in code page 437, and written in ASCII. */
	if (vfat_option(option, &len, "codepage=", &value))
		return vfat_word(value, len, "437") ? 0 : -EINVAL;
	if (vfat_option(option, &len, "shortname=", &value)) {
		for (i = 0; i < ARRAY_SIZE(vfat_shortname_names); i++)
			if (vfat_word(value, len, vfat_shortname_names[i])) {
				opts->shortname = vfat_shortname_flags[i];
				return 0;
			}
	}
	return -EINVAL;
}

static int vfat_parse_options(const char *options, struct vfat_options *opts)
{
	char text[64];
	int len, err;

	opts->uid = current->uid;
	opts->gid = 0;
	opts->umask = S_IWGRP | S_IWOTH;
	opts->shortname = SHORTNAME_DISPLAY_WINNT;
	opts->utf8 = 0;
	opts->quiet = 0;
	while (options && *options) {
		for (len = 0; options[len] && options[len] != ','; len++)
			;
		err = len ? vfat_parse_option(options, len, opts) : 0;
		if (err) {
			snprintf(text, sizeof(text), "%.*s", len, options);
			printk(KERN_ERR "VFAT: the mount option \"%s\" is none, or has no such value\n", text);
			return err;
		}
		options += len;
		if (*options)
			options++;
	}
	return 0;
}

static int fat_is_power_of_2(unsigned int n)
{
	return n && !(n & (n - 1));
}

static unsigned int fat_log2(unsigned int n)
{
	unsigned int bits = 0;

	while (n >>= 1)
		bits++;
	return bits;
}

static u16 fat_u16(const void *at)
{
	const u8 *bytes = at;

	return bytes[0] | bytes[1] << 8;
}

/* Says what is wrong with a boot sector, or NULL when it may be that of a FAT volume. */
static const char *fat_check_boot_sector(const struct fat_boot_sector *b)
{
	unsigned int sector_size = le16_to_cpu(b->sector_size);

	if (fat_u16((const u8 *)b + BOOT_SIGNATURE_OFFSET) != BOOT_SIGNATURE)
		return "has no boot sector signature";
	if (!fat_is_power_of_2(sector_size) || sector_size < 512 || sector_size > 4096)
		return "has a bogus sector size";
	if (!fat_is_power_of_2(b->sec_per_clus) || b->sec_per_clus * sector_size > 65536)
		return "has a bogus cluster size";
	if (!b->reserved)
		return "has no reserved sectors";
	if (!b->fats)
		return "has no FAT";
	if (b->media < 0xf8 && b->media != 0xf0)
		return "has a bogus media byte";
	return NULL;
}

/* What follows from the BIOS parameter block; says what is wrong with it, or NULL. */
static const char *fat_read_geometry(struct vfat_sb *sbi, const struct fat_boot_sector *b)
{
	unsigned int sector_size = le16_to_cpu(b->sector_size);
	unsigned int sector_bits = fat_log2(sector_size);
	unsigned long root_sectors, needed;
	unsigned long clusters;
	int is_fat32 = !b->fat_length;

	sbi->sec_bits = fat_log2(b->sec_per_clus);
	sbi->cluster_bits = sector_bits + sbi->sec_bits;
	sbi->fats = b->fats;
	sbi->mirror = 1;
	sbi->fat_start = le16_to_cpu(b->reserved);
	sbi->fat_length = is_fat32 ? le32_to_cpu(b->fat32_length) : le16_to_cpu(b->fat_length);
	sbi->total_sect = b->sectors ? le16_to_cpu(b->sectors) : le32_to_cpu(b->total_sect);
	sbi->dir_entries = le16_to_cpu(b->dir_entries);
	if (!sbi->fat_length || sbi->fat_length > 0x10000000 / sbi->fats)
		return "has a FAT of a bogus length";
	if (sbi->dir_entries & ((sector_size >> MSDOS_DIR_BITS) - 1))
		return "has a root directory that ends within a sector";
	root_sectors = sbi->dir_entries >> (sector_bits - MSDOS_DIR_BITS);
	sbi->dir_start = sbi->fat_start + sbi->fats * sbi->fat_length;
	sbi->data_start = sbi->dir_start + root_sectors;
	if (sbi->data_start >= sbi->total_sect)
		return "has no room for data";
	clusters = (sbi->total_sect - sbi->data_start) >> sbi->sec_bits;
	if (!clusters || clusters > FAT32_MAX_CLUSTERS)
		return "has a bogus number of clusters";
	if (is_fat32)
		sbi->fat_bits = 32;
	else if (clusters > FAT16_MAX_CLUSTERS)
		return "has too many clusters for FAT16";
	else
		sbi->fat_bits = clusters > FAT12_MAX_CLUSTERS ? 16 : 12;
	if (is_fat32 ? sbi->dir_entries != 0 : !sbi->dir_entries)
		return "has a root directory of a bogus size";
	sbi->max_cluster = clusters + FAT_START_ENT;
	needed = sbi->fat_bits == 12 ? (sbi->max_cluster * 3 + 1) / 2 : sbi->max_cluster * (sbi->fat_bits / 8);
	if ((needed + sector_size - 1) >> sector_bits > sbi->fat_length)
		return "has a FAT too short for its clusters";
	if (!is_fat32)
		return NULL;
	if (b->version)
		return "has an unknown version of FAT32";
	sbi->root_cluster = le32_to_cpu(b->root_cluster);
	if (!fat_valid_cluster(sbi, sbi->root_cluster))
		return "has its root directory at a bogus cluster";
	if (le16_to_cpu(b->flags) & FAT32_NO_MIRROR) {
		sbi->mirror = 0;
		sbi->active_fat = le16_to_cpu(b->flags) & FAT32_ACTIVE_FAT;
		if (sbi->active_fat >= sbi->fats)
			return "has an active FAT that there is not";
	}
	sbi->fsinfo_sector = le16_to_cpu(b->info_sector);
	if (sbi->fsinfo_sector == 0xffff || sbi->fsinfo_sector >= sbi->fat_start)
		sbi->fsinfo_sector = 0;
	return NULL;
}

/* The number of free clusters as it was when the volume was last in use, if somebody wrote it down. */
static void fat_read_fsinfo(struct super_block *sb)
{
	struct vfat_sb *sbi = VFAT_SB(sb);
	struct fat_fsinfo *fsinfo;
	struct buffer_head *bh;
	u32 free, next;

	if (!sbi->fsinfo_sector)
		return;
	bh = sb_bread(sb, sbi->fsinfo_sector);
	fsinfo = bh ? (struct fat_fsinfo *)bh->b_data : NULL;
	if (!fsinfo || le32_to_cpu(fsinfo->lead_signature) != FSINFO_LEAD ||
	    le32_to_cpu(fsinfo->signature) != FSINFO_STRUC) {
		printk(KERN_WARNING "VFAT: %s has no FSINFO sector\n", kdevname(sb->s_dev));
		sbi->fsinfo_sector = 0;
	} else {
		free = le32_to_cpu(fsinfo->free_clusters);
		next = le32_to_cpu(fsinfo->next_cluster);
		if (free <= (u32)(sbi->max_cluster - FAT_START_ENT))
			sbi->free_clusters = free;
		if (fat_valid_cluster(sbi, next))
			sbi->prev_free = next;
	}
	brelse(bh);
}

/* Reads the boot sector and all that follows from it into *sbi. Returns 0, or an error it has told of. */
static int fat_read_boot_sector(struct super_block *sb, struct vfat_sb *sbi, int silent)
{
	struct fat_boot_sector *b;
	struct buffer_head *bh;
	unsigned int sector_size = 512;
	const char *wrong;

	sb->s_blocksize = 512;
	sb->s_blocksize_bits = 9;
	if (set_blocksize(sb->s_dev, 512) && set_blocksize(sb->s_dev, get_hardsect_size(sb->s_dev))) {
		printk(KERN_ERR "VFAT: %s cannot be read in blocks of 512 bytes\n", kdevname(sb->s_dev));
		return -EINVAL;
	}
	bh = sb_bread(sb, 0);
	if (!bh) {
		printk(KERN_ERR "VFAT: the boot sector of %s cannot be read\n", kdevname(sb->s_dev));
		return -EIO;
	}
	b = (struct fat_boot_sector *)bh->b_data;
	wrong = fat_check_boot_sector(b);
	if (!wrong)
		wrong = fat_read_geometry(sbi, b);
	if (!wrong) {
		sector_size = le16_to_cpu(b->sector_size);
		if (sector_size < (unsigned int)get_hardsect_size(sb->s_dev))
			wrong = "has smaller sectors than the disk";
	}
	brelse(bh);
	if (wrong) {
		if (!silent)
			printk(KERN_ERR "VFAT: %s is no FAT file system: it %s\n", kdevname(sb->s_dev), wrong);
		return -EINVAL;
	}
	sb->s_blocksize = sector_size;
	sb->s_blocksize_bits = fat_log2(sector_size);
	if (sector_size != 512 && set_blocksize(sb->s_dev, sector_size)) {
		printk(KERN_ERR "VFAT: %s cannot be read in blocks of %u bytes\n", kdevname(sb->s_dev), sector_size);
		return -EINVAL;
	}
	/* Of a volume cut short, what is there can still be read. */
	bh = sb_bread(sb, sbi->total_sect - 1);
	if (!bh) {
		printk(KERN_ERR "VFAT: %s is shorter than its %lu sectors\n", kdevname(sb->s_dev), sbi->total_sect);
		fat_set_read_only(sb);
	}
	brelse(bh);
	return 0;
}

static struct super_operations vfat_sops;

static struct super_block *vfat_read_super(struct super_block *sb, void *data, int silent)
{
	struct inode *root = NULL;
	struct vfat_sb *sbi;
	int i;

	sbi = kmalloc(sizeof(*sbi), GFP_KERNEL);
	if (!sbi)
		return NULL;
	memset(sbi, 0, sizeof(*sbi));
	sbi->free_clusters = -1;
	sbi->prev_free = FAT_START_ENT - 1;
	init_MUTEX(&sbi->fat_lock);
	for (i = 0; i < FAT_HASH_SIZE; i++)
		INIT_LIST_HEAD(&sbi->inode_hash[i]);
	sb->u.generic_sbp = sbi;
	if (vfat_parse_options(data, &sbi->options) || fat_read_boot_sector(sb, sbi, silent))
		goto out;
	sb->s_magic = MSDOS_SUPER_MAGIC;
	sb->s_op = &vfat_sops;
	sb->s_maxbytes = 0xffffffff;
	fat_read_fsinfo(sb);
	root = new_inode(sb);
	if (!root)
		goto out;
	if (fat_read_root(root)) {
		make_bad_inode(root);
		goto out;
	}
	insert_inode_hash(root);
	sb->s_root = d_alloc_root(root);
	if (!sb->s_root)
		goto out;
	sb->s_root->d_op = &vfat_dentry_ops;
	if (!(sb->s_flags & MS_RDONLY) && !fat_set_clean_shutdown(sb, 0)) {
		printk(KERN_WARNING "VFAT: %s was not unmounted; its free clusters are counted again\n",
		       kdevname(sb->s_dev));
		if (fat_count_free(sb) < 0)
			printk(KERN_WARNING "VFAT: the free clusters of %s cannot be counted\n",
			       kdevname(sb->s_dev));
	}
	return sb;

out:
	if (root)
		iput(root);
	sb->u.generic_sbp = NULL;
	kfree(sbi);
	return NULL;
}

static void vfat_write_super(struct super_block *sb)
{
	if (!(sb->s_flags & MS_RDONLY))
		fat_write_fsinfo(sb);
	sb->s_dirt = 0;
}

static void vfat_put_super(struct super_block *sb)
{
	struct vfat_sb *sbi = VFAT_SB(sb);

	if (!(sb->s_flags & MS_RDONLY)) {
		fat_write_fsinfo(sb);
		fat_set_clean_shutdown(sb, 1);
	}
	sb->s_dirt = 0;
	sb->u.generic_sbp = NULL;
	kfree(sbi);
}

static int vfat_statfs(struct super_block *sb, struct statfs *buf)
{
	struct vfat_sb *sbi = VFAT_SB(sb);
	int free = sbi->free_clusters;

	if (free < 0)
		free = fat_count_free(sb);
	if (free < 0)
		return free;
	buf->f_type = sb->s_magic;
	buf->f_bsize = 1L << sbi->cluster_bits;
	buf->f_blocks = sbi->max_cluster - FAT_START_ENT;
	buf->f_bfree = buf->f_bavail = free;
	buf->f_files = buf->f_ffree = 0;
	buf->f_namelen = VFAT_NAME_MAX;
	return 0;
}

static struct super_operations vfat_sops = {
	.write_inode = fat_write_inode,
	.delete_inode = fat_delete_inode,
	.put_super = vfat_put_super,
	.write_super = vfat_write_super,
	.statfs = vfat_statfs,
	.clear_inode = fat_clear_inode,
};
