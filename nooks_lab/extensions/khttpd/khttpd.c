/*
 * kHTTPd: a web server inside the kernel.
 *
 * Each thread serves its own connections, all of them at once: it never waits
 * for one peer, but sleeps until any of them, or the listening socket, has
 * something to do. Pages come from a table in memory that users fill through
 * /proc/sys/net/khttpd/page, and from the files beneath the document root.
 *
 * RFC numbers: HTTP/1.0 is RFC 1945, HTTP/1.1 is RFC 2616.
 */
#include <linux/module.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/in.h>
#include <linux/list.h>
#include <linux/net.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/socket.h>
#include <linux/string.h>
#include <linux/sysctl.h>
#include <linux/time.h>
#include <asm/byteorder.h>
#include <asm/uaccess.h>
#include <net/sock.h>

#include "http.h"

#define KHTTPD_NAME "kHTTPd"
#define KHTTPD_VERSION "1.0"

#define KHTTPD_MAX_THREADS 16
#define KHTTPD_BACKLOG 128
/* Connections taken in one round, so that those there are get their turn. */
#define KHTTPD_ACCEPT_BATCH 8
/* What a peer still sends when it has its answer is read for so long. */
#define KHTTPD_DRAIN_TIME (2 * HZ)
#define KHTTPD_DRAIN_SIZE 512
#define KHTTPD_LARGEST_PAGE 61440
/* What is read of a file at once. */
#define KHTTPD_CHUNK 4096
#define KHTTPD_MAX_PATH 512

MODULE_AUTHOR("The Nooks Lab project");
MODULE_DESCRIPTION("In-kernel web server");
MODULE_LICENSE("GPL");

static int port = 80;
static int threads = 2;
static int maxconnect = 100;
static int timeout = 5;
static int logging;
static char *docroot = "";

MODULE_PARM(port, "i");
MODULE_PARM_DESC(port, "TCP port to serve (1-65535)");
MODULE_PARM(threads, "i");
MODULE_PARM_DESC(threads, "Number of threads (1-16)");
MODULE_PARM(maxconnect, "i");
MODULE_PARM_DESC(maxconnect, "Connections that a thread serves at once");
MODULE_PARM(timeout, "i");
MODULE_PARM_DESC(timeout, "Seconds that a peer may be silent");
MODULE_PARM(docroot, "s");
MODULE_PARM_DESC(docroot, "Directory of the files to serve; none if empty");
MODULE_PARM(logging, "i");
MODULE_PARM_DESC(logging, "Log each request (0 or 1)");

/* A page in memory. It stays until it is replaced and its last reader is done. */
struct khttpd_page {
	struct list_head list;
	int users;
	time_t modified;
	unsigned int length;
	char name[HTTP_MAX_URI];
	char type[HTTP_MAX_TYPE];
	char data[];
};

enum khttpd_state {
	KHTTPD_READING,
	KHTTPD_SENDING,
	KHTTPD_DRAINING
};

struct khttpd_connection {
	struct list_head list;
	struct socket *sock;
	wait_queue_t sleep;
	enum khttpd_state state;
	unsigned long deadline;
	int drain;			/* the peer may still be sending */
	unsigned int received;
	unsigned int head_length;
	unsigned int sent;		/* of head and body together */
	/* The body: a page in memory, or a file of which a chunk is here. */
	unsigned int body_length;
	struct khttpd_page *page;
	struct file *file;
	char *chunk;
	unsigned int chunk_at, chunk_length;
	struct http_request request;
	char buffer[HTTP_MAX_REQUEST];
	char head[HTTP_MAX_HEAD];
};

struct khttpd_thread {
	int pid;
	char name[16];
	wait_queue_t sleep;
	struct list_head connections;
	int nr_connections;
};

static struct khttpd_statistics {
	unsigned long connections;
	unsigned long requests;
	unsigned long ok;
	unsigned long refused;		/* answered with an error */
	unsigned long timeouts;
	unsigned long aborted;
	unsigned long bytes;
} khttpd_stats;

static struct socket *khttpd_listener;
static struct khttpd_thread khttpd_threads[KHTTPD_MAX_THREADS];
static int khttpd_running;
static int khttpd_stopping;
static DECLARE_WAIT_QUEUE_HEAD(khttpd_done);
static LIST_HEAD(khttpd_pages);
static struct ctl_table_header *khttpd_sysctl;

static int time_reached(unsigned long when)
{
	return (long)(jiffies - when) >= 0;
}

