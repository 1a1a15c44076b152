#ifndef _LINUX_NET_H
#define _LINUX_NET_H

#include <linux/socket.h>
#include <linux/types.h>
#include <linux/wait.h>

struct sock;
struct proto_ops;

typedef enum {
	SS_FREE = 0,
	SS_UNCONNECTED,
	SS_CONNECTING,
	SS_CONNECTED,
	SS_DISCONNECTING
} socket_state;

#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_RAW 3

#define RCV_SHUTDOWN 1
#define SEND_SHUTDOWN 2
#define SHUTDOWN_MASK 3

struct socket {
	socket_state state;
	unsigned long flags;
	struct proto_ops *ops;
	struct sock *sk;
	short type;
};

/* Linux's sendmsg and recvmsg take a scm_cookie too, which only AF_UNIX looks at. */
struct proto_ops {
	int family;
	int (*release)(struct socket *sock);
	int (*bind)(struct socket *sock, struct sockaddr *umyaddr, int sockaddr_len);
	int (*connect)(struct socket *sock, struct sockaddr *uservaddr, int sockaddr_len, int flags);
	int (*accept)(struct socket *sock, struct socket *newsock, int flags);
	int (*getname)(struct socket *sock, struct sockaddr *uaddr, int *usockaddr_len, int peer);
	int (*listen)(struct socket *sock, int len);
	int (*shutdown)(struct socket *sock, int how);
	int (*sendmsg)(struct socket *sock, struct msghdr *m, int total_len);
	int (*recvmsg)(struct socket *sock, struct msghdr *m, int total_len, int flags);
};

extern struct socket *sock_alloc(void);
extern int sock_create(int family, int type, int protocol, struct socket **res);
extern void sock_release(struct socket *sock);
extern int sock_sendmsg(struct socket *sock, struct msghdr *msg, int len);
extern int sock_recvmsg(struct socket *sock, struct msghdr *msg, int len, int flags);
extern int sock_setsockopt(struct socket *sock, int level, int optname, char *optval, int optlen);

#endif
