/*
 * A character device for tests: who writes rings, who reads waits for it. The
 * device keeps the last bytes written.
 */
#include <linux/module.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/wait.h>
#include <asm/uaccess.h>

MODULE_LICENSE("GPL");

#define BELL_SIZE 64

/* ioctls: the minor number by two ways, more queues than fit on a page, and a wild store. */
#define BELL_MINORS 1
#define BELL_WILD 2

static int major;
static char rung[BELL_SIZE];
static size_t rung_size;
static int queues = 1;
static DECLARE_WAIT_QUEUE_HEAD(bell);
static wait_queue_head_t others[8];

MODULE_PARM(major, "i");
MODULE_PARM_DESC(major, "Major number, 0 for any");
MODULE_PARM(queues, "i");
MODULE_PARM_DESC(queues, "How many times poll notes a queue");

static int bell_open(struct inode *inode, struct file *file)
{
	/* Bell 9 is for nobody. */
	if (MINOR(inode->i_rdev) == 9)
		return -EPERM;
	file->private_data = rung;
	return 0;
}

static int bell_release(struct inode *inode, struct file *file)
{
	if (file->private_data != rung)
		printk(KERN_ERR "doorbell: the file has lost its private data\n");
	return 0;
}

static ssize_t bell_read(struct file *file, char *buf, size_t count, loff_t *ppos)
{
	while (!rung_size) {
		if (file->f_flags & O_NONBLOCK)
			return -EAGAIN;
		interruptible_sleep_on(&bell);
		if (signal_pending(current))
			return -EINTR;
	}
	if (count > rung_size)
		count = rung_size;
	if (copy_to_user(buf, rung, count))
		return -EFAULT;
	rung_size = 0;
	*ppos += count;
	return count;
}

static ssize_t bell_write(struct file *file, const char *buf, size_t count, loff_t *ppos)
{
	if (count > BELL_SIZE)
		return -EINVAL;
	if (copy_from_user(rung, buf, count))
		return -EFAULT;
	rung_size = count;
	*ppos += count;
	wake_up_interruptible(&bell);
	return count;
}

static unsigned int bell_poll(struct file *file, poll_table *wait)
{
	int i;

	for (i = 1; i < queues; i++)
		poll_wait(file, &others[i & 7], wait);
	poll_wait(file, &bell, wait);
	return POLLOUT | POLLWRNORM | (rung_size ? POLLIN | POLLRDNORM : 0);
}

static int bell_ioctl(struct inode *inode, struct file *file, unsigned int cmd, unsigned long arg)
{
	switch (cmd) {
	case BELL_MINORS:
		return MINOR(inode->i_rdev) << 8 | MINOR(file->f_dentry->d_inode->i_rdev);
	case BELL_WILD:
		*(volatile int *)0xc0000000 = 1;
		return 0;
	default:
		return -ENOTTY;
	}
}

static struct file_operations bell_fops = {
	.owner = THIS_MODULE,
	.read = bell_read,
	.write = bell_write,
	.poll = bell_poll,
	.ioctl = bell_ioctl,
	.open = bell_open,
	.release = bell_release,
};

static int __init init_doorbell(void)
{
	int i, result;

	for (i = 0; i < 8; i++)
		init_waitqueue_head(&others[i]);
	result = register_chrdev(major, "doorbell", &bell_fops);
	if (result < 0)
		return result;
	if (!major)
		major = result;
	return 0;
}

static void __exit cleanup_doorbell(void)
{
	unregister_chrdev(major, "doorbell");
}

module_init(init_doorbell);
module_exit(cleanup_doorbell);