/* Pages. */

static struct khttpd_page *khttpd_find_page(const char *name)
{
	struct list_head *at;

	list_for_each(at, &khttpd_pages) {
		struct khttpd_page *page = list_entry(at, struct khttpd_page, list);

		if (!strcmp(page->name, name))
			return page;
	}
	return NULL;
}

static void khttpd_put_page(struct khttpd_page *page)
{
	if (!--page->users)
		kfree(page);
}

static void khttpd_remove_page(const char *name)
{
	struct khttpd_page *page = khttpd_find_page(name);

	if (page) {
		list_del(&page->list);
		khttpd_put_page(page);
	}
}

static void khttpd_remove_all_pages(void)
{
	while (!list_empty(&khttpd_pages))
		khttpd_remove_page(list_entry(khttpd_pages.next, struct khttpd_page, list)->name);
}

/* Copy a word of a line; returns what follows it, NULL when it does not fit. */
static const char *khttpd_word(const char *from, const char *end, char *to, unsigned int size)
{
	unsigned int length = 0;

	while (from < end && *from == ' ')
		from++;
	while (from < end && *from != ' ') {
		if (length == size - 1)
			return NULL;
		to[length++] = *from++;
	}
	to[length] = '\0';
	return from;
}

/*
 * A user puts a page into the table: a line with its name and its media type,
 * then its contents. A line with nothing but a name takes the page out.
 */
static int khttpd_publish(struct ctl_table *table, int write, void *buffer, size_t *lenp)
{
	size_t size = *lenp;
	struct khttpd_page *page;
	const char *end, *at;
	char *text;
	int err = -EINVAL;

	if (size > KHTTPD_LARGEST_PAGE)
		return -EFBIG;
	text = kmalloc(size + 1, GFP_KERNEL);
	page = kmalloc(sizeof(*page) + size, GFP_KERNEL);
	if (!text || !page) {
		err = -ENOMEM;
		goto out;
	}
	if (copy_from_user(text, buffer, size)) {
		err = -EFAULT;
		goto out;
	}
	text[size] = '\0';
	for (end = text; end < text + size && *end != '\n'; end++)
		;
	at = khttpd_word(text, end, page->name, sizeof(page->name));
	if (!at || page->name[0] != '/')
		goto out;
	at = khttpd_word(at, end, page->type, sizeof(page->type));
	if (!at)
		goto out;
	khttpd_remove_page(page->name);
	err = 0;
	if (!page->type[0])
		goto out;
	page->users = 1;
	page->modified = CURRENT_TIME;
	page->length = end < text + size ? text + size - (end + 1) : 0;
	memcpy(page->data, end + 1, page->length);
	list_add(&page->list, &khttpd_pages);
	kfree(text);
	return 0;
out:
	kfree(page);
	kfree(text);
	return err;
}

static int khttpd_show_statistics(struct ctl_table *table, int write, void *buffer, size_t *lenp)
{
	char text[256];
	int length = snprintf(text, sizeof(text),
			      "connections %lu\nrequests %lu\nok %lu\nrefused %lu\ntimeouts %lu\naborted %lu\nbytes %lu\n",
			      khttpd_stats.connections, khttpd_stats.requests, khttpd_stats.ok,
			      khttpd_stats.refused, khttpd_stats.timeouts, khttpd_stats.aborted,
			      khttpd_stats.bytes);

	if (length > *lenp)
		length = *lenp;
	if (copy_to_user(buffer, text, length))
		return -EFAULT;
	*lenp = length;
	return 0;
}

static ctl_table khttpd_table[] = {
	{ .procname = "page", .mode = 0200, .proc_handler = khttpd_publish },
	{ .procname = "statistics", .mode = 0444, .proc_handler = khttpd_show_statistics },
	{ .procname = "logging", .data = &logging, .maxlen = sizeof(int), .mode = 0644,
	  .proc_handler = proc_dointvec },
	{ .procname = "timeout", .data = &timeout, .maxlen = sizeof(int), .mode = 0644,
	  .proc_handler = proc_dointvec },
	{ .procname = "maxconnect", .data = &maxconnect, .maxlen = sizeof(int), .mode = 0644,
	  .proc_handler = proc_dointvec },
	{ .procname = NULL }
};

static ctl_table khttpd_dir[] = {
	{ .procname = "khttpd", .mode = 0555, .child = khttpd_table },
	{ .procname = NULL }
};

