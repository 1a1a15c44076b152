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


class Control:
    """The control's parts."""

    def __init__(self, lab):
        inputs, self.text, self.picture = wild_store(lab).children
        self.choice, self.field = inputs.children


@pytest.fixture
def control(lab):
    return Control(lab)


def test_the_control_answers_nothing_before_it_is_asked(control):
    assert control.choice.label == "choose a target ..."
    assert control.text.value == ""
    assert control.picture.layout.display == "none"


def test_the_control_follows_its_choice(lab, control):
    control.choice.value = f"{lab.kernel.variable('jiffies'):08x}"
    assert "the store lands" in control.text.value
    assert control.picture.layout.display is None
    before = control.picture.value
    control.choice.value = "00000000"
    assert control.field.value == "00000000"
    assert "error code 0002" in control.text.value
    assert control.picture.value != before
    control.choice.value = ""
    assert (control.field.value, control.text.value, control.picture.value) == ("", "", b"")


@pytest.mark.parametrize("spelling", ["{:08x}", "0x{:x}", " {:08X} ", "0X{:X}"])
def test_an_address_is_answered_as_its_target_is(lab, control, spelling):
    address = lab.kernel.variable("jiffies")
    control.choice.value = f"{address:08x}"
    verdict, picture = control.text.value, control.picture.value
    control.choice.value = ""
    control.field.value = spelling.format(address)
    assert (control.text.value, control.picture.value) == (verdict, picture)
    assert "jiffies" in control.choice.label


def test_an_address_that_is_no_target_leaves_the_choice_open(lab, control):
    control.choice.value = "00000000"
    control.field.value = "c0123456"
    assert control.choice.label == "choose a target ..."
    assert ending(answer(lab, 0xC0123456)[0][1]) in control.text.value
    control.field.value = "ffffffff"
    assert "error code 0002" in control.text.value
    control.field.value = ""
    assert control.text.value == ""


@pytest.mark.parametrize("text", ["jiffies", "0x", "-1", "1c0123456", "c0_12", "c0 12", "<b>", "٣"])
def test_what_is_no_address_is_told_in_one_sentence(control, text):
    control.choice.value = "00000000"
    control.field.value = text
    assert control.text.value.startswith("<b>This is no address: ")
    assert control.text.value.count(".") == 1
    assert control.choice.label == "choose a target ..."
    assert control.picture.layout.display == "none"
    control.choice.value = "00000000"
    assert "error code 0002" in control.text.value
