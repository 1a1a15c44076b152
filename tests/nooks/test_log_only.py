"""Log-only mode: a direct store to kernel data is let through and listed with its line; nothing else changes."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import armed_driver
import pytest

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.cli.main import main
from nooks_lab.kernel.modules import ModuleError
from nooks_lab.lab import Lab
from nooks_lab.machine.cpu import EFLAGS_TF
from nooks_lab.machine.exceptions import DEBUG
from nooks_lab.machine.memory import PAGE_MASK, PAGE_SIZE
from nooks_lab.machine.tlb import TLB_MISS_CYCLES
from nooks_lab.nooks.isolation.domain import Domain
from nooks_lab.nooks.log_only import DirectStore
from nooks_lab.nooks.manager import Nooks
from nooks_lab.nooks.tracking.validate import validate
from nooks_lab.nooks.xpc.calls import ExtensionFault

T = TypeVar("T")
LINE = 5

SOURCE = """\
#include <linux/module.h>
#include <linux/kernel.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/interrupt.h>
#include <linux/pci.h>

volatile unsigned long interrupt_target, interrupts;
static struct pci_dev *found;

int set_mask(int mask)
{
	found->dma_mask = mask;		/* the driver of the bus would do this */
	return 0;
}

int add_to_jiffies(int times)
{
	while (times--)
		jiffies++;		/* read, changed and written by one instruction */
	return 0;
}

int two_on_a_line(int *a, int value)
{
	a[0] = value; a[1] = value + 1;	/* both */
	return 0;
}

int store(volatile int *to, int value)
{
	*to = value;			/* anywhere */
	return *to;
}

int copy(void *to, int count)
{
	memcpy(to, "from the extension", count);	/* in place */
	return 0;
}

int copy_bare(void *to, int count)
{
	asm volatile("pushl %1; pushl $4096 + 0xc0000000; pushl %0; call memcpy"	/* nothing behind it */
		: : "S" (to), "D" (count) : "eax", "ecx", "edx", "memory");
	asm volatile("addl $12,%%esp" : : : "memory");
	return 0;
}

int fill(void *to, int count)
{
	asm volatile("rep stosl" : "+D" (to), "+c" (count) : "a" (0x11223344) : "memory");	/* string */
	return 0;
}

int load(volatile int *from) { return *from; }

int with_own_trap(volatile int *to)
{
	asm volatile("pushf; orl $0x100,(%%esp); popf; movl $9,(%0); incl interrupts"	/* TF */
		: : "r" (to) : "memory");
	return 0;
}

static void interrupted(int irq, void *id, struct pt_regs *regs)
{
	interrupts++;
	*(volatile int *)interrupt_target = 0x1717;	/* in the handler */
}

static int probe(struct pci_dev *dev, const struct pci_device_id *id) { found = dev; return 0; }
static void remove(struct pci_dev *dev) { }
static struct pci_device_id table[] = { { 0x8086, 0x100e, PCI_ANY_ID, PCI_ANY_ID }, { 0 } };
static struct pci_driver driver = { .name = "stores", .id_table = table, .probe = probe, .remove = remove };

int init_module(void)
{
	int error = request_irq(5, interrupted, 0, "stores", &driver);
	if (!error)
		pci_register_driver(&driver);
	return error;
}

void cleanup_module(void)
{
	pci_unregister_driver(&driver);
	free_irq(5, &driver);
}
"""


def line(mark: str) -> int:
    """Return the number of the source line with a comment in it."""
    (number,) = (n for n, text in enumerate(SOURCE.splitlines(), 1) if f"/* {mark}" in text)
    return number


class Logged:
    """A lab in log-only mode with the module above, and calls into it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        assert lab.nooks is not None
        self.nooks: Nooks = lab.nooks
        self.module = lab.insmod(extensions.build("stores.c", SOURCE))
        domain = lab.nooks.domain_of("stores")
        assert domain is not None
        self.domain: Domain = domain

    def symbol(self, name: str) -> int:
        assert self.module.image is not None
        return self.module.image.symbols[name]

    def call(self, name: str, *arguments: int) -> int:
        return self.in_task(
            lambda: self.nooks.xpc.nooks_driver_call(self.domain, self.symbol(name), *arguments)
        )

    def fails(self, name: str, *arguments: int) -> str:
        """Call, and return how it failed."""

        def body() -> str:
            with pytest.raises(ExtensionFault) as fault:
                self.nooks.xpc.nooks_driver_call(self.domain, self.symbol(name), *arguments)
            return fault.value.trigger

        return self.in_task(body)

    def in_task(self, body: Callable[[], T]) -> T:
        return self.lab.kernel.in_task("caller", body)

    def new(self, before: list[DirectStore]) -> list[DirectStore]:
        """Return what the list has that it did not have before, with what has been counted since."""
        known = {replace(each, count=0): each.count for each in before}
        since = [
            replace(each, count=each.count - known.get(replace(each, count=0), 0))
            for each in self.nooks.stores
        ]
        return [each for each in since if each.count]


