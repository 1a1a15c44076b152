"""Files and directories as a process has them, the same on every filesystem."""

from collections.abc import Callable
from typing import Any

import pytest

from nooks_lab.kernel.errno import (
    EBADF,
    EBUSY,
    EEXIST,
    EINVAL,
    EISDIR,
    EMFILE,
    ENAMETOOLONG,
    ENODEV,
    ENOENT,
    ENOTDIR,
    ENOTEMPTY,
    ENOTTY,
    ENXIO,
    EXDEV,
)
from nooks_lab.kernel.fs.files import (
    O_APPEND,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_RDWR,
    O_TRUNC,
    O_WRONLY,
    SEEK_CUR,
    SEEK_END,
    FileError,
    Files,
)
from nooks_lab.lab import Lab

DATA = bytes(i * 31 & 255 for i in range(20_011))


def process(lab: Lab, work: Callable[[Files], Any]) -> Any:
    """Do something in a process of its own."""
    return lab.kernel.in_task("test", lambda: work(lab.kernel.files))


def refused(lab: Lab, errno: int, work: Callable[[Files], Any]) -> str:
    """Something that ends with this error; returns what is said."""

    def attempt(files: Files) -> str:
        with pytest.raises(FileError) as raised:
            work(files)
        assert raised.value.errno == errno
        return str(raised.value)

    said: str = process(lab, attempt)
    return said


def names(files: Files, path: str) -> list[str]:
    return sorted(entry.name for entry in files.listdir(path))


@pytest.fixture(autouse=True)
def clean(lab: Lab) -> None:
    """Every test begins with an empty directory, and with no file open."""

    def remove(files: Files, path: str) -> None:
        for entry in files.listdir(path):
            inner = f"{path}/{entry.name}"
            if files.stat(inner).is_directory:
                remove(files, inner)
                files.rmdir(inner)
            else:
                files.unlink(inner)

    process(lab, lambda files: remove(files, "/mnt"))
    assert lab.kernel.memory.u32(lab.kernel.variable("nr_files")) == 0


def test_what_is_written_is_read(lab: Lab) -> None:
    def work(files: Files) -> None:
        files.write_file("/mnt/a", DATA)
        assert files.read_file("/mnt/a") == DATA
        assert files.stat("/mnt/a").size == len(DATA)

    process(lab, work)


def test_a_position_is_moved_and_a_hole_reads_as_zeros(lab: Lab) -> None:
    def work(files: Files) -> None:
        fd = files.open("/mnt/a", O_RDWR | O_CREAT)
        assert files.write(fd, b"head") == 4
        assert files.lseek(fd, 9000) == 9000
        files.write(fd, b"tail")
        assert files.lseek(fd, 0) == 0
        assert files.read(fd, 100_000) == b"head" + bytes(8996) + b"tail"
        assert files.read(fd, 10) == b""
        assert files.lseek(fd, -2, SEEK_END) == 9002
        assert files.lseek(fd, -2, SEEK_CUR) == 9000
        assert files.read(fd, 3) == b"tai"
        with pytest.raises(FileError):
            files.lseek(fd, -1)

    process(lab, work)


def test_bytes_are_overwritten_in_the_middle(lab: Lab) -> None:
    def work(files: Files) -> None:
        files.write_file("/mnt/a", DATA)
        fd = files.open("/mnt/a", O_RDWR)
        files.lseek(fd, 4090)
        files.write(fd, b"x" * 20)
        files.close(fd)
        assert files.read_file("/mnt/a") == DATA[:4090] + b"x" * 20 + DATA[4110:]

    process(lab, work)


