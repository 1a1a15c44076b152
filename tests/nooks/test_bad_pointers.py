"""Every pointer parameter of memory, waiting, waking, timers and regions, with every kind of pointer that is wrong.

By policy the extension fails by it, or gets an error code and lives on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import census
import pytest

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.kernel.errno import EINVAL
from nooks_lab.kernel.modules import ModuleError
from nooks_lab.lab import Lab
from nooks_lab.nooks.manager import Nooks
from nooks_lab.nooks.recovery.policy import Policy, Rule
from nooks_lab.nooks.tracking.validate import validate
from nooks_lab.toolchain.elf import ObjectFile

KERNEL_PAGE = 0xC0100000


class Place(IntEnum):
    """Where a wrong pointer points."""

    NULL = 0
    KERNEL = 1
    USER = 2
    UNMAPPED = 3
    STALE = 4
    """An area that was freed."""
    EDGE = 5
    """Four bytes before the end of an area: the struct goes on behind it."""
    TEXT = 6
    """Its own code, which it may not write."""


EVERYWHERE = frozenset(Place)
NOWHERE_TO_READ = frozenset({Place.NULL, Place.USER, Place.UNMAPPED, Place.STALE})
NOT_NULL = EVERYWHERE - {Place.NULL}


@dataclass(frozen=True)
class Call:
    """A call with a wrong pointer ``p``.

    Attributes
    ----------
    function : str
        The kernel function, as the complaint names it.
    error : int or None
        What the call returns where policy says error codes; None for void.
    wrong : set of Place
        Places that are wrong for it.
    """

    function: str
    statement: str
    error: int | None = None
    wrong: frozenset[Place] = EVERYWHERE


CALLS = (
    Call("sleep_on", "sleep_on(p);"),
    Call("interruptible_sleep_on", "interruptible_sleep_on(p);"),
    Call("sleep_on_timeout", "result = sleep_on_timeout(p, 1);", -EINVAL),
    Call("interruptible_sleep_on_timeout", "result = interruptible_sleep_on_timeout(p, 1);", -EINVAL),
    Call("__wake_up", "wake_up(p);"),
    Call("add_wait_queue", "add_wait_queue(p, &waiter);"),
    Call("add_wait_queue", "add_wait_queue(&queue, p);"),
    Call("remove_wait_queue", "remove_wait_queue(p, &waiter);"),
    Call("remove_wait_queue", "remove_wait_queue(&queue, p);"),
    Call("wake_up_process", "result = wake_up_process(p);", -EINVAL),
    Call("set_task_state", "set_task_state(p, 0);"),
    Call("free_pages", "free_pages((unsigned long)p, 0);", None, NOT_NULL),
    Call("kfree", "kfree(p);", None, NOT_NULL),
    Call("vfree", "vfree(p);", None, NOT_NULL),
    Call("iounmap", "iounmap(p);"),
    Call("add_timer", "add_timer(p);"),
    Call("mod_timer", "result = mod_timer(p, 5);", -EINVAL),
    Call("__request_region", 'result = (long)__request_region(p, 0x300, 16, "bad");', 0),
    Call("__request_region", "result = (long)request_region(0x300, 16, p);", 0, NOWHERE_TO_READ),
    Call("__release_region", "__release_region(p, 0x300, 16);"),
    Call("copy_from_user", "result = copy_from_user(p, (void *)0x8048000, 64);", -EINVAL),
    Call("snprintf", 'result = snprintf(p, 64, "%d", 5);', -EINVAL),
    Call("printk", "result = printk(p);", -EINVAL, NOWHERE_TO_READ),
)

CASES = [(number, place) for number, call in enumerate(CALLS) for place in sorted(call.wrong)]
NAMES = [f"{CALLS[number].statement} {place.name}" for number, place in CASES]

SOURCE = """
#include <linux/module.h>
#include <linux/kernel.h>
#include <linux/slab.h>
#include <linux/mm.h>
#include <linux/vmalloc.h>
#include <linux/ioport.h>
#include <linux/sched.h>
#include <linux/timer.h>
#include <linux/wait.h>
#include <asm/io.h>
#include <asm/uaccess.h>

