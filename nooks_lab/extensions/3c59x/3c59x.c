/*
 * 3Com EtherLink XL 10/100, 3C905B and 3C905C ("Cyclone", "Tornado").
 *
 * The way of a community driver: everything goes through I/O ports, and the
 * chip's register windows are switched as they are needed. Packets go through
 * the lists of full bus mastering, which came with the "Boomerang".
 *
 * Registers are from 3Com's "3C90xC NICs Technical Reference".
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
#include <asm/bitops.h>
#include <asm/byteorder.h>
#include <asm/io.h>
#include <asm/system.h>
#include <asm/uaccess.h>

#define DRV_NAME "3c59x"
#define DRV_VERSION "1.0"

/* Powers of two, so that the running numbers cur_... and dirty_... may wrap. */
#define TX_RING_SIZE 16
#define RX_RING_SIZE 32
#define PKT_BUF_SZ 1536

#define MAX_UNITS 8
#define VORTEX_IO_SIZE 0x80
#define MIN_MTU 68

#define TX_TIMEOUT (5 * HZ)
#define MEDIA_PERIOD (5 * HZ)
#define OOM_PERIOD (HZ / 10)
/* How long the chip stays out of the way after too much work in one interrupt. */
#define DEFERRED_PERIOD 1

#define CMD_POLLS 2000
#define CMD_DELAYS 100
#define CMD_DELAY_USECS 100
#define EEPROM_POLLS 10
#define EEPROM_USECS 162

MODULE_AUTHOR("The Nooks Lab project");
MODULE_DESCRIPTION("3Com EtherLink XL (3C905B, 3C905C) Ethernet driver");
MODULE_LICENSE("GPL");

static int debug = 1;
static int options[MAX_UNITS] = { -1, -1, -1, -1, -1, -1, -1, -1 };
static int full_duplex[MAX_UNITS] = { -1, -1, -1, -1, -1, -1, -1, -1 };
static int rx_copybreak = 200;
static int max_interrupt_work = 32;

MODULE_PARM(debug, "i");
MODULE_PARM_DESC(debug, "How much is logged (0-6)");
MODULE_PARM(options, "1-8i");
MODULE_PARM_DESC(options, "For each card: 4 100baseTX or 0 10baseT without negotiation, 8 negotiation, +0x200 full duplex");
MODULE_PARM(full_duplex, "1-8i");
MODULE_PARM_DESC(full_duplex, "For each card: 1 forces full duplex");
MODULE_PARM(rx_copybreak, "i");
MODULE_PARM_DESC(rx_copybreak, "Shorter packets are copied into a buffer of their size");
MODULE_PARM(max_interrupt_work, "i");
MODULE_PARM_DESC(max_interrupt_work, "Rounds in one interrupt");

/* Commands: the upper five bits of what is written to EL3_CMD. */
#define EL3_CMD 0x0e
#define EL3_STATUS 0x0e
enum vortex_cmd {
	TotalReset = 0 << 11,
	SelectWindow = 1 << 11,
	RxDisable = 3 << 11,
	RxEnable = 4 << 11,
	RxReset = 5 << 11,
	UpStall = 6 << 11,
	UpUnstall = (6 << 11) + 1,
	DownStall = (6 << 11) + 2,
	DownUnstall = (6 << 11) + 3,
	TxEnable = 9 << 11,
	TxDisable = 10 << 11,
	TxReset = 11 << 11,
	AckIntr = 13 << 11,
	SetIntrEnb = 14 << 11,
	SetStatusEnb = 15 << 11,
	SetRxFilter = 16 << 11,
	StatsEnable = 21 << 11,
	StatsDisable = 22 << 11
};

/* What the resets leave alone. */
#define KEEP_NETWORK 0x04
#define KEEP_AISM 0x10
#define KEEP_ALL_BUT_LISTS 0xff

enum vortex_status {
	IntLatch = 0x0001,
	HostError = 0x0002,
	TxComplete = 0x0004,
	RxEarly = 0x0020,
	IntReq = 0x0040,
	StatsFull = 0x0080,
	LinkEvent = 0x0100,
	DownComplete = 0x0200,
	UpComplete = 0x0400,
	CmdInProgress = 0x1000
};

/* The link's event is acknowledged by another bit than the one it has in the status. */
#define AckLinkEvent 0x0002

enum rx_filter {
	RxStation = 1,
	RxMulticast = 2,
	RxBroadcast = 4,
	RxProm = 8
};

enum tx_status_bits {
	TxSReclaim = 0x02,
	TxSOverflow = 0x04,
	TxSMaxCollisions = 0x08,
	TxSUnderrun = 0x10,
	TxSJabber = 0x20,
	TxSComplete = 0x80
};

/* Registers that are there in every window. */
enum master_regs {
	TxStatus = 0x1b,
	PktStatus = 0x20,
	DownListPtr = 0x24,
	UpListPtr = 0x38
};

#define PciMasterAbort 0x80000000
#define PciTargetAbort 0x40000000

enum window0 {
	Wn0EepromCmd = 0x0a,
	Wn0EepromData = 0x0c
};
#define EEPROM_READ 0x80
#define EEPROM_BUSY 0x8000
#define EEPROM_WORDS 0x21
#define EEPROM_ADDRESS 0x0a

enum window3 {
	Wn3_Config = 0x00,
	Wn3_MAC_Ctrl = 0x06,
	Wn3_Options = 0x08
};
#define XCVR_SHIFT 20
#define XCVR_MASK (0xfU << XCVR_SHIFT)
#define AUTOSELECT 0x01000000
#define MAC_FULL_DUPLEX 0x20

enum xcvr_types {
	XCVR_10baseT = 0,
	XCVR_100baseTx = 4,
	XCVR_NWAY = 8
};
#define OPTION_XCVR 0x0f
#define OPTION_FULL_DUPLEX 0x200

enum window4 {
	Wn4_NetDiag = 0x06,
	Wn4_PhysicalMgmt = 0x08,
	Wn4_Media = 0x0a
};
#define NET_UPPER_BYTES 0x0040
#define MEDIA_LINK_BEAT 0x0080
#define MEDIA_LINK_DETECT 0x0800

enum mdio_bits {
	MDIO_SHIFT_CLK = 0x01,
	MDIO_DATA_READ = 0x02,
	MDIO_DATA_WRITE0 = 0x04 + 0x00,
	MDIO_DATA_WRITE1 = 0x04 + 0x02,
	MDIO_ENB_IN = 0x00
};
#define INTERNAL_PHY 24
#define PHY_REGS 32

