/*
 * 3Com EtherLink 10/100 PCI NICs (3C905B-TX, 3C905C-TX).
 *
 * The way of a vendor's driver, in two layers. The NIC routines (Nic...) know
 * the hardware and one context structure, and nothing of the operating system
 * but delays and the access to registers. The shell (tc90x_...) stands between
 * them and Linux.
 *
 * The NIC polls the end of its download list, so that a packet is handed over
 * by one store into memory; and the CountDown timer says when to free what
 * has been sent, so that packets in a row cost one interrupt together.
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

#include "3c90x_hw.h"

#define DRIVER_NAME "3c90x"
#define DRIVER_VERSION "1.0"

#define NIC_DEFAULT_DOWNLOADS 32
#define NIC_DEFAULT_UPLOADS 32
#define NIC_MIN_DESCRIPTORS 8
#define NIC_MAX_DESCRIPTORS 128

#define NIC_BUFFER_BYTES 1536
#define NIC_IP_ALIGN 2
#define NIC_MIN_MTU 68
#define NIC_MAX_FRAME 1514

/* CountDown counts 320 ns. */
#define NIC_COUNTS_PER_USEC 3
#define NIC_MAX_COUNT 0xffff
#define NIC_DEFAULT_TX_DELAY 400
/* DnPoll counts 320 ns too: 6.4 us. */
#define NIC_POLL_INTERVAL 20
/* Every so many packets one asks for its own interrupt, whatever the timer does. */
#define NIC_INDICATE_EVERY 8

#define NIC_MAX_INTERRUPT_LOOPS 16
#define NIC_COMMAND_POLLS 200
#define NIC_COMMAND_USECS 10
#define NIC_EEPROM_POLLS 100
#define NIC_EEPROM_USECS 10
#define NIC_IDLE_POLLS 100

#define NIC_TICK (2 * HZ)
#define NIC_TX_TIMEOUT (4 * HZ)

MODULE_AUTHOR("The Nooks Lab project");
MODULE_DESCRIPTION("3Com EtherLink 10/100 PCI (3C90xB, 3C90xC) driver");
MODULE_LICENSE("GPL");

static int memory_mapped = 1;
static int downloads = NIC_DEFAULT_DOWNLOADS;
static int uploads = NIC_DEFAULT_UPLOADS;
static int tx_delay = NIC_DEFAULT_TX_DELAY;
static int duplex;

MODULE_PARM(memory_mapped, "i");
MODULE_PARM_DESC(memory_mapped, "1 uses the registers in memory space, 0 those in I/O space");
MODULE_PARM(downloads, "i");
MODULE_PARM_DESC(downloads, "Download descriptors (8-128)");
MODULE_PARM(uploads, "i");
MODULE_PARM_DESC(uploads, "Upload descriptors (8-128)");
MODULE_PARM(tx_delay, "i");
MODULE_PARM_DESC(tx_delay, "Microseconds until a sent packet is freed, 0 for an interrupt each");
MODULE_PARM(duplex, "i");
MODULE_PARM_DESC(duplex, "0 as negotiated, 1 half, 2 full");

/* What the NIC routines say. */
enum nic_status {
	NIC_SUCCESS,
	NIC_FAILURE,
	NIC_TIMEOUT,
	NIC_BAD_CHECKSUM,
	NIC_NO_PHY
};

/* Indices of the counters. They are handed out as they are, by SIOCDEVPRIVATE. */
enum nic_tx_counter {
	TX_FRAMES,
	TX_BYTES,
	TX_DEFERRED,
	TX_CARRIER_LOST,
	TX_SQE_ERRORS,
	TX_SINGLE_COLLISIONS,
	TX_MULTIPLE_COLLISIONS,
	TX_LATE_COLLISIONS,
	TX_MAX_COLLISIONS,
	TX_UNDERRUNS,
	TX_JABBERS,
	TX_STATUS_OVERFLOWS,
	TX_LOST_IN_RESET,
	NIC_TX_COUNTERS
};

enum nic_rx_counter {
	RX_FRAMES,
	RX_BYTES,
	RX_MULTICASTS,
	RX_OVERRUNS,
	RX_RUNTS,
	RX_ALIGNMENT_ERRORS,
	RX_CRC_ERRORS,
	RX_OVERSIZED,
	RX_OVERFLOWS,
	RX_NO_BUFFERS,
	RX_BAD_SSD,
	NIC_RX_COUNTERS
};

enum nic_other_counter {
	OTHER_INTERRUPTS,
	OTHER_COUNTDOWNS,
	OTHER_HOST_ERRORS,
	OTHER_LINK_EVENTS,
	NIC_OTHER_COUNTERS
};

struct nic_statistics {
	u32 tx[NIC_TX_COUNTERS];
	u32 rx[NIC_RX_COUNTERS];
	u32 other[NIC_OTHER_COUNTERS];
};

/* A descriptor's packet. */
struct nic_packet {
	struct sk_buff *skb;
	dma_addr_t dma;
	unsigned int length;
};

struct nic_list {
	void *memory;
	dma_addr_t dma;
	unsigned int bytes;
	unsigned int count;
	struct nic_packet *packets;
};

struct nic_context {
	/* Where the registers are: one or the other */
	u8 *memory;
	unsigned long port;
	unsigned int window;

	struct nic_list dn;
	unsigned int dn_head;
	unsigned int dn_tail;
	unsigned int dn_pending;
	unsigned int dn_since_indicate;

	struct nic_list up;
	unsigned int up_head;

	u16 interrupt_mask;
	u16 countdown;
	u8 station[ETH_ALEN];
	u16 media_options;
	int link;
	int full_duplex;
	int started;

	struct nic_statistics statistics;

	/* The shell's part */
	struct net_device *device;
	struct pci_dev *pci;
	struct timer_list tick;
	spinlock_t lock;
	struct net_device_stats net_stats;
};

static const struct pci_device_id tc90x_devices[] = {
	{ PCI_VENDOR_ID_3COM, NIC_DEVICE_3C905B, PCI_ANY_ID, PCI_ANY_ID, 0, 0, 0 },
	{ PCI_VENDOR_ID_3COM, NIC_DEVICE_3C905C, PCI_ANY_ID, PCI_ANY_ID, 0, 0, 0 },
	{ 0, 0, 0, 0, 0, 0, 0 }
};

MODULE_DEVICE_TABLE(pci, tc90x_devices);

/* ======================= NIC routines: registers ======================= */

static u8 NicRead8(struct nic_context *nic, unsigned int offset)
{
	return nic->memory ? readb(nic->memory + offset) : inb(nic->port + offset);
}

static u16 NicRead16(struct nic_context *nic, unsigned int offset)
{
	return nic->memory ? readw(nic->memory + offset) : inw(nic->port + offset);
}

