/*
 * Intel PRO/1000 MT Desktop (82540EM) Gigabit Ethernet.
 *
 * Section numbers refer to Intel's "PCI/PCI-X Family of Gigabit Ethernet
 * Controllers Software Developer's Manual".
 */
#include <linux/module.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/errno.h>
#include <linux/string.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <linux/delay.h>
#include <linux/timer.h>
#include <linux/interrupt.h>
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

#include "e1000_hw.h"

#define DRV_NAME "e1000"
#define DRV_VERSION "1.0"

#define E1000_DEFAULT_DESCRIPTORS 64
#define E1000_MIN_DESCRIPTORS 16
#define E1000_MAX_DESCRIPTORS 4096
/* RDLEN and TDLEN are multiples of 128 bytes. */
#define E1000_DESCRIPTOR_MULTIPLE 8

#define E1000_DEFAULT_ITR 8000
#define E1000_MIN_ITR 100
#define E1000_MAX_ITR 100000

#define E1000_FCS_LEN 4
#define E1000_MIN_MTU 68
#define E1000_MAX_FRAME 16110
#define E1000_RX_BUFFER 2048
/* Two bytes before the Ethernet header put the IP header on a word boundary. */
#define E1000_IP_ALIGN 2

#define E1000_WATCHDOG_PERIOD (2 * HZ)
#define E1000_TX_TIMEOUT (5 * HZ)
/* So many rounds in one interrupt, so that a stuck cause cannot hold the processor. */
#define E1000_MAX_INTR_WORK 10
/* A stopped queue wakes when a quarter of the ring is free, not for each descriptor. */
#define E1000_TX_WAKE_DIVISOR 4

#define E1000_POLL_USECS 5
#define E1000_EERD_POLLS 2000
#define E1000_MDIC_POLLS 200
#define E1000_RESET_MSECS 10

#define E1000_BLINK_PERIOD (HZ / 4)
#define E1000_REGS_VERSION 1

MODULE_AUTHOR("The Nooks Lab project");
MODULE_DESCRIPTION("Intel PRO/1000 MT Desktop (82540EM) Ethernet driver");
MODULE_LICENSE("GPL");

static int TxDescriptors = E1000_DEFAULT_DESCRIPTORS;
static int RxDescriptors = E1000_DEFAULT_DESCRIPTORS;
static int InterruptThrottleRate = E1000_DEFAULT_ITR;

MODULE_PARM(TxDescriptors, "i");
MODULE_PARM_DESC(TxDescriptors, "Number of transmit descriptors (16-4096)");
MODULE_PARM(RxDescriptors, "i");
MODULE_PARM_DESC(RxDescriptors, "Number of receive descriptors (16-4096)");
MODULE_PARM(InterruptThrottleRate, "i");
MODULE_PARM_DESC(InterruptThrottleRate, "Interrupts per second at most (100-100000), 0 for no limit");

/* What a descriptor cannot hold about its buffer. */
struct e1000_buffer {
	struct sk_buff *skb;
	dma_addr_t dma;
	unsigned int length;
};

/*
 * The hardware owns the descriptors from next_to_clean up to next_to_use.
 * One always stays unused, since head equal to tail means an empty ring.
 */
struct e1000_ring {
	void *desc;
	dma_addr_t dma;
	unsigned int size;
	unsigned int count;
	unsigned int next_to_use;
	unsigned int next_to_clean;
	struct e1000_buffer *buffer_info;
};

/* The part of the statistics registers that net_device_stats asks for. */
struct e1000_hw_stats {
	u64 gprc;
	u64 gptc;
	u64 gorc;
	u64 gotc;
	u64 mprc;
	u64 crcerrs;
	u64 algnerrc;
	u64 rxerrc;
	u64 symerrs;
	u64 mpc;
	u64 rlec;
	u64 cexterr;
	u64 ecol;
	u64 latecol;
	u64 colc;
	u64 tncrs;
};

/* Bit numbers of e1000_adapter.state */
#define E1000_DOWN 0
#define E1000_RX_DISCARD 1

struct e1000_adapter {
	struct net_device *netdev;
	struct pci_dev *pdev;
	u8 *hw_addr;
	unsigned long state;

	/* Guards the transmit ring: hard_start_xmit fills it, the interrupt empties it. */
	spinlock_t tx_lock;
	struct e1000_ring tx_ring;

	/* Only the interrupt touches the receive ring while the device is up. */
	struct e1000_ring rx_ring;
	unsigned int rx_buffer_len;

	u32 itr;

	/* Guards MDIC: a reset after a timeout may fall into an ioctl's access. */
	spinlock_t phy_lock;

	struct timer_list watchdog_timer;
	u16 link_speed;
	u16 link_duplex;

	/* Guards the statistics: a register clears when read, so two readers would lose counts. */
	spinlock_t stats_lock;
	struct e1000_hw_stats stats;
	struct net_device_stats net_stats;
};

static const char e1000_driver_name[] = DRV_NAME;

static const struct pci_device_id e1000_pci_tbl[] = {
	{ PCI_VENDOR_ID_INTEL, E1000_DEV_ID_82540EM, PCI_ANY_ID, PCI_ANY_ID, 0, 0, 0 },
	{ 0, 0, 0, 0, 0, 0, 0 }
};

MODULE_DEVICE_TABLE(pci, e1000_pci_tbl);

#define E1000_RX_DESC(ring, i) (&((struct e1000_rx_desc *)(ring)->desc)[i])
#define E1000_TX_DESC(ring, i) (&((struct e1000_tx_desc *)(ring)->desc)[i])

static inline u32 er32(const struct e1000_adapter *adapter, unsigned int reg)
{
	return readl(adapter->hw_addr + reg);
}

static inline void ew32(struct e1000_adapter *adapter, unsigned int reg, u32 value)
{
	writel(value, adapter->hw_addr + reg);
}

/* Posted writes reach the device before a read returns. */
static inline void e1000_write_flush(const struct e1000_adapter *adapter)
{
	(void)er32(adapter, E1000_STATUS);
}

static inline unsigned int e1000_ring_next(const struct e1000_ring *ring, unsigned int i)
{
	return i + 1 == ring->count ? 0 : i + 1;
}

static inline unsigned int e1000_ring_unused(const struct e1000_ring *ring)
{
	unsigned int limit = ring->next_to_clean;

	if (limit <= ring->next_to_use)
		limit += ring->count;
	return limit - ring->next_to_use - 1;
}

/* --- EEPROM and PHY --- */

/* A word through EERD (section 5.3.1): the device serialises the access itself. */
static int e1000_read_eeprom(struct e1000_adapter *adapter, unsigned int offset, u16 *data)
{
	u32 eerd;
	int i;

	ew32(adapter, E1000_EERD, (offset << E1000_EERD_ADDR_SHIFT) | E1000_EERD_START);
	for (i = 0; i < E1000_EERD_POLLS; i++) {
		eerd = er32(adapter, E1000_EERD);
		if (eerd & E1000_EERD_DONE) {
			*data = eerd >> E1000_EERD_DATA_SHIFT;
			return 0;
		}
		udelay(E1000_POLL_USECS);
	}
	return -EIO;
}

