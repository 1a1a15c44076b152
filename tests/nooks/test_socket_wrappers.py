"""What wrappers refuse of sockets, threads and sysctl tables, and what runs in which domain."""

from collections.abc import Iterator

import pytest

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.faults import census
from nooks_lab.kernel.net.inet_stream import OPERATIONS
from nooks_lab.lab import Lab
from nooks_lab.nooks.tracking.validate import validate

SOURCE = """
#include <linux/module.h>
#include <linux/in.h>
#include <linux/net.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/sysctl.h>
#include <asm/byteorder.h>
#include <asm/uaccess.h>
#include <net/sock.h>

static struct socket *sock;
static DECLARE_WAITQUEUE(waiter, 0);
int ran;
unsigned long ran_on;
int value = 41;

static int thread(void *arg)
{
	int here;

	daemonize();
	set_task_comm(current, "talker");
	ran = (int)arg;
	ran_on = (unsigned long)&here;
	while (!signal_pending(current)) {
		set_current_state(TASK_INTERRUPTIBLE);
		schedule_timeout(100);
	}
	ran = -1;
	return 0;
}
int start(int arg) { return kernel_thread(thread, (void *)arg, 0); }
int start_at(int (*fn)(void *)) { return kernel_thread(fn, NULL, 0); }
int stop(int pid) { return kill_proc(pid, SIGTERM, 1); }

int create(void) { return sock_create(PF_INET, SOCK_STREAM, 0, &sock); }
int create_at(struct socket **where) { return sock_create(PF_INET, SOCK_STREAM, 0, where); }
int create_other(int family, int type) { return sock_create(family, type, 0, &sock); }
int listen_at(int port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(port) };
	int err = sock->ops->bind(sock, (struct sockaddr *)&sin, sizeof(sin));

	return err ? err : sock->ops->listen(sock, 5);
}
int name(void)
{
	struct sockaddr_in sin;
	int length = sizeof(sin), err = sock->ops->getname(sock, (struct sockaddr *)&sin, &length, 0);

	return err ? err : ntohs(sin.sin_port);
}
int release(void) { sock_release(sock); return 0; }
int release_at(struct socket *what) { sock_release(what); return 0; }
int send(void *data, int length)
{
	struct iovec iov = { .iov_base = data, .iov_len = length };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_flags = MSG_DONTWAIT };

	set_fs(KERNEL_DS);
	return sock_sendmsg(sock, &msg, length);
}
int receive(void *data, int length, int count)
{
	struct iovec iov = { .iov_base = data, .iov_len = length };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = count };

	set_fs(KERNEL_DS);
	return sock_recvmsg(sock, &msg, length, MSG_DONTWAIT);
}
int wait_on_it(void) { waiter.task = current; add_wait_queue(sock->sk->sleep, &waiter); return 0; }
int wait_on(wait_queue_head_t *q) { waiter.task = current; add_wait_queue(q, &waiter); return 0; }
int wait_no_more(void) { remove_wait_queue(sock->sk->sleep, &waiter); return 0; }
int state(void) { return sock->sk->state; }
int other_operations(void)
{
	static struct proto_ops own;
	struct socket *fresh = sock_alloc();

	fresh->ops = &own;
	return sock->ops->accept(sock, fresh, 04000);
}
int write_to_sock(void) { sock->sk->state = 7; return 0; }
int write_to_operations(void) { sock->ops->bind = NULL; return 0; }

static ctl_table table[3];
static ctl_table root[2];
static struct ctl_table_header *header;
int show(void *data, void *handler)
{
	table[0].procname = "value";
	table[0].data = data ? data : &value;
	table[0].maxlen = sizeof(int);
	table[0].mode = 0644;
	table[0].proc_handler = handler ? handler : (void *)proc_dointvec;
	root[0].procname = "talker";
	root[0].child = table;
	header = register_sysctl_table(root, 0);
	return header ? 0 : -12;
}
int show_circle(void) { table[0].procname = "a"; table[0].child = table; return !register_sysctl_table(table, 0); }
int hide(void) { unregister_sysctl_table(header); return 0; }
int hide_at(struct ctl_table_header *what) { unregister_sysctl_table(what); return 0; }

int init_module(void) { return 0; }
void cleanup_module(void) { }
"""

