#ifndef _LINUX_ETHTOOL_H
#define _LINUX_ETHTOOL_H

#include <linux/types.h>

#define ETHTOOL_GDRVINFO 0x00000003
#define ETHTOOL_GREGS 0x00000004
#define ETHTOOL_GLINK 0x0000000a
#define ETHTOOL_GEEPROM 0x0000000b
#define ETHTOOL_PHYS_ID 0x0000001c

#define ETHTOOL_BUSINFO_LEN 32

struct ethtool_drvinfo {
	u32 cmd;	/* ETHTOOL_GDRVINFO */
	char driver[32];	/* name */
	char version[32];	/* of the driver */
	char fw_version[32];	/* of the device's firmware */
	char bus_info[ETHTOOL_BUSINFO_LEN];	/* pci_dev.slot_name */
	char reserved1[32];	/* zeros */
	char reserved2[24];	/* zeros */
	u32 eedump_len;	/* bytes of ETHTOOL_GEEPROM */
	u32 regdump_len;	/* bytes of ETHTOOL_GREGS */
};

struct ethtool_value {
	u32 cmd;	/* ETHTOOL_GLINK */
	u32 data;	/* 1: the link is up */
};

/* The registers follow; len is how many bytes of them the user has room for. */
struct ethtool_regs {
	u32 cmd;	/* ETHTOOL_GREGS */
	u32 version;	/* the driver's own */
	u32 len;	/* bytes */
};

/* The bytes follow: len of them, from offset on. */
struct ethtool_eeprom {
	u32 cmd;	/* ETHTOOL_GEEPROM */
	u32 magic;	/* the driver's own */
	u32 offset;	/* where to begin */
	u32 len;	/* bytes */
};

#endif
