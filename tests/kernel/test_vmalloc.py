"""vmalloc and ioremap: areas, guard pages, rights, and what comes back."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nooks_lab as nl
from nooks_lab.kernel.kernel import Kernel
from nooks_lab.kernel.vmalloc import VMALLOC_END, VMALLOC_START
from nooks_lab.machine.paging import PCD, PageFault

PAGE = 4096


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with nl.boot() as lab:
        # The first area brings the page table that stays.
        lab.kernel.vmalloc.free(lab.kernel.vmalloc.alloc(1))
        yield lab.kernel


@settings(max_examples=30)
@given(st.lists(st.one_of(st.integers(1, 30_000), st.integers(-20, -1)), max_size=30))
def test_areas_have_guard_pages_and_all_come_back(kernel: Kernel, steps: list[int]) -> None:
    before = kernel.pages.nr_free_pages, kernel.slab.active()
    held: list[tuple[int, int]] = []
    for step in steps:
        if step > 0:
            address = kernel.vmalloc.alloc(step)
            length = -(-step // PAGE) * PAGE
            kernel.memory.fill(address, length, 1)
            with pytest.raises(PageFault):
                kernel.memory.u8(address + length)
            held.append((address, length))
        elif held:
            address, length = held.pop(step % len(held))
            assert kernel.memory.read(address, length) == b"\1" * length
            assert kernel.vmalloc.free(address)
            with pytest.raises(PageFault):
                kernel.memory.u8(address)
    spans = sorted(held)
    assert all(first + length + PAGE <= second for (first, length), (second, _) in pairwise(spans))
    assert all(VMALLOC_START <= address < VMALLOC_END for address, _ in held)
    for address, _ in held:
        kernel.vmalloc.free(address)
    assert (kernel.pages.nr_free_pages, kernel.slab.active()) == before


@pytest.mark.parametrize("size", [0, 1 << 24, 0xFFFFFFFF])
def test_an_impossible_size_gives_null(kernel: Kernel, size: int) -> None:
    before = kernel.pages.nr_free_pages, kernel.slab.active()
    assert kernel.vmalloc.vmalloc(size) == 0
    assert (kernel.pages.nr_free_pages, kernel.slab.active()) == before


@pytest.mark.parametrize(("offset", "size"), [(0xFEBC0000, 0), (0xC1830000, 0xC1830040), (0xFFFFF000, 4097)])
def test_nothing_and_what_goes_round_the_end_of_memory_is_not_mapped(
    kernel: Kernel, offset: int, size: int
) -> None:
    assert kernel.vmalloc.ioremap(offset, size) == 0


def test_vfree_of_an_unknown_address_does_nothing(kernel: Kernel) -> None:
    before = kernel.pages.nr_free_pages
    assert not kernel.vmalloc.free(0xC2000000)
    kernel.vmalloc.vfree(0)
    assert kernel.pages.nr_free_pages == before


def test_ioremap_maps_device_registers_uncached_between_guards(kernel: Kernel) -> None:
    before = kernel.pages.nr_free_pages
    address = kernel.vmalloc.ioremap(0xFEBC0008, 0x100)
    assert address & 0xFFF == 8
    assert kernel.page_table.pte(address) & PCD
    assert kernel.page_table.pte(address) >> 12 == 0xFEBC0
    assert kernel.memory.u32(address) & 0xFFFFFFFF != 0xFFFFFFFF
    with pytest.raises(PageFault):
        kernel.memory.u32(address - 8 + PAGE)
    kernel.vmalloc.iounmap(address)
    with pytest.raises(PageFault):
        kernel.memory.u32(address)
    assert kernel.pages.nr_free_pages == before


def test_the_page_above_ram_faults(kernel: Kernel) -> None:
    with pytest.raises(PageFault):
        kernel.memory.u8(0xC0000000 + kernel.machine.memory.size)
