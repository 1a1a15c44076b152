#ifndef _LINUX_TIME_H
#define _LINUX_TIME_H

#include <linux/types.h>

struct timeval {
	time_t tv_sec;
	long tv_usec;
};

struct timezone {
	int tz_minuteswest;
	int tz_dsttime;
};

/* The time of day, in UTC; the timer interrupt moves it. */
extern volatile struct timeval xtime;
extern struct timezone sys_tz;

#define CURRENT_TIME (xtime.tv_sec)

#endif