/* Window 6: each count clears when it is read. */
enum window6 {
	Wn6_CarrierLost = 0x00,
	Wn6_SqeErrors = 0x01,
	Wn6_MultipleCollisions = 0x02,
	Wn6_SingleCollisions = 0x03,
	Wn6_LateCollisions = 0x04,
	Wn6_RxOverruns = 0x05,
	Wn6_TxFrames = 0x06,
	Wn6_RxFrames = 0x07,
	Wn6_Deferred = 0x08,
	Wn6_UpperFrames = 0x09,
	Wn6_RxBytes = 0x0a,
	Wn6_TxBytes = 0x0c
};
#define Wn4_UpperBytes 0x0d

/* Descriptors; the length of a fragment has the flag that it is the last one. */
#define LAST_FRAG 0x80000000

struct boom_rx_desc {
	volatile u32 next;
	volatile u32 status;
	u32 addr;
	u32 length;
};

enum rx_desc_status {
	RxDLength = 0x00001fff,
	RxDError = 0x00004000,
	RxDComplete = 0x00008000
};

/* Its bits 16 to 20, moved down. */
#define RxErrOverrun 0x01
#define RxErrRunt 0x02
#define RxErrAlign 0x04
#define RxErrCrc 0x08
#define RxErrOversize 0x10

struct boom_tx_desc {
	volatile u32 next;
	volatile u32 status;
	u32 addr;
	u32 length;
};

enum tx_desc_status {
	TxDComplete = 0x00010000,
	TxIntrUploaded = 0x80000000
};

#define RINGS_BYTES (sizeof(struct boom_rx_desc) * RX_RING_SIZE + sizeof(struct boom_tx_desc) * TX_RING_SIZE)

struct vortex_private {
	struct boom_rx_desc *rx_ring;
	struct boom_tx_desc *tx_ring;
	dma_addr_t rx_ring_dma;
	dma_addr_t tx_ring_dma;
	struct sk_buff *rx_skbuff[RX_RING_SIZE];
	struct sk_buff *tx_skbuff[TX_RING_SIZE];
	unsigned int cur_rx, cur_tx;
	unsigned int dirty_rx, dirty_tx;

	struct net_device *dev;
	struct pci_dev *pdev;
	struct net_device_stats stats;
	struct timer_list timer;
	struct timer_list rx_oom_timer;

	/* Guards the window that is selected, the transmit ring and the statistics. */
	spinlock_t lock;

	u16 status_enable;
	u16 intr_enable;
	u16 deferred;
	int options;
	int has_nway;
	int full_duplex;
	int force_fd;
	u16 advertising;
	u16 available_media;
	u8 open;
	int phy;
};

struct vortex_chip_info {
	const char *name;
	int io_size;
};

enum vortex_chips {
	CH_3C905B = 0,
	CH_3C905C
};

static const struct vortex_chip_info vortex_info_tbl[] = {
	{ "3Com PCI 3c905B Cyclone 100baseTx", VORTEX_IO_SIZE },
	{ "3Com PCI 3c905C Tornado", VORTEX_IO_SIZE },
};

static const struct pci_device_id vortex_pci_tbl[] = {
	{ PCI_VENDOR_ID_3COM, 0x9055, PCI_ANY_ID, PCI_ANY_ID, 0, 0, CH_3C905B },
	{ PCI_VENDOR_ID_3COM, 0x9200, PCI_ANY_ID, PCI_ANY_ID, 0, 0, CH_3C905C },
	{ 0, 0, 0, 0, 0, 0, 0 }
};

MODULE_DEVICE_TABLE(pci, vortex_pci_tbl);

static int vortex_cards_found;

static void vortex_interrupt(int irq, void *dev_id, struct pt_regs *regs);
static void set_rx_mode(struct net_device *dev);

#define EL3WINDOW(win_num) outw(SelectWindow + (win_num), ioaddr + EL3_CMD)

/* For commands that take their time: all resets, and the stalls. */
static int issue_and_wait(struct net_device *dev, int cmd)
{
	long ioaddr = dev->base_addr;
	int i;

	outw(cmd, ioaddr + EL3_CMD);
	for (i = 0; i < CMD_POLLS; i++)
		if (!(inw(ioaddr + EL3_STATUS) & CmdInProgress))
			return 0;
	for (i = 0; i < CMD_DELAYS; i++) {
		udelay(CMD_DELAY_USECS);
		if (!(inw(ioaddr + EL3_STATUS) & CmdInProgress))
			return 0;
	}
	printk(KERN_ERR DRV_NAME ": %s: command 0x%04x did not complete, status 0x%04x\n", dev->name, cmd,
	       inw(ioaddr + EL3_STATUS));
	return -EIO;
}

/* --- EEPROM --- */

static int read_eeprom(long ioaddr, int offset, u16 *word)
{
	int i;

	EL3WINDOW(0);
	outw(EEPROM_READ + offset, ioaddr + Wn0EepromCmd);
	for (i = 0; i < EEPROM_POLLS; i++) {
		udelay(EEPROM_USECS);
		if (!(inw(ioaddr + Wn0EepromCmd) & EEPROM_BUSY)) {
			*word = inw(ioaddr + Wn0EepromData);
			return 0;
		}
	}
	return -EIO;
}

/* All bytes up to the checksum's make zero under exclusive or. */
static int vortex_read_address(struct net_device *dev, long ioaddr)
{
	u16 eeprom[EEPROM_WORDS];
	u16 sum = 0;
	int i, err;

	for (i = 0; i < EEPROM_WORDS; i++) {
		err = read_eeprom(ioaddr, i, &eeprom[i]);
		if (err) {
			printk(KERN_ERR DRV_NAME ": the EEPROM at 0x%lx does not answer\n", ioaddr);
			return err;
		}
		sum ^= eeprom[i];
	}
	sum = (sum ^ (sum >> 8)) & 0xff;
	if (sum)
		printk(KERN_WARNING DRV_NAME ": ***INVALID CHECKSUM %2.2x***\n", sum);
	for (i = 0; i < 3; i++) {
		dev->dev_addr[2 * i] = eeprom[EEPROM_ADDRESS + i] >> 8;
		dev->dev_addr[2 * i + 1] = eeprom[EEPROM_ADDRESS + i] & 0xff;
	}
	if (!is_valid_ether_addr(dev->dev_addr)) {
		printk(KERN_ERR DRV_NAME ": the card at 0x%lx has no station address\n", ioaddr);
		return -EINVAL;
	}
	return 0;
}

/* --- MII management, bit by bit; window 4 is selected, under the lock --- */

static void mdio_bit(long ioaddr, int data)
{
	long mdio_addr = ioaddr + Wn4_PhysicalMgmt;

	outw(data, mdio_addr);
	outw(data | MDIO_SHIFT_CLK, mdio_addr);
}

static void mdio_sync(long ioaddr)
{
	int bits = 32;

	while (--bits >= 0)
		mdio_bit(ioaddr, MDIO_DATA_WRITE1);
}