static volatile int which = -1, place;
MODULE_PARM(which, "i");
MODULE_PARM(place, "i");
volatile long result = 0x5a5a;
static DECLARE_WAIT_QUEUE_HEAD(queue);
static DECLARE_WAITQUEUE(waiter, 0);

static void *wrong(void)
{
	char *area;

	switch (place) {
	case 1: return (void *)0xc0100000;
	case 2: return (void *)0x08048000;
	case 3: return (void *)0xff000000;
	case 4:
		area = vmalloc(4096);
		vfree(area);
		return area;
	case 5: return (char *)vmalloc(4096) + 4092;
	case 6: return (void *)wrong;
	}
	return NULL;
}

int init_module(void)
{
	void *p = wrong();

	switch (which) {
%s
	}
	return 0;
}
void cleanup_module(void) { }
"""


@pytest.fixture(scope="module")
def obj() -> ObjectFile:
    cases = "\n".join(f"\tcase {number}: {call.statement} break;" for number, call in enumerate(CALLS))
    return extensions.build("bad.c", SOURCE % cases)


def manager(lab: Lab) -> Nooks:
    assert lab.nooks is not None
    return lab.nooks


@pytest.fixture(scope="module")
def strict() -> Iterator[Lab]:
    with booted(Rule()) as lab:
        yield lab


@pytest.fixture(scope="module")
def lenient() -> Iterator[Lab]:
    with booted(Rule(bad_parameter="error")) as lab:
        yield lab


def booted(rule: Rule) -> Lab:
    """A lab under a policy, with what the first load sets up for good."""
    lab = nl.boot(nooks=True)
    manager(lab).policy = Policy(rule)
    lab.insmod(
        extensions.build("first.c", "int init_module(void) { return 0; } void cleanup_module(void) { }")
    )
    lab.kernel.rmmod("first")
    return lab


@pytest.mark.parametrize(("number", "place"), CASES, ids=NAMES)
def test_a_wrong_pointer_fails_the_extension(strict: Lab, obj: ObjectFile, number: int, place: Place) -> None:
    before, said = census.take(strict), len(strict.dmesg())
    text = strict.kernel.memory.read(KERNEL_PAGE, 4096)
    with pytest.raises(ModuleError, match=r"^module bad: init_module returned error 5$"):
        strict.insmod(obj, {"which": number, "place": int(place)})
    strict.run(0.02)
    assert f"nooks: bad failed in its init: {CALLS[number].function}: " in strict.dmesg()[said:]
    assert strict.kernel.memory.read(KERNEL_PAGE, 4096) == text
    assert census.take(strict) == before
    assert (manager(strict).domains, manager(strict).recoveries) == ([], [])


@pytest.mark.parametrize(("number", "place"), CASES, ids=NAMES)
def test_a_wrong_pointer_is_answered_with_an_error_where_policy_says_so(
    lenient: Lab, obj: ObjectFile, number: int, place: Place
) -> None:
    call, nooks = CALLS[number], manager(lenient)
    before, said = census.take(lenient), len(lenient.dmesg())
    text = lenient.kernel.memory.read(KERNEL_PAGE, 4096)
    image = lenient.insmod(obj, {"which": number, "place": int(place)}).image
    assert image is not None
    result = lenient.kernel.memory.u32(image.symbols["result"])
    assert result == (0x5A5A if call.error is None else call.error & 0xFFFFFFFF)
    assert f"nooks: bad: {call.function}: " in lenient.dmesg()[said:]
    (domain,) = nooks.domains
    assert not domain.failed
    assert validate(nooks) == []
    lenient.kernel.rmmod("bad")
    lenient.run(0.02)
    assert lenient.kernel.memory.read(KERNEL_PAGE, 4096) == text
    assert census.take(lenient) == before
    assert nooks.recoveries == []


def test_null_is_no_mistake_where_linux_allows_it(strict: Lab, obj: ObjectFile) -> None:
    allowed = [number for number, call in enumerate(CALLS) if call.wrong == NOT_NULL]
    assert {CALLS[number].function for number in allowed} == {"kfree", "vfree", "free_pages"}
    for number in allowed:
        strict.insmod(obj, {"which": number, "place": Place.NULL})
        strict.kernel.rmmod("bad")
