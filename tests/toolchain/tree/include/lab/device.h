#ifndef LAB_DEVICE_H
#define LAB_DEVICE_H
#include <lab/types.h>

struct device {
	char name[16];
	struct list_head list;
	union {
		struct { u8 low, high; };
		u32 word;
	};
	int (*open)(struct device *dev);
	atomic_t users;
	enum state state;
	struct { u32 in, out; } queue[2];
	const struct never_defined *bus;
	u8 grid[2][3];
	_Bool up;
};

extern struct device *first_device;
extern volatile unsigned long jiffies;

extern int register_device(struct device *dev, size_t size, loff_t where);
extern int printk(const char *fmt, ...);
int request_irq(unsigned int irq, void (*handler)(int, void *, struct device *), const char name[]);
void (*find_handler(int irq))(int);
extern void stop_all(void);
extern u32 get_random(u32);

static inline u32 device_word(struct device *dev)
{
	return dev->word + jiffies;
}

#define DEVICE_BIT 0x10
#define DEVICE_ALL (DEVICE_BIT | RUNNING)
#define DEVICE_MASK (~0U)
#define DEVICE_NONE (-1)
#define DEVICE_SIZE sizeof(struct device)
#define DEVICE_BIG 0xffffffffffULL
#define DEVICE_LETTER 'd'
#define DEVICE_NAME "device"
#define DEVICE_POINTER ((void *)0)
#define DEVICE_TYPE struct device
#define DEVICE_FLOAT 1.5
#define DEVICE_UNKNOWN (nobody_defines_this + 1)
#define DEVICE_OPEN_ONLY (1
#define DEVICE_STATEMENT do { } while (0)
#define DEVICE_MAX(a, b) ((a) > (b) ? (a) : (b))
#define DEVICE_EMPTY
#endif
