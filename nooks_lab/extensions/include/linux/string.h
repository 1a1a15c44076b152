#ifndef _LINUX_STRING_H
#define _LINUX_STRING_H

#include <linux/types.h>

/*
 * Machine code of the kernel, linked straight into an extension: it runs in
 * the caller's domain, so a wild copy is caught as the caller's own.
 */
extern void *memcpy(void *dest, const void *src, size_t count);
extern void *memmove(void *dest, const void *src, size_t count);
extern void *memset(void *s, int c, size_t count);
extern int memcmp(const void *cs, const void *ct, size_t count);
extern char *strcpy(char *dest, const char *src);
extern char *strncpy(char *dest, const char *src, size_t count);
extern size_t strlen(const char *s);
extern int strcmp(const char *cs, const char *ct);

#endif