static ctl_table khttpd_root[] = {
	{ .procname = "net", .mode = 0555, .child = khttpd_dir },
	{ .procname = NULL }
};

/* Answers. */

static void khttpd_answer(struct khttpd_connection *conn, int status)
{
	struct http_reply reply = {
		.status = status,
		.minor = conn->request.minor,
		.head_only = conn->request.method == HTTP_HEAD,
		.now = CURRENT_TIME,
		.location = conn->request.name,
	};

	if (status == HTTP_OK) {
		reply.length = conn->body_length;
		if (conn->page) {
			reply.type = conn->page->type;
			reply.modified = conn->page->modified;
		} else {
			reply.type = http_media_type(conn->request.name);
			reply.modified = conn->file->f_dentry->d_inode->i_mtime;
		}
		if (conn->request.method == HTTP_HEAD)
			conn->body_length = 0;
		khttpd_stats.ok++;
	} else {
		conn->body_length = 0;
		khttpd_stats.refused++;
		/* Unread data would make the close a reset, and that could overtake the answer. */
		conn->drain = 1;
	}
	conn->head_length = http_write_head(&reply, conn->head);
	conn->sent = 0;
	conn->state = KHTTPD_SENDING;
	conn->deadline = jiffies + timeout * HZ;
	if (logging) {
		unsigned int peer = conn->sock->sk->daddr;

		printk(KERN_INFO KHTTPD_NAME ": %u.%u.%u.%u \"%s\" %d %u\n", peer >> 24, peer >> 16 & 255,
		       peer >> 8 & 255, peer & 255, conn->request.name, status, reply.length);
	}
}

/* The file of a name beneath the document root; whoever asks must be anybody. */
static int khttpd_open_file(struct khttpd_connection *conn)
{
	char path[KHTTPD_MAX_PATH];
	unsigned int root = strlen(docroot);
	struct inode *inode;
	struct file *file;
	int status = HTTP_NOT_FOUND;

	if (!root || root + strlen(conn->request.name) >= sizeof(path))
		return HTTP_NOT_FOUND;
	memcpy(path, docroot, root);
	strcpy(path + root, conn->request.name);
	file = filp_open(path, O_RDONLY, 0);
	if (IS_ERR(file))
		return HTTP_NOT_FOUND;
	inode = file->f_dentry->d_inode;
	/* Links in its index.html are relative to the directory: the client must know that it is one. */
	if (S_ISDIR(inode->i_mode))
		status = HTTP_MOVED;
	if (!S_ISREG(inode->i_mode) || !(inode->i_mode & S_IROTH) || inode->i_size > MAX_NON_LFS)
		goto close;
	conn->chunk = kmalloc(KHTTPD_CHUNK, GFP_KERNEL);
	if (!conn->chunk)
		goto close;
	conn->file = file;
	conn->body_length = inode->i_size;
	return HTTP_OK;
close:
	filp_close(file, NULL);
	return status;
}

/* A directory stands for the index.html in it. */
static void khttpd_name_index(struct http_request *request)
{
	unsigned int length = strlen(request->name);

	if (request->name[length - 1] == '/' && length + sizeof("index.html") <= HTTP_MAX_URI)
		strcpy(request->name + length, "index.html");
}

static int khttpd_find(struct khttpd_connection *conn)
{
	conn->page = khttpd_find_page(conn->request.name);
	if (!conn->page) {
		khttpd_name_index(&conn->request);
		conn->page = khttpd_find_page(conn->request.name);
	}
	if (!conn->page)
		return khttpd_open_file(conn);
	conn->page->users++;
	conn->body_length = conn->page->length;
	return HTTP_OK;
}

static void khttpd_serve(struct khttpd_connection *conn)
{
	int status = http_parse(conn->buffer, conn->received, &conn->request);

	khttpd_stats.requests++;
	if (status == HTTP_OK) {
		conn->drain = conn->request.end < conn->received;
		status = khttpd_find(conn);
	}
	khttpd_answer(conn, status);
}

/* Where the body goes on at a position; returns how much of it is there, or a negative number. */
static int khttpd_body(struct khttpd_connection *conn, unsigned int at, char **data)
{
	int got;

	if (conn->page) {
		*data = conn->page->data + at;
		return conn->body_length - at;
	}
	if (at < conn->chunk_at || at >= conn->chunk_at + conn->chunk_length) {
		unsigned int left = conn->body_length - at;

		got = kernel_read(conn->file, at, conn->chunk, left < KHTTPD_CHUNK ? left : KHTTPD_CHUNK);
		/* A file that has become shorter cannot keep what the head has promised. */
		if (got <= 0)
			return -EIO;
		conn->chunk_at = at;
		conn->chunk_length = got;
	}
	*data = conn->chunk + (at - conn->chunk_at);
	return conn->chunk_at + conn->chunk_length - at;
}

