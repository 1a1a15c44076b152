"""A network driver that sleeps in its calls, and the ways that a test calls it."""

from nooks_lab import extensions
from nooks_lab.kernel.sched import Thread
from nooks_lab.lab import Lab
from nooks_lab.toolchain.elf import ObjectFile

SOURCE = """
#include <linux/module.h>
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/netdevice.h>
#include <linux/etherdevice.h>
#include <linux/ioport.h>
#include <linux/timer.h>

static struct net_device *dev;
static struct timer_list timer;
static int fired;
static DECLARE_WAIT_QUEUE_HEAD(queue);
static DECLARE_WAITQUEUE(waiter, 0);

static void crash(void) { *(volatile int *)16 = 1; }
static void fires(unsigned long data) { fired += data; }
static int send(struct sk_buff *skb, struct net_device *dev) { dev_kfree_skb_any(skb); return 0; }

static int ioctl(struct net_device *dev, struct ifreq *ifr, int cmd)
{
	switch (cmd) {
	case 1:
		set_current_state(TASK_INTERRUPTIBLE);
		schedule_timeout(ifr->ifr_flags);
		ifr->ifr_flags = 77;
		return 0;
	case 2:
		crash();
	case 3:
		set_current_state(TASK_UNINTERRUPTIBLE);
		schedule_timeout(ifr->ifr_flags);
		return 0;
	case 4:
		set_current_state(TASK_INTERRUPTIBLE);
		schedule_timeout(ifr->ifr_flags);
		crash();
	}
	return -22;
}

int start_timer(int delay)
{
	timer.function = fires;
	timer.data = 10;
	return mod_timer(&timer, jiffies + delay);
}
int stop_timer(void) { return del_timer(&timer); }
int runs(void) { return timer_pending(&timer); }
int how_often(void) { return fired; }

int doze(int kind)
{
	switch (kind) {
	case 0: sleep_on(&queue); return 100;
	case 1: interruptible_sleep_on(&queue); return 101;
	case 2: return sleep_on_timeout(&queue, 5);
	case 3: return interruptible_sleep_on_timeout(&queue, 5);
	case 4: return interruptible_sleep_on_timeout(&queue, 500);
	}
	return -1;
}
int active(void) { return waitqueue_active(&queue); }
int rouse(int mode) { __wake_up(&queue, mode, 1); return 0; }
int rouse_all(void) { wake_up_all(&queue); return 0; }
int wait_by_hand(int ticks)
{
	int left;

	set_current_state(TASK_INTERRUPTIBLE);
	add_wait_queue(&queue, &waiter);
	left = schedule_timeout(ticks);
	remove_wait_queue(&queue, &waiter);
	return left;
}
int wake(struct task_struct *task) { return wake_up_process(task); }
int fault(void) { crash(); return 0; }

void *get_memory(int size) { return kmalloc(size, GFP_KERNEL); }
int give_memory(void *at) { kfree(at); return 0; }
unsigned long get_pages(int order) { return __get_free_pages(GFP_KERNEL, order); }
int give_pages(unsigned long at, int order) { free_pages(at, order); return 0; }
unsigned long claim(unsigned long start, unsigned long n) { return (unsigned long)request_region(start, n, "napper"); }
unsigned long claim_memory(unsigned long start, unsigned long n)
{
	return (unsigned long)request_mem_region(start, n, "napper");
}
int unclaim(unsigned long start, unsigned long n) { release_region(start, n); return 0; }
int unclaim_memory(unsigned long start, unsigned long n) { release_mem_region(start, n); return 0; }

int init_module(void)
{
	dev = alloc_etherdev(0);
	if (!dev)
		return -12;
	dev->do_ioctl = ioctl;
	dev->hard_start_xmit = send;
	init_timer(&timer);
	return register_netdev(dev);
}
void cleanup_module(void)
{
	unregister_netdev(dev);
	kfree(dev);
}
"""

NAP, CRASH, DEEP_SLEEP, NAP_AND_CRASH = 1, 2, 3, 4
"""Commands of its ioctl; the naps last for ifr_flags jiffies."""


def driver() -> ObjectFile:
    """Compile it."""
    return extensions.build("napper.c", SOURCE)


def symbol(lab: Lab, name: str) -> int:
    """Return the address of one of its functions, as it is loaded now."""
    image = lab.kernel.modules.loaded["napper"].image
    assert image is not None
    return image.symbols[name]


def call(lab: Lab, name: str, *arguments: int) -> int:
    """Call one of its functions in its domain, from the running task; a failure starts recovery."""
    nooks = lab.nooks
    assert nooks is not None
    domain = nooks.domain_of("napper")
    assert domain is not None
    return nooks.call_extension(domain, -5, symbol(lab, name), *arguments)


def calls(lab: Lab, name: str, *arguments: int) -> Thread:
    """Start a task that makes the call."""
    return lab.kernel.start(name, lambda: call(lab, name, *arguments))


def do(lab: Lab, name: str, *arguments: int) -> int:
    """Make the call in a task and wait for its result."""
    result = lab.kernel.in_task(name, lambda: call(lab, name, *arguments))
    return result - (1 << 32) if result >> 31 == 1 else result


def ioctl(lab: Lab, command: int, jiffies: int = 0) -> Thread:
    """Start a task that makes an ioctl; its result is the call's, and what ifr_flags are then."""
    kernel = lab.kernel
    (device,) = kernel.net.devices()

    def body() -> tuple[int, int]:
        ifreq = kernel.slab.zalloc(kernel.types.size("ifreq"))
        flags = ifreq + kernel.types.offset("ifreq", "ifr_ifru")
        kernel.memory.set_u16(flags, jiffies)
        result = kernel.execution.call(device.do_ioctl, device.address, ifreq, command)
        after = kernel.memory.u16(flags)
        kernel.slab.free(ifreq)
        return result - (1 << 32) if result >> 31 else result, after

    return kernel.start("ioctl", body)
