"""A domain sees what the kernel sees, and writes only what was granted to it."""

import re
from collections.abc import Callable, Iterator

import armed_driver
import census
import numpy as np
import pytest
from armed_driver import boot_up
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.kernel.bug import KernelBug
from nooks_lab.kernel.page_table import PAGE_OFFSET, virt_to_phys
from nooks_lab.lab import Lab
from nooks_lab.machine.memory import PAGE_MASK, PAGE_SIZE
from nooks_lab.machine.paging import RW, P
from nooks_lab.nooks.isolation.domain import STACK_SIZE, BadParameter, Domain, ForbiddenPageError
from nooks_lab.nooks.isolation.page_tracker import Grant
from nooks_lab.nooks.tracking.validate import validate
from nooks_lab.nooks.xpc.calls import ExtensionFault

FRAME_BUFFER = 0xFD000000
FIRST_SLOT = PAGE_OFFSET >> 22


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with boot_up("e1000") as booted:
        yield booted


@pytest.fixture(scope="module")
def domain(lab: Lab) -> Domain:
    assert lab.nooks is not None
    (only,) = lab.nooks.domains
    return only


def table(lab: Lab, directory: int) -> NDArray[np.uint32]:
    """The entries of all pages of the kernel's part, walked from the directory in guest memory."""
    words = lab.machine.memory.words
    found = np.zeros((1024 - FIRST_SLOT, 1024), np.uint32)
    for slot in range(FIRST_SLOT, 1024):
        pde = int(words[(directory >> 2) + slot])
        if pde & P:
            start = (pde & PAGE_MASK) >> 2
            found[slot - FIRST_SLOT] = words[start : start + 1024].tolist()
    return found.reshape(-1)


def entries(lab: Lab, directory: int) -> dict[int, int]:
    """Every present entry, by its page's address."""
    found = table(lab, directory)
    return {
        PAGE_OFFSET + (int(index) << 12): int(found[index]) for index in np.flatnonzero(found & np.uint32(P))
    }


_ACCESSED_DIRTY = 0x60


def assert_tables_agree(lab: Lab, domain: Domain) -> None:
    """A domain's entries are the kernel's, but for the right to write, which is what was granted."""
    kernel, own = table(lab, lab.kernel.page_table.directory), table(lab, domain.directory)
    present = kernel & P != 0
    differs = (kernel ^ own) & np.uint32(0xFFFFFFFF & ~RW & ~_ACCESSED_DIRTY) != 0
    writable = {PAGE_OFFSET + (int(index) << 12) for index in np.flatnonzero(present & (own & RW != 0))}
    assert np.array_equal(present, own & P != 0)
    assert [hex(PAGE_OFFSET + (int(index) << 12)) for index in np.flatnonzero(present & differs)] == []
    assert {*map(hex, writable ^ domain.writable.keys())} == set()


def test_the_tables_agree_but_for_the_right_to_write(lab: Lab, domain: Domain) -> None:
    assert_tables_agree(lab, domain)
    assert domain.directory != lab.kernel.page_table.directory
    assert domain.writable.keys() <= entries(lab, domain.directory).keys()


def test_user_addresses_are_not_in_the_domain(lab: Lab, domain: Domain) -> None:
    words = lab.machine.memory.words
    low = range(domain.directory >> 2, (domain.directory >> 2) + (PAGE_OFFSET >> 22))
    assert not any(words[slot] for slot in low)


allocations = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["vmalloc", "ioremap", "kmalloc", "heap"]), st.integers(1, 40_000)),
        st.tuples(st.sampled_from(["free"]), st.integers(0, 100)),
    ),
    max_size=25,
)


@given(allocations)
@settings(max_examples=20)
def test_the_tables_agree_whatever_is_mapped_and_unmapped(
    lab: Lab, domain: Domain, steps: list[tuple[str, int]]
) -> None:
    kernel = lab.kernel
    makers = {
        "vmalloc": (kernel.vmalloc.alloc, kernel.vmalloc.free),
        "ioremap": (lambda size: kernel.vmalloc.ioremap(FRAME_BUFFER, size), kernel.vmalloc.iounmap),
        "kmalloc": (kernel.slab.alloc, kernel.slab.free),
        "heap": (domain.heap.alloc, domain.heap.free),
    }
    writable = dict(domain.writable)
    held = []
    for what, number in steps:
        if what != "free":
            make, free = makers[what]
            held.append((make(number), free))
        elif held:
            address, free = held.pop(number % len(held))
            if address:
                free(address)
    assert_tables_agree(lab, domain)
    for address, free in held:
        if address:
            free(address)
    assert_tables_agree(lab, domain)
    assert domain.writable == writable