/* Connections: each step returns how much was done, or a negative number when the connection has ended. */

static int khttpd_receive(struct khttpd_connection *conn, char *buffer, unsigned int size)
{
	struct iovec iov = { .iov_base = buffer, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	return sock_recvmsg(conn->sock, &msg, size, MSG_DONTWAIT);
}

static int khttpd_read(struct khttpd_connection *conn)
{
	struct sock *sk = conn->sock->sk;
	int got;

	if (!skb_queue_empty(&sk->receive_queue)) {
		got = khttpd_receive(conn, conn->buffer + conn->received, HTTP_MAX_REQUEST - conn->received);
		if (got < 0)
			return got == -EAGAIN ? 0 : got;
		conn->received += got;
		if (http_complete(conn->buffer, conn->received))
			khttpd_serve(conn);
		else if (conn->received == HTTP_MAX_REQUEST) {
			khttpd_stats.requests++;
			khttpd_answer(conn, http_too_long(conn->buffer, conn->received));
		}
		return 1;
	}
	if (sk->state != TCP_ESTABLISHED) {
		/* The peer has sent all that it had to say, and it was no request. */
		if (sk->state != TCP_CLOSE_WAIT || !conn->received)
			return -ENOTCONN;
		khttpd_stats.requests++;
		khttpd_answer(conn, HTTP_BAD_REQUEST);
		return 1;
	}
	if (time_reached(conn->deadline)) {
		khttpd_stats.timeouts++;
		khttpd_answer(conn, HTTP_TIMEOUT);
		return 1;
	}
	return 0;
}

static int khttpd_finish(struct khttpd_connection *conn)
{
	if (!conn->drain)
		return -ENOTCONN;
	if (conn->sock->ops->shutdown(conn->sock, SEND_SHUTDOWN) < 0)
		return -ENOTCONN;
	conn->state = KHTTPD_DRAINING;
	conn->deadline = jiffies + KHTTPD_DRAIN_TIME;
	return 1;
}

static int khttpd_send(struct khttpd_connection *conn)
{
	struct sock *sk = conn->sock->sk;
	struct iovec iov[2];
	struct msghdr msg = { .msg_iov = iov, .msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL };
	unsigned int total = conn->head_length + conn->body_length, size = 0;
	char *data;
	int sent;

	if (sk->state != TCP_ESTABLISHED && sk->state != TCP_CLOSE_WAIT)
		return -EPIPE;
	if (sk->wmem_queued >= sk->sndbuf) {
		if (!time_reached(conn->deadline))
			return 0;
		khttpd_stats.timeouts++;
		return -ETIMEDOUT;
	}
	if (conn->sent < conn->head_length) {
		size = conn->head_length - conn->sent;
		iov[msg.msg_iovlen].iov_base = conn->head + conn->sent;
		iov[msg.msg_iovlen++].iov_len = size;
	}
	if (conn->body_length) {
		unsigned int at = conn->sent > conn->head_length ? conn->sent - conn->head_length : 0;
		int there = khttpd_body(conn, at, &data);

		if (there < 0)
			return there;
		iov[msg.msg_iovlen].iov_base = data;
		iov[msg.msg_iovlen++].iov_len = there;
		size += there;
	}
	sent = sock_sendmsg(conn->sock, &msg, size);
	if (sent < 0)
		return sent == -EAGAIN ? 0 : sent;
	conn->sent += sent;
	conn->deadline = jiffies + timeout * HZ;
	khttpd_stats.bytes += sent;
	return conn->sent == total ? khttpd_finish(conn) : 1;
}

static int khttpd_drain(struct khttpd_connection *conn)
{
	struct sock *sk = conn->sock->sk;
	char waste[KHTTPD_DRAIN_SIZE];

	if (!skb_queue_empty(&sk->receive_queue))
		return khttpd_receive(conn, waste, sizeof(waste));
	if (sk->state != TCP_FIN_WAIT1 && sk->state != TCP_FIN_WAIT2)
		return -ENOTCONN;
	return time_reached(conn->deadline) ? -ETIMEDOUT : 0;
}

static int khttpd_step(struct khttpd_connection *conn)
{
	switch (conn->state) {
	case KHTTPD_READING:
		return khttpd_read(conn);
	case KHTTPD_SENDING:
		return khttpd_send(conn);
	case KHTTPD_DRAINING:
		return khttpd_drain(conn);
	}
	return -EINVAL;
}

/* Would a step do anything? Nothing here leaves for the kernel. */
static int khttpd_ready(struct khttpd_connection *conn)
{
	struct sock *sk = conn->sock->sk;

	if (time_reached(conn->deadline))
		return 1;
	switch (conn->state) {
	case KHTTPD_READING:
		return !skb_queue_empty(&sk->receive_queue) || sk->state != TCP_ESTABLISHED;
	case KHTTPD_SENDING:
		return sk->wmem_queued < sk->sndbuf || (sk->state != TCP_ESTABLISHED && sk->state != TCP_CLOSE_WAIT);
	case KHTTPD_DRAINING:
		return !skb_queue_empty(&sk->receive_queue) ||
		       (sk->state != TCP_FIN_WAIT1 && sk->state != TCP_FIN_WAIT2);
	}
	return 1;
}

static void khttpd_close(struct khttpd_thread *me, struct khttpd_connection *conn)
{
	if (conn->state == KHTTPD_READING || (conn->state == KHTTPD_SENDING && conn->drain))
		khttpd_stats.aborted++;
	list_del(&conn->list);
	me->nr_connections--;
	remove_wait_queue(conn->sock->sk->sleep, &conn->sleep);
	sock_release(conn->sock);
	if (conn->page)
		khttpd_put_page(conn->page);
	if (conn->file)
		filp_close(conn->file, NULL);
	if (conn->chunk)
		kfree(conn->chunk);
	kfree(conn);
}

static int khttpd_may_accept(struct khttpd_thread *me)
{
	return me->nr_connections < maxconnect && !list_empty(&khttpd_listener->sk->tp.accept_queue);
}

static int khttpd_accept(struct khttpd_thread *me)
{
	struct khttpd_connection *conn;
	struct socket *sock;

	sock = sock_alloc();
	if (!sock)
		return -ENOMEM;
	sock->type = khttpd_listener->type;
	sock->ops = khttpd_listener->ops;
	if (khttpd_listener->ops->accept(khttpd_listener, sock, O_NONBLOCK) < 0)
		goto release;
	conn = kmalloc(sizeof(*conn), GFP_KERNEL);
	if (!conn)
		goto release;
	khttpd_stats.connections++;
	conn->sock = sock;
	conn->state = KHTTPD_READING;
	conn->deadline = jiffies + timeout * HZ;
	conn->drain = 0;
	conn->received = conn->sent = 0;
	conn->page = NULL;
	conn->file = NULL;
	conn->chunk = NULL;
	conn->chunk_at = conn->chunk_length = conn->body_length = 0;
	conn->request.method = HTTP_GET;
	conn->request.minor = 0;
	conn->request.name[0] = '\0';
	conn->sleep.flags = 0;
	conn->sleep.task = current;
	add_wait_queue(sock->sk->sleep, &conn->sleep);
	list_add_tail(&conn->list, &me->connections);
	me->nr_connections++;
	return 1;
release:
	sock_release(sock);
	return -EAGAIN;
}

/* One round: returns how much was done. */
static int khttpd_round(struct khttpd_thread *me)
{
	struct list_head *at, *next;
	int done = 0, i, step;

	for (i = 0; i < KHTTPD_ACCEPT_BATCH && khttpd_may_accept(me); i++) {
		if (khttpd_accept(me) < 0)
			break;
		done++;
	}
	for (at = me->connections.next; at != &me->connections; at = next) {
		struct khttpd_connection *conn = list_entry(at, struct khttpd_connection, list);

		next = at->next;
		/* A short request is answered, and its connection closed, in one round. */
		while (khttpd_ready(conn)) {
			step = khttpd_step(conn);
			if (step < 0)
				khttpd_close(me, conn);
			else
				done += step;
			if (step <= 0)
				break;
		}
	}
	return done;
}

/* Sleep until somebody has something to do; a wake-up that comes before the sleep is not lost. */
static void khttpd_rest(struct khttpd_thread *me)
{
	long wait = MAX_SCHEDULE_TIMEOUT;
	struct list_head *at;

	set_current_state(TASK_INTERRUPTIBLE);
	if (khttpd_may_accept(me) || khttpd_stopping)
		goto busy;
	list_for_each(at, &me->connections) {
		struct khttpd_connection *conn = list_entry(at, struct khttpd_connection, list);
		long left = conn->deadline - jiffies;

		if (khttpd_ready(conn))
			goto busy;
		if (left < wait)
			wait = left;
	}
	schedule_timeout(wait);
	return;
busy:
	set_current_state(TASK_RUNNING);
}

static int khttpd_main(void *arg)
{
	struct khttpd_thread *me = arg;

	daemonize();
	set_task_comm(current, me->name);
	set_fs(KERNEL_DS);
	me->sleep.task = current;
	add_wait_queue(khttpd_listener->sk->sleep, &me->sleep);
	while (!khttpd_stopping && !signal_pending(current))
		if (!khttpd_round(me))
			khttpd_rest(me);
	while (!list_empty(&me->connections))
		khttpd_close(me, list_entry(me->connections.next, struct khttpd_connection, list));
	remove_wait_queue(khttpd_listener->sk->sleep, &me->sleep);
	me->pid = 0;
	khttpd_running--;
	wake_up(&khttpd_done);
	return 0;
}

/* Load and unload. */

static int khttpd_listen(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port) };
	int err = sock_create(PF_INET, SOCK_STREAM, IPPROTO_TCP, &khttpd_listener);

	if (err < 0)
		return err;
	sin.sin_addr.s_addr = htonl(INADDR_ANY);
	err = khttpd_listener->ops->bind(khttpd_listener, (struct sockaddr *)&sin, sizeof(sin));
	if (err >= 0)
		err = khttpd_listener->ops->listen(khttpd_listener, KHTTPD_BACKLOG);
	if (err < 0) {
		printk(KERN_ERR KHTTPD_NAME ": port %d cannot be served: error %d\n", port, -err);
		sock_release(khttpd_listener);
	}
	return err;
}

