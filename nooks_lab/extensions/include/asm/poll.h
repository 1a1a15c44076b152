#ifndef _ASM_POLL_H
#define _ASM_POLL_H

/* Bits of pollfd.events and revents; the last three are reported even when nobody asks for them. */
#define POLLIN 0x0001
#define POLLPRI 0x0002
#define POLLOUT 0x0004
#define POLLRDNORM 0x0040
#define POLLRDBAND 0x0080
#define POLLWRNORM 0x0100
#define POLLWRBAND 0x0200
#define POLLERR 0x0008
#define POLLHUP 0x0010
#define POLLNVAL 0x0020

#endif
