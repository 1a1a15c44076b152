/*
 * A small driver written from course/devices/pcnet32.md alone, and otherwise
 * than pcnet32.c wherever the page leaves a choice: 16-bit registers, software
 * style 3, rings set up through CSRs, a transmit ring that the chip polls,
 * every frame copied.
 */
#include <linux/module.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/errno.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/interrupt.h>
#include <linux/pci.h>
#include <linux/netdevice.h>
#include <linux/etherdevice.h>
#include <linux/skbuff.h>
#include <asm/io.h>
#include <asm/system.h>

#define RDP 0x10
#define RAP 0x12
#define RESET 0x14

#define RX_COUNT 20
#define TX_COUNT 3
#define BUFFER 1536

#define OWN 0x80000000
#define ERR 0x40000000
#define STP 0x02000000
#define ENP 0x01000000
#define LENGTH(n) (0xF000 | (-(n) & 0xFFF))

struct desc {
	u32 result;
	u32 flags;
	u32 buffer;
	u32 own;
};

struct area {
	struct desc rx[RX_COUNT];
	struct desc tx[TX_COUNT];
	u8 rx_data[RX_COUNT][BUFFER];
	u8 tx_data[TX_COUNT][BUFFER];
};

struct card {
	unsigned long io;
	struct pci_dev *pdev;
	struct area *area;
	dma_addr_t bus;
	spinlock_t lock;
	unsigned int rx, tx, sent;
	struct net_device_stats stats;
};

static u16 get(struct card *card, int csr)
{
	outw(csr, card->io + RAP);
	return inw(card->io + RDP);
}

static void put(struct card *card, int csr, u16 value)
{
	outw(csr, card->io + RAP);
	outw(value, card->io + RDP);
}

static void put_address(struct card *card, int csr, u32 address)
{
	put(card, csr, address);
	put(card, csr + 1, address >> 16);
}

static void give(struct card *card, unsigned int i)
{
	volatile struct desc *desc = &card->area->rx[i];

	desc->result = 0;
	desc->buffer = card->bus + offsetof(struct area, rx_data) + i * BUFFER;
	wmb();
	desc->flags = OWN | LENGTH(BUFFER);
}

static int page_open(struct net_device *dev);

static void receive(struct net_device *dev, struct card *card)
{
	while (!(card->area->rx[card->rx].flags & OWN)) {
		struct desc *desc = &card->area->rx[card->rx];
		unsigned int length = (desc->result & 0xFFF) - 4;
		struct sk_buff *skb = NULL;

		if ((desc->flags & (ERR | STP | ENP)) == (STP | ENP))
			skb = dev_alloc_skb(length + 2);
		if (skb) {
			skb_reserve(skb, 2);
			skb->dev = dev;
			memcpy(skb_put(skb, length), card->area->rx_data[card->rx], length);
			skb->protocol = eth_type_trans(skb, dev);
			netif_rx(skb);
			card->stats.rx_packets++;
		}
		give(card, card->rx);
		card->rx = (card->rx + 1) % RX_COUNT;
	}
}

static void page_interrupt(int irq, void *dev_id, struct pt_regs *regs)
{
	struct net_device *dev = dev_id;
	struct card *card = dev->priv;
	u16 csr0;

	spin_lock(&card->lock);
	while ((csr0 = get(card, 0)) & 0x0080) {
		put(card, 0, csr0 & 0x7F00);
		if (csr0 & 0x0400)
			receive(dev, card);
		while (card->sent != card->tx && !(card->area->tx[card->sent % TX_COUNT].flags & OWN)) {
			card->sent++;
			card->stats.tx_packets++;
		}
		if (card->tx - card->sent < TX_COUNT)
			netif_wake_queue(dev);
	}
	put(card, 0, 0x0040);
	spin_unlock(&card->lock);
}

static int page_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct card *card = dev->priv;
	unsigned int i = card->tx % TX_COUNT;
	volatile struct desc *desc = &card->area->tx[i];
	unsigned long flags;

	if (skb->len > BUFFER) {
		dev_kfree_skb(skb);
		return 0;
	}
	spin_lock_irqsave(&card->lock, flags);
	memcpy(card->area->tx_data[i], skb->data, skb->len);
	desc->result = 0;
	desc->buffer = card->bus + offsetof(struct area, tx_data) + i * BUFFER;
	wmb();
	desc->flags = OWN | STP | ENP | LENGTH(skb->len);
	dev->trans_start = jiffies;
	if (++card->tx - card->sent == TX_COUNT)
		netif_stop_queue(dev);
	spin_unlock_irqrestore(&card->lock, flags);
	dev_kfree_skb(skb);
	return 0;
}

