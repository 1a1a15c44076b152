"""kmalloc: objects, junk, double frees, red zones."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nooks_lab as nl
from nooks_lab.kernel.bug import KernelBug
from nooks_lab.kernel.kernel import Kernel, TaskDied
from nooks_lab.kernel.page_alloc import JUNK
from nooks_lab.kernel.slab import SIZES


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    with nl.boot() as lab:
        yield lab.kernel


@pytest.fixture
def redzone(kernel: Kernel) -> Iterator[Kernel]:
    with nl.boot() as lab:
        lab.kernel.memory.set_u32(lab.kernel.variable("slab_redzone"), 1)
        yield lab.kernel


_sizes = st.one_of(st.integers(1, 3000), st.sampled_from([1, 31, 32, 33, 511, 512, 513, 4096, 4097, 131072]))


@settings(max_examples=30)
@given(st.lists(st.one_of(_sizes, st.integers(-50, -1)), max_size=80), st.randoms(use_true_random=False))
def test_objects_keep_their_bytes_and_all_come_back(kernel: Kernel, steps: list[int], order: object) -> None:
    free_pages, active = kernel.pages.nr_free_pages, kernel.slab.active()
    held: dict[int, bytes] = {}

    def release(address: int) -> None:
        contents = held.pop(address)
        assert kernel.memory.read(address, len(contents)) == contents
        kernel.slab.free(address)
        assert kernel.memory.read(address, min(len(contents), 16)) == bytes((JUNK,)) * min(len(contents), 16)

    for number, step in enumerate(steps):
        if step > 0:
            address = kernel.slab.alloc(step)
            assert address % 32 == 0
            assert address not in held
            assert kernel.slab.size_of(address) >= step
            held[address] = bytes((number + 1,)) * step
            kernel.memory.write(address, held[address])
        elif held:
            release(list(held)[step % len(held)])
    rest = list(held)
    order.shuffle(rest)
    for address in rest:
        release(address)
    assert (kernel.pages.nr_free_pages, kernel.slab.active()) == (free_pages, active)


def test_a_request_above_the_largest_cache_is_refused(kernel: Kernel) -> None:
    assert kernel.slab.alloc(SIZES[-1] + 1) == 0


def test_kfree_of_null_does_nothing(kernel: Kernel) -> None:
    kernel.slab.kfree(0)


def wrong_addresses(kernel: Kernel) -> dict[str, int]:
    freed, inside = kernel.slab.alloc(100), kernel.slab.alloc(100)
    kernel.slab.free(freed)
    return {
        "freed already": freed,
        "inside an object": inside + 4,
        "a page that is no slab's": kernel.pages.alloc(0),
        "the stack": kernel.machine.cpu.esp,
        "vmalloc": kernel.vmalloc.alloc(100),
        "user space": 0x1000,
        "the end": 0xFFFFFFFC,
    }


@pytest.mark.parametrize(
    "which",
    [
        "freed already",
        "inside an object",
        "a page that is no slab's",
        "the stack",
        "vmalloc",
        "user space",
        "the end",
    ],
)
def test_kfree_of_what_is_no_object_is_a_bug(kernel: Kernel, which: str) -> None:
    address = wrong_addresses(kernel)[which]
    active = kernel.slab.active()
    with pytest.raises(KernelBug, match=f"{address:08x}"):
        kernel.slab.free(address)
    assert kernel.slab.active() == active


def test_a_double_kfree_kills_the_process_with_an_oops(kernel: Kernel) -> None:
    def free_twice() -> None:
        address = kernel.slab.alloc(64)
        kernel.slab.kfree(address)
        kernel.slab.kfree(address)

    with pytest.raises(TaskDied, match="process careless was killed"):
        kernel.in_task("careless", free_twice)
    log = kernel.dmesg()
    assert "kernel BUG: kfree of" in log
    assert "invalid opcode: 0000" in log
    assert "Process careless" in log
    assert kernel.in_task("next", lambda: 7) == 7


@pytest.mark.parametrize("offset", [-1, -4, 0, 3], ids=["before", "head", "after", "tail"])
@pytest.mark.parametrize("size", [1, 24, 100, 600, 5000])
def test_a_written_red_zone_is_found_at_kfree(redzone: Kernel, size: int, offset: int) -> None:
    good, bad = redzone.slab.alloc(size), redzone.slab.alloc(size)
    redzone.memory.fill(good, size, 0xFF)
    redzone.slab.free(good)
    redzone.memory.set_u8(bad + offset + (size if offset >= 0 else 0), 0)
    with pytest.raises(KernelBug, match="red zone"):
        redzone.slab.free(bad)


def test_exhausted_memory_gives_null_and_comes_back(kernel: Kernel) -> None:
    free_pages, active = kernel.pages.nr_free_pages, kernel.slab.active()
    taken = []
    while address := kernel.slab.alloc(65536):
        taken.append(address)
    while address := kernel.slab.alloc(2048):
        taken.append(address)
    assert kernel.slab.alloc(4096) == 0
    for address in taken:
        kernel.slab.free(address)
    assert (kernel.pages.nr_free_pages, kernel.slab.active()) == (free_pages, active)


def test_an_address_inside_an_object_is_told_from_one_in_none(kernel: Kernel) -> None:
    block = kernel.slab.alloc(100)
    assert {kernel.slab.size_around(block + offset) for offset in (0, 1, 99, 127)} == {128}
    assert kernel.slab.size_of(block + 1) is None
    kernel.slab.free(block)
    assert kernel.slab.size_around(block + 1) is None
    assert kernel.slab.size_around(kernel.variable("jiffies")) is None