static u32 NicRead32(struct nic_context *nic, unsigned int offset)
{
	return nic->memory ? readl(nic->memory + offset) : inl(nic->port + offset);
}

static void NicWrite8(struct nic_context *nic, unsigned int offset, u8 value)
{
	if (nic->memory)
		writeb(value, nic->memory + offset);
	else
		outb(value, nic->port + offset);
}

static void NicWrite16(struct nic_context *nic, unsigned int offset, u16 value)
{
	if (nic->memory)
		writew(value, nic->memory + offset);
	else
		outw(value, nic->port + offset);
}

static void NicWrite32(struct nic_context *nic, unsigned int offset, u32 value)
{
	if (nic->memory)
		writel(value, nic->memory + offset);
	else
		outl(value, nic->port + offset);
}

static void NicCommand(struct nic_context *nic, u16 command)
{
	NicWrite16(nic, REG_COMMAND, command);
}

static enum nic_status NicCommandWait(struct nic_context *nic, u16 command)
{
	int poll;

	NicCommand(nic, command);
	for (poll = 0; poll < NIC_COMMAND_POLLS; poll++) {
		if (!(NicRead16(nic, REG_INT_STATUS) & INT_COMMAND_IN_PROGRESS))
			return NIC_SUCCESS;
		udelay(NIC_COMMAND_USECS);
	}
	return NIC_TIMEOUT;
}

/* The window is remembered: most accesses stay in the one that they find. */
static void NicSelectWindow(struct nic_context *nic, unsigned int window)
{
	if (nic->window == window)
		return;
	NicCommand(nic, CMD_SELECT_WINDOW | window);
	nic->window = window;
}

static enum nic_status NicGlobalReset(struct nic_context *nic)
{
	enum nic_status status = NicCommandWait(nic, CMD_GLOBAL_RESET | RESET_ALL_BUT_NETWORK);

	nic->window = ~0U;
	return status;
}

/* ================== NIC routines: EEPROM, PHY and media ================== */

static enum nic_status NicReadEeprom(struct nic_context *nic, unsigned int word, u16 *value)
{
	int poll;

	NicSelectWindow(nic, 0);
	NicWrite16(nic, REG0_EEPROM_COMMAND, EEPROM_COMMAND_READ | word);
	for (poll = 0; poll < NIC_EEPROM_POLLS; poll++) {
		udelay(NIC_EEPROM_USECS);
		if (NicRead16(nic, REG0_EEPROM_COMMAND) & EEPROM_BUSY)
			continue;
		*value = NicRead16(nic, REG0_EEPROM_DATA);
		return NIC_SUCCESS;
	}
	return NIC_TIMEOUT;
}

static enum nic_status NicReadStation(struct nic_context *nic)
{
	enum nic_status status;
	unsigned int word;
	u8 check = 0;
	u16 value;

	for (word = 0; word <= EEPROM_CHECKSUM; word++) {
		status = NicReadEeprom(nic, word, &value);
		if (status != NIC_SUCCESS)
			return status;
		check ^= value ^ (value >> 8);
		if (word >= EEPROM_OEM_ADDRESS && word < EEPROM_OEM_ADDRESS + 3) {
			nic->station[2 * (word - EEPROM_OEM_ADDRESS)] = value >> 8;
			nic->station[2 * (word - EEPROM_OEM_ADDRESS) + 1] = value & 0xff;
		}
	}
	return check ? NIC_BAD_CHECKSUM : NIC_SUCCESS;
}

static void NicManagementOut(struct nic_context *nic, u32 bits, int count)
{
	u16 level;

	while (count-- > 0) {
		level = MANAGEMENT_WRITE | ((bits >> count) & 1 ? MANAGEMENT_DATA : 0);
		NicWrite16(nic, REG4_PHYSICAL_MANAGEMENT, level);
		NicWrite16(nic, REG4_PHYSICAL_MANAGEMENT, level | MANAGEMENT_CLOCK);
	}
}

static u32 NicManagementIn(struct nic_context *nic, int count)
{
	u32 bits = 0;

	while (count-- > 0) {
		NicWrite16(nic, REG4_PHYSICAL_MANAGEMENT, 0);
		bits = bits << 1 | ((NicRead16(nic, REG4_PHYSICAL_MANAGEMENT) & MANAGEMENT_DATA) != 0);
		NicWrite16(nic, REG4_PHYSICAL_MANAGEMENT, MANAGEMENT_CLOCK);
	}
	return bits;
}

/* Start, operation, PHY and register make 14 bits; a frame begins after 32 ones. */
static u32 NicManagementHeader(unsigned int operation, unsigned int reg)
{
	return 1 << 12 | operation << 10 | NIC_PHY_ADDRESS << 5 | reg;
}

static enum nic_status NicReadPhy(struct nic_context *nic, unsigned int reg, u16 *value)
{
	u32 answer;

	NicSelectWindow(nic, 4);
	NicManagementOut(nic, ~0U, 32);
	NicManagementOut(nic, NicManagementHeader(2, reg), 14);
	answer = NicManagementIn(nic, 18);
	*value = answer & 0xffff;
	/* A PHY that is there has pulled the second bit of the turnaround down. */
	return answer & 0x10000 ? NIC_NO_PHY : NIC_SUCCESS;
}

static void NicWritePhy(struct nic_context *nic, unsigned int reg, u16 value)
{
	NicSelectWindow(nic, 4);
	NicManagementOut(nic, ~0U, 32);
	NicManagementOut(nic, NicManagementHeader(1, reg), 14);
	NicManagementOut(nic, 2, 2);
	NicManagementOut(nic, value, 16);
	NicWrite16(nic, REG4_PHYSICAL_MANAGEMENT, 0);
}

static void NicSetDuplex(struct nic_context *nic)
{
	NicSelectWindow(nic, 3);
	NicWrite16(nic, REG3_MAC_CONTROL, nic->full_duplex ? MAC_FULL_DUPLEX : 0);
}

/* Returns whether the link has come or gone since the last call. */
static int NicCheckLink(struct nic_context *nic)
{
	u16 partner, advertised;
	int link;

	NicSelectWindow(nic, 4);
	link = (NicRead16(nic, REG4_MEDIA_STATUS) & MEDIA_LINK_DETECT) != 0;
	if (link == nic->link)
		return 0;
	nic->link = link;
	if (!link)
		return 1;
	if (duplex)
		nic->full_duplex = duplex == 2;
	else if (NicReadPhy(nic, MII_LPA, &partner) == NIC_SUCCESS &&
		 NicReadPhy(nic, MII_ADVERTISE, &advertised) == NIC_SUCCESS)
		nic->full_duplex = (partner & advertised & (ADVERTISE_100FULL | ADVERTISE_10FULL)) != 0;
	NicSetDuplex(nic);
	return 1;
}

