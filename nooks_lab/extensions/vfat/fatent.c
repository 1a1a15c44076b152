/*
 * The file allocation table: its entries, free clusters, chains.
 */

/* A block of the table in use; the same one mostly serves the next entry too. */
struct fat_scan {
	struct super_block *sb;
	struct buffer_head *bh;
	unsigned long block;		/* of the table */
	int dirty;
};

static void fat_scan_begin(struct fat_scan *scan, struct super_block *sb)
{
	scan->sb = sb;
	scan->bh = NULL;
	scan->block = 0;
	scan->dirty = 0;
}

static int fat_copy_block(struct vfat_sb *sbi, unsigned int copy, unsigned long block)
{
	return sbi->fat_start + copy * sbi->fat_length + block;
}

/* Writes the block, and what it says to the other copies of the table. */
static void fat_scan_flush(struct fat_scan *scan)
{
	struct super_block *sb = scan->sb;
	struct vfat_sb *sbi = VFAT_SB(sb);
	struct buffer_head *copy;
	unsigned int i;

	if (!scan->dirty)
		return;
	scan->dirty = 0;
	mark_buffer_dirty(scan->bh);
	for (i = 0; sbi->mirror && i < sbi->fats; i++) {
		if (scan->bh->b_blocknr == (unsigned long)fat_copy_block(sbi, i, scan->block))
			continue;
		copy = sb_getblk(sb, fat_copy_block(sbi, i, scan->block));
		if (!copy)
			continue;
		memcpy(copy->b_data, scan->bh->b_data, sb->s_blocksize);
		mark_buffer_uptodate(copy, 1);
		mark_buffer_dirty(copy);
		brelse(copy);
	}
}

static void fat_scan_end(struct fat_scan *scan)
{
	fat_scan_flush(scan);
	brelse(scan->bh);
	scan->bh = NULL;
}

/* Returns where a byte of the table lies, or NULL when no copy of it can be read. */
static u8 *fat_scan_byte(struct fat_scan *scan, unsigned long offset)
{
	struct super_block *sb = scan->sb;
	struct vfat_sb *sbi = VFAT_SB(sb);
	unsigned long block = offset >> sb->s_blocksize_bits;
	unsigned int i;

	if (!scan->bh || scan->block != block) {
		fat_scan_end(scan);
		scan->block = block;
		scan->bh = sb_bread(sb, fat_copy_block(sbi, sbi->active_fat, block));
		for (i = 0; !scan->bh && sbi->mirror && i < sbi->fats; i++)
			if (i != sbi->active_fat)
				scan->bh = sb_bread(sb, fat_copy_block(sbi, i, block));
		if (!scan->bh) {
			printk(KERN_ERR "VFAT: block %lu of the FAT of %s cannot be read\n", block,
			       kdevname(sb->s_dev));
			return NULL;
		}
	}
	return (u8 *)scan->bh->b_data + (offset & (sb->s_blocksize - 1));
}

static unsigned long fat_entry_offset(struct vfat_sb *sbi, int nr)
{
	return sbi->fat_bits == 12 ? nr + (nr >> 1) : (unsigned long)nr * (sbi->fat_bits >> 3);
}

/* Reads an entry as FAT32 would have it; -EIO when it cannot be read or is none. */
static int fat_scan_get(struct fat_scan *scan, int nr)
{
	struct vfat_sb *sbi = VFAT_SB(scan->sb);
	unsigned long offset = fat_entry_offset(sbi, nr);
	u32 value, bad;
	u8 *at;

	if (!fat_valid_cluster(sbi, nr)) {
		fat_fs_panic(scan->sb, "invalid access to FAT (entry 0x%08x)", nr);
		return -EIO;
	}
	at = fat_scan_byte(scan, offset);
	if (!at)
		return -EIO;
	switch (sbi->fat_bits) {
	case 12:
		value = *at;
		/* One entry in three lies across two blocks, if at their border. */
		at = fat_scan_byte(scan, offset + 1);
		if (!at)
			return -EIO;
		value |= *at << 8;
		value = nr & 1 ? value >> 4 : value & 0xfff;
		bad = FAT_ENT_BAD & 0xfff;
		break;
	case 16:
		value = le16_to_cpu(*(u16 *)at);
		bad = FAT_ENT_BAD & 0xffff;
		break;
	default:
		value = le32_to_cpu(*(u32 *)at) & FAT32_ENT_MASK;
		bad = FAT_ENT_BAD;
	}
	if (value == bad)
		return FAT_ENT_BAD;
	return value > bad ? FAT_ENT_EOF : (int)value;
}

