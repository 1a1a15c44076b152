#ifndef _LINUX_NETDEVICE_H
#define _LINUX_NETDEVICE_H

#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/interrupt.h>
#include <linux/skbuff.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <linux/types.h>
#include <asm/atomic.h>
#include <asm/bitops.h>
#include <asm/system.h>

#define MAX_ADDR_LEN 8

#define NET_RX_SUCCESS 0
#define NET_RX_CN_LOW 1
#define NET_RX_CN_MOD 2
#define NET_RX_CN_HIGH 3
#define NET_RX_DROP 4

struct module;

struct net_device_stats {
	unsigned long rx_packets;
	unsigned long tx_packets;
	unsigned long rx_bytes;
	unsigned long tx_bytes;
	unsigned long rx_errors;
	unsigned long tx_errors;
	unsigned long rx_dropped;
	unsigned long tx_dropped;
	unsigned long multicast;
	unsigned long collisions;

	unsigned long rx_length_errors;
	unsigned long rx_over_errors;
	unsigned long rx_crc_errors;
	unsigned long rx_frame_errors;
	unsigned long rx_fifo_errors;
	unsigned long rx_missed_errors;

	unsigned long tx_aborted_errors;
	unsigned long tx_carrier_errors;
	unsigned long tx_fifo_errors;
	unsigned long tx_heartbeat_errors;
	unsigned long tx_window_errors;
};

struct dev_mc_list {
	struct dev_mc_list *next;
	__u8 dmi_addr[MAX_ADDR_LEN];
	unsigned char dmi_addrlen;
	int dmi_users;
	int dmi_gusers;
};

/* Bit numbers of net_device.state. */
enum netdev_state_t {
	__LINK_STATE_XOFF = 0,
	__LINK_STATE_START,
	__LINK_STATE_PRESENT,
	__LINK_STATE_SCHED,
	__LINK_STATE_NOCARRIER,
	__LINK_STATE_RX_SCHED
};

struct net_device {
	char name[IFNAMSIZ];

	unsigned long mem_end;
	unsigned long mem_start;
	unsigned long base_addr;
	unsigned int irq;
	unsigned char if_port;
	unsigned char dma;

	unsigned long state;
	struct net_device *next;
	int (*init)(struct net_device *dev);
	int ifindex;

	struct net_device_stats *(*get_stats)(struct net_device *dev);

	unsigned long trans_start;
	unsigned long last_rx;

	unsigned short flags;
	unsigned short gflags;
	unsigned int mtu;
	unsigned short type;
	unsigned short hard_header_len;
	void *priv;

	unsigned char broadcast[MAX_ADDR_LEN];
	unsigned char dev_addr[MAX_ADDR_LEN];
	unsigned char addr_len;

	struct dev_mc_list *mc_list;
	int mc_count;
	int promiscuity;
	int allmulti;

	int watchdog_timeo;
	struct timer_list watchdog_timer;

	unsigned long tx_queue_len;
	struct sk_buff_head qdisc;
	spinlock_t xmit_lock;
	int xmit_lock_owner;

	atomic_t refcnt;
	int features;

	int (*open)(struct net_device *dev);
	int (*stop)(struct net_device *dev);
	int (*hard_start_xmit)(struct sk_buff *skb, struct net_device *dev);
	void (*set_multicast_list)(struct net_device *dev);
	int (*set_mac_address)(struct net_device *dev, void *addr);
	int (*do_ioctl)(struct net_device *dev, struct ifreq *ifr, int cmd);
	int (*change_mtu)(struct net_device *dev, int new_mtu);
	void (*tx_timeout)(struct net_device *dev);

	struct module *owner;
};

#define NETIF_F_SG 1
#define NETIF_F_IP_CSUM 2
#define NETIF_F_NO_CSUM 4
#define NETIF_F_HW_CSUM 8
#define NETIF_F_HIGHDMA 32

/* Between interrupt and softirq: packets received, and sent packets to be freed. */
struct softnet_data {
	int throttle;
	int cng_level;
	int avg_blog;
	struct sk_buff_head input_pkt_queue;
	struct sk_buff *completion_queue;
};

extern struct softnet_data softnet_data;

extern int register_netdev(struct net_device *dev);
extern void unregister_netdev(struct net_device *dev);
extern int netif_rx(struct sk_buff *skb);

/*
 * Inlines in Linux. They write what the kernel owns (net_device.state, the
 * output queue, the softnet queue), so they are functions here (see
 * linux/module.h); what only reads stays inline.
 */
extern void netif_start_queue(struct net_device *dev);	/* Nooks: an inline in Linux */
extern void netif_stop_queue(struct net_device *dev);	/* Nooks: an inline in Linux */
extern void netif_wake_queue(struct net_device *dev);	/* Nooks: an inline in Linux */
extern void netif_carrier_on(struct net_device *dev);	/* Nooks: an inline in Linux */
extern void netif_carrier_off(struct net_device *dev);	/* Nooks: an inline in Linux */
extern void netif_device_attach(struct net_device *dev);	/* Nooks: an inline in Linux */
extern void netif_device_detach(struct net_device *dev);	/* Nooks: an inline in Linux */
extern void dev_kfree_skb_any(struct sk_buff *skb);	/* Nooks: an inline in Linux */

/*
 * This one is called for each packet, and stays an inline that writes the kernel's softnet queue. Nooks links
 * softnet_data and irq_stat to shadow copies in the domain, which are synchronised before and after XPCs (paper,
 * section 4.2).
 */
static inline void dev_kfree_skb_irq(struct sk_buff *skb)
{
	unsigned long flags;

	if (!atomic_dec_and_test(&skb->users))
		return;
	local_irq_save(flags);
	skb->next = softnet_data.completion_queue;
	softnet_data.completion_queue = skb;
	__cpu_raise_softirq(NET_TX_SOFTIRQ);
	local_irq_restore(flags);
}

static inline int netif_queue_stopped(const struct net_device *dev)
{
	return test_bit(__LINK_STATE_XOFF, &dev->state);
}

static inline int netif_running(const struct net_device *dev)
{
	return test_bit(__LINK_STATE_START, &dev->state);
}

static inline int netif_device_present(const struct net_device *dev)
{
	return test_bit(__LINK_STATE_PRESENT, &dev->state);
}

static inline int netif_carrier_ok(const struct net_device *dev)
{
	return !test_bit(__LINK_STATE_NOCARRIER, &dev->state);
}

#endif