@pytest.fixture(scope="module")
def booted() -> Iterator[Logged]:
    with nl.boot(nooks=True, log_only=True) as lab:
        yield Logged(lab)


@pytest.fixture
def logged(booted: Logged) -> Iterator[Logged]:
    """After each test no right is left over."""
    yield booted
    assert validate(booted.nooks) == []


@pytest.fixture
def pages(logged: Logged) -> Iterator[int]:
    """Two pages of kernel memory, a third that is mapped nowhere behind them."""
    vmalloc = logged.lab.kernel.vmalloc
    area = vmalloc.alloc(2 * PAGE_SIZE)
    logged.lab.kernel.memory.fill(area, 2 * PAGE_SIZE, 0)
    yield area
    vmalloc.free(area)


def test_a_field_of_a_device_and_a_variable_are_listed_with_file_and_line(logged: Logged) -> None:
    kernel = logged.lab.kernel
    (device,) = (each for each in kernel.pci.devices() if each.vendor == 0x8086)
    assert logged.call("set_mask", 0x00FFFFFF) == 0
    jiffies = kernel.timers.jiffies
    logged.call("add_to_jiffies", 3)
    assert device.dma_mask == 0x00FFFFFF
    assert kernel.timers.jiffies - jiffies in (3, 4)
    mask, count = logged.nooks.stores[:2]
    assert (mask.extension, mask.function, mask.file, mask.line) == (
        "stores",
        "set_mask",
        "stores.c",
        line("the driver"),
    )
    assert (mask.symbol, mask.address, mask.count) == ("pci_dev.dma_mask", device.offset_of("dma_mask"), 1)
    assert (count.function, count.file, count.line) == ("add_to_jiffies", "stores.c", line("read, changed"))
    assert (count.symbol, count.address, count.count) == ("jiffies", kernel.variable("jiffies"), 3)
    assert logged.module.holds(mask.eip)
    assert str(mask) == (f"stores.c:{mask.line}: set_mask stores to pci_dev.dma_mask at {mask.address:08x}")


def test_the_log_tells_each_place_once(logged: Logged) -> None:
    before = len(logged.lab.dmesg())
    for _ in range(2):
        logged.call("add_to_jiffies", 2)
    said = re.findall(r"nooks: stores: direct store: (.*)", logged.lab.dmesg())
    assert len([each for each in said if "add_to_jiffies" in each]) == 1
    assert len(logged.lab.dmesg()) - before < 200


def test_two_stores_of_one_line_are_two_places(logged: Logged, pages: int) -> None:
    before = logged.nooks.stores
    logged.call("two_on_a_line", pages, 7)
    assert logged.lab.kernel.memory.read(pages, 8) == b"\x07\0\0\0\x08\0\0\0"
    stores = logged.new(before)
    assert [(each.line, each.count, each.address) for each in stores] == [
        (line("both"), 1, pages),
        (line("both"), 1, pages + 4),
    ]
    assert len({each.eip for each in stores}) == 2
    assert {each.symbol for each in stores} == {f"page {pages:08x}"}


def test_the_kernels_version_of_an_object_is_named_by_its_field(logged: Logged) -> None:
    (driver,) = (each for each in logged.nooks.tracker.objects(logged.domain) if each.type == "pci_driver")
    name = logged.lab.kernel.types.view("pci_driver", driver.kernel).offset_of("name")
    old = logged.lab.kernel.memory.u32(name)
    before = logged.nooks.stores
    assert logged.call("store", name, old) == old
    assert [each.symbol for each in logged.new(before)] == ["pci_driver.name"]


def test_memory_of_the_slab_and_of_a_struct_variable_are_named(logged: Logged) -> None:
    kernel = logged.lab.kernel
    block = kernel.slab.zalloc(100)
    depth = kernel.variable("irq_desc") + 3 * kernel.layouts.typedefs["irq_desc_t"].size
    before = logged.nooks.stores
    logged.call("store", block + 20, 5)
    logged.call("store", depth, kernel.memory.u32(depth))
    assert [each.symbol for each in logged.new(before)] == ["size-128 object", "irq_desc[3].status"]
    assert kernel.memory.u32(block + 20) == 5
    kernel.slab.free(block)


