/*
 * The frame of a driver for a PCI network controller. What only the device's page can tell is marked DEVICE; as it
 * stands, the driver finds no device and loads nowhere.
 */

#include <linux/delay.h>
#include <linux/errno.h>
#include <linux/etherdevice.h>
#include <linux/init.h>
#include <linux/interrupt.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/pci.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <asm/io.h>

MODULE_AUTHOR("you");
MODULE_DESCRIPTION("a network driver");
MODULE_LICENSE("GPL");

#define RING_BYTES 4096		/* DEVICE: the descriptors of both rings */
#define BUFFER_BYTES 1536	/* a frame of 1514 bytes, its check sequence, and some room */

/* What the driver knows of one device; dev->priv points here. */
struct card {
	struct pci_dev *pdev;
	void *regs;		/* the mapped registers */
	void *ring;		/* the descriptors, as the CPU sees them */
	dma_addr_t ring_bus;	/* and as the device does */
	struct net_device_stats stats;
	spinlock_t lock;
};

/* A frame has arrived: length bytes, at data. In an interrupt. */
static void received(struct net_device *dev, const void *data, unsigned int length)
{
	struct card *card = dev->priv;
	struct sk_buff *skb = dev_alloc_skb(length + 2);

	if (!skb) {
		card->stats.rx_dropped++;
		return;
	}
	skb_reserve(skb, 2);			/* so that the IP header lies on a multiple of 4 */
	memcpy(skb_put(skb, length), data, length);
	skb->dev = dev;
	skb->protocol = eth_type_trans(skb, dev);
	card->stats.rx_packets++;
	card->stats.rx_bytes += length;
	dev->last_rx = jiffies;
	netif_rx(skb);				/* from here on the packet is the kernel's */
}

/* In an interrupt. The line may be shared: others' interrupts come here too. */
static void interrupt(int irq, void *dev_id, struct pt_regs *regs)
{
	struct net_device *dev = dev_id;
	struct card *card = dev->priv;
	unsigned int causes = readl(card->regs);	/* DEVICE: read and acknowledge the causes */

	if (!causes)
		return;
	/* DEVICE: for each frame in the receive ring: received(dev, data, length), and give the buffer back. */
	/* DEVICE: for each packet sent: pci_unmap_single, dev_kfree_skb_irq(skb). Then there is room again: */
	if (netif_queue_stopped(dev))
		netif_wake_queue(dev);
}

/* In a process or a softirq. The packet is the driver's now, unless this returns 1. */
static int xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct card *card = dev->priv;
	unsigned long flags;
	dma_addr_t bus = pci_map_single(card->pdev, skb->data, skb->len, PCI_DMA_TODEVICE);

	spin_lock_irqsave(&card->lock, flags);
	/* DEVICE: put bus and skb->len into a descriptor; remember skb and bus; tell the device. */
	(void)bus;
	card->stats.tx_packets++;
	card->stats.tx_bytes += skb->len;
	dev->trans_start = jiffies;
	/* If that was the last free descriptor: netif_stop_queue(dev); */
	spin_unlock_irqrestore(&card->lock, flags);
	return 0;
}

/* In a process: ifconfig eth0 up. */
static int open(struct net_device *dev)
{
	struct card *card = dev->priv;
	int err;

	card->ring = pci_alloc_consistent(card->pdev, RING_BYTES, &card->ring_bus);
	if (!card->ring)
		return -ENOMEM;
	/* DEVICE: reset it, tell it where the rings are, fill the receive ring, load the address, enable both ways. */
	err = request_irq(card->pdev->irq, interrupt, SA_SHIRQ, dev->name, dev);
	if (err) {
		pci_free_consistent(card->pdev, RING_BYTES, card->ring, card->ring_bus);
		return err;
	}
	/* DEVICE: unmask its interrupts, last. */
	netif_start_queue(dev);
	return 0;
}

/* In a process: ifconfig eth0 down, or before unregister_netdev returns. */
static int stop(struct net_device *dev)
{
	struct card *card = dev->priv;

	netif_stop_queue(dev);
	/* DEVICE: mask its interrupts, stop both ways: it must not touch memory that is about to be free. */
	free_irq(card->pdev->irq, dev);
	/* Free what is left in the rings. */
	pci_free_consistent(card->pdev, RING_BYTES, card->ring, card->ring_bus);
	return 0;
}

static struct net_device_stats *get_stats(struct net_device *dev)
{
	return &((struct card *)dev->priv)->stats;
}

/* In a process, from pci_module_init: a device of the table below. */
static int __devinit probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct net_device *dev;
	struct card *card;
	int err = pci_enable_device(pdev);

	if (err)
		return err;
	pci_set_master(pdev);			/* or it cannot do DMA */
	err = pci_request_regions(pdev, "mydriver");
	if (err)
		goto disable;
	err = -ENOMEM;
	dev = alloc_etherdev(sizeof(*card));
	if (!dev)
		goto release;
	card = dev->priv;
	card->pdev = pdev;
	spin_lock_init(&card->lock);
	card->regs = ioremap(pci_resource_start(pdev, 0), pci_resource_len(pdev, 0));
	if (!card->regs)
		goto free;
	memset(dev->dev_addr, 0, 6);		/* DEVICE: its station address */
	dev->irq = pdev->irq;
	dev->open = open;
	dev->stop = stop;
	dev->hard_start_xmit = xmit;
	dev->get_stats = get_stats;
	SET_MODULE_OWNER(dev);
	pci_set_drvdata(pdev, dev);
	err = register_netdev(dev);		/* last: from here on it can be opened */
	if (!err)
		return 0;
	iounmap(card->regs);
free:
	kfree(dev);
release:
	pci_release_regions(pdev);
disable:
	pci_disable_device(pdev);
	return err;
}

static void __devexit remove(struct pci_dev *pdev)
{
	struct net_device *dev = pci_get_drvdata(pdev);
	struct card *card = dev->priv;

	unregister_netdev(dev);
	iounmap(card->regs);
	pci_release_regions(pdev);
	pci_disable_device(pdev);
	kfree(dev);
}

static const struct pci_device_id ids[] = {
	{ 0xffff, 0xffff, PCI_ANY_ID, PCI_ANY_ID, 0, 0, 0 },	/* DEVICE: its vendor and device number */
	{ 0, 0, 0, 0, 0, 0, 0 }
};
MODULE_DEVICE_TABLE(pci, ids);

static struct pci_driver driver = {
	.name = "mydriver",
	.id_table = ids,
	.probe = probe,
	.remove = __devexit_p(remove),
};

static int __init start(void)
{
	return pci_module_init(&driver);
}

static void __exit finish(void)
{
	pci_unregister_driver(&driver);
}

module_init(start);
module_exit(finish);
