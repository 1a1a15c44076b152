"""Which wrappers an extension uses is read from the running system, and so is who shares them."""

from collections.abc import Iterator

import armed_driver
import pytest

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.lab import Lab
from nooks_lab.nooks.wrappers.sharing import WrapperUse, sharing, use_of, users

ALLOCATES = """
#include <linux/module.h>
#include <linux/slab.h>
static void *held;
int init_module(void) { held = kmalloc(40, GFP_KERNEL); return held ? 0 : -12; }
void cleanup_module(void) { kfree(held); }
"""
HAS_TIMER = """
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <linux/sched.h>
static struct timer_list timer;
static void *held;
static void tick(unsigned long data) { mod_timer(&timer, jiffies + 2); }
int init_module(void)
{
	held = kmalloc(40, GFP_KERNEL);
	timer.function = tick;
	mod_timer(&timer, jiffies + 2);
	return 0;
}
void cleanup_module(void) { del_timer(&timer); kfree(held); }
"""
HAS_DEVICE = """
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/netdevice.h>
#include <linux/etherdevice.h>
#include <linux/sched.h>
static struct net_device *dev;
static int up(struct net_device *dev) { return 0; }
static void handle(int irq, void *id, struct pt_regs *regs) { }
int init_module(void)
{
	dev = alloc_etherdev(0);
	dev->open = up;
	dev->stop = up;
	if (register_netdev(dev))
		return -19;
	return request_irq(9, handle, 0, "nic", dev);
}
void cleanup_module(void) { free_irq(9, dev); unregister_netdev(dev); kfree(dev); }
"""
OWN = {"module.init", "module.cleanup"}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with nl.boot(nooks=True) as booted:
        for name, text in (("allocates", ALLOCATES), ("ticks", HAS_TIMER), ("nic", HAS_DEVICE)):
            booted.insmod(extensions.build(f"{name}.c", text))
        booted.run(0.05)
        yield booted


def use(lab: Lab, name: str, kind: str) -> WrapperUse:
    assert lab.nooks is not None
    return use_of(lab.nooks, lab.kernel.modules.loaded[name], kind)


@pytest.mark.parametrize(
    ("name", "kernel", "entries"),
    [
        ("allocates", {"kmalloc", "kfree"}, OWN),
        (
            "ticks",
            {"kmalloc", "kfree", "mod_timer", "del_timer"},
            OWN | {"timer_list.function"},
        ),
        (
            "nic",
            {"alloc_etherdev", "register_netdev", "unregister_netdev", "request_irq", "free_irq", "kfree"},
            OWN | {"net_device.open", "net_device.stop", "irqaction.handler"},
        ),
    ],
)
def test_the_wrappers_of_an_extension_are_those_it_is_linked_to(
    lab: Lab, name: str, kernel: set[str], entries: set[str]
) -> None:
    found = use(lab, name, "some")
    assert (found.kernel, found.entries) == (kernel, entries)
    assert found.wrappers == kernel | entries


def test_a_wrapper_is_unique_or_its_class_s_or_shared_across_classes(lab: Lab) -> None:
    shared = sharing(
        [use(lab, "allocates", "memory"), use(lab, "ticks", "memory"), use(lab, "nic", "network")]
    )
    assert shared["allocates"].unique == set()
    assert shared["allocates"].within_class == {"kmalloc"}
    assert shared["allocates"].across_classes == OWN | {"kfree"}
    assert shared["ticks"].unique == {"mod_timer", "del_timer", "timer_list.function"}
    assert shared["ticks"].within_class == {"kmalloc"}
    assert shared["nic"].within_class == set()
    assert "net_device.open" in shared["nic"].unique
    assert shared["nic"].across_classes == OWN | {"kfree"}
    alone = sharing([use(lab, "nic", "network")])["nic"]
    assert alone.unique == use(lab, "nic", "network").wrappers


def test_every_wrapper_of_an_extension_stands_in_one_group(lab: Lab) -> None:
    uses = [use(lab, "allocates", "memory"), use(lab, "ticks", "timing"), use(lab, "nic", "network")]
    for each, groups in zip(uses, sharing(uses).values(), strict=True):
        parts = (groups.unique, groups.within_class, groups.across_classes)
        assert sum(map(len, parts)) == len(each.wrappers)
        assert frozenset().union(*parts) == each.wrappers


def test_a_wrapper_names_its_users(lab: Lab) -> None:
    found = users([use(lab, "allocates", "memory"), use(lab, "ticks", "timing"), use(lab, "nic", "network")])
    assert [each.extension for each in found["kmalloc"]] == ["allocates", "ticks"]
    assert [each.extension for each in found["free_irq"]] == ["nic"]
    assert "printk" not in found


def test_a_timer_s_wrapper_goes_with_the_timer(lab: Lab) -> None:
    with nl.boot(nooks=True) as other:
        quiet = HAS_TIMER.replace("mod_timer(&timer, jiffies + 2);\n\treturn", "return")
        other.insmod(extensions.build("ticks.c", quiet))
        found = use(other, "ticks", "timing")
    assert "mod_timer" in found.kernel
    assert "timer_list.function" not in found.entries


def test_two_extensions_of_one_domain_have_their_own_entries() -> None:
    with nl.boot(nooks=True) as lab:
        assert lab.nooks is not None
        first = lab.insmod(extensions.build("nic.c", HAS_DEVICE))
        with lab.nooks.placing_in(lab.nooks.domain_of("nic")):
            second = lab.insmod(extensions.build("ticks.c", HAS_TIMER))
        assert lab.nooks.domain_of("ticks") is lab.nooks.domain_of("nic")
        assert "timer_list.function" not in use_of(lab.nooks, first, "network").entries
        assert use_of(lab.nooks, second, "timing").entries == OWN | {"timer_list.function"}


def test_every_function_that_the_kernel_has_of_the_e1000_is_behind_a_wrapper() -> None:
    with armed_driver.boot_up("e1000") as lab:
        found = use(lab, "e1000", "network")
        assert lab.nooks is not None
        operations = lab.nooks.net_device.operations
        device = lab.kernel.net.by_name("eth0")
        set_up = {f"net_device.{name}" for name in operations if getattr(device, name)}
        assert {entry for entry in found.entries if entry.startswith("net_device.")} == set_up
        assert {"pci_driver.probe", "irqaction.handler", "timer_list.function"} <= found.entries


def test_an_extension_that_runs_in_no_domain_and_one_given_twice_are_refused(lab: Lab) -> None:
    assert lab.nooks is not None
    with nl.boot() as native:
        module = native.insmod("e1000")
        with pytest.raises(LookupError, match=r"^module e1000 runs in no domain$"):
            use_of(lab.nooks, module, "network")
    with pytest.raises(ValueError, match=r"^the extension nic is given twice$"):
        sharing([use(lab, "nic", "network")] * 2)
