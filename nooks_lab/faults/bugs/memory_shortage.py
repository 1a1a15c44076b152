"""Memory that is short, or in small pieces, or somebody else's: what brings errors out that a good day hides."""

from collections.abc import Iterator
from contextlib import contextmanager

from nooks_lab.kernel.kernel import Kernel
from nooks_lab.machine.memory import PAGE_SIZE

_LARGEST_ORDER = 9
_PATTERN = b"This is somebody else's memory. "


@contextmanager
def memory_in_small_pieces(kernel: Kernel, pieces: int = 500) -> Iterator[None]:
    """Within this, no more than two free pages stand in a row, as after days of use."""
    pages = kernel.pages
    scattered = [pages.alloc(1) for _ in range(2 * pieces)]
    held = [(block, 1) for block in scattered[1::2]]
    for order in range(_LARGEST_ORDER, 1, -1):
        while block := pages.alloc_from_reserve(order):
            held.append((block, order))
    for block in scattered[::2]:
        pages.free(block, 1)
    try:
        yield
    finally:
        for block, order in held:
            pages.free(block, order)


@contextmanager
def no_pages(kernel: Kernel, but: int = 0) -> Iterator[None]:
    """Within this, there is no page to allocate any more, but for ``PF_MEMALLOC``; small objects may still be had.

    Parameters
    ----------
    but : int
        So many pages are left.
    """
    pages = kernel.pages
    left = [pages.alloc(0) for _ in range(but)]
    held: list[tuple[int, int]] = []
    for order in range(_LARGEST_ORDER, -1, -1):
        while block := pages.alloc(order):
            held.append((block, order))
    for block in left:
        pages.free(block, 0)
    try:
        yield
    finally:
        for block, order in held:
            pages.free(block, order)


@contextmanager
def others_memory(kernel: Kernel, pages: int = 1000) -> Iterator[list[int]]:
    """Within this, others hold pages that were free; at the end the list names those that somebody has changed."""
    contents = _PATTERN * (PAGE_SIZE // len(_PATTERN))
    held = [block for block in (kernel.pages.alloc(0) for _ in range(pages)) if block]
    for block in held:
        kernel.memory.write(block, contents)
    changed: list[int] = []
    try:
        yield changed
    finally:
        changed += [block for block in held if kernel.memory.read(block, PAGE_SIZE) != contents]
        for block in held:
            kernel.pages.free(block, 0)
