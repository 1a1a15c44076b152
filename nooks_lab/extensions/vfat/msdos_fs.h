/*
 * The FAT file system on disk: Microsoft, "FAT32 File System Specification"
 * (FAT: General Overview of On-Disk Format), version 1.03, December 2000.
 * All numbers on the disk are little endian.
 */
#ifndef _MSDOS_FS_H
#define _MSDOS_FS_H

#include <linux/types.h>

#define MSDOS_SUPER_MAGIC 0x4d44
#define MSDOS_ROOT_INO 1

/* BIOS parameter block, "Boot Sector and BPB Structure". */
struct fat_boot_sector {
	u8 jump[3];
	u8 oem_name[8];
	u16 sector_size;
	u8 sec_per_clus;
	u16 reserved;
	u8 fats;
	u16 dir_entries;
	u16 sectors;
	u8 media;
	u16 fat_length;
	u16 secs_track;
	u16 heads;
	u32 hidden;
	u32 total_sect;
	/* From here on FAT32 only; FAT12 and FAT16 have other fields. */
	u32 fat32_length;
	u16 flags;
	u16 version;
	u32 root_cluster;
	u16 info_sector;
	u16 backup_boot;
} __attribute__((packed));

#define FAT32_NO_MIRROR 0x0080
#define FAT32_ACTIVE_FAT 0x000f

#define BOOT_SIGNATURE 0xaa55
#define BOOT_SIGNATURE_OFFSET 510

/* "FAT32 FSInfo Sector Structure": a hint, which may be wrong. */
#define FSINFO_LEAD 0x41615252
#define FSINFO_STRUC 0x61417272
#define FSINFO_UNKNOWN 0xffffffff
struct fat_fsinfo {
	u32 lead_signature;
	u8 reserved1[480];
	u32 signature;
	u32 free_clusters;
	u32 next_cluster;
	u8 reserved2[12];
	u32 trail_signature;
} __attribute__((packed));

/* The cluster count alone decides which FAT it is ("FAT Type Determination"). */
#define FAT12_MAX_CLUSTERS 4084
#define FAT16_MAX_CLUSTERS 65524
#define FAT32_MAX_CLUSTERS 0x0ffffff5
#define FAT_START_ENT 2

/* Entries of the table, as FAT32 writes them; the narrower tables have the low bits. */
#define FAT_ENT_FREE 0
#define FAT_ENT_BAD 0x0ffffff7
#define FAT_ENT_EOF 0x0fffffff
#define FAT32_ENT_MASK 0x0fffffff

/* ClnShutBitMask, in the highest byte of FAT[1]: 0x8000 and 0x08000000. */
#define FAT16_CLEAN_SHUTDOWN 0x80
#define FAT32_CLEAN_SHUTDOWN 0x08

#define ATTR_RO 0x01
#define ATTR_HIDDEN 0x02
#define ATTR_SYS 0x04
#define ATTR_VOLUME 0x08
#define ATTR_DIR 0x10
#define ATTR_ARCH 0x20
#define ATTR_EXT (ATTR_RO | ATTR_HIDDEN | ATTR_SYS | ATTR_VOLUME)
#define ATTR_EXT_MASK (ATTR_EXT | ATTR_DIR | ATTR_ARCH)

/* ioctls that read and write the attribute byte of a file. */
#define FAT_IOCTL_GET_ATTRIBUTES 0x80047210
#define FAT_IOCTL_SET_ATTRIBUTES 0x40047211

#define MSDOS_NAME 11
#define DELETED_FLAG 0xe5
/* 0xe5 is a letter in some code pages: as the first of a name it is written so. */
#define KANJI_E5 0x05

/* Windows NT's use of the reserved byte. */
#define CASE_LOWER_BASE 0x08
#define CASE_LOWER_EXT 0x10

struct msdos_dir_entry {
	u8 name[MSDOS_NAME];
	u8 attr;
	u8 lcase;
	u8 ctime_cs;
	u16 ctime;
	u16 cdate;
	u16 adate;
	u16 starthi;
	u16 time;
	u16 date;
	u16 start;
	u32 size;
};

#define MSDOS_DIR_BITS 5
#define MSDOS_DIR_SIZE sizeof(struct msdos_dir_entry)
/* A directory has at most so many bytes: 65,536 entries. */
#define FAT_MAX_DIR_SIZE (65536 << MSDOS_DIR_BITS)

#define MSDOS_DOT    ".          "
#define MSDOS_DOTDOT "..         "

/* "Long File Names": 13 characters of the name in each slot, the last slot first. */
struct msdos_dir_slot {
	u8 id;
	u8 name0_4[10];
	u8 attr;
	u8 type;
	u8 alias_checksum;
	u8 name5_10[12];
	u16 start;
	u8 name11_12[4];
};

#define LAST_LONG_ENTRY 0x40
#define LONG_ORDER_MASK 0x3f
#define LONG_NAME_SLOTS 20
#define LONG_SLOT_CHARS 13
#define VFAT_NAME_MAX 255
#define VFAT_NAME_BUF (LONG_NAME_SLOTS * LONG_SLOT_CHARS + 1)

#endif