KERNEL = 0xC0200000
"""An address of the kernel's memory that is no extension's."""


@pytest.fixture
def lab() -> Iterator[Lab]:
    with nl.boot(nooks=True) as booted:
        booted.insmod(extensions.build("talker.c", SOURCE))
        yield booted


def symbol(lab: Lab, name: str) -> int:
    return lab.kernel.modules.loaded["talker"].image.symbols[name]


def do(lab: Lab, name: str, *arguments: int) -> int:
    domain = lab.nooks.domain_of("talker")
    call = lab.nooks.call_extension
    result = lab.kernel.in_task(name, lambda: call(domain, -5, symbol(lab, name), *arguments))
    return result - (1 << 32) if result >> 31 == 1 else result


def word(lab: Lab, name: str) -> int:
    return lab.kernel.memory.u32(symbol(lab, name))


def test_a_thread_runs_in_its_domain_and_ends_by_a_signal(lab):
    pid = do(lab, "start", 77)
    lab.run(0.01)
    thread = lab.kernel.sched.threads[pid]
    domain = lab.nooks.domain_of("talker")
    assert word(lab, "ran") == 77
    assert domain.may_write(word(lab, "ran_on"))
    assert thread.task.comm == b"talker"
    assert lab.nooks.xpc.tasks_in(domain) == [pid]
    assert not validate(lab.nooks)
    assert do(lab, "stop", pid) == 0
    lab.run(0.01)
    assert word(lab, "ran") == 0xFFFFFFFF
    assert pid not in lab.kernel.sched.threads
    assert not [each for each in lab.nooks.tracker.objects(domain) if each.type == "kernel thread"]
    assert do(lab, "stop", pid) == -3


def test_a_thread_may_live_longer_than_a_livelock(lab):
    do(lab, "start", 1)
    lab.run(5)
    assert not lab.nooks.recoveries


@pytest.mark.parametrize("began", [True, False])
def test_recovery_ends_a_thread_that_sleeps_or_has_not_begun(lab, began):
    pid = do(lab, "start", 5)
    if began:
        lab.run(0.01)
    lab.nooks.recover("talker")
    lab.run(0.1)
    assert lab.nooks.recoveries[0].ok
    assert pid not in lab.kernel.sched.threads
    assert word(lab, "ran") == 0


def test_operations_are_called_through_wrappers(lab):
    assert do(lab, "create") == 0
    assert do(lab, "listen_at", 8000) == 0
    assert do(lab, "name") == 8000
    domain = lab.nooks.domain_of("talker")
    (table,) = [each for each in lab.nooks.tracker.objects(domain) if each.type == "proto_ops"]
    own, kernel = (lab.kernel.types.view("proto_ops", at) for at in (table.extension, table.kernel))
    for member, function in OPERATIONS.items():
        assert getattr(own, member) == lab.nooks.interposition.kernel_gates[function]
        assert getattr(kernel, member) == lab.kernel.exported[function]
    assert do(lab, "state") == 10
    assert not validate(lab.nooks)
    assert do(lab, "release") == 0
    assert not lab.kernel.inet.tcp.table.listeners()


def test_a_socket_of_another_kind_is_an_error_and_no_failure(lab):
    assert do(lab, "create_other", 1, 1) == -97
    assert do(lab, "create_other", 2, 2) == -94
    assert not lab.nooks.recoveries


def test_a_queue_of_a_socket_is_waited_on(lab):
    do(lab, "create")
    assert do(lab, "wait_on_it") == 0
    assert do(lab, "wait_no_more") == 0
    assert do(lab, "release") == 0
    assert not lab.nooks.recoveries