def test_a_store_across_two_pages_lands_whole_and_counts_once(logged: Logged, pages: int) -> None:
    before = logged.nooks.stores
    assert logged.call("store", pages + PAGE_SIZE - 2, 0x55667788) == 0x55667788
    assert logged.lab.kernel.memory.read(pages + PAGE_SIZE - 4, 8) == bytes.fromhex("0000887766550000")
    assert [(each.address, each.count) for each in logged.new(before)] == [(pages + PAGE_SIZE - 2, 1)]
    assert not logged.domain.may_write(pages)
    assert not logged.domain.may_write(pages + PAGE_SIZE)


def test_a_store_into_memory_that_is_mapped_nowhere_stays_a_failure(logged: Logged, pages: int) -> None:
    before, end = logged.nooks.stores, pages + 2 * PAGE_SIZE
    assert logged.fails("store", end, 1).startswith(f"page fault: write to {end:08x} at store [stores]")
    assert logged.fails("store", 0, 1).startswith("page fault: write to 00000000 at ")
    assert logged.fails("load", end).startswith(f"page fault: read of {end:08x}")
    # Half of it on a page that would have been let through: nothing of it lands.
    assert logged.fails("store", end - 2, 0x55667788).startswith(f"page fault: write to {end:08x}")
    assert logged.lab.kernel.memory.read(end - 4, 4) == bytes(4)
    assert logged.nooks.stores == before
    assert validate(logged.nooks) == []


def test_a_string_store_is_let_through_turn_by_turn(logged: Logged, pages: int) -> None:
    before, start = logged.nooks.stores, pages + PAGE_SIZE - 20
    logged.call("fill", start, 10)
    assert logged.lab.kernel.memory.read(start - 4, 48) == bytes(4) + b"\x44\x33\x22\x11" * 10 + bytes(4)
    first, second = logged.new(before)
    # Two unnamed pages, so two entries; of one instruction.
    assert (first.eip, first.line, first.count) == (second.eip, line("string"), 5)
    assert (first.address, second.address, second.count) == (start, pages + PAGE_SIZE, 5)


def test_a_function_run_in_place_is_listed_by_the_line_that_calls_it(logged: Logged, pages: int) -> None:
    before = logged.nooks.stores
    logged.call("copy", pages, 8)
    assert logged.lab.kernel.memory.read(pages, 9) == b"from the\0"
    (store,) = logged.new(before)
    assert (store.extension, store.function, store.file, store.line, store.count) == (
        "stores",
        "copy",
        "stores.c",
        line("in place"),
        8,
    )
    assert not logged.module.holds(store.eip)
    assert str(logged.lab.kernel.symbols.find(store.eip)).startswith("memcpy ")


def test_the_call_is_named_when_the_next_line_follows_it_at_once(logged: Logged, pages: int) -> None:
    before = logged.nooks.stores
    logged.call("copy_bare", pages, 4)
    assert [(each.function, each.line) for each in logged.new(before)] == [
        ("copy_bare", line("nothing behind it"))
    ]


def test_own_memory_is_written_without_a_trap(logged: Logged) -> None:
    before, traps = logged.nooks.stores, logged.lab.machine.exceptions_delivered.get(DEBUG, 0)
    logged.call("store", logged.symbol("interrupts"), 0)
    assert logged.nooks.stores == before
    assert logged.lab.machine.exceptions_delivered.get(DEBUG, 0) == traps


def test_one_store_takes_one_page_fault_and_one_trap(logged: Logged, pages: int) -> None:
    delivered = logged.lab.machine.exceptions_delivered
    before = dict(delivered)
    logged.call("store", pages, 1)
    assert delivered[14] - before[14] == 1
    assert delivered[DEBUG] - before[DEBUG] == 1
    assert not logged.lab.machine.cpu.eflags & EFLAGS_TF


def test_a_trap_flag_of_the_extensions_own_stays_its_failure(logged: Logged, pages: int) -> None:
    before = logged.nooks.stores
    interrupts = logged.symbol("interrupts")
    logged.lab.kernel.memory.set_u32(interrupts, 0)
    assert logged.fails("with_own_trap", pages).startswith("debug at with_own_trap [stores]")
    # The store has landed, and the instruction behind it has not been executed.
    assert (logged.lab.kernel.memory.u32(pages), logged.lab.kernel.memory.u32(interrupts)) == (9, 0)
    assert [each.line for each in logged.new(before)] == [line("TF")]


