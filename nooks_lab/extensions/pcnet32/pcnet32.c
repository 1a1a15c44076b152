/*
 * AMD PCnet-PCI family (Am79C970A to Am79C973) Ethernet.
 *
 * Written from AMD's publications 19436 (Am79C970A, PCnet-PCI II) and 20550
 * (Am79C971, PCnet-FAST).
 */
#include <linux/module.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/errno.h>
#include <linux/string.h>
#include <linux/slab.h>
#include <linux/delay.h>
#include <linux/timer.h>
#include <linux/interrupt.h>
#include <linux/ioport.h>
#include <linux/pci.h>
#include <linux/netdevice.h>
#include <linux/etherdevice.h>
#include <linux/skbuff.h>
#include <linux/mii.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <asm/byteorder.h>
#include <asm/io.h>
#include <asm/system.h>
#include <asm/uaccess.h>

#include "pcnet32_hw.h"

#define DRV_NAME "pcnet32"
#define DRV_VERSION "1.0"

#define PCNET32_MAX_CARDS 8

#define PCNET32_FCS_LEN 4
#define PCNET32_RX_BUFFER 1536
/* Two bytes before the Ethernet header put the IP header on a word boundary. */
#define PCNET32_IP_ALIGN 2
/* A shorter frame is copied, so that a small packet does not hold a whole buffer. */
#define PCNET32_RX_COPYBREAK 200

#define PCNET32_TX_TIMEOUT (5 * HZ)
#define PCNET32_WATCH_PERIOD (2 * HZ)
/* So many rounds in one interrupt, so that a stuck cause cannot hold the processor. */
#define PCNET32_MAX_INTR_WORK 20

#define PCNET32_POLL_USECS 10
#define PCNET32_INIT_POLLS 100
#define PCNET32_SUSPEND_POLLS 200

#define PCNET32_REGS_VERSION 1
#define PCNET32_DUMP_CSRS 90
#define PCNET32_DUMP_BCRS 36

MODULE_AUTHOR("The Nooks Lab project");
MODULE_DESCRIPTION("AMD PCnet-PCI Ethernet driver");
MODULE_LICENSE("GPL");

static int debug = 1;
static int options[PCNET32_MAX_CARDS];
static int full_duplex[PCNET32_MAX_CARDS];

MODULE_PARM(debug, "i");
MODULE_PARM_DESC(debug, "Messages: 0 only errors, 1 also the link, 2 also what the chip reports (0-2)");
MODULE_PARM(options, "1-8i");
MODULE_PARM_DESC(options, "Medium of each card: 0 negotiated, 1 10BASE-T, 2 10BASE-T full duplex, "
			  "3 100BASE-TX, 4 100BASE-TX full duplex");
MODULE_PARM(full_duplex, "1-8i");
MODULE_PARM_DESC(full_duplex, "Full duplex of each card, where nothing is negotiated (0-1)");

struct pcnet32_chip {
	u16 part;
	u8 has_mii;
	const char *name;
};

static const struct pcnet32_chip pcnet32_chips[] = {
	{ 0x2621, 0, "PCnet-PCI II Am79C970A" },
	{ 0x2623, 1, "PCnet-FAST Am79C971" },
	{ 0x2624, 1, "PCnet-FAST+ Am79C972" },
	{ 0x2625, 1, "PCnet-FAST III Am79C973" },
};

/* The control register of the PHY for each value of the parameter options. */
static const u16 pcnet32_media[] = {
	BMCR_ANENABLE,
	0,
	BMCR_FULLDPLX,
	BMCR_SPEED100,
	BMCR_SPEED100 | BMCR_FULLDPLX,
};

#define PCNET32_MEDIA_MASK (BMCR_ANENABLE | BMCR_SPEED100 | BMCR_FULLDPLX)

/* What the chip reads and writes by itself. */
struct pcnet32_shared {
	struct pcnet32_rx_desc rx_ring[PCNET32_RX_RING_SIZE];
	struct pcnet32_tx_desc tx_ring[PCNET32_TX_RING_SIZE];
	struct pcnet32_init_block init_block;
};

/* What a descriptor cannot hold about its buffer. */
struct pcnet32_buffer {
	struct sk_buff *skb;
	dma_addr_t dma;
	unsigned int length;
};

struct pcnet32_private {
	struct net_device *dev;
	struct pci_dev *pdev;
	const struct pcnet32_chip *chip;
	unsigned long ioaddr;
	int phy_id;
	int medium;
	int full_duplex;

	struct pcnet32_shared *shared;
	dma_addr_t dma;

	/* Guards RAP, which selects what the data ports show, and the transmit ring. */
	spinlock_t lock;

	/* Counters that only grow; a ring's entry is the remainder. */
	unsigned int cur_rx;
	unsigned int cur_tx;
	unsigned int dirty_tx;
	struct pcnet32_buffer rx_buffer[PCNET32_RX_RING_SIZE];
	struct pcnet32_buffer tx_buffer[PCNET32_TX_RING_SIZE];

	struct timer_list watch_timer;
	struct net_device_stats stats;
	/* What the chip's counter of missed frames showed last. */
	u16 missed;
};

static const struct pci_device_id pcnet32_pci_tbl[] = {
	{ PCI_VENDOR_ID_AMD, PCI_DEVICE_ID_AMD_LANCE, PCI_ANY_ID, PCI_ANY_ID, 0, 0, 0 },
	{ 0, 0, 0, 0, 0, 0, 0 }
};

MODULE_DEVICE_TABLE(pci, pcnet32_pci_tbl);

static int cards_found;

/* --- Registers --- */

static u16 pcnet32_read_csr(const struct pcnet32_private *lp, int index)
{
	outl(index, lp->ioaddr + PCNET32_RAP);
	return inl(lp->ioaddr + PCNET32_RDP) & 0xffff;
}

static void pcnet32_write_csr(struct pcnet32_private *lp, int index, u16 value)
{
	outl(index, lp->ioaddr + PCNET32_RAP);
	outl(value, lp->ioaddr + PCNET32_RDP);
}

