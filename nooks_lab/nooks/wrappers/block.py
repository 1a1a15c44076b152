"""Blocks of disks and pages of files: mapped in when they are handed out, and out when they are given back.

Pages are what can be mapped: small blocks that share a page are writable as long as one of them is held.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nooks_lab.kernel.block.buffer_cache import SIZES
from nooks_lab.kernel.fs.parts import is_error
from nooks_lab.machine.memory import PAGE_SIZE
from nooks_lab.nooks.isolation.domain import BadParameter, Domain
from nooks_lab.nooks.isolation.page_tracker import Grant
from nooks_lab.nooks.tracking.tracker import TrackedObject
from nooks_lab.nooks.tracking.types.block import release_block
from nooks_lab.nooks.wrappers.decisions import Body, Callback, Cookie, Writes, held
from nooks_lab.nooks.wrappers.declare import declare_wrapper, kernel_wrapper, parse, pass_through
from nooks_lab.nooks.wrappers.fs_calls import PageOf

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks

_BLOCK = held("buffer_head")
_PAGE = held("page")
_GET_BLOCK = "int (*get_block)(struct inode *, long, struct buffer_head *, int)"


def waiting(nooks: "Nooks", work: Callable[[], Any]) -> Any:
    """Do something that may wait for the disk or for others; meanwhile the extension is not busy."""
    clock = nooks.kernel.machine.clock
    begun = clock.now
    try:
        return work()
    finally:
        nooks.xpc.slept(clock.now - begun)


def check_device(nooks: "Nooks", domain: Domain, dev: int, function: str) -> None:
    """A filesystem works on the devices that it is mounted from, and on no other.

    Raises
    ------
    BadParameter
        When the device is another.
    """
    for sb in nooks.kernel.fs.supers.supers():
        if sb.s_dev == dev and nooks.fs.find(domain, "super_block", sb.address) is not None:
            return
    raise BadParameter(f"{function}: device {dev >> 8:02x}:{dev & 255:02x} is not domain {domain.name}'s")


def _hand_out(nooks: "Nooks", domain: Domain, address: int) -> int:
    if address:
        bh = nooks.kernel.fs.buffers.view(address)
        domain.grant(bh.b_data, bh.b_size, Grant.DISK_BLOCK)
        nooks.tracker.add(domain, "buffer_head", address, address, bh.b_data, bh.b_size)
    return address


def _finds(prototype: str) -> None:
    """A function that returns a block with one more user."""
    function = parse(prototype).name

    def body(nooks: "Nooks", domain: Domain, dev: int, block: int, size: int) -> int:
        check_device(nooks, domain, dev, function)
        if size not in SIZES:
            raise BadParameter(f"{function}: there are no blocks of {size} bytes")
        found = waiting(nooks, lambda: nooks.kernel_function(function)(dev, block, size))
        return _hand_out(nooks, domain, found)

    kernel_wrapper(prototype)(body)


_finds("struct buffer_head *getblk(unsigned short dev, int block, int size)")
_finds("struct buffer_head *get_hash_table(unsigned short dev, int block, int size)")
_finds("struct buffer_head *bread(unsigned short dev, int block, int size)")


@kernel_wrapper("void __brelse(struct buffer_head *bh)", bh=held("buffer_head", ends=True))
def brelse(nooks: "Nooks", domain: Domain, bh: TrackedObject) -> None:
    """Give a block back: one use less, and one grant of its page."""
    nooks.tracker.remove(bh)
    release_block(nooks, domain, bh)


@kernel_wrapper("void __bforget(struct buffer_head *bh)", bh=held("buffer_head", ends=True))
def bforget(nooks: "Nooks", domain: Domain, bh: TrackedObject) -> None:
    """Give a block back that need not be written."""
    nooks.tracker.remove(bh)
    domain.revoke(bh.detail[0], bh.detail[1])
    nooks.kernel_function("__bforget")(bh.kernel)


def _of_block(prototype: str) -> None:
    """A function whose only object is a block."""
    function = parse(prototype).name

    def body(nooks: "Nooks", domain: Domain, bh: TrackedObject, *arguments: int) -> None:
        waiting(nooks, lambda: nooks.kernel_function(function)(bh.kernel, *arguments))

    kernel_wrapper(prototype, bh=_BLOCK)(body)


_of_block("void mark_buffer_dirty(struct buffer_head *bh)")
_of_block("void mark_buffer_clean(struct buffer_head *bh)")
_of_block("void mark_buffer_uptodate(struct buffer_head *bh, int on)")
_of_block("void lock_buffer(struct buffer_head *bh)")
_of_block("void unlock_buffer(struct buffer_head *bh)")
_of_block("void __wait_on_buffer(struct buffer_head *bh)")


@kernel_wrapper(
    "void mark_buffer_dirty_inode(struct buffer_head *bh, struct inode *inode)",
    bh=_BLOCK,
    inode=held("inode"),
)
def mark_buffer_dirty_inode(nooks: "Nooks", domain: Domain, bh: TrackedObject, inode: TrackedObject) -> None:
    """Have a block written with an inode."""
    nooks.kernel.fs.buffers.mark_buffer_dirty_inode(bh.kernel, inode.kernel)


@kernel_wrapper(
    "void ll_rw_block(int rw, int nr, struct buffer_head **bhs)",
    bhs=Body("an array of blocks, all of which must be held"),
)
def ll_rw_block(nooks: "Nooks", domain: Domain, rw: int, nr: int, bhs: int) -> None:
    """Start I/O of blocks."""
    if not 0 <= nr <= 64 or rw not in (0, 1, 2):
        raise BadParameter(f"ll_rw_block: command {rw} of {nr} blocks")
    data = domain.read(bhs, 4 * nr, "ll_rw_block") if nr else b""
    buffers = []
    for index in range(nr):
        address = int.from_bytes(data[4 * index : 4 * index + 4], "little")
        tracked = nooks.tracker.check(domain, "buffer_head", address, "ll_rw_block")
        buffers.append(nooks.kernel.fs.buffers.view(tracked.kernel))
    cache = nooks.kernel.fs.buffers
    waiting(nooks, lambda: (cache.write if rw == 1 else cache.read)(buffers))


def _of_device(prototype: str) -> None:
    """A function whose first parameter is the number of a device."""
    function = parse(prototype).name

    def body(nooks: "Nooks", domain: Domain, dev: int, *arguments: int) -> int:
        check_device(nooks, domain, dev, function)
        return int(waiting(nooks, lambda: nooks.kernel_function(function)(dev, *arguments)))

    kernel_wrapper(prototype)(body)


_of_device("int set_blocksize(unsigned short dev, int size)")
_of_device("int fsync_dev(unsigned short dev)")
pass_through("int get_hardsect_size(unsigned short dev)")
pass_through("int is_read_only(unsigned short dev)")
pass_through("char *kdevname(unsigned short dev)")
pass_through("char *bdevname(unsigned short dev)")


@kernel_wrapper("int fsync_inode_buffers(struct inode *inode)", inode=held("inode"))
def fsync_inode_buffers(nooks: "Nooks", domain: Domain, inode: TrackedObject) -> int:
    """Write an inode's own blocks."""
    return int(waiting(nooks, lambda: nooks.kernel.fs.buffers.fsync_inode_buffers(inode.kernel)))


