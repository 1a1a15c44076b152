"""``kmalloc`` on slab caches of fixed sizes, all in guest memory (Linux 2.4 ``mm/slab.c``).

A slab's first page says which cache and slab it belongs to (``page.list``), as in Linux.  Objects of
512 bytes and more have their slab's descriptor elsewhere, so that their pages hold nothing but objects.
"""

from bisect import bisect_left
from typing import Any, NamedTuple, Protocol

from nooks_lab.kernel.bug import KernelBug
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.lists import init_list_head, list_add, list_del, list_empty, list_for_each
from nooks_lab.kernel.page_alloc import JUNK
from nooks_lab.kernel.structs import Fields, Types
from nooks_lab.machine.linear import LinearMemory
from nooks_lab.machine.memory import PAGE_MASK, PAGE_SIZE

SIZES = (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072)
_OFF_SLAB = 512
_END = 0xFFFF
_PG_SLAB = 1 << 8
_REDZONE = 8
_RED = bytes.fromhex("a55a5aa5")


class Pages(Protocol):
    """What an allocator asks of the one below it, usually the kernel's page allocator."""

    def alloc(self, order: int) -> int:
        """Return 2**order pages, or 0."""

    def free(self, address: int, order: int) -> None:
        """Take them back."""

    def page(self, address: int) -> int:
        """``virt_to_page``."""

    def in_direct_map(self, address: int) -> bool:
        """Tell whether an address lies in RAM's direct map."""


class _Object(NamedTuple):
    """An allocated object: cache, address of the slab, place in it, how far in an address lies, size."""

    cache: Any
    slab: int
    place: int
    rest: int
    size: int


