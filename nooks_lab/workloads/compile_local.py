"""``compile-local``: untar a source tree onto a VFAT disk and compile it there (paper, section 5.1).

A process unpacks an archive, compiles each source with the headers that it includes, links the objects, and looks at
everything once more as a second ``make`` does.  The compiler is no real one: it reads what a compiler would read,
computes for as long in user mode, and writes an object that depends on every byte it has read.
"""

import hashlib
import io
import random
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from nooks_lab.kernel.errno import EEXIST, ENOENT
from nooks_lab.kernel.fs.file_error import FileError
from nooks_lab.kernel.fs.files import O_CREAT, O_RDONLY, O_TRUNC, O_WRONLY
from nooks_lab.kernel.kernel import Kernel
from nooks_lab.lab import Lab
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.workloads.fat_volume import format_volume
from nooks_lab.workloads.workload import REST, WorkloadResult
from nooks_lab.workloads.written_files import WrittenFiles

MOUNT_POINT, DEVICE, OPTIONS = "/mnt", "hda", "iocharset=utf8"
TREE, PROGRAM = "linux", "vmlinux"
TREE_PATH = f"{MOUNT_POINT}/{TREE}"

BUFFER = 10_240
"""Bytes that tar writes at once: a record of 20 blocks."""

CYCLES_A_BYTE = 800
"""User-mode work on a byte of source.  With it most of the time is the compiler's own, as in the paper's figure 8."""

SLICE = CPU_HZ // 200
"""Cycles of user-mode work before another process gets its turn."""

_DEEPEST = 64
"""Directories in each other at which a tree has no end, whatever inodes they have; its own has three."""

_PATIENCE = CPU_HZ * 600
_SETTLE = CPU_HZ // 10
_STEP = CPU_HZ // 1000
_MTIME = 1_000_000_000


class _SomeTrouble(Exception):  # noqa: N818 - ends one attempt
    """This attempt has not come to a good end; the next may."""


@dataclass
class _Tally:
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
        self.counts[what] += count