static int e1000_validate_eeprom(struct e1000_adapter *adapter)
{
	unsigned int offset;
	u16 sum = 0;
	u16 word;
	int err;

	for (offset = 0; offset < E1000_EEPROM_WORDS; offset++) {
		err = e1000_read_eeprom(adapter, offset, &word);
		if (err)
			return err;
		sum += word;
	}
	return sum == E1000_EEPROM_SUM ? 0 : -EIO;
}

/* Words 0 to 2 hold the station address, low byte first. */
static int e1000_read_mac_addr(struct e1000_adapter *adapter, u8 *addr)
{
	unsigned int i;
	u16 word;
	int err;

	for (i = 0; i < ETH_ALEN; i += 2) {
		err = e1000_read_eeprom(adapter, i / 2, &word);
		if (err)
			return err;
		addr[i] = word & 0xff;
		addr[i + 1] = word >> 8;
	}
	return 0;
}

/* One management frame through MDIC; on success its data field is left in *data. */
static int e1000_mdic(struct e1000_adapter *adapter, unsigned int reg, u32 command, u16 *data)
{
	unsigned long flags;
	int err = -EIO;
	u32 mdic;
	int i;

	spin_lock_irqsave(&adapter->phy_lock, flags);
	ew32(adapter, E1000_MDIC, command | (reg << E1000_MDIC_REG_SHIFT) |
				  (E1000_PHY_ADDR << E1000_MDIC_PHY_SHIFT));
	for (i = 0; i < E1000_MDIC_POLLS; i++) {
		udelay(E1000_POLL_USECS);
		mdic = er32(adapter, E1000_MDIC);
		if (mdic & E1000_MDIC_READY) {
			if (!(mdic & E1000_MDIC_ERROR)) {
				*data = mdic & E1000_MDIC_DATA_MASK;
				err = 0;
			}
			break;
		}
	}
	spin_unlock_irqrestore(&adapter->phy_lock, flags);
	return err;
}

static int e1000_read_phy(struct e1000_adapter *adapter, unsigned int reg, u16 *data)
{
	return e1000_mdic(adapter, reg, E1000_MDIC_OP_READ, data);
}

static int e1000_write_phy(struct e1000_adapter *adapter, unsigned int reg, u16 data)
{
	return e1000_mdic(adapter, reg, E1000_MDIC_OP_WRITE | data, &data);
}

static int e1000_detect_phy(struct e1000_adapter *adapter)
{
	u16 id1, id2;
	int err;

	err = e1000_read_phy(adapter, MII_PHYSID1, &id1);
	if (err)
		return err;
	err = e1000_read_phy(adapter, MII_PHYSID2, &id2);
	if (err)
		return err;
	/* An empty management bus reads as all ones, a PHY held in reset as zeros. */
	if ((id1 == 0xffff && id2 == 0xffff) || (id1 == 0 && id2 == 0))
		return -ENODEV;
	return 0;
}

static int e1000_start_autoneg(struct e1000_adapter *adapter)
{
	int err;

	err = e1000_write_phy(adapter, MII_ADVERTISE, ADVERTISE_CSMA | ADVERTISE_ALL | ADVERTISE_PAUSE_CAP);
	if (err)
		return err;
	err = e1000_write_phy(adapter, MII_CTRL1000, ADVERTISE_1000FULL);
	if (err)
		return err;
	return e1000_write_phy(adapter, MII_BMCR, BMCR_ANENABLE | BMCR_ANRESTART);
}

/* --- Device control --- */

static void e1000_irq_enable(struct e1000_adapter *adapter)
{
	clear_bit(E1000_DOWN, &adapter->state);
	ew32(adapter, E1000_IMS, E1000_IMS_ENABLE_MASK);
	e1000_write_flush(adapter);
}

/* The bit keeps an interrupt of another device on a shared line out of the rings. */
static void e1000_irq_disable(struct e1000_adapter *adapter)
{
	set_bit(E1000_DOWN, &adapter->state);
	ew32(adapter, E1000_IMC, ~0U);
	e1000_write_flush(adapter);
}

/* CTRL.RST: no DMA goes on afterwards, all registers have their defaults. */
static void e1000_reset_hw(struct e1000_adapter *adapter)
{
	ew32(adapter, E1000_IMC, ~0U);
	ew32(adapter, E1000_RCTL, 0);
	ew32(adapter, E1000_TCTL, E1000_TCTL_PSP);
	e1000_write_flush(adapter);
	mdelay(E1000_RESET_MSECS);

	ew32(adapter, E1000_CTRL, er32(adapter, E1000_CTRL) | E1000_CTRL_RST);
	mdelay(E1000_RESET_MSECS);

	/* The reset reads the EEPROM again, which may have unmasked causes. */
	ew32(adapter, E1000_IMC, ~0U);
	(void)er32(adapter, E1000_ICR);
}

static void e1000_rar_set(struct e1000_adapter *adapter, const u8 *addr)
{
	u32 low = addr[0] | (addr[1] << 8) | (addr[2] << 16) | ((u32)addr[3] << 24);
	u32 high = addr[4] | (addr[5] << 8);

	ew32(adapter, E1000_RAL, low);
	ew32(adapter, E1000_RAH, high | E1000_RAH_AV);
}

static void e1000_init_flow_control(struct e1000_adapter *adapter)
{
	ew32(adapter, E1000_FCAL, E1000_FLOW_ADDRESS_LOW);
	ew32(adapter, E1000_FCAH, E1000_FLOW_ADDRESS_HIGH);
	ew32(adapter, E1000_FCT, E1000_FLOW_TYPE);
	ew32(adapter, E1000_FCTTV, E1000_FLOW_PAUSE_TIME);
	ew32(adapter, E1000_FCRTL, E1000_FLOW_LOW_WATER | E1000_FCRTL_XONE);
	ew32(adapter, E1000_FCRTH, E1000_FLOW_HIGH_WATER);
}

/* From reset to a device that negotiates its link and knows its address. */
static int e1000_init_hw(struct e1000_adapter *adapter)
{
	unsigned int i;
	u32 ctrl;

	for (i = 0; i < E1000_VFTA_WORDS; i++)
		ew32(adapter, E1000_VFTA + 4 * i, 0);
	for (i = 0; i < E1000_MTA_WORDS; i++)
		ew32(adapter, E1000_MTA + 4 * i, 0);

	e1000_rar_set(adapter, adapter->netdev->dev_addr);
	for (i = 1; i < E1000_RAR_ENTRIES; i++) {
		ew32(adapter, E1000_RAL + 8 * i, 0);
		ew32(adapter, E1000_RAH + 8 * i, 0);
	}

	e1000_init_flow_control(adapter);

	/* Speed and duplex come from the PHY, so nothing is forced. */
	ctrl = er32(adapter, E1000_CTRL);
	ctrl &= ~(E1000_CTRL_FRCSPD | E1000_CTRL_FRCDPX | E1000_CTRL_ILOS | E1000_CTRL_VME);
	ctrl |= E1000_CTRL_SLU;
	ew32(adapter, E1000_CTRL, ctrl);

	return e1000_start_autoneg(adapter);
}

