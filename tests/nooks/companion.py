"""A second driver, for what takes more than one extension: a timer, a line, a region, and calls that nest."""

from collections.abc import Callable
from typing import Any

from nooks_lab import extensions
from nooks_lab.kernel.errno import EIO
from nooks_lab.kernel.exports import Signature
from nooks_lab.lab import Lab
from nooks_lab.nooks.isolation.domain import Domain
from nooks_lab.nooks.manager import Nooks

LINES = {"a": 5, "b": 7, "c": 9}
"""The interrupt line of each; edge-triggered, so that a test can pulse it."""

SOURCE = """
#include <linux/module.h>
#include <linux/kernel.h>
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/ioport.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <asm/system.h>

static int line;
MODULE_PARM(line, "i");
static int crash_in_init;
MODULE_PARM(crash_in_init, "i");

/* Set by the test, and asleep again in the next instance. */
volatile int crash_in_timer, crash_in_interrupt, crash_in_cleanup;
volatile int crash_before, crash_behind;
volatile int nap_at, nap_state;
volatile int interrupt_ticks;
int (*volatile relay)(void *unused, unsigned long depth);

volatile int ticks, interrupts, answer, woken;
static struct timer_list timer;
static DECLARE_WAIT_QUEUE_HEAD(queue);

static void crash(int wanted) { if (wanted) *(volatile int *)0 = 1; }

/* All of these timers expire in the same tick. */
static void rearm(void) { mod_timer(&timer, (jiffies | 3) + 1); }

static void tick(unsigned long data)
{
	ticks++;
	crash(crash_in_timer);
	rearm();
}

int wait_for_ticks(int n)
{
	unsigned long end = jiffies + n;
	volatile unsigned long turns = 0;
	while ((long)(end - jiffies) > 0)
		turns++;
	return 1;
}

static void handler(int irq, void *dev_id, struct pt_regs *regs)
{
	interrupts++;
	if (interrupt_ticks) {
		sti();
		wait_for_ticks(interrupt_ticks);
		cli();
	}
	crash(crash_in_interrupt);
}

/* A call that the kernel passes on, over and over, until it is deep enough. */
int step(int depth)
{
	crash(crash_before == depth);
	if (nap_at == depth) {
		set_task_state(current, nap_state);
		woken = schedule_timeout(300);
		answer = -4;
		return answer;
	}
	if (relay)
		answer = relay(0, depth);
	crash(crash_behind == depth);
	return answer;
}

int doze(int interruptible)
{
	if (interruptible)
		interruptible_sleep_on(&queue);
	else
		sleep_on(&queue);
	return 1;
}

int chatter(int n)
{
	for (;;)
		udelay(1000);
}

int init_module(void)
{
	int err;

	if (!request_mem_region(0xe0000000 + 0x1000 * line, 0x1000, "companion"))
		return -16;
	err = request_irq(line, handler, 0, "companion", &timer);
	if (err)
		return err;
	init_timer(&timer);
	timer.function = tick;
	rearm();
	if (!kmalloc(200, GFP_KERNEL))
		return -12;
	crash(crash_in_init);
	return 0;
}

void cleanup_module(void)
{
	del_timer_sync(&timer);
	crash(crash_in_cleanup);
	free_irq(line, &timer);
	release_mem_region(0xe0000000 + 0x1000 * line, 0x1000);
}
"""

BOTTOM = 7
"""What comes back from the end of a route."""


class Companion:
    """One such extension, in a domain of its own."""

    def __init__(self, lab: Lab, name: str) -> None:
        self.lab, self.name, self.line = lab, name, LINES[name]
        assert lab.nooks is not None
        self.nooks: Nooks = lab.nooks

    def load(self, **parameters: int) -> None:
        """``insmod``; it is there when an earlier one has been recovered, too."""
        self.lab.insmod(extensions.build(f"{self.name}.c", SOURCE), {"line": self.line, **parameters})

    @property
    def domain(self) -> Domain:
        """The domain that it runs in now."""
        return self.nooks.domain_with(self.name)

    def symbol(self, name: str) -> int:
        """The address of a variable or function."""
        image = self.lab.kernel.modules.loaded[self.name].image
        assert image is not None
        return image.symbols[name]

    def set(self, name: str, value: int) -> None:
        """Set a variable."""
        self.lab.kernel.memory.set_u32(self.symbol(name), value)

    def get(self, name: str) -> int:
        """Read a variable."""
        value = self.lab.kernel.memory.u32(self.symbol(name))
        return value - (1 << 32) if value >> 31 else value

    def call(self, function: str, argument: int) -> int:
        """Call one of its functions as the kernel does, in the running task."""
        return self.nooks.call_extension(self.domain, -EIO, self.symbol(function), argument)

    def pulse_after(self, cycles: int) -> None:
        """Its device raises its line, once."""
        self.lab.machine.clock.after(cycles, "pic", "pulse", self.line)


class Relay:
    """A kernel function that passes a call on to the next extension of a route, with a wrapper in front of it."""

    def __init__(self, lab: Lab) -> None:
        assert lab.nooks is not None
        self._nooks: Nooks = lab.nooks
        self.route: list[Companion] = []
        prototype = lab.kernel.layouts.functions["mod_timer"]
        self.address = lab.kernel.execution.add_function("nooks_relay", self._enter, Signature(prototype))

    def _enter(self, _unused: int, depth: int) -> int:
        def body(_domain: Domain) -> int:
            return self.route[depth].call("step", depth + 1) if depth < len(self.route) else BOTTOM

        return self._nooks.xpc.nooks_kernel_call(body)

    def lay(self, *route: Companion) -> Callable[[], Any]:
        """Lay a route of calls; returns what makes the first of them."""
        self.route = list(route)
        for companion in route:
            companion.set("relay", self.address)
        return lambda: route[0].call("step", 1)