class SlabAllocator:
    """The caches ``size-32`` to ``size-131072``.

    Parameters
    ----------
    caches : int
        Address of the array ``malloc_sizes``.
    redzone : int
        Address of the switch ``slab_redzone``.
    descriptors : SlabAllocator, optional
        Where the descriptors of all slabs go, when the objects' own pages are not to be trusted.
    """

    def __init__(
        self,
        types: Types,
        memory: LinearMemory,
        pages: Pages,
        caches: int,
        redzone: int,
        descriptors: "SlabAllocator | None" = None,
    ) -> None:
        self._descriptors = descriptors
        self._off_slab = _OFF_SLAB if descriptors is None else 0
        self._types, self._memory, self._pages, self._redzone = types, memory, pages, redzone
        self._caches = [
            types.view("kmem_cache", caches + i * types.size("kmem_cache")) for i in range(len(SIZES))
        ]
        self._own = frozenset(cache.address for cache in self._caches)
        self._list = types.offset("page", "list")
        self._flags = types.offset("page", "flags")
        self._bufctl = types.offset("slab", "bufctl")
        self._partial = types.offset("kmem_cache", "slabs_partial")
        self._slab = Fields(types, "slab", "s_mem", "inuse", "free")
        self._use = Fields(types, "slab", "inuse", "free")
        for cache, size in zip(self._caches, SIZES, strict=True):
            order = max(0, (size // PAGE_SIZE).bit_length() - 1)
            cache.name, cache.objsize, cache.order = b"size-%d" % size, size, order
            usable = PAGE_SIZE << order
            if size >= self._off_slab:
                cache.num = usable // size
            else:
                cache.num = (usable - self._bufctl) // (size + 2)
            init_list_head(memory, cache.slabs_partial.address)
            init_list_head(memory, cache.slabs_full.address)

    @export(cycles=150)
    def kmalloc(self, size: int, flags: int) -> int:
        """Allocate ``size`` bytes; 0 when there are none."""
        return self.alloc(size)

    @export(cycles=150)
    def kfree(self, objp: int) -> None:
        """Free an object; NULL is allowed.  Raises :class:`KernelBug` for anything else that is not one."""
        if objp:
            self.free(objp)

    def alloc(self, size: int) -> int:
        """Return an object of at least ``size`` bytes, 0 when memory is short or the size too large."""
        wanted = size + 2 * _REDZONE if self._memory.u32(self._redzone) else size
        number = bisect_left(SIZES, wanted)
        if number == len(SIZES):
            return 0
        cache = self._caches[number]
        partial = cache.address + self._partial
        if list_empty(self._memory, partial) and not self._grow(cache):
            return 0
        slab = self._memory.u32(partial)
        first, inuse, index = self._slab.read(slab)
        chained = slab + self._bufctl + 2 * index
        following = self._memory.u16(chained)
        self._memory.set_u16(chained, _END - 1)
        self._use.write(slab, inuse + 1, following)
        cache.active += 1
        if following == _END:
            list_del(self._memory, slab)
            list_add(self._memory, slab, cache.slabs_full.address)
        address = int(first + index * cache.objsize)
        if wanted != size:
            self._memory.write(address, (size).to_bytes(4, "little") + _RED)
            self._memory.write(address + _REDZONE + size, _RED)
            return address + _REDZONE
        return address

    def zalloc(self, size: int) -> int:
        """Return a zeroed object."""
        address = self.alloc(size)
        if address:
            self._memory.fill(address, size, 0)
        return address

    def _grow(self, cache: Any) -> bool:
        block = self._pages.alloc(cache.order)
        if not block:
            return False
        if cache.objsize >= self._off_slab:
            descriptor = (self._descriptors or self).alloc(self._bufctl + 2 * cache.num)
            if not descriptor:
                self._pages.free(block, cache.order)
                return False
            first = block
        else:
            descriptor = block
            first = block + PAGE_SIZE - cache.num * cache.objsize & ~31
        slab = self._types.view("slab", descriptor)
        slab.cache, slab.s_mem, slab.inuse, slab.free = cache.address, first, 0, 0
        if cache.num > _END:
            raise KernelBug(f"the cache at {cache.address:08x} has {cache.num} objects in a slab")
        chain = [*range(1, cache.num), _END]
        self._memory.write(descriptor + self._bufctl, b"".join(i.to_bytes(2, "little") for i in chain))
        for offset in range(0, PAGE_SIZE << cache.order, PAGE_SIZE):
            page = self._pages.page(block + offset)
            self._memory.set_u32(page + self._list, cache.address)
            self._memory.set_u32(page + self._list + 4, descriptor)
            self._memory.set_u32(page + self._flags, self._memory.u32(page + self._flags) | _PG_SLAB)
        list_add(self._memory, descriptor, cache.slabs_partial.address)
        return True

    def _around(self, address: int) -> _Object | None:
        """Return the allocated object around an address."""
        if not self._pages.in_direct_map(address):
            return None
        page = self._pages.page(address)
        if not self._memory.u32(page + self._flags) & _PG_SLAB:
            return None
        address_of_cache = self._memory.u32(page + self._list)
        if address_of_cache not in self._own:
            # A slab of another allocator's: a domain's heap, or, for such a heap, the kernel's.
            return None
        cache = self._types.view("kmem_cache", address_of_cache)
        slab = self._memory.u32(page + self._list + 4)
        first = self._slab.read(slab)[0]
        size = cache.objsize
        if not size:
            raise KernelBug(f"the cache at {cache.address:08x} has objects of no size")
        index, rest = divmod(address - first, size)
        if not 0 <= index < cache.num:
            return None
        if self._memory.u16(slab + self._bufctl + 2 * index) != _END - 1:
            return None
        return _Object(cache, slab, index, rest, size)

    def _find(self, address: int) -> _Object | None:
        """Return the allocated object at an address, or None."""
        found = self._around(address)
        return None if found is None or found.rest else found

    def size_around(self, address: int) -> int | None:
        """Return the size of the allocated object in which an address lies, or None when it lies in none."""
        found = self._around(address)
        return None if found is None else found.size

    def object_around(self, address: int) -> tuple[int, int] | None:
        """Return beginning and size of the allocated object in which an address lies, or None."""
        found = self._around(address)
        return None if found is None else (address - found.rest, found.size)

    def size_of(self, address: int) -> int | None:
        """Return the usable size of an allocated object, or None when the address is none."""
        found = self._find(address - self._red())
        return None if found is None else found.size - 2 * self._red()

    def _red(self) -> int:
        return _REDZONE if self._memory.u32(self._redzone) else 0

    def free(self, address: int) -> None:
        """Free an object: its bytes become junk; an empty slab's pages go back.

        Raises
        ------
        KernelBug
            When the address is no allocated object, or its red zones were written.
        """
        red = self._red()
        found = self._find(address - red)
        if found is None:
            raise KernelBug(f"kfree of {address:08x}, which is no allocated object")
        cache, slab, index, _, size = found
        base = address - red
        if red:
            asked = self._memory.u32(base)
            head, tail = (
                self._memory.read(base + 4, 4),
                self._memory.read(base + red + min(asked, 1 << 17), 4),
            )
            if head != _RED or tail != _RED:
                raise KernelBug(f"kfree of {address:08x}: its red zone was overwritten")
        self._memory.fill(base, size, JUNK)
        inuse, first = self._use.read(slab)
        self._memory.set_u16(slab + self._bufctl + 2 * index, first)
        self._use.write(slab, inuse - 1, index)
        cache.active -= 1
        if first == _END:
            list_del(self._memory, slab)
            list_add(self._memory, slab, cache.address + self._partial)
        if inuse == 1:
            self.release_slab(self._types.view("slab", slab))

    def release_slab(self, slab: Any) -> None:
        """Give a slab's pages back, whatever lies in them."""
        cache = self._types.view("kmem_cache", slab.cache)
        list_del(self._memory, slab.address)
        block = slab.s_mem if cache.objsize >= self._off_slab else slab.address & PAGE_MASK
        for offset in range(0, PAGE_SIZE << cache.order, PAGE_SIZE):
            page = self._pages.page(block + offset)
            self._memory.set_u32(page + self._flags, self._memory.u32(page + self._flags) & ~_PG_SLAB)
        if cache.objsize >= self._off_slab:
            (self._descriptors or self).free(slab.address)
        self._pages.free(block, cache.order)

    def slabs(self) -> list[Any]:
        """Return all slabs."""
        heads = [head.address for cache in self._caches for head in (cache.slabs_partial, cache.slabs_full)]
        return [self._types.view("slab", at) for head in heads for at in list_for_each(self._memory, head)]

    def active(self) -> dict[str, int]:
        """Return the number of allocated objects by cache, as ``/proc/slabinfo`` shows it."""
        return {cache.name.decode(): cache.active for cache in self._caches if cache.active}
