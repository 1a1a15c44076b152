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
	u32 cmd;
	char driver[32];
	char version[32];
	char fw_version[32];
	char bus_info[ETHTOOL_BUSINFO_LEN];
	char reserved1[32];
	char reserved2[24];
	u32 eedump_len;
	u32 regdump_len;
};

struct ethtool_value {
	u32 cmd;
	u32 data;
};

/* The registers follow; len is how many bytes of them the user has room for. */
struct ethtool_regs {
	u32 cmd;
	u32 version;
	u32 len;
};

/* The bytes follow: len of them, from offset on. */
struct ethtool_eeprom {
	u32 cmd;
	u32 magic;
	u32 offset;
	u32 len;
};

#endif
