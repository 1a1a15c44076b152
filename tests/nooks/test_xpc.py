"""Extension procedure calls: page table, stack and context change and come back."""

import struct
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import armed_driver
import pytest

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.kernel.modules import Module
from nooks_lab.lab import Lab
from nooks_lab.machine.exceptions import TripleFault
from nooks_lab.machine.memory import PAGE_SIZE
from nooks_lab.nooks.isolation.domain import STACK_SIZE, Domain
from nooks_lab.nooks.manager import Nooks
from nooks_lab.nooks.xpc.calls import ExtensionFault

T = TypeVar("T")

CALLEE = """
#include <linux/module.h>
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/pci.h>

volatile unsigned long where[4];

int add(int a, int b) { return a + b; }
int twice(int n) { void *p = kmalloc(n, GFP_KERNEL); kfree(p); return 2 * n; }
int here(int slot) { where[slot] = (unsigned long)&slot; return 0; }
int wait_for_ticks(int n)
{
	unsigned long end = jiffies + n;
	volatile unsigned long turns = 0;
	while ((long)(end - jiffies) > 0)
		turns++;
	return turns;
}
int sleep_here(int slot)
{
	here(slot);
	set_task_state(current, TASK_INTERRUPTIBLE);
	schedule_timeout(3);
	return 40 + slot;
}
int crash(int depth) { return depth ? crash(depth - 1) + depth : (*(volatile int *)16 = 1); }
int overflow(int n) { volatile char big[1024]; big[0] = n; return overflow(n + 1) + big[0]; }
static int probe(struct pci_dev *dev, const struct pci_device_id *id) { here(1); return -19; }
static struct pci_device_id table[] = { { 0x8086, 0x100e, PCI_ANY_ID, PCI_ANY_ID }, { 0 } };
static struct pci_driver driver = { .name = "callee", .id_table = table, .probe = probe };
int call_back(void)
{
	here(0);
	pci_register_driver(&driver);
	here(2);
	pci_unregister_driver(&driver);
	return 0;
}
int init_module(void) { return 0; }
void cleanup_module(void) { }
"""


class Callee:
    """A lab with the module above, and calls into it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.module: Module = lab.insmod(extensions.build("callee.c", CALLEE))
        assert lab.nooks is not None
        self.nooks: Nooks = lab.nooks
        domain = lab.nooks.domain_of("callee")
        assert domain is not None
        self.domain: Domain = domain

    def address(self, name: str) -> int:
        assert self.module.image is not None
        return self.module.image.symbols[name]

    def call(self, name: str, *arguments: int) -> int:
        """Call a function from the task that runs."""
        return self.nooks.xpc.nooks_driver_call(self.domain, self.address(name), *arguments)

    def in_task(self, body: Callable[[], T]) -> T:
        return self.lab.kernel.in_task("caller", body)

    def where(self) -> tuple[int, ...]:
        return struct.unpack("<4I", self.lab.kernel.memory.read(self.address("where"), 16))


@pytest.fixture(scope="module")
def callee() -> Iterator[Callee]:
    with nl.boot(nooks=True) as lab:
        yield Callee(lab)


@pytest.fixture
def page_tables(callee: Callee, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every change of CR3 from now on; a load of the value that is there already changes nothing."""
    cpu = callee.lab.machine.cpu
    seen = [cpu.cr3]
    load = cpu.load_cr3

    def record(value: int) -> None:
        if value != seen[-1]:
            seen.append(value)
        load(value)

    monkeypatch.setattr(cpu, "load_cr3", record)
    return seen


def test_a_round_trip_changes_the_page_table_twice(callee: Callee, page_tables: list[int]) -> None:
    kernel, own = callee.lab.kernel.page_table.directory, callee.domain.directory
    before = callee.nooks.xpc.driver_calls
    assert callee.in_task(lambda: callee.call("add", 2, 3)) == 5
    assert page_tables == [kernel, own, kernel]
    assert callee.nooks.xpc.driver_calls == before + 1


def test_each_call_of_the_kernel_changes_it_twice_more(callee: Callee, page_tables: list[int]) -> None:
    kernel, own = callee.lab.kernel.page_table.directory, callee.domain.directory
    before = callee.nooks.xpc.kernel_calls
    assert callee.in_task(lambda: callee.call("twice", 100)) == 200
    assert page_tables == [kernel, own, kernel, own, kernel, own, kernel]
    assert callee.nooks.xpc.kernel_calls == before + 2


def context(lab: Lab) -> dict[str, int]:
    cpu = lab.machine.cpu
    return {name: cpu.get(name) for name in ("ebx", "esi", "edi", "ebp", "esp", "eflags", "cr3")}


@pytest.mark.parametrize("function", ["add", "twice", "call_back", "wait_for_ticks", "crash"])
def test_the_callers_context_comes_back(callee: Callee, function: str) -> None:
    lab = callee.lab

    def body() -> tuple[dict[str, int], dict[str, int]]:
        lab.machine.cpu.set_registers({"ebx": 0x1111, "esi": 0x2222, "edi": 0x3333, "ebp": 0x4444})
        before = context(lab)
        try:
            callee.call(function, 1, 4)
        except ExtensionFault:
            assert function == "crash"
        return before, context(lab)

    before, after = callee.in_task(body)
    assert after == before
    assert callee.domain.busy_stacks == {}


