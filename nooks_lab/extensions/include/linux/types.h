#ifndef _LINUX_TYPES_H
#define _LINUX_TYPES_H

#include <linux/stddef.h>
#include <asm/types.h>

typedef unsigned int size_t;
typedef int ssize_t;
typedef int ptrdiff_t;
typedef long off_t;
typedef long long loff_t;
typedef int pid_t;
typedef unsigned int uid_t;
typedef unsigned int gid_t;
typedef unsigned short mode_t;
typedef unsigned short umode_t;
typedef unsigned short nlink_t;
typedef unsigned long ino_t;
typedef long time_t;
typedef unsigned short dev_t;
typedef unsigned short kdev_t;

typedef u8 uint8_t;
typedef u16 uint16_t;
typedef u32 uint32_t;
typedef u64 uint64_t;

typedef unsigned short sa_family_t;

#endif
