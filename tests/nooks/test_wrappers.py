"""Wrappers: nothing of an extension's reaches the kernel unwrapped, unchecked or uncopied."""

from collections.abc import Iterator

import armed_driver
import census
import pytest
from armed_driver import boot_up

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.kernel.irq import NR_IRQS
from nooks_lab.kernel.modules import ModuleError
from nooks_lab.lab import Lab
from nooks_lab.machine.memory import PAGE_MASK, PAGE_SIZE
from nooks_lab.nooks.isolation.domain import Domain
from nooks_lab.nooks.manager import Nooks
from nooks_lab.nooks.tracking.tracker import TrackedObject
from nooks_lab.nooks.wrappers.copies import NET_DEVICE_OPS, NET_DEVICE_WRITABLE
from nooks_lab.nooks.wrappers.declare import KERNEL_WRAPPERS, RUN_IN_PLACE
from nooks_lab.nooks.xpc.shadow import SHADOWS


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with boot_up("e1000") as booted:
        yield booted


@pytest.fixture(scope="module")
def nooks(lab: Lab) -> Nooks:
    assert lab.nooks is not None
    return lab.nooks


@pytest.fixture(scope="module")
def domain(nooks: Nooks) -> Domain:
    (only,) = nooks.domains
    return only


def held(nooks: Nooks, domain: Domain, kind: str) -> list[TrackedObject]:
    return [tracked for tracked in nooks.tracker.objects(domain) if tracked.type == kind]


# Binding


def test_the_same_object_runs_natively_and_isolated(lab: Lab) -> None:
    with nl.boot() as native:
        plain = native.insmod("e1000")
    isolated = armed_driver.module(lab)
    assert plain.object.sha256 == isolated.object.sha256
    assert plain.bindings.keys() == isolated.bindings.keys()


def test_every_import_is_a_wrapper_or_linked_straight_in(lab: Lab) -> None:
    gates = lab.kernel.execution.gates
    bindings = armed_driver.module(lab).bindings
    assert bindings
    for name, address in bindings.items():
        if name in SHADOWS:
            (domain,) = lab.nooks.domains if lab.nooks else ()
            assert domain.may_write(address), name
        elif name in RUN_IN_PLACE or name in lab.kernel.layouts.variables:
            assert address == lab.kernel.exported[name], name
        else:
            assert gates[address].name == f"nooks_{name}"
            assert address != lab.kernel.exported[name], name


def test_every_wrapper_stands_for_a_function_of_the_kernel(lab: Lab) -> None:
    assert KERNEL_WRAPPERS.keys() <= lab.kernel.functions.keys()
    assert not KERNEL_WRAPPERS.keys() & RUN_IN_PLACE


def test_a_function_without_a_wrapper_is_refused() -> None:
    with nl.boot(nooks=True) as lab:
        bare = sorted(lab.kernel.functions.keys() - KERNEL_WRAPPERS.keys() - RUN_IN_PLACE)
        assert bare
        obj = extensions.build(
            "bare.c", f"int {bare[0]}(void); int init_module(void) {{ return {bare[0]}(); }}"
        )
        with pytest.raises(ModuleError, match=f"^module bare: no wrapper for {bare[0]}$"):
            lab.insmod(obj)
        assert lab.nooks is not None
        assert lab.nooks.domains == []


# Function pointers


def test_every_function_pointer_that_the_kernel_holds_is_a_wrapper(lab: Lab) -> None:
    kernel, module = lab.kernel, armed_driver.module(lab)
    gates = kernel.execution.gates
    device = kernel.net.by_name("eth0")
    pointers = {f"net_device.{name}": getattr(device, name) for name in NET_DEVICE_OPS}
    pointers = {kind: address for kind, address in pointers.items() if address}
    assert {"net_device.open", "net_device.hard_start_xmit"} <= pointers.keys()
    (driver,) = (kernel.types.view("pci_driver", address) for address in kernel.pci.drivers())
    pointers |= {"pci_driver.probe": driver.probe, "pci_driver.remove": driver.remove}
    (action,) = (action for irq in range(NR_IRQS) for action in kernel.irq.actions(irq))
    pointers["irqaction.handler"] = action.handler
    for kind, address in pointers.items():
        assert gates[address].name == f"nooks_{kind}"
    timers = {kernel.types.view("timer_list", timer).function for timer in kernel.timers.pending()}
    assert "nooks_timer_list.function" in {gates[address].name for address in timers}
    assert not any(module.base <= address < module.base + module.size for address in timers)


