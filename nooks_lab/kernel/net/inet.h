/*
 * The Internet protocols' own data. Addresses and ports stand here in host
 * order, so that they can be read in a dump; only packets have them in network
 * order.
 */
#ifndef _NET_INET_H
#define _NET_INET_H

#include <linux/icmp.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/list.h>
#include <linux/skbuff.h>
#include <linux/tcp.h>
#include <linux/timer.h>
#include <linux/types.h>
#include <linux/udp.h>
#include <linux/wait.h>
#include <net/sock.h>

struct net_device;

/*
 * A device's address. The label outlives the device: a driver that is loaded
 * again under the same name has its address back.
 */
struct in_ifaddr {
	struct in_ifaddr *ifa_next;
	struct net_device *ifa_dev;
	__u32 ifa_local;
	__u32 ifa_mask;
	__u32 ifa_gateway;
	char ifa_label[IFNAMSIZ];
};

#define NEIGH_HASH_SIZE 16

#define NUD_INCOMPLETE 0x01
#define NUD_REACHABLE 0x02

struct neighbour {
	struct list_head node;
	struct in_ifaddr *ifa;
	__u32 primary_key;
	unsigned int nud_state;
	unsigned int probes;
	unsigned long confirmed;
	struct sk_buff_head arp_queue;
	struct timer_list timer;
	unsigned char ha[8];
};

/* In sk_buff.cb of everything that TCP queues. */
struct tcp_skb_cb {
	__u32 seq;
	__u32 end_seq;			/* counts SYN and FIN */
	__u32 flags;
};

#define TCP_EHASH_SIZE 512
#define TCP_LHTABLE_SIZE 32
#define TCP_BHTABLE_SIZE 128
#define UDP_HTABLE_SIZE 128
#define PING_HTABLE_SIZE 16

/* /proc/net/snmp (RFC 1213). */
struct ip_mib {
	unsigned long InReceives;
	unsigned long InHdrErrors;
	unsigned long InAddrErrors;
	unsigned long InUnknownProtos;
	unsigned long InDiscards;
	unsigned long InDelivers;
	unsigned long OutRequests;
	unsigned long OutDiscards;
	unsigned long OutNoRoutes;
	unsigned long ReasmReqds;
	unsigned long ReasmFails;
	unsigned long FragFails;
};

struct icmp_mib {
	unsigned long InMsgs;
	unsigned long InErrors;
	unsigned long InDestUnreachs;
	unsigned long InEchos;
	unsigned long InEchoReps;
	unsigned long OutMsgs;
	unsigned long OutErrors;
	unsigned long OutDestUnreachs;
	unsigned long OutEchos;
	unsigned long OutEchoReps;
};

struct tcp_mib {
	unsigned long ActiveOpens;
	unsigned long PassiveOpens;
	unsigned long AttemptFails;
	unsigned long EstabResets;
	unsigned long CurrEstab;
	unsigned long InSegs;
	unsigned long OutSegs;
	unsigned long RetransSegs;
	unsigned long InErrs;
	unsigned long OutRsts;
};

struct udp_mib {
	unsigned long InDatagrams;
	unsigned long NoPorts;
	unsigned long InErrors;
	unsigned long OutDatagrams;
};

struct arp_mib {
	unsigned long InRequests;
	unsigned long InReplies;
	unsigned long InErrors;
	unsigned long OutRequests;
	unsigned long OutReplies;
	unsigned long Failures;
};

/* Timer functions, called from the timer interrupt. */
extern void neigh_timer_handler(unsigned long data);
extern void tcp_write_timer(unsigned long data);

#endif
