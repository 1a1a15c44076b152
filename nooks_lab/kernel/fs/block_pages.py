"""Pages of files on block devices: a filesystem says where each block is, the rest is done here.

Linux 2.4 ``fs/buffer.c``, the ``block_..._page`` functions.
"""

from collections.abc import Callable
from typing import Any

from nooks_lab.kernel.block.buffer_bits import (
    BH_ASYNC,
    BH_LOCK,
    BH_MAPPED,
    BH_NEW,
    BH_REQ,
    BH_UPTODATE,
    PG_ERROR,
    PG_UPTODATE,
)
from nooks_lab.kernel.block.buffer_cache import BufferCache
from nooks_lab.kernel.block.requests import READ, WRITE, Requests
from nooks_lab.kernel.errno import EIO, ENOMEM
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.fs.page_cache import PageCache
from nooks_lab.kernel.fs.parts import FsParts
from nooks_lab.machine.memory import PAGE_SIZE

GetBlock = Callable[[int, int, int, int], int]
"""Takes inode, number of the block in the file, buffer head, and whether to allocate; returns 0 or an error."""

MarkDirty = Callable[[int, int], None]


class BlockPages:
    """Reads and writes pages by way of their buffer heads."""

    def __init__(
        self,
        parts: FsParts,
        requests: Requests,
        buffers: BufferCache,
        pages: PageCache,
        mark_inode_dirty: MarkDirty,
    ) -> None:
        self._parts, self._memory, self._requests = parts, parts.memory, requests
        self._buffers, self._pages, self._mark_inode_dirty = buffers, pages, mark_inode_dirty

    def _through(self, get_block: int) -> GetBlock:
        return lambda inode, block, bh, create: self._parts.call(get_block, inode, block, bh, create)

    def _inode(self, page: Any) -> Any:
        return self._parts.view("inode", self._pages.mapping(page.mapping).host)

    def _make_buffers(self, page: Any, inode: Any) -> list[Any] | None:
        """``create_empty_buffers``: give a page its buffer heads unless it has them; None without memory."""
        if page.buffers:
            return self._pages.buffers(page)
        size = self._parts.view("super_block", inode.i_sb).s_blocksize
        heads = [self._buffers.new_head() for _ in range(PAGE_SIZE // size)]
        if None in heads:
            for bh in heads:
                if bh is not None:
                    self._buffers.free_head(bh)
            return None
        uptodate = BH_UPTODATE if page.flags & PG_UPTODATE else 0
        for index, bh in enumerate(heads):
            bh.b_size, bh.b_data, bh.b_page = size, page.virtual + index * size, page.address
            bh.b_this_page = heads[(index + 1) % len(heads)].address
            bh.b_dev, bh.b_state = inode.i_dev, uptodate
            self._buffers.refile(bh)
        page.buffers = heads[0].address
        return heads

    @export(cycles=400)
    def block_read_full_page(self, page: int, get_block: int) -> int:
        """Start reading a locked page; it is unlocked when all of it is there."""
        return self.read_page(page, self._through(get_block))

    def read_page(self, address: int, get_block: GetBlock) -> int:
        """As :meth:`block_read_full_page`, with a callable."""
        page = self._pages.view(address)
        inode = self._inode(page)
        heads = self._make_buffers(page, inode)
        if heads is None:
            return -ENOMEM
        size = heads[0].b_size
        first = page.index * PAGE_SIZE // size
        blocks = -(-inode.i_size // size)
        wanted = []
        for index, bh in enumerate(heads):
            if bh.b_state & BH_UPTODATE:
                continue
            if not bh.b_state & BH_MAPPED:
                if first + index < blocks and get_block(inode.address, first + index, bh.address, 0):
                    self._pages.set_page_error(address)
                if not bh.b_state & BH_MAPPED:
                    # A hole, or behind the end.
                    self._memory.fill(bh.b_data, size, 0)
                    bh.b_state |= BH_UPTODATE
                    continue
            wanted.append(bh)
        if not wanted:
            if not page.flags & PG_ERROR:
                page.flags |= PG_UPTODATE
            self._pages.unlock(page)
            return 0
        self._submit(READ, wanted)
        return 0

    def _submit(self, rw: int, wanted: list[Any]) -> None:
        """Start I/O of some buffers of a locked page, which is unlocked when the last of them is done."""
        for bh in wanted:
            while bh.b_state & BH_LOCK:
                self._buffers.wait_on(bh)
            bh.b_state |= BH_LOCK | BH_ASYNC | BH_REQ
            bh.b_count.counter += 1
            bh.b_end_io = self._parts.entry["end_buffer_io_async"]
            self._buffers.refile(bh)
        for bh in wanted:
            self._requests.submit(rw, bh)

    @export(cycles=200)
    def end_buffer_io_async(self, bh: int, uptodate: int) -> None:
        """I/O of one buffer of a page is over; with the last one the page is unlocked."""
        buffer = self._buffers.view(bh)
        page = self._pages.view(buffer.b_page)
        self._buffers.mark_buffer_uptodate(bh, uptodate)
        if not uptodate:
            self._pages.set_page_error(page.address)
        buffer.b_state &= ~BH_ASYNC
        self._buffers.unlock_buffer(bh)
        buffer.b_count.counter -= 1
        ring = self._buffers.ring(buffer)
        if any(each.b_state & BH_ASYNC for each in ring):
            return
        if all(each.b_state & BH_UPTODATE for each in ring) and not page.flags & PG_ERROR:
            page.flags |= PG_UPTODATE
        self._pages.unlock(page)

    @export(cycles=400)
    def block_write_full_page(self, page: int, get_block: int) -> int:
        """Start writing a locked page; it is unlocked when all of it is on disk."""
        return self.write_page(page, self._through(get_block))

    def write_page(self, address: int, get_block: GetBlock) -> int:
        """As :meth:`block_write_full_page`, with a callable."""
        page = self._pages.view(address)
        inode = self._inode(page)
        error = 0
        heads = self._make_buffers(page, inode)
        if heads is None:
            self._pages.unlock(page)
            return -ENOMEM
        size = heads[0].b_size
        inside = inode.i_size - page.index * PAGE_SIZE
        if inside <= 0:
            self._pages.unlock(page)
            return -EIO
        if inside < PAGE_SIZE:
            self._memory.fill(page.virtual + inside, PAGE_SIZE - inside, 0)
        wanted = []
        for index, bh in enumerate(heads):
            if index * size >= inside:
                break
            if not bh.b_state & BH_MAPPED:
                error = get_block(inode.address, page.index * PAGE_SIZE // size + index, bh.address, 1)
                if error:
                    break
                self._no_longer_new(bh)
            bh.b_state |= BH_UPTODATE
            self._buffers.mark_buffer_clean(bh.address)
            wanted.append(bh)
        if wanted:
            page.flags |= PG_UPTODATE
            self._submit(WRITE, wanted)
        else:
            self._pages.unlock(page)
        return error

    def _no_longer_new(self, bh: Any) -> None:
        if bh.b_state & BH_NEW:
            bh.b_state &= ~BH_NEW
            self._buffers.unmap_alias(bh.b_dev, bh.b_blocknr, bh.b_size)

    @export(cycles=300)
    def block_prepare_write(self, page: int, from_: int, to: int, get_block: int) -> int:
        """Make the bytes ``from`` to ``to`` of a locked page ready to be written to."""
        return self.prepare_write(page, from_, to, self._through(get_block))

    def prepare_write(self, address: int, start: int, end: int, get_block: GetBlock) -> int:
        """As :meth:`block_prepare_write`, with a callable."""
        page = self._pages.view(address)
        inode = self._inode(page)
        heads = self._make_buffers(page, inode)
        if heads is None:
            return -ENOMEM
        size = heads[0].b_size
        first = page.index * PAGE_SIZE // size
        wanted = []
        for index, bh in enumerate(heads):
            at = index * size
            if at >= end or at + size <= start:
                continue
            if not bh.b_state & BH_MAPPED:
                error = get_block(inode.address, first + index, bh.address, 1)
                if error:
                    return error
                if bh.b_state & BH_NEW:
                    self._no_longer_new(bh)
                    if page.flags & PG_UPTODATE:
                        bh.b_state |= BH_UPTODATE
                    else:
                        self._memory.fill(bh.b_data, max(0, start - at), 0)
                        behind = max(0, at + size - end)
                        self._memory.fill(bh.b_data + size - behind, behind, 0)
                        continue
            if page.flags & PG_UPTODATE:
                bh.b_state |= BH_UPTODATE
            elif not bh.b_state & BH_UPTODATE and (at < start or at + size > end):
                wanted.append(bh)
        self._buffers.read(wanted)
        for bh in wanted:
            self._buffers.wait_on(bh)
        return -EIO if any(not bh.b_state & BH_UPTODATE for bh in wanted) else 0

    def commit(self, page: Any, start: int, end: int) -> None:
        """``__block_commit_write``: the bytes ``start`` to ``end`` hold new contents."""
        heads = self._pages.buffers(page)
        for bh in heads:
            at = bh.b_data - page.virtual
            if at < end and at + bh.b_size > start:
                bh.b_state |= BH_UPTODATE
                self._buffers.mark_buffer_dirty(bh.address)
        if all(bh.b_state & BH_UPTODATE for bh in heads):
            page.flags |= PG_UPTODATE

    @export(cycles=300)
    def generic_commit_write(self, file: int, page: int, from_: int, to: int) -> int:
        """What was written to a page is to go to disk some time; the file may have become longer."""
        struct = self._pages.view(page)
        inode = self._inode(struct)
        self.commit(struct, from_, to)
        position = struct.index * PAGE_SIZE + to
        if position > inode.i_size:
            inode.i_size = position
            self._mark_inode_dirty(inode.address, 7)
        return 0

    @export(cycles=300)
    def cont_prepare_write(self, page: int, offset: int, to: int, get_block: int, bytes_: int) -> int:
        """As ``block_prepare_write``, for filesystems without holes: what lies between the bytes that have blocks
        (``*bytes``) and the page is filled with zeros first.
        """
        return self.cont_write(page, offset, to, self._through(get_block), bytes_)

    def cont_write(self, address: int, offset: int, to: int, get_block: GetBlock, counter: int) -> int:
        """As :meth:`cont_prepare_write`, with a callable; ``counter`` is the address of the number of bytes."""
        memory = self._memory
        page = self._pages.view(address)
        mapping = page.mapping
        while page.index > memory.u32(counter) // PAGE_SIZE:
            have = memory.u32(counter)
            gap = self._pages.grab(mapping, have // PAGE_SIZE)
            if gap is None:
                return -ENOMEM
            start = have % PAGE_SIZE
            error = self.prepare_write(gap.address, start, PAGE_SIZE, get_block)
            if not error:
                memory.fill(gap.virtual + start, PAGE_SIZE - start, 0)
                self.commit(gap, start, PAGE_SIZE)
                memory.set_u32(counter, (have // PAGE_SIZE + 1) * PAGE_SIZE)
            self._pages.unlock(gap)
            self._pages.release(gap)
            if error:
                return error
        have = memory.u32(counter)
        start = have % PAGE_SIZE if page.index == have // PAGE_SIZE else offset
        start = min(start, offset)
        error = self.prepare_write(address, start, to, get_block)
        if error:
            return error
        if start < offset:
            memory.fill(page.virtual + start, offset - start, 0)
            self.commit(page, start, offset)
        end = page.index * PAGE_SIZE + to
        if end > memory.u32(counter):
            memory.set_u32(counter, end)
        return 0

    @export(cycles=200)
    def generic_block_bmap(self, mapping: int, block: int, get_block: int) -> int:
        """Return where on disk a block of a file is; 0 for none."""
        return self.bmap(mapping, block, self._through(get_block))

    def bmap(self, mapping: int, block: int, get_block: GetBlock) -> int:
        """As :meth:`generic_block_bmap`, with a callable."""
        bh = self._buffers.new_head()
        if bh is None:
            return 0
        try:
            error = get_block(self._pages.mapping(mapping).host, block, bh.address, 0)
            return 0 if error or not bh.b_state & BH_MAPPED else int(bh.b_blocknr)
        finally:
            self._buffers.free_head(bh)

    @export(cycles=300)
    def block_truncate_page(self, mapping: int, from_: int, get_block: int) -> int:
        """Zero the rest of the block in which a file ends now."""
        return self.truncate_page(mapping, from_, self._through(get_block))

    def truncate_page(self, mapping: int, start: int, get_block: GetBlock) -> int:
        """As :meth:`block_truncate_page`, with a callable."""
        inode = self._parts.view("inode", self._pages.mapping(mapping).host)
        size = self._parts.view("super_block", inode.i_sb).s_blocksize
        if not start % size:
            return 0
        page = self._pages.grab(mapping, start // PAGE_SIZE)
        if page is None:
            return -ENOMEM
        at = start % PAGE_SIZE
        end = at - at % size + size
        error = self.prepare_write(page.address, at, at + 1, get_block)
        if not error:
            self._memory.fill(page.virtual + at, end - at, 0)
            self.commit(page, at, end)
        self._pages.unlock(page)
        self._pages.release(page)
        return error
