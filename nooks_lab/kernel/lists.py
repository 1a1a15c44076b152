"""Doubly linked lists as ``linux/list.h`` has them; a list is the address of its head in guest memory."""

from collections.abc import Iterator

from nooks_lab.kernel.bug import KernelBug
from nooks_lab.machine.linear import LinearMemory

_PREV = 4

_MOST = 1 << 19
"""Entries; RAM has no room for more objects of the smallest size, so a longer list is a circle."""


def init_list_head(memory: LinearMemory, head: int) -> None:
    """Make an empty list."""
    memory.set_u32(head, head)
    memory.set_u32(head + _PREV, head)


def list_add(memory: LinearMemory, new: int, head: int) -> None:
    """Put an entry first."""
    _insert(memory, new, head, memory.u32(head))


def list_add_tail(memory: LinearMemory, new: int, head: int) -> None:
    """Put an entry last, which is also how it gets before any other entry."""
    _insert(memory, new, memory.u32(head + _PREV), head)


def _insert(memory: LinearMemory, new: int, before: int, after: int) -> None:
    memory.set_u32(after + _PREV, new)
    memory.set_u32(new, after)
    memory.set_u32(new + _PREV, before)
    memory.set_u32(before, new)


def list_del(memory: LinearMemory, entry: int) -> None:
    """Take an entry out; its own links stay as they were, as in Linux 2.4."""
    following, before = memory.u32(entry), memory.u32(entry + _PREV)
    memory.set_u32(following + _PREV, before)
    memory.set_u32(before, following)


def list_empty(memory: LinearMemory, head: int) -> bool:
    """Tell whether the list has no entry."""
    return memory.u32(head) == head


def list_for_each(memory: LinearMemory, head: int) -> Iterator[int]:
    """Yield the entries' addresses; the one just yielded may be deleted.

    Raises
    ------
    KernelBug
        When the list does not come back to its head.
    """
    entry = memory.u32(head)
    for _ in range(_MOST):
        if entry == head:
            return
        following = memory.u32(entry)
        yield entry
        entry = following
    raise KernelBug(f"the list at {head:08x} does not come back to its head")
