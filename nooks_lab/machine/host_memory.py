"""Memory of the host, page by page from its kernel; a forked child has a copy of its own."""

import mmap
import sys


def host_memory(size: int) -> mmap.mmap:
    """Return zeroed memory that no other process shares.

    Python's own default for anonymous memory is the opposite, where the host has fork().

    Parameters
    ----------
    size : int
        Bytes.
    """
    if sys.platform == "win32":
        return mmap.mmap(-1, size)
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