static u16 pcnet32_read_bcr(const struct pcnet32_private *lp, int index)
{
	outl(index, lp->ioaddr + PCNET32_RAP);
	return inl(lp->ioaddr + PCNET32_BDP) & 0xffff;
}

static void pcnet32_write_bcr(struct pcnet32_private *lp, int index, u16 value)
{
	outl(index, lp->ioaddr + PCNET32_RAP);
	outl(value, lp->ioaddr + PCNET32_BDP);
}

/*
 * The chip stays in the width in which the last driver left it, and a reset
 * does not change that: the reset register is read at both its places, and
 * RAP is 0 afterwards.  A 32-bit write to RDP then makes the registers 32
 * bits wide for good; it goes to CSR0, where zeros do nothing.
 */
static void pcnet32_reset(unsigned long ioaddr)
{
	(void)inw(ioaddr + PCNET32_WIO_RESET);
	(void)inl(ioaddr + PCNET32_RESET);
	udelay(1);
	outl(0, ioaddr + PCNET32_RDP);
}

static u16 pcnet32_mdio_read(struct pcnet32_private *lp, int phy, int reg)
{
	pcnet32_write_bcr(lp, PCNET32_MII_ADDRESS, (phy << PCNET32_MII_PHY_SHIFT) | reg);
	return pcnet32_read_bcr(lp, PCNET32_MII_DATA);
}

static void pcnet32_mdio_write(struct pcnet32_private *lp, int phy, int reg, u16 value)
{
	pcnet32_write_bcr(lp, PCNET32_MII_ADDRESS, (phy << PCNET32_MII_PHY_SHIFT) | reg);
	pcnet32_write_bcr(lp, PCNET32_MII_DATA, value);
}

/* The first PHY on the management bus, or -1: where there is none, all bits read as ones. */
static int pcnet32_find_phy(struct pcnet32_private *lp)
{
	u16 id1, id2;
	int phy;

	if (!lp->chip->has_mii)
		return -1;
	for (phy = 0; phy < PCNET32_PHYS; phy++) {
		id1 = pcnet32_mdio_read(lp, phy, MII_PHYSID1);
		id2 = pcnet32_mdio_read(lp, phy, MII_PHYSID2);
		if ((id1 != 0xffff || id2 != 0xffff) && (id1 || id2))
			return phy;
	}
	return -1;
}

/* The PHY's status holds a lost link until it is read: the second reading tells what is now. */
static int pcnet32_link_ok(struct pcnet32_private *lp)
{
	if (lp->phy_id < 0)
		return (pcnet32_read_bcr(lp, PCNET32_BCR4) & BCR4_LEDOUT) != 0;
	(void)pcnet32_mdio_read(lp, lp->phy_id, MII_BMSR);
	return (pcnet32_mdio_read(lp, lp->phy_id, MII_BMSR) & BMSR_LSTATUS) != 0;
}

/* Touches the PHY only where it is set up otherwise: a negotiation costs the link. */
static void pcnet32_setup_medium(struct pcnet32_private *lp)
{
	u16 bmcr, wanted;

	if (lp->phy_id < 0) {
		pcnet32_write_bcr(lp, PCNET32_BCR2, pcnet32_read_bcr(lp, PCNET32_BCR2) | BCR2_ASEL);
		return;
	}
	wanted = pcnet32_media[lp->medium];
	if (lp->full_duplex && !(wanted & BMCR_ANENABLE))
		wanted |= BMCR_FULLDPLX;
	bmcr = pcnet32_mdio_read(lp, lp->phy_id, MII_BMCR);
	if (wanted & BMCR_ANENABLE) {
		if (!(bmcr & BMCR_ANENABLE))
			pcnet32_mdio_write(lp, lp->phy_id, MII_BMCR, BMCR_ANENABLE | BMCR_ANRESTART);
	} else if ((bmcr & PCNET32_MEDIA_MASK) != wanted) {
		pcnet32_mdio_write(lp, lp->phy_id, MII_BMCR, wanted);
	}
}

/* Whether PHY and partner have settled on full duplex; without negotiation it is what was set. */
static int pcnet32_duplex(struct pcnet32_private *lp)
{
	u16 bmcr, both;

	if (lp->phy_id < 0)
		return lp->full_duplex;
	bmcr = pcnet32_mdio_read(lp, lp->phy_id, MII_BMCR);
	if (!(bmcr & BMCR_ANENABLE))
		return (bmcr & BMCR_FULLDPLX) != 0;
	both = pcnet32_mdio_read(lp, lp->phy_id, MII_ADVERTISE) & pcnet32_mdio_read(lp, lp->phy_id, MII_LPA);
	if (both & (ADVERTISE_100FULL | ADVERTISE_100HALF))
		return (both & ADVERTISE_100FULL) != 0;
	return (both & ADVERTISE_10FULL) != 0;
}

static void pcnet32_set_duplex(struct pcnet32_private *lp, int full)
{
	u16 bcr9 = pcnet32_read_bcr(lp, PCNET32_BCR9) & ~BCR9_FDEN;

	pcnet32_write_bcr(lp, PCNET32_BCR9, full ? bcr9 | BCR9_FDEN : bcr9);
}

/* --- Rings --- */

static struct sk_buff *pcnet32_alloc_rx_skb(struct pcnet32_private *lp)
{
	struct sk_buff *skb = dev_alloc_skb(PCNET32_RX_BUFFER + PCNET32_IP_ALIGN);

	if (skb) {
		skb_reserve(skb, PCNET32_IP_ALIGN);
		skb->dev = lp->dev;
	}
	return skb;
}

static void pcnet32_map_rx(struct pcnet32_private *lp, struct pcnet32_buffer *buffer, struct sk_buff *skb)
{
	buffer->skb = skb;
	buffer->length = PCNET32_RX_BUFFER;
	buffer->dma = pci_map_single(lp->pdev, skb->data, buffer->length, PCI_DMA_FROMDEVICE);
}