static enum nic_status NicSetupMedia(struct nic_context *nic)
{
	enum nic_status status;
	u16 value;
	u32 config;

	NicSelectWindow(nic, 3);
	nic->media_options = NicRead16(nic, REG3_MEDIA_OPTIONS);
	config = NicRead32(nic, REG3_INTERNAL_CONFIG) & ~(CONFIG_XCVR_MASK | CONFIG_AUTO_SELECT);
	NicWrite32(nic, REG3_INTERNAL_CONFIG, config | CONFIG_XCVR_NEGOTIATE << CONFIG_XCVR_SHIFT);
	NicSelectWindow(nic, 4);
	NicWrite16(nic, REG4_MEDIA_STATUS, NicRead16(nic, REG4_MEDIA_STATUS) | MEDIA_LINK_BEAT);
	NicWrite16(nic, REG4_NETWORK_DIAGNOSTIC, DIAGNOSTIC_UPPER_BYTES);

	status = NicReadPhy(nic, MII_BMSR, &value);
	if (status != NIC_SUCCESS)
		return status;
	status = NicReadPhy(nic, MII_BMCR, &value);
	if (status == NIC_SUCCESS && !(value & BMCR_ANENABLE))
		NicWritePhy(nic, MII_BMCR, BMCR_ANENABLE | BMCR_ANRESTART | BMCR_SPEED100);
	return status;
}

/* ====================== NIC routines: address filter ====================== */

static void NicWriteStation(struct nic_context *nic)
{
	int i;

	NicSelectWindow(nic, 2);
	for (i = 0; i < ETH_ALEN; i += 2) {
		NicWrite16(nic, REG2_STATION_ADDRESS + i, nic->station[i] | nic->station[i + 1] << 8);
		NicWrite16(nic, REG2_STATION_MASK + i, 0);
	}
}

/* The low 8 bits of the address's CRC, as the hardware's shift register holds it. */
static unsigned int NicHash(const u8 *address)
{
	u32 crc = 0xffffffff;
	unsigned int i, bit;
	u32 carry;

	for (i = 0; i < ETH_ALEN; i++) {
		for (bit = 0; bit < 8; bit++) {
			carry = (crc >> 31) ^ ((address[i] >> bit) & 1);
			crc <<= 1;
			if (carry)
				crc ^= 0x04c11db7;
		}
	}
	return crc % HASH_FILTER_BITS;
}

static void NicClearHash(struct nic_context *nic)
{
	unsigned int bit;

	for (bit = 0; bit < HASH_FILTER_BITS; bit++)
		NicCommand(nic, CMD_SET_HASH_FILTER_BIT | bit);
}

static void NicAddHash(struct nic_context *nic, const u8 *address)
{
	NicCommand(nic, CMD_SET_HASH_FILTER_BIT | HASH_FILTER_SET | NicHash(address));
}

/* ======================== NIC routines: statistics ======================== */

/* Each register clears when it is read; its upper bits stand elsewhere. */
static void NicReadStatistics(struct nic_context *nic)
{
	struct nic_statistics *statistics = &nic->statistics;
	u32 upper;

	NicSelectWindow(nic, 6);
	upper = NicRead8(nic, REG6_UPPER_FRAMES);
	statistics->tx[TX_FRAMES] += NicRead8(nic, REG6_FRAMES_SENT) | (upper & 0x30) << 4;
	statistics->rx[RX_FRAMES] += NicRead8(nic, REG6_FRAMES_RECEIVED) | (upper & 0x03) << 8;
	statistics->tx[TX_DEFERRED] += NicRead8(nic, REG6_FRAMES_DEFERRED);
	statistics->tx[TX_CARRIER_LOST] += NicRead8(nic, REG6_CARRIER_LOST);
	statistics->tx[TX_SQE_ERRORS] += NicRead8(nic, REG6_SQE_ERRORS);
	statistics->tx[TX_MULTIPLE_COLLISIONS] += NicRead8(nic, REG6_MULTIPLE_COLLISIONS);
	statistics->tx[TX_SINGLE_COLLISIONS] += NicRead8(nic, REG6_SINGLE_COLLISIONS);
	statistics->tx[TX_LATE_COLLISIONS] += NicRead8(nic, REG6_LATE_COLLISIONS);
	statistics->rx[RX_OVERRUNS] += NicRead8(nic, REG6_RX_OVERRUNS);
	statistics->rx[RX_BYTES] += NicRead16(nic, REG6_BYTES_RECEIVED);
	statistics->tx[TX_BYTES] += NicRead16(nic, REG6_BYTES_SENT);
	NicSelectWindow(nic, 4);
	upper = NicRead8(nic, REG4_UPPER_BYTES_OK);
	statistics->rx[RX_BYTES] += (upper & 0x0f) << 16;
	statistics->tx[TX_BYTES] += (upper & 0xf0) << 12;
	statistics->rx[RX_BAD_SSD] += NicRead8(nic, REG4_BAD_SSD);
}

/* =================== NIC routines: start, stop, download =================== */

static struct nic_dpd *NicDpd(struct nic_context *nic, unsigned int index)
{
	return (struct nic_dpd *)nic->dn.memory + index;
}

static struct nic_upd *NicUpd(struct nic_context *nic, unsigned int index)
{
	return (struct nic_upd *)nic->up.memory + index;
}

static void NicEnableInterrupts(struct nic_context *nic)
{
	NicCommand(nic, CMD_SET_INTERRUPT_ENABLE | nic->interrupt_mask | INT_LATCH);
}

static void NicDisableInterrupts(struct nic_context *nic)
{
	NicCommand(nic, CMD_SET_INTERRUPT_ENABLE);
}

static void NicInitCountdown(struct nic_context *nic)
{
	u32 control = NicRead32(nic, REG_DMA_CONTROL) & 0x0fffffff;

	/* In this mode it waits for a download, and then counts down once. */
	NicWrite32(nic, REG_DMA_CONTROL, control | DMA_COUNTER_SPEED | DMA_COUNTDOWN_MODE);
	NicWrite16(nic, REG_COUNTDOWN, nic->countdown);
}

/* The upload list is full, the download list empty. */
static enum nic_status NicStart(struct nic_context *nic, u16 filter)
{
	enum nic_status status;

	status = NicSetupMedia(nic);
	if (status != NIC_SUCCESS)
		return status;
	NicSetDuplex(nic);
	status = NicCommandWait(nic, CMD_TX_RESET);
	if (status != NIC_SUCCESS)
		return status;
	status = NicCommandWait(nic, CMD_RX_RESET | 0x04);
	if (status != NIC_SUCCESS)
		return status;
	NicWriteStation(nic);
	NicReadStatistics(nic);
	NicCommand(nic, CMD_STATISTICS_ENABLE);