BAD = {
    "create_at": ("create_at", (KERNEL,), "sock_create: c0200000 is no memory"),
    "release_at": ("release_at", (KERNEL,), "sock_release: c0200000 is no socket"),
    "send from nowhere": ("send", (0xF0000000, 10), "sock_sendmsg: f0000000 is not mapped"),
    "send of a user": ("send", (0x1000, 10), "sock_sendmsg: 00001000 is no kernel address"),
    "receive into the kernel": ("receive", (KERNEL, 10, 1), "sock_recvmsg: c0200000 is no memory"),
    "too many buffers": ("receive", (KERNEL, 10, 5000), "5000 buffers are more than a message can have"),
    "a queue of the kernel": ("wait_on", (KERNEL,), "add_wait_queue: c0200000 is no wait queue"),
    "other operations": ("other_operations", (), "are no operations of domain talker"),
    "a store to the sock": ("write_to_sock", (), "page fault: write to"),
    "a thread of the kernel": ("start_at", (KERNEL,), "kernel_thread: c0200000 is no function"),
    "a thread of init": ("stop", (1,), "process 1 is no thread of domain talker"),
    "an int of the kernel": ("show", (KERNEL, 0), "register_sysctl_table: c0200000 is no memory"),
    "a handler of the kernel": ("show", (0, KERNEL), "register_sysctl_table: c0200000 is no function"),
    "an endless tree": ("show_circle", (), "the tree of tables has no end"),
    "a header of nobody": ("hide_at", (KERNEL,), "unregister_sysctl_table: c0200000 is no sysctl header"),
}


@pytest.fixture(scope="module")
def victim() -> Iterator[Lab]:
    with nl.boot(nooks=True) as booted:
        # Process 1 does not end while the tests run.
        booted.kernel.start("sleeper", lambda: booted.kernel.sched.schedule_timeout(1 << 30)).task.state = 2
        booted.insmod(extensions.build("talker.c", SOURCE))
        booted.nooks.recover("talker")
        booted.run(0.1)
        yield booted


@pytest.mark.parametrize("case", BAD)
def test_a_bad_call_is_a_failure_of_the_extension_alone(victim, case):
    name, arguments, trigger = BAD[case]
    before = census.take(victim)
    done = len(victim.nooks.recoveries)
    do(victim, "create")
    do(victim, "listen_at", 8000)
    assert do(victim, name, *arguments) == -5
    victim.run(0.1)
    recovery = victim.nooks.recoveries[done]
    assert trigger in recovery.trigger
    assert recovery.ok
    assert not recovery.leaked
    assert not any(census.take(victim).more_than(before).values())
    assert not victim.kernel.inet.tcp.table.listeners()
    assert not validate(victim.nooks)


def test_a_socket_that_is_waited_on_is_not_released(lab):
    do(lab, "create")
    do(lab, "wait_on_it")
    assert do(lab, "release") == -5
    lab.run(0.1)
    assert "still waits on the socket" in lab.nooks.recoveries[0].trigger
    assert lab.nooks.recoveries[0].leaked == 0


def test_a_variable_is_reached_through_the_kernels_version_of_its_table(lab):
    kernel = lab.kernel
    before = census.take(lab)
    assert do(lab, "show", 0, 0) == 0
    assert kernel.in_task("cat", lambda: kernel.sysctl.read("talker/value")) == b"41\n"
    kernel.in_task("echo", lambda: kernel.sysctl.write("talker/value", b"-7"))
    assert word(lab, "value") == 0xFFFFFFF9
    assert not validate(lab.nooks)
    assert do(lab, "hide") == 0
    assert not any(census.take(lab).more_than(before).values())


def test_tables_go_with_a_failed_domain(lab):
    do(lab, "show", 0, 0)
    lab.nooks.recover("talker")
    lab.run(0.1)
    assert lab.nooks.recoveries[0].leaked == 0
    assert not lab.kernel.sysctl.tables()