/* --- Rings --- */

static int e1000_setup_ring(struct e1000_adapter *adapter, struct e1000_ring *ring, size_t desc_size)
{
	size_t info_size = ring->count * sizeof(struct e1000_buffer);

	ring->buffer_info = vmalloc(info_size);
	if (!ring->buffer_info)
		return -ENOMEM;
	memset(ring->buffer_info, 0, info_size);

	ring->size = ring->count * desc_size;
	ring->desc = pci_alloc_consistent(adapter->pdev, ring->size, &ring->dma);
	if (!ring->desc) {
		vfree(ring->buffer_info);
		ring->buffer_info = NULL;
		return -ENOMEM;
	}
	memset(ring->desc, 0, ring->size);

	ring->next_to_use = 0;
	ring->next_to_clean = 0;
	return 0;
}

static void e1000_free_ring(struct e1000_adapter *adapter, struct e1000_ring *ring)
{
	pci_free_consistent(adapter->pdev, ring->size, ring->desc, ring->dma);
	ring->desc = NULL;
	vfree(ring->buffer_info);
	ring->buffer_info = NULL;
}

/* The device must be quiet: its head goes back to 0 only by a reset or e1000_configure_tx/rx. */
static void e1000_clean_ring(struct e1000_adapter *adapter, struct e1000_ring *ring, int direction)
{
	struct e1000_buffer *buffer;
	struct sk_buff_head dropped;
	struct sk_buff *skb;
	unsigned int i;

	skb_queue_head_init(&dropped);
	for (i = 0; i < ring->count; i++) {
		buffer = &ring->buffer_info[i];
		if (!buffer->skb)
			continue;
		pci_unmap_single(adapter->pdev, buffer->dma, buffer->length, direction);
		__skb_queue_tail(&dropped, buffer->skb);
		buffer->skb = NULL;
	}
	memset(ring->desc, 0, ring->size);
	ring->next_to_use = 0;
	ring->next_to_clean = 0;

	/* Only now does nothing in the ring name them any more. */
	while ((skb = __skb_dequeue(&dropped)) != NULL)
		dev_kfree_skb_any(skb);
}

static void e1000_clean_all_rings(struct e1000_adapter *adapter)
{
	e1000_clean_ring(adapter, &adapter->tx_ring, PCI_DMA_TODEVICE);
	e1000_clean_ring(adapter, &adapter->rx_ring, PCI_DMA_FROMDEVICE);
}

static void e1000_configure_tx(struct e1000_adapter *adapter)
{
	struct e1000_ring *ring = &adapter->tx_ring;

	ew32(adapter, E1000_TDBAL, ring->dma);
	ew32(adapter, E1000_TDBAH, 0);
	ew32(adapter, E1000_TDLEN, ring->size);
	ew32(adapter, E1000_TDH, 0);
	ew32(adapter, E1000_TDT, 0);
	ew32(adapter, E1000_TIPG, E1000_TIPG_COPPER);
	ew32(adapter, E1000_TIDV, 0);
	ew32(adapter, E1000_TADV, 0);
	ew32(adapter, E1000_TCTL, E1000_TCTL_EN | E1000_TCTL_PSP | E1000_TCTL_RTLC |
				  (E1000_COLLISION_THRESHOLD << E1000_TCTL_CT_SHIFT) |
				  (E1000_COLLISION_DISTANCE_FD << E1000_TCTL_COLD_SHIFT));
}

static u32 e1000_rctl_buffer_size(const struct e1000_adapter *adapter)
{
	switch (adapter->rx_buffer_len) {
	case 4096:
		return E1000_RCTL_BSIZE_4096 | E1000_RCTL_BSEX | E1000_RCTL_LPE;
	case 8192:
		return E1000_RCTL_BSIZE_8192 | E1000_RCTL_BSEX | E1000_RCTL_LPE;
	case 16384:
		return E1000_RCTL_BSIZE_16384 | E1000_RCTL_BSEX | E1000_RCTL_LPE;
	default:
		/* Frames over 1522 bytes may still fit the buffer; without LPE they would be dropped. */
		return adapter->netdev->mtu > ETH_DATA_LEN ? E1000_RCTL_BSIZE_2048 | E1000_RCTL_LPE
							   : E1000_RCTL_BSIZE_2048;
	}
}

static void e1000_configure_rx(struct e1000_adapter *adapter)
{
	struct e1000_ring *ring = &adapter->rx_ring;

	ew32(adapter, E1000_RCTL, 0);
	ew32(adapter, E1000_RDTR, 0);
	ew32(adapter, E1000_RADV, 0);
	ew32(adapter, E1000_RSRPD, 0);
	ew32(adapter, E1000_ITR, adapter->itr);
	ew32(adapter, E1000_RXCSUM, 0);

	ew32(adapter, E1000_RDBAL, ring->dma);
	ew32(adapter, E1000_RDBAH, 0);
	ew32(adapter, E1000_RDLEN, ring->size);
	ew32(adapter, E1000_RDH, 0);
	ew32(adapter, E1000_RDT, 0);
	clear_bit(E1000_RX_DISCARD, &adapter->state);

	ew32(adapter, E1000_RCTL, E1000_RCTL_EN | E1000_RCTL_BAM | E1000_RCTL_RDMTS_HALF | E1000_RCTL_MO_47_36 |
				  E1000_RCTL_SECRC | e1000_rctl_buffer_size(adapter));
}

/* Returns 0, or -ENOMEM when memory ran out before the ring was full. */
static int e1000_alloc_rx_buffers(struct e1000_adapter *adapter)
{
	struct e1000_ring *ring = &adapter->rx_ring;
	unsigned int start = ring->next_to_use;
	struct e1000_rx_desc *desc;
	struct e1000_buffer *buffer;
	struct sk_buff *skb;
	int err = 0;

	while (e1000_ring_unused(ring)) {
		skb = dev_alloc_skb(adapter->rx_buffer_len + E1000_IP_ALIGN);
		if (!skb) {
			err = -ENOMEM;
			break;
		}
		skb_reserve(skb, E1000_IP_ALIGN);
		skb->dev = adapter->netdev;

		buffer = &ring->buffer_info[ring->next_to_use];
		buffer->skb = skb;
		buffer->length = adapter->rx_buffer_len;
		buffer->dma = pci_map_single(adapter->pdev, skb->data, buffer->length, PCI_DMA_FROMDEVICE);

		desc = E1000_RX_DESC(ring, ring->next_to_use);
		desc->buffer_addr = cpu_to_le64(buffer->dma);
		desc->status = 0;
		ring->next_to_use = e1000_ring_next(ring, ring->next_to_use);
	}
	if (ring->next_to_use != start) {
		/* The device may fetch a descriptor as soon as the tail has passed it. */
		wmb();
		ew32(adapter, E1000_RDT, ring->next_to_use);
	}
	return err;
}