	NicInitCountdown(nic);
	NicWrite32(nic, REG_UP_LIST_POINTER, nic->up.dma + nic->up_head * sizeof(struct nic_upd));
	NicCommand(nic, CMD_SET_RX_FILTER | filter);
	NicCommand(nic, CMD_TX_ENABLE);
	NicCommand(nic, CMD_RX_ENABLE);

	nic->interrupt_mask = INT_HOST_ERROR | INT_TX_COMPLETE | INT_REQUESTED | INT_UPDATE_STATISTICS |
			      INT_LINK_EVENT | INT_DN_COMPLETE | INT_UP_COMPLETE;
	NicCommand(nic, CMD_ACKNOWLEDGE_INTERRUPT | INT_ACKNOWLEDGE_ALL);
	NicCommand(nic, CMD_SET_INDICATION_ENABLE | nic->interrupt_mask | INT_LATCH);
	nic->started = 1;
	NicEnableInterrupts(nic);
	return NIC_SUCCESS;
}

static void NicStop(struct nic_context *nic)
{
	nic->started = 0;
	NicDisableInterrupts(nic);
	NicCommand(nic, CMD_RX_DISABLE);
	NicCommand(nic, CMD_TX_DISABLE);
	NicCommand(nic, CMD_STATISTICS_DISABLE);
	NicReadStatistics(nic);
	/* Both resets let go of the lists, so that their memory is ours again. */
	NicCommandWait(nic, CMD_TX_RESET);
	NicCommandWait(nic, CMD_RX_RESET | 0x04);
	NicCommand(nic, CMD_SET_INDICATION_ENABLE);
}

/* Hands the descriptor at dn_tail over, which is filled in but for its link. */
static void NicDownload(struct nic_context *nic)
{
	unsigned int index = nic->dn_tail;
	dma_addr_t dma = nic->dn.dma + index * sizeof(struct nic_dpd);
	struct nic_dpd *before;

	nic->dn_tail = index + 1 == nic->dn.count ? 0 : index + 1;
	/* The NIC may follow the link as soon as it is there. */
	wmb();
	if (nic->dn_pending++) {
		before = NicDpd(nic, index ? index - 1 : nic->dn.count - 1);
		before->next = cpu_to_le32(dma);
	} else {
		NicWrite8(nic, REG_DN_POLL, NIC_POLL_INTERVAL);
		NicWrite32(nic, REG_DN_LIST_POINTER, dma);
	}
}

/* Nothing is left to send: the NIC need not go on looking. */
static void NicDownloadIdle(struct nic_context *nic)
{
	int poll;

	NicWrite8(nic, REG_DN_POLL, 0);
	for (poll = 0; poll < NIC_IDLE_POLLS; poll++)
		if (!NicRead32(nic, REG_DN_LIST_POINTER))
			return;
}

/* Takes what has gone wrong off the stack; returns whether the transmitter must be reset. */
static int NicTransmitErrors(struct nic_context *nic)
{
	u32 *counters = nic->statistics.tx;
	int reset = 0;
	u8 status;

	while ((status = NicRead8(nic, REG_TX_STATUS)) & TX_STATUS_COMPLETE) {
		if (status & TX_STATUS_MAX_COLLISIONS)
			counters[TX_MAX_COLLISIONS]++;
		if (status & TX_STATUS_OVERFLOW)
			counters[TX_STATUS_OVERFLOWS]++;
		if (status & TX_STATUS_UNDERRUN)
			counters[TX_UNDERRUNS]++;
		if (status & TX_STATUS_JABBER)
			counters[TX_JABBERS]++;
		if (status & (TX_STATUS_UNDERRUN | TX_STATUS_JABBER | TX_STATUS_RECLAIM_ERROR))
			reset = 1;
		NicWrite8(nic, REG_TX_STATUS, 0);
	}
	return reset;
}

/* ========================= The shell: packet lists ========================= */

static void tc90x_free_list(struct nic_context *nic, struct nic_list *list)
{
	if (list->memory) {
		/* Whoever gets these pages next learns no addresses. */
		memset(list->memory, 0, list->bytes);
		pci_free_consistent(nic->pci, list->bytes, list->memory, list->dma);
	}
	kfree(list->packets);
	list->memory = NULL;
	list->packets = NULL;
}

static int tc90x_alloc_list(struct nic_context *nic, struct nic_list *list, unsigned int entry)
{
	list->bytes = list->count * entry;
	list->packets = kmalloc(list->count * sizeof(struct nic_packet), GFP_KERNEL);
	list->memory = pci_alloc_consistent(nic->pci, list->bytes, &list->dma);
	if (!list->packets || !list->memory) {
		tc90x_free_list(nic, list);
		return -ENOMEM;
	}
	memset(list->packets, 0, list->count * sizeof(struct nic_packet));
	memset(list->memory, 0, list->bytes);
	return 0;
}

static void tc90x_free_packets(struct nic_context *nic, struct nic_list *list, int direction)
{
	struct nic_packet *packet;
	unsigned int i;

	for (i = 0; i < list->count; i++) {
		packet = &list->packets[i];
		if (!packet->skb)
			continue;
		pci_unmap_single(nic->pci, packet->dma, packet->length, direction);
		dev_kfree_skb_any(packet->skb);
		packet->skb = NULL;
	}
}

/* A buffer for the upload descriptor, which is the NIC's afterwards. */
static int tc90x_give_buffer(struct nic_context *nic, unsigned int index)
{
	struct nic_packet *packet = &nic->up.packets[index];
	struct nic_upd *upd = NicUpd(nic, index);
	struct sk_buff *skb;

	skb = dev_alloc_skb(NIC_BUFFER_BYTES + NIC_IP_ALIGN);
	if (!skb)
		return -ENOMEM;
	skb->dev = nic->device;
	skb_reserve(skb, NIC_IP_ALIGN);
	packet->skb = skb;
	packet->length = NIC_BUFFER_BYTES;
	packet->dma = pci_map_single(nic->pci, skb->data, NIC_BUFFER_BYTES, PCI_DMA_FROMDEVICE);
	upd->address = cpu_to_le32(packet->dma);
	upd->length = cpu_to_le32(NIC_BUFFER_BYTES | FRAGMENT_LAST);
	wmb();
	upd->status = 0;
	return 0;
}

static int tc90x_fill_uploads(struct nic_context *nic)
{
	unsigned int i, next;

	for (i = 0; i < nic->up.count; i++) {
		next = i + 1 == nic->up.count ? 0 : i + 1;
		NicUpd(nic, i)->next = cpu_to_le32(nic->up.dma + next * sizeof(struct nic_upd));
		if (tc90x_give_buffer(nic, i)) {
			tc90x_free_packets(nic, &nic->up, PCI_DMA_FROMDEVICE);
			return -ENOMEM;
		}
	}
	nic->up_head = 0;
	return 0;
}

