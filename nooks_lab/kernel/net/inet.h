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

/* Connection variables by the names of RFC 793, section 3.2. */
struct tcp_opt {
	__u32 iss;
	__u32 snd_una;
	__u32 snd_nxt;
	__u32 snd_wnd;
	__u32 snd_wl1;
	__u32 snd_wl2;
	__u32 irs;
	__u32 rcv_nxt;
	__u32 rcv_adv;			/* right edge of the window that the peer was told */
	__u32 mss;			/* largest segment that we send */
	__u32 retransmits;		/* of the first packet; the timer doubles with each */
	__u32 dup_acks;		/* the same acknowledgement in a row; from 3 on in recovery */
	__u32 high_seq;		/* SND.NXT when recovery began */
	__u32 probes_out;		/* probes of a closed window, unanswered */
	struct sk_buff_head write_queue;	/* sent and not acknowledged, then not sent */
	struct sk_buff *send_head;	/* the first one not sent */
	struct sk_buff_head out_of_order_queue;
	struct timer_list timer;	/* retransmission, probe, FIN-WAIT-2 or TIME-WAIT, by state */
	struct sock *listener;
	struct list_head queue_node;	/* in one of the listener's two queues */
	struct list_head syn_queue;
	struct list_head accept_queue;
	__u32 max_ack_backlog;
	__u32 ack_backlog;		/* length of both queues */
};

struct sock {
	struct list_head node;		/* in the hash chain of its protocol */
	struct list_head bind_node;	/* TCP: in the hash chain of its port, when it owns one */
	__u32 rcv_saddr;
	__u32 daddr;
	__u32 num;
	__u32 dport;
	__u32 protocol;
	__u32 state;
	__u32 err;
	__u32 shutdown;
	__u32 dead;			/* no process has it open */
	__u32 refcnt;
	__u32 rcvbuf;
	__u32 rmem_alloc;
	__u32 sndbuf;
	__u32 wmem_queued;
	struct sk_buff_head receive_queue;
	wait_queue_head_t sleep;
	struct tcp_opt tp;
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