static int mdio_read(struct net_device *dev, int phy_id, int location)
{
	struct vortex_private *vp = dev->priv;
	long ioaddr = dev->base_addr;
	int read_cmd = (0x6 << 10) | (phy_id << 5) | location;
	unsigned long flags;
	u32 retval = 0;
	int i;

	spin_lock_irqsave(&vp->lock, flags);
	EL3WINDOW(4);
	mdio_sync(ioaddr);
	for (i = 13; i >= 0; i--)
		mdio_bit(ioaddr, (read_cmd & (1 << i)) ? MDIO_DATA_WRITE1 : MDIO_DATA_WRITE0);
	/* Two bits of turnaround, of which the PHY pulls the second one down, then the data. */
	for (i = 0; i < 18; i++) {
		outw(MDIO_ENB_IN, ioaddr + Wn4_PhysicalMgmt);
		retval = (retval << 1) | ((inw(ioaddr + Wn4_PhysicalMgmt) & MDIO_DATA_READ) ? 1 : 0);
		outw(MDIO_ENB_IN | MDIO_SHIFT_CLK, ioaddr + Wn4_PhysicalMgmt);
	}
	EL3WINDOW(7);
	spin_unlock_irqrestore(&vp->lock, flags);
	return retval & 0x10000 ? 0xffff : retval & 0xffff;
}

static void mdio_write(struct net_device *dev, int phy_id, int location, int value)
{
	struct vortex_private *vp = dev->priv;
	long ioaddr = dev->base_addr;
	u32 write_cmd = 0x50020000 | (phy_id << 23) | (location << 18) | value;
	unsigned long flags;
	int i;

	spin_lock_irqsave(&vp->lock, flags);
	EL3WINDOW(4);
	mdio_sync(ioaddr);
	for (i = 31; i >= 0; i--)
		mdio_bit(ioaddr, (write_cmd & (1U << i)) ? MDIO_DATA_WRITE1 : MDIO_DATA_WRITE0);
	outw(MDIO_ENB_IN, ioaddr + Wn4_PhysicalMgmt);
	EL3WINDOW(7);
	spin_unlock_irqrestore(&vp->lock, flags);
}

/* --- Media --- */

/* Duplex is the controller's affair too; the PHY tells it nothing. Under the lock. */
static void vortex_set_duplex(struct net_device *dev)
{
	struct vortex_private *vp = dev->priv;
	long ioaddr = dev->base_addr;

	EL3WINDOW(3);
	outw(vp->full_duplex ? MAC_FULL_DUPLEX : 0, ioaddr + Wn3_MAC_Ctrl);
	EL3WINDOW(7);
}

static int vortex_link_ok(struct net_device *dev)
{
	struct vortex_private *vp = dev->priv;

	/* A lost link stays there to be read once, so what is true now shows the second time. */
	mdio_read(dev, vp->phy, MII_BMSR);
	return (mdio_read(dev, vp->phy, MII_BMSR) & BMSR_LSTATUS) != 0;
}

static void vortex_check_duplex(struct net_device *dev)
{
	struct vortex_private *vp = dev->priv;
	unsigned long flags;
	u16 common;
	int duplex;

	if (vp->force_fd || !vp->has_nway)
		return;
	common = mdio_read(dev, vp->phy, MII_LPA) & vp->advertising;
	duplex = (common & ADVERTISE_100FULL) ||
		 (common & (ADVERTISE_100FULL | ADVERTISE_100HALF | ADVERTISE_10FULL)) == ADVERTISE_10FULL;
	if (duplex == vp->full_duplex)
		return;
	vp->full_duplex = duplex;
	spin_lock_irqsave(&vp->lock, flags);
	vortex_set_duplex(dev);
	spin_unlock_irqrestore(&vp->lock, flags);
}

/* Comes back every few seconds, and in the next tick when the chip says that the link has changed. */
static void vortex_timer(unsigned long data)
{
	struct net_device *dev = (struct net_device *)data;
	struct vortex_private *vp = dev->priv;
	long ioaddr = dev->base_addr;
	unsigned long flags;
	int ok = vortex_link_ok(dev);

	if (ok && !netif_carrier_ok(dev)) {
		vortex_check_duplex(dev);
		netif_carrier_on(dev);
		netif_wake_queue(dev);
		if (debug > 0)
			printk(KERN_INFO DRV_NAME ": %s: link beat detected, %s duplex\n", dev->name,
			       vp->full_duplex ? "full" : "half");
	} else if (!ok && netif_carrier_ok(dev)) {
		netif_carrier_off(dev);
		netif_stop_queue(dev);
		if (debug > 0)
			printk(KERN_INFO DRV_NAME ": %s: no link beat\n", dev->name);
	}

	spin_lock_irqsave(&vp->lock, flags);
	if (vp->deferred) {
		/* The interrupt handler masked these when there was too much of them. */
		vp->deferred = 0;
		outw(SetIntrEnb | vp->intr_enable, ioaddr + EL3_CMD);
	}
	spin_unlock_irqrestore(&vp->lock, flags);

	mod_timer(&vp->timer, jiffies + MEDIA_PERIOD);
}

/* --- Statistics; under the lock --- */

static void update_stats(long ioaddr, struct net_device *dev)
{
	struct vortex_private *vp = dev->priv;
	struct net_device_stats *stats = &vp->stats;
	u32 upper;

	EL3WINDOW(6);
	stats->tx_carrier_errors += inb(ioaddr + Wn6_CarrierLost);
	stats->tx_heartbeat_errors += inb(ioaddr + Wn6_SqeErrors);
	stats->collisions += inb(ioaddr + Wn6_MultipleCollisions);
	stats->collisions += inb(ioaddr + Wn6_SingleCollisions);
	stats->tx_window_errors += inb(ioaddr + Wn6_LateCollisions);
	stats->rx_fifo_errors += inb(ioaddr + Wn6_RxOverruns);
	upper = inb(ioaddr + Wn6_UpperFrames);
	stats->tx_packets += inb(ioaddr + Wn6_TxFrames) + ((upper & 0x30) << 4);
	/* What was received is counted as it is handed on; the register must be read all the same. */
	inb(ioaddr + Wn6_RxFrames);
	inb(ioaddr + Wn6_Deferred);
	stats->rx_bytes += inw(ioaddr + Wn6_RxBytes);
	stats->tx_bytes += inw(ioaddr + Wn6_TxBytes);
	EL3WINDOW(4);
	upper = inb(ioaddr + Wn4_UpperBytes);
	stats->rx_bytes += (upper & 0x0f) << 16;
	stats->tx_bytes += (upper & 0xf0) << 12;
	EL3WINDOW(7);
	stats->rx_errors = stats->rx_fifo_errors + stats->rx_length_errors + stats->rx_frame_errors +
			   stats->rx_crc_errors;
	stats->tx_errors = stats->tx_carrier_errors + stats->tx_window_errors + stats->tx_aborted_errors +
			   stats->tx_fifo_errors;
}