/* ===================== The shell: transmit and receive ===================== */

static int tc90x_transmit(struct sk_buff *skb, struct net_device *device)
{
	struct nic_context *nic = device->priv;
	struct nic_packet *packet;
	struct nic_dpd *dpd;
	unsigned long flags;
	u32 header;

	if (skb->len == 0 || skb->len > NIC_MAX_FRAME) {
		dev_kfree_skb_any(skb);
		return 0;
	}
	spin_lock_irqsave(&nic->lock, flags);
	if (nic->dn_pending == nic->dn.count) {
		netif_stop_queue(device);
		spin_unlock_irqrestore(&nic->lock, flags);
		return 1;
	}
	packet = &nic->dn.packets[nic->dn_tail];
	packet->skb = skb;
	packet->length = skb->len;
	packet->dma = pci_map_single(nic->pci, skb->data, skb->len, PCI_DMA_TODEVICE);

	header = DPD_ROUND_UP_DEFEAT | nic->dn_tail << DPD_ID_SHIFT;
	/* The timer covers the others, unless it is off or there is no room for them. */
	if (!nic->countdown || ++nic->dn_since_indicate >= NIC_INDICATE_EVERY ||
	    nic->dn_pending + 1 == nic->dn.count) {
		header |= DPD_DN_INDICATE;
		nic->dn_since_indicate = 0;
	}
	dpd = NicDpd(nic, nic->dn_tail);
	dpd->next = 0;
	dpd->header = cpu_to_le32(header);
	dpd->address = cpu_to_le32(packet->dma);
	dpd->length = cpu_to_le32(skb->len | FRAGMENT_LAST);
	NicDownload(nic);

	device->trans_start = jiffies;
	if (nic->dn_pending == nic->dn.count)
		netif_stop_queue(device);
	spin_unlock_irqrestore(&nic->lock, flags);
	return 0;
}

static void tc90x_sent(struct nic_context *nic)
{
	struct nic_packet *packet;

	if (!nic->dn_pending)
		return;
	while (nic->dn_pending) {
		if (!(le32_to_cpu(NicDpd(nic, nic->dn_head)->header) & DPD_DN_COMPLETE))
			break;
		packet = &nic->dn.packets[nic->dn_head];
		pci_unmap_single(nic->pci, packet->dma, packet->length, PCI_DMA_TODEVICE);
		dev_kfree_skb_any(packet->skb);
		packet->skb = NULL;
		nic->dn_head = nic->dn_head + 1 == nic->dn.count ? 0 : nic->dn_head + 1;
		nic->dn_pending--;
	}
	if (!nic->dn_pending)
		NicDownloadIdle(nic);
	if (netif_queue_stopped(nic->device) && nic->link && nic->dn_pending <= nic->dn.count / 2)
		netif_wake_queue(nic->device);
}

static void tc90x_count_upload_error(struct nic_context *nic, u32 status)
{
	static const struct {
		u32 bit;
		enum nic_rx_counter counter;
	} causes[] = {
		{ UPD_OVERRUN, RX_OVERRUNS },	    { UPD_RUNT, RX_RUNTS },
		{ UPD_ALIGNMENT, RX_ALIGNMENT_ERRORS }, { UPD_CRC, RX_CRC_ERRORS },
		{ UPD_OVERSIZED, RX_OVERSIZED },	    { UPD_OVERFLOW, RX_OVERFLOWS },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(causes); i++)
		if (status & causes[i].bit)
			nic->statistics.rx[causes[i].counter]++;
}

/* The packet leaves only when another buffer takes its place: the list never runs dry. */
static void tc90x_deliver(struct nic_context *nic, unsigned int index, unsigned int length)
{
	struct nic_packet old = nic->up.packets[index];
	struct net_device *device = nic->device;

	if (tc90x_give_buffer(nic, index)) {
		nic->statistics.rx[RX_NO_BUFFERS]++;
		NicUpd(nic, index)->status = 0;
		return;
	}
	pci_unmap_single(nic->pci, old.dma, old.length, PCI_DMA_FROMDEVICE);
	skb_put(old.skb, length);
	old.skb->protocol = eth_type_trans(old.skb, device);
	old.skb->ip_summed = CHECKSUM_NONE;
	if (old.skb->pkt_type == 2)
		nic->statistics.rx[RX_MULTICASTS]++;
	netif_rx(old.skb);
	device->last_rx = jiffies;
}

static void tc90x_received(struct nic_context *nic)
{
	unsigned int budget = nic->up.count;
	unsigned int index;
	u32 status;

	while (budget--) {
		index = nic->up_head;
		status = le32_to_cpu(NicUpd(nic, index)->status);
		if (!(status & UPD_COMPLETE))
			break;
		rmb();
		nic->up_head = index + 1 == nic->up.count ? 0 : index + 1;
		if (status & UPD_ERROR) {
			tc90x_count_upload_error(nic, status);
			NicUpd(nic, index)->status = 0;
		} else {
			tc90x_deliver(nic, index, status & UPD_LENGTH);
		}
	}
	/* It waits where it met a descriptor that we had not been through with. */
	NicCommand(nic, CMD_UP_UNSTALL);
}

/* ============== The shell: link, recovery from errors, interrupt ============== */

static void tc90x_link(struct nic_context *nic)
{
	struct net_device *device = nic->device;

	if (!NicCheckLink(nic))
		return;
	printk(KERN_INFO DRIVER_NAME ": %s: link %s%s\n", device->name, nic->link ? "up" : "down",
	       !nic->link ? "" : nic->full_duplex ? ", full duplex" : ", half duplex");
	if (nic->link) {
		netif_carrier_on(device);
		netif_wake_queue(device);
	} else {
		netif_carrier_off(device);
		netif_stop_queue(device);
	}
}

static u16 tc90x_filter(struct net_device *device)
{
	u16 filter = RX_FILTER_INDIVIDUAL | RX_FILTER_BROADCAST;

	if (device->flags & IFF_PROMISC)
		filter |= RX_FILTER_ALL_FRAMES;
	else if (device->flags & IFF_ALLMULTI)
		filter |= RX_FILTER_ALL_MULTICAST;
	else if (device->mc_list)
		filter |= RX_FILTER_HASH;
	return filter;
}

static void tc90x_set_multicast(struct net_device *device)
{
	struct nic_context *nic = device->priv;
	struct dev_mc_list *entry;
	unsigned long flags;
	u16 filter = tc90x_filter(device);

	spin_lock_irqsave(&nic->lock, flags);
	if (filter & RX_FILTER_HASH) {
		NicClearHash(nic);
		for (entry = device->mc_list; entry; entry = entry->next)
			NicAddHash(nic, entry->dmi_addr);
	}
	NicCommand(nic, CMD_SET_RX_FILTER | filter);
	spin_unlock_irqrestore(&nic->lock, flags);
}

