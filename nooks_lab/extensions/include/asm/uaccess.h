#ifndef _ASM_UACCESS_H
#define _ASM_UACCESS_H

#include <linux/types.h>
#include <linux/errno.h>
#include <asm/processor.h>

/* Up to where a system call's pointers may go: to the end of user memory, or anywhere. */
#define MAKE_MM_SEG(s) ((mm_segment_t) { (s) })
#define KERNEL_DS MAKE_MM_SEG(0xffffffff)
#define USER_DS MAKE_MM_SEG(0xc0000000)

#define get_fs() (current->addr_limit)
extern void set_fs(mm_segment_t limit);	/* Nooks: writes current, a macro in Linux */

/* The result is how many bytes were not copied, as in Linux: 0 is success. */
extern unsigned long copy_to_user(void *to, const void *from, unsigned long n);
extern unsigned long copy_from_user(void *to, const void *from, unsigned long n);

#define get_user(x, ptr) (copy_from_user(&(x), (ptr), sizeof(x)) ? -EFAULT : 0)
#define put_user(x, ptr) ({ \
	__typeof__(*(ptr)) __pu_value = (x); \
	copy_to_user((ptr), &__pu_value, sizeof(__pu_value)) ? -EFAULT : 0; \
})

#endif
