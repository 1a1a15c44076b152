/*
 * The isolation manager's own data, in guest memory like all of the kernel's: domains, the objects that they use,
 * their granted pages and their queues of deferred calls.
 */
#ifndef _NOOKS_H
#define _NOOKS_H

#include <linux/types.h>

#define NOOKS_HASH_SIZE 64
#define NOOKS_QUEUE_SIZE 64
#define NOOKS_CALL_ARGUMENTS 4

struct nooks_domain;

/* An object in use. Its extension version is the key in the domain's table, its kernel version in the manager's. */
struct nooks_object {
	struct nooks_object *next;
	struct nooks_object *next_version;
	struct nooks_domain *domain;
	unsigned int serial;
	unsigned int type;
	unsigned long kernel;
	unsigned long extension;
	unsigned long detail[3];
};

struct nooks_domain {
	unsigned int number;
	unsigned int failed;
	unsigned long directory;		/* physical address of its page directory */
	unsigned int heap_pages;		/* that its heap and its page allocations hold */
	struct nooks_granted **granted;		/* for each directory entry, a table of 1024 */
	struct nooks_queue *kernel_calls;	/* delayed calls into the kernel; the extension writes it */
	struct nooks_queue *extension_calls;	/* delayed calls into the extension */
	struct nooks_object *objects[NOOKS_HASH_SIZE];
};

/* The page tracker's note of one page. */
struct nooks_granted {
	unsigned short count;
	unsigned short reason;
};

struct nooks_call {
	unsigned int function;
	unsigned long argument[NOOKS_CALL_ARGUMENTS];
};

struct nooks_queue {
	unsigned int count;
	struct nooks_call call[NOOKS_QUEUE_SIZE];
};

struct nooks_manager {
	unsigned int serial;
	struct nooks_object *versions[NOOKS_HASH_SIZE];
};

#endif
