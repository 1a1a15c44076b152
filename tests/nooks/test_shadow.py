"""Shadow copies: inlines write the domain's copy of a kernel variable, and XPCs bring the writes over."""

from collections.abc import Iterator

import armed_driver
import census
import pytest
from armed_driver import boot_up, ping

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.kernel.module import ModuleError
from nooks_lab.lab import Lab
from nooks_lab.nooks.tracking.validate import validate
from nooks_lab.toolchain.elf import ObjectFile

PUSH = """
#include <linux/module.h>
#include <linux/netdevice.h>
static struct sk_buff *first, *second;
int init_module(void)
{
	first = dev_alloc_skb(100);
	second = dev_alloc_skb(100);
	%s
	return 0;
}
void cleanup_module(void) { }
"""

MISUSES = {
    "a packet that is none": (
        "softnet_data.completion_queue = (struct sk_buff *)0xc0100000;",
        "dev_kfree_skb_irq: c0100000 is no sk_buff of domain push",
    ),
    "a circle": (
        "first->next = first; softnet_data.completion_queue = first;",
        "dev_kfree_skb_irq: the completion queue runs in a circle",
    ),
    "a packet freed before": (
        "kfree_skb(first); first->users.counter = 1; dev_kfree_skb_irq(first);",
        "is no sk_buff of domain push",
    ),
    "a packet freed again": ("dev_kfree_skb_irq(first); kfree_skb(first);", "kfree_skb: "),
}


@pytest.fixture(scope="module")
def bare() -> Iterator[Lab]:
    with nl.boot(nooks=True) as booted:
        booted.insmod("e1000")
        booted.kernel.rmmod("e1000")
        yield booted


def push(body: str) -> ObjectFile:
    return extensions.build("push.c", PUSH % body)


def test_sent_packets_are_freed_through_the_shadow_and_cost_no_xpc() -> None:
    with boot_up("e1000") as lab:
        nooks, kernel = lab.nooks, lab.kernel
        assert nooks is not None
        assert ping(lab)
        before, calls = census.take(lab), nooks.xpc.kernel_calls
        for _ in range(20):
            kernel.send_frame("eth0", armed_driver.BROADCAST)
        lab.run(0.05)
        assert census.take(lab) == before
        assert kernel.net._softnet.completion_queue == 0
        assert nooks.shadows.synchronised > 0
        names = {name for name in armed_driver.module(lab).bindings if "kfree_skb" in name}
        assert "dev_kfree_skb_irq" not in names
        assert nooks.xpc.kernel_calls > calls
        assert validate(nooks) == []


def test_a_pushed_packet_reaches_the_kernels_queue_and_raises_the_softirq(bare: Lab) -> None:
    before = census.take(bare)
    # The softirq is the kernel's own: until it runs, both packets wait in the kernel's queue.
    bare.insmod(push("dev_kfree_skb_irq(first); dev_kfree_skb_irq(second);"))
    bare.run(0.02)
    domain = bare.nooks.domains[0] if bare.nooks else None
    assert domain is not None
    assert [o.type for o in bare.nooks.tracker.objects(domain)] == []
    bare.kernel.rmmod("push")
    assert census.take(bare) == before


def test_what_the_kernel_has_pending_shows_in_the_shadow(bare: Lab) -> None:
    body = "if (in_interrupt()) return -1; if (irq_stat.local_bh_count) return -2;"
    bare.insmod(push(body + "kfree_skb(first); kfree_skb(second);"))
    bare.kernel.rmmod("push")


def test_an_extension_cannot_change_the_kernels_counts(bare: Lab) -> None:
    stat = bare.kernel.irq_stat
    body = "irq_stat.local_irq_count = 7; irq_stat.softirq_pending = 0xfffffff0; kfree_skb(first); kfree_skb(second);"
    bare.insmod(push(body))
    assert (stat.local_irq_count, stat.softirq_pending) == (0, 0)
    bare.kernel.rmmod("push")


@pytest.mark.parametrize("name", MISUSES)
def test_a_misused_shadow_fails_the_extension_and_not_the_kernel(bare: Lab, name: str) -> None:
    body, complaint = MISUSES[name]
    before, said = census.take(bare), len(bare.dmesg())
    with pytest.raises(ModuleError, match=r"^module push: init_module returned error 5$"):
        bare.insmod(push(body))
    bare.run(0.02)
    assert complaint in bare.dmesg()[said:]
    assert census.take(bare) == before


def test_a_shadow_is_a_copy_of_each_domain(bare: Lab) -> None:
    first = bare.insmod(push("kfree_skb(first); kfree_skb(second);"))
    # A module that never names the variable gets no shadow.
    assert "softnet_data" not in first.bindings
    bare.kernel.rmmod("push")
    second = bare.insmod(push("dev_kfree_skb_irq(first); kfree_skb(second);"))
    assert bare.nooks is not None
    (domain,) = bare.nooks.domains
    assert domain.may_write(second.bindings["softnet_data"])
    assert second.bindings["softnet_data"] != bare.kernel.exported["softnet_data"]
    bare.run(0.02)
    bare.kernel.rmmod("push")
