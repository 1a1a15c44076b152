"""A PC with a disk on which our VFAT runs, for tests."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from nooks_lab.kernel.fs.files import Files
from nooks_lab.lab import Lab

T = TypeVar("T")

MOUNT_POINT = "/mnt"


class Volume:
    """A mounted volume; every call is made in a process of its own.

    Attributes
    ----------
    lab : Lab
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def do(self, body: Callable[[Files], T]) -> T:
        """Run ``body`` in a process."""
        return self.lab.kernel.in_task("sh", lambda: body(self.lab.kernel.files))

    def write(self, name: str, data: bytes) -> None:
        """Make a file that holds ``data``."""
        self.do(lambda files: files.write_file(f"{MOUNT_POINT}/{name}", data))

    def read(self, name: str) -> bytes:
        """Return what a file holds."""
        return self.do(lambda files: files.read_file(f"{MOUNT_POINT}/{name}"))

    def names(self, directory: str = "") -> list[str]:
        """Return the names in a directory, sorted."""
        return sorted(
            each.name for each in self.do(lambda files: files.listdir(f"{MOUNT_POINT}/{directory}"))
        )

    def forget(self) -> None:
        """Write everything to the disk, and have the kernel forget what it has cached."""
        self.do(lambda files: files.sync())
        self.do(lambda files: files.shrink_caches())


@contextmanager
def mounted(lab: Lab, image: bytes, options: str = "iocharset=utf8") -> Iterator[Volume]:
    """Put a disk into a PC, and mount its volume; it is unmounted at the end."""
    lab.disk.insert(image)
    volume = Volume(lab)
    volume.do(lambda files: files.mount("hda", MOUNT_POINT, "vfat", options))
    try:
        yield volume
    finally:
        volume.do(lambda files: files.umount(MOUNT_POINT))