/* What is in the download list is lost, what is in the upload list too. */
static int tc90x_restart(struct nic_context *nic)
{
	struct net_device *device = nic->device;
	enum nic_status status;

	netif_stop_queue(device);
	NicStop(nic);
	nic->statistics.tx[TX_LOST_IN_RESET] += nic->dn_pending;
	tc90x_free_packets(nic, &nic->dn, PCI_DMA_TODEVICE);
	tc90x_free_packets(nic, &nic->up, PCI_DMA_FROMDEVICE);
	nic->dn_head = nic->dn_tail = nic->dn_pending = nic->dn_since_indicate = 0;
	memset(nic->dn.memory, 0, nic->dn.bytes);
	if (NicGlobalReset(nic) != NIC_SUCCESS || tc90x_fill_uploads(nic))
		goto dead;
	status = NicStart(nic, tc90x_filter(device));
	if (status != NIC_SUCCESS)
		goto dead;
	tc90x_set_multicast(device);
	if (nic->link)
		netif_wake_queue(device);
	return 0;

dead:
	printk(KERN_ERR DRIVER_NAME ": %s: the NIC could not be restarted\n", device->name);
	return -EIO;
}

static void tc90x_event(struct nic_context *nic, u16 status)
{
	u32 *counters = nic->statistics.other;

	if (status & INT_UP_COMPLETE)
		tc90x_received(nic);
	if (status & INT_REQUESTED)
		counters[OTHER_COUNTDOWNS]++;
	if (status & (INT_DN_COMPLETE | INT_REQUESTED))
		tc90x_sent(nic);
	if (status & INT_UPDATE_STATISTICS)
		NicReadStatistics(nic);
	if (status & INT_LINK_EVENT) {
		counters[OTHER_LINK_EVENTS]++;
		tc90x_link(nic);
	}
	if (status & INT_TX_COMPLETE) {
		if (NicTransmitErrors(nic))
			tc90x_restart(nic);
		else
			NicCommand(nic, CMD_TX_ENABLE);
	}
	if (status & INT_HOST_ERROR) {
		counters[OTHER_HOST_ERRORS]++;
		printk(KERN_ERR DRIVER_NAME ": %s: host error, DMA control %08x\n", nic->device->name,
		       NicRead32(nic, REG_DMA_CONTROL));
		tc90x_restart(nic);
	}
}

static void tc90x_interrupt(int irq, void *dev_id, struct pt_regs *regs)
{
	struct net_device *device = dev_id;
	struct nic_context *nic = device->priv;
	int loops = NIC_MAX_INTERRUPT_LOOPS;
	u16 status;

	if (!nic->started || !(NicRead16(nic, REG_INT_STATUS) & INT_LATCH))
		return;
	nic->statistics.other[OTHER_INTERRUPTS]++;
	do {
		/* Reading this copy acknowledges all and masks all. */
		status = NicRead16(nic, REG_INT_STATUS_AUTO);
		if (status == 0xffff || !(status & nic->interrupt_mask))
			break;
		tc90x_event(nic, status);
	} while (nic->started && loops-- > 0);
	if (nic->started)
		NicEnableInterrupts(nic);
}

static void tc90x_tick(unsigned long data)
{
	struct nic_context *nic = (struct nic_context *)data;
	unsigned long flags;

	spin_lock_irqsave(&nic->lock, flags);
	if (nic->started) {
		NicReadStatistics(nic);
		tc90x_link(nic);
	}
	spin_unlock_irqrestore(&nic->lock, flags);
	mod_timer(&nic->tick, jiffies + NIC_TICK);
}

static void tc90x_tx_timeout(struct net_device *device)
{
	struct nic_context *nic = device->priv;
	unsigned long flags;

	printk(KERN_WARNING DRIVER_NAME ": %s: %u packets were not sent in time, list at %08x\n", device->name,
	       nic->dn_pending, NicRead32(nic, REG_DN_LIST_POINTER));
	spin_lock_irqsave(&nic->lock, flags);
	tc90x_restart(nic);
	device->trans_start = jiffies;
	spin_unlock_irqrestore(&nic->lock, flags);
}

/* ========================= The shell: open and close ========================= */

static void tc90x_free_lists(struct nic_context *nic)
{
	tc90x_free_list(nic, &nic->dn);
	tc90x_free_list(nic, &nic->up);
}

static int tc90x_open(struct net_device *device)
{
	struct nic_context *nic = device->priv;
	int err;

	err = tc90x_alloc_list(nic, &nic->dn, sizeof(struct nic_dpd));
	if (err)
		goto out;
	err = tc90x_alloc_list(nic, &nic->up, sizeof(struct nic_upd));
	if (err)
		goto out_lists;
	err = tc90x_fill_uploads(nic);
	if (err)
		goto out_lists;
	nic->dn_head = nic->dn_tail = nic->dn_pending = nic->dn_since_indicate = 0;
	nic->link = 0;
	netif_carrier_off(device);
	netif_stop_queue(device);

	err = request_irq(device->irq, tc90x_interrupt, SA_SHIRQ, device->name, device);
	if (err)
		goto out_packets;
	if (NicStart(nic, tc90x_filter(device)) != NIC_SUCCESS) {
		err = -EIO;
		goto out_irq;
	}
	/* The first tick finds the link, if there is one already. */
	mod_timer(&nic->tick, jiffies + 1);
	return 0;

out_irq:
	NicStop(nic);
	free_irq(device->irq, device);
out_packets:
	tc90x_free_packets(nic, &nic->up, PCI_DMA_FROMDEVICE);
out_lists:
	tc90x_free_lists(nic);
out:
	printk(KERN_ERR DRIVER_NAME ": %s: cannot be opened, error %d\n", device->name, err);
	return err;
}

static int tc90x_close(struct net_device *device)
{
	struct nic_context *nic = device->priv;
	unsigned long flags;

	netif_stop_queue(device);
	netif_carrier_off(device);
	del_timer_sync(&nic->tick);
	spin_lock_irqsave(&nic->lock, flags);
	NicStop(nic);
	spin_unlock_irqrestore(&nic->lock, flags);
	free_irq(device->irq, device);
	tc90x_free_packets(nic, &nic->dn, PCI_DMA_TODEVICE);
	tc90x_free_packets(nic, &nic->up, PCI_DMA_FROMDEVICE);
	nic->dn_pending = 0;
	tc90x_free_lists(nic);
	return 0;
}

/* ======================== The shell: configuration ======================== */