def test_new_kernel_memory_is_read_only(lab: Lab, domain: Domain) -> None:
    area = lab.kernel.vmalloc.alloc(2 * PAGE_SIZE)
    assert entries(lab, domain.directory)[area] & (P | RW) == P
    assert not domain.may_write(area)
    lab.kernel.vmalloc.free(area)
    assert area not in entries(lab, domain.directory)


def test_own_text_is_read_only_and_own_data_writable(domain: Domain, lab: Lab) -> None:
    module = armed_driver.module(lab)
    assert module.image is not None
    start, end = module.image.writable
    assert not domain.may_write(armed_driver.symbol(lab, "e1000_intr"))
    assert not any(domain.may_write(page) for page in range(module.base, start, PAGE_SIZE))
    assert domain.may_write(start, end - start)
    assert {domain.writable[page] for page in range(start & PAGE_MASK, end, PAGE_SIZE)} == {"module data"}


def test_kernel_data_and_page_tables_are_read_only(lab: Lab, domain: Domain) -> None:
    for name in ("idt_table", "gdt_table", "current_task", "jiffies", "init_task_union"):
        assert not domain.may_write(lab.kernel.variable(name)), name
    for directory in (domain.directory, lab.kernel.page_table.directory):
        assert not domain.may_write(directory + PAGE_OFFSET)


def test_a_stack_has_an_unmapped_page_below_and_above(lab: Lab, domain: Domain) -> None:
    mapped = entries(lab, domain.directory)
    assert domain.idle_stacks
    for stack in domain.idle_stacks:
        assert stack.base - PAGE_SIZE not in mapped
        assert stack.base + STACK_SIZE not in mapped
        assert domain.may_write(stack.base, STACK_SIZE)


def test_grants_are_counted(lab: Lab, domain: Domain) -> None:
    page = lab.kernel.pages.alloc(0)
    domain.grant(page, 100, Grant.PACKET)
    domain.grant(page + 2000, 100, Grant.PACKET)
    domain.revoke(page, 100)
    assert domain.may_write(page)
    assert entries(lab, domain.directory)[page] & RW
    domain.revoke(page + 2000, 100)
    assert not domain.may_write(page)
    assert not entries(lab, domain.directory)[page] & RW
    domain.revoke(page, 100)
    assert_tables_agree(lab, domain)
    lab.kernel.pages.free(page, 0)


def test_a_range_needs_every_page_of_it(lab: Lab, domain: Domain) -> None:
    area = lab.kernel.vmalloc.alloc(2 * PAGE_SIZE)
    domain.grant(area, PAGE_SIZE, Grant.HEAP)
    assert domain.may_write(area, PAGE_SIZE)
    assert not domain.may_write(area, PAGE_SIZE + 1)
    with pytest.raises(BadParameter, match=re.escape(f"test: {area:08x} is no memory of domain e1000")):
        domain.check_writable(area, PAGE_SIZE + 1, "test")
    lab.kernel.vmalloc.free(area)
    assert area not in domain.writable


def test_reading_what_is_mapped_nowhere_is_a_bad_parameter(lab: Lab, domain: Domain) -> None:
    assert domain.read(lab.kernel.variable("jiffies"), 4, "test")
    for address in (0, 0x1000, PAGE_OFFSET - 1, 0xFF000000):
        with pytest.raises(BadParameter, match=r"^test: "):
            domain.read(address, 4, "test")