def test_append_goes_to_the_end(lab: Lab) -> None:
    def work(files: Files) -> None:
        files.write_file("/mnt/a", b"one")
        fd = files.open("/mnt/a", O_WRONLY | O_APPEND)
        files.lseek(fd, 0)
        files.write(fd, b"two")
        files.close(fd)
        assert files.read_file("/mnt/a") == b"onetwo"

    process(lab, work)


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 4096, 5000, len(DATA), 30_000])
def test_a_file_is_made_this_long(lab: Lab, size: int) -> None:
    def work(files: Files) -> None:
        files.write_file("/mnt/a", DATA)
        files.truncate("/mnt/a", size)
        assert files.stat("/mnt/a").size == size
        assert files.read_file("/mnt/a") == DATA[:size].ljust(size, b"\0")
        files.truncate("/mnt/a", len(DATA))
        assert files.read_file("/mnt/a") == DATA[:size].ljust(len(DATA), b"\0")[: len(DATA)]

    process(lab, work)


def test_what_was_cut_off_does_not_come_back(lab: Lab) -> None:
    def work(files: Files) -> None:
        files.write_file("/mnt/a", b"s" * 5000)
        fd = files.open("/mnt/a", O_RDWR)
        files.ftruncate(fd, 100)
        files.lseek(fd, 3000)
        files.write(fd, b"end")
        files.close(fd)
        assert files.read_file("/mnt/a") == b"s" * 100 + bytes(2900) + b"end"

    process(lab, work)


def test_directories_are_made_listed_and_removed(lab: Lab) -> None:
    def work(files: Files) -> None:
        files.mkdir("/mnt/d")
        files.mkdir("/mnt/d/e/")
        for number in range(40):
            files.write_file(f"/mnt/d/file {number}", b"%d" % number)
        assert names(files, "/mnt/d") == sorted(["e", *(f"file {number}" for number in range(40))])
        assert files.stat("/mnt/d/e").is_directory
        with pytest.raises(FileError) as full:
            files.rmdir("/mnt/d")
        assert full.value.errno == ENOTEMPTY
        files.rmdir("/mnt/d/e")
        for number in range(40):
            files.unlink(f"/mnt/d/file {number}")
        files.rmdir("/mnt/d")
        assert names(files, "/mnt") == []

    process(lab, work)


def test_dots_and_the_current_directory(lab: Lab) -> None:
    def work(files: Files) -> None:
        files.mkdir("/mnt/d")
        files.chdir("/mnt/d")
        files.write_file("x", b"here")
        assert (
            files.read_file("./x") == files.read_file("../d//x") == files.read_file("/mnt/d/./x") == b"here"
        )
        assert files.stat("..").ino == files.stat("/mnt").ino
        assert files.stat("../..").ino == files.stat("/").ino == files.stat("/../..").ino

    process(lab, work)


def test_a_rename_moves_replaces_and_refuses(lab: Lab) -> None:
    def work(files: Files) -> None:
        files.mkdir("/mnt/d")
        files.write_file("/mnt/a", b"a")
        files.write_file("/mnt/b", b"b")
        files.rename("/mnt/a", "/mnt/d/a long new name")
        files.rename("/mnt/d/a long new name", "/mnt/b")
        assert names(files, "/mnt") == ["b", "d"]
        assert files.read_file("/mnt/b") == b"a"
        files.mkdir("/mnt/d/inner")
        for old, new, errno in (
            ("/mnt/none", "/mnt/x", ENOENT),
            ("/mnt/b", "/mnt/d", EISDIR),
            ("/mnt/d", "/mnt/b", ENOTDIR),
            ("/mnt/d", "/mnt/d/inner/x", EINVAL),
            ("/mnt/b", "/b", EXDEV),
        ):
            with pytest.raises(FileError) as raised:
                files.rename(old, new)
            assert raised.value.errno == errno, (old, new)
        files.rename("/mnt/d", "/mnt/e")
        assert names(files, "/mnt/e") == ["inner"]
        files.rename("/mnt/b", "/mnt/b")
        assert files.read_file("/mnt/b") == b"a"

    process(lab, work)


def test_a_removed_file_lives_until_it_is_closed(lab: Lab) -> None:
    def work(files: Files) -> None:
        files.write_file("/mnt/a", DATA)
        fd = files.open("/mnt/a", O_RDWR)
        files.unlink("/mnt/a")
        assert not files.exists("/mnt/a")
        assert files.read(fd, len(DATA)) == DATA
        files.write_file("/mnt/a", b"another")
        files.lseek(fd, 0)
        files.write(fd, b"still there")
        files.close(fd)
        assert files.read_file("/mnt/a") == b"another"

    process(lab, work)


