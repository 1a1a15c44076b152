"""What ``tar``, ``make``, the compiler, ``find`` and ``rm`` do with files, through the kernel's system calls."""

import io
import tarfile
from dataclasses import dataclass, field

from nooks_lab.kernel.errno import EEXIST, ENOENT
from nooks_lab.kernel.fs.file_error import FileError
from nooks_lab.kernel.fs.files import O_CREAT, O_RDONLY, O_TRUNC, O_WRONLY
from nooks_lab.kernel.kernel import Kernel
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.workloads.source_tree import PROGRAM, TREE, compiled, included, linked, object_of
from nooks_lab.workloads.written_files import WrittenFiles

MOUNT_POINT = "/mnt"
TREE_PATH = f"{MOUNT_POINT}/{TREE}"

BUFFER = 10_240
"""Bytes that tar writes at once: a record of 20 blocks."""


SLICE = CPU_HZ // 200
"""Cycles of user-mode work before another process gets its turn."""

_DEEPEST = 64
"""Directories in each other at which a tree has no end, whatever inodes they have; its own has three."""


class SomeTrouble(Exception):  # noqa: N818 - ends one attempt
    """This attempt has not come to a good end; the next may."""


@dataclass
class Tally:
    """What the processes did."""

    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(
            (
                "files",
                "bytes_written",
                "bytes_read",
                "opens",
                "stats",
                "user_cycles",
                "errors",
                "killed",
                "attempts",
                "redone",
                "reformatted",
            ),
            0,
        )
    )

    def add(self, what: str, count: int = 1) -> None:
        """Count."""
        self.counts[what] += count


def on_volume(path: str) -> str:
    """Return a path as it is on the volume, without the mount point."""
    return path.removeprefix(f"{MOUNT_POINT}/")