static struct net_device_stats *vortex_get_stats(struct net_device *dev)
{
	struct vortex_private *vp = dev->priv;
	unsigned long flags;

	if (vp->open) {
		spin_lock_irqsave(&vp->lock, flags);
		update_stats(dev->base_addr, dev);
		spin_unlock_irqrestore(&vp->lock, flags);
	}
	return &vp->stats;
}

/* --- Rings --- */

/* Fills every place from dirty_rx to cur_rx that has no buffer; returns whether all have one now. */
static int vortex_refill_rx(struct net_device *dev)
{
	struct vortex_private *vp = dev->priv;
	struct sk_buff *skb;
	unsigned int entry;

	for (; vp->cur_rx - vp->dirty_rx > 0; vp->dirty_rx++) {
		entry = vp->dirty_rx % RX_RING_SIZE;
		if (!vp->rx_skbuff[entry]) {
			skb = dev_alloc_skb(PKT_BUF_SZ);
			if (!skb)
				return 0;
			skb->dev = dev;
			/* Two bytes before the Ethernet header put the IP header on a word boundary. */
			skb_reserve(skb, 2);
			vp->rx_ring[entry].addr = cpu_to_le32(
				pci_map_single(vp->pdev, skb->data, PKT_BUF_SZ - 2, PCI_DMA_FROMDEVICE));
			vp->rx_skbuff[entry] = skb;
		}
		/* From here on the chip may have it. */
		wmb();
		vp->rx_ring[entry].status = 0;
	}
	return 1;
}

static void vortex_free_rings(struct net_device *dev)
{
	struct vortex_private *vp = dev->priv;
	struct sk_buff *skb;
	int i;

	for (i = 0; i < RX_RING_SIZE; i++) {
		skb = vp->rx_skbuff[i];
		if (!skb)
			continue;
		vp->rx_skbuff[i] = NULL;
		pci_unmap_single(vp->pdev, le32_to_cpu(vp->rx_ring[i].addr), PKT_BUF_SZ - 2, PCI_DMA_FROMDEVICE);
		dev_kfree_skb_any(skb);
	}
	for (i = 0; i < TX_RING_SIZE; i++) {
		skb = vp->tx_skbuff[i];
		if (!skb)
			continue;
		vp->tx_skbuff[i] = NULL;
		pci_unmap_single(vp->pdev, le32_to_cpu(vp->tx_ring[i].addr), skb->len, PCI_DMA_TODEVICE);
		dev_kfree_skb_any(skb);
	}
}

static int vortex_init_rings(struct net_device *dev)
{
	struct vortex_private *vp = dev->priv;
	int i;

	memset(vp->tx_ring, 0, sizeof(struct boom_tx_desc) * TX_RING_SIZE);
	for (i = 0; i < RX_RING_SIZE; i++) {
		vp->rx_ring[i].next =
			cpu_to_le32(vp->rx_ring_dma + sizeof(struct boom_rx_desc) * ((i + 1) % RX_RING_SIZE));
		vp->rx_ring[i].status = cpu_to_le32(RxDComplete);
		vp->rx_ring[i].length = cpu_to_le32((PKT_BUF_SZ - 2) | LAST_FRAG);
	}
	vp->cur_tx = vp->dirty_tx = 0;
	/* As if all had just been taken out: refilling starts behind them. */
	vp->dirty_rx = 0;
	vp->cur_rx = RX_RING_SIZE;
	if (!vortex_refill_rx(dev)) {
		vortex_free_rings(dev);
		return -ENOMEM;
	}
	return 0;
}

/* --- Up and down --- */

static void vortex_write_address(struct net_device *dev)
{
	long ioaddr = dev->base_addr;
	int i;

	EL3WINDOW(2);
	for (i = 0; i < 6; i++)
		outb(dev->dev_addr[i], ioaddr + i);
	for (; i < 12; i += 2)
		outw(0, ioaddr + i);
	EL3WINDOW(7);
}

static void vortex_select_media(struct net_device *dev)
{
	struct vortex_private *vp = dev->priv;
	long ioaddr = dev->base_addr;
	int xcvr = vp->has_nway ? XCVR_NWAY : vp->options & OPTION_XCVR;
	u32 config;

	EL3WINDOW(3);
	config = inl(ioaddr + Wn3_Config) & ~(XCVR_MASK | AUTOSELECT);
	outl(config | (xcvr << XCVR_SHIFT), ioaddr + Wn3_Config);
	EL3WINDOW(4);
	outw(inw(ioaddr + Wn4_Media) | MEDIA_LINK_BEAT, ioaddr + Wn4_Media);
	/* The counts of bytes get four bits more. */
	outw(NET_UPPER_BYTES, ioaddr + Wn4_NetDiag);
	EL3WINDOW(7);
	vortex_set_duplex(dev);
}

/* The rings are full and empty, as they should be; what is left is the chip. */
static int vortex_start_chip(struct net_device *dev)
{
	struct vortex_private *vp = dev->priv;
	long ioaddr = dev->base_addr;

	vortex_select_media(dev);
	if (issue_and_wait(dev, TxReset) || issue_and_wait(dev, RxReset | KEEP_NETWORK))
		return -EIO;
	outw(SetStatusEnb | 0x00, ioaddr + EL3_CMD);
	vortex_write_address(dev);

	/* Reading clears them. */
	outw(StatsDisable, ioaddr + EL3_CMD);
	update_stats(ioaddr, dev);
	outw(StatsEnable, ioaddr + EL3_CMD);

	outl(vp->rx_ring_dma, ioaddr + UpListPtr);
	outl(0, ioaddr + DownListPtr);
	set_rx_mode(dev);
	outw(RxEnable, ioaddr + EL3_CMD);
	outw(TxEnable, ioaddr + EL3_CMD);

	vp->status_enable = SetStatusEnb | HostError | IntReq | StatsFull | TxComplete | UpComplete | DownComplete |
			    LinkEvent;
	vp->intr_enable = SetIntrEnb | IntLatch | HostError | IntReq | StatsFull | TxComplete | UpComplete |
			  DownComplete | LinkEvent;
	vp->deferred = 0;
	outw(vp->status_enable, ioaddr + EL3_CMD);
	outw(AckIntr | IntLatch | IntReq | RxEarly | UpComplete | DownComplete | AckLinkEvent, ioaddr + EL3_CMD);
	outw(vp->intr_enable, ioaddr + EL3_CMD);
	return 0;
}

static void vortex_stop_chip(struct net_device *dev)
{
	long ioaddr = dev->base_addr;

	outw(SetIntrEnb | 0, ioaddr + EL3_CMD);
	outw(StatsDisable, ioaddr + EL3_CMD);
	outw(RxDisable, ioaddr + EL3_CMD);
	outw(TxDisable, ioaddr + EL3_CMD);
	issue_and_wait(dev, UpStall);
	issue_and_wait(dev, DownStall);
	outl(0, ioaddr + UpListPtr);
	outl(0, ioaddr + DownListPtr);
	update_stats(ioaddr, dev);
	outw(SetStatusEnb | 0, ioaddr + EL3_CMD);
}

