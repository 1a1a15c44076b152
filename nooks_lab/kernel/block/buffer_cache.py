"""The buffer cache: blocks of disks in memory (Linux 2.4 ``fs/buffer.c``).

A block that was asked for by number has its ``buffer_head`` in a hash table, and its data in a page that holds
several blocks of one size.  Blocks that belong to a page of a file have buffer heads too, which hang at the page and
are in no hash table.  Both kinds are in one of three lists, of clean, locked and dirty ones.
"""

from collections.abc import Iterator
from typing import Any

from nooks_lab.kernel.block.buffer_bits import (
    BH_ASYNC,
    BH_DIRTY,
    BH_LOCK,
    BH_MAPPED,
    BH_REQ,
    BH_UPTODATE,
    BUF_CLEAN,
    BUF_DIRTY,
    BUF_LOCKED,
)
from nooks_lab.kernel.block.hash_chain import HashChain
from nooks_lab.kernel.block.requests import READ, READA, WRITE, Requests
from nooks_lab.kernel.bug import KernelBug
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.fs.parts import FsParts
from nooks_lab.kernel.lists import init_list_head, list_add, list_add_tail, list_empty, list_for_each
from nooks_lab.kernel.sched import TASK_UNINTERRUPTIBLE
from nooks_lab.kernel.timers import HZ
from nooks_lab.machine.memory import PAGE_SIZE

SIZES = (512, 1024, 2048, 4096)
HASH_SIZE = 512
AGE_BUFFER = 30 * HZ
"""Jiffies that a dirty buffer may stay in memory before it is written."""

MOST_PAGES = 512
"""Pages for blocks that were asked for by number: an eighth of RAM."""