/* From then on the descriptor and its buffer are the chip's. */
static void pcnet32_give_rx(struct pcnet32_private *lp, unsigned int entry)
{
	volatile struct pcnet32_rx_desc *desc = &lp->shared->rx_ring[entry];

	desc->base = cpu_to_le32(lp->rx_buffer[entry].dma);
	desc->msg_length = 0;
	wmb();
	desc->control = cpu_to_le32(DESC_OWN | DESC_LENGTH(PCNET32_RX_BUFFER));
}

static void pcnet32_drop_buffer(struct pcnet32_private *lp, struct pcnet32_buffer *buffer, int direction)
{
	if (!buffer->skb)
		return;
	pci_unmap_single(lp->pdev, buffer->dma, buffer->length, direction);
	dev_kfree_skb_any(buffer->skb);
	buffer->skb = NULL;
}

/* The chip must be stopped. */
static void pcnet32_purge_tx(struct pcnet32_private *lp)
{
	unsigned int i;

	memset(lp->shared->tx_ring, 0, sizeof(lp->shared->tx_ring));
	for (i = 0; i < PCNET32_TX_RING_SIZE; i++)
		pcnet32_drop_buffer(lp, &lp->tx_buffer[i], PCI_DMA_TODEVICE);
	lp->cur_tx = 0;
	lp->dirty_tx = 0;
}

static void pcnet32_purge_rx(struct pcnet32_private *lp)
{
	unsigned int i;

	memset(lp->shared->rx_ring, 0, sizeof(lp->shared->rx_ring));
	for (i = 0; i < PCNET32_RX_RING_SIZE; i++)
		pcnet32_drop_buffer(lp, &lp->rx_buffer[i], PCI_DMA_FROMDEVICE);
}

/* Keeps the buffers that there are: a restart needs no memory. */
static int pcnet32_fill_rx(struct pcnet32_private *lp)
{
	struct sk_buff *skb;
	unsigned int i;

	lp->cur_rx = 0;
	for (i = 0; i < PCNET32_RX_RING_SIZE; i++) {
		if (!lp->rx_buffer[i].skb) {
			skb = pcnet32_alloc_rx_skb(lp);
			if (!skb)
				return -ENOMEM;
			pcnet32_map_rx(lp, &lp->rx_buffer[i], skb);
		}
		pcnet32_give_rx(lp, i);
	}
	return 0;
}

/* --- Filter --- */

