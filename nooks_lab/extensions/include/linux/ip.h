#ifndef _LINUX_IP_H
#define _LINUX_IP_H

#include <linux/types.h>

#define IP_CE 0x8000
#define IP_DF 0x4000
#define IP_MF 0x2000
#define IP_OFFSET 0x1fff

struct iphdr {
	__u8 ihl : 4;
	__u8 version : 4;
	__u8 tos;
	__u16 tot_len;
	__u16 id;
	__u16 frag_off;
	__u8 ttl;
	__u8 protocol;
	__u16 check;
	__u32 saddr;
	__u32 daddr;
};

#endif