def test_the_kernels_structs_are_not_the_drivers_to_write(lab: Lab, nooks: Nooks, domain: Domain) -> None:
    for kind in ("net_device", "pci_driver", "pci_dev", "timer_list", "sk_buff", "irqaction"):
        objects = held(nooks, domain, kind)
        assert objects, kind
        for tracked in objects:
            assert not domain.may_write(tracked.kernel), kind
    for kind in ("net_device", "sk_buff", "heap block", "timer_list", "consistent memory"):
        for tracked in held(nooks, domain, kind):
            assert domain.may_write(tracked.extension), kind


# Bad parameters

PROLOGUE = """
#include <linux/module.h>
#include <linux/kernel.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <linux/pci.h>
#include <linux/netdevice.h>
#include <linux/etherdevice.h>
#include <linux/interrupt.h>
#include <linux/timer.h>
#include <linux/sched.h>
#include <asm/io.h>
#include <asm/uaccess.h>
static char buffer[64];
static struct net_device *dev;
static struct sk_buff *skb;
static struct timer_list timer;
static void nothing(int irq, void *id, struct pt_regs *regs) { }
static void never(unsigned long data) { }
"""

BAD_CALLS = {
    "kfree twice": ("void *p = kmalloc(10, 0); kfree(p); kfree(p);", "kfree: "),
    "kfree of kernel memory": ("kfree((void *)0xc0100000);", "kfree: c0100000 is no object"),
    "kfree inside a block": ("char *p = kmalloc(64, 0); kfree(p + 32);", "kfree: "),
    "vfree of the heap": ("vfree(kmalloc(10, 0));", "vfree: "),
    "vfree twice": ("void *p = vmalloc(10); vfree(p); vfree(p);", "vfree: "),
    "ioremap of RAM": ("ioremap(0x100000, 4096);", "ioremap: 00100000 is RAM"),
    "iounmap of an area": ("iounmap(vmalloc(5000));", "iounmap: "),
    "netif_rx of garbage": ("netif_rx((struct sk_buff *)buffer);", "netif_rx: "),
    "netif_rx without a device": ("netif_rx(dev_alloc_skb(100));", "netif_rx: 00000000 is no net_device"),
    "kfree_skb twice": ("skb = dev_alloc_skb(100); kfree_skb(skb); kfree_skb(skb);", "kfree_skb: "),
    "skb_put too far": ("skb_put(dev_alloc_skb(100), 100000);", "skb_put of 100000 bytes leaves packet"),
    "a packet with its tail elsewhere": (
        "dev = alloc_etherdev(0); skb = dev_alloc_skb(100); skb->dev = dev; skb->tail = 0; netif_rx(skb);",
        "has data",
    ),
    "pci_map_single without a device": (
        "pci_map_single((struct pci_dev *)buffer, buffer, 10, PCI_DMA_TODEVICE);",
        "pci_map_single: ",
    ),
    "pci_enable_device of garbage": ("pci_enable_device((struct pci_dev *)buffer);", "pci_enable_device: "),
    "pci_register_driver of NULL": ("pci_register_driver((struct pci_driver *)0);", "pci_register_driver: "),
    "pci_unregister_driver": (
        "pci_unregister_driver((struct pci_driver *)buffer);",
        "pci_unregister_driver: ",
    ),
    "register_netdev of garbage": ("register_netdev((struct net_device *)buffer);", "register_netdev: "),
    "unregister_netdev of a stranger": ("unregister_netdev(alloc_etherdev(0));", "unregister_netdev: "),
    "netif_stop_queue of garbage": ("netif_stop_queue((struct net_device *)buffer);", "netif_stop_queue: "),
    "request_irq with a name that is none": ("request_irq(5, nothing, 0, (char *)4, 0);", "request_irq: "),
    "free_irq of a stranger": ("free_irq(0, 0);", "free_irq: "),
    "disable_irq of the timer": ("disable_irq(0);", "disable_irq: "),
    "add_timer in kernel memory": (
        "init_timer(&timer); timer.function = never; mod_timer((struct timer_list *)0xc0100000, 5);",
        "mod_timer: c0100000 is no memory",
    ),
    "sprintf to kernel memory": ('sprintf((char *)0xc0100000, "%d", 5);', "sprintf: c0100000"),
    "snprintf to kernel memory": ('snprintf((char *)0xc0100000, 9, "%d", 5);', "snprintf: c0100000"),
    "sprintf of a bad format": ("sprintf(buffer, (char *)0x10);", ""),
    "printk of a bad string": ('printk("%s", (char *)0x10);', ""),
    "set_task_state of another": ("set_task_state((struct task_struct *)buffer, 1);", "set_task_state: "),
    "copy_from_user to the kernel": (
        "copy_from_user((void *)0xc0100000, (void *)0x8048000, 4);",
        "copy_from_user: ",
    ),
    "panic": ('panic("no device %d\\n", 7);', "panic: no device 7"),
    "a store to kernel memory": ("*(volatile int *)0xc0100000 = 1;", "page fault: write to c0100000 at "),
    "a division by zero": ("volatile int zero = 0, ten = 10; return ten / zero;", "divide error"),
}