static int vortex_open(struct net_device *dev)
{
	struct vortex_private *vp = dev->priv;
	int err;

	err = vortex_init_rings(dev);
	if (err) {
		printk(KERN_ERR DRV_NAME ": %s: no memory for the receive ring\n", dev->name);
		return err;
	}
	err = request_irq(dev->irq, vortex_interrupt, SA_SHIRQ, dev->name, dev);
	if (err) {
		printk(KERN_ERR DRV_NAME ": %s: could not reserve IRQ %d\n", dev->name, dev->irq);
		goto out_rings;
	}
	netif_carrier_off(dev);
	netif_stop_queue(dev);
	vp->open = 1;
	err = vortex_start_chip(dev);
	if (err)
		goto out_irq;
	/* It finds the link, if there is one already, and starts the queue. */
	mod_timer(&vp->timer, jiffies + 1);
	if (debug > 1)
		printk(KERN_DEBUG DRV_NAME ": %s: open, irq %d\n", dev->name, dev->irq);
	return 0;

out_irq:
	vp->open = 0;
	free_irq(dev->irq, dev);
out_rings:
	vortex_free_rings(dev);
	return err;
}

static int vortex_close(struct net_device *dev)
{
	struct vortex_private *vp = dev->priv;
	unsigned long flags;

	netif_stop_queue(dev);
	netif_carrier_off(dev);
	del_timer_sync(&vp->timer);
	del_timer_sync(&vp->rx_oom_timer);
	spin_lock_irqsave(&vp->lock, flags);
	vortex_stop_chip(dev);
	vp->open = 0;
	spin_unlock_irqrestore(&vp->lock, flags);
	free_irq(dev->irq, dev);
	vortex_free_rings(dev);
	if (debug > 1)
		printk(KERN_DEBUG DRV_NAME ": %s: closed\n", dev->name);
	return 0;
}

/* --- Transmit --- */

static int boomerang_start_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct vortex_private *vp = dev->priv;
	long ioaddr = dev->base_addr;
	struct boom_tx_desc *desc, *prev;
	unsigned int entry;
	unsigned long flags;
	dma_addr_t where;

	if (skb->len == 0 || skb->len > PKT_BUF_SZ) {
		dev_kfree_skb_any(skb);
		return 0;
	}
	spin_lock_irqsave(&vp->lock, flags);
	if (vp->cur_tx - vp->dirty_tx >= TX_RING_SIZE) {
		if (debug > 0)
			printk(KERN_WARNING DRV_NAME ": %s: BUG! Tx ring full, refusing to send buffer\n", dev->name);
		netif_stop_queue(dev);
		spin_unlock_irqrestore(&vp->lock, flags);
		return 1;
	}

	entry = vp->cur_tx % TX_RING_SIZE;
	desc = &vp->tx_ring[entry];
	prev = &vp->tx_ring[(vp->cur_tx - 1) % TX_RING_SIZE];
	where = vp->tx_ring_dma + entry * sizeof(struct boom_tx_desc);

	vp->tx_skbuff[entry] = skb;
	desc->next = 0;
	desc->addr = cpu_to_le32(pci_map_single(vp->pdev, skb->data, skb->len, PCI_DMA_TODEVICE));
	desc->length = cpu_to_le32(skb->len | LAST_FRAG);
	/* The two lowest bits say where to round up to; those of the length itself never do. */
	desc->status = cpu_to_le32(skb->len | TxIntrUploaded);

	issue_and_wait(dev, DownStall);
	/* While the chip is stalled, the end of its list stays where it is. */
	prev->next = cpu_to_le32(where);
	if (inl(ioaddr + DownListPtr) == 0)
		outl(where, ioaddr + DownListPtr);
	vp->cur_tx++;
	if (vp->cur_tx - vp->dirty_tx > TX_RING_SIZE - 1)
		netif_stop_queue(dev);
	else if (vp->cur_tx - vp->dirty_tx > 1)
		/* The interrupt of this one will free the one before too. */
		prev->status &= cpu_to_le32(~TxIntrUploaded);
	outw(DownUnstall, ioaddr + EL3_CMD);
	dev->trans_start = jiffies;
	spin_unlock_irqrestore(&vp->lock, flags);
	return 0;
}

static void boomerang_clean_tx(struct net_device *dev)
{
	struct vortex_private *vp = dev->priv;
	struct sk_buff *skb;
	unsigned int entry;

	spin_lock(&vp->lock);
	while (vp->cur_tx - vp->dirty_tx > 0) {
		entry = vp->dirty_tx % TX_RING_SIZE;
		if (!(le32_to_cpu(vp->tx_ring[entry].status) & TxDComplete))
			break;
		skb = vp->tx_skbuff[entry];
		if (skb) {
			pci_unmap_single(vp->pdev, le32_to_cpu(vp->tx_ring[entry].addr), skb->len,
					 PCI_DMA_TODEVICE);
			dev_kfree_skb_irq(skb);
			vp->tx_skbuff[entry] = NULL;
		} else {
			printk(KERN_DEBUG DRV_NAME ": %s: sent a packet without a buffer\n", dev->name);
		}
		vp->dirty_tx++;
	}
	if (netif_queue_stopped(dev) && netif_carrier_ok(dev) && vp->cur_tx - vp->dirty_tx <= TX_RING_SIZE - 4)
		netif_wake_queue(dev);
	spin_unlock(&vp->lock);
}

/* What has not gone out goes out once more, from where the list stopped. Under the lock. */
static void vortex_restart_tx(struct net_device *dev)
{
	struct vortex_private *vp = dev->priv;
	long ioaddr = dev->base_addr;

	issue_and_wait(dev, TxReset);
	boomerang_clean_tx(dev);
	if (vp->cur_tx - vp->dirty_tx > 0)
		outl(vp->tx_ring_dma + (vp->dirty_tx % TX_RING_SIZE) * sizeof(struct boom_tx_desc),
		     ioaddr + DownListPtr);
	outw(TxEnable, ioaddr + EL3_CMD);
}

