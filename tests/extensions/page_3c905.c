/* A driver for the 3C905C written from course/devices/3c905.md: rings of eight, an interrupt for each frame. */
#include <linux/module.h>
#include <linux/init.h>
#include <linux/errno.h>
#include <linux/string.h>
#include <linux/slab.h>
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/pci.h>
#include <linux/netdevice.h>
#include <linux/etherdevice.h>
#include <linux/skbuff.h>
#include <asm/io.h>
#include <asm/system.h>

#define RING 8
#define BUFFER 1536
/* Those that it serves: linkEvent, dnComplete, upComplete. */
#define CAUSES 0x700

struct descriptor {
	volatile u32 next, status;
	u32 address, length;
};

struct card {
	struct net_device *dev;
	struct pci_dev *pdev;
	unsigned long port;
	struct descriptor *up, *down;
	dma_addr_t dma;
	struct sk_buff *in[RING], *out[RING];
	unsigned int taken, sent, freed;
};

static void command(struct card *card, u16 value)
{
	outw(value, card->port + 0x0e);
}

static void command_and_wait(struct card *card, u16 value)
{
	int i;

	command(card, value);
	for (i = 0; i < 1000 && inw(card->port + 0x0e) & 0x1000; i++)
		udelay(10);
}

static void window(struct card *card, int number)
{
	command(card, 0x0800 | number);
}

static u16 eeprom(struct card *card, int word)
{
	window(card, 0);
	outw(0x80 + word, card->port + 0x0a);
	while (inw(card->port + 0x0a) & 0x8000)
		udelay(20);
	return inw(card->port + 0x0c);
}

static int give_buffer(struct card *card, int i)
{
	struct sk_buff *skb = dev_alloc_skb(BUFFER + 2);

	if (!skb)
		return -ENOMEM;
	skb_reserve(skb, 2);
	skb->dev = card->dev;
	card->in[i] = skb;
	card->up[i].address = pci_map_single(card->pdev, skb->data, BUFFER, PCI_DMA_FROMDEVICE);
	card->up[i].length = BUFFER | 0x80000000;
	wmb();
	card->up[i].status = 0;
	return 0;
}

static void take_frames(struct card *card)
{
	int i;

	for (; card->up[i = card->taken % RING].status & 0x8000; card->taken++) {
		u32 status = card->up[i].status;
		struct sk_buff *skb = card->in[i];
		dma_addr_t dma = card->up[i].address;

		if (status & 0x4000 || give_buffer(card, i)) {
			card->up[i].status = 0;
			continue;
		}
		pci_unmap_single(card->pdev, dma, BUFFER, PCI_DMA_FROMDEVICE);
		skb_put(skb, status & 0x1fff);
		skb->protocol = eth_type_trans(skb, card->dev);
		netif_rx(skb);
	}
	command(card, 0x3001);
}

static void free_sent(struct card *card)
{
	int i;

	for (; card->freed != card->sent && card->down[i = card->freed % RING].status & 0x10000; card->freed++) {
		pci_unmap_single(card->pdev, card->down[i].address, card->out[i]->len, PCI_DMA_TODEVICE);
		dev_kfree_skb_any(card->out[i]);
	}
	netif_wake_queue(card->dev);
}

static void look_for_link(struct card *card)
{
	u16 media;

	window(card, 4);
	media = inw(card->port + 0x0a);
	if (!(media & 0x800)) {
		netif_carrier_off(card->dev);
		return;
	}
	window(card, 3);
	outw(0x20, card->port + 0x06);
	netif_carrier_on(card->dev);
	netif_wake_queue(card->dev);
}

static void interrupt(int irq, void *dev_id, struct pt_regs *regs)
{
	struct card *card = ((struct net_device *)dev_id)->priv;
	u16 status;

	if (!(inw(card->port + 0x0e) & 1))
		return;
	status = inw(card->port + 0x1e);
	if (status & 0x400)
		take_frames(card);
	if (status & 0x200)
		free_sent(card);
	if (status & 0x100)
		look_for_link(card);
	command(card, 0x7000 | CAUSES | 1);
}

