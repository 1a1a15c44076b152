"""An extension that loses its stack pointer, or never comes back: recovered, as long as Nooks is told to."""

from collections.abc import Callable

import pytest

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.faults import census
from nooks_lab.kernel.execution import GATE_WORK, WATCHDOG_LIMIT, Hang
from nooks_lab.lab import Lab
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.machine.descriptor_tables import ACCESS_BYTE, PRESENT, TSS_AVAILABLE
from nooks_lab.machine.exceptions import NMI, TripleFault
from nooks_lab.nooks.manager import Nooks
from nooks_lab.nooks.xpc.calls import XPC_WORK

SOURCE = """
#include <linux/module.h>
#include <linux/kernel.h>
#include <linux/timer.h>
#include <linux/delay.h>
#include <asm/io.h>

static struct timer_list timers[2];
int add(int a, int b) { return a + b; }
int wait(int times) { while (times--) udelay(10); return 0; }
int tell(int times) { while (times--) printk(""); return 0; }
int push_to_nowhere(void) { __asm__ volatile("movl $0x1000, %esp; pushl %eax"); return 0; }
int push_to_the_kernel(unsigned long at) { __asm__ volatile("movl %0, %%esp; pushl %%eax" : : "r"(at)); return 0; }
int wait_on_a_bad_stack(void) { __asm__ volatile("movl $0x1000, %esp; 1: jmp 1b"); return 0; }
int loop_without_interrupts(void) { __asm__ volatile("cli; 1: jmp 1b"); return 0; }
int loop(void) { __asm__ volatile("1: jmp 1b"); return 0; }
int loop_over_a_register(unsigned long at)
{
	__asm__ volatile("cli");
	for (;;)
		(void)*(volatile unsigned int *)at;
}
static void take_long(unsigned long steps) { __asm__ volatile("1: loop 1b" : "+c"(steps)); }
static void at_once(struct timer_list *timer, void (*function)(unsigned long), unsigned long data)
{
	init_timer(timer);
	timer->function = function;
	timer->data = data;
	mod_timer(timer, 0);
}
int loop_in_a_timer(void)
{
	at_once(&timers[0], take_long, 20000000);
	at_once(&timers[1], (void (*)(unsigned long))loop_without_interrupts, 0);
	return -5;
}
static void fail(unsigned long at) { *(volatile int *)at = 0; }
int wait_while_a_timer_fails(void)
{
	at_once(&timers[0], fail, 16);
	return wait(20000);
}
int loop_over_a_port(void) { for (;;) inb(0x80); return 0; }
int loop_over_the_kernel(void) { for (;;) printk(""); return 0; }
int loop_as_the_kernel(unsigned long cr3) { __asm__ volatile("cli; movl %0, %%cr3; 1: jmp 1b" : : "r"(cr3)); return 0; }
int halt_without_interrupts(void) { __asm__ volatile("cli; hlt"); return 0; }
int init_module(void) { return 0; }
void cleanup_module(void) { }
"""
LOOPS = [
    "loop",
    "loop_without_interrupts",
    "loop_over_a_port",
    "loop_over_the_kernel",
    "halt_without_interrupts",
]
BAD_STACKS = ["push_to_nowhere", "wait_on_a_bad_stack"]


def boot(**options: bool) -> Lab:
    lab = nl.boot()
    lab.nooks = Nooks(lab.kernel, **options)
    lab.substitutes["stray"] = extensions.build("stray.c", SOURCE)
    lab.insmod("stray")
    return lab


def call(lab: Lab, name: str, *arguments: int) -> int:
    """Call a function of the extension's as the kernel does: its failure starts a recovery."""
    assert lab.nooks is not None
    nooks, module = lab.nooks, lab.kernel.modules.loaded["stray"]
    assert module.image is not None
    domain, address = nooks.domain_with("stray"), module.image.symbols[name]
    return lab.kernel.in_task("caller", lambda: nooks.call_extension(domain, -5, address, *arguments))


def fails(lab: Lab, trigger: str, body: Callable[[], int]) -> None:
    """A call fails with this trigger, the system goes on, and nothing is left behind."""
    assert lab.nooks is not None
    done = len(lab.nooks.recoveries)
    assert body() == -5
    lab.run(0.2)
    (recovery,) = lab.nooks.recoveries[done:]
    assert (trigger in recovery.trigger, recovery.ok, recovery.leaked) == (True, True, 0)
    assert lab.machine.pic.in_service() == []
    ticks = lab.kernel.timers.jiffies
    lab.run(0.05)
    assert lab.kernel.timers.jiffies >= ticks + 5


