"""VFAT: files and directories on volumes that mkfs.fat made; afterwards fsck.fat and mtools look at them."""

from collections.abc import Iterator

import fat_peers
import pytest
from fat_lab import Volume, mounted

import nooks_lab as nl
from nooks_lab.kernel import errno
from nooks_lab.kernel.fs.file_error import FileError
from nooks_lab.kernel.fs.files import O_APPEND, O_CREAT, O_RDWR, O_WRONLY
from nooks_lab.lab import Lab

KIB, MIB = 1 << 10, 1 << 20
VOLUMES = {
    "fat12": (1440 * KIB, 12, 1),
    "fat12, 8 KiB clusters": (4 * MIB, 12, 16),
    "fat16": (6 * MIB, 16, 2),
    "fat32": (34 * MIB, 32, 1),
}
EPERM, ENOENT, EISDIR, ENOTEMPTY = 1, errno.ENOENT, errno.EISDIR, errno.ENOTEMPTY


@pytest.fixture(scope="module", params=[False, True], ids=["native", "nooks"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with nl.boot(devices=("disk",), nooks=request.param) as booted:
        booted.insmod("vfat")
        yield booted
        assert booted.nooks is None or booted.nooks.recoveries == []


@pytest.fixture(scope="module", params=VOLUMES.values(), ids=VOLUMES.keys())
def empty(request: pytest.FixtureRequest) -> bytes:
    size, bits, sectors_per_cluster = request.param
    return fat_peers.mkfs(size, bits, sectors_per_cluster)


def pattern(size: int, seed: int = 1) -> bytes:
    return bytes((index * 7 + (index >> 8) * 13 + seed) & 0xFF for index in range(size))


def until_full(volume: Volume, data: bytes) -> int:
    """Make files until one cannot be made; returns the error."""
    for number in range(200):
        try:
            volume.write(f"F{number}", data)
        except FileError as full:
            return full.errno
    return 0


def test_what_we_write_mtools_reads_byte_for_byte(lab, empty):
    contents = {
        "readme.txt": b"hello\n",
        "empty": b"",
        "src/kernel/main.c": pattern(70_001),
        "src/A file with a long name.text": pattern(4096, 2),
    }
    with mounted(lab, empty) as volume:
        volume.do(lambda files: files.mkdir("/mnt/src"))
        volume.do(lambda files: files.mkdir("/mnt/src/kernel"))
        for name, data in contents.items():
            volume.write(name, data)
        volume.forget()
        assert {name: volume.read(name) for name in contents} == contents
    image = lab.disk.contents()
    assert fat_peers.fsck(image) == ""
    assert fat_peers.tree(image) == contents | {"src": None, "src/kernel": None}


def test_what_mtools_writes_we_read(lab, empty):
    contents = {
        "A long name of mtools.bin": pattern(30_000),
        "dir/Ünïcödé – ok.txt": b"abc",
        "SHORT.TXT": b"x",
    }
    image = fat_peers.put(empty, contents, ["dir"])
    with mounted(lab, image) as volume:
        assert {name: volume.read(name) for name in contents} == contents
        assert volume.names() == ["A long name of mtools.bin", "SHORT.TXT", "dir"]
        assert volume.names("dir") == ["Ünïcödé – ok.txt"]


def test_writes_in_the_middle_behind_the_end_and_appended(lab, empty):
    with mounted(lab, empty) as volume:
        volume.write("f", pattern(5000))

        def edit(files):
            fd = files.open("/mnt/f", O_RDWR)
            files.lseek(fd, 1000)
            files.write(fd, b"middle")
            files.lseek(fd, 9000)
            files.write(fd, b"behind")
            files.close(fd)
            fd = files.open("/mnt/f", O_WRONLY | O_APPEND)
            files.write(fd, b"end")
            files.close(fd)

        volume.do(edit)
        expected = bytearray(pattern(5000)) + bytes(4000) + b"behindend"
        expected[1000:1006] = b"middle"
        assert volume.read("f") == expected
        volume.forget()
        assert volume.read("f") == expected
    assert fat_peers.get(lab.disk.contents(), "f") == expected
    assert fat_peers.fsck(lab.disk.contents()) == ""


def test_what_is_behind_a_shortened_file_does_not_come_back(lab, empty):
    with mounted(lab, empty) as volume:
        volume.write("f", b"s" * 6000)

        def cut_and_extend(files):
            files.truncate("/mnt/f", 700)
            fd = files.open("/mnt/f", O_WRONLY)
            files.lseek(fd, 3000)
            files.write(fd, b"!")
            files.close(fd)

        volume.do(cut_and_extend)
        assert volume.read("f") == b"s" * 700 + bytes(2300) + b"!"
    assert fat_peers.get(lab.disk.contents(), "f") == b"s" * 700 + bytes(2300) + b"!"
    assert fat_peers.fsck(lab.disk.contents()) == ""


def test_a_file_cannot_be_made_longer_without_writing(lab, empty):
    with mounted(lab, empty) as volume:
        volume.write("f", b"abc")
        with pytest.raises(FileError) as refused:
            volume.do(lambda files: files.truncate("/mnt/f", 4))
        assert refused.value.errno == EPERM


def test_what_is_removed_gives_its_clusters_back(lab, empty):
    with mounted(lab, empty) as volume:
        before = volume.do(lambda files: files.statfs("/mnt"))
        volume.do(lambda files: files.mkdir("/mnt/d"))
        volume.write("d/f", pattern(40_000))
        during = volume.do(lambda files: files.statfs("/mnt"))
        assert during.bfree < before.bfree - 40_000 // during.bsize
        with pytest.raises(FileError) as refused:
            volume.do(lambda files: files.rmdir("/mnt/d"))
        assert refused.value.errno == ENOTEMPTY
        volume.do(lambda files: files.unlink("/mnt/d/f"))
        volume.do(lambda files: files.rmdir("/mnt/d"))
        assert volume.names() == []
        assert volume.do(lambda files: files.statfs("/mnt")) == before
    assert fat_peers.fsck(lab.disk.contents()) == ""


def test_a_removed_file_lives_until_it_is_closed(lab, empty):
    with mounted(lab, empty) as volume:
        volume.write("f", pattern(9000))

        def use(files):
            fd = files.open("/mnt/f")
            files.unlink("/mnt/f")
            files.write_file("/mnt/g", b"g" * 9000)
            data = files.read(fd, 10_000)
            files.close(fd)
            return data

        assert volume.do(use) == pattern(9000)
        assert volume.names() == ["g"]
    assert fat_peers.fsck(lab.disk.contents()) == ""


def test_rename_moves_replaces_and_corrects_the_parent(lab, empty):
    with mounted(lab, empty) as volume:
        for path in ("a", "a/sub", "b"):
            volume.do(lambda files, path=path: files.mkdir(f"/mnt/{path}"))
        volume.write("a/sub/file", b"1")
        volume.write("old", b"old")
        volume.write("new", b"replaced")
        volume.do(lambda files: files.rename("/mnt/old", "/mnt/new"))
        volume.do(lambda files: files.rename("/mnt/a/sub", "/mnt/b/A longer name"))
        volume.do(lambda files: files.rename("/mnt/b/A longer name/file", "/mnt/file"))
        volume.do(lambda files: files.rename("/mnt/file", "/mnt/b/A longer name/other file.txt"))
        volume.forget()
        assert volume.names() == ["a", "b", "new"]
        assert volume.read("new") == b"old"
        assert volume.read("b/A longer name/other file.txt") == b"1"
        # ".." as the kernel has it, and as it is on the disk.
        assert volume.do(lambda files: files.stat("/mnt/b/A longer name/..")) == volume.do(
            lambda files: files.stat("/mnt/b")
        )
        assert volume.do(lambda files: files.stat("/mnt/b")).nlink == 3
        assert volume.do(lambda files: files.stat("/mnt/a")).nlink == 2
    assert fat_peers.fsck(lab.disk.contents()) == ""
    assert fat_peers.tree(lab.disk.contents()) == {
        "a": None,
        "b": None,
        "b/A longer name": None,
        "b/A longer name/other file.txt": b"1",
        "new": b"old",
    }


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [("d", "f", errno.ENOTDIR), ("f", "d", EISDIR), ("d", "full", ENOTEMPTY), ("gone", "f", ENOENT)],
)
def test_renames_that_cannot_be(lab, old, new, error):
    with mounted(lab, fat_peers.mkfs(1440 * KIB, 12)) as volume:
        for path in ("d", "full", "full/x"):
            volume.do(lambda files, path=path: files.mkdir(f"/mnt/{path}"))
        volume.write("f", b"f")
        with pytest.raises(FileError) as refused:
            volume.do(lambda files: files.rename(f"/mnt/{old}", f"/mnt/{new}"))
        assert refused.value.errno == error
        assert volume.names() == ["d", "f", "full"]
    assert fat_peers.fsck(lab.disk.contents()) == ""


def test_a_full_disk_takes_what_fits_and_nothing_is_damaged(lab):
    image = fat_peers.mkfs(200 * KIB, 12)
    with mounted(lab, image) as volume:
        free = volume.do(lambda files: files.statfs("/mnt")).bfree
        volume.write("kept", b"k" * 512)

        def fill(files):
            fd = files.open("/mnt/big", O_WRONLY | O_CREAT)
            data, done = pattern(300 * KIB), 0
            try:
                while done < len(data):
                    done += files.write(fd, data[done : done + 5000])
            except FileError as full:
                return full.errno, done
            finally:
                files.close(fd)
            return 0, done

        reason, done = volume.do(fill)
        assert reason == errno.ENOSPC
        # What a call could not write as a whole it has written up to the last whole page.
        assert (free - 1) * 512 - 4096 <= done <= (free - 1) * 512
        assert volume.read("big") == pattern(300 * KIB)[:done]
        assert until_full(volume, b"s" * 512) == errno.ENOSPC
        with pytest.raises(FileError) as full:
            volume.do(lambda files: files.mkdir("/mnt/dir"))
        assert full.value.errno == errno.ENOSPC
        assert volume.read("kept") == b"k" * 512
        volume.do(lambda files: files.unlink("/mnt/big"))
        volume.write("after", b"a" * 20_000)
    assert fat_peers.fsck(lab.disk.contents()) == ""
    assert fat_peers.get(lab.disk.contents(), "after") == b"a" * 20_000


def test_a_root_directory_of_fat12_is_full_when_its_entries_are_used(lab):
    with mounted(lab, fat_peers.mkfs(1440 * KIB, 12, 1, "-r", "32")) as volume:
        assert until_full(volume, b"") == errno.ENOSPC
        assert len(volume.names()) == 32
    assert fat_peers.fsck(lab.disk.contents()) == ""


def test_a_directory_grows_as_long_as_there_is_room(lab, empty):
    with mounted(lab, empty) as volume:
        volume.do(lambda files: files.mkdir("/mnt/many"))
        names = [f"a rather long name, number {number}.txt" for number in range(120)]
        for name in names:
            volume.write(f"many/{name}", name.encode())
        volume.forget()
        assert volume.names("many") == sorted(names)
        assert all(volume.read(f"many/{name}") == name.encode() for name in names[::17])
        for name in names[::2]:
            volume.do(lambda files, name=name: files.unlink(f"/mnt/many/{name}"))
        assert volume.names("many") == sorted(names[1::2])
    assert fat_peers.fsck(lab.disk.contents()) == ""


def test_times_and_attributes_are_kept(lab, empty):
    when = 1_000_000_000
    with mounted(lab, empty, "umask=022") as volume:
        volume.write("f", b"x")
        volume.do(lambda files: files.utime("/mnt/f", when, when))
        volume.do(lambda files: files.chmod("/mnt/f", 0o444))
        volume.forget()
        stat = volume.do(lambda files: files.stat("/mnt/f"))
        assert stat.mtime == when
        assert stat.atime == when - when % 86_400
        assert stat.mode & 0o777 == 0o555
        with pytest.raises(FileError) as refused:
            volume.do(lambda files: files.chmod("/mnt/f", 0o4755))
        assert refused.value.errno == EPERM
    assert fat_peers.attributes(lab.disk.contents(), "f") == "AR"


def test_the_hidden_bit_is_an_ioctl(lab, empty):
    get, put = 0x80047210, 0x40047211
    with mounted(lab, empty) as volume:
        volume.write("f", b"x")

        def hide(files):
            fd = files.open("/mnt/f")
            _, before = files.ioctl(fd, get, bytes(4))
            files.ioctl(fd, put, bytes((before[0] | 2, 0, 0, 0)))
            with pytest.raises(FileError) as refused:
                files.ioctl(fd, put, b"\x10\0\0\0")
            files.close(fd)
            return before[0], refused.value.errno

        assert volume.do(hide) == (0x20, errno.EINVAL)
    assert fat_peers.attributes(lab.disk.contents(), "f") == "AH"


def test_mount_options_say_whose_the_files_are(lab, empty):
    with mounted(lab, empty, "uid=500,gid=100,umask=077,quiet") as volume:
        volume.write("f", b"x")
        stat = volume.do(lambda files: files.stat("/mnt/f"))
        assert (stat.uid, stat.gid, stat.mode & 0o777) == (500, 100, 0o700)
        # quiet: what FAT cannot keep is refused without an error.
        volume.do(lambda files: files.chmod("/mnt/f", 0o4755))
        assert volume.do(lambda files: files.stat("/mnt/f")).mode & 0o7777 == 0o700


@pytest.mark.parametrize("options", ["uid=x", "umask=999", "shortname=odd", "iocharset=koi8-r", "nonsense"])
def test_a_wrong_mount_option_is_named(lab, options):
    lab.disk.insert(fat_peers.mkfs(1440 * KIB, 12))
    with pytest.raises(FileError):
        lab.kernel.in_task("mount", lambda: lab.kernel.files.mount("hda", "/mnt", "vfat", options))
    assert f'the mount option "{options}" is none' in lab.dmesg()


def test_a_read_only_mount_changes_nothing(lab, empty):
    image = fat_peers.put(empty, {"f": b"x"})
    lab.disk.insert(image)
    files = lab.kernel.files

    def use():
        files.mount("hda", "/mnt", "vfat", read_only=True)
        for attempt in (
            lambda: files.write_file("/mnt/g", b""),
            lambda: files.mkdir("/mnt/d"),
            lambda: files.unlink("/mnt/f"),
            lambda: files.open("/mnt/f", O_WRONLY),
        ):
            with pytest.raises(FileError) as refused:
                attempt()
            assert refused.value.errno == errno.EROFS
        assert files.read_file("/mnt/f") == b"x"
        files.umount("/mnt")

    lab.kernel.in_task("mount", use)
    assert lab.disk.contents() == image


def test_both_fats_are_written(lab):
    with mounted(lab, fat_peers.mkfs(1440 * KIB, 12)) as volume:
        volume.write("f", pattern(20_000))
    image = lab.disk.contents()
    length = int.from_bytes(image[22:24], "little") * 512
    first, second = image[512 : 512 + length], image[512 + length : 512 + 2 * length]
    assert first == second
    assert any(first[3:])


def test_the_module_is_in_use_while_a_volume_is_mounted(lab):
    with mounted(lab, fat_peers.mkfs(1440 * KIB, 12)) as volume:
        assert lab.kernel.lsmod()[0].usecount == 1
        volume.write("f", pattern(20_000))
    assert lab.kernel.lsmod()[0].usecount == 0