@pytest.fixture(scope="module")
def bare() -> Iterator[Lab]:
    with nl.boot(nooks=True) as booted:
        # What the first load sets up for good: a table for the vmalloc area, and wrappers.
        booted.insmod("e1000")
        booted.kernel.rmmod("e1000")
        yield booted


def bad_module(body: str) -> str:
    return f"{PROLOGUE}int init_module(void) {{ {body} return 0; }}\n"


@pytest.mark.parametrize("name", BAD_CALLS)
def test_a_bad_parameter_fails_the_module_and_not_the_kernel(bare: Lab, name: str) -> None:
    body, complaint = BAD_CALLS[name]
    obj = extensions.build("bad.c", bad_module(body))
    before, said = census.take(bare), len(bare.dmesg())
    text = bare.kernel.memory.read(0xC0100000, PAGE_SIZE)
    with pytest.raises(ModuleError, match=r"^module bad: init_module returned error 5$"):
        bare.insmod(obj)
    bare.run(0.02)
    assert "nooks: bad failed in its init: " in bare.dmesg()[said:]
    assert complaint in bare.dmesg()[said:]
    assert census.take(bare) == before
    assert bare.kernel.memory.read(0xC0100000, PAGE_SIZE) == text
    assert bare.nooks is not None
    assert bare.nooks.domains == []
    assert bare.nooks.recoveries == []


LEAKS = {
    "heap": "int i; for (i = 0; i < 50; i++) kmalloc(900, 0);",
    "areas": "vmalloc(30000); ioremap(0xfd000000, 8192);",
    "packets": "dev_alloc_skb(100); alloc_skb(5000, 0);",
    "a device": "dev = alloc_etherdev(100); register_netdev(dev);",
    "a timer": "init_timer(&timer); timer.function = never; mod_timer(&timer, jiffies + 100);",
    "an interrupt": 'request_irq(5, nothing, 0, "bad", buffer);',
}


@pytest.mark.parametrize("name", LEAKS)
@pytest.mark.parametrize("end", ["return -12;", "*(volatile int *)0 = 1;"], ids=["error", "fault"])
def test_what_a_failed_init_held_is_released(bare: Lab, name: str, end: str) -> None:
    before = census.take(bare)
    with pytest.raises(ModuleError, match=r"^module bad: init_module returned error (5|12)$"):
        bare.insmod(extensions.build("bad.c", bad_module(LEAKS[name] + end)))
    bare.run(0.02)
    assert census.take(bare) == before


# Call by value and result


