/*
 * A protocol's end of a socket. Extensions read it where it is: state,
 * receive_queue, wmem_queued, tp.accept_queue; and they wait on *sleep.
 * Addresses and ports stand here in host order.
 */
#ifndef _NET_SOCK_H
#define _NET_SOCK_H

#include <linux/list.h>
#include <linux/skbuff.h>
#include <linux/timer.h>
#include <linux/types.h>
#include <linux/wait.h>

/* States, with RFC 793's names in Linux's order. */
enum {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT,
	TCP_SYN_RECV,
	TCP_FIN_WAIT1,
	TCP_FIN_WAIT2,
	TCP_TIME_WAIT,
	TCP_CLOSE,
	TCP_CLOSE_WAIT,
	TCP_LAST_ACK,
	TCP_LISTEN,
	TCP_CLOSING
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
	__u32 dup_acks;			/* the same acknowledgement in a row; from 3 on in recovery */
	__u32 high_seq;			/* SND.NXT when recovery began */
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
	long rcvtimeo;			/* jiffies that a call waits, MAX_SCHEDULE_TIMEOUT for no end */
	long sndtimeo;
	wait_queue_head_t *sleep;
	wait_queue_head_t sleep_queue;	/* Linux: the wait member of struct socket */
	struct tcp_opt tp;
};

#endif