# Pages


def _of_page(prototype: str, named: str = "page") -> None:
    """A function whose only object is a page; the extension sees the page's new flags."""
    function = parse(prototype).name

    def body(nooks: "Nooks", domain: Domain, page: TrackedObject) -> None:
        waiting(nooks, lambda: nooks.kernel_function(function)(page.kernel))
        show_flags(nooks, page)

    declare_wrapper(prototype, {named: _PAGE})(body)


def show_flags(nooks: "Nooks", page: TrackedObject) -> None:
    """Bring a page's flags to the extension's version of its struct."""
    view = nooks.kernel.types.view
    view("page", page.extension).flags = view("page", page.kernel).flags


_of_page("void SetPageUptodate(struct page *page)")
_of_page("void ClearPageUptodate(struct page *page)")
_of_page("void SetPageError(struct page *page)")
_of_page("void set_page_dirty(struct page *page)")
_of_page("void lock_page(struct page *page)")
_of_page("void unlock_page(struct page *page)")


def _gets_page(nooks: "Nooks", domain: Domain, page: int) -> int:
    """The extension is one more user of a page; an error number or NULL passes through."""
    if not page or is_error(page):
        return page
    return nooks.fs_calls.hand_page_in(domain, page, used=True).extension


def _finds_page(prototype: str) -> None:
    function = parse(prototype).name

    def body(nooks: "Nooks", domain: Domain, mapping: int, index: int) -> int:
        space = nooks.fs.kernel_mapping(nooks.fs.mapping(domain, mapping, function))
        found = waiting(nooks, lambda: nooks.kernel_function(function)(space, index))
        return 0 if domain.failed else _gets_page(nooks, domain, found)

    kernel_wrapper(prototype, mapping=_MAPPING)(body)


