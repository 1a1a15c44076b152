/*
 * A driver for Intel's 82540EM, written from course/kernel-api.md and course/devices/e1000.md alone: small rings, a copy of every
 * frame, nothing clever.
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
#include <asm/byteorder.h>
#include <asm/io.h>

MODULE_AUTHOR("a newcomer");
MODULE_DESCRIPTION("Intel 82540EM, the short way");
MODULE_LICENSE("GPL");

#define CTRL 0x0000
#define CTRL_SLU (1 << 6)
#define CTRL_RST (1 << 26)
#define STATUS 0x0008
#define STATUS_LU (1 << 1)
#define EERD 0x0014
#define ICR 0x00c0
#define IMS 0x00d0
#define IMC 0x00d8
#define RCTL 0x0100
#define TCTL 0x0400
#define TIPG 0x0410
#define RDBAL 0x2800
#define TDBAL 0x3800
#define MTA 0x5200
#define RAL 0x5400
#define RAH 0x5404

/* The registers of a ring, from its RDBAL or TDBAL on. */
#define RING_BAH 0x04
#define RING_LEN 0x08
#define RING_HEAD 0x10
#define RING_TAIL 0x18

#define CAUSE_TXDW (1 << 0)
#define CAUSE_LSC (1 << 2)
#define CAUSE_RXDMT0 (1 << 4)
#define CAUSE_RXO (1 << 6)
#define CAUSE_RXT0 (1 << 7)
#define CAUSES (CAUSE_TXDW | CAUSE_LSC | CAUSE_RXDMT0 | CAUSE_RXO | CAUSE_RXT0)

#define RING 64
#define BUFFER 2048
#define DD 1
#define EOP 2

struct descriptor {
	u64 address;
	u16 length;
	u8 one, command;	/* sending: CSO and command; receiving: the checksum */
	u8 status, errors;
	u16 special;
};

struct card {
	struct pci_dev *pdev;
	char *regs;
	struct descriptor *rx, *tx;
	dma_addr_t rx_bus, tx_bus;
	char *buffers;		/* one for each receive descriptor */
	dma_addr_t buffers_bus;
	struct sk_buff *sent[RING];
	dma_addr_t sent_bus[RING];
	unsigned int rx_next;	/* where the next frame will be */
	unsigned int tx_next, tx_done;
	struct net_device_stats stats;
	spinlock_t lock;
};

static void reset(struct card *card)
{
	writel(~0U, card->regs + IMC);
	writel(CTRL_RST, card->regs + CTRL);
	udelay(10);
	writel(~0U, card->regs + IMC);
	readl(card->regs + ICR);
}

static int eeprom_word(struct card *card, int word)
{
	int patience = 1000;
	u32 value;

	writel(word << 8 | 1, card->regs + EERD);
	do {
		udelay(1);
		value = readl(card->regs + EERD);
	} while (!(value & 1 << 4) && --patience);
	return patience ? (int)(value >> 16) : -EIO;
}

static void receive(struct net_device *dev)
{
	struct card *card = dev->priv;

	while (card->rx[card->rx_next].status & DD) {
		struct descriptor *desc = &card->rx[card->rx_next];
		unsigned int length = le16_to_cpu(desc->length);
		struct sk_buff *skb = NULL;

		if (!(desc->status & EOP) || desc->errors || length > BUFFER)
			card->stats.rx_errors++;
		else if (!(skb = dev_alloc_skb(length + 2)))
			card->stats.rx_dropped++;
		if (skb) {
			skb_reserve(skb, 2);
			memcpy(skb_put(skb, length), card->buffers + card->rx_next * BUFFER, length);
			skb->dev = dev;
			skb->protocol = eth_type_trans(skb, dev);
			card->stats.rx_packets++;
			card->stats.rx_bytes += length;
			dev->last_rx = jiffies;
			netif_rx(skb);
		}
		desc->status = 0;
		writel(card->rx_next, card->regs + RDBAL + RING_TAIL);
		card->rx_next = (card->rx_next + 1) % RING;
	}
}