static int fat_scan_put(struct fat_scan *scan, int nr, u32 value)
{
	struct vfat_sb *sbi = VFAT_SB(scan->sb);
	unsigned long offset = fat_entry_offset(sbi, nr);
	u8 *at = fat_scan_byte(scan, offset);

	if (!at)
		return -EIO;
	switch (sbi->fat_bits) {
	case 12:
		*at = nr & 1 ? (*at & 0x0f) | value << 4 : value;
		scan->dirty = 1;
		at = fat_scan_byte(scan, offset + 1);
		if (!at)
			return -EIO;
		*at = nr & 1 ? value >> 4 : (*at & 0xf0) | (value >> 8 & 0x0f);
		break;
	case 16:
		*(u16 *)at = cpu_to_le16(value);
		break;
	default:
		/* The upper four bits are no part of the entry, and stay as they are. */
		*(u32 *)at = cpu_to_le32((le32_to_cpu(*(u32 *)at) & ~FAT32_ENT_MASK) | (value & FAT32_ENT_MASK));
	}
	scan->dirty = 1;
	return 0;
}

/* Returns the cluster that follows another in its chain, FAT_ENT_EOF, or -EIO when the chain is broken. */
static int fat_scan_next(struct fat_scan *scan, int nr)
{
	int next = fat_scan_get(scan, nr);

	if (next < 0 || next == FAT_ENT_EOF || fat_valid_cluster(VFAT_SB(scan->sb), next))
		return next;
	fat_fs_panic(scan->sb, "cluster 0x%08x of a file is followed by 0x%08x", nr, next);
	return -EIO;
}

/* Free clusters */

static int fat_count_free(struct super_block *sb)
{
	struct vfat_sb *sbi = VFAT_SB(sb);
	struct fat_scan scan;
	int nr, value, free = 0;

	lock_fat(sbi);
	fat_scan_begin(&scan, sb);
	for (nr = FAT_START_ENT; nr < sbi->max_cluster; nr++) {
		value = fat_scan_get(&scan, nr);
		if (value < 0) {
			free = value;
			break;
		}
		free += value == FAT_ENT_FREE;
	}
	fat_scan_end(&scan);
	if (free >= 0) {
		sbi->free_clusters = free;
		sbi->free_counted = 1;
		sb->s_dirt = 1;
	}
	unlock_fat(sbi);
	return free;
}

/*
 * Takes a free cluster and ends a chain with it; the FAT is locked. The
 * count in the FSINFO sector is a hint, so only our own says that the disk
 * is full.
 */
static int fat_alloc_cluster(struct super_block *sb)
{
	struct vfat_sb *sbi = VFAT_SB(sb);
	int clusters = sbi->max_cluster - FAT_START_ENT;
	int nr, i, value, err = -ENOSPC;
	struct fat_scan scan;

	if (sbi->free_counted && !sbi->free_clusters)
		return -ENOSPC;
	fat_scan_begin(&scan, sb);
	nr = sbi->prev_free;
	for (i = 0; i < clusters; i++) {
		if (++nr >= sbi->max_cluster)
			nr = FAT_START_ENT;
		value = fat_scan_get(&scan, nr);
		if (value == FAT_ENT_FREE)
			value = fat_scan_put(&scan, nr, FAT_ENT_EOF);
		else if (value > 0)
			continue;
		err = value;
		break;
	}
	fat_scan_end(&scan);
	if (err == -ENOSPC) {
		sbi->free_clusters = 0;
		sbi->free_counted = 1;
	}
	if (err)
		return err;
	sbi->prev_free = nr;
	if (sbi->free_clusters > 0)
		sbi->free_clusters--;
	sb->s_dirt = 1;
	return nr;
}

/*
 * Frees a chain from a cluster on; the FAT is locked. An entry that is free
 * already means that the chain runs into itself or into one freed before.
 */
static int fat_free_chain(struct super_block *sb, int nr)
{
	struct vfat_sb *sbi = VFAT_SB(sb);
	struct fat_scan scan;
	int next, err = 0;

	fat_scan_begin(&scan, sb);
	while (nr != FAT_ENT_EOF) {
		next = fat_scan_get(&scan, nr);
		if (next == FAT_ENT_FREE || (next > 0 && next != FAT_ENT_EOF && !fat_valid_cluster(sbi, next))) {
			fat_fs_panic(sb, "cluster 0x%08x of a file to be freed is followed by 0x%08x", nr, next);
			next = -EIO;
		}
		if (next >= 0)
			err = fat_scan_put(&scan, nr, FAT_ENT_FREE);
		else
			err = next;
		if (err)
			break;
		if (sbi->free_clusters >= 0)
			sbi->free_clusters++;
		nr = next;
	}
	fat_scan_end(&scan);
	sb->s_dirt = 1;
	return err;
}

