"""What a workload has written to a disk: what must be there when the system fails, and what was just being changed.

A file that was closed, and a directory that was made, are settled: whoever looks at the disk after a recovery expects
them there, intact.  What a call was under way on when the system failed may be old, new, or torn.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class WrittenFiles:
    """The account that a workload keeps of its files, by their paths from the root of the volume.

    Attributes
    ----------
    settled : dict of str to bytes or None
        Contents of the files that were closed; None for a directory.
    removed : set of str
        What was removed, and is not there again.
    under_way : set of str
        What a change has begun on and not ended; a change that ended with an error has not ended.
    """

    def __init__(self) -> None:
        self.settled: dict[str, bytes | None] = {}
        self.removed: set[str] = set()
        self.under_way: set[str] = set()

    def clear(self) -> None:
        """The volume is another, or is no longer looked after."""
        self.settled.clear()
        self.removed.clear()
        self.under_way.clear()

    @contextmanager
    def changing(self, *paths: str) -> Iterator[None]:
        """Within, the paths are under way; after an error they stay so."""
        for path in paths:
            self.settled.pop(path, None)
            self.removed.discard(path)
            self.under_way.add(path)
        yield
        self.under_way.difference_update(paths)

    def settle(self, path: str, data: bytes | None) -> None:
        """A file was closed with these contents, or a directory was made (None)."""
        self.removed.discard(path)
        self.under_way.discard(path)
        self.settled[path] = data

    def remove(self, path: str) -> None:
        """A file or directory was removed."""
        self.settled.pop(path, None)
        self.under_way.discard(path)
        self.removed.add(path)