static int page_open(struct net_device *dev)
{
	struct card *card = dev->priv;
	int i, err;

	err = request_irq(dev->irq, page_interrupt, SA_SHIRQ, "page", dev);
	if (err)
		return err;
	(void)inw(card->io + RESET);
	put(card, 58, 3);
	for (i = 0; i < RX_COUNT; i++)
		give(card, i);
	for (i = 0; i < TX_COUNT; i++)
		card->area->tx[i].flags = 0;
	card->rx = card->tx = card->sent = 0;
	put_address(card, 24, card->bus + offsetof(struct area, rx));
	put_address(card, 30, card->bus + offsetof(struct area, tx));
	put(card, 76, -RX_COUNT);
	put(card, 72, -RX_COUNT);
	put(card, 78, -TX_COUNT);
	put(card, 74, -TX_COUNT);
	/* Looked at every 50 microseconds. */
	put(card, 47, -1650);
	for (i = 0; i < 3; i++)
		put(card, 12 + i, dev->dev_addr[2 * i] | (dev->dev_addr[2 * i + 1] << 8));
	for (i = 0; i < 4; i++)
		put(card, 8 + i, 0);
	put(card, 15, 0);
	put(card, 4, 0x0915);
	put(card, 0, 0x0042);
	netif_start_queue(dev);
	return 0;
}

static int page_stop(struct net_device *dev)
{
	struct card *card = dev->priv;

	netif_stop_queue(dev);
	put(card, 0, 0x0004);
	free_irq(dev->irq, dev);
	return 0;
}

static struct net_device_stats *page_stats(struct net_device *dev)
{
	struct card *card = dev->priv;

	return &card->stats;
}

static int page_probe(struct pci_dev *pdev, const struct pci_device_id *ent)
{
	struct net_device *dev = alloc_etherdev(sizeof(struct card));
	struct card *card;
	int i, err;

	if (!dev)
		return -ENOMEM;
	card = dev->priv;
	card->pdev = pdev;
	err = pci_enable_device(pdev);
	if (!err)
		err = pci_request_regions(pdev, "page");
	if (err) {
		kfree(dev);
		return err;
	}
	card->io = pci_resource_start(pdev, 0);
	(void)inw(card->io + RESET);
	pci_set_master(pdev);
	card->area = pci_alloc_consistent(pdev, sizeof(*card->area), &card->bus);
	if (!card->area || get(card, 88) != 0x3003) {
		pci_release_regions(pdev);
		kfree(dev);
		return -ENODEV;
	}
	for (i = 0; i < ETH_ALEN; i++)
		dev->dev_addr[i] = inb(card->io + i);
	dev->irq = pdev->irq;
	dev->open = page_open;
	dev->stop = page_stop;
	dev->hard_start_xmit = page_xmit;
	dev->get_stats = page_stats;
	pci_set_drvdata(pdev, dev);
	return register_netdev(dev);
}

static void page_remove(struct pci_dev *pdev)
{
	struct net_device *dev = pci_get_drvdata(pdev);
	struct card *card = dev->priv;

	unregister_netdev(dev);
	pci_free_consistent(pdev, sizeof(*card->area), card->area, card->bus);
	pci_release_regions(pdev);
	kfree(dev);
}

static const struct pci_device_id page_table[] = {
	{ PCI_VENDOR_ID_AMD, PCI_DEVICE_ID_AMD_LANCE, PCI_ANY_ID, PCI_ANY_ID, 0, 0, 0 },
	{ 0, 0, 0, 0, 0, 0, 0 }
};

static struct pci_driver page_driver = {
	.name = "page",
	.id_table = page_table,
	.probe = page_probe,
	.remove = page_remove,
};

static int page_init(void)
{
	return pci_module_init(&page_driver);
}

static void page_exit(void)
{
	pci_unregister_driver(&page_driver);
}

module_init(page_init);
module_exit(page_exit);
