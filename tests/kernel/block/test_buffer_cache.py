"""The buffer cache against a model: what is read, what reaches the disk, and how much memory it takes."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nooks_lab as nl
from nooks_lab.kernel.block.buffer_bits import BH_DIRTY, BH_LOCK, BH_UPTODATE
from nooks_lab.kernel.block.buffer_cache import MOST_PAGES, BufferCache
from nooks_lab.kernel.kernel import TaskDied
from nooks_lab.lab import Lab

HDA = 0x300
BLOCKS, SIZE = 2200, 1024


def contents(block: int) -> bytes:
    return block.to_bytes(4, "little") * (SIZE // 4)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with nl.boot(devices=("disk",), disk=b"".join(map(contents, range(BLOCKS)))) as booted:
        device = booted.kernel.in_task("open", lambda: booted.kernel.fs.devices.get(HDA))
        assert booted.kernel.fs.devices.name(device.bd_dev) == "hda"
        yield booted


@pytest.fixture
def cache(lab: Lab) -> BufferCache:
    return lab.kernel.fs.buffers


def data(lab: Lab, bh: Any) -> bytes:
    return lab.kernel.memory.read(bh.b_data, bh.b_size)


def get(cache: BufferCache, block: int, size: int = SIZE) -> Any:
    address = cache.bread(HDA, block, size)
    assert address
    return cache.view(address)


def test_a_block_is_read_once_and_found_again(lab: Lab, cache: BufferCache) -> None:
    def work() -> None:
        first = get(cache, 5)
        assert data(lab, first) == contents(5)
        begun = lab.kernel.machine.clock.now
        again = get(cache, 5)
        assert again == first
        assert lab.kernel.machine.clock.now - begun < 10_000
        assert first.b_count.counter == 2
        assert cache.get_hash_table(HDA, 6, SIZE) == 0
        cache.release(first)
        cache.release(again)
        assert not cache.busy(first)

    lab.kernel.in_task("read", work)


def test_a_dirty_block_reaches_the_disk_at_sync_and_not_before(lab: Lab, cache: BufferCache) -> None:
    def work() -> None:
        bh = get(cache, 9)
        lab.kernel.memory.write(bh.b_data, b"n" * SIZE)
        cache.mark_buffer_dirty(bh.address)
        cache.release(bh)
        assert lab.disk.contents()[9 * SIZE : 10 * SIZE] == contents(9)
        assert cache.sync_buffers(HDA) == 0
        assert lab.disk.contents()[9 * SIZE : 10 * SIZE] == b"n" * SIZE
        assert cache.dirty() == []

    lab.kernel.in_task("write", work)


def test_bforget_keeps_a_block_from_the_disk(lab: Lab, cache: BufferCache) -> None:
    def work() -> None:
        bh = get(cache, 11)
        lab.kernel.memory.write(bh.b_data, b"f" * SIZE)
        cache.mark_buffer_dirty(bh.address)
        lab.kernel.functions["__bforget"][0](bh.address)
        cache.sync_buffers()
        again = get(cache, 11)
        assert data(lab, again) == contents(11)
        cache.release(again)

    lab.kernel.in_task("forget", work)


def test_neighbours_go_to_the_disk_in_one_request(
    lab: Lab, cache: BufferCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    issue = lab.kernel.fs.ide._issue

    def noting(rq: Any) -> None:
        seen.append(rq.nr_sectors)
        issue(rq)

    def work() -> None:
        buffers = [cache.view(cache.getblk(HDA, block, SIZE)) for block in range(100, 120)]
        cache.read(buffers)
        for bh in buffers:
            cache.wait_on(bh)
            assert data(lab, bh) == contents(bh.b_blocknr)
            cache.release(bh)

    monkeypatch.setattr(lab.kernel.fs.ide, "_issue", noting)
    lab.kernel.in_task("read", work)
    # The first is on its way before the others come.
    assert seen == [2, 38]


def test_the_cache_gives_memory_back_before_it_grows_too_large(lab: Lab, cache: BufferCache) -> None:
    def work() -> None:
        for block in range(BLOCKS):
            bh = get(cache, block)
            assert data(lab, bh)[:4] in (contents(block)[:4], b"nnnn")
            cache.release(bh)

    lab.kernel.in_task("read", work)
    pages = lab.kernel.variable("nr_buffer_pages")
    assert 0 < lab.kernel.memory.u32(pages) <= MOST_PAGES
    cache.shrink(1 << 16)
    assert lab.kernel.memory.u32(pages) == 0


def test_more_dirty_blocks_than_there_is_memory_are_written_on_the_way(lab: Lab, cache: BufferCache) -> None:
    def work() -> None:
        for block in range(BLOCKS):
            bh = cache.view(cache.getblk(HDA, block, SIZE))
            lab.kernel.memory.write(bh.b_data, contents(block ^ 0xFFFF))
            cache.mark_buffer_uptodate(bh.address, 1)
            cache.mark_buffer_dirty(bh.address)
            cache.release(bh)
        cache.sync_buffers()

    lab.kernel.in_task("write", work)
    assert lab.disk.contents() == b"".join(contents(block ^ 0xFFFF) for block in range(BLOCKS))
    cache.shrink(1 << 16)


@pytest.mark.parametrize("block", [BLOCKS, BLOCKS + 1, 0x7FFFFFFF, -1])
def test_a_block_behind_the_end_of_the_disk_cannot_be_read(lab: Lab, cache: BufferCache, block: int) -> None:
    assert lab.kernel.in_task("read", lambda: cache.bread(HDA, block, SIZE)) == 0
    assert "attempt to access beyond end of device" in lab.kernel.dmesg()


def test_a_bad_sector_spoils_only_its_own_block(lab: Lab, cache: BufferCache) -> None:
    lab.disk.state.bad.add(2 * 205)

    def work() -> list[int]:
        buffers = [cache.view(cache.getblk(HDA, block, SIZE)) for block in range(200, 210)]
        cache.read(buffers)
        for bh in buffers:
            cache.wait_on(bh)
        bad = [bh.b_blocknr for bh in buffers if not bh.b_state & BH_UPTODATE]
        for bh in buffers:
            cache.release(bh)
        return bad

    try:
        assert lab.kernel.in_task("read", work) == [205]
    finally:
        lab.disk.state.bad.clear()
    assert "I/O error, dev 03:00 (hda), sector 410" in lab.kernel.dmesg()


def test_a_block_that_cannot_be_written_is_reported_by_sync(lab: Lab, cache: BufferCache) -> None:
    lab.disk.state.bad.add(2 * 300)

    def work() -> int:
        bh = cache.view(cache.getblk(HDA, 300, SIZE))
        cache.mark_buffer_uptodate(bh.address, 1)
        cache.mark_buffer_dirty(bh.address)
        cache.release(bh)
        return cache.sync_buffers()

    try:
        assert lab.kernel.in_task("write", work) == -5
    finally:
        lab.disk.state.bad.clear()


def test_a_drive_that_does_not_answer_is_reset(
    lab: Lab, cache: BufferCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bus master's table leads nowhere while a command runs: no interrupt comes, until the time-out."""
    ide, table = lab.kernel.fs.ide, lab.kernel.fs.ide.table

    def work() -> bytes:
        bh = cache.view(cache.getblk(HDA, 400, SIZE))
        with monkeypatch.context() as patch:
            patch.setattr(ide, "_build_table", lambda rq: lab.kernel.memory.write(table, b"\xff" * 8))
            cache.read([bh])
        cache.wait_on(bh)
        found = data(lab, bh)
        cache.release(bh)
        return found

    before = lab.kernel.machine.seconds()
    assert lab.kernel.in_task("read", work) == contents(400 ^ 0xFFFF)
    assert 9 < lab.kernel.machine.seconds() - before < 12
    assert "hda: timeout waiting for DMA, bus master status=0x02" in lab.kernel.dmesg()