@pytest.mark.parametrize("name", BAD_STACKS)
def test_a_bad_stack_pointer_is_a_failure_of_the_extension(name: str) -> None:
    with boot() as lab:
        fails(lab, "double fault: at " + name, lambda: call(lab, name))
        gdt, _ = lab.machine.cpu.gdt()
        assert lab.kernel.memory.read(gdt + 0x28 + ACCESS_BYTE, 1)[0] == PRESENT | TSS_AVAILABLE


def test_a_stack_in_the_kernel_is_not_pushed_to() -> None:
    with boot() as lab:
        victim = lab.kernel.variable("irq_desc") + 64
        before = lab.kernel.memory.read(victim - 64, 64)
        fails(lab, "double fault: at push_to_the_kernel", lambda: call(lab, "push_to_the_kernel", victim))
        assert lab.kernel.memory.read(victim - 64, 64) == before


@pytest.mark.parametrize("name", BAD_STACKS)
def test_without_the_task_it_resets_the_pc(name: str) -> None:
    with boot(double_fault_task=False) as lab, pytest.raises(TripleFault):
        call(lab, name)


@pytest.mark.parametrize("name", LOOPS)
def test_an_extension_that_never_comes_back_is_a_failure(name: str) -> None:
    with boot() as lab:
        fails(lab, "livelock", lambda: call(lab, name))


@pytest.mark.parametrize("name", LOOPS)
def test_without_the_watchdog_it_hangs(name: str) -> None:
    with boot(nmi_watchdog=False) as lab, pytest.raises(Hang):
        call(lab, name)


def test_a_loop_of_device_reads_is_ended_however_much_they_count() -> None:
    with boot() as lab:
        register = lab.kernel.functions["ioremap"][0](lab.kernel.pci.devices()[0].resource[0].start, 4096)
        fails(lab, "livelock", lambda: call(lab, "loop_over_a_register", register))


def test_a_driver_may_wait_by_polling_for_a_tenth_of_a_second() -> None:
    with boot() as lab:
        begun = lab.machine.clock.now
        assert call(lab, "wait", 10_000) == 0
        assert lab.machine.clock.now - begun > CPU_HZ // 10


def test_a_delay_is_no_call_of_the_kernel() -> None:
    with boot() as lab:
        assert lab.nooks is not None
        xpc = lab.nooks.xpc
        before = xpc.kernel_calls
        call(lab, "wait", 5)
        assert xpc.kernel_calls == before
        call(lab, "tell", 5)
        assert xpc.kernel_calls == before + 5


def test_who_waits_while_a_timer_of_its_own_fails_waits_no_longer() -> None:
    with boot() as lab:
        begun = lab.machine.clock.now
        fails(lab, "page fault: write to 00000010 at fail", lambda: call(lab, "wait_while_a_timer_fails"))
        assert lab.machine.clock.now - begun < CPU_HZ * 0.3


@pytest.mark.parametrize(
    ("name", "times"),
    [("tell", WATCHDOG_LIMIT // (GATE_WORK + XPC_WORK)), ("wait", WATCHDOG_LIMIT // GATE_WORK)],
)
def test_a_call_of_the_kernel_is_more_work_than_a_delay(name: str, times: int) -> None:
    with boot() as lab:
        fails(lab, "livelock", lambda: call(lab, name, times))


def test_the_idle_loop_goes_on_after_an_interrupt_that_was_ended() -> None:
    """A timer that takes long and one that never ends leave the CPU no time, but then they are over."""
    with boot() as lab:
        fails(lab, "livelock", lambda: call(lab, "loop_in_a_timer"))


def test_who_loops_in_the_kernels_page_table_is_still_to_blame() -> None:
    with boot() as lab:
        directory = lab.kernel.page_table.directory
        fails(lab, "livelock", lambda: call(lab, "loop_as_the_kernel", directory))


def test_the_watchdog_strikes_again() -> None:
    """The first strike is answered by nobody; the extension loops on."""
    with boot() as lab:
        assert lab.nooks is not None
        exception, strikes = lab.kernel.hooks.exception, []

        def busy_at_first(vector: int, regs: object) -> bool:
            strikes.append(vector)
            return len(strikes) == 1 or exception(vector, regs)

        lab.kernel.hooks.exception = busy_at_first
        fails(lab, "livelock", lambda: call(lab, "loop_without_interrupts"))
        assert strikes == [NMI, NMI]


def test_nothing_is_left_of_many_double_faults() -> None:
    with boot() as lab:
        for _ in range(3):
            call(lab, "push_to_nowhere")
            lab.run(0.2)
        before = census.take(lab)
        for _ in range(20):
            call(lab, "push_to_nowhere")
            lab.run(0.2)
        assert [each.ok for each in lab.nooks.recoveries] == [True] * 23
        assert not any(census.take(lab).more_than(before).values())
        assert call(lab, "add", 40, 2) == 42