def test_the_extension_runs_on_a_stack_of_its_domain(callee: Callee) -> None:
    callee.in_task(lambda: callee.call("here", 3))
    assert callee.domain.may_write(callee.where()[3])
    assert callee.domain.writable[callee.where()[3] & -PAGE_SIZE] == "stack"
    assert any(s.base <= callee.where()[3] < s.base + STACK_SIZE for s in callee.domain.idle_stacks)


def test_a_nested_call_goes_on_further_down_the_same_stack(callee: Callee) -> None:
    callee.in_task(lambda: callee.call("call_back"))
    outer, nested, again, _ = callee.where()
    assert nested < min(outer, again)
    (base,) = {s.base for s in callee.domain.idle_stacks if s.base <= outer < s.base + STACK_SIZE}
    assert base <= nested < outer < base + STACK_SIZE


def test_two_tasks_in_a_domain_have_a_stack_each() -> None:
    with nl.boot(nooks=True) as lab:
        callee = Callee(lab)
        tasks = [lab.kernel.start("sleeper", lambda n=n: callee.call("sleep_here", n)) for n in range(2)]
        for task in tasks:
            lab.kernel.wait(task)
        assert [task.result for task in tasks] == [40, 41]
        first, second, *_ = callee.where()
        assert abs(first - second) >= STACK_SIZE
        assert callee.domain.busy_stacks == {}


def test_an_interrupt_in_a_domain_is_handled_in_the_kernels_page_table(
    callee: Callee, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = callee.lab
    cpu, hooks = lab.machine.cpu, lab.kernel.hooks
    entered, left = hooks.kernel_entered, hooks.kernel_left
    seen: list[tuple[int, int, int, int]] = []
    stacks: list[tuple[int, int]] = []

    def enter() -> Any:
        before, esp = cpu.cr3, cpu.esp
        token = entered()
        seen.append((before, cpu.cr3, esp, cpu.esp))
        return token

    def leave(token: Any) -> None:
        left(token)
        stacks.append((cpu.cr3, cpu.esp))

    monkeypatch.setattr(hooks, "kernel_entered", enter)
    monkeypatch.setattr(hooks, "kernel_left", leave)
    assert callee.in_task(lambda: callee.call("wait_for_ticks", 1)) > 0
    kernel, own = lab.kernel.page_table.directory, callee.domain.directory
    in_domain = [entry for entry in seen if entry[0] == own]
    assert in_domain
    for (before, during, esp, kernel_esp), (after, back) in zip(seen, stacks, strict=True):
        assert during == kernel
        assert (after, back) == (before, esp)
        if before == own:
            assert callee.domain.may_write(esp - 4)
            assert not callee.domain.may_write(kernel_esp - 4)


def test_a_fault_in_a_domain_comes_out_at_the_call(callee: Callee) -> None:
    def body() -> str:
        with pytest.raises(ExtensionFault) as fault:
            callee.call("crash", 5)
        assert fault.value.domain is callee.domain
        return fault.value.trigger

    assert callee.in_task(body).startswith("page fault: write to 00000010 at crash [callee]")
    assert callee.nooks.xpc.tasks_in(callee.domain) == []
    assert callee.in_task(lambda: callee.call("add", 1, 1)) == 2


def test_a_stack_overflow_ends_the_system_when_the_double_fault_has_no_task() -> None:
    # The guard page keeps it from other memory; but the CPU has no stack left to push the fault on.
    with nl.boot() as lab:
        lab.nooks = Nooks(lab.kernel, double_fault_task=False)
        callee = Callee(lab)
        with pytest.raises(TripleFault, match=r"page fault at [0-9a-f]+; double fault: page fault at "):
            callee.in_task(lambda: callee.call("overflow", 0))


def test_stacks_are_used_again(callee: Callee) -> None:
    callee.in_task(lambda: callee.call("add", 1, 2))
    stacks = {stack.base for stack in callee.domain.idle_stacks}
    for _ in range(20):
        callee.in_task(lambda: callee.call("twice", 8))
    assert {stack.base for stack in callee.domain.idle_stacks} == stacks


def test_nobody_calls_into_a_failed_domain(callee: Callee) -> None:
    callee.domain.record.failed = 1

    def body() -> str:
        with pytest.raises(ExtensionFault) as fault:
            callee.call("add", 1, 2)
        return str(fault.value)

    before = callee.nooks.xpc.total
    assert callee.in_task(body) == "call into the failed domain callee"
    callee.domain.record.failed = 0
    assert callee.nooks.xpc.total == before


def test_a_round_trip_costs_the_same_misses_every_time(callee: Callee) -> None:
    def body() -> list[int]:
        misses = []
        for _ in range(6):
            before = callee.lab.machine.counters()["tlb_misses"]
            callee.call("add", 1, 2)
            misses.append(callee.lab.machine.counters()["tlb_misses"] - before)
        return misses[1:]

    misses = callee.in_task(body)
    assert len(set(misses)) == 1
    # Both changes of page table empty the TLB: code and stack on either side miss.
    assert misses[0] >= 3


def test_two_runs_count_the_same() -> None:
    def run() -> dict[str, int]:
        with armed_driver.boot_up("e1000") as lab:
            for _ in range(10):
                lab.peer.send(armed_driver.BROADCAST)
                lab.kernel.send_frame("eth0", armed_driver.BROADCAST)
            lab.run(0.01)
            assert lab.nooks is not None
            return lab.machine.counters() | {"xpc": lab.nooks.xpc.total}

    assert run() == run()
