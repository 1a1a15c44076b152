/* The smallest module worth the name: a parameter, a timer, and all of it given back. */

#include <linux/errno.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/timer.h>

MODULE_AUTHOR("you");
MODULE_DESCRIPTION("says that it is alive");
MODULE_LICENSE("GPL");

static int seconds = 1;
MODULE_PARM(seconds, "i");
MODULE_PARM_DESC(seconds, "how often");

static struct timer_list heartbeat;

/* In a softirq: this must not sleep. */
static void beat(unsigned long count)
{
	printk(KERN_INFO "alive, for the %luth time\n", count);
	heartbeat.data = count + 1;
	mod_timer(&heartbeat, jiffies + seconds * HZ);
}

static int __init start(void)
{
	if (seconds < 1) {
		printk(KERN_ERR "seconds=%d is too often\n", seconds);
		return -EINVAL;
	}
	init_timer(&heartbeat);
	heartbeat.function = beat;
	heartbeat.data = 1;
	heartbeat.expires = jiffies + seconds * HZ;
	add_timer(&heartbeat);
	return 0;
}

static void __exit stop(void)
{
	del_timer_sync(&heartbeat);
}

module_init(start);
module_exit(stop);