@pytest.mark.parametrize(
    ("errno", "work"),
    [
        (ENOENT, lambda files: files.open("/mnt/none")),
        (ENOENT, lambda files: files.open("/mnt/none/below")),
        (ENOENT, lambda files: files.open("")),
        (ENOTDIR, lambda files: files.open("/mnt/f/below")),
        (ENOTDIR, lambda files: files.open("/mnt/f/")),
        (ENOTDIR, lambda files: files.open("/mnt/f", O_DIRECTORY)),
        (ENOTDIR, lambda files: files.rmdir("/mnt/f")),
        (ENOTDIR, lambda files: files.listdir("/mnt/f")),
        (EISDIR, lambda files: files.open("/mnt/d", O_WRONLY)),
        (EISDIR, lambda files: files.unlink("/mnt/d")),
        (EISDIR, lambda files: files.read_file("/mnt/d")),
        (EISDIR, lambda files: files.truncate("/mnt/d", 0)),
        (EEXIST, lambda files: files.mkdir("/mnt/f")),
        (EEXIST, lambda files: files.open("/mnt/f", O_WRONLY | O_CREAT | O_EXCL)),
        (EBADF, lambda files: files.read(17, 1)),
        (EBADF, lambda files: files.close(-1)),
        (EBADF, lambda files: files.write(files.open("/mnt/f"), b"x")),
        (EBADF, lambda files: files.read(files.open("/mnt/f", O_WRONLY), 1)),
        (ENOTTY, lambda files: files.ioctl(files.open("/mnt/f"), 1)),
        (ENAMETOOLONG, lambda files: files.write_file("/mnt/" + "n" * 256, b"")),
        (ENAMETOOLONG, lambda files: files.stat("/mnt" + "/d" * 3000)),
        (EINVAL, lambda files: files.stat("/mnt/a\0b")),
        (EINVAL, lambda files: files.truncate("/mnt/f", -1)),
        (EBUSY, lambda files: files.umount("/")),
        (EINVAL, lambda files: files.umount("/mnt/d")),
        (EBUSY, lambda files: files.rmdir("/mnt/")),
        (ENODEV, lambda files: files.mount("hda", "/mnt/d", "ext2")),
        (ENOENT, lambda files: files.mount("none", "/nowhere", "ramfs")),
        (ENOTDIR, lambda files: files.mount("none", "/mnt/f", "ramfs")),
        (EMFILE, lambda files: [files.open("/mnt/f") for _ in range(65)]),
    ],
)
def test_what_cannot_be_done_ends_with_linuxs_error(
    lab: Lab, errno: int, work: Callable[[Files], Any]
) -> None:
    process(lab, lambda files: (files.write_file("/mnt/f", b"f"), files.mkdir("/mnt/d")))
    said = refused(lab, errno, work)
    assert len(said) > 10


def test_a_name_is_bytes_also_when_they_are_no_text(lab: Lab) -> None:
    """``filp_open`` gets what somebody has asked a web server for."""
    memory = lab.kernel.memory
    name = lab.kernel.slab.alloc(32)
    memory.write(name, b"/no\xc0such\xff\0")
    assert process(lab, lambda _: lab.kernel.functions["filp_open"][0](name, 0, 0)) == -ENOENT
    lab.kernel.slab.free(name)


def test_open_truncates_or_makes(lab: Lab) -> None:
    def work(files: Files) -> None:
        files.write_file("/mnt/a", b"long contents")
        files.close(files.open("/mnt/a", O_WRONLY | O_TRUNC))
        assert files.stat("/mnt/a").size == 0
        files.close(files.open("/mnt/b", O_WRONLY | O_CREAT, 0o600))
        assert files.stat("/mnt/b").mode == 0o100600

    process(lab, work)