/* --- Statistics and link --- */

static void e1000_read_counters(struct e1000_adapter *adapter)
{
	struct e1000_hw_stats *stats = &adapter->stats;
	u32 low;

	stats->gprc += er32(adapter, E1000_GPRC);
	stats->gptc += er32(adapter, E1000_GPTC);
	low = er32(adapter, E1000_GORCL);
	stats->gorc += low | ((u64)er32(adapter, E1000_GORCH) << 32);
	low = er32(adapter, E1000_GOTCL);
	stats->gotc += low | ((u64)er32(adapter, E1000_GOTCH) << 32);
	stats->mprc += er32(adapter, E1000_MPRC);
	stats->crcerrs += er32(adapter, E1000_CRCERRS);
	stats->algnerrc += er32(adapter, E1000_ALGNERRC);
	stats->rxerrc += er32(adapter, E1000_RXERRC);
	stats->symerrs += er32(adapter, E1000_SYMERRS);
	stats->mpc += er32(adapter, E1000_MPC);
	stats->rlec += er32(adapter, E1000_RLEC);
	stats->cexterr += er32(adapter, E1000_CEXTERR);
	stats->ecol += er32(adapter, E1000_ECOL);
	stats->latecol += er32(adapter, E1000_LATECOL);
	stats->colc += er32(adapter, E1000_COLC);
	stats->tncrs += er32(adapter, E1000_TNCRS);
}

static void e1000_update_stats(struct e1000_adapter *adapter)
{
	struct e1000_hw_stats *stats = &adapter->stats;
	struct net_device_stats *net = &adapter->net_stats;
	unsigned long flags;

	spin_lock_irqsave(&adapter->stats_lock, flags);
	e1000_read_counters(adapter);

	net->rx_packets = stats->gprc;
	net->tx_packets = stats->gptc;
	net->rx_bytes = stats->gorc;
	net->tx_bytes = stats->gotc;
	net->multicast = stats->mprc;
	net->collisions = stats->colc;

	net->rx_errors = stats->rxerrc + stats->crcerrs + stats->algnerrc + stats->rlec + stats->mpc +
			 stats->cexterr;
	net->rx_length_errors = stats->rlec;
	net->rx_crc_errors = stats->crcerrs;
	net->rx_frame_errors = stats->algnerrc;
	net->rx_fifo_errors = stats->mpc;
	net->rx_missed_errors = stats->mpc;

	net->tx_errors = stats->ecol + stats->latecol;
	net->tx_aborted_errors = stats->ecol;
	net->tx_window_errors = stats->latecol;
	net->tx_carrier_errors = stats->tncrs;
	spin_unlock_irqrestore(&adapter->stats_lock, flags);
}

static void e1000_link_up(struct e1000_adapter *adapter, u32 status)
{
	struct net_device *netdev = adapter->netdev;
	u32 distance = E1000_COLLISION_DISTANCE_HD;
	u32 tctl;

	switch (status & E1000_STATUS_SPEED_MASK) {
	case E1000_STATUS_SPEED_10:
		adapter->link_speed = 10;
		break;
	case E1000_STATUS_SPEED_100:
		adapter->link_speed = 100;
		break;
	default:
		adapter->link_speed = 1000;
		break;
	}
	adapter->link_duplex = (status & E1000_STATUS_FD) != 0;
	if (adapter->link_duplex)
		distance = E1000_COLLISION_DISTANCE_FD;

	tctl = er32(adapter, E1000_TCTL) & ~(0x3ffU << E1000_TCTL_COLD_SHIFT);
	ew32(adapter, E1000_TCTL, tctl | (distance << E1000_TCTL_COLD_SHIFT));

	printk(KERN_INFO DRV_NAME ": %s: link is up, %d Mbps, %s duplex\n", netdev->name, adapter->link_speed,
	       adapter->link_duplex ? "full" : "half");
	netif_carrier_on(netdev);
	netif_wake_queue(netdev);
}

static void e1000_link_down(struct e1000_adapter *adapter)
{
	struct net_device *netdev = adapter->netdev;

	adapter->link_speed = 0;
	adapter->link_duplex = 0;
	printk(KERN_INFO DRV_NAME ": %s: link is down\n", netdev->name);
	netif_carrier_off(netdev);
	netif_stop_queue(netdev);
}

static void e1000_watchdog(unsigned long data)
{
	struct e1000_adapter *adapter = (struct e1000_adapter *)data;
	struct net_device *netdev = adapter->netdev;
	u32 status = er32(adapter, E1000_STATUS);

	if (status & E1000_STATUS_LU) {
		if (!netif_carrier_ok(netdev))
			e1000_link_up(adapter, status);
	} else if (netif_carrier_ok(netdev)) {
		e1000_link_down(adapter);
	}

	e1000_update_stats(adapter);

	/* A receive ring that ran dry for want of memory raises no interrupt of its own: have it refilled. */
	ew32(adapter, E1000_ICS, E1000_ICR_RXDMT0);

	mod_timer(&adapter->watchdog_timer, jiffies + E1000_WATCHDOG_PERIOD);
}

/* --- Transmit and receive --- */

static int e1000_xmit_frame(struct sk_buff *skb, struct net_device *netdev)
{
	struct e1000_adapter *adapter = netdev->priv;
	struct e1000_ring *ring = &adapter->tx_ring;
	struct e1000_tx_desc *desc;
	struct e1000_buffer *buffer;
	unsigned long flags;

	if (skb->len == 0 || skb->len > E1000_MAX_FRAME) {
		dev_kfree_skb_any(skb);
		return 0;
	}

	spin_lock_irqsave(&adapter->tx_lock, flags);
	if (!e1000_ring_unused(ring)) {
		netif_stop_queue(netdev);
		spin_unlock_irqrestore(&adapter->tx_lock, flags);
		return 1;
	}

	buffer = &ring->buffer_info[ring->next_to_use];
	buffer->skb = skb;
	buffer->length = skb->len;
	buffer->dma = pci_map_single(adapter->pdev, skb->data, skb->len, PCI_DMA_TODEVICE);

	desc = E1000_TX_DESC(ring, ring->next_to_use);
	desc->buffer_addr = cpu_to_le64(buffer->dma);
	desc->length = cpu_to_le16(skb->len);
	desc->cso = 0;
	desc->cmd = E1000_TXD_CMD_EOP | E1000_TXD_CMD_IFCS | E1000_TXD_CMD_RS;
	desc->status = 0;
	desc->css = 0;
	desc->special = 0;

	ring->next_to_use = e1000_ring_next(ring, ring->next_to_use);
	netdev->trans_start = jiffies;
	/* Before the tail moves: the device may be done, and the queue woken, at once. */
	if (!e1000_ring_unused(ring))
		netif_stop_queue(netdev);

	/* The device may fetch the descriptor as soon as the tail has passed it. */
	wmb();
	ew32(adapter, E1000_TDT, ring->next_to_use);
	spin_unlock_irqrestore(&adapter->tx_lock, flags);
	return 0;
}