class Programs:
    """What the programs do, on the files of the process that they run in."""

    def __init__(self, kernel: Kernel, tally: Tally, cycles_a_byte: int, written: WrittenFiles) -> None:
        self._kernel, self._files, self._tally = kernel, kernel.files, tally
        self._cycles_a_byte, self._written = cycles_a_byte, written

    def compute(self, size: int) -> None:
        """Work in user mode on so many bytes; other processes get their turns."""
        cycles = size * self._cycles_a_byte
        self._tally.add("user_cycles", cycles)
        while cycles > 0:
            take = min(cycles, SLICE)
            self._kernel.machine.clock.advance(take)
            self._kernel.sched.schedule()
            cycles -= take

    def read(self, path: str) -> bytes:
        """Read a file as a program does, some thousand bytes at a time."""
        self._tally.add("opens")
        fd = self._files.open(path, O_RDONLY)
        try:
            parts = []
            while data := self._files.read(fd, BUFFER):
                parts.append(data)
        finally:
            self._files.close(fd)
        data = b"".join(parts)
        self._tally.add("bytes_read", len(data))
        return data

    def write(self, path: str, data: bytes) -> None:
        """Write a file anew."""
        self._tally.add("opens")
        self._tally.add("files")
        with self._written.changing(on_volume(path)):
            fd = self._files.open(path, O_WRONLY | O_CREAT | O_TRUNC)
            try:
                for at in range(0, len(data), BUFFER):
                    piece = data[at : at + BUFFER]
                    if self._files.write(fd, piece) != len(piece):
                        raise SomeTrouble(f"{path} was written in part only")
            finally:
                self._files.close(fd)
        self._written.settle(on_volume(path), data)
        self._tally.add("bytes_written", len(data))

    def unlink(self, path: str) -> None:
        """Remove a file."""
        with self._written.changing(on_volume(path)):
            self._files.unlink(path)
        self._written.remove(on_volume(path))

    def rename(self, old: str, new: str, data: bytes) -> None:
        """Give a file, which holds ``data``, another name."""
        with self._written.changing(on_volume(old), on_volume(new)):
            self._files.rename(old, new)
        self._written.remove(on_volume(old))
        self._written.settle(on_volume(new), data)

    def remove_tree(self, path: str, above: frozenset[int] = frozenset()) -> None:
        """``rm -rf``; of the directories that it is in it knows the inodes."""
        files = self._files
        if not files.exists(path):
            return
        for entry in files.listdir(path):
            below = f"{path}/{entry.name}"
            state = files.stat(below)
            if state.is_directory:
                self.remove_tree(below, _deeper(above, state.ino, below))
            else:
                self.unlink(below)
        with self._written.changing(on_volume(path)):
            files.rmdir(path)
        self._written.remove(on_volume(path))

    def has(self, path: str, data: bytes) -> bool:
        """Tell whether a file is there and holds this; an unreadable one does not."""
        try:
            self._tally.add("stats")
            return self._files.stat(path).size == len(data) and self.read(path) == data
        except FileError as error:
            if error.errno == ENOENT:
                return False
            raise

    def untar(self, data: bytes) -> None:
        """``tar -x``: make what is in the archive and not yet, or no longer, on the disk."""
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            self._make_directory(TREE_PATH)
            for entry in tar:
                path = f"{MOUNT_POINT}/{entry.name}"
                if entry.isdir():
                    self._make_directory(path)
                    continue
                content = tar.extractfile(entry)
                assert content is not None
                text = content.read()
                if not self.has(path, text):
                    self.write(path, text)
                    self._files.utime(path, int(entry.mtime), int(entry.mtime))

    def _make_directory(self, path: str) -> None:
        name = on_volume(path)
        with self._written.changing(name):
            try:
                self._files.mkdir(path)
            except FileError as error:
                if error.errno != EEXIST:
                    raise
        self._written.settle(name, None)

    def compile(self, path: str, known: bytes) -> bytes:
        """``cc -c``: read a source and its headers, compute, write the object by way of a temporary file."""
        where = TREE_PATH
        target = f"{where}/{object_of(path)}"
        if self.has(target, known):
            return known
        source = self.read(f"{where}/{path}")
        headers = [self.read(f"{where}/{header}") for header in included(source)]
        self.compute(len(source) + sum(map(len, headers)))
        data = compiled(source, headers)
        assembly = target.removesuffix(".o") + ".s"
        self.write(assembly, data[::-1])
        self.write(target + ".tmp", self.read(assembly)[::-1])
        self.unlink(assembly)
        self.rename(target + ".tmp", target, data)
        return data

    def link(self, objects: dict[str, bytes], known: bytes) -> None:
        """``ld``: read every object, write the program, give it its name."""
        target = f"{TREE_PATH}/{PROGRAM}"
        if self.has(target, known):
            return
        data = linked({path: self.read(f"{TREE_PATH}/{path}") for path in objects})
        self.compute(len(data) // 8)
        self.write(target + ".tmp", data)
        self.rename(target + ".tmp", target, data)

    def check_up_to_date(self, sources: list[str]) -> None:
        """``make`` again: it stats everything and finds nothing to do."""
        where = TREE_PATH
        program = self._files.stat(f"{where}/{PROGRAM}").mtime
        for path in sources:
            self._tally.add("stats", 2)
            made = self._files.stat(f"{where}/{object_of(path)}").mtime
            if not self._files.stat(f"{where}/{path}").mtime <= made <= program:
                raise SomeTrouble(f"{object_of(path)} is not up to date")

    def find(self, directory: str, above: frozenset[int] = frozenset()) -> list[str]:
        """``find -type f``: the paths of all files; of the directories that it is in it knows the inodes."""
        found = []
        for entry in self._files.listdir(directory):
            path = f"{directory}/{entry.name}"
            self._tally.add("stats")
            state = self._files.stat(path)
            if state.is_directory:
                found += self.find(path, _deeper(above, state.ino, path))
            else:
                found.append(path)
        return found


def _deeper(above: frozenset[int], inode: int, path: str) -> frozenset[int]:
    """Go into a directory, unless a damaged disk has it lie in itself; the real programs look for that, too."""
    if inode in above or len(above) == _DEEPEST:
        raise SomeTrouble(f"{path}: file system loop detected")
    return above | {inode}