/* Changes one entry; the FAT is locked. */
static int fat_put_entry(struct super_block *sb, int nr, u32 value)
{
	struct fat_scan scan;
	int err;

	fat_scan_begin(&scan, sb);
	err = fat_scan_put(&scan, nr, value);
	fat_scan_end(&scan);
	return err;
}

/* Gives back a cluster that no chain has yet. */
static void fat_release_cluster(struct super_block *sb, int nr)
{
	lock_fat(VFAT_SB(sb));
	fat_free_chain(sb, nr);
	unlock_fat(VFAT_SB(sb));
}

/* Writes what we know of the free clusters to the FSINFO sector of FAT32. */
static void fat_write_fsinfo(struct super_block *sb)
{
	struct vfat_sb *sbi = VFAT_SB(sb);
	struct fat_fsinfo *fsinfo;
	struct buffer_head *bh;

	if (!sbi->fsinfo_sector)
		return;
	bh = sb_bread(sb, sbi->fsinfo_sector);
	if (!bh) {
		printk(KERN_WARNING "VFAT: the FSINFO sector of %s cannot be read\n", kdevname(sb->s_dev));
		return;
	}
	fsinfo = (struct fat_fsinfo *)bh->b_data;
	if (fsinfo->free_clusters != cpu_to_le32(sbi->free_clusters) ||
	    fsinfo->next_cluster != cpu_to_le32(sbi->prev_free)) {
		fsinfo->free_clusters = cpu_to_le32(sbi->free_clusters);
		fsinfo->next_cluster = cpu_to_le32(sbi->prev_free);
		mark_buffer_dirty(bh);
	}
	brelse(bh);
}

/*
 * FAT16 and FAT32 keep a bit in their second entry that is set while the
 * volume is not in use ("FAT[1]", ClnShutBitMask). Returns what it was.
 */
static int fat_set_clean_shutdown(struct super_block *sb, int clean)
{
	struct vfat_sb *sbi = VFAT_SB(sb);
	struct fat_scan scan;
	int was = 1;
	u8 *at, bit;

	if (sbi->fat_bits == 12)
		return 1;
	bit = sbi->fat_bits == 16 ? FAT16_CLEAN_SHUTDOWN : FAT32_CLEAN_SHUTDOWN;
	lock_fat(sbi);
	fat_scan_begin(&scan, sb);
	at = fat_scan_byte(&scan, fat_entry_offset(sbi, 1) + (sbi->fat_bits >> 3) - 1);
	if (at) {
		was = (*at & bit) != 0;
		if (was != clean) {
			*at ^= bit;
			scan.dirty = 1;
		}
	}
	fat_scan_end(&scan);
	unlock_fat(sbi);
	return was;
}

/* Chains of files */

static void fat_cache_clear(struct inode *inode)
{
	memset(VFAT_I(inode)->cache, 0, sizeof(VFAT_I(inode)->cache));
}

static void fat_cache_add(struct inode *inode, int file_cluster, int disk_cluster)
{
	struct vfat_inode *vi = VFAT_I(inode);
	unsigned int i;

	for (i = 0; i < FAT_CACHE_SIZE; i++)
		if (vi->cache[i].disk_cluster && vi->cache[i].file_cluster == file_cluster)
			return;
	vi->cache[vi->next_cached].file_cluster = file_cluster;
	vi->cache[vi->next_cached].disk_cluster = disk_cluster;
	vi->next_cached = (vi->next_cached + 1) % FAT_CACHE_SIZE;
}

/* The nearest cluster before a place that we have been to. */
static struct fat_position fat_cache_find(struct inode *inode, int file_cluster)
{
	struct vfat_inode *vi = VFAT_I(inode);
	struct fat_position best = { 0, vi->start };
	unsigned int i;

	for (i = 0; i < FAT_CACHE_SIZE; i++)
		if (vi->cache[i].disk_cluster && vi->cache[i].file_cluster <= file_cluster &&
		    vi->cache[i].file_cluster >= best.file_cluster)
			best = vi->cache[i];
	return best;
}

