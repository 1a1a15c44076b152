"""The page allocator: blocks, buddies, the count of free pages."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nooks_lab as nl
from nooks_lab.kernel.kernel import Kernel
from nooks_lab.kernel.page_alloc import JUNK, MAX_ORDER
from nooks_lab.kernel.sched import PF_MEMALLOC, ForkFailed

PAGE = 4096


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with nl.boot() as lab:
        yield lab.kernel


@settings(max_examples=40)
@given(st.lists(st.one_of(st.integers(0, 6), st.integers(-40, -1)), max_size=60))
def test_blocks_never_overlap_and_all_come_back(kernel: Kernel, steps: list[int]) -> None:
    pages = kernel.pages
    before = pages.nr_free_pages
    held: list[tuple[int, int]] = []
    for step in steps:
        if step >= 0:
            block = pages.alloc(step)
            assert block % (PAGE << step) == 0
            assert all(
                block + (PAGE << step) <= other or other + (PAGE << order) <= block for other, order in held
            )
            held.append((block, step))
        elif held:
            pages.free(*held.pop(step % len(held)))
        assert pages.nr_free_pages == before - sum(1 << order for _, order in held)
    for block, order in held:
        pages.free(block, order)
    assert pages.nr_free_pages == before


def test_all_memory_can_be_taken_and_joins_again(kernel: Kernel) -> None:
    pages = kernel.pages
    largest = []
    while block := pages.alloc(MAX_ORDER - 1):
        largest.append(block)
    for block in largest:
        pages.free(block, MAX_ORDER - 1)
    before = pages.nr_free_pages
    single = []
    while page := pages.alloc_from_reserve(0):
        single.append(page)
    assert pages.nr_free_pages == 0
    assert len(single) == len(set(single)) == before
    assert pages.alloc(3) == 0
    for page in single[::2] + single[1::2]:
        pages.free(page, 0)
    assert pages.nr_free_pages == before
    again = [pages.alloc(MAX_ORDER - 1) for _ in largest]
    assert sorted(again) == sorted(largest)
    for block in again:
        pages.free(block, MAX_ORDER - 1)


def test_the_last_pages_are_for_who_gets_memory_back(kernel: Kernel) -> None:
    pages = kernel.pages
    # As Linux 2.4 has it for a zone of 16 MiB.
    assert pages.pages_min == 32
    held = []
    while page := pages.alloc(0):
        held.append(page)
    assert (pages.nr_free_pages, pages.nr_available, pages.alloc(0)) == (32, 0, 0)

    def takes_two() -> tuple[int, int]:
        current, pair = kernel.sched.current.address, pages.alloc(1)
        pages.free(pair, 1)
        return current, pair

    thread = kernel.start("kswapd", takes_two, PF_MEMALLOC)
    kernel.wait(thread)
    assert all(thread.result)
    with pytest.raises(ForkFailed):
        kernel.start("cat", takes_two)
    for page in held:
        pages.free(page, 0)


def test_an_interrupt_does_not_live_on_the_interrupted_tasks_rights(kernel: Kernel) -> None:
    def interrupted() -> tuple[bool, bool]:
        before = kernel.sched.may_dip()
        kernel.irq_stat.local_irq_count += 1
        within = kernel.sched.may_dip()
        kernel.irq_stat.local_irq_count -= 1
        return before, within

    thread = kernel.start("kswapd", interrupted, PF_MEMALLOC)
    kernel.wait(thread)
    assert thread.result == (True, False)


def test_no_block_is_larger_than_the_largest_order(kernel: Kernel) -> None:
    assert kernel.pages.alloc(MAX_ORDER) == 0


def test_freed_pages_hold_junk(kernel: Kernel) -> None:
    block = kernel.pages.alloc(1)
    kernel.memory.fill(block, 2 * PAGE, 0)
    kernel.pages.free(block, 1)
    assert kernel.memory.read(block, 2 * PAGE) == bytes((JUNK,)) * 2 * PAGE


def test_a_zeroed_page_is_zero(kernel: Kernel) -> None:
    page = kernel.pages.get_zeroed_page()
    assert kernel.memory.read(page, PAGE) == bytes(PAGE)
    kernel.pages.free(page, 0)