def test_modes_and_times_are_changed(lab: Lab) -> None:
    def work(files: Files) -> None:
        files.write_file("/mnt/a", b"")
        files.chmod("/mnt/a", 0o400)
        files.utime("/mnt/a", 1_000_000_000, 1_000_000_001)
        found = files.stat("/mnt/a")
        assert (found.mode, found.atime, found.mtime) == (0o100400, 1_000_000_000, 1_000_000_001)

    process(lab, work)


def test_a_mount_on_a_mount_and_back(lab: Lab) -> None:
    def work(files: Files) -> None:
        files.mkdir("/mnt/d")
        files.write_file("/mnt/d/below", b"")
        files.mount("none", "/mnt/d", "ramfs")
        assert names(files, "/mnt/d") == []
        files.write_file("/mnt/d/above", b"")
        assert files.stat("/mnt/d/..").ino == files.stat("/mnt").ino
        with pytest.raises(FileError) as busy:
            files.umount("/mnt")
        assert busy.value.errno == EBUSY
        with pytest.raises(FileError) as busy:
            files.rmdir("/mnt/d")
        assert busy.value.errno == EBUSY
        fd = files.open("/mnt/d/above")
        with pytest.raises(FileError) as busy:
            files.umount("/mnt/d")
        assert busy.value.errno == EBUSY
        files.close(fd)
        files.umount("/mnt/d")
        assert names(files, "/mnt/d") == ["below"]

    process(lab, work)


def test_a_process_that_ends_closes_its_files(lab: Lab) -> None:
    process(lab, lambda files: [files.open(f"/mnt/{n}", O_WRONLY | O_CREAT) for n in range(5)])
    assert lab.kernel.memory.u32(lab.kernel.variable("nr_files")) == 0


def test_two_processes_write_to_one_file_a_call_at_a_time(lab: Lab) -> None:
    def writer(letter: bytes) -> Callable[[], None]:
        def work() -> None:
            files = lab.kernel.files
            fd = files.open("/mnt/shared", O_WRONLY | O_CREAT | O_APPEND)
            for _ in range(20):
                files.write(fd, letter * 700)
            files.close(fd)

        return work

    threads = [lab.kernel.start("writer", writer(letter)) for letter in (b"a", b"b")]
    for thread in threads:
        lab.kernel.wait(thread)
    data = process(lab, lambda files: files.read_file("/mnt/shared"))
    chunks = [data[at : at + 700] for at in range(0, len(data), 700)]
    assert sorted(chunks) == [b"a" * 700] * 20 + [b"b" * 700] * 20


def test_a_device_without_a_driver(lab: Lab) -> None:
    def work(files: Files) -> None:
        files.mknod("/dev/nothing", 0o020666, 77, 0)
        with pytest.raises(FileError) as raised:
            files.open("/dev/nothing")
        assert raised.value.errno in (ENODEV, ENXIO)
        files.unlink("/dev/nothing")

    process(lab, work)


def test_nothing_is_left_behind(lab: Lab) -> None:
    kernel = lab.kernel

    def counts() -> dict[str, int]:
        process(lab, lambda files: files.sync())
        process(lab, lambda files: files.shrink_caches())
        known = ("nr_inodes", "nr_dentry", "nr_files", "nr_cached_pages", "nr_free_pages")
        return {name: kernel.memory.u32(kernel.variable(name)) for name in known} | kernel.slab.active()

    test_what_is_written_is_read(lab)
    clean_up = lambda files: files.unlink("/mnt/a")  # noqa: E731
    process(lab, clean_up)
    before = counts()
    for _ in range(3):
        test_directories_are_made_listed_and_removed(lab)
        test_a_removed_file_lives_until_it_is_closed(lab)
        process(lab, clean_up)
    assert counts() == before


def test_a_call_outside_of_any_process_says_so(lab: Lab) -> None:
    with pytest.raises(RuntimeError, match=r"inside kernel\.in_task"):
        lab.kernel.files.open("/mnt")