static void clean_sent(struct net_device *dev)
{
	struct card *card = dev->priv;

	while (card->tx_done != card->tx_next && card->tx[card->tx_done].status & DD) {
		unsigned int done = card->tx_done;

		pci_unmap_single(card->pdev, card->sent_bus[done], card->sent[done]->len, PCI_DMA_TODEVICE);
		dev_kfree_skb_irq(card->sent[done]);
		card->sent[done] = NULL;
		card->tx_done = (done + 1) % RING;
	}
	if (netif_queue_stopped(dev))
		netif_wake_queue(dev);
}

static void interrupt(int irq, void *dev_id, struct pt_regs *regs)
{
	struct net_device *dev = dev_id;
	struct card *card = dev->priv;
	u32 causes = readl(card->regs + ICR);

	if (!causes)
		return;
	if (causes & CAUSE_LSC)
		printk(KERN_INFO "%s: link is %s\n", dev->name,
		       readl(card->regs + STATUS) & STATUS_LU ? "up" : "down");
	receive(dev);
	clean_sent(dev);
}

static int xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct card *card = dev->priv;
	unsigned int at, next;
	unsigned long flags;

	spin_lock_irqsave(&card->lock, flags);
	at = card->tx_next;
	next = (at + 1) % RING;
	if (next == card->tx_done) {
		netif_stop_queue(dev);
		spin_unlock_irqrestore(&card->lock, flags);
		return 1;
	}
	card->sent[at] = skb;
	card->sent_bus[at] = pci_map_single(card->pdev, skb->data, skb->len, PCI_DMA_TODEVICE);
	card->tx[at].address = cpu_to_le64(card->sent_bus[at]);
	card->tx[at].length = cpu_to_le16(skb->len);
	card->tx[at].one = 0;
	card->tx[at].command = 1 << 0 | 1 << 1 | 1 << 3;	/* EOP, IFCS, RS */
	card->tx[at].status = card->tx[at].errors = 0;
	card->tx[at].special = 0;
	card->stats.tx_packets++;
	card->stats.tx_bytes += skb->len;
	card->tx_next = next;
	wmb();
	writel(next, card->regs + TDBAL + RING_TAIL);
	dev->trans_start = jiffies;
	spin_unlock_irqrestore(&card->lock, flags);
	return 0;
}

static void free_rings(struct card *card)
{
	if (card->rx)
		pci_free_consistent(card->pdev, RING * sizeof(*card->rx), card->rx, card->rx_bus);
	if (card->tx)
		pci_free_consistent(card->pdev, RING * sizeof(*card->tx), card->tx, card->tx_bus);
	if (card->buffers)
		pci_free_consistent(card->pdev, RING * BUFFER, card->buffers, card->buffers_bus);
	card->rx = card->tx = NULL;
	card->buffers = NULL;
}

static int alloc_rings(struct card *card)
{
	unsigned int at;

	card->rx = pci_alloc_consistent(card->pdev, RING * sizeof(*card->rx), &card->rx_bus);
	card->tx = pci_alloc_consistent(card->pdev, RING * sizeof(*card->tx), &card->tx_bus);
	card->buffers = pci_alloc_consistent(card->pdev, RING * BUFFER, &card->buffers_bus);
	if (!card->rx || !card->tx || !card->buffers) {
		free_rings(card);
		return -ENOMEM;
	}
	memset(card->rx, 0, RING * sizeof(*card->rx));
	memset(card->tx, 0, RING * sizeof(*card->tx));
	for (at = 0; at < RING; at++)
		card->rx[at].address = cpu_to_le64(card->buffers_bus + at * BUFFER);
	card->rx_next = card->tx_next = card->tx_done = 0;
	return 0;
}