static void e1000_clean_tx_irq(struct e1000_adapter *adapter)
{
	struct net_device *netdev = adapter->netdev;
	struct e1000_ring *ring = &adapter->tx_ring;
	struct e1000_buffer *buffer;
	unsigned long flags;

	spin_lock_irqsave(&adapter->tx_lock, flags);
	while (ring->next_to_clean != ring->next_to_use) {
		volatile struct e1000_tx_desc *desc = E1000_TX_DESC(ring, ring->next_to_clean);

		if (!(desc->status & E1000_TXD_STAT_DD))
			break;
		desc->status = 0;

		buffer = &ring->buffer_info[ring->next_to_clean];
		pci_unmap_single(adapter->pdev, buffer->dma, buffer->length, PCI_DMA_TODEVICE);
		dev_kfree_skb_irq(buffer->skb);
		buffer->skb = NULL;
		ring->next_to_clean = e1000_ring_next(ring, ring->next_to_clean);
	}

	if (netif_queue_stopped(netdev) && netif_carrier_ok(netdev) &&
	    e1000_ring_unused(ring) >= ring->count / E1000_TX_WAKE_DIVISOR)
		netif_wake_queue(netdev);
	spin_unlock_irqrestore(&adapter->tx_lock, flags);
}

/*
 * A frame of the configured MTU fits one buffer. With LPE the device also
 * takes longer ones and spreads them over several descriptors: all of these
 * are dropped, up to and including the one with EOP.
 */
static int e1000_rx_accept(struct e1000_adapter *adapter, u8 status, u8 errors, unsigned int length)
{
	if (!(status & E1000_RXD_STAT_EOP)) {
		set_bit(E1000_RX_DISCARD, &adapter->state);
		return 0;
	}
	if (test_and_clear_bit(E1000_RX_DISCARD, &adapter->state))
		return 0;
	if (errors & E1000_RXD_ERR_FRAME_MASK)
		return 0;
	return length >= ETH_HLEN && length <= adapter->rx_buffer_len;
}

static void e1000_receive_skb(struct e1000_adapter *adapter, struct sk_buff *skb, unsigned int length)
{
	struct net_device *netdev = adapter->netdev;

	skb_put(skb, length);
	skb->protocol = eth_type_trans(skb, netdev);
	skb->ip_summed = CHECKSUM_NONE;
	netif_rx(skb);
	netdev->last_rx = jiffies;
}

static void e1000_clean_rx_irq(struct e1000_adapter *adapter)
{
	struct e1000_ring *ring = &adapter->rx_ring;
	struct e1000_buffer *buffer;
	struct sk_buff *skb;
	unsigned int length;
	u8 status, errors;

	while (ring->next_to_clean != ring->next_to_use) {
		volatile struct e1000_rx_desc *desc = E1000_RX_DESC(ring, ring->next_to_clean);

		status = desc->status;
		if (!(status & E1000_RXD_STAT_DD))
			break;
		/* What follows in the descriptor is valid only once DD has been seen. */
		rmb();
		errors = desc->errors;
		length = le16_to_cpu(desc->length);
		desc->status = 0;

		buffer = &ring->buffer_info[ring->next_to_clean];
		pci_unmap_single(adapter->pdev, buffer->dma, buffer->length, PCI_DMA_FROMDEVICE);
		skb = buffer->skb;
		buffer->skb = NULL;
		ring->next_to_clean = e1000_ring_next(ring, ring->next_to_clean);

		if (e1000_rx_accept(adapter, status, errors, length))
			e1000_receive_skb(adapter, skb, length);
		else
			dev_kfree_skb_irq(skb);
	}

	/* What memory cannot give now, the watchdog's interrupt asks for again. */
	e1000_alloc_rx_buffers(adapter);
}

static void e1000_intr(int irq, void *dev_id, struct pt_regs *regs)
{
	struct net_device *netdev = dev_id;
	struct e1000_adapter *adapter = netdev->priv;
	int work = E1000_MAX_INTR_WORK;
	u32 icr;

	if (test_bit(E1000_DOWN, &adapter->state))
		return;

	while (work-- > 0) {
		icr = er32(adapter, E1000_ICR);
		if (!(icr & E1000_IMS_ENABLE_MASK))
			break;

		/* The watchdog handles a change of link: it runs in the next tick. */
		if (icr & (E1000_ICR_LSC | E1000_ICR_RXSEQ))
			mod_timer(&adapter->watchdog_timer, jiffies);
		if (icr & (E1000_ICR_RXT0 | E1000_ICR_RXDMT0 | E1000_ICR_RXO))
			e1000_clean_rx_irq(adapter);
		if (icr & E1000_ICR_TXDW)
			e1000_clean_tx_irq(adapter);
	}
}

/* --- Up and down --- */

static void e1000_set_multi(struct net_device *netdev);

/* The rings are set up and empty; the device has been reset. */
static int e1000_up(struct e1000_adapter *adapter)
{
	struct net_device *netdev = adapter->netdev;
	int err;

	err = e1000_init_hw(adapter);
	if (err)
		return err;
	e1000_configure_tx(adapter);
	e1000_configure_rx(adapter);
	e1000_set_multi(netdev);

	err = e1000_alloc_rx_buffers(adapter);
	if (err) {
		e1000_reset_hw(adapter);
		e1000_clean_all_rings(adapter);
		return err;
	}

	mod_timer(&adapter->watchdog_timer, jiffies + E1000_WATCHDOG_PERIOD);
	e1000_irq_enable(adapter);

	/* The link may have come up before anyone listened: have the watchdog look. */
	ew32(adapter, E1000_ICS, E1000_ICR_LSC);
	return 0;
}

/* Leaves a silent device, empty rings and a stopped queue. */
static void e1000_down(struct e1000_adapter *adapter)
{
	struct net_device *netdev = adapter->netdev;

	e1000_irq_disable(adapter);
	del_timer_sync(&adapter->watchdog_timer);
	netif_carrier_off(netdev);
	netif_stop_queue(netdev);
	e1000_update_stats(adapter);
	e1000_reset_hw(adapter);
	e1000_clean_all_rings(adapter);
}