_MAPPING = Body("it must lie in an inode that the extension has")
_finds_page("struct page *find_get_page(struct address_space *mapping, unsigned long index)")
_finds_page("struct page *grab_cache_page(struct address_space *mapping, unsigned long index)")


@kernel_wrapper(
    "struct page *read_cache_page(struct address_space *mapping, unsigned long index, "
    "int (*filler)(void *, struct page *), void *data)",
    mapping=_MAPPING,
    filler=Callback(),
    data=Cookie(),
)
def read_cache_page(nooks: "Nooks", domain: Domain, mapping: int, index: int, filler: int, data: int) -> int:
    """Return a page with its contents, which a function of the extension's reads."""
    space = nooks.fs.kernel_mapping(nooks.fs.mapping(domain, mapping, "read_cache_page"))

    def fill(page: int) -> int:
        return nooks.fs_calls.call(domain, filler, -5, data, PageOf(page))

    found = waiting(nooks, lambda: nooks.kernel.fs.pages.read_page(space, index, fill))
    return 0 if domain.failed else _gets_page(nooks, domain, found)


@kernel_wrapper("void page_cache_release(struct page *page)", page=held("page", ends=True))
def page_cache_release(nooks: "Nooks", domain: Domain, page: TrackedObject) -> None:
    """The extension no longer uses a page; it must be one that it was given to use."""
    if not page.detail[1]:
        raise BadParameter(f"page_cache_release: page {page.extension:08x} is not the extension's to release")
    nooks.fs_calls.take_page_back(domain, page)
    nooks.kernel.fs.pages.page_cache_release(page.kernel)


def _host(nooks: "Nooks", domain: Domain, page: TrackedObject) -> TrackedObject | None:
    """Return the inode whose page it is."""
    mapping = nooks.kernel.types.view("page", page.kernel).mapping
    host = nooks.kernel.types.view("address_space", mapping).host if mapping else 0
    return nooks.fs.find(domain, "inode", host) if host else None


def _with_page(nooks: "Nooks", domain: Domain, page: TrackedObject, work: Callable[[], int]) -> int:
    """Do block I/O of a page, with what the extension has changed of its inode; then show it what came of it."""
    inode = _host(nooks, domain, page)
    if inode is not None:
        nooks.fs.take(domain, inode)
    result = int(waiting(nooks, work))
    if not domain.failed:
        show_flags(nooks, page)
        if inode is not None:
            nooks.fs.synchronise(domain, inode)
    return result


@kernel_wrapper(
    f"int block_read_full_page(struct page *page, {_GET_BLOCK})", page=_PAGE, get_block=Callback()
)
def block_read_full_page(nooks: "Nooks", domain: Domain, page: TrackedObject, get_block: int) -> int:
    """Read a page."""
    ask = nooks.fs_calls.get_block(domain, get_block)
    return _with_page(nooks, domain, page, lambda: nooks.kernel.fs.block_pages.read_page(page.kernel, ask))


@kernel_wrapper(
    f"int block_write_full_page(struct page *page, {_GET_BLOCK})", page=_PAGE, get_block=Callback()
)
def block_write_full_page(nooks: "Nooks", domain: Domain, page: TrackedObject, get_block: int) -> int:
    """Write a page."""
    ask = nooks.fs_calls.get_block(domain, get_block)
    return _with_page(nooks, domain, page, lambda: nooks.kernel.fs.block_pages.write_page(page.kernel, ask))


