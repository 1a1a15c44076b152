#ifndef _LINUX_IF_ARP_H
#define _LINUX_IF_ARP_H

#include <linux/types.h>

#define ARPHRD_ETHER 1
#define ARPHRD_LOOPBACK 772

#define ARPOP_REQUEST 1
#define ARPOP_REPLY 2

/* The fixed part; the four addresses follow, with the lengths given here. */
struct arphdr {
	unsigned short ar_hrd;
	unsigned short ar_pro;
	unsigned char ar_hln;
	unsigned char ar_pln;
	unsigned short ar_op;
};

#endif
