"""VFAT against a model in Python: random operations, then fsck.fat and mtools."""

from collections.abc import Iterator

import fat_peers
import pytest
from fat_lab import MOUNT_POINT, Volume
from hypothesis import given, settings
from hypothesis import strategies as st

import nooks_lab as nl
from nooks_lab.kernel import errno
from nooks_lab.kernel.fs.file_error import FileError
from nooks_lab.kernel.fs.files import O_WRONLY
from nooks_lab.lab import Lab
from nooks_lab.workloads.fat_volume import format_volume

EPERM, ENOENT, EISDIR, ENOTDIR, ENOTEMPTY = 1, errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY

SHAPES = {
    "fat12": (160 << 10, 12, 1),
    "fat12, 4 KiB clusters": (2 << 20, 12, 8),
    "fat16": (3 << 20, 16, 1),
    "fat32": (36 << 20, 32, 1),
}

COMPONENTS = [
    "a",
    "B.TXT",
    "A long name of a file.text",
    "A long name of a FILE.extension",
    "Über",
    "x" * 100,
    "dir.d",
]

Path = tuple[str, ...]


class Model:
    """What the volume should hold: contents by path, None for a directory; upper and lower case alike."""

    def __init__(self) -> None:
        self.tree: dict[Path, tuple[str, bytes | None]] = {(): ("", None)}

    @staticmethod
    def key(path: Path) -> Path:
        return tuple(each.upper() for each in path)

    def get(self, path: Path) -> bytes | None:
        return self.tree[self.key(path)][1]

    def has(self, path: Path) -> bool:
        return self.key(path) in self.tree

    def is_directory(self, path: Path) -> bool:
        return self.has(path) and self.get(path) is None

    def below(self, path: Path) -> list[Path]:
        key = self.key(path)
        return [each for each in self.tree if each[: len(key)] == key and each != key]

    def error_of_parent(self, path: Path) -> int:
        for depth in range(1, len(path)):
            if not self.has(path[:depth]):
                return ENOENT
            if not self.is_directory(path[:depth]):
                return ENOTDIR
        return 0

    def shown(self) -> dict[str, bytes | None]:
        names = {
            key: "/".join(self.tree[key[: depth + 1]][0] for depth in range(len(key)))
            for key in self.tree
            if key
        }
        return {names[key]: self.tree[key][1] for key in names}