def _check_range(from_: int, to: int, function: str) -> None:
    if not 0 <= from_ <= to <= PAGE_SIZE:
        raise BadParameter(f"{function}: {from_} to {to} is no part of a page")


@kernel_wrapper(
    f"int block_prepare_write(struct page *page, unsigned int from, unsigned int to, {_GET_BLOCK})",
    page=_PAGE,
    get_block=Callback(),
)
def block_prepare_write(
    nooks: "Nooks", domain: Domain, page: TrackedObject, from_: int, to: int, get_block: int
) -> int:
    """Make a part of a page ready to be written to."""
    _check_range(from_, to, "block_prepare_write")
    ask = nooks.fs_calls.get_block(domain, get_block)
    prepare = nooks.kernel.fs.block_pages.prepare_write
    return _with_page(nooks, domain, page, lambda: prepare(page.kernel, from_, to, ask))


@kernel_wrapper(
    f"int cont_prepare_write(struct page *page, unsigned int from, unsigned int to, {_GET_BLOCK}, "
    "unsigned long *bytes)",
    page=_PAGE,
    get_block=Callback(),
    bytes=Writes(4),
)
def cont_prepare_write(
    nooks: "Nooks",
    domain: Domain,
    page: TrackedObject,
    from_: int,
    to: int,
    get_block: int,
    bytes: int,
) -> int:
    """The same, for a filesystem without holes."""
    _check_range(from_, to, "cont_prepare_write")
    ask = nooks.fs_calls.get_block(domain, get_block)
    prepare = nooks.kernel.fs.block_pages.cont_write
    return _with_page(nooks, domain, page, lambda: prepare(page.kernel, from_, to, ask, bytes))


@kernel_wrapper(
    "int generic_commit_write(struct file *file, struct page *page, unsigned int from, unsigned int to)",
    file=held("file", null=True),
    page=_PAGE,
)
def generic_commit_write(
    nooks: "Nooks", domain: Domain, file: TrackedObject | None, page: TrackedObject, from_: int, to: int
) -> int:
    """What was written to a page is to go to disk."""
    _check_range(from_, to, "generic_commit_write")
    commit = nooks.kernel.fs.block_pages.generic_commit_write
    return _with_page(nooks, domain, page, lambda: commit(0, page.kernel, from_, to))


@kernel_wrapper(
    f"int generic_block_bmap(struct address_space *mapping, long block, {_GET_BLOCK})",
    mapping=_MAPPING,
    get_block=Callback(),
)
def generic_block_bmap(nooks: "Nooks", domain: Domain, mapping: int, block: int, get_block: int) -> int:
    """Say where a block of a file is."""
    inode = nooks.fs.mapping(domain, mapping, "generic_block_bmap")
    ask = nooks.fs_calls.get_block(domain, get_block)
    find = nooks.kernel.fs.block_pages.bmap
    return int(waiting(nooks, lambda: find(nooks.fs.kernel_mapping(inode), block, ask)))


@kernel_wrapper(
    f"int block_truncate_page(struct address_space *mapping, long long from, {_GET_BLOCK})",
    mapping=_MAPPING,
    get_block=Callback(),
)
def block_truncate_page(nooks: "Nooks", domain: Domain, mapping: int, from_: int, get_block: int) -> int:
    """Zero the rest of a file's last block."""
    inode = nooks.fs.mapping(domain, mapping, "block_truncate_page")
    nooks.fs.take(domain, inode)
    ask = nooks.fs_calls.get_block(domain, get_block)
    cut = nooks.kernel.fs.block_pages.truncate_page
    return int(waiting(nooks, lambda: cut(nooks.fs.kernel_mapping(inode), from_, ask)))


@kernel_wrapper(
    "void truncate_inode_pages(struct address_space *mapping, long long lstart)", mapping=_MAPPING
)
def truncate_inode_pages(nooks: "Nooks", domain: Domain, mapping: int, lstart: int) -> None:
    """Forget a file's pages from a byte on."""
    inode = nooks.fs.mapping(domain, mapping, "truncate_inode_pages")
    forget = nooks.kernel.fs.pages.truncate_inode_pages
    waiting(nooks, lambda: forget(nooks.fs.kernel_mapping(inode), lstart))