static int e1000_open(struct net_device *netdev)
{
	struct e1000_adapter *adapter = netdev->priv;
	int err;

	err = e1000_setup_ring(adapter, &adapter->tx_ring, sizeof(struct e1000_tx_desc));
	if (err)
		goto err_setup_tx;
	err = e1000_setup_ring(adapter, &adapter->rx_ring, sizeof(struct e1000_rx_desc));
	if (err)
		goto err_setup_rx;
	err = request_irq(netdev->irq, e1000_intr, SA_SHIRQ, netdev->name, netdev);
	if (err)
		goto err_irq;
	err = e1000_up(adapter);
	if (err)
		goto err_up;
	netif_start_queue(netdev);
	return 0;

err_up:
	free_irq(netdev->irq, netdev);
err_irq:
	e1000_free_ring(adapter, &adapter->rx_ring);
err_setup_rx:
	e1000_free_ring(adapter, &adapter->tx_ring);
err_setup_tx:
	return err;
}

static int e1000_close(struct net_device *netdev)
{
	struct e1000_adapter *adapter = netdev->priv;

	e1000_down(adapter);
	free_irq(netdev->irq, netdev);
	e1000_free_ring(adapter, &adapter->tx_ring);
	e1000_free_ring(adapter, &adapter->rx_ring);
	return 0;
}

/* The watchdog starts the queue again when it sees the link. */
static void e1000_tx_timeout(struct net_device *netdev)
{
	struct e1000_adapter *adapter = netdev->priv;
	int err;

	printk(KERN_WARNING DRV_NAME ": %s: transmit timed out, resetting\n", netdev->name);
	adapter->net_stats.tx_fifo_errors++;
	e1000_down(adapter);
	err = e1000_up(adapter);
	if (err)
		printk(KERN_ERR DRV_NAME ": %s: reset failed, error %d\n", netdev->name, err);
}

/* --- Configuration --- */

static struct net_device_stats *e1000_get_stats(struct net_device *netdev)
{
	struct e1000_adapter *adapter = netdev->priv;

	e1000_update_stats(adapter);
	return &adapter->net_stats;
}

/* Bits 47 to 36 of the address, as RCTL.MO selects (section 13.5.1). */
static unsigned int e1000_hash_mc_addr(const u8 *addr)
{
	return ((addr[4] >> 4) | (addr[5] << 4)) & 0xfff;
}

static void e1000_set_multi(struct net_device *netdev)
{
	struct e1000_adapter *adapter = netdev->priv;
	struct dev_mc_list *mc;
	unsigned int hash, word, i;
	u32 rctl;

	rctl = er32(adapter, E1000_RCTL) & ~(E1000_RCTL_UPE | E1000_RCTL_MPE);
	if (netdev->flags & IFF_PROMISC)
		rctl |= E1000_RCTL_UPE | E1000_RCTL_MPE;
	else if (netdev->flags & IFF_ALLMULTI)
		rctl |= E1000_RCTL_MPE;
	ew32(adapter, E1000_RCTL, rctl);

	for (i = 0; i < E1000_MTA_WORDS; i++)
		ew32(adapter, E1000_MTA + 4 * i, 0);
	for (mc = netdev->mc_list; mc; mc = mc->next) {
		hash = e1000_hash_mc_addr(mc->dmi_addr);
		word = E1000_MTA + 4 * (hash >> 5);
		ew32(adapter, word, er32(adapter, word) | (1U << (hash & 0x1f)));
	}
}

static int e1000_set_mac(struct net_device *netdev, void *p)
{
	struct e1000_adapter *adapter = netdev->priv;
	struct sockaddr *addr = p;

	if (!is_valid_ether_addr((const u8 *)addr->sa_data))
		return -EADDRNOTAVAIL;
	memcpy(netdev->dev_addr, addr->sa_data, ETH_ALEN);
	e1000_rar_set(adapter, netdev->dev_addr);
	return 0;
}

/* The smallest buffer the device knows that holds a whole frame of this MTU. */
static unsigned int e1000_rx_buffer_len(int mtu)
{
	unsigned int frame = mtu + ETH_HLEN + E1000_FCS_LEN;
	unsigned int len = E1000_RX_BUFFER;

	while (len < frame)
		len *= 2;
	return len;
}

static int e1000_change_mtu(struct net_device *netdev, int new_mtu)
{
	struct e1000_adapter *adapter = netdev->priv;
	int err;

	if (new_mtu < E1000_MIN_MTU || new_mtu > E1000_MAX_FRAME - ETH_HLEN - E1000_FCS_LEN)
		return -EINVAL;

	if (!netif_running(netdev)) {
		netdev->mtu = new_mtu;
		adapter->rx_buffer_len = e1000_rx_buffer_len(new_mtu);
		return 0;
	}

	e1000_down(adapter);
	netdev->mtu = new_mtu;
	adapter->rx_buffer_len = e1000_rx_buffer_len(new_mtu);
	err = e1000_up(adapter);
	if (err)
		printk(KERN_ERR DRV_NAME ": %s: no restart with MTU %d, error %d\n", netdev->name, new_mtu, err);
	return err;
}

static int e1000_mii_ioctl(struct net_device *netdev, struct ifreq *ifr, int cmd)
{
	struct e1000_adapter *adapter = netdev->priv;
	struct mii_ioctl_data *data = (struct mii_ioctl_data *)&ifr->ifr_data;

	if (cmd == SIOCGMIIPHY) {
		data->phy_id = E1000_PHY_ADDR;
		return 0;
	}
	if (!capable(CAP_NET_ADMIN))
		return -EPERM;
	if (data->reg_num >= E1000_PHY_REGS)
		return -EINVAL;
	return e1000_read_phy(adapter, data->reg_num, &data->val_out);
}

/* Registers of a dump, in its order; none of them changes by being read. */
static const unsigned int e1000_dump_regs[] = {
	E1000_CTRL, E1000_STATUS, E1000_RCTL, E1000_RDLEN, E1000_RDH, E1000_RDT, E1000_RDTR,
	E1000_TCTL, E1000_TDLEN,  E1000_TDH,  E1000_TDT,   E1000_TIDV,
};

#define E1000_REGS_LEN (ARRAY_SIZE(e1000_dump_regs) * sizeof(u32))

static int e1000_get_drvinfo(struct e1000_adapter *adapter, void *useraddr)
{
	struct ethtool_drvinfo info;
	char image[E1000_EEPROM_VERSION_LEN];
	u16 word;
	int err;

	err = e1000_read_eeprom(adapter, E1000_EEPROM_VERSION, &word);
	if (err)
		return err;
	sprintf(image, "%u.%u", word >> 12, (word >> 4) & 0xff);

	memset(&info, 0, sizeof(info));
	info.cmd = ETHTOOL_GDRVINFO;
	strncpy(info.driver, e1000_driver_name, sizeof(info.driver) - 1);
	strncpy(info.version, DRV_VERSION, sizeof(info.version) - 1);
	strncpy(info.fw_version, image, sizeof(info.fw_version) - 1);
	strncpy(info.bus_info, adapter->pdev->slot_name, sizeof(adapter->pdev->slot_name));
	info.regdump_len = E1000_REGS_LEN;
	info.eedump_len = E1000_EEPROM_BYTES;
	return copy_to_user(useraddr, &info, sizeof(info)) ? -EFAULT : 0;
}

