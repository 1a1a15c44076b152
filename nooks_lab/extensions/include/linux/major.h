#ifndef _LINUX_MAJOR_H
#define _LINUX_MAJOR_H

#define MAX_CHRDEV 255
#define MAX_BLKDEV 255

#define UNNAMED_MAJOR 0
#define MEM_MAJOR 1
#define IDE0_MAJOR 3
#define SOUND_MAJOR 14

#endif
