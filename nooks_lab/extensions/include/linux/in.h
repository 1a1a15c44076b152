#ifndef _LINUX_IN_H
#define _LINUX_IN_H

#include <linux/socket.h>
#include <linux/types.h>

#define IPPROTO_ICMP 1
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17

#define INADDR_ANY 0x00000000
#define INADDR_BROADCAST 0xffffffff

struct in_addr {
	__u32 s_addr;
};

/* Port and address in network order. */
struct sockaddr_in {
	sa_family_t sin_family;
	unsigned short sin_port;
	struct in_addr sin_addr;
	unsigned char sin_zero[8];
};

#endif