static int e1000_get_link(struct e1000_adapter *adapter, void *useraddr)
{
	struct ethtool_value link;

	link.cmd = ETHTOOL_GLINK;
	link.data = (er32(adapter, E1000_STATUS) & E1000_STATUS_LU) != 0;
	return copy_to_user(useraddr, &link, sizeof(link)) ? -EFAULT : 0;
}

/* A register dump in the making. */
struct e1000_reg_dump {
	u32 *next;
	u32 words[ARRAY_SIZE(e1000_dump_regs)];
};

static int e1000_get_regs(struct e1000_adapter *adapter, void *useraddr)
{
	struct e1000_reg_dump *dump;
	struct ethtool_regs regs;
	unsigned int i;
	int err = 0;

	if (copy_from_user(&regs, useraddr, sizeof(regs)))
		return -EFAULT;
	if (regs.len > E1000_REGS_LEN)
		regs.len = E1000_REGS_LEN;
	regs.version = E1000_REGS_VERSION;

	dump = kmalloc(sizeof(*dump), GFP_KERNEL);
	if (!dump)
		return -ENOMEM;
	dump->next = dump->words;
	for (i = 0; i < ARRAY_SIZE(e1000_dump_regs); i++)
		*dump->next++ = er32(adapter, e1000_dump_regs[i]);

	if (copy_to_user(useraddr, &regs, sizeof(regs)) ||
	    copy_to_user(useraddr + sizeof(regs), dump->words, regs.len))
		err = -EFAULT;
	kfree(dump);
	return err;
}

/* Words read from the EEPROM so far. */
struct e1000_eeprom_image {
	unsigned int count;
	u16 words[E1000_EEPROM_WORDS];
};

static int e1000_append_word(struct e1000_adapter *adapter, struct e1000_eeprom_image *image)
{
	int err = e1000_read_eeprom(adapter, image->count, &image->words[image->count]);

	if (!err)
		image->count++;
	return err;
}

/* The processor has the device's byte order, so the words are the user's bytes. */
static int e1000_get_eeprom(struct e1000_adapter *adapter, void *useraddr)
{
	struct e1000_eeprom_image *image;
	struct ethtool_eeprom eeprom;
	unsigned int i;
	u8 *bytes;
	int err = 0;

	if (copy_from_user(&eeprom, useraddr, sizeof(eeprom)))
		return -EFAULT;
	if (eeprom.offset > E1000_EEPROM_BYTES || eeprom.len > E1000_EEPROM_BYTES - eeprom.offset)
		return -EINVAL;
	eeprom.magic = PCI_VENDOR_ID_INTEL | (E1000_DEV_ID_82540EM << 16);

	image = kmalloc(sizeof(*image), GFP_KERNEL);
	if (!image)
		return -ENOMEM;
	image->count = 0;
	for (i = 0; i < E1000_EEPROM_WORDS && !err; i++)
		err = e1000_append_word(adapter, image);

	bytes = (u8 *)image->words + eeprom.offset;
	if (!err && copy_to_user(useraddr, &eeprom, sizeof(eeprom)))
		err = -EFAULT;
	if (!err && copy_to_user(useraddr + sizeof(eeprom), bytes, eeprom.len))
		err = -EFAULT;
	kfree(image);
	return err;
}

/* The LED blinks from a timer while the process that asked for it sleeps. */
struct e1000_blink {
	struct e1000_adapter *adapter;
	struct timer_list timer;
};

static void e1000_blink_led(unsigned long data)
{
	struct e1000_blink *blink = (struct e1000_blink *)data;
	struct e1000_adapter *adapter = blink->adapter;

	ew32(adapter, E1000_LEDCTL, er32(adapter, E1000_LEDCTL) ^ E1000_LEDCTL_LED0_IVRT);
	mod_timer(&blink->timer, jiffies + E1000_BLINK_PERIOD);
}

static int e1000_phys_id(struct e1000_adapter *adapter, void *useraddr)
{
	struct e1000_blink blink;
	struct ethtool_value seconds;
	u32 ledctl;

	if (copy_from_user(&seconds, useraddr, sizeof(seconds)))
		return -EFAULT;
	/* Without a time it blinks until a signal comes. */
	if (!seconds.data || seconds.data > MAX_SCHEDULE_TIMEOUT / HZ)
		seconds.data = MAX_SCHEDULE_TIMEOUT / HZ;

	ledctl = er32(adapter, E1000_LEDCTL);
	blink.adapter = adapter;
	init_timer(&blink.timer);
	blink.timer.function = e1000_blink_led;
	blink.timer.data = (unsigned long)&blink;
	mod_timer(&blink.timer, jiffies);

	set_current_state(TASK_INTERRUPTIBLE);
	schedule_timeout(seconds.data * HZ);

	del_timer_sync(&blink.timer);
	ew32(adapter, E1000_LEDCTL, ledctl);
	return 0;
}

static int e1000_ethtool_ioctl(struct net_device *netdev, struct ifreq *ifr)
{
	struct e1000_adapter *adapter = netdev->priv;
	void *useraddr = ifr->ifr_data;
	u32 ethcmd;

	if (copy_from_user(&ethcmd, useraddr, sizeof(ethcmd)))
		return -EFAULT;

	switch (ethcmd) {
	case ETHTOOL_GDRVINFO:
		return e1000_get_drvinfo(adapter, useraddr);
	case ETHTOOL_GLINK:
		return e1000_get_link(adapter, useraddr);
	case ETHTOOL_GREGS:
		return e1000_get_regs(adapter, useraddr);
	case ETHTOOL_GEEPROM:
		return e1000_get_eeprom(adapter, useraddr);
	case ETHTOOL_PHYS_ID:
		return e1000_phys_id(adapter, useraddr);
	default:
		return -EOPNOTSUPP;
	}
}

static int e1000_ioctl(struct net_device *netdev, struct ifreq *ifr, int cmd)
{
	switch (cmd) {
	case SIOCGMIIPHY:
	case SIOCGMIIREG:
		return e1000_mii_ioctl(netdev, ifr, cmd);
	case SIOCETHTOOL:
		return e1000_ethtool_ioctl(netdev, ifr);
	default:
		return -EOPNOTSUPP;
	}
}

/* --- Probe and remove --- */