def test_a_destroyed_domain_gives_every_page_back(lab: Lab) -> None:
    pages, objects = lab.kernel.pages.nr_free_pages, lab.kernel.slab.active()
    areas = len(lab.kernel.vmalloc.areas())
    assert lab.nooks is not None
    domain = Domain(lab.kernel, lab.nooks.types, 99, "short-lived")
    frames = virt_to_phys(lab.kernel.variable("idt_table"))
    assert entries(lab, domain.directory)[frames + PAGE_OFFSET & PAGE_MASK] & PAGE_MASK == frames & PAGE_MASK
    for size in (10, 500, 5000):
        assert domain.heap.alloc(size)
    domain.stack(1)
    domain.stack(2)
    domain.release_stack(2)
    domain.destroy()
    assert lab.kernel.slab.active() == objects
    assert len(lab.kernel.vmalloc.areas()) == areas
    # A slab of the kernel's own may have been made or given up meanwhile.
    assert abs(lab.kernel.pages.nr_free_pages - pages) <= 2


# What no domain may write


def test_the_kernels_image_and_first_page_tables_are_nobodys(lab: Lab, domain: Domain) -> None:
    kernel = lab.kernel
    for address in (
        PAGE_OFFSET,
        kernel.image.text[0],
        kernel.variable("idt_table"),
        kernel.variable("jiffies"),
        kernel.page_table.directory + PAGE_OFFSET,
        kernel.pages.mem_map,
        PAGE_OFFSET + kernel.first_free - 1,
    ):
        page = address & PAGE_MASK
        with pytest.raises(
            ForbiddenPageError,
            match=f"^cannot grant page {page:08x} as heap to domain e1000: it belongs to the kernel itself$",
        ):
            domain.grant(address, 4, Grant.HEAP)
        assert not domain.may_write(page)


def test_its_own_page_directory_is_not_the_domains(lab: Lab, domain: Domain) -> None:
    directory = domain.directory + PAGE_OFFSET
    with pytest.raises(
        ForbiddenPageError, match=f"^cannot grant page {directory:08x} as dma to domain e1000: "
    ):
        domain.grant(directory, PAGE_SIZE, Grant.DMA)
    assert not domain.may_write(directory)


def test_what_is_mapped_nowhere_cannot_be_granted(lab: Lab, domain: Domain) -> None:
    behind = PAGE_OFFSET + lab.machine.memory.size
    for address in (0, 0x1000, 0x08048000, PAGE_OFFSET - 1, behind, 0xFFFFF000):
        page = address & PAGE_MASK
        with pytest.raises(
            ForbiddenPageError,
            match=f"^cannot grant page {page:08x} as module data to domain e1000: it is not mapped$",
        ):
            domain.grant(address, 1, Grant.MODULE_DATA)
    assert_tables_agree(lab, domain)


def test_a_range_with_one_forbidden_page_grants_none(lab: Lab, domain: Domain) -> None:
    area = lab.kernel.vmalloc.alloc(2 * PAGE_SIZE)
    with pytest.raises(ForbiddenPageError, match=f"^cannot grant page {area + 2 * PAGE_SIZE:08x} as packet "):
        domain.grant(area, 2 * PAGE_SIZE + 1, Grant.PACKET)
    assert not domain.may_write(area)
    assert area not in domain.writable
    lab.kernel.vmalloc.free(area)