static struct net_device_stats *tc90x_get_stats(struct net_device *device)
{
	struct nic_context *nic = device->priv;
	struct net_device_stats *stats = &nic->net_stats;
	const u32 *tx = nic->statistics.tx;
	const u32 *rx = nic->statistics.rx;
	unsigned long flags;

	spin_lock_irqsave(&nic->lock, flags);
	if (nic->started)
		NicReadStatistics(nic);
	stats->tx_packets = tx[TX_FRAMES];
	stats->tx_bytes = tx[TX_BYTES];
	stats->collisions = tx[TX_SINGLE_COLLISIONS] + tx[TX_MULTIPLE_COLLISIONS];
	stats->tx_aborted_errors = tx[TX_MAX_COLLISIONS] + tx[TX_JABBERS];
	stats->tx_carrier_errors = tx[TX_CARRIER_LOST];
	stats->tx_fifo_errors = tx[TX_UNDERRUNS] + tx[TX_STATUS_OVERFLOWS];
	stats->tx_heartbeat_errors = tx[TX_SQE_ERRORS];
	stats->tx_window_errors = tx[TX_LATE_COLLISIONS];
	stats->tx_dropped = tx[TX_LOST_IN_RESET];
	stats->tx_errors = stats->tx_aborted_errors + stats->tx_carrier_errors + stats->tx_fifo_errors +
			   stats->tx_window_errors;

	stats->rx_packets = rx[RX_FRAMES];
	stats->rx_bytes = rx[RX_BYTES];
	stats->multicast = rx[RX_MULTICASTS];
	stats->rx_length_errors = rx[RX_RUNTS] + rx[RX_OVERSIZED];
	stats->rx_over_errors = rx[RX_OVERFLOWS];
	stats->rx_crc_errors = rx[RX_CRC_ERRORS];
	stats->rx_frame_errors = rx[RX_ALIGNMENT_ERRORS];
	stats->rx_fifo_errors = rx[RX_OVERRUNS];
	stats->rx_dropped = rx[RX_NO_BUFFERS];
	stats->rx_errors = stats->rx_length_errors + stats->rx_over_errors + stats->rx_crc_errors +
			   stats->rx_frame_errors + stats->rx_fifo_errors;
	spin_unlock_irqrestore(&nic->lock, flags);
	return stats;
}

static int tc90x_set_mac_address(struct net_device *device, void *p)
{
	struct nic_context *nic = device->priv;
	struct sockaddr *address = p;
	unsigned long flags;

	if (!is_valid_ether_addr((const u8 *)address->sa_data))
		return -EADDRNOTAVAIL;
	memcpy(device->dev_addr, address->sa_data, ETH_ALEN);
	spin_lock_irqsave(&nic->lock, flags);
	memcpy(nic->station, address->sa_data, ETH_ALEN);
	if (nic->started)
		NicWriteStation(nic);
	spin_unlock_irqrestore(&nic->lock, flags);
	return 0;
}

static int tc90x_change_mtu(struct net_device *device, int mtu)
{
	if (mtu < NIC_MIN_MTU || mtu > NIC_MAX_FRAME - ETH_HLEN)
		return -EINVAL;
	device->mtu = mtu;
	return 0;
}

static int tc90x_read_phy(struct nic_context *nic, unsigned int reg, u16 *value)
{
	enum nic_status status;
	unsigned long flags;

	spin_lock_irqsave(&nic->lock, flags);
	status = NicReadPhy(nic, reg, value);
	spin_unlock_irqrestore(&nic->lock, flags);
	return status == NIC_SUCCESS ? 0 : -EIO;
}

static int tc90x_mii_ioctl(struct nic_context *nic, struct mii_ioctl_data *data, int cmd)
{
	unsigned long flags;

	if (cmd == SIOCGMIIPHY) {
		data->phy_id = NIC_PHY_ADDRESS;
		return 0;
	}
	if (data->reg_num > 31)
		return -EINVAL;
	if (cmd == SIOCGMIIREG)
		return tc90x_read_phy(nic, data->reg_num, &data->val_out);
	if (!capable(CAP_NET_ADMIN))
		return -EPERM;
	spin_lock_irqsave(&nic->lock, flags);
	NicWritePhy(nic, data->reg_num, data->val_in);
	spin_unlock_irqrestore(&nic->lock, flags);
	return 0;
}

static int tc90x_ethtool(struct nic_context *nic, void *user)
{
	struct ethtool_drvinfo info;
	struct ethtool_value value;
	u32 command;
	u16 bmsr;

	if (copy_from_user(&command, user, sizeof(command)))
		return -EFAULT;
	if (command == ETHTOOL_GDRVINFO) {
		memset(&info, 0, sizeof(info));
		info.cmd = command;
		strcpy(info.driver, DRIVER_NAME);
		strcpy(info.version, DRIVER_VERSION);
		strncpy(info.bus_info, nic->pci->slot_name, sizeof(nic->pci->slot_name));
		return copy_to_user(user, &info, sizeof(info)) ? -EFAULT : 0;
	}
	if (command != ETHTOOL_GLINK)
		return -EOPNOTSUPP;
	/* What the link was comes first, what it is comes second. */
	if (tc90x_read_phy(nic, MII_BMSR, &bmsr) || tc90x_read_phy(nic, MII_BMSR, &bmsr))
		return -EIO;
	value.cmd = command;
	value.data = (bmsr & BMSR_LSTATUS) != 0;
	return copy_to_user(user, &value, sizeof(value)) ? -EFAULT : 0;
}

/* All counters, tx, rx and the others, as they stand in struct nic_statistics. */
static int tc90x_copy_counters(struct nic_context *nic, void *user)
{
	struct nic_statistics *copy;
	unsigned long flags;
	int err = 0;

	copy = kmalloc(sizeof(*copy), GFP_KERNEL);
	if (!copy)
		return -ENOMEM;
	spin_lock_irqsave(&nic->lock, flags);
	if (nic->started)
		NicReadStatistics(nic);
	memcpy(copy, &nic->statistics, sizeof(*copy));
	spin_unlock_irqrestore(&nic->lock, flags);
	if (copy_to_user(user, copy, sizeof(*copy)))
		err = -EFAULT;
	kfree(copy);
	return err;
}

static int tc90x_ioctl(struct net_device *device, struct ifreq *request, int cmd)
{
	struct nic_context *nic = device->priv;

	switch (cmd) {
	case SIOCGMIIPHY:
	case SIOCGMIIREG:
	case SIOCSMIIREG:
		return tc90x_mii_ioctl(nic, (struct mii_ioctl_data *)&request->ifr_data, cmd);
	case SIOCETHTOOL:
		return tc90x_ethtool(nic, request->ifr_data);
	case SIOCDEVPRIVATE:
		return tc90x_copy_counters(nic, request->ifr_data);
	default:
		return -EOPNOTSUPP;
	}
}