def test_the_drivers_fields_flow_back_and_the_kernels_do_not(lab: Lab, nooks: Nooks, domain: Domain) -> None:
    (tracked,) = held(nooks, domain, "net_device")
    memory, size = lab.kernel.memory, lab.kernel.types.size("net_device")
    before, own = memory.read(tracked.kernel, size), memory.read(tracked.extension, size)
    memory.write(tracked.extension, b"\x5a" * size)
    nooks.net_device.to_kernel(tracked.kernel, tracked.extension)
    after = memory.read(tracked.kernel, size)
    memory.write(tracked.kernel, before)
    memory.write(tracked.extension, own)
    for name, field in lab.kernel.layouts.structs["net_device"].fields.items():
        span = slice(field.offset, field.offset + field.type.size)
        if name in NET_DEVICE_WRITABLE:
            assert after[span] == b"\x5a" * field.type.size, name
        elif name in NET_DEVICE_OPS:
            gate = lab.kernel.execution.gates[int.from_bytes(after[span], "little")]
            assert gate.name == f"nooks_net_device.{name}"
        else:
            assert after[span] == before[span], name


def test_the_drivers_private_area_and_operations_stay_its_own(lab: Lab, nooks: Nooks, domain: Domain) -> None:
    (tracked,) = held(nooks, domain, "net_device")
    kernel, own = lab.kernel.net.view(tracked.kernel), lab.kernel.net.view(tracked.extension)
    before = [getattr(own, name) for name in ("priv", *NET_DEVICE_OPS)]
    nooks.net_device.to_extension(tracked.kernel, tracked.extension)
    assert [getattr(own, name) for name in ("priv", *NET_DEVICE_OPS)] == before
    assert own.priv != kernel.priv
    assert own.open == armed_driver.symbol(lab, "e1000_open")
    assert (own.ifindex, own.name, own.state, own.mtu) == (
        kernel.ifindex,
        kernel.name,
        kernel.state,
        kernel.mtu,
    )


def test_a_call_brings_what_the_driver_changed_to_the_kernel(lab: Lab, nooks: Nooks, domain: Domain) -> None:
    (tracked,) = held(nooks, domain, "net_device")
    device = lab.kernel.net.by_name("eth0")
    call, change = lab.kernel.execution.call, device.change_mtu
    for mtu in (1400, 1500):
        assert lab.kernel.in_task("ifconfig", lambda m=mtu: call(change, tracked.kernel, m)) == 0
        assert device.mtu == mtu
        assert lab.kernel.net.view(tracked.extension).mtu == mtu
    lab.run(0.1)


# Packets


def granted(domain: Domain) -> set[int]:
    return {page for page, reason in domain.writable.items() if reason == "packet"}


def test_just_the_packets_that_the_driver_holds_are_mapped(lab: Lab, nooks: Nooks, domain: Domain) -> None:
    def pages() -> set[int]:
        spans = (tracked.detail for tracked in held(nooks, domain, "sk_buff"))
        return {page for head, end, _ in spans for page in range(head & PAGE_MASK, end, PAGE_SIZE)}

    lab.run(0.05)
    ring = pages()
    assert granted(domain) == ring
    lab.kernel.send_frame("eth0", armed_driver.BROADCAST)
    during = pages()
    assert granted(domain) == during
    assert len(during) > len(ring)
    for _ in range(5):
        lab.peer.send(armed_driver.BROADCAST)
    lab.run(0.05)
    assert granted(domain) == pages()
    assert len(granted(domain)) == len(ring)
    (sent,) = during - ring
    assert sent in pages() or not domain.may_write(sent)


def test_a_closed_device_holds_no_packet(lab: Lab, nooks: Nooks, domain: Domain) -> None:
    lab.kernel.ifconfig_down("eth0")
    assert granted(domain) == set()
    for kind in ("sk_buff", "dma mapping", "consistent memory", "irqaction", "timer_list"):
        assert held(nooks, domain, kind) == [], kind
    assert lab.kernel.ifconfig_up("eth0") == 0
    lab.run(0.05)