static int transmit(struct sk_buff *skb, struct net_device *dev)
{
	struct card *card = dev->priv;
	int i = card->sent % RING;
	dma_addr_t where = card->dma + (RING + i) * sizeof(struct descriptor);

	if (card->sent - card->freed == RING) {
		netif_stop_queue(dev);
		return 1;
	}
	card->out[i] = skb;
	card->down[i].next = 0;
	card->down[i].status = 0x90000000;
	card->down[i].address = pci_map_single(card->pdev, skb->data, skb->len, PCI_DMA_TODEVICE);
	card->down[i].length = skb->len | 0x80000000;
	command_and_wait(card, 0x3002);
	card->down[(card->sent - 1) % RING].next = where;
	card->sent++;
	if (!inl(card->port + 0x24))
		outl(where, card->port + 0x24);
	command(card, 0x3003);
	return 0;
}

static int open(struct net_device *dev)
{
	struct card *card = dev->priv;
	int i;

	for (i = 0; i < RING; i++) {
		card->up[i].next = card->dma + (i + 1) % RING * sizeof(struct descriptor);
		if (give_buffer(card, i))
			return -ENOMEM;
	}
	if (request_irq(dev->irq, interrupt, SA_SHIRQ, dev->name, dev))
		return -EBUSY;
	command_and_wait(card, 0x5800);
	command_and_wait(card, 0x2804);
	window(card, 2);
	for (i = 0; i < 6; i++)
		outb(dev->dev_addr[i], card->port + i);
	command(card, 0xa800);
	outl(card->dma, card->port + 0x38);
	command(card, 0x8005);
	command(card, 0x2000);
	command(card, 0x4800);
	command(card, 0x7800 | CAUSES);
	command(card, 0x6e63);
	command(card, 0x7000 | CAUSES | 1);
	look_for_link(card);
	return 0;
}

static int stop(struct net_device *dev)
{
	struct card *card = dev->priv;
	int i;

	command(card, 0x7000);
	command_and_wait(card, 0x5800);
	command_and_wait(card, 0x2804);
	free_irq(dev->irq, dev);
	for (i = 0; i < RING; i++) {
		pci_unmap_single(card->pdev, card->up[i].address, BUFFER, PCI_DMA_FROMDEVICE);
		dev_kfree_skb_any(card->in[i]);
	}
	for (; card->freed != card->sent; card->freed++)
		dev_kfree_skb_any(card->out[card->freed % RING]);
	return 0;
}

static int probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct net_device *dev;
	struct card *card;
	int i;

	if (pci_enable_device(pdev) || pci_request_regions(pdev, "page_3c905"))
		return -EBUSY;
	pci_set_master(pdev);
	dev = alloc_etherdev(sizeof(*card));
	if (!dev)
		return -ENOMEM;
	card = dev->priv;
	card->dev = dev;
	card->pdev = pdev;
	card->port = pci_resource_start(pdev, 0);
	card->up = pci_alloc_consistent(pdev, 2 * RING * sizeof(struct descriptor), &card->dma);
	if (!card->up)
		return -ENOMEM;
	card->down = card->up + RING;
	pci_set_drvdata(pdev, dev);
	command_and_wait(card, 0x0014);
	for (i = 0; i < 3; i++) {
		u16 word = eeprom(card, 0x0a + i);

		dev->dev_addr[2 * i] = word >> 8;
		dev->dev_addr[2 * i + 1] = word & 0xff;
	}
	dev->irq = pdev->irq;
	dev->open = open;
	dev->stop = stop;
	dev->hard_start_xmit = transmit;
	return register_netdev(dev);
}

static void remove(struct pci_dev *pdev)
{
	struct net_device *dev = pci_get_drvdata(pdev);
	struct card *card = dev->priv;

	unregister_netdev(dev);
	pci_free_consistent(pdev, 2 * RING * sizeof(struct descriptor), card->up, card->dma);
	pci_release_regions(pdev);
	kfree(dev);
}

static const struct pci_device_id ids[] = {
	{ 0x10b7, 0x9200, PCI_ANY_ID, PCI_ANY_ID, 0, 0, 0 },
	{ 0, 0, 0, 0, 0, 0, 0 }
};

static struct pci_driver driver = { .name = "page_3c905", .id_table = ids, .probe = probe, .remove = remove };

static int init(void)
{
	return pci_module_init(&driver);
}

static void cleanup(void)
{
	pci_unregister_driver(&driver);
}

module_init(init);
module_exit(cleanup);