class Run:
    """One volume, one model, and operations on both."""

    def __init__(self, lab: Lab, shape: tuple[int, int, int]) -> None:
        self.model, self.volume = Model(), Volume(lab)
        lab.disk.insert(format_volume(*shape))
        self.volume.do(lambda files: files.mount("hda", MOUNT_POINT, "vfat", "iocharset=utf8"))

    def attempt(self, expected: int, body, another: int | None = None) -> bool:
        """Do something that should succeed, or fail with one error; a full disk may stop it. True when done.

        Parameters
        ----------
        another : int
            The other error, where two things are wrong.
        """
        allowed = {expected, another or expected} if expected else {0, errno.ENOSPC}
        result = self.error_of(body)
        assert result in allowed, f"errno {result} is none of {allowed}"
        return result == 0

    def error_of(self, body) -> int:
        """Do something; returns the error, 0 for none."""
        try:
            self.volume.do(body)
        except FileError as error:
            return error.errno
        return 0

    def write(self, path: Path, at: int, data: bytes) -> None:
        where, model = self.where(path), self.model
        expected = model.error_of_parent(path) or (EISDIR if model.is_directory(path) else 0)

        def body(files):
            fd = files.open(where, O_WRONLY | 0o100)
            model.tree.setdefault(model.key(path), (path[-1], b""))
            try:
                files.lseek(fd, at)
                done = files.write(fd, data) if data else 0
            finally:
                files.close(fd)
            if done:
                name, old = model.tree[model.key(path)]
                new = old.ljust(at, b"\0")
                model.tree[model.key(path)] = (name, new[:at] + data[:done] + new[at + done :])

        self.attempt(expected, body)

    def cut(self, path: Path, size: int) -> None:
        where, model = self.where(path), self.model
        expected = model.error_of_parent(path)
        if not expected:
            expected = ENOENT if not model.has(path) else EISDIR if model.is_directory(path) else 0
        if not expected and size > len(model.get(path)):
            expected = EPERM
        if self.attempt(expected, lambda files: files.truncate(where, size)):
            name, data = model.tree[model.key(path)]
            model.tree[model.key(path)] = (name, data[:size])

    def mkdir(self, path: Path) -> None:
        where, model = self.where(path), self.model
        expected = model.error_of_parent(path) or (errno.EEXIST if model.has(path) else 0)
        if self.attempt(expected, lambda files: files.mkdir(where)):
            model.tree[model.key(path)] = (path[-1], None)

    def remove(self, path: Path) -> None:
        where, model = self.where(path), self.model
        expected = model.error_of_parent(path) or (0 if model.has(path) else ENOENT)
        directory = model.is_directory(path)
        if not expected and directory and model.below(path):
            expected = ENOTEMPTY
        if self.attempt(expected, lambda files: files.rmdir(where) if directory else files.unlink(where)):
            del model.tree[model.key(path)]

    def rename(self, old: Path, new: Path) -> None:
        model = self.model
        another = model.error_of_parent(new)
        expected = model.error_of_parent(old) or another or (0 if model.has(old) else ENOENT)
        source, target = model.key(old), model.key(new)
        if not expected and source != target:
            if target[: len(source)] == source:
                expected = errno.EINVAL
            elif source[: len(target)] == target:
                expected = ENOTEMPTY
            elif model.has(new) and model.is_directory(old) != model.is_directory(new):
                expected = ENOTDIR if model.is_directory(old) else EISDIR
            elif model.is_directory(new) and model.below(new):
                expected = ENOTEMPTY
        before, after = self.where(old), self.where(new)
        if self.attempt(expected, lambda files: files.rename(before, after), another) and source != target:
            # An existing name is given over as it is.
            name = model.tree.pop(target)[0] if target in model.tree else new[-1]
            moved = {source: (name, model.tree[source][1])} | {
                each: model.tree[each] for each in model.below(old)
            }
            for each in moved:
                del model.tree[each]
            model.tree |= {target + each[len(source) :]: entry for each, entry in moved.items()}

    @staticmethod
    def where(path: Path) -> str:
        return "/".join((MOUNT_POINT, *path))

    def found(self) -> dict[str, bytes | None]:
        """Read the whole volume back."""

        def walk(files, directory: str) -> dict[str, bytes | None]:
            found: dict[str, bytes | None] = {}
            for entry in files.listdir(f"{MOUNT_POINT}/{directory}"):
                path = f"{directory}/{entry.name}".lstrip("/")
                if entry.kind == 4:
                    found |= {path: None} | walk(files, path)
                else:
                    found[path] = files.read_file(f"{MOUNT_POINT}/{path}")
            return found

        return self.volume.do(lambda files: walk(files, ""))


def check(lab: Lab, shape: tuple[int, int, int], steps: list[tuple]) -> None:
    """Do the steps; the volume is as the model says before and after the caches are dropped, and on the disk."""
    run = Run(lab, shape)
    try:
        for name, *arguments in steps:
            getattr(run, name)(*arguments)
        assert run.found() == run.model.shown()
        run.volume.forget()
        assert run.found() == run.model.shown()
        free = run.volume.do(lambda files: files.statfs(MOUNT_POINT)).bfree
        assert free >= 0
    finally:
        run.volume.do(lambda files: files.umount(MOUNT_POINT))
    image = lab.disk.contents()
    assert fat_peers.fsck(image) == ""
    assert fat_peers.tree(image) == run.model.shown()


paths = st.lists(st.sampled_from(COMPONENTS), min_size=1, max_size=3).map(tuple)
either_case = st.tuples(paths, st.booleans()).map(
    lambda pair: tuple(each.swapcase() for each in pair[0]) if pair[1] else pair[0]
)
contents = st.tuples(st.integers(0, 12_000), st.integers(0, 255)).map(lambda pair: bytes([pair[1]]) * pair[0])
step = st.one_of(
    st.tuples(st.just("write"), either_case, st.integers(0, 15_000), contents),
    st.tuples(st.just("write"), paths, st.just(0), contents),
    st.tuples(st.just("mkdir"), paths),
    st.tuples(st.just("mkdir"), paths.map(lambda path: path[:1])),
    st.tuples(st.just("cut"), either_case, st.integers(0, 9000)),
    st.tuples(st.just("remove"), either_case),
    st.tuples(st.just("rename"), either_case, paths),
)


@pytest.fixture(scope="module", params=[False, True], ids=["native", "nooks"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with nl.boot(devices=("disk",), nooks=request.param) as booted:
        booted.insmod("vfat")
        yield booted
        assert booted.nooks is None or booted.nooks.recoveries == []


@settings(max_examples=8)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@given(steps=st.lists(step, min_size=8, max_size=40))
def test_random_operations_leave_what_they_should(lab, shape, steps):
    check(lab, shape, steps)