def source_tree(seed: int, files: int, directories: int, size: int) -> dict[str, bytes]:
    """Return a tree of C sources: contents by path.

    Parameters
    ----------
    files : int
        Sources; there is a header for every four of them.
    directories : int
        That the sources lie in.
    size : int
        Bytes of a source on the average.
    """
    dice = random.Random(f"compile-local/{seed}")
    headers = [f"include/linux/subsystem {number} interface.h" for number in range(max(1, files // 4))]
    tree = {path: _text(dice, size // 2, []) for path in headers}
    for number in range(files):
        path = f"drivers/subsystem-{number % directories}/A source file, number {number}.c"
        tree[path] = _text(
            dice, dice.randint(size // 2, size * 3 // 2), dice.sample(headers, min(3, len(headers)))
        )
    tree["Makefile"] = b"all: vmlinux\n"
    return tree


def _text(dice: random.Random, size: int, includes: list[str]) -> bytes:
    lines = [f'#include "{path}"' for path in includes]
    length = sum(len(line) + 1 for line in lines)
    while length < size:
        lines.append(f"static int v{dice.getrandbits(32):08x} = {dice.getrandbits(31)};")
        length += len(lines[-1]) + 1
    return "\n".join(lines).encode() + b"\n"


def archive(tree: dict[str, bytes]) -> bytes:
    """Return a tree as a tar archive."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        made: set[str] = set()
        for path, data in tree.items():
            parts = path.split("/")
            for depth in range(1, len(parts)):
                directory = "/".join(parts[:depth])
                if directory not in made:
                    made.add(directory)
                    entry = tarfile.TarInfo(f"{TREE}/{directory}")
                    entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, _MTIME
                    tar.addfile(entry)
            entry = tarfile.TarInfo(f"{TREE}/{path}")
            entry.size, entry.mtime = len(data), _MTIME
            tar.addfile(entry, io.BytesIO(data))
    return file.getvalue()


def compiled(source: bytes, headers: list[bytes]) -> bytes:
    """Return the object of a source: two thirds of its length, and different when any byte of the input is."""
    key = hashlib.sha256(b"\0".join([source, *headers])).digest()
    size = len(source) * 2 // 3
    blocks = (hashlib.sha256(key + number.to_bytes(4, "little")).digest() for number in range(size // 32 + 1))
    return b"".join(blocks)[:size]


def linked(objects: dict[str, bytes]) -> bytes:
    """Return the program of some objects: a line for each with its checksum, then all of them."""
    head = "".join(f"{hashlib.sha256(data).hexdigest()} {path}\n" for path, data in sorted(objects.items()))
    return head.encode() + b"".join(data for _, data in sorted(objects.items()))


def included(source: bytes) -> list[str]:
    """Return the headers that a source includes."""
    return [line[10:-1].decode() for line in source.split(b"\n") if line.startswith(b'#include "')]


def object_of(path: str) -> str:
    """Return the name of a source's object."""
    return path.removesuffix(".c") + ".o"


def products(tree: dict[str, bytes]) -> dict[str, bytes]:
    """Return what a tree compiles to, and the tree."""
    objects = {
        object_of(path): compiled(data, [tree[header] for header in included(data)])
        for path, data in tree.items()
        if path.endswith(".c")
    }
    return tree | objects | {PROGRAM: linked(objects)}


def digest(contents: dict[str, bytes]) -> str:
    """Return SHA-256 over some files: their paths, lengths and contents."""
    total = hashlib.sha256()
    for path, data in sorted(contents.items()):
        total.update(f"{path}\0{len(data)}\0".encode() + data)
    return total.hexdigest()


class CompileLocal:
    """The workload.

    Parameters
    ----------
    files, directories, size : int
        Of the tree; see :func:`source_tree`.
    seed : int
        Another seed, another tree.
    volume : bytes, optional
        What the disk holds at first; an empty FAT16 volume of 16 MiB when not given.
    cycles_a_byte : int
        User-mode work on a byte of source.
    attempts : int
        How often the process is started again after an error, a kill or a wrong result; a campaign that judges what
        a recovery has left on the disk takes 1, since another attempt makes again what was lost.

    Attributes
    ----------
    written : WrittenFiles
        What it has written to the disk so far.
    """

    name = "compile-local"
    devices: tuple[str, ...] = ("disk",)

    def __init__(
        self,
        files: int = 48,
        directories: int = 6,
        size: int = 6000,
        seed: int = 1,
        volume: bytes | None = None,
        cycles_a_byte: int = CYCLES_A_BYTE,
        attempts: int = 12,
    ) -> None:
        self.volume = format_volume(16 << 20, 16, 2) if volume is None else volume
        self._cycles_a_byte, self._attempts = cycles_a_byte, attempts
        tree = source_tree(seed, files, directories, size)
        self._archive = archive(tree)
        self.expected = products(tree)
        self.written = WrittenFiles()
        self.mount_point = MOUNT_POINT
        self._unpacked = False

    # Set-up

    def set_up(self, lab: Lab) -> None:
        """Put the volume into the PC, load VFAT and mount; recovery mounts again.

        Raises
        ------
        ModuleError, CompileError
            When the driver cannot be loaded.
        FileError
            When the volume cannot be mounted.
        """
        lab.disk.insert(self.volume)
        self.written.clear()
        self._unpacked = False
        lab.insmod("vfat")
        if lab.nooks is not None:
            lab.nooks.recovery.scripts["vfat"] = [lambda: _mount(lab.kernel)]
        lab.kernel.in_task("mount", lambda: _mount(lab.kernel))

    def unpack(self, lab: Lab) -> None:
        """Unpack the archive, so that there are files and directories before anything goes wrong.

        The paper's faults were injected "after many files and directories have been created"; a campaign does this
        first, and the run then finds the sources there.

        Raises
        ------
        RuntimeError
            When they cannot be unpacked.
        """
        tally = _Tally()
        body = self._work(lab.kernel, tally).untar
        trouble = self._process(lab, "tar", lambda: body(self._archive), tally)
        if trouble:
            raise RuntimeError(f"the archive cannot be unpacked: {trouble}")
        self._unpacked = True

    def unmount(self, lab: Lab) -> None:
        """Take the volume out of use, everything written: then it can be looked at from outside."""
        lab.kernel.in_task("umount", lambda: lab.kernel.files.umount(MOUNT_POINT))

    # The work

    def run(self, lab: Lab) -> WorkloadResult:
        """Remove what an earlier run has left, unpack unless that is done, compile, link, and read everything back; see
        :class:`.Workload`.
        """
        tally, found, wrong, unnoticed = _Tally(), dict[str, bytes](), ["nothing was done"], list[str]()
        empty, self._unpacked = self._unpacked, False
        for _ in range(self._attempts):
            tally.add("attempts")
            trouble = "" if empty else self._process(lab, "rm", lambda: self._clean(lab.kernel, tally), tally)
            empty = empty or not trouble
            if not trouble:
                trouble = self._process(lab, "make", lambda: self._make(lab.kernel, tally), tally)
            if not trouble:
                found.clear()
                trouble = self._process(lab, "sum", lambda: self._sum(lab.kernel, found, tally), tally)
            unnoticed = [] if trouble else list(self._differences(found))
            wrong = [trouble] if trouble else unnoticed
            if not wrong:
                break
            self._get_ready(lab, tally)
        self._process(lab, "sync", lambda: _drop_caches(lab.kernel), _Tally())
        return WorkloadResult(not wrong, digest(found), tuple(wrong), tally.counts, tuple(unnoticed))

    def rest(self, lab: Lab) -> None:
        """Let the tasks that have ended be reaped."""
        lab.kernel.run(REST)

    def _process(self, lab: Lab, name: str, body: Callable[[], None], tally: _Tally) -> str:
        """Run a process to its end; returns what it died of, or "" when all went well."""

        def program() -> str:
            try:
                body()
            except FileError as error:
                tally.add("errors")
                return str(error)
            except _SomeTrouble as trouble:
                return str(trouble)
            return ""

        thread = lab.kernel.start(name, program)
        thread.detached = True
        deadline = lab.kernel.machine.clock.now + _PATIENCE
        while not thread.run.dead:
            if lab.kernel.machine.clock.now >= deadline:
                return f"process {name} hangs"
            lab.kernel.run(_STEP)
        if thread.killed:
            tally.add("killed")
            return f"process {name} was killed by signal {thread.exit_code}"
        return str(thread.result)

    def _get_ready(self, lab: Lab, tally: _Tally) -> None:
        """Let a recovery come to its end; a volume that can no longer be written is made anew."""
        lab.kernel.run(_SETTLE)
        state = self._process(lab, "check", lambda: self._check_writable(lab.kernel), _Tally())
        if not state:
            return
        self._process(lab, "umount", lambda: lab.kernel.files.umount(MOUNT_POINT), _Tally())
        lab.kernel.run(_SETTLE)
        lab.disk.insert(self.volume)
        self.written.clear()
        tally.add("reformatted")
        self._process(lab, "mount", lambda: _mount(lab.kernel), _Tally())

    @staticmethod
    def _check_writable(kernel: Kernel) -> None:
        kernel.files.write_file(f"{MOUNT_POINT}/.writable", b"yes")
        kernel.files.unlink(f"{MOUNT_POINT}/.writable")

    def _differences(self, found: dict[str, bytes]) -> Iterator[str]:
        for path in sorted(self.expected.keys() | found.keys()):
            if path not in found:
                yield f"{path} is missing"
            elif path not in self.expected:
                yield f"{path} is not of this tree"
            elif found[path] != self.expected[path]:
                yield f"{path} is not what was written"

    def _work(self, kernel: Kernel, tally: _Tally) -> "_Work":
        return _Work(kernel, tally, self._cycles_a_byte, self.written)

    def _clean(self, kernel: Kernel, tally: _Tally) -> None:
        self._work(kernel, tally).remove_tree(TREE_PATH)

    def _make(self, kernel: Kernel, tally: _Tally) -> None:
        """The process: tar, make, make again."""
        work = self._work(kernel, tally)
        work.untar(self._archive)
        sources = [path for path in self.expected if path.endswith(".c")]
        objects = {object_of(path): work.compile(path, self.expected[object_of(path)]) for path in sources}
        work.link(objects, self.expected[PROGRAM])
        work.check_up_to_date(sources)

    def _sum(self, kernel: Kernel, found: dict[str, bytes], tally: _Tally) -> None:
        """The process that reads everything back, not from memory but from the disk."""
        _drop_caches(kernel)
        work = self._work(kernel, tally)
        for path in work.find(TREE_PATH):
            found[path.removeprefix(f"{TREE_PATH}/")] = work.read(path)
        # What is wrong is made again by the next attempt.
        for path, data in found.items():
            if self.expected.get(path) != data:
                tally.add("redone")
                work.unlink(f"{TREE_PATH}/{path}")


def _on_volume(path: str) -> str:
    return path.removeprefix(f"{MOUNT_POINT}/")


def _mount(kernel: Kernel) -> None:
    kernel.files.mount(DEVICE, MOUNT_POINT, "vfat", OPTIONS)


def _drop_caches(kernel: Kernel) -> None:
    """Write everything to the disk and have nothing in memory: what is read next comes from the disk."""
    kernel.files.sync()
    kernel.files.shrink_caches()


class _Work:
    """What the programs do, on the files of the process that they run in."""

    def __init__(self, kernel: Kernel, tally: _Tally, cycles_a_byte: int, written: WrittenFiles) -> None:
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
        with self._written.changing(_on_volume(path)):
            fd = self._files.open(path, O_WRONLY | O_CREAT | O_TRUNC)
            try:
                for at in range(0, len(data), BUFFER):
                    piece = data[at : at + BUFFER]
                    if self._files.write(fd, piece) != len(piece):
                        raise _SomeTrouble(f"{path} was written in part only")
            finally:
                self._files.close(fd)
        self._written.settle(_on_volume(path), data)
        self._tally.add("bytes_written", len(data))

    def unlink(self, path: str) -> None:
        """Remove a file."""
        with self._written.changing(_on_volume(path)):
            self._files.unlink(path)
        self._written.remove(_on_volume(path))

    def rename(self, old: str, new: str, data: bytes) -> None:
        """Give a file, which holds ``data``, another name."""
        with self._written.changing(_on_volume(old), _on_volume(new)):
            self._files.rename(old, new)
        self._written.remove(_on_volume(old))
        self._written.settle(_on_volume(new), data)

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
        with self._written.changing(_on_volume(path)):
            files.rmdir(path)
        self._written.remove(_on_volume(path))

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
        name = _on_volume(path)
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
                raise _SomeTrouble(f"{object_of(path)} is not up to date")

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
        raise _SomeTrouble(f"{path}: file system loop detected")
    return above | {inode}


__all__ = ["CompileLocal", "archive", "compiled", "digest", "products", "source_tree"]
