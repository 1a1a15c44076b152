"""Module parameters: the kinds of MODULE_PARM, and what a variable refuses."""

from collections.abc import Iterator

import pytest

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.kernel.module import Parameters
from nooks_lab.kernel.modules import ModuleError
from nooks_lab.lab import Lab

SOURCE = """
#include <linux/module.h>
#include <linux/kernel.h>
static signed char small = 1;
MODULE_PARM(small, "b");
static short half = 2;
MODULE_PARM(half, "h");
static int word = 3;
MODULE_PARM(word, "i");
static long length = 4;
MODULE_PARM(length, "l");
static char *name = "nobody";
MODULE_PARM(name, "s");
static char *other;
MODULE_PARM(other, "1-2s");
static int irq[4] = { -1, -1, -1, -1 };
MODULE_PARM(irq, "1-4i");
static unsigned short pair[2] = { 7, 7 };
MODULE_PARM(pair, "2h");
static int narrow[2];
MODULE_PARM(narrow, "1-4i");
static int strange;
MODULE_PARM(strange, "q");
int init_module(void)
{
	printk("numbers %d %d %d %ld\\n", small, half, word, length);
	printk("arrays %d %d %d %d, %d %d\\n", irq[0], irq[1], irq[2], irq[3], pair[0], pair[1]);
	printk("strings '%s' '%s'\\n", name, other ? other : "none");
	if (other)
		other[0] = '!';
	return 0;
}
void cleanup_module(void) { if (other) printk("changed '%s'\\n", other); }
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with nl.boot() as booted:
        # The first load brings the page table that stays.
        booted.insmod(extensions.build("many.c", SOURCE))
        booted.kernel.rmmod("many")
        yield booted


def left(lab: Lab) -> tuple[object, ...]:
    kernel = lab.kernel
    return (
        kernel.pages.nr_free_pages,
        kernel.slab.active(),
        len(kernel.vmalloc.areas()),
        list(kernel.modules.loaded),
    )


def said(lab: Lab, parameters: Parameters) -> str:
    """What a load and unload with these parameters adds to the log; they leave nothing else behind."""
    before, log = left(lab), len(lab.dmesg())
    lab.insmod(extensions.build("many.c", SOURCE), parameters)
    lab.kernel.rmmod("many")
    assert left(lab) == before
    return lab.dmesg()[log:]


@pytest.mark.parametrize(
    ("parameters", "line"),
    [
        ({}, "numbers 1 2 3 4"),
        (
            {"small": -128, "half": -32768, "word": -(1 << 31), "length": -1},
            "numbers -128 -32768 -2147483648 -1",
        ),
        ({"small": 0xFF, "half": 0xFFFF, "word": 0xFFFFFFFF, "length": 5}, "numbers -1 -1 -1 5"),
        ({}, "arrays -1 -1 -1 -1, 7 7"),
        ({"irq": 5}, "arrays 5 -1 -1 -1, 7 7"),
        ({"irq": [5, 7], "pair": (1, 2)}, "arrays 5 7 -1 -1, 1 2"),
        ({"irq": [1, 2, 3, 4]}, "arrays 1 2 3 4, 7 7"),
        ({}, "strings 'nobody' 'none'"),
        ({"name": "eth0"}, "strings 'eth0' 'none'"),
        ({"name": ""}, "strings '' 'none'"),
        ({"name": "first", "other": "second"}, "strings 'first' 'second'"),
        ({"name": "first", "other": "second"}, "changed '!econd'"),
        ({"name": "x" * 5000}, "strings 'xxx"),
    ],
)
def test_a_parameter_reaches_its_variable(lab: Lab, parameters: Parameters, line: str) -> None:
    assert line in said(lab, parameters)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"absent": 1}, "module many has no parameter absent"),
        ({"init_module": 1}, "module many has no parameter init_module"),
        ({"small": 256}, "module many: parameter small: 256 does not fit into 8 bits"),
        ({"small": -129}, "module many: parameter small: -129 does not fit into 8 bits"),
        ({"half": 1 << 16}, "module many: parameter half: 65536 does not fit into 16 bits"),
        ({"word": 1 << 32}, "module many: parameter word: 4294967296 does not fit into 32 bits"),
        ({"word": "7"}, "module many: parameter word takes integers, not '7'"),
        ({"word": [1, 2]}, "module many: parameter word takes 1 value, not 2"),
        ({"name": 1}, "module many: parameter name is not an integer but a string"),
        ({"name": [1]}, "module many: parameter name is not an integer but a string"),
        ({"irq": []}, "module many: parameter irq takes 1 to 4 values, not 0"),
        ({"irq": [1] * 5}, "module many: parameter irq takes 1 to 4 values, not 5"),
        ({"pair": 1}, "module many: parameter pair takes 2 values, not 1"),
        (
            {"narrow": [1] * 3},
            "module many: parameter narrow is a variable without room for 3 values of kind '1-4i'",
        ),
        ({"strange": 1}, "module many: parameter strange is of the kind 'q', which insmod does not know"),
    ],
)
def test_a_bad_parameter_is_refused(lab: Lab, parameters: Parameters, sentence: str) -> None:
    before = left(lab)
    with pytest.raises(ModuleError) as error:
        lab.insmod(extensions.build("many.c", SOURCE), parameters)
    assert str(error.value) == sentence
    assert left(lab) == before


def test_a_string_is_the_modules_own_memory_in_its_domain() -> None:
    with nl.boot(nooks=True) as lab:
        lab.insmod(extensions.build("many.c", SOURCE), {"other": "second"})
        assert "strings 'nobody' 'second'" in lab.dmesg()
        lab.kernel.rmmod("many")
        assert "changed '!econd'" in lab.dmesg()
