"""An extension jumps into the kernel past its wrappers, as after a bit flip of a return address: it is what fails."""

from collections.abc import Iterator

import pytest

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.lab import Lab

SOURCE = """
#include <linux/module.h>
#include <linux/kernel.h>
#include <linux/timer.h>

static struct timer_list timer;
static unsigned long where, first, second;

int jump(unsigned long at, unsigned long a, unsigned long b)
{
	return ((int (*)(unsigned long, unsigned long))at)(a, b);
}
static void fires(unsigned long data) { jump(where, first, second); }
int jump_in_a_timer(unsigned long at, unsigned long a, unsigned long b)
{
	where = at;
	first = a;
	second = b;
	init_timer(&timer);
	timer.function = fires;
	mod_timer(&timer, 0);
	return 0;
}
int init_module(void) { return 0; }
void cleanup_module(void) { }
"""
VIRTUAL_8086 = 0x20000
NOBODYS = 0xC1FF0000


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with nl.boot(nooks=True) as booted:
        booted.substitutes["stray"] = extensions.build("stray.c", SOURCE)
        booted.insmod("stray")
        yield booted


@pytest.mark.parametrize("how", ["jump", "jump_in_a_timer"])
@pytest.mark.parametrize(
    ("gate", "arguments"),
    [
        ("free_pages", (NOBODYS, 0)),
        ("skb_over_panic", (0, 0)),
        ("panic", (0, 0)),
        ("schedule", (0, 0)),
        ("schedule_timeout", (1, 0)),
        ("filp_open", (NOBODYS, 0)),
        ("wake_up_process", (0, 0)),
        ("IRQ0x0b_interrupt", (0, VIRTUAL_8086)),
        ("NMI", (0, 0)),
    ],
)
def test_it_fails_and_the_kernel_goes_on(lab: Lab, how: str, gate: str, arguments: tuple[int, int]) -> None:
    kernel, nooks = lab.kernel, lab.nooks
    assert nooks is not None
    (address,) = (at for at, each in kernel.execution.gates.items() if each.name == gate)
    image, killed = kernel.modules.loaded["stray"].image, kernel.traps.killed
    assert image is not None
    domain, done = nooks.domain_with("stray"), len(nooks.recoveries)
    kernel.in_task(
        "caller", lambda: nooks.call_extension(domain, -5, image.symbols[how], address, *arguments)
    )
    ticks = kernel.timers.jiffies
    lab.run(0.2)
    assert [each.ok for each in nooks.recoveries[done:]] == [True]
    assert (kernel.traps.killed, kernel.traps.panicked) == (killed, None)
    assert kernel.timers.jiffies >= ticks + 19


def test_a_halt_in_the_kernels_text_is_a_halt(lab: Lab) -> None:
    """``system_call`` is where kernel code counts as being that nobody's machine code has called."""
    kernel, nooks = lab.kernel, lab.nooks
    assert nooks is not None
    (address,) = (at for at, each in kernel.execution.gates.items() if each.name == "system_call")
    image, done = kernel.modules.loaded["stray"].image, len(nooks.recoveries)
    assert image is not None
    domain = nooks.domain_with("stray")
    kernel.in_task("caller", lambda: nooks.call_extension(domain, -5, image.symbols["jump"], address, 0, 0))
    assert len(nooks.recoveries) == done