/* The upper six bits of the address's CRC-32, least significant bit first, without its final inversion. */
static unsigned int pcnet32_hash(const u8 *addr)
{
	u32 crc = ~0U;
	int i, bit;

	for (i = 0; i < ETH_ALEN; i++) {
		crc ^= addr[i];
		for (bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return crc >> 26;
}

static void pcnet32_load_filter(struct pcnet32_private *lp)
{
	struct pcnet32_init_block *init = &lp->shared->init_block;
	struct net_device *dev = lp->dev;
	struct dev_mc_list *mc;
	unsigned int hash;

	init->mode = cpu_to_le16(dev->flags & IFF_PROMISC ? MODE_PROM : 0);
	if (dev->flags & IFF_ALLMULTI) {
		memset(init->filter, 0xff, sizeof(init->filter));
		return;
	}
	memset(init->filter, 0, sizeof(init->filter));
	for (mc = dev->mc_list; mc; mc = mc->next) {
		hash = pcnet32_hash(mc->dmi_addr);
		init->filter[hash >> 4] |= cpu_to_le16(1 << (hash & 15));
	}
}

/* --- Start and stop --- */

/* Everything that the chip knows of us, from reset to a running one; the rings are set up. */
static int pcnet32_start_chip(struct pcnet32_private *lp)
{
	struct pcnet32_init_block *init = &lp->shared->init_block;
	u32 init_dma = lp->dma + offsetof(struct pcnet32_shared, init_block);
	int i;

	pcnet32_reset(lp->ioaddr);
	lp->missed = 0;
	pcnet32_write_bcr(lp, PCNET32_BCR20, BCR20_SWSTYLE_PCI);
	pcnet32_write_bcr(lp, PCNET32_BCR18,
			  pcnet32_read_bcr(lp, PCNET32_BCR18) | BCR18_BREADE | BCR18_BWRITE);
	pcnet32_setup_medium(lp);
	pcnet32_set_duplex(lp, pcnet32_duplex(lp));

	pcnet32_load_filter(lp);
	init->tlen_rlen = cpu_to_le16((PCNET32_LOG_TX << PCNET32_TLEN_SHIFT) |
				      (PCNET32_LOG_RX << PCNET32_RLEN_SHIFT));
	memcpy(init->phys_addr, lp->dev->dev_addr, ETH_ALEN);
	init->rx_ring = cpu_to_le32(lp->dma + offsetof(struct pcnet32_shared, rx_ring));
	init->tx_ring = cpu_to_le32(lp->dma + offsetof(struct pcnet32_shared, tx_ring));
	wmb();

	pcnet32_write_csr(lp, PCNET32_CSR3, CSR0_IDON);
	/* Each frame is demanded with TDMD, so that the chip need not poll the ring. */
	pcnet32_write_csr(lp, PCNET32_CSR4, CSR4_DPOLL | CSR4_APAD_XMT | CSR4_MFCOM | CSR4_RCVCCOM |
					    CSR4_TXSTRTM | CSR4_JABM);
	pcnet32_write_csr(lp, PCNET32_CSR5, CSR5_SINTE | CSR5_SINT);
	pcnet32_write_csr(lp, PCNET32_IADRL, init_dma & 0xffff);
	pcnet32_write_csr(lp, PCNET32_IADRH, init_dma >> 16);
	pcnet32_write_csr(lp, PCNET32_CSR0, CSR0_INIT);
	for (i = 0; i < PCNET32_INIT_POLLS; i++) {
		if (pcnet32_read_csr(lp, PCNET32_CSR0) & CSR0_IDON) {
			pcnet32_write_csr(lp, PCNET32_CSR0, CSR0_IDON | CSR0_STRT | CSR0_IENA);
			return 0;
		}
		udelay(PCNET32_POLL_USECS);
	}
	pcnet32_write_csr(lp, PCNET32_CSR0, CSR0_STOP);
	return -EIO;
}

/* The counter wraps at 16 bits, and cannot be cleared while the chip runs. */
static void pcnet32_count_missed(struct pcnet32_private *lp)
{
	u16 now = pcnet32_read_csr(lp, PCNET32_MISSED_FRAMES);
	u16 more = now - lp->missed;

	lp->missed = now;
	lp->stats.rx_missed_errors += more;
	lp->stats.rx_errors += more;
}

static void pcnet32_stop_chip(struct pcnet32_private *lp)
{
	pcnet32_count_missed(lp);
	pcnet32_write_csr(lp, PCNET32_CSR0, CSR0_STOP);
}

/* Drops what was to be sent; the caller holds the lock. */
static void pcnet32_restart(struct pcnet32_private *lp)
{
	struct net_device *dev = lp->dev;
	int err;

	pcnet32_stop_chip(lp);
	lp->stats.tx_errors += lp->cur_tx - lp->dirty_tx;
	pcnet32_purge_tx(lp);
	err = pcnet32_fill_rx(lp);
	if (!err)
		err = pcnet32_start_chip(lp);
	if (err) {
		printk(KERN_ERR DRV_NAME ": %s: no restart, error %d\n", dev->name, err);
		return;
	}
	dev->trans_start = jiffies;
	netif_wake_queue(dev);
}

/* --- Link --- */

static void pcnet32_watch_link(unsigned long data)
{
	struct pcnet32_private *lp = (struct pcnet32_private *)data;
	struct net_device *dev = lp->dev;
	unsigned long flags;
	int link, full = 0;

	spin_lock_irqsave(&lp->lock, flags);
	link = pcnet32_link_ok(lp);
	if (link && !netif_carrier_ok(dev)) {
		full = pcnet32_duplex(lp);
		pcnet32_set_duplex(lp, full);
	}
	spin_unlock_irqrestore(&lp->lock, flags);

	if (link && !netif_carrier_ok(dev)) {
		netif_carrier_on(dev);
		if (debug > 0)
			printk(KERN_INFO DRV_NAME ": %s: link is up, %s duplex\n", dev->name,
			       full ? "full" : "half");
	} else if (!link && netif_carrier_ok(dev)) {
		netif_carrier_off(dev);
		if (debug > 0)
			printk(KERN_INFO DRV_NAME ": %s: link is down\n", dev->name);
	}
	mod_timer(&lp->watch_timer, jiffies + PCNET32_WATCH_PERIOD);
}

/* --- Transmit and receive --- */

static int pcnet32_start_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct pcnet32_private *lp = dev->priv;
	volatile struct pcnet32_tx_desc *desc;
	struct pcnet32_buffer *buffer;
	unsigned long flags;
	unsigned int entry;

	/* A descriptor has 12 bits for the length, and the chip reports a longer frame as babble. */
	if (skb->len == 0 || skb->len > ETH_FRAME_LEN) {
		lp->stats.tx_errors++;
		lp->stats.tx_dropped++;
		dev_kfree_skb_any(skb);
		return 0;
	}

	spin_lock_irqsave(&lp->lock, flags);
	if (lp->cur_tx - lp->dirty_tx >= PCNET32_TX_RING_SIZE) {
		netif_stop_queue(dev);
		spin_unlock_irqrestore(&lp->lock, flags);
		return 1;
	}

	entry = lp->cur_tx % PCNET32_TX_RING_SIZE;
	buffer = &lp->tx_buffer[entry];
	buffer->skb = skb;
	buffer->length = skb->len;
	buffer->dma = pci_map_single(lp->pdev, skb->data, skb->len, PCI_DMA_TODEVICE);

	desc = &lp->shared->tx_ring[entry];
	desc->base = cpu_to_le32(buffer->dma);
	desc->misc = 0;
	/* The chip may fetch the descriptor as soon as it owns it. */
	wmb();
	desc->control = cpu_to_le32(DESC_OWN | DESC_STP | DESC_ENP | DESC_LENGTH(skb->len));
	lp->cur_tx++;
	dev->trans_start = jiffies;
	if (lp->cur_tx - lp->dirty_tx >= PCNET32_TX_RING_SIZE)
		netif_stop_queue(dev);

	pcnet32_write_csr(lp, PCNET32_CSR0, CSR0_IENA | CSR0_TDMD);
	spin_unlock_irqrestore(&lp->lock, flags);
	return 0;
}

/* Returns whether the transmitter has turned itself off. */
static int pcnet32_count_tx(struct pcnet32_private *lp, u32 control, u32 misc, unsigned int length)
{
	struct net_device_stats *stats = &lp->stats;

	if (control & DESC_ERR) {
		stats->tx_errors++;
		if (misc & TMD2_RTRY)
			stats->tx_aborted_errors++;
		if (misc & TMD2_LCAR)
			stats->tx_carrier_errors++;
		if (misc & TMD2_LCOL)
			stats->tx_window_errors++;
		if (misc & TMD2_UFLO)
			stats->tx_fifo_errors++;
		return (misc & TMD2_UFLO) != 0;
	}
	if (control & (TMD1_MORE | TMD1_ONE))
		stats->collisions++;
	stats->tx_packets++;
	stats->tx_bytes += length;
	return 0;
}

/* Returns whether the chip must be started again. */
static int pcnet32_clean_tx(struct net_device *dev)
{
	struct pcnet32_private *lp = dev->priv;
	struct pcnet32_buffer *buffer;
	int restart = 0;

	while (lp->dirty_tx != lp->cur_tx) {
		unsigned int entry = lp->dirty_tx % PCNET32_TX_RING_SIZE;
		volatile struct pcnet32_tx_desc *desc = &lp->shared->tx_ring[entry];
		u32 control = le32_to_cpu(desc->control);

		if (control & DESC_OWN)
			break;
		/* The other words are valid only once OWN is clear. */
		rmb();
		buffer = &lp->tx_buffer[entry];
		restart |= pcnet32_count_tx(lp, control, le32_to_cpu(desc->misc), buffer->length);
		desc->base = 0;
		pci_unmap_single(lp->pdev, buffer->dma, buffer->length, PCI_DMA_TODEVICE);
		dev_kfree_skb_irq(buffer->skb);
		buffer->skb = NULL;
		lp->dirty_tx++;
	}
	if (netif_queue_stopped(dev) && lp->cur_tx - lp->dirty_tx <= PCNET32_TX_RING_SIZE / 2)
		netif_wake_queue(dev);
	return restart;
}

/* The chip spreads a frame that fits no buffer over several: STP is in the first, ENP in the last. */
static void pcnet32_count_rx_error(struct pcnet32_private *lp, u32 control)
{
	struct net_device_stats *stats = &lp->stats;

	if (!(control & (DESC_ERR | DESC_STP)))
		return;
	stats->rx_errors++;
	if (!(control & DESC_ERR)) {
		stats->rx_length_errors++;
		return;
	}
	if (control & RMD1_FRAM)
		stats->rx_frame_errors++;
	if (control & RMD1_OFLO)
		stats->rx_over_errors++;
	if (control & RMD1_CRC)
		stats->rx_crc_errors++;
	if (control & RMD1_BUFF)
		stats->rx_fifo_errors++;
}

/*
 * A packet to hand on: a copy of a short frame, or the buffer itself with a
 * new one in its place.  Without memory the frame is lost, and its buffer
 * stays in the ring.
 */
static struct sk_buff *pcnet32_take_rx(struct pcnet32_private *lp, unsigned int entry, unsigned int length)
{
	struct pcnet32_buffer *buffer = &lp->rx_buffer[entry];
	struct sk_buff *skb, *fresh;

	if (length < PCNET32_RX_COPYBREAK) {
		skb = dev_alloc_skb(length + PCNET32_IP_ALIGN);
		if (!skb)
			return NULL;
		skb->dev = lp->dev;
		skb_reserve(skb, PCNET32_IP_ALIGN);
		memcpy(skb_put(skb, length), buffer->skb->data, length);
		return skb;
	}
	fresh = pcnet32_alloc_rx_skb(lp);
	if (!fresh)
		return NULL;
	pci_unmap_single(lp->pdev, buffer->dma, buffer->length, PCI_DMA_FROMDEVICE);
	skb = buffer->skb;
	skb_put(skb, length);
	pcnet32_map_rx(lp, buffer, fresh);
	return skb;
}

static void pcnet32_receive_frame(struct net_device *dev, unsigned int entry, u32 control)
{
	struct pcnet32_private *lp = dev->priv;
	unsigned int length = le32_to_cpu(lp->shared->rx_ring[entry].msg_length) & RMD2_MCNT;
	struct sk_buff *skb;

	if (length < ETH_ZLEN + PCNET32_FCS_LEN || length > PCNET32_RX_BUFFER) {
		lp->stats.rx_errors++;
		lp->stats.rx_length_errors++;
		return;
	}
	length -= PCNET32_FCS_LEN;
	skb = pcnet32_take_rx(lp, entry, length);
	if (!skb) {
		lp->stats.rx_dropped++;
		return;
	}
	lp->stats.rx_packets++;
	lp->stats.rx_bytes += length;
	if (control & RMD1_LAFM)
		lp->stats.multicast++;
	skb->protocol = eth_type_trans(skb, dev);
	skb->ip_summed = CHECKSUM_NONE;
	netif_rx(skb);
	dev->last_rx = jiffies;
}

/* At most once round the ring, so that a flood cannot hold the processor here. */
static void pcnet32_receive(struct net_device *dev)
{
	struct pcnet32_private *lp = dev->priv;
	int work = PCNET32_RX_RING_SIZE;

	while (work-- > 0) {
		unsigned int entry = lp->cur_rx % PCNET32_RX_RING_SIZE;
		volatile struct pcnet32_rx_desc *desc = &lp->shared->rx_ring[entry];
		u32 control = le32_to_cpu(desc->control);

		if (control & DESC_OWN)
			break;
		rmb();
		if ((control & (DESC_ERR | DESC_STP | DESC_ENP)) == (DESC_STP | DESC_ENP))
			pcnet32_receive_frame(dev, entry, control);
		else
			pcnet32_count_rx_error(lp, control);
		pcnet32_give_rx(lp, entry);
		lp->cur_rx++;
	}
}

/* A master or target abort has stopped the chip: it met an address where nothing is. */
static void pcnet32_system_error(struct pcnet32_private *lp)
{
	u16 status = 0;

	if (!(pcnet32_read_csr(lp, PCNET32_CSR5) & CSR5_SINT))
		return;
	pci_read_config_word(lp->pdev, PCI_STATUS, &status);
	pci_write_config_word(lp->pdev, PCI_STATUS, status & (PCNET32_STATUS_RTABORT | PCNET32_STATUS_RMABORT));
	printk(KERN_ERR DRV_NAME ": %s: system error, PCI status %04x, restarting\n", lp->dev->name, status);
	pcnet32_restart(lp);
}

static void pcnet32_interrupt(int irq, void *dev_id, struct pt_regs *regs)
{
	struct net_device *dev = dev_id;
	struct pcnet32_private *lp = dev->priv;
	int work = PCNET32_MAX_INTR_WORK;
	u16 csr0;

	spin_lock(&lp->lock);
	csr0 = pcnet32_read_csr(lp, PCNET32_CSR0);
	if (!(csr0 & CSR0_INTR)) {
		spin_unlock(&lp->lock);
		return;
	}
	while ((csr0 & CSR0_INTR) && work-- > 0) {
		/* Acknowledges the causes seen; IENA stays off until the end. */
		pcnet32_write_csr(lp, PCNET32_CSR0, csr0 & CSR0_CAUSES);
		if (debug > 1)
			printk(KERN_DEBUG DRV_NAME ": %s: interrupt, CSR0 %04x\n", dev->name, csr0);

		if (csr0 & CSR0_RINT)
			pcnet32_receive(dev);
		if ((csr0 & CSR0_TINT) && pcnet32_clean_tx(dev))
			pcnet32_restart(lp);
		if (csr0 & CSR0_BABL)
			lp->stats.tx_errors++;
		if (csr0 & CSR0_MISS)
			pcnet32_count_missed(lp);
		if (csr0 & CSR0_MERR)
			printk(KERN_ERR DRV_NAME ": %s: the bus is not granted, CSR0 %04x\n", dev->name, csr0);
		if (csr0 & CSR0_STOP)
			pcnet32_system_error(lp);
		csr0 = pcnet32_read_csr(lp, PCNET32_CSR0);
	}
	pcnet32_write_csr(lp, PCNET32_CSR0, CSR0_IENA);
	spin_unlock(&lp->lock);
}

/* --- The network device --- */

static int pcnet32_open(struct net_device *dev)
{
	struct pcnet32_private *lp = dev->priv;
	unsigned long flags;
	int err;

	if (!is_valid_ether_addr(dev->dev_addr))
		return -EINVAL;
	err = request_irq(dev->irq, pcnet32_interrupt, SA_SHIRQ, dev->name, dev);
	if (err)
		return err;
	pcnet32_purge_tx(lp);
	err = pcnet32_fill_rx(lp);
	if (err)
		goto err_ring;

	spin_lock_irqsave(&lp->lock, flags);
	err = pcnet32_start_chip(lp);
	spin_unlock_irqrestore(&lp->lock, flags);
	if (err) {
		printk(KERN_ERR DRV_NAME ": %s: the chip does not initialize\n", dev->name);
		goto err_ring;
	}
	netif_start_queue(dev);
	/* The first look follows soon: the link may be there already. */
	mod_timer(&lp->watch_timer, jiffies + 1);
	return 0;

err_ring:
	pcnet32_purge_rx(lp);
	free_irq(dev->irq, dev);
	return err;
}

static int pcnet32_close(struct net_device *dev)
{
	struct pcnet32_private *lp = dev->priv;
	unsigned long flags;

	netif_stop_queue(dev);
	del_timer_sync(&lp->watch_timer);
	spin_lock_irqsave(&lp->lock, flags);
	pcnet32_stop_chip(lp);
	spin_unlock_irqrestore(&lp->lock, flags);
	free_irq(dev->irq, dev);
	pcnet32_purge_tx(lp);
	pcnet32_purge_rx(lp);
	netif_carrier_off(dev);
	return 0;
}

static void pcnet32_tx_timeout(struct net_device *dev)
{
	struct pcnet32_private *lp = dev->priv;
	unsigned long flags;

	spin_lock_irqsave(&lp->lock, flags);
	printk(KERN_WARNING DRV_NAME ": %s: transmit timed out, CSR0 %04x, resetting\n", dev->name,
	       pcnet32_read_csr(lp, PCNET32_CSR0));
	pcnet32_restart(lp);
	spin_unlock_irqrestore(&lp->lock, flags);
}

static struct net_device_stats *pcnet32_get_stats(struct net_device *dev)
{
	struct pcnet32_private *lp = dev->priv;
	unsigned long flags;

	spin_lock_irqsave(&lp->lock, flags);
	pcnet32_count_missed(lp);
	spin_unlock_irqrestore(&lp->lock, flags);
	return &lp->stats;
}

/* The filter changes while the chip is suspended between two frames; where it does not suspend, it starts again. */
static void pcnet32_set_multicast_list(struct net_device *dev)
{
	struct pcnet32_private *lp = dev->priv;
	struct pcnet32_init_block *init = &lp->shared->init_block;
	unsigned long flags;
	int i;

	spin_lock_irqsave(&lp->lock, flags);
	pcnet32_load_filter(lp);
	pcnet32_write_csr(lp, PCNET32_CSR5, CSR5_SINTE | CSR5_SPND);
	for (i = 0; i < PCNET32_SUSPEND_POLLS; i++) {
		if (pcnet32_read_csr(lp, PCNET32_CSR5) & CSR5_SPND)
			break;
		udelay(PCNET32_POLL_USECS);
	}
	if (i < PCNET32_SUSPEND_POLLS) {
		pcnet32_write_csr(lp, PCNET32_MODE, le16_to_cpu(init->mode));
		for (i = 0; i < PCNET32_LADRF_WORDS; i++)
			pcnet32_write_csr(lp, PCNET32_LADRF + i, le16_to_cpu(init->filter[i]));
		pcnet32_write_csr(lp, PCNET32_CSR5, CSR5_SINTE);
	} else {
		pcnet32_restart(lp);
	}
	spin_unlock_irqrestore(&lp->lock, flags);
}

static int pcnet32_mii_ioctl(struct net_device *dev, struct ifreq *ifr, int cmd)
{
	struct pcnet32_private *lp = dev->priv;
	struct mii_ioctl_data *data = (struct mii_ioctl_data *)&ifr->ifr_data;
	unsigned long flags;

	if (lp->phy_id < 0)
		return -EOPNOTSUPP;
	if (cmd == SIOCGMIIPHY) {
		data->phy_id = lp->phy_id;
		return 0;
	}
	if (!capable(CAP_NET_ADMIN))
		return -EPERM;
	if (data->phy_id >= PCNET32_PHYS || data->reg_num >= PCNET32_PHY_REGS)
		return -EINVAL;
	spin_lock_irqsave(&lp->lock, flags);
	if (cmd == SIOCGMIIREG)
		data->val_out = pcnet32_mdio_read(lp, data->phy_id, data->reg_num);
	else
		pcnet32_mdio_write(lp, data->phy_id, data->reg_num, data->val_in);
	spin_unlock_irqrestore(&lp->lock, flags);
	return 0;
}

static int pcnet32_get_drvinfo(struct pcnet32_private *lp, void *useraddr)
{
	struct ethtool_drvinfo info;

	memset(&info, 0, sizeof(info));
	info.cmd = ETHTOOL_GDRVINFO;
	strncpy(info.driver, DRV_NAME, sizeof(info.driver) - 1);
	strncpy(info.version, DRV_VERSION, sizeof(info.version) - 1);
	strncpy(info.bus_info, lp->pdev->slot_name, sizeof(lp->pdev->slot_name));
	info.regdump_len = (PCNET32_DUMP_CSRS + PCNET32_DUMP_BCRS) * sizeof(u16);
	return copy_to_user(useraddr, &info, sizeof(info)) ? -EFAULT : 0;
}

static int pcnet32_get_link(struct pcnet32_private *lp, void *useraddr)
{
	struct ethtool_value link;
	unsigned long flags;

	link.cmd = ETHTOOL_GLINK;
	spin_lock_irqsave(&lp->lock, flags);
	link.data = pcnet32_link_ok(lp);
	spin_unlock_irqrestore(&lp->lock, flags);
	return copy_to_user(useraddr, &link, sizeof(link)) ? -EFAULT : 0;
}

/* CSRs and then BCRs, in the order of their numbers; the MII ports are left out, whose reading goes to the PHY. */
struct pcnet32_dump {
	u16 csr[PCNET32_DUMP_CSRS];
	u16 bcr[PCNET32_DUMP_BCRS];
};

static int pcnet32_get_regs(struct pcnet32_private *lp, void *useraddr)
{
	struct pcnet32_dump *dump;
	struct ethtool_regs regs;
	unsigned long flags;
	int err = 0;
	int i;

	if (copy_from_user(&regs, useraddr, sizeof(regs)))
		return -EFAULT;
	if (regs.len > sizeof(*dump))
		regs.len = sizeof(*dump);
	regs.version = PCNET32_REGS_VERSION;

	dump = kmalloc(sizeof(*dump), GFP_KERNEL);
	if (!dump)
		return -ENOMEM;
	memset(dump, 0, sizeof(*dump));
	spin_lock_irqsave(&lp->lock, flags);
	for (i = 0; i < PCNET32_DUMP_CSRS; i++)
		dump->csr[i] = pcnet32_read_csr(lp, i);
	for (i = 0; i < PCNET32_MII_ADDRESS; i++)
		dump->bcr[i] = pcnet32_read_bcr(lp, i);
	spin_unlock_irqrestore(&lp->lock, flags);

	if (copy_to_user(useraddr, &regs, sizeof(regs)) || copy_to_user(useraddr + sizeof(regs), dump, regs.len))
		err = -EFAULT;
	kfree(dump);
	return err;
}

static int pcnet32_ethtool_ioctl(struct net_device *dev, struct ifreq *ifr)
{
	struct pcnet32_private *lp = dev->priv;
	void *useraddr = ifr->ifr_data;
	u32 ethcmd;

	if (copy_from_user(&ethcmd, useraddr, sizeof(ethcmd)))
		return -EFAULT;
	switch (ethcmd) {
	case ETHTOOL_GDRVINFO:
		return pcnet32_get_drvinfo(lp, useraddr);
	case ETHTOOL_GLINK:
		return pcnet32_get_link(lp, useraddr);
	case ETHTOOL_GREGS:
		return pcnet32_get_regs(lp, useraddr);
	default:
		return -EOPNOTSUPP;
	}
}

static int pcnet32_ioctl(struct net_device *dev, struct ifreq *ifr, int cmd)
{
	switch (cmd) {
	case SIOCGMIIPHY:
	case SIOCGMIIREG:
	case SIOCSMIIREG:
		return pcnet32_mii_ioctl(dev, ifr, cmd);
	case SIOCETHTOOL:
		return pcnet32_ethtool_ioctl(dev, ifr);
	default:
		return -EOPNOTSUPP;
	}
}

/* --- Probe and remove --- */

static const struct pcnet32_chip *pcnet32_identify(const struct pcnet32_private *lp)
{
	u32 id = pcnet32_read_csr(lp, PCNET32_CHIP_ID_LOW) | (pcnet32_read_csr(lp, PCNET32_CHIP_ID_HIGH) << 16);
	u16 part = (id >> PCNET32_PART_SHIFT) & PCNET32_PART_MASK;
	unsigned int i;

	if ((id & PCNET32_MANUFACTURER_MASK) != PCNET32_MANUFACTURER_AMD)
		return NULL;
	for (i = 0; i < ARRAY_SIZE(pcnet32_chips); i++)
		if (pcnet32_chips[i].part == part)
			return &pcnet32_chips[i];
	return NULL;
}

/* A wrong checksum is only reported: the boards of some makers have none. */
static int pcnet32_read_address(const struct pcnet32_private *lp, u8 *addr)
{
	u8 prom[PCNET32_APROM_SIZE];
	unsigned int i;
	u16 sum = 0;

	for (i = 0; i < PCNET32_APROM_SIZE; i += 4)
		*(u32 *)(prom + i) = cpu_to_le32(inl(lp->ioaddr + i));
	for (i = 0; i < PCNET32_APROM_SIZE; i++)
		if (i != PCNET32_APROM_CHECKSUM && i != PCNET32_APROM_CHECKSUM + 1)
			sum += prom[i];
	if (prom[PCNET32_APROM_SIGNATURE] == PCNET32_SIGNATURE_BYTE &&
	    sum != (prom[PCNET32_APROM_CHECKSUM] | (prom[PCNET32_APROM_CHECKSUM + 1] << 8)))
		printk(KERN_WARNING DRV_NAME ": the address PROM has a wrong checksum\n");
	if (!is_valid_ether_addr(prom))
		return -EIO;
	memcpy(addr, prom, ETH_ALEN);
	return 0;
}

static void pcnet32_read_options(struct pcnet32_private *lp, int card)
{
	lp->medium = card < PCNET32_MAX_CARDS ? options[card] : 0;
	lp->full_duplex = card < PCNET32_MAX_CARDS ? full_duplex[card] != 0 : 0;
	if (lp->medium < 0 || lp->medium >= (int)ARRAY_SIZE(pcnet32_media)) {
		printk(KERN_WARNING DRV_NAME ": options=%d is no medium, negotiating\n", lp->medium);
		lp->medium = 0;
	}
}

static void pcnet32_init_netdev(struct net_device *dev, struct pci_dev *pdev, unsigned long ioaddr)
{
	SET_MODULE_OWNER(dev);
	dev->open = pcnet32_open;
	dev->stop = pcnet32_close;
	dev->hard_start_xmit = pcnet32_start_xmit;
	dev->get_stats = pcnet32_get_stats;
	dev->set_multicast_list = pcnet32_set_multicast_list;
	dev->do_ioctl = pcnet32_ioctl;
	dev->tx_timeout = pcnet32_tx_timeout;
	dev->watchdog_timeo = PCNET32_TX_TIMEOUT;
	dev->irq = pdev->irq;
	dev->base_addr = ioaddr;
}

/* Resets the chip and asks it who it is. */
static int pcnet32_probe_chip(struct pcnet32_private *lp)
{
	int err;

	pcnet32_reset(lp->ioaddr);
	lp->chip = pcnet32_identify(lp);
	if (!lp->chip) {
		printk(KERN_ERR DRV_NAME ": no PCnet chip at 0x%lx\n", lp->ioaddr);
		return -ENODEV;
	}
	err = pcnet32_read_address(lp, lp->dev->dev_addr);
	if (err) {
		printk(KERN_ERR DRV_NAME ": the address PROM holds no valid station address\n");
		return err;
	}
	lp->phy_id = pcnet32_find_phy(lp);
	return 0;
}

static int __devinit pcnet32_probe(struct pci_dev *pdev, const struct pci_device_id *ent)
{
	unsigned long ioaddr = pci_resource_start(pdev, 0);
	struct pcnet32_private *lp;
	struct net_device *dev;
	int err;

	err = pci_enable_device(pdev);
	if (err)
		return err;
	err = pci_set_dma_mask(pdev, 0xffffffff);
	if (err)
		goto err_enable;
	err = -ENODEV;
	if (!(pci_resource_flags(pdev, 0) & IORESOURCE_IO)) {
		printk(KERN_ERR DRV_NAME ": BAR 0 of %s is no I/O region\n", pdev->slot_name);
		goto err_enable;
	}
	err = -EBUSY;
	if (!request_region(ioaddr, PCNET32_TOTAL_SIZE, DRV_NAME))
		goto err_enable;

	err = -ENOMEM;
	dev = alloc_etherdev(sizeof(*lp));
	if (!dev)
		goto err_alloc_etherdev;
	lp = dev->priv;
	lp->dev = dev;
	lp->pdev = pdev;
	lp->ioaddr = ioaddr;
	spin_lock_init(&lp->lock);
	pci_set_drvdata(pdev, dev);

	/* The reset ends the DMA of a driver that went before; only then may this chip be a master. */
	err = pcnet32_probe_chip(lp);
	if (err)
		goto err_probe_chip;
	pci_set_master(pdev);

	err = -ENOMEM;
	lp->shared = pci_alloc_consistent(pdev, sizeof(*lp->shared), &lp->dma);
	if (!lp->shared)
		goto err_probe_chip;
	memset(lp->shared, 0, sizeof(*lp->shared));

	init_timer(&lp->watch_timer);
	lp->watch_timer.function = pcnet32_watch_link;
	lp->watch_timer.data = (unsigned long)lp;
	pcnet32_read_options(lp, cards_found);
	pcnet32_init_netdev(dev, pdev, ioaddr);

	/* Until the timer has seen a link there is none. */
	netif_carrier_off(dev);
	err = register_netdev(dev);
	if (err)
		goto err_register;
	cards_found++;

	printk(KERN_INFO DRV_NAME ": %s: %s at 0x%lx, IRQ %d, %02x:%02x:%02x:%02x:%02x:%02x\n", dev->name,
	       lp->chip->name, ioaddr, dev->irq, dev->dev_addr[0], dev->dev_addr[1], dev->dev_addr[2],
	       dev->dev_addr[3], dev->dev_addr[4], dev->dev_addr[5]);
	return 0;

err_register:
	pci_free_consistent(pdev, sizeof(*lp->shared), lp->shared, lp->dma);
err_probe_chip:
	pci_set_drvdata(pdev, NULL);
	kfree(dev);
err_alloc_etherdev:
	release_region(ioaddr, PCNET32_TOTAL_SIZE);
err_enable:
	pci_disable_device(pdev);
	return err;
}

static void __devexit pcnet32_remove(struct pci_dev *pdev)
{
	struct net_device *dev = pci_get_drvdata(pdev);
	struct pcnet32_private *lp = dev->priv;

	unregister_netdev(dev);
	pcnet32_reset(lp->ioaddr);
	pci_free_consistent(pdev, sizeof(*lp->shared), lp->shared, lp->dma);
	release_region(lp->ioaddr, PCNET32_TOTAL_SIZE);
	pci_set_drvdata(pdev, NULL);
	kfree(dev);
	pci_disable_device(pdev);
}

static struct pci_driver pcnet32_driver = {
	.name = DRV_NAME,
	.id_table = pcnet32_pci_tbl,
	.probe = pcnet32_probe,
	.remove = __devexit_p(pcnet32_remove),
};

static int __init pcnet32_init_module(void)
{
	printk(KERN_INFO "AMD PCnet-PCI Ethernet driver, version " DRV_VERSION "\n");
	return pci_module_init(&pcnet32_driver);
}

static void __exit pcnet32_cleanup_module(void)
{
	pci_unregister_driver(&pcnet32_driver);
}

module_init(pcnet32_init_module);
module_exit(pcnet32_cleanup_module);
