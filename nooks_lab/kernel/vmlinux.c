/*
 * The kernel image: its global variables, and the string functions, which are
 * machine code because extensions run them in their own domain.
 */
#include "vmlinux.h"

/* Entry points of the kernel functions that are written in Python; filled in at boot. */
unsigned char gate_text[NR_GATES * GATE_TEXT_SIZE] __attribute__((section(".text.gates"), aligned(4096))) = { 0xcc };

unsigned char idt_table[IDT_ENTRIES * 8] __attribute__((aligned(4096)));
unsigned char gdt_table[GDT_ENTRIES * 8] __attribute__((aligned(32)));
unsigned char init_tss[104] __attribute__((aligned(128)));

union task_union init_task_union __attribute__((aligned(4096)));
struct task_struct *current_task = &init_task_union.task;	/* Nooks: for get_current() */
pid_t last_pid;

volatile unsigned long jiffies;
struct list_head timer_list_head;

struct page *mem_map;
unsigned long max_mapnr;
struct free_area free_area[MAX_ORDER];
unsigned long nr_free_pages;
struct kmem_cache malloc_sizes[NR_CACHES];
int slab_redzone;
struct vm_struct *vmlist;

irq_desc_t irq_desc[NR_IRQS];
struct irq_cpustat irq_stat;

char log_buf[LOG_BUF_LEN];
unsigned long log_start;
unsigned long log_end;

struct module *module_list;
int tainted;
int panic_on_oops;

struct list_head pci_devices;
struct list_head pci_drivers;
struct pci_bus pci_root_bus;
struct resource ioport_resource = { .name = "PCI IO", .start = 0, .end = 0xffff, .flags = IORESOURCE_IO };
struct resource iomem_resource = { .name = "PCI mem", .start = 0, .end = 0xffffffff, .flags = IORESOURCE_MEM };

struct net_device *dev_base;
int dev_ifindex;
struct softnet_data softnet_data;

struct proto_ops inet_stream_ops;
struct list_head sysctl_table_headers;

struct in_ifaddr *inet_ifaddr_list;
struct list_head arp_hash[NEIGH_HASH_SIZE];
unsigned int arp_entries;
unsigned int ip_ident;
unsigned int inet_next_port;
unsigned int ping_ident;
unsigned int tcp_isn;
struct list_head inet_expired_timers;
struct list_head tcp_ehash[TCP_EHASH_SIZE];
struct list_head tcp_listening_hash[TCP_LHTABLE_SIZE];
struct list_head tcp_bhash[TCP_BHTABLE_SIZE];
struct list_head udp_hash[UDP_HTABLE_SIZE];
struct list_head ping_hash[PING_HTABLE_SIZE];
struct ip_mib ip_statistics;
struct icmp_mib icmp_statistics;
struct tcp_mib tcp_statistics;
struct udp_mib udp_statistics;
struct arp_mib arp_statistics;

volatile struct timeval xtime;
struct timezone sys_tz;

struct buffer_head *buffer_hash_table[BUFFER_HASH_SIZE];
struct list_head lru_list[NR_LIST];
struct list_head buffer_free_list[NR_SIZES];
unsigned long nr_buffer_pages;
struct page *page_hash_table[PAGE_HASH_SIZE];
struct list_head inactive_list;
unsigned long nr_cached_pages;
struct list_head inode_hashtable[INODE_HASH_SIZE];
struct list_head inode_in_use;
struct list_head inode_unused;
unsigned long nr_inodes;
struct list_head dentry_hashtable[DENTRY_HASH_SIZE];
struct list_head dentry_unused;
unsigned long nr_dentry;
unsigned long last_ino;		/* iunique: the number given out last */
struct list_head super_blocks;
struct file_system_type *file_systems;
struct list_head vfsmntlist;
struct list_head bdev_list;
unsigned long nr_files;
unsigned long unnamed_dev_in_use;
unsigned long ramfs_next_ino;
struct char_device chrdevs[MAX_CHRDEV];
struct ide_hwgroup ide_hwgroup;
struct hd_struct ide_hd[IDE_MINORS];
char kdevname_buf[32];
char bdevname_buf[32];
struct inode_operations empty_iops;
struct file_operations empty_fops;
struct inode_operations bad_inode_ops;
struct file_operations bad_file_ops;
struct file_operations def_chr_fops;
struct inode_operations ramfs_dir_inode_operations;
struct file_operations ramfs_dir_operations;
struct file_operations ramfs_file_operations;
struct address_space_operations ramfs_aops;
struct super_operations ramfs_ops;
struct file_system_type ramfs_fs_type;
struct sound_unit *sound_chains[SOUND_STEP];
struct file_operations soundcore_fops;
const char soundcore_name[] = "sound";
struct dma_chan dma_chan_busy[MAX_DMA_CHANNELS];

void *memcpy(void *dest, const void *src, size_t count)
{
	void *to = dest;

	asm volatile("rep movsb" : "+D"(to), "+S"(src), "+c"(count) : : "memory");
	return dest;
}

void *memmove(void *dest, const void *src, size_t count)
{
	char *to = dest;
	const char *from = src;

	if (to <= from || to >= from + count)
		return memcpy(dest, src, count);
	to += count;
	from += count;
	while (count--)
		*--to = *--from;
	return dest;
}

void *memset(void *s, int c, size_t count)
{
	void *to = s;

	asm volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(c) : "memory");
	return s;
}

int memcmp(const void *cs, const void *ct, size_t count)
{
	const unsigned char *a = cs, *b = ct;

	for (; count; count--, a++, b++)
		if (*a != *b)
			return *a - *b;
	return 0;
}

size_t strlen(const char *s)
{
	const char *end = s;

	while (*end)
		end++;
	return end - s;
}

char *strcpy(char *dest, const char *src)
{
	char *to = dest;

	while ((*to++ = *src++))
		;
	return dest;
}

char *strncpy(char *dest, const char *src, size_t count)
{
	char *to = dest;

	for (; count; count--) {
		*to++ = *src;
		if (*src)
			src++;
	}
	return dest;
}

int strcmp(const char *cs, const char *ct)
{
	while (*cs && *cs == *ct) {
		cs++;
		ct++;
	}
	return (unsigned char)*cs - (unsigned char)*ct;
}
