#ifndef _NET_INET_COMMON_H
#define _NET_INET_COMMON_H

#include <linux/net.h>

/* What inet_stream_ops points to. */
extern int inet_release(struct socket *sock);
extern int inet_bind(struct socket *sock, struct sockaddr *uaddr, int addr_len);
extern int inet_stream_connect(struct socket *sock, struct sockaddr *uaddr, int addr_len, int flags);
extern int inet_accept(struct socket *sock, struct socket *newsock, int flags);
extern int inet_getname(struct socket *sock, struct sockaddr *uaddr, int *uaddr_len, int peer);
extern int inet_listen(struct socket *sock, int backlog);
extern int inet_shutdown(struct socket *sock, int how);
extern int inet_sendmsg(struct socket *sock, struct msghdr *msg, int size);
extern int inet_recvmsg(struct socket *sock, struct msghdr *msg, int size, int flags);

#endif