static void khttpd_stop(void)
{
	int i;

	khttpd_stopping = 1;
	for (i = 0; i < threads; i++)
		/* One that an oops has killed is not there any more, and will not say that it has ended. */
		if (khttpd_threads[i].pid > 0 && kill_proc(khttpd_threads[i].pid, SIGKILL, 1) == -ESRCH)
			khttpd_running--;
	while (khttpd_running > 0)
		interruptible_sleep_on_timeout(&khttpd_done, HZ);
	sock_release(khttpd_listener);
	khttpd_remove_all_pages();
}

static int khttpd_start(void)
{
	int i, pid;

	for (i = 0; i < threads; i++) {
		struct khttpd_thread *thread = &khttpd_threads[i];

		INIT_LIST_HEAD(&thread->connections);
		memcpy(thread->name, "khttpd/x", 9);
		thread->name[7] = i < 10 ? '0' + i : 'a' + i - 10;
		khttpd_running++;
		pid = kernel_thread(khttpd_main, thread, CLONE_FS | CLONE_FILES | CLONE_SIGHAND);
		if (pid < 0) {
			khttpd_running--;
			return pid;
		}
		thread->pid = pid;
	}
	return 0;
}

static int __init khttpd_init(void)
{
	int err;

	if (port < 1 || port > 65535 || threads < 1 || threads > KHTTPD_MAX_THREADS) {
		printk(KERN_ERR KHTTPD_NAME ": %d threads on port %d are out of range\n", threads, port);
		return -EINVAL;
	}
	if (timeout < 1 || maxconnect < 1) {
		printk(KERN_ERR KHTTPD_NAME ": timeout and maxconnect must be positive\n");
		return -EINVAL;
	}
	err = khttpd_listen();
	if (err < 0)
		return err;
	khttpd_sysctl = register_sysctl_table(khttpd_root, 0);
	if (!khttpd_sysctl) {
		sock_release(khttpd_listener);
		return -ENOMEM;
	}
	err = khttpd_start();
	if (err < 0) {
		unregister_sysctl_table(khttpd_sysctl);
		khttpd_stop();
		return err;
	}
	printk(KERN_INFO KHTTPD_NAME " " KHTTPD_VERSION ": %d threads on port %d\n", threads, port);
	return 0;
}

static void __exit khttpd_exit(void)
{
	unregister_sysctl_table(khttpd_sysctl);
	khttpd_stop();
}

module_init(khttpd_init);
module_exit(khttpd_exit);
