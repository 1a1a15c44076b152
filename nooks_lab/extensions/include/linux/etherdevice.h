#ifndef _LINUX_ETHERDEVICE_H
#define _LINUX_ETHERDEVICE_H

#include <linux/if_ether.h>
#include <linux/netdevice.h>

/* One block holds the device and, behind it, what dev->priv points to; kfree(dev) frees both. */
extern struct net_device *alloc_etherdev(int sizeof_priv);
/* The older way: registers the device at once, and the driver fills in its functions when it gets to it. */
extern struct net_device *init_etherdev(struct net_device *dev, int sizeof_priv);
extern unsigned short eth_type_trans(struct sk_buff *skb, struct net_device *dev);

static inline int is_valid_ether_addr(const u8 *addr)
{
	return !(addr[0] & 1) && (addr[0] | addr[1] | addr[2] | addr[3] | addr[4] | addr[5]);
}

#endif