static void vortex_tx_timeout(struct net_device *dev)
{
	struct vortex_private *vp = dev->priv;
	long ioaddr = dev->base_addr;
	unsigned long flags;

	printk(KERN_ERR DRV_NAME ": %s: transmit timed out, tx_status %2.2x status %4.4x\n", dev->name,
	       inb(ioaddr + TxStatus), inw(ioaddr + EL3_STATUS));
	if (inw(ioaddr + EL3_STATUS) & IntLatch) {
		printk(KERN_ERR DRV_NAME ": %s: interrupt posted but not delivered -- IRQ blocked by another device?\n",
		       dev->name);
		local_irq_save(flags);
		vortex_interrupt(dev->irq, dev, NULL);
		local_irq_restore(flags);
	}
	spin_lock_irqsave(&vp->lock, flags);
	vp->stats.tx_fifo_errors++;
	vortex_restart_tx(dev);
	if (netif_carrier_ok(dev) && vp->cur_tx - vp->dirty_tx < TX_RING_SIZE)
		netif_wake_queue(dev);
	dev->trans_start = jiffies;
	spin_unlock_irqrestore(&vp->lock, flags);
}

/* --- Receive --- */

static void vortex_rx_error(struct net_device *dev, u32 rx_status)
{
	struct vortex_private *vp = dev->priv;
	u8 rx_error = rx_status >> 16;

	if (debug > 2)
		printk(KERN_DEBUG DRV_NAME ": %s: Rx error, status %2.2x\n", dev->name, rx_error);
	if (rx_error & RxErrOverrun)
		vp->stats.rx_over_errors++;
	if (rx_error & (RxErrRunt | RxErrOversize))
		vp->stats.rx_length_errors++;
	if (rx_error & RxErrAlign)
		vp->stats.rx_frame_errors++;
	if (rx_error & RxErrCrc)
		vp->stats.rx_crc_errors++;
}

/* A small packet leaves its buffer in the ring; a large one takes it along. */
static struct sk_buff *boomerang_take_skb(struct net_device *dev, unsigned int entry, unsigned int pkt_len)
{
	struct vortex_private *vp = dev->priv;
	dma_addr_t dma = le32_to_cpu(vp->rx_ring[entry].addr);
	struct sk_buff *skb;

	if (pkt_len < rx_copybreak && (skb = dev_alloc_skb(pkt_len + 2)) != NULL) {
		skb->dev = dev;
		skb_reserve(skb, 2);
		pci_dma_sync_single(vp->pdev, dma, PKT_BUF_SZ - 2, PCI_DMA_FROMDEVICE);
		memcpy(skb_put(skb, pkt_len), vp->rx_skbuff[entry]->data, pkt_len);
		return skb;
	}
	skb = vp->rx_skbuff[entry];
	vp->rx_skbuff[entry] = NULL;
	pci_unmap_single(vp->pdev, dma, PKT_BUF_SZ - 2, PCI_DMA_FROMDEVICE);
	skb_put(skb, pkt_len);
	return skb;
}

static void boomerang_rx(struct net_device *dev)
{
	struct vortex_private *vp = dev->priv;
	long ioaddr = dev->base_addr;
	int rx_work_limit = vp->dirty_rx + RX_RING_SIZE - vp->cur_rx;
	unsigned int entry, pkt_len;
	struct sk_buff *skb;
	u32 rx_status;

	while (rx_work_limit-- > 0) {
		entry = vp->cur_rx % RX_RING_SIZE;
		rx_status = le32_to_cpu(vp->rx_ring[entry].status);
		if (!(rx_status & RxDComplete))
			break;
		rmb();
		if (rx_status & RxDError) {
			vortex_rx_error(dev, rx_status);
		} else {
			pkt_len = rx_status & RxDLength;
			skb = boomerang_take_skb(dev, entry, pkt_len);
			skb->protocol = eth_type_trans(skb, dev);
			skb->ip_summed = CHECKSUM_NONE;
			netif_rx(skb);
			dev->last_rx = jiffies;
			vp->stats.rx_packets++;
		}
		vp->cur_rx++;
	}
	/* Without memory the ring runs dry, and nothing is received that would call us again. */
	if (!vortex_refill_rx(dev) && vp->cur_rx - vp->dirty_rx == RX_RING_SIZE)
		mod_timer(&vp->rx_oom_timer, jiffies + OOM_PERIOD);
	outw(UpUnstall, ioaddr + EL3_CMD);
}

static void rx_oom_timer(unsigned long arg)
{
	struct net_device *dev = (struct net_device *)arg;
	struct vortex_private *vp = dev->priv;
	unsigned long flags;

	spin_lock_irqsave(&vp->lock, flags);
	if (vp->cur_rx - vp->dirty_rx == RX_RING_SIZE)
		boomerang_rx(dev);
	if (debug > 1)
		printk(KERN_DEBUG DRV_NAME ": %s: rx_oom_timer %s\n", dev->name,
		       vp->cur_rx - vp->dirty_rx != RX_RING_SIZE ? "done" : "retrying");
	spin_unlock_irqrestore(&vp->lock, flags);
}

/* --- Interrupt --- */

/* The chip has given up its lists: it wanted to read or write where nothing is. */
static void vortex_host_error(struct net_device *dev)
{
	struct vortex_private *vp = dev->priv;
	long ioaddr = dev->base_addr;
	u32 bus_status = inl(ioaddr + PktStatus);

	printk(KERN_ERR DRV_NAME ": %s: host error, PCI %s abort, bus status %8.8x\n", dev->name,
	       bus_status & PciMasterAbort ? "master" : "target", bus_status);
	vortex_stop_chip(dev);
	issue_and_wait(dev, TotalReset | KEEP_ALL_BUT_LISTS);
	vp->stats.tx_fifo_errors += vp->cur_tx - vp->dirty_tx;
	vortex_free_rings(dev);
	if (vortex_init_rings(dev) || vortex_start_chip(dev)) {
		printk(KERN_ERR DRV_NAME ": %s: could not restart the card\n", dev->name);
		netif_stop_queue(dev);
		return;
	}
	if (netif_carrier_ok(dev))
		netif_wake_queue(dev);
}

static void vortex_tx_error(struct net_device *dev)
{
	struct vortex_private *vp = dev->priv;
	long ioaddr = dev->base_addr;
	int reset = 0;
	u8 tx_status;

	while ((tx_status = inb(ioaddr + TxStatus)) & TxSComplete) {
		if (debug > 2)
			printk(KERN_DEBUG DRV_NAME ": %s: Tx error, status %2.2x\n", dev->name, tx_status);
		if (tx_status & (TxSOverflow | TxSUnderrun))
			vp->stats.tx_fifo_errors++;
		if (tx_status & (TxSMaxCollisions | TxSJabber))
			vp->stats.tx_aborted_errors++;
		if (tx_status & (TxSUnderrun | TxSJabber | TxSReclaim))
			reset = 1;
		/* Any write takes it off the stack. */
		outb(0, ioaddr + TxStatus);
	}
	if (reset)
		vortex_restart_tx(dev);
	else
		outw(TxEnable, ioaddr + EL3_CMD);
}

