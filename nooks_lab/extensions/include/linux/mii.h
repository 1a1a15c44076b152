#ifndef _LINUX_MII_H
#define _LINUX_MII_H

#include <linux/types.h>

#define MII_BMCR 0x00
#define MII_BMSR 0x01
#define MII_PHYSID1 0x02
#define MII_PHYSID2 0x03
#define MII_ADVERTISE 0x04
#define MII_LPA 0x05
#define MII_EXPANSION 0x06
#define MII_CTRL1000 0x09
#define MII_STAT1000 0x0a

#define BMCR_SPEED1000 0x0040
#define BMCR_FULLDPLX 0x0100
#define BMCR_ANRESTART 0x0200
#define BMCR_ANENABLE 0x1000
#define BMCR_SPEED100 0x2000
#define BMCR_RESET 0x8000

#define BMSR_LSTATUS 0x0004
#define BMSR_ANEGCOMPLETE 0x0020

#define ADVERTISE_CSMA 0x0001
#define ADVERTISE_10HALF 0x0020
#define ADVERTISE_10FULL 0x0040
#define ADVERTISE_100HALF 0x0080
#define ADVERTISE_100FULL 0x0100
#define ADVERTISE_PAUSE_CAP 0x0400
#define ADVERTISE_ALL (ADVERTISE_10HALF | ADVERTISE_10FULL | ADVERTISE_100HALF | ADVERTISE_100FULL)

#define ADVERTISE_1000FULL 0x0200

/* Takes the place of ifr_data in a struct ifreq; not a pointer to user memory. */
struct mii_ioctl_data {
	u16 phy_id;	/* which PHY */
	u16 reg_num;	/* which register */
	u16 val_in;	/* what to write */
	u16 val_out;	/* what was read */
};

#endif
