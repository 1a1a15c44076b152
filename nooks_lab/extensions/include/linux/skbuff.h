#ifndef _LINUX_SKBUFF_H
#define _LINUX_SKBUFF_H

#include <linux/kernel.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <asm/atomic.h>
#include <asm/processor.h>

#define CHECKSUM_NONE 0
#define CHECKSUM_HW 1
#define CHECKSUM_UNNECESSARY 2

#define MAX_SKB_FRAGS 6

struct net_device;
struct sock;
struct page;
struct ethhdr;
struct iphdr;
struct tcphdr;
struct udphdr;
struct icmphdr;

/* next and prev stand first here and in struct sk_buff: a queue's head is a link of its ring. */
struct sk_buff_head {
	struct sk_buff *next;	/* the first */
	struct sk_buff *prev;	/* the last */
	__u32 qlen;	/* how many */
	spinlock_t lock;	/* for those who take it */
};

struct sk_buff {
	struct sk_buff *next;	/* in the queue that it is on */
	struct sk_buff *prev;	/* in the same */
	struct sk_buff_head *list;	/* that queue, or NULL */
	struct sock *sk;	/* the socket that it came from, or NULL */
	struct net_device *dev;	/* the device: a driver sets it before netif_rx */
	union {
		struct tcphdr *th;
		struct udphdr *uh;
		struct icmphdr *icmph;
		struct iphdr *ipiph;
		unsigned char *raw;
	} h;
	union {
		struct iphdr *iph;
		unsigned char *raw;
	} nh;
	union {
		struct ethhdr *ethernet;
		unsigned char *raw;
	} mac;
	char cb[48];	/* free for whoever has the packet */
	unsigned int len;	/* bytes of data */
	unsigned int data_len;	/* those of them that are not in head..end: 0 */
	unsigned int csum;	/* with CHECKSUM_HW */
	unsigned char cloned;	/* the kernel's */
	unsigned char pkt_type;	/* PACKET_HOST, PACKET_BROADCAST ...: eth_type_trans sets it */
	unsigned char ip_summed;	/* CHECKSUM_...: UNNECESSARY if the device has checked */
	__u32 priority;	/* the kernel's */
	atomic_t users;	/* who has it; kfree_skb lets go */
	unsigned short protocol;	/* EtherType in network order: the result of eth_type_trans */
	unsigned int truesize;	/* bytes of memory that it takes */
	unsigned char *head;	/* where its memory begins */
	unsigned char *data;	/* where its data begin */
	unsigned char *tail;	/* where they end */
	unsigned char *end;	/* where its memory ends */
	void (*destructor)(struct sk_buff *skb);	/* called when it is freed */
};

typedef struct skb_frag_struct {
	struct page *page;	/* with a part of the data */
	__u16 page_offset;	/* where in it */
	__u16 size;	/* bytes */
} skb_frag_t;

/* Lies behind the data, at skb->end. */
struct skb_shared_info {
	atomic_t dataref;	/* who has the data */
	unsigned int nr_frags;	/* 0: no packet has fragments here */
	struct sk_buff *frag_list;	/* NULL */
	skb_frag_t frags[MAX_SKB_FRAGS];	/* the parts */
};

#define skb_shinfo(skb) ((struct skb_shared_info *)((skb)->end))

extern struct sk_buff *alloc_skb(unsigned int size, int gfp_mask);
extern struct sk_buff *dev_alloc_skb(unsigned int length);
extern void kfree_skb(struct sk_buff *skb);
extern void skb_over_panic(struct sk_buff *skb, int sz, void *here);
extern void skb_under_panic(struct sk_buff *skb, int sz, void *here);

#define dev_kfree_skb(skb) kfree_skb(skb)

/* The inlines below write only the sk_buff: an extension has its own version of it. */

static inline void skb_queue_head_init(struct sk_buff_head *list)
{
	list->next = list->prev = (struct sk_buff *)list;
	list->qlen = 0;
	spin_lock_init(&list->lock);
}

static inline void __skb_queue_tail(struct sk_buff_head *list, struct sk_buff *newsk)
{
	struct sk_buff *last = list->prev;

	newsk->list = list;
	newsk->next = (struct sk_buff *)list;
	newsk->prev = last;
	last->next = newsk;
	list->prev = newsk;
	list->qlen++;
}

static inline struct sk_buff *__skb_dequeue(struct sk_buff_head *list)
{
	struct sk_buff *first = list->next;

	if (first == (struct sk_buff *)list)
		return NULL;
	first->next->prev = (struct sk_buff *)list;
	list->next = first->next;
	list->qlen--;
	first->next = first->prev = NULL;
	first->list = NULL;
	return first;
}

static inline int skb_queue_empty(const struct sk_buff_head *list)
{
	return list->next == (const struct sk_buff *)list;
}

static inline int skb_is_nonlinear(const struct sk_buff *skb)
{
	return skb->data_len != 0;
}

static inline int skb_headroom(const struct sk_buff *skb)
{
	return skb->data - skb->head;
}

static inline int skb_tailroom(const struct sk_buff *skb)
{
	return skb_is_nonlinear(skb) ? 0 : skb->end - skb->tail;
}

static inline void skb_reserve(struct sk_buff *skb, unsigned int len)
{
	skb->data += len;
	skb->tail += len;
}

static inline unsigned char *skb_put(struct sk_buff *skb, unsigned int len)
{
	unsigned char *start = skb->tail;

	skb->tail += len;
	skb->len += len;
	if (unlikely(skb->tail > skb->end))
		skb_over_panic(skb, len, current_text_addr());
	return start;
}

static inline unsigned char *skb_push(struct sk_buff *skb, unsigned int len)
{
	skb->data -= len;
	skb->len += len;
	if (unlikely(skb->data < skb->head))
		skb_under_panic(skb, len, current_text_addr());
	return skb->data;
}

static inline unsigned char *skb_pull(struct sk_buff *skb, unsigned int len)
{
	if (len > skb->len)
		return NULL;
	skb->len -= len;
	return skb->data += len;
}

static inline void skb_trim(struct sk_buff *skb, unsigned int len)
{
	if (skb->len > len && !skb_is_nonlinear(skb)) {
		skb->len = len;
		skb->tail = skb->data + len;
	}
}

#endif
