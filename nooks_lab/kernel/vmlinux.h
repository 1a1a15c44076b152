/*
 * The kernel's own data: what extensions do not see in their headers.
 * The layouts are read from the compiler, and the Python code works on them in guest memory.
 */
#ifndef _VMLINUX_H
#define _VMLINUX_H

#include <linux/delay.h>
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/if_arp.h>
#include <linux/init.h>
#include <linux/interrupt.h>
#include <linux/ioport.h>
#include <linux/irq.h>
#include <linux/kernel.h>
#include <linux/mii.h>
#include <linux/mm.h>
#include <linux/net.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/pci.h>
#include <linux/sched.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <linux/sockios.h>
#include <linux/string.h>
#include <linux/sysctl.h>
#include <linux/time.h>
#include <linux/timer.h>
#include <linux/vmalloc.h>
#include <asm/hardirq.h>
#include <asm/io.h>
#include <asm/ptrace.h>
#include <asm/uaccess.h>
#include <net/inet_common.h>
#include "fs/vfs.h"
#include "net/inet.h"
#include "sound/sound.h"

#define MAX_ORDER 10
#define NR_IRQS 16
#define LOG_BUF_LEN 16384
#define NR_GATES 2048
#define GATE_TEXT_SIZE 16
#define IDT_ENTRIES 256
#define GDT_ENTRIES 8
#define NR_CACHES 16

struct free_area {
	struct list_head free_list;
	unsigned long nr_free;
};

/* Sizes in bytes; free slots of a slab are chained by index through bufctl. */
struct kmem_cache {
	char name[20];
	unsigned int objsize;
	unsigned int num;
	unsigned int order;
	struct list_head slabs_partial;
	struct list_head slabs_full;
	unsigned long active;
};

struct slab {
	struct list_head list;
	struct kmem_cache *cache;
	void *s_mem;
	unsigned int inuse;
	unsigned int free;
	unsigned short bufctl[];
};

#define BUFCTL_END 0xffff

/* Kernel functions that only the kernel itself points to. */
extern void dev_watchdog(unsigned long arg);

#endif
