"""A domain sees what the kernel sees, and writes only what was granted to it."""

import re
from collections.abc import Iterator

import armed_driver
import pytest
from armed_driver import boot_up
from hypothesis import given, settings
from hypothesis import strategies as st

from nooks_lab.kernel.page_table import PAGE_OFFSET, virt_to_phys
from nooks_lab.lab import Lab
from nooks_lab.machine.memory import PAGE_MASK, PAGE_SIZE
from nooks_lab.machine.paging import RW, P
from nooks_lab.nooks.isolation.domain import STACK_SIZE, BadParameter, Domain
from nooks_lab.nooks.isolation.page_tracker import Grant

FRAME_BUFFER = 0xFD000000


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with boot_up("e1000") as booted:
        yield booted


@pytest.fixture(scope="module")
def domain(lab: Lab) -> Domain:
    assert lab.nooks is not None
    (only,) = lab.nooks.domains
    return only


def entries(lab: Lab, directory: int) -> dict[int, int]:
    """Every present entry of the kernel's part, walked from the directory in guest memory."""
    words, found = lab.machine.memory.words, {}
    for slot in range(PAGE_OFFSET >> 22, 1024):
        pde = int(words[(directory >> 2) + slot])
        if pde & P:
            for index in range(1024):
                pte = int(words[((pde & PAGE_MASK) >> 2) + index])
                if pte & P:
                    found[slot << 22 | index << 12] = pte
    return found


_ACCESSED_DIRTY = 0x60


def assert_tables_agree(lab: Lab, domain: Domain) -> None:
    kernel, own = entries(lab, lab.kernel.page_table.directory), entries(lab, domain.directory)
    assert kernel.keys() == own.keys()
    for page, pte in own.items():
        right = RW if page in domain.writable else 0
        assert pte & ~_ACCESSED_DIRTY == kernel[page] & ~RW & ~_ACCESSED_DIRTY | right, hex(page)


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