static unsigned int e1000_check_descriptors(const char *name, int value)
{
	if (value < E1000_MIN_DESCRIPTORS || value > E1000_MAX_DESCRIPTORS) {
		printk(KERN_WARNING DRV_NAME ": %s=%d is not in %d-%d, using %d\n", name, value,
		       E1000_MIN_DESCRIPTORS, E1000_MAX_DESCRIPTORS, E1000_DEFAULT_DESCRIPTORS);
		value = E1000_DEFAULT_DESCRIPTORS;
	}
	return value - value % E1000_DESCRIPTOR_MULTIPLE;
}

static u32 e1000_check_itr(int rate)
{
	if (rate == 0)
		return 0;
	if (rate < E1000_MIN_ITR || rate > E1000_MAX_ITR) {
		printk(KERN_WARNING DRV_NAME ": InterruptThrottleRate=%d is not in %d-%d, using %d\n", rate,
		       E1000_MIN_ITR, E1000_MAX_ITR, E1000_DEFAULT_ITR);
		rate = E1000_DEFAULT_ITR;
	}
	return E1000_ITR_UNITS_PER_SECOND / rate;
}

static void e1000_sw_init(struct e1000_adapter *adapter)
{
	spin_lock_init(&adapter->tx_lock);
	spin_lock_init(&adapter->phy_lock);
	spin_lock_init(&adapter->stats_lock);
	set_bit(E1000_DOWN, &adapter->state);

	adapter->tx_ring.count = e1000_check_descriptors("TxDescriptors", TxDescriptors);
	adapter->rx_ring.count = e1000_check_descriptors("RxDescriptors", RxDescriptors);
	adapter->itr = e1000_check_itr(InterruptThrottleRate);
	adapter->rx_buffer_len = E1000_RX_BUFFER;

	init_timer(&adapter->watchdog_timer);
	adapter->watchdog_timer.function = e1000_watchdog;
	adapter->watchdog_timer.data = (unsigned long)adapter;
}

static void e1000_init_netdev(struct net_device *netdev, struct pci_dev *pdev)
{
	SET_MODULE_OWNER(netdev);
	netdev->open = e1000_open;
	netdev->stop = e1000_close;
	netdev->hard_start_xmit = e1000_xmit_frame;
	netdev->get_stats = e1000_get_stats;
	netdev->set_multicast_list = e1000_set_multi;
	netdev->set_mac_address = e1000_set_mac;
	netdev->change_mtu = e1000_change_mtu;
	netdev->do_ioctl = e1000_ioctl;
	netdev->tx_timeout = e1000_tx_timeout;
	netdev->watchdog_timeo = E1000_TX_TIMEOUT;
	netdev->irq = pdev->irq;
	netdev->base_addr = pci_resource_start(pdev, 0);
}

/* Brings the device into a known state and asks it who it is. */
static int e1000_identify(struct e1000_adapter *adapter)
{
	struct net_device *netdev = adapter->netdev;
	int err;

	e1000_reset_hw(adapter);

	err = e1000_validate_eeprom(adapter);
	if (err) {
		printk(KERN_ERR DRV_NAME ": the EEPROM does not answer or its checksum is wrong\n");
		return err;
	}
	err = e1000_read_mac_addr(adapter, netdev->dev_addr);
	if (err) {
		printk(KERN_ERR DRV_NAME ": cannot read the station address\n");
		return err;
	}
	if (!is_valid_ether_addr(netdev->dev_addr)) {
		printk(KERN_ERR DRV_NAME ": the EEPROM holds no valid station address\n");
		return -EIO;
	}
	err = e1000_detect_phy(adapter);
	if (err)
		printk(KERN_ERR DRV_NAME ": the PHY does not answer\n");
	return err;
}

static int __devinit e1000_probe(struct pci_dev *pdev, const struct pci_device_id *ent)
{
	struct net_device *netdev;
	struct e1000_adapter *adapter;
	int err;

	err = pci_enable_device(pdev);
	if (err)
		return err;
	err = pci_set_dma_mask(pdev, 0xffffffff);
	if (err)
		goto err_dma;
	if (!(pci_resource_flags(pdev, 0) & IORESOURCE_MEM)) {
		printk(KERN_ERR DRV_NAME ": BAR 0 of %s is not memory\n", pdev->slot_name);
		err = -ENODEV;
		goto err_dma;
	}
	err = pci_request_regions(pdev, e1000_driver_name);
	if (err)
		goto err_dma;
	pci_set_master(pdev);

	netdev = alloc_etherdev(sizeof(struct e1000_adapter));
	if (!netdev) {
		err = -ENOMEM;
		goto err_alloc_etherdev;
	}
	adapter = netdev->priv;
	adapter->netdev = netdev;
	adapter->pdev = pdev;
	pci_set_drvdata(pdev, netdev);

	adapter->hw_addr = ioremap(pci_resource_start(pdev, 0), pci_resource_len(pdev, 0));
	if (!adapter->hw_addr) {
		err = -EIO;
		goto err_ioremap;
	}

	e1000_sw_init(adapter);
	e1000_init_netdev(netdev, pdev);
	err = e1000_identify(adapter);
	if (err)
		goto err_identify;

	/* Until the watchdog has seen a link there is none. */
	netif_carrier_off(netdev);
	netif_stop_queue(netdev);
	err = register_netdev(netdev);
	if (err)
		goto err_identify;

	printk(KERN_INFO DRV_NAME ": %s: Intel PRO/1000 at 0x%lx, IRQ %d, %02x:%02x:%02x:%02x:%02x:%02x\n",
	       netdev->name, netdev->base_addr, netdev->irq, netdev->dev_addr[0], netdev->dev_addr[1],
	       netdev->dev_addr[2], netdev->dev_addr[3], netdev->dev_addr[4], netdev->dev_addr[5]);
	return 0;

err_identify:
	iounmap(adapter->hw_addr);
err_ioremap:
	pci_set_drvdata(pdev, NULL);
	kfree(netdev);
err_alloc_etherdev:
	pci_release_regions(pdev);
err_dma:
	pci_disable_device(pdev);
	return err;
}

static void __devexit e1000_remove(struct pci_dev *pdev)
{
	struct net_device *netdev = pci_get_drvdata(pdev);
	struct e1000_adapter *adapter = netdev->priv;

	unregister_netdev(netdev);
	iounmap(adapter->hw_addr);
	pci_release_regions(pdev);
	pci_set_drvdata(pdev, NULL);
	kfree(netdev);
	pci_disable_device(pdev);
}

static struct pci_driver e1000_driver = {
	.name = e1000_driver_name,
	.id_table = e1000_pci_tbl,
	.probe = e1000_probe,
	.remove = __devexit_p(e1000_remove),
};

static int __init e1000_init_module(void)
{
	printk(KERN_INFO "Intel PRO/1000 Ethernet driver, version " DRV_VERSION "\n");
	return pci_module_init(&e1000_driver);
}

static void __exit e1000_exit_module(void)
{
	pci_unregister_driver(&e1000_driver);
}

module_init(e1000_init_module);
module_exit(e1000_exit_module);
