"""Several extensions in one domain: drivers that stack on each other share their rights, and their fate."""

from collections.abc import Iterator

import census
import pytest

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.kernel.module import ModuleError
from nooks_lab.lab import Lab
from nooks_lab.nooks.tracking.validate import validate

BASE = """
#include <linux/module.h>
#include <linux/slab.h>
int counted;
int count(int by) { counted += by; return counted; }
EXPORT_SYMBOL(count);
int init_module(void) { return kmalloc(100, GFP_KERNEL) ? 0 : -12; }
void cleanup_module(void) { }
"""

TOP = """
#include <linux/module.h>
#include <linux/timer.h>
#include <linux/sched.h>
extern int count(int by);
int crash;
MODULE_PARM(crash, "i");
static struct timer_list timer;
static void tick(unsigned long data)
{
	if (crash)
		*(volatile int *)0xc0100000 = count(1);
	count(1);
	mod_timer(&timer, jiffies + 2);
}
int init_module(void)
{
	init_timer(&timer);
	timer.function = tick;
	mod_timer(&timer, jiffies + 2);
	if (crash == 2)
		*(volatile int *)8 = 1;
	return count(10) - 10;
}
void cleanup_module(void) { del_timer_sync(&timer); }
"""


@pytest.fixture
def lab() -> Iterator[Lab]:
    with nl.boot(nooks=True) as booted:
        # What the first load sets up for good: tables for the vmalloc area, and wrappers.
        booted.insmod("e1000")
        booted.kernel.rmmod("e1000")
        booted.insmod(extensions.build("base.c", BASE))
        yield booted


def counted(lab: Lab) -> int:
    image = lab.kernel.modules.loaded["base"].image
    assert image is not None
    return lab.kernel.memory.u32(image.symbols["counted"])


def test_a_call_between_two_extensions_of_a_domain_is_no_xpc(lab: Lab) -> None:
    nooks = lab.nooks
    assert nooks is not None
    lab.insmod(extensions.build("top.c", TOP), domain="base")
    assert nooks.domain_of("top") is nooks.domain_of("base")
    (domain,) = nooks.domains
    assert domain.modules == ["base", "top"]
    before, entered = counted(lab), nooks.xpc.driver_calls
    lab.run(0.1)
    # Each tick of the timer is one call into the domain, and the call of count() in it none.
    assert counted(lab) - before == nooks.xpc.driver_calls - entered == 5
    assert validate(nooks) == []


def test_a_call_into_another_domain_has_no_wrapper(lab: Lab) -> None:
    before = census.take(lab)
    with pytest.raises(ModuleError, match=r"^module top: no wrapper for count of module base$"):
        lab.insmod(extensions.build("top.c", TOP))
    assert census.take(lab) == before


def test_a_domain_of_an_unknown_extension_is_refused(lab: Lab) -> None:
    with pytest.raises(LookupError, match=r"^no extension 'nobody' runs in a domain; there are: base$"):
        lab.insmod(extensions.build("top.c", TOP), domain="nobody")


def test_a_fault_in_one_restarts_both_in_their_order(lab: Lab) -> None:
    nooks = lab.nooks
    assert nooks is not None
    top = lab.insmod(extensions.build("top.c", TOP), domain="base")
    lab.run(0.05)
    before, failed = census.take(lab), nooks.domains[0]
    assert top.image is not None
    lab.kernel.memory.set_u32(top.image.symbols["crash"], 1)
    lab.run(0.05)
    (recovery,) = nooks.recoveries
    assert recovery.trigger.startswith("page fault: write to c0100000 at tick [top]")
    assert (recovery.ok, recovery.leaked) == (True, 0)
    (domain,) = nooks.domains
    assert domain is not failed
    assert domain.modules == ["base", "top"]
    assert list(lab.kernel.modules.loaded) == ["base", "top"]
    assert counted(lab) >= 10
    assert census.take(lab) == before
    assert validate(nooks) == []


def test_a_newcomer_that_fails_in_its_init_costs_a_restart_of_the_others(lab: Lab) -> None:
    nooks = lab.nooks
    assert nooks is not None
    before = census.take(lab)
    with pytest.raises(ModuleError, match=r"^module top: init_module returned error 5$"):
        lab.insmod(extensions.build("top.c", TOP), {"crash": 2}, domain="base")
    lab.run(0.05)
    (recovery,) = nooks.recoveries
    assert (recovery.ok, recovery.leaked) == (True, 0)
    assert list(lab.kernel.modules.loaded) == ["base"]
    assert counted(lab) == 0
    assert census.take(lab) == before


def test_the_domain_lives_until_its_last_extension_is_unloaded(lab: Lab) -> None:
    nooks = lab.nooks
    assert nooks is not None
    alone = census.take(lab)
    lab.insmod(extensions.build("top.c", TOP), domain="base")
    with pytest.raises(ModuleError, match="base is used by top"):
        lab.kernel.rmmod("base")
    lab.kernel.rmmod("top")
    assert len(nooks.domains) == 1
    assert census.take(lab).modules == alone.modules
    lab.kernel.rmmod("base")
    assert nooks.domains == []


def test_natively_the_same_two_share_the_kernel() -> None:
    with nl.boot() as native:
        native.insmod(extensions.build("base.c", BASE))
        native.insmod(extensions.build("top.c", TOP), domain="base")
        before = counted(native)
        native.run(0.1)
        assert counted(native) - before == 5
