#ifndef _LINUX_KDEV_T_H
#define _LINUX_KDEV_T_H

#include <linux/types.h>

#define MINORBITS 8
#define MINORMASK ((1U << MINORBITS) - 1)

#define MAJOR(dev) ((unsigned int)((dev) >> MINORBITS))
#define MINOR(dev) ((unsigned int)((dev) & MINORMASK))
#define MKDEV(ma, mi) ((kdev_t)(((ma) << MINORBITS) | (mi)))
#define NODEV 0

#define kdev_t_to_nr(dev) ((unsigned int)(dev))
#define to_kdev_t(nr) ((kdev_t)(nr))
#define kdev_same(a, b) ((a) == (b))

/* The device's number as "03:01"; in a buffer of the kernel that the next call overwrites. */
extern const char *kdevname(kdev_t dev);
/* The device's name as "hda1", in the same way. */
extern const char *bdevname(kdev_t dev);

#endif