static void set_ring(struct card *card, int ring, dma_addr_t bus, unsigned int tail)
{
	writel(bus, card->regs + ring);
	writel(0, card->regs + ring + RING_BAH);
	writel(RING * sizeof(struct descriptor), card->regs + ring + RING_LEN);
	writel(0, card->regs + ring + RING_HEAD);
	writel(tail, card->regs + ring + RING_TAIL);
}

static int open(struct net_device *dev)
{
	struct card *card = dev->priv;
	const u8 *mac = dev->dev_addr;
	int err, word;

	err = alloc_rings(card);
	if (err)
		return err;
	reset(card);
	writel(CTRL_SLU, card->regs + CTRL);
	for (word = 0; word < 128; word++)
		writel(0, card->regs + MTA + 4 * word);
	writel(mac[0] | mac[1] << 8 | mac[2] << 16 | (u32)mac[3] << 24, card->regs + RAL);
	writel(mac[4] | mac[5] << 8 | 1U << 31, card->regs + RAH);
	set_ring(card, RDBAL, card->rx_bus, RING - 1);
	set_ring(card, TDBAL, card->tx_bus, 0);
	writel(0x00602008, card->regs + TIPG);
	writel(1 << 1 | 1 << 3 | 15 << 4 | 64 << 12, card->regs + TCTL);	/* EN, PSP, CT, COLD */
	writel(1 << 1 | 1 << 15 | 1 << 26, card->regs + RCTL);			/* EN, BAM, SECRC */
	err = request_irq(card->pdev->irq, interrupt, SA_SHIRQ, dev->name, dev);
	if (err) {
		reset(card);
		free_rings(card);
		return err;
	}
	writel(CAUSES, card->regs + IMS);
	netif_start_queue(dev);
	return 0;
}

static int stop(struct net_device *dev)
{
	struct card *card = dev->priv;
	unsigned int at;

	netif_stop_queue(dev);
	reset(card);
	free_irq(card->pdev->irq, dev);
	for (at = 0; at < RING; at++) {
		if (!card->sent[at])
			continue;
		pci_unmap_single(card->pdev, card->sent_bus[at], card->sent[at]->len, PCI_DMA_TODEVICE);
		dev_kfree_skb(card->sent[at]);
		card->sent[at] = NULL;
		card->stats.tx_dropped++;
	}
	free_rings(card);
	return 0;
}

static struct net_device_stats *get_stats(struct net_device *dev)
{
	return &((struct card *)dev->priv)->stats;
}

static int __devinit probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct net_device *dev;
	struct card *card;
	int at, word, err = pci_enable_device(pdev);

	if (err)
		return err;
	pci_set_master(pdev);
	err = pci_request_regions(pdev, "newcomer");
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
	reset(card);
	for (at = 0; at < 3; at++) {
		err = word = eeprom_word(card, at);
		if (word < 0) {
			printk(KERN_ERR "newcomer: the EEPROM does not answer\n");
			goto unmap;
		}
		dev->dev_addr[2 * at] = word;
		dev->dev_addr[2 * at + 1] = word >> 8;
	}
	dev->irq = pdev->irq;
	dev->open = open;
	dev->stop = stop;
	dev->hard_start_xmit = xmit;
	dev->get_stats = get_stats;
	SET_MODULE_OWNER(dev);
	pci_set_drvdata(pdev, dev);
	err = register_netdev(dev);
	if (err)
		goto unmap;
	printk(KERN_INFO "%s: 82540EM, %02x:%02x:%02x:%02x:%02x:%02x\n", dev->name, dev->dev_addr[0], dev->dev_addr[1],
	       dev->dev_addr[2], dev->dev_addr[3], dev->dev_addr[4], dev->dev_addr[5]);
	return 0;
unmap:
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
	{ 0x8086, 0x100e, PCI_ANY_ID, PCI_ANY_ID, 0, 0, 0 },
	{ 0, 0, 0, 0, 0, 0, 0 }
};
MODULE_DEVICE_TABLE(pci, ids);

static struct pci_driver driver = {
	.name = "newcomer",
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