/* ======================= The shell: probe and remove ======================= */

static int tc90x_map_registers(struct nic_context *nic)
{
	unsigned long start = pci_resource_start(nic->pci, NIC_MEMORY_BAR);

	if (memory_mapped && pci_resource_flags(nic->pci, NIC_MEMORY_BAR) & IORESOURCE_MEM) {
		nic->memory = ioremap(start, NIC_REGISTER_BYTES);
		if (nic->memory)
			return 0;
		printk(KERN_WARNING DRIVER_NAME ": registers cannot be mapped, using I/O space\n");
	}
	if (!(pci_resource_flags(nic->pci, NIC_IO_BAR) & IORESOURCE_IO))
		return -ENODEV;
	nic->port = pci_resource_start(nic->pci, NIC_IO_BAR);
	return 0;
}

static int tc90x_identify(struct nic_context *nic)
{
	u16 id;

	if (NicGlobalReset(nic) != NIC_SUCCESS) {
		printk(KERN_ERR DRIVER_NAME ": the NIC does not come out of its reset\n");
		return -EIO;
	}
	switch (NicReadStation(nic)) {
	case NIC_SUCCESS:
		break;
	case NIC_BAD_CHECKSUM:
		printk(KERN_ERR DRIVER_NAME ": the EEPROM's checksum is wrong\n");
		return -EIO;
	default:
		printk(KERN_ERR DRIVER_NAME ": the EEPROM does not answer\n");
		return -EIO;
	}
	if (!is_valid_ether_addr(nic->station)) {
		printk(KERN_ERR DRIVER_NAME ": the EEPROM holds no station address\n");
		return -EIO;
	}
	if (NicReadPhy(nic, MII_PHYSID1, &id) != NIC_SUCCESS) {
		printk(KERN_ERR DRIVER_NAME ": the PHY does not answer\n");
		return -EIO;
	}
	return 0;
}

static unsigned int tc90x_descriptors(const char *name, int wanted, int otherwise)
{
	if (wanted >= NIC_MIN_DESCRIPTORS && wanted <= NIC_MAX_DESCRIPTORS)
		return wanted;
	printk(KERN_WARNING DRIVER_NAME ": %s=%d is not in %d-%d, using %d\n", name, wanted, NIC_MIN_DESCRIPTORS,
	       NIC_MAX_DESCRIPTORS, otherwise);
	return otherwise;
}

static void tc90x_init_context(struct nic_context *nic)
{
	int counts = tx_delay * NIC_COUNTS_PER_USEC;

	spin_lock_init(&nic->lock);
	nic->window = ~0U;
	nic->dn.count = tc90x_descriptors("downloads", downloads, NIC_DEFAULT_DOWNLOADS);
	nic->up.count = tc90x_descriptors("uploads", uploads, NIC_DEFAULT_UPLOADS);
	nic->countdown = counts < 0 || counts > NIC_MAX_COUNT ? NIC_DEFAULT_TX_DELAY * NIC_COUNTS_PER_USEC : counts;
	nic->full_duplex = duplex == 2;
	init_timer(&nic->tick);
	nic->tick.function = tc90x_tick;
	nic->tick.data = (unsigned long)nic;
}

static void tc90x_init_device(struct net_device *device)
{
	struct nic_context *nic = device->priv;

	SET_MODULE_OWNER(device);
	memcpy(device->dev_addr, nic->station, ETH_ALEN);
	device->irq = nic->pci->irq;
	device->base_addr = pci_resource_start(nic->pci, nic->memory ? NIC_MEMORY_BAR : NIC_IO_BAR);
	device->open = tc90x_open;
	device->stop = tc90x_close;
	device->hard_start_xmit = tc90x_transmit;
	device->get_stats = tc90x_get_stats;
	device->set_multicast_list = tc90x_set_multicast;
	device->set_mac_address = tc90x_set_mac_address;
	device->change_mtu = tc90x_change_mtu;
	device->do_ioctl = tc90x_ioctl;
	device->tx_timeout = tc90x_tx_timeout;
	device->watchdog_timeo = NIC_TX_TIMEOUT;
}

static int __devinit tc90x_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct net_device *device;
	struct nic_context *nic;
	int err;

	err = pci_enable_device(pdev);
	if (err)
		return err;
	err = pci_set_dma_mask(pdev, 0xffffffff);
	if (err)
		goto out_disable;
	err = pci_request_regions(pdev, DRIVER_NAME);
	if (err)
		goto out_disable;
	pci_set_master(pdev);

	err = -ENOMEM;
	device = alloc_etherdev(sizeof(struct nic_context));
	if (!device)
		goto out_regions;
	nic = device->priv;
	nic->device = device;
	nic->pci = pdev;
	pci_set_drvdata(pdev, device);
	tc90x_init_context(nic);

	err = tc90x_map_registers(nic);
	if (err)
		goto out_device;
	err = tc90x_identify(nic);
	if (err)
		goto out_unmap;
	tc90x_init_device(device);
	err = register_netdev(device);
	if (err)
		goto out_unmap;
	printk(KERN_INFO DRIVER_NAME ": %s: 3Com EtherLink at %s 0x%lx, IRQ %d, %02x:%02x:%02x:%02x:%02x:%02x\n",
	       device->name, nic->memory ? "memory" : "I/O", device->base_addr, device->irq, nic->station[0],
	       nic->station[1], nic->station[2], nic->station[3], nic->station[4], nic->station[5]);
	return 0;

out_unmap:
	if (nic->memory)
		iounmap(nic->memory);
out_device:
	pci_set_drvdata(pdev, NULL);
	kfree(device);
out_regions:
	pci_release_regions(pdev);
out_disable:
	pci_disable_device(pdev);
	return err;
}

static void __devexit tc90x_remove(struct pci_dev *pdev)
{
	struct net_device *device = pci_get_drvdata(pdev);
	struct nic_context *nic = device->priv;

	unregister_netdev(device);
	NicGlobalReset(nic);
	if (nic->memory)
		iounmap(nic->memory);
	pci_release_regions(pdev);
	pci_set_drvdata(pdev, NULL);
	kfree(device);
	pci_disable_device(pdev);
}

static struct pci_driver tc90x_driver = {
	.name = DRIVER_NAME,
	.id_table = tc90x_devices,
	.probe = tc90x_probe,
	.remove = __devexit_p(tc90x_remove),
};

static int __init tc90x_init(void)
{
	printk(KERN_INFO "3Com EtherLink 10/100 PCI driver, version " DRIVER_VERSION "\n");
	return pci_module_init(&tc90x_driver);
}

static void __exit tc90x_exit(void)
{
	pci_unregister_driver(&tc90x_driver);
}

module_init(tc90x_init);
module_exit(tc90x_exit);