/*
 * Follows the chain of an inode to a cluster. Returns 0 when it is there, 1
 * when the chain ends before (*at is its last then, or none), or an error.
 */
static int fat_get_cluster(struct inode *inode, int file_cluster, struct fat_position *at)
{
	struct super_block *sb = inode->i_sb;
	struct vfat_sb *sbi = VFAT_SB(sb);
	struct fat_scan scan;
	int next, err = 0;

	*at = fat_cache_find(inode, file_cluster);
	if (!at->disk_cluster)
		return 1;
	if (!fat_valid_cluster(sbi, at->disk_cluster)) {
		fat_fs_panic(sb, "a file begins at cluster 0x%08x", at->disk_cluster);
		return -EIO;
	}
	if (at->file_cluster == file_cluster)
		return 0;
	fat_scan_begin(&scan, sb);
	while (at->file_cluster < file_cluster) {
		next = fat_scan_next(&scan, at->disk_cluster);
		if (next < 0 || next == FAT_ENT_EOF) {
			err = next < 0 ? next : 1;
			break;
		}
		at->file_cluster++;
		at->disk_cluster = next;
		if (at->file_cluster >= sbi->max_cluster) {
			fat_fs_panic(sb, "the cluster chain from 0x%08x on runs into itself", VFAT_I(inode)->start);
			err = -EIO;
			break;
		}
	}
	fat_scan_end(&scan);
	if (err >= 0)
		fat_cache_add(inode, at->file_cluster, at->disk_cluster);
	return err;
}

/* Writes zeros to a whole cluster. */
static int fat_zero_cluster(struct super_block *sb, int nr)
{
	struct vfat_sb *sbi = VFAT_SB(sb);
	unsigned long block = fat_cluster_sector(sbi, nr);
	struct buffer_head *bh;
	unsigned int i;

	for (i = 0; i < 1U << sbi->sec_bits; i++) {
		bh = sb_getblk(sb, block + i);
		if (!bh)
			return -EIO;
		memset(bh->b_data, 0, sb->s_blocksize);
		mark_buffer_uptodate(bh, 1);
		mark_buffer_dirty(bh);
		brelse(bh);
	}
	return 0;
}

/*
 * Adds a cluster to an inode's chain, behind *last as fat_get_cluster has
 * found it. A directory's is zeroed before anybody can see it.
 */
static int fat_add_cluster(struct inode *inode, struct fat_position *last)
{
	struct super_block *sb = inode->i_sb;
	struct vfat_sb *sbi = VFAT_SB(sb);
	int nr, err = 0;

	lock_fat(sbi);
	nr = fat_alloc_cluster(sb);
	if (nr < 0) {
		unlock_fat(sbi);
		return nr;
	}
	if (S_ISDIR(inode->i_mode))
		err = fat_zero_cluster(sb, nr);
	if (!err && last->disk_cluster)
		err = fat_put_entry(sb, last->disk_cluster, nr);
	if (err) {
		fat_free_chain(sb, nr);
		unlock_fat(sbi);
		return err;
	}
	unlock_fat(sbi);
	if (last->disk_cluster) {
		last->file_cluster++;
	} else {
		last->file_cluster = 0;
		VFAT_I(inode)->start = nr;
		mark_inode_dirty(inode);
	}
	last->disk_cluster = nr;
	fat_cache_add(inode, last->file_cluster, nr);
	inode->i_blocks += 1UL << (sbi->cluster_bits - 9);
	return 0;
}

/*
 * Where on the disk a block of an inode is: 0 in *block when it has none. In
 * the root directory of FAT12 and FAT16 there are no clusters.
 */
static int fat_bmap(struct inode *inode, unsigned long iblock, unsigned long *block)
{
	struct super_block *sb = inode->i_sb;
	struct vfat_sb *sbi = VFAT_SB(sb);
	struct fat_position at;
	int err;

	*block = 0;
	if (inode->i_ino == MSDOS_ROOT_INO && sbi->fat_bits != 32) {
		if (iblock < sbi->dir_entries >> (sb->s_blocksize_bits - MSDOS_DIR_BITS))
			*block = sbi->dir_start + iblock;
		return 0;
	}
	err = fat_get_cluster(inode, iblock >> sbi->sec_bits, &at);
	if (!err)
		*block = fat_cluster_sector(sbi, at.disk_cluster) + (iblock & ((1UL << sbi->sec_bits) - 1));
	return err < 0 ? err : 0;
}