static void vortex_error(struct net_device *dev, int status)
{
	struct vortex_private *vp = dev->priv;
	long ioaddr = dev->base_addr;

	if (status & TxComplete)
		vortex_tx_error(dev);
	if (status & StatsFull)
		update_stats(ioaddr, dev);
	if (status & LinkEvent) {
		outw(AckIntr | AckLinkEvent, ioaddr + EL3_CMD);
		mod_timer(&vp->timer, jiffies);
	}
	if (status & IntReq)
		outw(AckIntr | IntReq, ioaddr + EL3_CMD);
	if (status & HostError)
		vortex_host_error(dev);
}

static void vortex_interrupt(int irq, void *dev_id, struct pt_regs *regs)
{
	struct net_device *dev = dev_id;
	struct vortex_private *vp = dev->priv;
	long ioaddr = dev->base_addr;
	int work_done = max_interrupt_work;
	int status;

	status = inw(ioaddr + EL3_STATUS);
	/* Another device on this line, or a card that has been pulled out. */
	if (!(status & IntLatch) || status == 0xffff)
		return;
	if (debug > 4)
		printk(KERN_DEBUG DRV_NAME ": %s: interrupt, status %4.4x\n", dev->name, status);

	do {
		if (status & UpComplete) {
			outw(AckIntr | UpComplete, ioaddr + EL3_CMD);
			boomerang_rx(dev);
		}
		if (status & DownComplete) {
			outw(AckIntr | DownComplete, ioaddr + EL3_CMD);
			boomerang_clean_tx(dev);
		}
		if (status & (HostError | StatsFull | TxComplete | IntReq | LinkEvent))
			vortex_error(dev, status);

		if (--work_done < 0) {
			printk(KERN_WARNING DRV_NAME ": %s: too much work in interrupt, status %4.4x\n", dev->name,
			       status);
			/* Mask what there is too much of, until the timer comes. */
			vp->deferred |= status & (UpComplete | DownComplete | StatsFull | TxComplete | LinkEvent);
			outw(SetIntrEnb | (vp->intr_enable & ~vp->deferred & 0x7ff), ioaddr + EL3_CMD);
			mod_timer(&vp->timer, jiffies + DEFERRED_PERIOD);
			outw(AckIntr | IntLatch, ioaddr + EL3_CMD);
			break;
		}
		outw(AckIntr | IntReq | IntLatch, ioaddr + EL3_CMD);
	} while ((status = inw(ioaddr + EL3_STATUS)) & IntLatch);
}

/* --- Configuration --- */

static void set_rx_mode(struct net_device *dev)
{
	long ioaddr = dev->base_addr;
	int mode = RxStation | RxBroadcast;

	if (dev->flags & IFF_PROMISC)
		mode |= RxMulticast | RxProm;
	else if (dev->mc_list || dev->flags & IFF_ALLMULTI)
		mode |= RxMulticast;
	outw(SetRxFilter | mode, ioaddr + EL3_CMD);
}

static int vortex_set_mac_address(struct net_device *dev, void *p)
{
	struct vortex_private *vp = dev->priv;
	struct sockaddr *addr = p;
	unsigned long flags;

	if (!is_valid_ether_addr((const u8 *)addr->sa_data))
		return -EADDRNOTAVAIL;
	memcpy(dev->dev_addr, addr->sa_data, ETH_ALEN);
	spin_lock_irqsave(&vp->lock, flags);
	if (vp->open)
		vortex_write_address(dev);
	spin_unlock_irqrestore(&vp->lock, flags);
	return 0;
}

static int vortex_change_mtu(struct net_device *dev, int new_mtu)
{
	if (new_mtu < MIN_MTU || new_mtu > ETH_DATA_LEN)
		return -EINVAL;
	dev->mtu = new_mtu;
	return 0;
}

static int vortex_ethtool_ioctl(struct net_device *dev, void *useraddr)
{
	struct vortex_private *vp = dev->priv;
	struct ethtool_drvinfo info;
	struct ethtool_value link;
	u32 ethcmd;

	if (copy_from_user(&ethcmd, useraddr, sizeof(ethcmd)))
		return -EFAULT;
	switch (ethcmd) {
	case ETHTOOL_GDRVINFO:
		memset(&info, 0, sizeof(info));
		info.cmd = ETHTOOL_GDRVINFO;
		strcpy(info.driver, DRV_NAME);
		strcpy(info.version, DRV_VERSION);
		strncpy(info.bus_info, vp->pdev->slot_name, sizeof(vp->pdev->slot_name));
		return copy_to_user(useraddr, &info, sizeof(info)) ? -EFAULT : 0;
	case ETHTOOL_GLINK:
		link.cmd = ETHTOOL_GLINK;
		link.data = vortex_link_ok(dev);
		return copy_to_user(useraddr, &link, sizeof(link)) ? -EFAULT : 0;
	default:
		return -EOPNOTSUPP;
	}
}

