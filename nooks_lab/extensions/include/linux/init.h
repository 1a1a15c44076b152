#ifndef _LINUX_INIT_H
#define _LINUX_INIT_H

/* A module keeps all of its text until it is unloaded, so these mark nothing. */
#define __init
#define __exit
#define __initdata
#define __exitdata
#define __devinit
#define __devexit
#define __devinitdata
#define __devexit_p(x) x

#define module_init(x) \
	int init_module(void) __attribute__((alias(#x)))
#define module_exit(x) \
	void cleanup_module(void) __attribute__((alias(#x)))

#endif