class BufferCache:
    """``getblk``, ``bread``, ``brelse`` and their kin."""

    def __init__(self, parts: FsParts, requests: Requests) -> None:
        self._parts, self._memory, self._requests = parts, parts.memory, requests
        self._hash = parts.variables["buffer_hash_table"]
        self._lists = parts.variables["lru_list"]
        self._free = parts.variables["buffer_free_list"]
        offset, self._size = parts.types.offset, parts.types.size("buffer_head")
        self._chain = HashChain(
            parts.memory, offset("buffer_head", "b_next"), offset("buffer_head", "b_pprev")
        )
        self._lru = offset("buffer_head", "b_lru")
        self._inode_link = offset("buffer_head", "b_inode_buffers")

    def boot(self) -> None:
        """Make every list empty."""
        for index in range(3):
            init_list_head(self._memory, self._lists + 8 * index)
        for index in range(len(SIZES)):
            init_list_head(self._memory, self._free + 8 * index)

    def view(self, address: int) -> Any:
        """Return a buffer head by address."""
        return self._parts.view("buffer_head", address)

    # Buffer heads

    def new_head(self) -> Any:
        """Return a buffer head of no block, or None when memory is short."""
        address = self._parts.slab.zalloc(self._size)
        if not address:
            return None
        bh = self.view(address)
        self._parts.init_queue(bh.b_wait)
        init_list_head(self._memory, address + self._lru)
        init_list_head(self._memory, address + self._inode_link)
        bh.b_end_io = self._parts.entry["end_buffer_io_sync"]
        return bh

    def free_head(self, bh: Any) -> None:
        """Free a buffer head that nobody uses."""
        self._parts.list_del_init(bh.address + self._lru)
        self._parts.list_del_init(bh.address + self._inode_link)
        self._parts.slab.free(bh.address)

    def refile(self, bh: Any) -> None:
        """``refile_buffer``: move a buffer to the list that its state says."""
        state = bh.b_state
        if state & BH_DIRTY:
            which = BUF_DIRTY
        elif state & BH_LOCK:
            which = BUF_LOCKED
        else:
            which = BUF_CLEAN
            self._parts.list_del_init(bh.address + self._inode_link)
            bh.b_inode = 0
        if which != bh.b_list or list_empty(self._memory, bh.address + self._lru):
            self._parts.list_del_init(bh.address + self._lru)
            bh.b_list = which
            list_add_tail(self._memory, bh.address + self._lru, self._lists + 8 * which)

    def in_list(self, which: int) -> Iterator[Any]:
        """Yield the buffers of a list, the oldest first."""
        for entry in list_for_each(self._memory, self._lists + 8 * which):
            yield self.view(entry - self._lru)

    # By number

    def _bucket(self, dev: int, block: int) -> int:
        return self._hash + 4 * ((block ^ block >> 9 ^ dev) % HASH_SIZE)

    def find(self, dev: int, block: int, size: int) -> Any:
        """Return a block that is in the cache, or None; nobody's use of it is counted."""
        for address in self._chain.entries(self._bucket(dev, block)):
            bh = self.view(address)
            if bh.b_blocknr == block & 0xFFFFFFFF and bh.b_size == size and bh.b_dev == dev:
                return bh
        return None

    @export(cycles=150)
    def get_hash_table(self, dev: int, block: int, size: int) -> int:
        """Return a block if it is in the cache, with one more user; else 0."""
        bh = self.find(dev, block, size)
        if bh is None:
            return 0
        bh.b_count.counter += 1
        return int(bh.address)

    @export(cycles=250)
    def getblk(self, dev: int, block: int, size: int) -> int:
        """Return a block's buffer with one more user; it holds the block's contents only when it is up to date.

        Raises
        ------
        KernelBug
            For a size that no buffer has.
        """
        if size not in SIZES:
            raise KernelBug(f"getblk of a block of {size} bytes")
        found = self.get_hash_table(dev, block, size)
        if found:
            return found
        bh = self._unused(size)
        # Waiting for memory, another process may have been faster.
        found = self.get_hash_table(dev, block, size)
        if found or bh is None:
            if bh is not None:
                list_add(self._memory, bh.address + self._lru, self._free + 8 * SIZES.index(size))
            return found
        bh.b_dev, bh.b_blocknr, bh.b_state = dev, block, BH_MAPPED
        bh.b_count.counter, bh.b_inode = 1, 0
        self._chain.add(bh.address, self._bucket(dev, block))
        self.refile(bh)
        return int(bh.address)

    def _unused(self, size: int) -> Any:
        """Take a buffer of no block from the free list, which grows by a page or by what others give up."""
        free = self._free + 8 * SIZES.index(size)
        for _ in range(3):
            entry = self._memory.u32(free)
            if entry != free:
                self._parts.list_del_init(entry)
                return self.view(entry - self._lru)
            if self._memory.u32(self._parts.variables["nr_buffer_pages"]) >= MOST_PAGES:
                self._make_room()
            if not self._grow(size):
                self._make_room()
        return None

    def _grow(self, size: int) -> bool:
        """``grow_buffers``: a page more for blocks of a size."""
        page = self._parts.pages.alloc(0)
        if not page:
            return False
        heads = [self.new_head() for _ in range(PAGE_SIZE // size)]
        if None in heads:
            for bh in heads:
                if bh is not None:
                    self.free_head(bh)
            self._parts.pages.free(page, 0)
            return False
        struct = self._parts.pages.page(page)
        self._parts.view("page", struct).buffers = heads[0].address
        free = self._free + 8 * SIZES.index(size)
        for index, bh in enumerate(heads):
            bh.b_size, bh.b_data, bh.b_page = size, page + index * size, struct
            bh.b_this_page = heads[(index + 1) % len(heads)].address
            list_add_tail(self._memory, bh.address + self._lru, free)
        self._parts.count("nr_buffer_pages", 1)
        return True

    def _make_room(self) -> None:
        """Free some pages; when there are none to free, have dirty blocks written, so that there will be."""
        if not self.shrink(16):
            self._write_some()

    def _write_some(self) -> None:
        """Every buffer is dirty or in use: write the oldest dirty ones and wait."""
        oldest = [bh for bh, _ in zip(self.in_list(BUF_DIRTY), range(32), strict=False)]
        for bh in oldest:
            bh.b_count.counter += 1
        self.write(oldest)
        for bh in oldest:
            self.wait_on(bh)
            bh.b_count.counter -= 1

    def shrink(self, pages: int) -> int:
        """Free pages all of whose blocks are clean and used by nobody, the longest unused first; returns how many."""
        freed = 0
        for which in range(len(SIZES)):
            for entry in list_for_each(self._memory, self._free + 8 * which):
                if freed >= pages:
                    return freed
                if self._free_page(self.view(entry - self._lru)):
                    # The list has lost more entries than the one just seen.
                    freed += 1 + self.shrink(pages - freed - 1)
                    return freed
        for bh in self.in_list(BUF_CLEAN):
            if bh.b_pprev and self._free_page(bh):
                return 1 + self.shrink(pages - 1) if pages > 1 else 1
        return freed

    def ring(self, bh: Any) -> list[Any]:
        """Return the buffers that share a page with one."""
        found = [bh]
        while (at := found[-1].b_this_page) != bh.address and at and len(found) <= 8:
            found.append(self.view(at))
        return found

    def busy(self, bh: Any) -> bool:
        """Tell whether a buffer is in use, or has something to write."""
        return bool(bh.b_count.counter or bh.b_state & (BH_DIRTY | BH_LOCK))

    def _free_page(self, bh: Any) -> bool:
        ring = self.ring(bh)
        if any(map(self.busy, ring)):
            return False
        data = bh.b_data & ~(PAGE_SIZE - 1)
        for each in ring:
            self._chain.remove(each.address)
            self.free_head(each)
        self._parts.view("page", self._parts.pages.page(data)).buffers = 0
        self._parts.pages.free(data, 0)
        self._parts.count("nr_buffer_pages", -1)
        return True

    @export(cycles=250, sleeps=True)
    def bread(self, dev: int, block: int, size: int) -> int:
        """Return a block with its contents and one more user; 0 when it cannot be read."""
        address = self.getblk(dev, block, size)
        if not address:
            return 0
        bh = self.view(address)
        if not bh.b_state & BH_UPTODATE:
            self.read([bh])
            self.wait_on(bh)
            if not bh.b_state & BH_UPTODATE:
                self.__brelse(address)
                return 0
        return address

    @export(cycles=40, name="__brelse")
    def __brelse(self, bh: int) -> None:
        """One user less.

        Raises
        ------
        KernelBug
            When there was none.
        """
        buffer = self.view(bh)
        count = buffer.b_count.counter
        if count <= 0:
            raise KernelBug(f"brelse of buffer {bh:08x}, which nobody uses")
        buffer.b_count.counter = count - 1

    @export(cycles=120, name="__bforget")
    def __bforget(self, bh: int) -> None:
        """One user less, and what it held need not be written."""
        buffer = self.view(bh)
        self.mark_buffer_clean(bh)
        if buffer.b_count.counter == 1 and not buffer.b_state & BH_LOCK:
            buffer.b_state = BH_MAPPED
        self.__brelse(bh)

    def release(self, bh: Any) -> None:
        """``brelse``, for a view."""
        self.__brelse(bh.address)

    # States

    @export(cycles=80)
    def mark_buffer_dirty(self, bh: int) -> None:
        """Have a block written, some time."""
        buffer = self.view(bh)
        if not buffer.b_state & BH_DIRTY:
            buffer.b_state |= BH_DIRTY
            buffer.b_flushtime = self._parts.timers.jiffies + AGE_BUFFER
            self.refile(buffer)

    @export(cycles=80)
    def mark_buffer_clean(self, bh: int) -> None:
        """What a block holds need not be written."""
        buffer = self.view(bh)
        if buffer.b_state & BH_DIRTY:
            buffer.b_state &= ~BH_DIRTY
            self.refile(buffer)

    @export(cycles=120)
    def mark_buffer_dirty_inode(self, bh: int, inode: int) -> None:
        """Have a block written, at the latest when the inode is."""
        self.mark_buffer_dirty(bh)
        buffer = self.view(bh)
        buffer.b_inode = inode
        self._parts.list_del_init(bh + self._inode_link)
        head = self._parts.view("inode", inode).i_dirty_buffers.address
        list_add_tail(self._memory, bh + self._inode_link, head)

    @export(cycles=30)
    def mark_buffer_uptodate(self, bh: int, on: int) -> None:
        """Say whether a buffer holds what is on disk, or newer."""
        buffer = self.view(bh)
        buffer.b_state = buffer.b_state | BH_UPTODATE if on else buffer.b_state & ~BH_UPTODATE

    @export(cycles=60)
    def lock_buffer(self, bh: int) -> None:
        """Keep I/O and others away from a buffer."""
        buffer = self.view(bh)
        while buffer.b_state & BH_LOCK:
            self.__wait_on_buffer(bh)
        buffer.b_state |= BH_LOCK

    @export(cycles=60)
    def unlock_buffer(self, bh: int) -> None:
        """Let others at a buffer, and wake those who wait."""
        buffer = self.view(bh)
        buffer.b_state &= ~(BH_LOCK | BH_ASYNC)
        if buffer.b_list == BUF_LOCKED:
            self.refile(buffer)
        self._parts.wake(buffer.b_wait)

    @export(cycles=100, name="__wait_on_buffer", sleeps=True)
    def __wait_on_buffer(self, bh: int) -> None:
        """Sleep until a buffer is unlocked."""
        self.wait_on(self.view(bh))

    def wait_on(self, bh: Any) -> None:
        """Sleep until a buffer is unlocked."""
        bh.b_count.counter += 1
        try:
            while bh.b_state & BH_LOCK:
                self._parts.sleep_on(bh.b_wait)
        finally:
            bh.b_count.counter -= 1

    def wait_until_unused(self, bh: Any) -> None:
        """Sleep until a buffer is unlocked, and whoever else waits for it has seen that."""
        self.wait_on(bh)
        sched = self._parts.sched
        while bh.b_count.counter:
            sched.must_be_process()
            sched.set_task_state(sched.current.address, TASK_UNINTERRUPTIBLE)
            sched.schedule_timeout(1)

    # I/O

    @export(cycles=100, sleeps=True)
    def ll_rw_block(self, rw: int, nr: int, bhs: int) -> None:
        """Start reading or writing blocks that need it; their addresses lie in an array."""
        buffers = [self.view(self._memory.u32(bhs + 4 * index)) for index in range(nr)]
        if rw == WRITE:
            self.write(buffers)
        elif rw in (READ, READA):
            self.read(buffers)
        else:
            raise KernelBug(f"ll_rw_block with the command {rw}")

    def read(self, buffers: list[Any]) -> None:
        """Start reading the buffers that are not up to date; a locked one is under way."""
        for bh in buffers:
            if not bh.b_state & (BH_LOCK | BH_UPTODATE):
                self._begin(READ, bh)

    def write(self, buffers: list[Any]) -> None:
        """Start writing the dirty ones; a locked one is waited for first, since what is under way may be older."""
        for bh in buffers:
            while bh.b_state & BH_LOCK and bh.b_state & BH_DIRTY:
                self.wait_on(bh)
            if bh.b_state & BH_DIRTY:
                bh.b_state &= ~BH_DIRTY
                self._begin(WRITE, bh)

    def _begin(self, rw: int, bh: Any) -> None:
        bh.b_state |= BH_LOCK | BH_REQ
        bh.b_count.counter += 1
        bh.b_end_io = self._parts.entry["end_buffer_io_sync"]
        self.refile(bh)
        self._requests.submit(rw, bh)

    @export(cycles=150)
    def end_buffer_io_sync(self, bh: int, uptodate: int) -> None:
        """I/O of one buffer is over."""
        buffer = self.view(bh)
        self.mark_buffer_uptodate(bh, uptodate)
        self.unlock_buffer(bh)
        buffer.b_count.counter -= 1

    # Writing back

    def dirty(self, dev: int | None = None) -> list[Any]:
        """Return the dirty buffers of a device, or all."""
        return [bh for bh in self.in_list(BUF_DIRTY) if dev is None or bh.b_dev == dev]

    def sync_buffers(self, dev: int | None = None) -> int:
        """Write every dirty buffer of a device, or of all, and wait; 0, or ``-EIO`` when one could not be written."""
        buffers = self.dirty(dev)
        return self.write_and_wait(buffers)

    def write_and_wait(self, buffers: list[Any]) -> int:
        """Write buffers that are dirty, and wait for each."""
        for bh in buffers:
            bh.b_count.counter += 1
        self.write(buffers)
        result = 0
        for bh in buffers:
            self.wait_on(bh)
            if bh.b_state & BH_REQ and not bh.b_state & BH_UPTODATE:
                result = -5
            bh.b_count.counter -= 1
        return result

    def write_old(self) -> None:
        """Start writing the buffers that have been dirty for long."""
        now = self._parts.timers.jiffies
        old = [bh for bh in self.dirty() if not (now - bh.b_flushtime) & 0x80000000]
        for bh in old:
            bh.b_count.counter += 1
        self.write(old)
        for bh in old:
            bh.b_count.counter -= 1

    @export(cycles=300, sleeps=True)
    def fsync_inode_buffers(self, inode: int) -> int:
        """Write an inode's own dirty blocks, and wait."""
        head = self._parts.view("inode", inode).i_dirty_buffers.address
        buffers = [self.view(at - self._inode_link) for at in list_for_each(self._memory, head)]
        return self.write_and_wait(buffers)

    def forget_inode_buffers(self, inode: Any) -> None:
        """``invalidate_inode_buffers``: an inode that goes away has no dirty blocks of its own."""
        for at in list_for_each(self._memory, inode.i_dirty_buffers.address):
            self.view(at - self._inode_link).b_inode = 0
            self._parts.list_del_init(at)

    def invalidate(self, dev: int, destroy_dirty: bool = False) -> None:
        """``invalidate_buffers``: forget the blocks of a device that nobody uses.

        Parameters
        ----------
        destroy_dirty : bool
            Even those that were not written.
        """
        doomed = [bh for which in range(3) for bh in self.in_list(which) if bh.b_dev == dev and bh.b_pprev]
        for bh in doomed:
            if destroy_dirty and bh.b_state & BH_DIRTY:
                self.mark_buffer_clean(bh.address)
            if not self.busy(bh):
                self._chain.remove(bh.address)
                self._parts.list_del_init(bh.address + self._lru)
                bh.b_state, bh.b_dev = 0, 0
                free = self._free + 8 * SIZES.index(bh.b_size)
                list_add(self._memory, bh.address + self._lru, free)

    def unmap_alias(self, dev: int, block: int, size: int) -> None:
        """``unmap_underlying_metadata``: a block has become a file's; what the cache has of it is out of date."""
        bh = self.find(dev, block, size)
        if bh is not None:
            self.mark_buffer_clean(bh.address)
            self.wait_on(bh)
            bh.b_state &= ~BH_UPTODATE

    def all_in_use(self) -> int:
        """Return how many buffers have a user."""
        return sum(bh.b_count.counter > 0 for which in range(3) for bh in self.in_list(which))
