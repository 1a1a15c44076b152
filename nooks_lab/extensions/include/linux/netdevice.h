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
	unsigned long rx_packets;	/* frames received */
	unsigned long tx_packets;	/* frames sent */
	unsigned long rx_bytes;	/* bytes of them */
	unsigned long tx_bytes;	/* bytes of them */
	unsigned long rx_errors;	/* bad frames received, of every kind */
	unsigned long tx_errors;	/* frames that could not be sent, of every kind */
	unsigned long rx_dropped;	/* good frames lost for want of memory */
	unsigned long tx_dropped;	/* frames that the driver threw away */
	unsigned long multicast;	/* multicast frames received */
	unsigned long collisions;	/* on a shared line */

	unsigned long rx_length_errors;	/* too short or too long */
	unsigned long rx_over_errors;	/* longer than the buffer */
	unsigned long rx_crc_errors;	/* with a wrong check sequence */
	unsigned long rx_frame_errors;	/* not a whole number of bytes */
	unsigned long rx_fifo_errors;	/* the controller was not served in time */
	unsigned long rx_missed_errors;	/* no free buffer */

	unsigned long tx_aborted_errors;	/* given up after too many collisions */
	unsigned long tx_carrier_errors;	/* the carrier was lost */
	unsigned long tx_fifo_errors;	/* the controller got its data too late */
	unsigned long tx_heartbeat_errors;	/* no signal quality test */
	unsigned long tx_window_errors;	/* a collision came too late */
};

struct dev_mc_list {
	struct dev_mc_list *next;	/* the next address, or NULL */
	__u8 dmi_addr[MAX_ADDR_LEN];	/* the multicast address */
	unsigned char dmi_addrlen;	/* its bytes: 6 */
	int dmi_users;	/* how often it was asked for */
	int dmi_gusers;	/* how often for good */
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
	char name[IFNAMSIZ];	/* "eth%d" before it is registered, "eth0" after */

	unsigned long mem_end;	/* of the memory window; for show */
	unsigned long mem_start;	/* its beginning; for show */
	unsigned long base_addr;	/* I/O ports or mapped registers; for show */
	unsigned int irq;	/* interrupt line; for show */
	unsigned char if_port;	/* which connector; for show */
	unsigned char dma;	/* DMA channel; for show */

	unsigned long state;	/* bits of enum netdev_state_t; the kernel writes it */
	struct net_device *next;	/* the kernel's list of devices */
	int (*init)(struct net_device *dev);	/* not called */
	int ifindex;	/* its number; the kernel writes it */

	struct net_device_stats *(*get_stats)(struct net_device *dev);	/* process: the statistics, at an address that stays */

	unsigned long trans_start;	/* jiffies of the last packet sent: set it in hard_start_xmit */
	unsigned long last_rx;	/* jiffies of the last packet received: set it before netif_rx */

	unsigned short flags;	/* IFF_...; the kernel writes IFF_UP */
	unsigned short gflags;	/* not used */
	unsigned int mtu;	/* largest payload in bytes: 1500 after alloc_etherdev */
	unsigned short type;	/* ARPHRD_ETHER after alloc_etherdev */
	unsigned short hard_header_len;	/* 14 after alloc_etherdev */
	void *priv;	/* the driver's own memory, behind this struct */

	unsigned char broadcast[MAX_ADDR_LEN];	/* ff:ff:ff:ff:ff:ff after alloc_etherdev */
	unsigned char dev_addr[MAX_ADDR_LEN];	/* station address: filled in before register_netdev */
	unsigned char addr_len;	/* 6 after alloc_etherdev */

	struct dev_mc_list *mc_list;	/* the multicast addresses to receive */
	int mc_count;	/* how many */
	int promiscuity;	/* how often all frames were asked for */
	int allmulti;	/* how often all multicasts */

	int watchdog_timeo;	/* jiffies until tx_timeout; 5 seconds if it is 0 */
	struct timer_list watchdog_timer;	/* the kernel's */

	unsigned long tx_queue_len;	/* packets that may wait: 100 after alloc_etherdev */
	struct sk_buff_head qdisc;	/* those that wait, while the driver has stopped the queue */
	spinlock_t xmit_lock;	/* the kernel's */
	int xmit_lock_owner;	/* the kernel's */

	atomic_t refcnt;	/* the kernel's */
	int features;	/* NETIF_F_...: what the driver can do beside the plain */

	int (*open)(struct net_device *dev);	/* process: start the device; 0 or an error */
	int (*stop)(struct net_device *dev);	/* process: stop it, give back what open took; 0 */
	int (*hard_start_xmit)(struct sk_buff *skb, struct net_device *dev);	/* process or softirq: take the packet and return 0, or leave it and return 1 */
	void (*set_multicast_list)(struct net_device *dev);	/* process: look at flags and mc_list */
	int (*set_mac_address)(struct net_device *dev, void *addr);	/* process: addr is a struct sockaddr */
	int (*do_ioctl)(struct net_device *dev, struct ifreq *ifr, int cmd);	/* process: cmd is SIOC...; ifr is in kernel memory */
	int (*change_mtu)(struct net_device *dev, int new_mtu);	/* process: 0 or an error */
	void (*tx_timeout)(struct net_device *dev);	/* timer: the queue has been stopped for watchdog_timeo */

	struct module *owner;	/* SET_MODULE_OWNER(dev) */
};

#define NETIF_F_SG 1
#define NETIF_F_IP_CSUM 2
#define NETIF_F_NO_CSUM 4
#define NETIF_F_HW_CSUM 8
#define NETIF_F_HIGHDMA 32

/* Between interrupt and softirq: packets received, and sent packets to be freed. */
struct softnet_data {
	int throttle;	/* the kernel's */
	int cng_level;	/* the kernel's */
	int avg_blog;	/* the kernel's */
	struct sk_buff_head input_pkt_queue;	/* what netif_rx has taken */
	struct sk_buff *completion_queue;	/* what dev_kfree_skb_irq has taken */
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