@pytest.mark.parametrize("size", [20, 500, 4000, 8192, 40_000])
def test_freed_heap_pages_become_unwritable(lab: Lab, domain: Domain, size: int) -> None:
    before = dict(domain.writable)
    blocks = [domain.heap.alloc(size) for _ in range(max(2, 9000 // size))]
    assert all(domain.may_write(block, size) for block in blocks)
    new = set(domain.writable) - set(before)
    assert len(new) > 1
    assert {domain.writable[page] for page in new} == {"heap"}
    for block in blocks:
        domain.heap.free(block)
    freed = [page for page in new if not domain.may_write(page)]
    # At most the slab that was begun before keeps its page.
    assert dict(domain.writable) == before
    assert len(freed) == len(new)
    assert not any(entries(lab, domain.directory)[page] & RW for page in new)
    assert_tables_agree(lab, domain)


MEMBER = """
#include <linux/module.h>
#include <linux/kernel.h>
#include <linux/slab.h>
#include <linux/netdevice.h>
#include <linux/etherdevice.h>

static struct net_device *dev[4];
static char zeroed[10000];
static int set[2000] = { 1 };

int add(int which) { if (!dev[which]) dev[which] = init_etherdev(0, 300); return !dev[which]; }

int drop(int which)
{
	if (dev[which]) {
		unregister_netdev(dev[which]);
		kfree(dev[which]);
	}
	dev[which] = 0;
	return 0;
}

int after_free(int size)
{
	volatile int *p = kmalloc(size, GFP_KERNEL);

	*p = 1;
	kfree((void *)p);
	*p = 2;
	return 0;
}

int init_module(void) { zeroed[9999] = set[1999]; return 0; }
void cleanup_module(void) { int i; for (i = 0; i < 4; i++) drop(i); }
"""


def test_an_extension_that_writes_to_a_freed_page_faults() -> None:
    with nl.boot(nooks=True) as lab:
        module = lab.insmod(extensions.build("member.c", MEMBER))
        assert lab.nooks is not None
        nooks, (domain,) = lab.nooks, lab.nooks.domains
        assert module.image is not None
        after_free = module.image.symbols["after_free"]

        def body() -> str:
            with pytest.raises(ExtensionFault) as fault:
                nooks.xpc.nooks_driver_call(domain, after_free, 8192)
            return fault.value.trigger

        assert re.match(
            r"page fault: write to [0-9a-f]{8} at after_free \[member\]", lab.kernel.in_task("caller", body)
        )


# Several domains at once


class Crowd:
    """A system with the e1000 and up to three other modules, each in a domain of its own."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.kernel = lab, lab.kernel
        assert lab.nooks is not None
        self.nooks = lab.nooks
        self.objects = [extensions.build(f"member{n}.c", MEMBER) for n in range(3)]
        self.memory: list[tuple[int, Callable[[int], object]]] = []
        self.granted: list[tuple[Domain, int]] = []
        self.stacks: list[tuple[Domain, int]] = []
        self.pids = 10_000

    def step(self, what: str, number: int) -> None:
        getattr(self, what)(number)

    def domain(self, number: int) -> Domain:
        return self.nooks.domains[number % len(self.nooks.domains)]

    def load(self, number: int) -> None:
        name = f"member{number % 3}"
        if name not in self.kernel.modules.loaded:
            self.kernel.insmod(name, self.objects[number % 3])

    def unload(self, number: int) -> None:
        name = f"member{number % 3}"
        domain = self.nooks.domain_of(name)
        if domain is None:
            return
        self.granted = [each for each in self.granted if each[0] is not domain]
        self.memory = [each for each in self.memory if each[1] != domain.heap.free]
        self.stacks = [each for each in self.stacks if each[0] is not domain]
        self.kernel.rmmod(name)

    def _call(self, function: str, number: int) -> None:
        module = self.kernel.modules.loaded.get(f"member{number % 3}")
        if module is None or module.image is None:
            return
        domain, address = self.nooks.domain_of(module.name), module.image.symbols[function]
        assert domain is not None
        result = self.kernel.in_task(
            "caller", lambda: self.nooks.call_extension(domain, -5, address, number // 3 % 4)
        )
        assert result == 0

    def register(self, number: int) -> None:
        self._call("add", number)

    def unregister(self, number: int) -> None:
        self._call("drop", number)

    def ifconfig(self, number: int) -> None:
        (self.kernel.ifconfig_up if number % 2 else self.kernel.ifconfig_down)("eth0")

    def heap(self, number: int) -> None:
        heap = self.domain(number).heap
        self.memory.append((heap.alloc(number * 97 % 9000 + 1), heap.free))

    def vmalloc(self, number: int) -> None:
        area = self.kernel.vmalloc.alloc(number * 997 % 40_000 + 1)
        self.memory.append((area, self.kernel.vmalloc.free))

    def ioremap(self, number: int) -> None:
        area = self.kernel.vmalloc.ioremap(FRAME_BUFFER + 0x1000 * number, 5000)
        self.memory.append((area, self.kernel.vmalloc.iounmap))

    def kmalloc(self, number: int) -> None:
        self.memory.append((self.kernel.slab.alloc(number * 97 % 9000 + 1), self.kernel.slab.free))

    def free(self, number: int) -> None:
        if self.memory:
            address, free = self.memory.pop(number % len(self.memory))
            # Whoever frees a page takes it back from all who may write it first, as the wrappers do.
            for domain, page in [each for each in self.granted if free == self.kernel.vmalloc.free]:
                if page == address:
                    self.granted.remove((domain, page))
            free(address)

    def grant(self, number: int) -> None:
        areas = [address for address, free in self.memory if free == self.kernel.vmalloc.free]
        if areas:
            domain, page = self.domain(number), areas[number % len(areas)]
            domain.grant(page, 1, Grant.PACKET)
            self.granted.append((domain, page))

    def revoke(self, number: int) -> None:
        if self.granted:
            domain, page = self.granted.pop(number % len(self.granted))
            domain.revoke(page, 1)

    def stack(self, number: int) -> None:
        self.pids += 1
        domain = self.domain(number)
        domain.stack(self.pids)
        self.stacks.append((domain, self.pids))

    def leave(self, number: int) -> None:
        if self.stacks:
            domain, pid = self.stacks.pop(number % len(self.stacks))
            domain.release_stack(pid)

    def go_home(self) -> None:
        """Undo whatever is left."""
        while self.granted:
            self.revoke(0)
        while self.memory:
            self.free(0)
        while self.stacks:
            self.leave(0)
        for number in range(3):
            self.unload(number)
        self.ifconfig(1)


ACTIONS = (
    "load",
    "load",
    "unload",
    "register",
    "register",
    "unregister",
    "ifconfig",
    "heap",
    "vmalloc",
    "vmalloc",
    "ioremap",
    "kmalloc",
    "free",
    "free",
    "grant",
    "grant",
    "revoke",
    "stack",
    "leave",
)


@pytest.fixture(scope="module")
def crowd() -> Iterator[Crowd]:
    with boot_up("e1000") as booted:
        crowd = Crowd(booted)
        # What stays once it was needed: page tables of the vmalloc area, a page of each slab, wrappers.
        for number in range(3):
            crowd.load(number)
            for device in range(4):
                crowd.register(number + 3 * device)
            crowd.stack(number)
        crowd.ifconfig(0)
        crowd.go_home()
        yield crowd


@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 50)), min_size=5, max_size=40))
@settings(max_examples=30)
def test_all_tables_agree_whatever_several_domains_do(crowd: Crowd, steps: list[tuple[str, int]]) -> None:
    before = census.take(crowd.lab)
    for what, number in [("load", 0), ("load", 1), *steps]:
        crowd.step(what, number)
        for domain in crowd.nooks.domains:
            assert_tables_agree(crowd.lab, domain)
    assert validate(crowd.nooks) == []
    crowd.go_home()
    assert [domain.name for domain in crowd.nooks.domains] == ["e1000"]
    assert validate(crowd.nooks) == []
    crowd.lab.run(0.02)
    assert census.take(crowd.lab) == before


def test_a_right_in_one_domain_is_none_in_another(crowd: Crowd) -> None:
    crowd.load(0)
    crowd.load(1)
    first, second = (crowd.nooks.domain_of(f"member{n}") for n in range(2))
    assert first is not None
    assert second is not None
    area = crowd.kernel.vmalloc.alloc(PAGE_SIZE)
    first.grant(area, PAGE_SIZE, Grant.PACKET)
    assert (first.may_write(area), second.may_write(area)) == (True, False)
    second.grant(area, PAGE_SIZE, Grant.PACKET)
    first.revoke(area, PAGE_SIZE)
    assert (first.may_write(area), second.may_write(area)) == (False, True)
    second.revoke(area, PAGE_SIZE)
    crowd.kernel.vmalloc.free(area)
    # Apart from pages that both were granted, only the CPU's own tables are writable in two domains.
    assert first.writable.keys() & second.writable.keys() == {crowd.nooks.descriptors}
    crowd.go_home()


def test_an_allocator_knows_its_own_objects_only(lab: Lab, domain: Domain) -> None:
    """A bit flip of the injector's "in the domain's heap" once struck the kernel's."""
    kernels, own = lab.kernel.slab.alloc(100), domain.heap.alloc(100)
    for mine, others, heap in ((kernels, own, lab.kernel.slab), (own, kernels, domain.heap)):
        assert heap.size_of(mine) == heap.object_around(mine + 5)[1] == 128
        assert (heap.size_of(others), heap.object_around(others), heap.size_around(others)) == (None,) * 3
    with pytest.raises(KernelBug, match="which is no allocated object"):
        domain.heap.free(kernels)
    lab.kernel.slab.free(kernels)
    domain.heap.free(own)