def test_what_is_read_only_for_the_kernel_too_stays_a_failure(logged: Logged, pages: int) -> None:
    table = logged.lab.kernel.page_table
    entry = table.pte(pages)
    table.set_pte(pages, entry & ~2)
    assert logged.fails("store", pages, 1).startswith(f"page fault: write to {pages:08x}")
    table.set_pte(pages, entry)
    assert logged.lab.kernel.memory.u32(pages) == 0


# Interrupts


class InTheWindow:
    """Pulses the module's interrupt line when the exception handler has returned to a store, which then waits."""

    def __init__(self, logged: Logged, monkeypatch: pytest.MonkeyPatch, page: int) -> None:
        self._lab, self._page, self._domain = logged.lab, page & PAGE_MASK, logged.domain
        self.rights_in_kernel: list[bool] = []
        self.frames: list[tuple[int, int]] = []
        hooks, clock = logged.lab.kernel.hooks, logged.lab.machine.clock
        entered, left = hooks.kernel_entered, hooks.kernel_left
        clock.parts["pulser"] = self
        armed = True

        def enter() -> Any:
            regs = logged.lab.kernel.types.view("pt_regs", logged.lab.machine.cpu.esp)
            self.frames.append((regs.eip, regs.eflags))
            entry = entered()
            self.rights_in_kernel.append(self._domain.may_write(self._page))
            return entry

        def leave(entry: Any) -> None:
            nonlocal armed
            left(entry)
            if armed and self._domain.may_write(self._page):
                armed = False
                # Misses of the stack and of the code of iret, and half of that of the store's own code.
                clock.at(clock.now + TLB_MISS_CYCLES * 5 // 2, "pulser", "pulse")

        monkeypatch.setattr(hooks, "kernel_entered", enter)
        monkeypatch.setattr(hooks, "kernel_left", leave)

    def pulse(self) -> None:
        self._lab.machine.pic.pulse(LINE)


@pytest.fixture
def interrupt(logged: Logged, monkeypatch: pytest.MonkeyPatch, pages: int) -> Iterator[InTheWindow]:
    yield InTheWindow(logged, monkeypatch, pages)
    del logged.lab.machine.clock.parts["pulser"]


def test_an_interrupt_before_the_store_finds_the_page_read_only(
    logged: Logged, pages: int, interrupt: InTheWindow
) -> None:
    memory = logged.lab.kernel.memory
    memory.set_u32(logged.symbol("interrupt_target"), pages + 8)
    memory.set_u32(logged.symbol("interrupts"), 0)
    before, pulses = logged.nooks.stores, logged.lab.machine.interrupts_delivered.get(LINE, 0)
    logged.call("fill", pages, 5)
    assert logged.lab.machine.interrupts_delivered[LINE] - pulses == 1
    assert memory.u32(logged.symbol("interrupts")) == 1
    # A page fault, and then the interrupt: at the same instruction, which was about to be stepped.
    (faulted, clear), (interrupted, stepping) = interrupt.frames[:2]
    assert faulted == interrupted
    assert (clear & EFLAGS_TF, stepping & EFLAGS_TF) == (0, EFLAGS_TF)
    assert not any(interrupt.rights_in_kernel)
    # The handler's own store to that page is listed as well, and every turn of the other counts once.
    counts = {each.line: each.count for each in logged.new(before)}
    assert counts == {line("in the handler"): 1, line("string"): 5}
    assert memory.read(pages, 24) == b"\x44\x33\x22\x11" * 5 + bytes(4)


def test_an_extension_that_fails_before_the_store_has_not_stored(pages_lab: Logged) -> None:
    logged = pages_lab
    area = logged.lab.kernel.vmalloc.alloc(PAGE_SIZE)
    logged.lab.kernel.memory.fill(area, PAGE_SIZE, 0)
    logged.lab.kernel.memory.set_u32(logged.symbol("interrupt_target"), 16)
    with pytest.MonkeyPatch.context() as monkeypatch:
        InTheWindow(logged, monkeypatch, area)
        said = logged.fails("store", area, 1)
        assert said == "domain stores failed in an interrupt"
    assert logged.lab.kernel.memory.u32(area) == 0
    assert logged.nooks.stores == []
    logged.lab.run(0.05)
    assert [recovery.trigger[:29] for recovery in logged.nooks.recoveries] == [
        "page fault: write to 00000010"
    ]
    assert validate(logged.nooks) == []


@pytest.fixture
def pages_lab() -> Iterator[Logged]:
    with nl.boot(nooks=True, log_only=True) as lab:
        yield Logged(lab)


# Drivers as a whole


def test_without_log_only_mode_the_same_store_fails_the_extension() -> None:
    with nl.boot(nooks=True) as lab:
        logged = Logged(lab)
        assert logged.fails("add_to_jiffies", 1).startswith("page fault: write to ")
        assert logged.nooks.stores == []


def test_the_unchanged_driver_stores_nowhere() -> None:
    with nl.boot(nooks=True, log_only=True) as lab:
        lab.peer.on_frame = armed_driver.answer
        lab.insmod("e1000")
        assert lab.ifup("eth0", armed_driver.OURS, armed_driver.NETMASK) == 0
        lab.run(2.5)
        assert armed_driver.ping(lab)
        lab.kernel.ifconfig_down("eth0")
        lab.kernel.rmmod("e1000")
        assert lab.nooks is not None
        assert lab.nooks.stores == []
        assert validate(lab.nooks) == []


@pytest.mark.parametrize("place", ["interrupt", "transmit", "timer", "open"])
def test_a_drivers_store_is_listed_wherever_it_runs(place: str) -> None:
    with nl.boot(nooks=True, log_only=True) as lab:
        lab.peer.on_frame = armed_driver.answer
        lab.insmod(armed_driver.armed_driver())
        target = lab.kernel.variable("ip_statistics")
        if place == "open":
            armed_driver.arm(lab, place, target)
        assert lab.ifup("eth0", armed_driver.OURS, armed_driver.NETMASK) == 0
        lab.run(0.05)
        armed_driver.strike(lab, place, target)
        assert lab.nooks is not None
        (store,) = lab.nooks.stores
        text = armed_driver.armed_source().splitlines()
        assert store.line is not None
        assert "bug_address = 0x0badf00d" in text[store.line - 1]
        assert f"bug_place == {armed_driver.NUMBERS[place]}" in text[store.line - 2]
        assert store.symbol.startswith("ip_statistics.")
        assert store.count >= 1
        assert lab.nooks.recoveries == []
        assert validate(lab.nooks) == []


def test_log_only_mode_needs_nooks() -> None:
    with pytest.raises(
        ValueError, match=r"^log-only mode is a mode of Nooks: boot\(nooks=True, log_only=True\)$"
    ):
        nl.boot(log_only=True)


# The command


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    return int(end.value.code or 0)


@pytest.fixture(scope="module")
def armed_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The e1000 with a store to the kernel's count of ticks in its interrupt handler."""
    text = extensions.source("e1000").read_text()
    before = "\twhile (work-- > 0) {\n"
    at = text.index(before, text.index("static void e1000_intr("))
    folder = tmp_path_factory.mktemp("drivers")
    for header in extensions.source("e1000").parent.glob("*.h"):
        (folder / header.name).write_bytes(header.read_bytes())
    path = folder / "mine.c"
    path.write_text(text[:at] + "\tjiffies = jiffies;\n" + text[at:])
    return path


def test_the_command_prints_the_list(armed_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    number = armed_file.read_text().splitlines().index("\tjiffies = jiffies;") + 1
    assert run("try", str(armed_file), "--device", "e1000", "--log-only", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    (store,) = said["stores"]
    assert (store["file"], store["line"], store["function"]) == ("mine.c", number, "e1000_intr")
    assert store["symbol"] == "jiffies"
    assert store["count"] > 1
    assert (said["nooks"]["outcome"], said["nooks"]["packets_lost"]) == ("ok", 0)
    assert run("try", str(armed_file), "--device", "e1000", "--log-only") == 0
    out = capsys.readouterr().out
    assert "direct stores to kernel data: 1 place\n" in out
    assert f"  mine.c:{number}: e1000_intr stores to jiffies at {store['address']:08x}, " in out


def test_the_command_says_when_there_are_none(capsys: pytest.CaptureFixture[str]) -> None:
    source = str(extensions.source("e1000"))
    assert run("try", source, "--device", "e1000", "--log-only") == 0
    out = capsys.readouterr().out
    assert out.endswith("direct stores to kernel data: none\n")
    assert "e1000.o under Nooks: ok\n" in out


def test_the_command_has_no_list_without_the_option(
    armed_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("try", str(armed_file), "--device", "e1000", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert "stores" not in said
    assert said["nooks"]["outcome"] != "ok"


def test_log_only_and_native_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    source = str(extensions.source("e1000"))
    assert run("try", source, "--device", "e1000", "--native", "--log-only") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "--log-only" in captured.err


def test_a_module_that_fails_is_unloaded_as_ever() -> None:
    obj = extensions.build("bad.c", "int init_module(void) { *(volatile int *)16 = 1; return 0; }\n")
    with nl.boot(nooks=True, log_only=True) as lab, pytest.raises(ModuleError, match="returned error 5"):
        lab.insmod(obj)
