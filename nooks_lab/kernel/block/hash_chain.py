"""Hash chains whose entries know the pointer that points to them (``b_next`` and ``b_pprev`` in Linux 2.4)."""

from collections.abc import Iterator

from nooks_lab.kernel.bug import KernelBug
from nooks_lab.machine.linear import LinearMemory

_LONGEST = 1 << 16


class HashChain:
    """Chains of one kind of struct.

    Parameters
    ----------
    following, pprev : int
        Offsets of the two links in the struct.
    """

    def __init__(self, memory: LinearMemory, following: int, pprev: int) -> None:
        self._memory, self._next, self._pprev = memory, following, pprev

    def add(self, entry: int, head: int) -> None:
        """Put an entry first; ``head`` is the address of the pointer to the chain."""
        memory = self._memory
        first = memory.u32(head)
        memory.set_u32(entry + self._next, first)
        memory.set_u32(entry + self._pprev, head)
        if first:
            memory.set_u32(first + self._pprev, entry + self._next)
        memory.set_u32(head, entry)

    def remove(self, entry: int) -> bool:
        """Take an entry out; False when it is in no chain."""
        memory = self._memory
        pprev = memory.u32(entry + self._pprev)
        if not pprev:
            return False
        following = memory.u32(entry + self._next)
        memory.set_u32(pprev, following)
        if following:
            memory.set_u32(following + self._pprev, pprev)
        memory.set_u32(entry + self._next, 0)
        memory.set_u32(entry + self._pprev, 0)
        return True

    def entries(self, head: int) -> Iterator[int]:
        """Yield the entries of a chain; the one just yielded may be removed.

        Raises
        ------
        KernelBug
            When the chain has no end.
        """
        entry = self._memory.u32(head)
        for _ in range(_LONGEST):
            if not entry:
                return
            following = self._memory.u32(entry + self._next)
            yield entry
            entry = following
        raise KernelBug(f"the hash chain at {head:08x} has no end")
