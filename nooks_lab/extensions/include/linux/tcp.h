#ifndef _LINUX_TCP_H
#define _LINUX_TCP_H

#include <linux/types.h>

#define TCPOPT_EOL 0
#define TCPOPT_NOP 1
#define TCPOPT_MSS 2

/* doff is the header's length in words of four bytes, in the upper half of its byte. */
struct tcphdr {
	__u16 source;
	__u16 dest;
	__u32 seq;
	__u32 ack_seq;
	__u8 doff;
	__u8 flags;
	__u16 window;
	__u16 check;
	__u16 urg_ptr;
};

#endif