@pytest.mark.parametrize("misuse", ["brelse", "size"])
def test_what_no_caller_may_do_is_a_bug(lab: Lab, cache: BufferCache, misuse: str) -> None:
    def work() -> None:
        if misuse == "size":
            cache.getblk(HDA, 0, 1000)
        bh = get(cache, 1)
        cache.release(bh)
        cache.release(bh)

    with pytest.raises(TaskDied):
        lab.kernel.in_task("misuse", work)
    assert "kernel BUG: " in lab.kernel.dmesg()


def test_another_block_size_finds_what_was_written_in_the_old_one(lab: Lab, cache: BufferCache) -> None:
    def work() -> None:
        bh = get(cache, 20)
        lab.kernel.memory.write(bh.b_data, b"1" * 512 + b"2" * 512)
        cache.mark_buffer_dirty(bh.address)
        cache.release(bh)
        devices = lab.kernel.fs.devices
        assert devices.set_blocksize(HDA, SIZE) == 0
        assert devices.set_blocksize(HDA, 512) == 0
        half = get(cache, 41, 512)
        assert data(lab, half) == b"2" * 512
        cache.release(half)
        assert devices.set_blocksize(HDA, 1000) < 0

    lab.kernel.in_task("sizes", work)


ACTION = st.tuples(
    st.sampled_from(["read", "write", "forget", "sync", "shrink", "old"]),
    st.integers(0, 40),
    st.binary(min_size=1, max_size=1),
)


@settings(max_examples=30)
@given(st.lists(ACTION, max_size=40))
def test_the_cache_behaves_as_its_model(lab: Lab, actions: list[tuple[str, int, bytes]]) -> None:
    """What is read is what was written last and not forgotten; after a sync the disk holds just that."""
    cache, memory = lab.kernel.fs.buffers, lab.kernel.memory

    def work() -> None:
        cache.sync_buffers()
        disk = {block: lab.disk.image.read(2 * block, 2) for block in range(41)}
        model = dict(disk)
        for action, block, byte in actions:
            if action == "read":
                bh = get(cache, block)
                assert data(lab, bh) == model[block]
                cache.release(bh)
            elif action == "write":
                bh = cache.view(cache.getblk(HDA, block, SIZE))
                model[block] = byte * SIZE
                memory.write(bh.b_data, model[block])
                cache.mark_buffer_uptodate(bh.address, 1)
                cache.mark_buffer_dirty(bh.address)
                cache.release(bh)
            elif action == "forget":
                address = cache.get_hash_table(HDA, block, SIZE)
                if address and cache.view(address).b_state & BH_DIRTY:
                    cache.mark_buffer_clean(address)
                    cache.mark_buffer_uptodate(address, 0)
                    model[block] = disk[block]
                if address:
                    cache.release(cache.view(address))
            elif action == "sync":
                assert cache.sync_buffers() == 0
                disk = dict(model)
                assert lab.disk.image.read(0, 82) == b"".join(model[each] for each in range(41))
            elif action == "shrink":
                cache.shrink(4)
            else:
                cache.write_old()
            lists = [bh for which in range(3) for bh in cache.in_list(which)]
            assert len(lists) == len(set(lists))
            assert {bh.b_list for bh in cache.in_list(2)} <= {2}
            assert all(
                bool(bh.b_state & BH_DIRTY) == (bh.b_list == 2) for bh in lists if not bh.b_state & BH_LOCK
            )
        cache.sync_buffers()
        assert lab.disk.image.read(0, 82) == b"".join(model[each] for each in range(41))

    lab.kernel.in_task("model", work)
