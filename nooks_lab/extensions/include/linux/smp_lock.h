#ifndef _LINUX_SMP_LOCK_H
#define _LINUX_SMP_LOCK_H

/* One processor: the big kernel lock is nothing, as in Linux without CONFIG_SMP. */
#define lock_kernel() do { } while (0)
#define unlock_kernel() do { } while (0)

#endif
