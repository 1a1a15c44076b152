#include <lab/device.h>

#define INIT __attribute__((section(".text.init")))

int opened = 3;
static int calls;
__attribute__((weak)) int weak_one;

static int driver_open(struct device *dev)
{
	calls++;
	opened += calls;
	printk("open %d\n", dev->word);
	return register_device(dev, 4, 5) + device_word(dev);
}

int (*driver_hook)(struct device *) = driver_open;

INIT int init_module(void)
{
	return driver_open(first_device) + calls;
}
