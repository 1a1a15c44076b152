"""The page cache: pages of files in memory (Linux 2.4 ``mm/filemap.c``, ``mm/vmscan.c``).

The cache has one reference to each of its pages, and whoever works on a page has another.
"""

from collections.abc import Callable, Iterator
from typing import Any

from nooks_lab.kernel.block.buffer_bits import (
    BH_MAPPED,
    PG_DIRTY,
    PG_ERROR,
    PG_LOCKED,
    PG_REFERENCED,
    PG_UPTODATE,
)
from nooks_lab.kernel.block.buffer_cache import BufferCache
from nooks_lab.kernel.block.hash_chain import HashChain
from nooks_lab.kernel.errno import EIO, ENOMEM
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.fs.parts import FsParts, error_pointer
from nooks_lab.kernel.lists import init_list_head, list_add, list_del, list_for_each
from nooks_lab.machine.memory import PAGE_SIZE

HASH_SIZE = 512
MOST_PAGES = 1024
"""Pages of files in memory: a quarter of RAM."""


class PageCache:
    """Finds, adds, removes and frees pages of files."""

    def __init__(self, parts: FsParts, buffers: BufferCache) -> None:
        self._parts, self._memory, self._buffers = parts, parts.memory, buffers
        self._hash = parts.variables["page_hash_table"]
        self._inactive = parts.variables["inactive_list"]
        offset = parts.types.offset
        self._chain = HashChain(parts.memory, offset("page", "next_hash"), offset("page", "pprev_hash"))
        self._lru = offset("page", "lru")
        self._list = offset("page", "list")

    def boot(self) -> None:
        """The cache is empty."""
        init_list_head(self._memory, self._inactive)

    def view(self, address: int) -> Any:
        """Return a page by the address of its struct."""
        return self._parts.view("page", address)

    def mapping(self, address: int) -> Any:
        """Return an address space by address."""
        return self._parts.view("address_space", address)

    def init_mapping(self, mapping: Any, host: int) -> None:
        """Make an inode's pages none."""
        for head in (mapping.clean_pages, mapping.dirty_pages, mapping.locked_pages):
            init_list_head(self._memory, head.address)
        mapping.host = host

    def _bucket(self, mapping: int, index: int) -> int:
        return self._hash + 4 * ((mapping >> 5 ^ mapping >> 14 ^ index) % HASH_SIZE)

    def find(self, mapping: int, index: int) -> Any:
        """Return a page of the cache with one more user, or None."""
        for address in self._chain.entries(self._bucket(mapping, index)):
            page = self.view(address)
            if page.index == index and page.mapping == mapping:
                page.count.counter += 1
                page.flags |= PG_REFERENCED
                return page
        return None

    @export(cycles=150)
    def find_get_page(self, mapping: int, index: int) -> int:
        """Return a page of a file that is in the cache, with one more user; else 0."""
        page = self.find(mapping, index)
        return 0 if page is None else int(page.address)

    def add(self, mapping: int, index: int) -> Any:
        """Return a new locked page of a file, with a user; None when memory is short."""
        if self._memory.u32(self._parts.variables["nr_cached_pages"]) >= MOST_PAGES:
            self.shrink(32)
        data = self._parts.pages.alloc(0)
        if not data:
            return None
        # In waiting for memory, another process may have been faster.
        page = self.find(mapping, index)
        if page is not None:
            self._parts.pages.free(data, 0)
            self.lock(page)
            return page
        page = self.view(self._parts.pages.page(data))
        page.mapping, page.index, page.buffers = mapping, index, 0
        page.flags = page.flags & ~(PG_ERROR | PG_UPTODATE | PG_DIRTY | PG_REFERENCED) | PG_LOCKED
        page.count.counter = 2
        self._parts.init_queue(page.wait)
        self._chain.add(page.address, self._bucket(mapping, index))
        space = self.mapping(mapping)
        list_add(self._memory, page.address + self._list, space.clean_pages.address)
        list_add(self._memory, page.address + self._lru, self._inactive)
        space.nrpages += 1
        self._parts.count("nr_cached_pages", 1)
        return page

    def grab(self, mapping: int, index: int) -> Any:
        """Return a page of a file, locked and with a user, whether or not it holds anything; None without memory."""
        page = self.find(mapping, index)
        if page is None:
            return self.add(mapping, index)
        self.lock(page)
        if page.mapping != mapping:
            # It was truncated while this process waited.
            self.unlock(page)
            self.release(page)
            return self.grab(mapping, index)
        return page

    @export(cycles=250)
    def grab_cache_page(self, mapping: int, index: int) -> int:
        """As :meth:`grab`; 0 without memory."""
        page = self.grab(mapping, index)
        return 0 if page is None else int(page.address)

    def release(self, page: Any) -> None:
        """``page_cache_release``: one user less; a page that has left the cache is freed with its last one."""
        count = page.count.counter - 1
        page.count.counter = count
        if count == 0:
            page.count.counter = 1
            self._parts.pages.free(page.virtual, 0)

    @export(cycles=60)
    def page_cache_release(self, page: int) -> None:
        """One user of a page less."""
        self.release(self.view(page))

    # Flags

    def lock(self, page: Any) -> None:
        """Keep others away from a page; sleeps."""
        while page.flags & PG_LOCKED:
            self._parts.sleep_on(page.wait)
        page.flags |= PG_LOCKED

    def unlock(self, page: Any) -> None:
        """Let others at a page."""
        page.flags &= ~PG_LOCKED
        self._parts.wake(page.wait)

    def wait_on(self, page: Any) -> None:
        """Sleep until a page is unlocked."""
        while page.flags & PG_LOCKED:
            self._parts.sleep_on(page.wait)

    @export(cycles=60, sleeps=True)
    def lock_page(self, page: int) -> None:
        """Keep others away from a page; sleeps."""
        self.lock(self.view(page))

    @export(cycles=60)
    def unlock_page(self, page: int) -> None:
        """Let others at a page, and wake those who wait."""
        self.unlock(self.view(page))

    @export(cycles=20, name="SetPageUptodate")
    def set_page_uptodate(self, page: int) -> None:
        """A page holds what its file does."""
        self.view(page).flags |= PG_UPTODATE

    @export(cycles=20, name="ClearPageUptodate")
    def clear_page_uptodate(self, page: int) -> None:
        """A page does not hold what its file does."""
        self.view(page).flags &= ~PG_UPTODATE

    @export(cycles=20, name="SetPageError")
    def set_page_error(self, page: int) -> None:
        """I/O of a page has failed."""
        self.view(page).flags |= PG_ERROR

    @export(cycles=80)
    def set_page_dirty(self, page: int) -> None:
        """A page must be written before it is freed."""
        struct = self.view(page)
        if not struct.flags & PG_DIRTY:
            struct.flags |= PG_DIRTY
            list_del(self._memory, page + self._list)
            space = self.mapping(struct.mapping)
            list_add(self._memory, page + self._list, space.dirty_pages.address)

    # Reading through the filesystem

    def filled(self, mapping: int, index: int, file: int = 0) -> Any:
        """Return a page of a file with its contents and a user, or a negative error number."""
        page = self.find(mapping, index)
        if page is None:
            page = self.add(mapping, index)
            if page is None:
                return -ENOMEM
        elif page.flags & PG_UPTODATE:
            return page
        else:
            self.lock(page)
        if page.mapping != mapping:
            self.unlock(page)
            self.release(page)
            return self.filled(mapping, index, file)
        if page.flags & PG_UPTODATE:
            self.unlock(page)
            return page
        page.flags &= ~PG_ERROR
        operation = self._parts.view("address_space_operations", self.mapping(mapping).a_ops).readpage
        error = self._parts.call(operation, file, page.address) if operation else -EIO
        if not error:
            self.wait_on(page)
            if page.flags & PG_UPTODATE:
                return page
            error = -EIO
        elif page.flags & PG_LOCKED:
            # Who says that it cannot read has not unlocked the page either.
            self.unlock(page)
        self.release(page)
        return error

    @export(cycles=250, sleeps=True)
    def read_cache_page(self, mapping: int, index: int, filler: int, data: int) -> int:
        """Return a page with its contents; ``filler(data, page)`` reads it. An error number when it cannot."""
        return self.read_page(mapping, index, lambda page: self._parts.call(filler, data, page))

    def read_page(self, mapping: int, index: int, fill: Callable[[int], int]) -> int:
        """As :meth:`read_cache_page`, with a callable that starts reading a page."""
        page = self.grab(mapping, index)
        if page is None:
            return error_pointer(-ENOMEM)
        if page.flags & PG_UPTODATE:
            self.unlock(page)
            return int(page.address)
        error = fill(page.address)
        if not error:
            self.wait_on(page)
            error = 0 if page.flags & PG_UPTODATE else -EIO
        if error:
            self.release(page)
            return error_pointer(error)
        return int(page.address)

    # Removing

    def buffers(self, page: Any) -> list[Any]:
        """Return the buffer heads of a page, in the order of their bytes."""
        return self._buffers.ring(self._buffers.view(page.buffers)) if page.buffers else []

    def drop_buffers(self, page: Any, wait: bool = True) -> bool:
        """Free a page's buffer heads; what they have to write is not written.

        Parameters
        ----------
        wait : bool
            Wait for I/O under way; otherwise False is returned when there is any, or anything to write.
        """
        ring = self.buffers(page)
        if not wait and any(map(self._buffers.busy, ring)):
            return False
        for bh in ring:
            self._buffers.mark_buffer_clean(bh.address)
            self._buffers.wait_until_unused(bh)
        page.buffers = 0
        for bh in ring:
            self._buffers.free_head(bh)
        return True

    def remove(self, page: Any) -> None:
        """Take a page out of the cache; the caller has a reference, and has dropped the buffers."""
        if not self._chain.remove(page.address):
            return
        self.mapping(page.mapping).nrpages -= 1
        list_del(self._memory, page.address + self._list)
        list_del(self._memory, page.address + self._lru)
        page.mapping = 0
        page.flags &= ~(PG_DIRTY | PG_UPTODATE | PG_REFERENCED)
        self._parts.count("nr_cached_pages", -1)
        self.release(page)

    def pages_of(self, mapping: Any) -> list[Any]:
        """Return every page of an address space."""
        heads = (mapping.clean_pages, mapping.dirty_pages, mapping.locked_pages)
        return [
            self.view(at - self._list) for head in heads for at in list_for_each(self._memory, head.address)
        ]

    def dirty_pages(self, mapping: Any) -> list[Any]:
        """Take the dirty pages of an address space, each locked and with a user, to be written."""
        found = []
        for at in list(list_for_each(self._memory, mapping.dirty_pages.address)):
            page = self.view(at - self._list)
            page.count.counter += 1
            self.lock(page)
            page.flags &= ~PG_DIRTY
            list_del(self._memory, at)
            list_add(self._memory, at, mapping.clean_pages.address)
            page.count.counter -= 1
            found.append(page)
        return found

    @export(cycles=300)
    def truncate_inode_pages(self, mapping: int, lstart: int) -> None:
        """Remove the pages of a file from a byte on; the rest of that byte's own page is zeroed."""
        first, partial = divmod(lstart, PAGE_SIZE)
        for page in self.pages_of(self.mapping(mapping)):
            if page.index < first or page.mapping != mapping:
                continue
            page.count.counter += 1
            self.lock(page)
            if page.mapping != mapping:
                pass
            elif page.index == first and partial:
                self._memory.fill(page.virtual + partial, PAGE_SIZE - partial, 0)
                self._forget_behind(page, partial)
            else:
                self.drop_buffers(page)
                self.remove(page)
            self.unlock(page)
            self.release(page)

    def _forget_behind(self, page: Any, partial: int) -> None:
        """Blocks that lie wholly behind the end of the file are no longer the file's."""
        for bh in self.buffers(page):
            if bh.b_data - page.virtual >= partial:
                self._buffers.mark_buffer_clean(bh.address)
                self._buffers.wait_on(bh)
                bh.b_state &= ~BH_MAPPED

    def forget_all(self, mapping: Any) -> None:
        """Remove every page of an inode whose filesystem is gone."""
        self.truncate_inode_pages(mapping.address, 0)

    def write_buffers(self, mapping: Any) -> int:
        """Write the dirty blocks of a file's pages, and wait; 0 or a negative error number."""
        return self._buffers.write_and_wait(
            [bh for page in self.pages_of(mapping) for bh in self.buffers(page)]
        )

    def drop_clean(self, mapping: Any) -> bool:
        """Free a file's pages that have nothing to write and no user; True when none is left."""
        for page in self.pages_of(mapping):
            self._drop(page)
        return not mapping.nrpages

    def _drop(self, page: Any) -> bool:
        if page.count.counter != 1 or page.flags & (PG_LOCKED | PG_DIRTY):
            return False
        if page.buffers and not self.drop_buffers(page, wait=False):
            return False
        page.count.counter += 1
        self.remove(page)
        self.release(page)
        return True

    # Memory pressure

    def cached(self) -> Iterator[Any]:
        """Yield the pages of the cache, the newest first."""
        for entry in list_for_each(self._memory, self._inactive):
            yield self.view(entry - self._lru)

    def shrink(self, pages: int) -> int:
        """``shrink_cache``: free clean pages that nobody uses, the longest unused first; returns how many."""
        freed = 0
        for page in reversed(list(self.cached())):
            if freed >= pages:
                break
            if page.flags & PG_REFERENCED:
                page.flags &= ~PG_REFERENCED
                list_del(self._memory, page.address + self._lru)
                list_add(self._memory, page.address + self._lru, self._inactive)
            else:
                freed += self._drop(page)
        return freed
