"""What a plain kernel says and does when an extension fails."""

import re
from collections.abc import Iterator

import pytest

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.kernel.kernel import Hang, Panic, TaskDied
from nooks_lab.lab import Lab

NULL_IN_INIT = """
#include <linux/module.h>
static int __attribute__((noinline)) step(int *where) { *where = 5; return 1; }
int init_module(void) { return step((int *)0x10) + 1; }
"""

NULL_IN_HANDLER = """
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/interrupt.h>
static void broken_intr(int irq, void *dev_id, struct pt_regs *regs) { *(volatile int *)0x24 = irq; }
int init_module(void) { return request_irq(9, broken_intr, 0, "broken", (void *)1); }
"""

BAD_POINTER = """
#include <linux/module.h>
#include <linux/netdevice.h>
int init_module(void) { netif_rx((struct sk_buff *)0); return 0; }
"""

DOUBLE_FREE = """
#include <linux/module.h>
#include <linux/slab.h>
int init_module(void) { void *p = kmalloc(64, GFP_KERNEL); kfree(p); kfree(p); return 0; }
"""

LOOPS = {
    "of instructions": """
#include <linux/module.h>
int init_module(void) { for (;;) asm volatile(""); }
""",
    "of kernel calls": """
#include <linux/module.h>
#include <linux/delay.h>
int init_module(void) { for (;;) udelay(1); }
""",
    "of stray hlt": """
#include <linux/module.h>
int init_module(void) { for (;;) asm volatile("hlt"); }
""",
}


@pytest.fixture
def lab() -> Iterator[Lab]:
    with nl.boot() as booted:
        yield booted


def test_a_null_pointer_in_init_kills_the_process_and_the_system_goes_on(lab: Lab) -> None:
    with pytest.raises(TaskDied, match="process insmod was killed by signal 11"):
        lab.insmod(extensions.build("broken.c", NULL_IN_INIT))
    before = lab.kernel.timers.jiffies
    lab.run(0.1)
    assert lab.kernel.timers.jiffies > before
    assert lab.kernel.in_task("next", lambda: 7) == 7
    assert lab.kernel.memory.u32(lab.kernel.variable("tainted"))


def test_the_oops_tells_what_happened_where(lab: Lab) -> None:
    with pytest.raises(TaskDied):
        lab.insmod(extensions.build("broken.c", NULL_IN_INIT))
    log = lab.dmesg()
    assert "Unable to handle kernel NULL pointer dereference at virtual address 00000010" in log
    assert "Oops: 0002" in log
    assert re.search(r"EIP is at (step|init_module) \[broken\] 0x[0-9a-f]+", log)
    module = lab.kernel.modules.loaded["broken"]
    (eip,) = re.findall(r"EIP:    0010:\[<([0-9a-f]{8})>\]    Not tainted", log)
    assert module.base <= int(eip, 16) < module.base + module.size
    assert re.search(r"eax: [0-9a-f]{8}   ebx: [0-9a-f]{8}   ecx: [0-9a-f]{8}   edx: [0-9a-f]{8}", log)
    assert re.search(r"esi: [0-9a-f]{8}   edi: [0-9a-f]{8}   ebp: [0-9a-f]{8}   esp: [0-9a-f]{8}", log)
    assert re.search(r"Process insmod \(pid: \d+, stackpage=c0[0-9a-f]{6}\)", log)
    assert re.search(r"Stack: ([0-9a-f]{8} ){7}[0-9a-f]{8}", log)
    assert re.search(r"Call Trace:\n \[<[0-9a-f]{8}>\] ", log)
    assert "ret_to_kernel" in log
    code = lab.kernel.memory.read(int(eip, 16), 16).hex(" ")
    assert f"Code: {code}" in log


def test_a_module_whose_init_died_stays(lab: Lab) -> None:
    with pytest.raises(TaskDied):
        lab.insmod(extensions.build("broken.c", NULL_IN_INIT))
    assert lab.kernel.modules.loaded["broken"].init_result is None
    with pytest.raises(ValueError, match="already loaded"):
        lab.insmod(extensions.build("broken.c", NULL_IN_INIT))
    lab.insmod("e1000")
    lab.kernel.ifconfig_up("eth0")


def test_a_second_oops_says_tainted(lab: Lab) -> None:
    for name in ("one", "two"):
        with pytest.raises(TaskDied):
            lab.insmod(extensions.build(f"{name}.c", NULL_IN_INIT))
    assert len(re.findall(r"Not tainted$", lab.dmesg(), re.MULTILINE)) == 1
    assert len(re.findall(r" Tainted$", lab.dmesg(), re.MULTILINE)) == 1


def test_a_fault_in_an_interrupt_handler_panics(lab: Lab) -> None:
    lab.insmod(extensions.build("broken.c", NULL_IN_HANDLER))
    lab.machine.pic.pulse(9)
    with pytest.raises(Panic, match="Aiee, killing interrupt handler!"):
        lab.run(0.01)
    log = lab.dmesg()
    assert "at virtual address 00000024" in log
    assert "EIP is at broken_intr [broken]" in log
    assert re.search(
        r"Call Trace:\n \[<[0-9a-f]{8}>\] ret_to_kernel .*\n \[<[0-9a-f]{8}>\] default_idle ", log
    )
    assert log.endswith(
        "Kernel panic: Aiee, killing interrupt handler!\nIn interrupt handler - not syncing\n"
    )


def test_a_bad_pointer_given_to_the_kernel_oopses_in_the_kernel(lab: Lab) -> None:
    with pytest.raises(TaskDied):
        lab.insmod(extensions.build("broken.c", BAD_POINTER))
    log = lab.dmesg()
    assert "EIP is at netif_rx 0x" in log
    assert "init_module [broken]" in log


def test_a_double_kfree_by_a_module_is_a_kernel_bug(lab: Lab) -> None:
    with pytest.raises(TaskDied):
        lab.insmod(extensions.build("broken.c", DOUBLE_FREE))
    log = lab.dmesg()
    assert "kernel BUG: kfree of" in log
    assert "EIP is at kfree 0x" in log


def test_an_oops_panics_when_it_is_asked_to(lab: Lab) -> None:
    lab.kernel.memory.set_u32(lab.kernel.variable("panic_on_oops"), 1)
    with pytest.raises(Panic, match="Fatal exception"):
        lab.insmod(extensions.build("broken.c", NULL_IN_INIT))


def test_a_module_can_panic_the_kernel(lab: Lab) -> None:
    source = '#include <linux/module.h>\n#include <linux/kernel.h>\nint init_module(void) { panic("bad %s", "day"); }'
    with pytest.raises(Panic, match="bad day"):
        lab.insmod(extensions.build("broken.c", source))
    assert "Kernel panic: bad day" in lab.dmesg()


@pytest.mark.parametrize("loop", LOOPS)
def test_an_init_that_never_returns_is_a_hang(lab: Lab, loop: str) -> None:
    with pytest.raises(Hang, match="does not return"):
        lab.insmod(extensions.build("broken.c", LOOPS[loop]))


def test_two_systems_fail_in_the_same_words() -> None:
    logs = []
    for _ in range(2):
        with nl.boot() as lab:
            with pytest.raises(TaskDied):
                lab.insmod(extensions.build("broken.c", NULL_IN_INIT))
            logs.append((lab.dmesg(), lab.machine.counters()))
    assert logs[0] == logs[1]
