import pytest

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.kernel.kernel import TaskDied
from nooks_lab.machine.paging import PageFault
from nooks_lab.views.page_rights import Rights
from nooks_lab.widgets.wild_store import answer, ending, targets, wild_store

STORE = 0x5EED5EED
SOURCE = f"""
#include <linux/module.h>
static int target;
MODULE_PARM(target, "i");
int init_module(void)
{{
	*(volatile unsigned int *)target = {STORE:#x};
	return 0;
}}
void cleanup_module(void) {{}}
"""


@pytest.fixture
def lab():
    with nl.boot() as booted:
        booted.insmod("e1000")
        yield booted


@pytest.fixture(scope="module")
def names():
    with nl.boot() as booted:
        booted.insmod("e1000")
        return [target.name for target in targets(booted)]


def test_natively_each_store_ends_as_the_control_says(names):
    driver = extensions.build("store.c", SOURCE)
    for name in names:
        with nl.boot() as lab:
            lab.insmod("e1000")
            address = next(target.address for target in targets(lab) if target.name == name)
            ((_, rights),) = answer(lab, address)
            signed = address - (1 << 32) if address >> 31 else address
            if rights is Rights.WRITABLE:
                lab.insmod(driver, {"target": signed})
                assert lab.machine.linear.u32(address) == STORE, name
            else:
                with pytest.raises(TaskDied):
                    lab.insmod(driver, {"target": signed})
                assert "error code 0002" in ending(rights)
                assert "Oops: 0002" in lab.dmesg()
                with pytest.raises(PageFault):
                    lab.machine.linear.u32(address)


def test_under_nooks_no_store_to_the_kernel_lands():
    with nl.boot(nooks=True) as lab:
        lab.insmod("e1000")
        for target in targets(lab):
            (_, natively), (_, isolated) = answer(lab, target.address)
            if not target.name.startswith("e1000"):
                assert isolated is not Rights.WRITABLE, target.name
            assert (isolated is Rights.NOT_MAPPED) == (natively is Rights.NOT_MAPPED), target.name


def test_the_control_follows_its_choice(lab):
    choice, text, picture = wild_store(lab).children
    choice.value = lab.kernel.variable("jiffies")
    assert "the store lands" in text.value
    before = picture.value
    choice.value = 0
    assert "error code 0002" in text.value
    assert picture.value != before