static int vortex_ioctl(struct net_device *dev, struct ifreq *rq, int cmd)
{
	struct vortex_private *vp = dev->priv;
	struct mii_ioctl_data *data = (struct mii_ioctl_data *)&rq->ifr_data;

	switch (cmd) {
	case SIOCETHTOOL:
		return vortex_ethtool_ioctl(dev, rq->ifr_data);
	case SIOCGMIIPHY:
		data->phy_id = vp->phy;
		return 0;
	case SIOCGMIIREG:
		if (data->reg_num >= PHY_REGS)
			return -EINVAL;
		data->val_out = mdio_read(dev, vp->phy, data->reg_num);
		return 0;
	case SIOCSMIIREG:
		if (!capable(CAP_NET_ADMIN))
			return -EPERM;
		if (data->reg_num >= PHY_REGS)
			return -EINVAL;
		mdio_write(dev, vp->phy, data->reg_num, data->val_in);
		if (data->reg_num == MII_ADVERTISE)
			vp->advertising = data->val_in;
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

/* --- Probe and remove --- */

/* The PHY inside is looked for first, then whatever else hangs on the two wires. */
static int vortex_find_phy(struct net_device *dev)
{
	struct vortex_private *vp = dev->priv;
	int i, phy, status;

	for (i = 0; i < 32; i++) {
		phy = i == 0 ? INTERNAL_PHY : i <= INTERNAL_PHY ? i - 1 : i;
		status = mdio_read(dev, phy, MII_BMSR);
		if (status && status != 0xffff) {
			vp->phy = phy;
			if (debug > 0)
				printk(KERN_INFO DRV_NAME ": MII transceiver found at address %d, status %4x\n", phy,
				       status);
			return 0;
		}
	}
	printk(KERN_WARNING DRV_NAME ": no MII transceivers found\n");
	return -ENODEV;
}

static void vortex_read_options(struct net_device *dev, int card_idx)
{
	struct vortex_private *vp = dev->priv;
	int option = card_idx < MAX_UNITS ? options[card_idx] : -1;

	vp->has_nway = 1;
	vp->full_duplex = 0;
	if (card_idx < MAX_UNITS && full_duplex[card_idx] > 0)
		vp->force_fd = 1;
	if (option >= 0) {
		vp->options = option;
		vp->has_nway = (option & OPTION_XCVR) == XCVR_NWAY;
		if (option & OPTION_FULL_DUPLEX)
			vp->force_fd = 1;
	}
	if (vp->force_fd)
		vp->full_duplex = 1;
}

static void vortex_setup_phy(struct net_device *dev)
{
	struct vortex_private *vp = dev->priv;
	int control;

	vp->advertising = mdio_read(dev, vp->phy, MII_ADVERTISE);
	if (vp->force_fd && vp->advertising & (ADVERTISE_100HALF | ADVERTISE_10HALF)) {
		/* The partner is to choose full duplex too. */
		vp->advertising &= ~(ADVERTISE_100HALF | ADVERTISE_10HALF);
		mdio_write(dev, vp->phy, MII_ADVERTISE, vp->advertising);
		mdio_write(dev, vp->phy, MII_BMCR, BMCR_ANENABLE | BMCR_ANRESTART | BMCR_SPEED100);
	}
	if (!vp->has_nway) {
		control = (vp->options & OPTION_XCVR) == XCVR_100baseTx ? BMCR_SPEED100 : 0;
		mdio_write(dev, vp->phy, MII_BMCR, control | (vp->full_duplex ? BMCR_FULLDPLX : 0));
	}
}

static int __devinit vortex_probe1(struct pci_dev *pdev, long ioaddr, int irq, int chip_idx, int card_idx)
{
	const struct vortex_chip_info *vci = &vortex_info_tbl[chip_idx];
	struct vortex_private *vp;
	struct net_device *dev;
	int err;

	dev = alloc_etherdev(sizeof(*vp));
	if (!dev) {
		printk(KERN_ERR DRV_NAME ": unable to allocate etherdev, aborting\n");
		return -ENOMEM;
	}
	SET_MODULE_OWNER(dev);
	vp = dev->priv;
	vp->dev = dev;
	vp->pdev = pdev;
	spin_lock_init(&vp->lock);
	dev->base_addr = ioaddr;
	dev->irq = irq;

	err = -EBUSY;
	if (!request_region(ioaddr, vci->io_size, DRV_NAME)) {
		printk(KERN_ERR DRV_NAME ": the ports at 0x%lx are taken\n", ioaddr);
		goto free_dev;
	}
	pci_set_master(pdev);

	err = -ENOMEM;
	vp->rx_ring = pci_alloc_consistent(pdev, RINGS_BYTES, &vp->rx_ring_dma);
	if (!vp->rx_ring)
		goto free_region;
	vp->tx_ring = (struct boom_tx_desc *)(vp->rx_ring + RX_RING_SIZE);
	vp->tx_ring_dma = vp->rx_ring_dma + sizeof(struct boom_rx_desc) * RX_RING_SIZE;
	pci_set_drvdata(pdev, dev);

	vortex_read_options(dev, card_idx);
	/* Whatever ran before us, this stops it; the link stays. */
	err = issue_and_wait(dev, TotalReset | KEEP_NETWORK | KEEP_AISM);
	if (err)
		goto free_ring;
	err = vortex_read_address(dev, ioaddr);
	if (err)
		goto free_ring;
	EL3WINDOW(3);
	vp->available_media = inw(ioaddr + Wn3_Options);
	err = vortex_find_phy(dev);
	if (err)
		goto free_ring;
	vortex_setup_phy(dev);

	init_timer(&vp->timer);
	vp->timer.function = vortex_timer;
	vp->timer.data = (unsigned long)dev;
	init_timer(&vp->rx_oom_timer);
	vp->rx_oom_timer.function = rx_oom_timer;
	vp->rx_oom_timer.data = (unsigned long)dev;

	dev->open = vortex_open;
	dev->stop = vortex_close;
	dev->hard_start_xmit = boomerang_start_xmit;
	dev->get_stats = vortex_get_stats;
	dev->set_multicast_list = set_rx_mode;
	dev->set_mac_address = vortex_set_mac_address;
	dev->change_mtu = vortex_change_mtu;
	dev->do_ioctl = vortex_ioctl;
	dev->tx_timeout = vortex_tx_timeout;
	dev->watchdog_timeo = TX_TIMEOUT;

	err = register_netdev(dev);
	if (err)
		goto free_ring;
	printk(KERN_INFO DRV_NAME ": %s: %s at 0x%lx, IRQ %d, %02x:%02x:%02x:%02x:%02x:%02x, media %4.4x\n",
	       dev->name, vci->name, ioaddr, irq, dev->dev_addr[0], dev->dev_addr[1], dev->dev_addr[2],
	       dev->dev_addr[3], dev->dev_addr[4], dev->dev_addr[5], vp->available_media);
	return 0;

free_ring:
	pci_set_drvdata(pdev, NULL);
	pci_free_consistent(pdev, RINGS_BYTES, vp->rx_ring, vp->rx_ring_dma);
free_region:
	release_region(ioaddr, vci->io_size);
free_dev:
	kfree(dev);
	return err;
}

static int __devinit vortex_init_one(struct pci_dev *pdev, const struct pci_device_id *ent)
{
	int err;

	err = pci_enable_device(pdev);
	if (err)
		return err;
	if (!(pci_resource_flags(pdev, 0) & IORESOURCE_IO)) {
		printk(KERN_ERR DRV_NAME ": %s has no ports\n", pdev->slot_name);
		pci_disable_device(pdev);
		return -ENODEV;
	}
	err = vortex_probe1(pdev, pci_resource_start(pdev, 0), pdev->irq, ent->driver_data, vortex_cards_found);
	if (err)
		pci_disable_device(pdev);
	else
		vortex_cards_found++;
	return err;
}

static void __devexit vortex_remove_one(struct pci_dev *pdev)
{
	struct net_device *dev = pci_get_drvdata(pdev);
	struct vortex_private *vp = dev->priv;

	unregister_netdev(dev);
	issue_and_wait(dev, TotalReset | KEEP_NETWORK | KEEP_AISM);
	release_region(dev->base_addr, VORTEX_IO_SIZE);
	pci_free_consistent(pdev, RINGS_BYTES, vp->rx_ring, vp->rx_ring_dma);
	pci_set_drvdata(pdev, NULL);
	kfree(dev);
	pci_disable_device(pdev);
}

static struct pci_driver vortex_driver = {
	.name = DRV_NAME,
	.id_table = vortex_pci_tbl,
	.probe = vortex_init_one,
	.remove = __devexit_p(vortex_remove_one),
};

static int __init vortex_init(void)
{
	return pci_module_init(&vortex_driver);
}

static void __exit vortex_cleanup(void)
{
	pci_unregister_driver(&vortex_driver);
}

module_init(vortex_init);
module_exit(vortex_cleanup);
