"""VFAT on volumes that are damaged, cut short, or none at all: the errors stay in the guest."""

from collections.abc import Iterator
from contextlib import suppress

import fat_peers
import pytest
from fat_lab import MOUNT_POINT, Volume, mounted
from hypothesis import given, settings
from hypothesis import strategies as st

import nooks_lab as nl
from nooks_lab.kernel import errno
from nooks_lab.kernel.fs.file_error import FileError
from nooks_lab.lab import Lab
from nooks_lab.workloads.fat_volume import format_volume

KIB = 1 << 10


@pytest.fixture(scope="module", params=[False, True], ids=["native", "nooks"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with nl.boot(devices=("disk",), nooks=request.param) as booted:
        booted.insmod("vfat")
        yield booted
        # Whatever the disk holds, the driver never fails of it.
        assert booted.nooks is None or booted.nooks.recoveries == []


@pytest.fixture(scope="module")
def volumes() -> list[bytes]:
    """Volumes with some files and directories, one of each kind of FAT."""
    files = {f"File number {number}.txt": bytes([number]) * 700 * number for number in range(1, 6)}
    files |= {"d/e/deep.txt": b"deep" * 999, "d/other": b"o" * 5000}
    shapes = [(200 * KIB, 12, 1), (5 << 20, 16, 2), (36 << 20, 32, 1)]
    return [fat_peers.put(format_volume(*shape), files, ["d", "d/e"]) for shape in shapes]


def refused(lab: Lab, image: bytes) -> str:
    """Mount what cannot be mounted; returns what the driver says."""
    lab.disk.insert(image)
    before = len(lab.dmesg())
    with pytest.raises(FileError):
        Volume(lab).do(lambda files: files.mount("hda", MOUNT_POINT, "vfat", ""))
    assert lab.kernel.lsmod()[0].usecount == 0
    return lab.dmesg()[before:]


def test_what_is_no_fat_is_refused_with_a_reason(lab):
    assert "has no boot sector signature" in refused(lab, bytes(1 << 20))
    text = (b"not a file system " * 30)[:510] + b"\x55\xaa"
    assert "has a bogus sector size" in refused(lab, text + bytes(1 << 20))


FIELDS = [
    (11, 2, 500, "has a bogus sector size"),
    (11, 2, 8192, "has a bogus sector size"),
    (13, 1, 0, "has a bogus cluster size"),
    (13, 1, 3, "has a bogus cluster size"),
    (14, 2, 0, "has no reserved sectors"),
    (16, 1, 0, "has no FAT"),
    (17, 2, 7, "has a root directory that ends within a sector"),
    (17, 2, 0, "has a root directory of a bogus size"),
    (19, 2, 20, "has no room for data"),
    (21, 1, 0x12, "has a bogus media byte"),
    (22, 2, 1, "has a FAT too short for its clusters"),
]


@pytest.mark.parametrize(("offset", "size", "value", "reason"), FIELDS)
def test_a_bogus_field_of_the_boot_sector_is_named(lab, offset, size, value, reason):
    image = bytearray(format_volume(1440 * KIB, 12))
    image[offset : offset + size] = value.to_bytes(size, "little")
    assert reason in refused(lab, bytes(image))


@pytest.mark.parametrize(
    ("offset", "size", "value", "reason"),
    [
        (42, 2, 1, "has an unknown version of FAT32"),
        (44, 4, 1, "has its root directory at a bogus cluster"),
        (40, 2, 0x85, "has an active FAT that there is not"),
        (36, 4, 5, "has a FAT too short for its clusters"),
    ],
)
def test_a_bogus_field_of_fat32_is_named(lab, offset, size, value, reason):
    image = bytearray(format_volume(36 << 20, 32))
    image[offset : offset + size] = value.to_bytes(size, "little")
    assert reason in refused(lab, bytes(image))


def test_what_is_left_of_a_volume_cut_short_can_be_read(lab):
    image = fat_peers.put(format_volume(1440 * KIB, 12), {"first": b"1" * 600, "big": b"b" * 300 * KIB})
    with mounted(lab, image[: 100 * KIB], "") as volume:
        assert "is shorter than its 2880 sectors" in lab.dmesg()
        assert volume.read("first") == b"1" * 600
        for attempt, reason in (
            (lambda: volume.read("big"), errno.EIO),
            (lambda: volume.write("new", b""), errno.EROFS),
        ):
            with pytest.raises(FileError) as failed:
                attempt()
            assert failed.value.errno == reason


def fat12_entry(image: bytearray, number: int, value: int) -> None:
    """Set an entry in both FATs of a volume of :func:`format_volume`."""
    length = int.from_bytes(image[22:24], "little") * 512
    for start in (512, 512 + length):
        at = start + number + number // 2
        old = int.from_bytes(image[at : at + 2], "little")
        new = (old & 0x000F | value << 4) if number & 1 else (old & 0xF000 | value)
        image[at : at + 2] = new.to_bytes(2, "little")


def damaged(files: dict[str, bytes], *entries: tuple[int, int], directories: tuple[str, ...] = ()) -> bytes:
    """Return a FAT12 volume with files on it, and then some entries of its FAT changed."""
    image = bytearray(fat_peers.put(format_volume(1440 * KIB, 12), files, directories))
    for number, value in entries:
        fat12_entry(image, number, value)
    return bytes(image)


def expect_panic(lab: Lab, image: bytes, work) -> str:
    """Do something that meets the damage: it fails, and the volume is read-only from then on."""
    before = len(lab.dmesg())
    with mounted(lab, image, "") as volume:
        with pytest.raises(FileError) as failed:
            volume.do(work)
        assert failed.value.errno == errno.EIO
        with pytest.raises(FileError) as failed:
            volume.write("new", b"x")
        assert failed.value.errno == errno.EROFS
    said = lab.dmesg()[before:]
    assert "Filesystem panic (dev 03:00)." in said
    assert "File system has been set read-only" in said
    return said


def test_a_chain_that_ends_too_early(lab):
    image = damaged({"f": b"f" * 5000}, (4, 0xFFF))
    said = expect_panic(lab, image, lambda files: files.read_file("/mnt/f"))
    assert "the file at cluster 0x00000002 has 10 blocks" in said


def test_a_chain_that_leads_to_a_free_or_bad_cluster(lab):
    for value, shown in ((0, "0x00000000"), (0xFF7, "0x0ffffff7"), (1, "0x00000001"), (0xF00, "0x00000f00")):
        image = damaged({"f": b"f" * 5000}, (4, value))
        said = expect_panic(lab, image, lambda files: files.read_file("/mnt/f"))
        assert f"cluster 0x00000004 of a file is followed by {shown}" in said


def test_a_directory_that_runs_into_itself(lab):
    image = damaged({"d/f": b""}, (2, 2), directories=("d",))
    said = expect_panic(lab, image, lambda files: files.listdir("/mnt/d"))
    assert "runs into itself" in said or "has no end" in said


def test_a_file_that_runs_into_itself_is_not_freed_twice(lab):
    image = damaged({"f": b"f" * 5000}, (6, 3))
    before = len(lab.dmesg())
    with mounted(lab, image, "") as volume:
        volume.do(lambda files: files.unlink("/mnt/f"))
        assert volume.names() == []
    assert "of a file to be freed is followed by 0x00000000" in lab.dmesg()[before:]


def test_files_that_share_clusters_are_not_freed_twice(lab):
    # "one" has the clusters 2 to 5, "two" 6 to 9; then 7 leads into the other file.
    image = damaged({"one": b"1" * 2000, "two": b"2" * 2000}, (7, 4))
    before = len(lab.dmesg())
    with mounted(lab, image, "") as volume:
        assert volume.read("two") == b"2" * 1024 + b"1" * 976
        volume.do(lambda files: files.unlink("/mnt/one"))
        volume.do(lambda files: files.unlink("/mnt/two"))
    assert "Filesystem panic" in lab.dmesg()[before:]


@pytest.mark.parametrize("cluster", [0, 1, 0xFFFF, 2870])
def test_a_directory_with_a_wild_first_cluster(lab, cluster):
    image = bytearray(damaged({"d/f": b""}, directories=("d",)))
    at = image.index(b"D       ") if b"D       " in image else image.index(b"d       ")
    image[at + 26 : at + 28] = cluster.to_bytes(2, "little")
    said = expect_panic(lab, bytes(image), lambda files: files.listdir("/mnt/d"))
    assert f"a directory begins at cluster 0x{cluster:08x}" in said


flips = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, (1 << 16) - 1), st.integers(0, 255)), min_size=1, max_size=30
)
operations = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 9), st.integers(0, 9)), max_size=12)


@settings(max_examples=25)
@given(which=st.integers(0, 2), flipped=flips, asked=operations)
def test_random_damage_is_the_guests_own_affair(lab, volumes, which, flipped, asked):
    image = bytearray(volumes[which])
    used = [at for at in range(0, len(image), 512) if any(image[at : at + 512])]
    for where, number, value in flipped:
        # In the boot sector, in the first sectors in use (the FATs), or anywhere in use.
        sectors = (used[:1], used[:8], used)[where]
        image[sectors[number // 512 % len(sectors)] + number % 512] = value
    lab.disk.insert(bytes(image))
    volume = Volume(lab)
    paths = [
        "d",
        "d/e",
        "d/other",
        "d/e/deep.txt",
        "new",
        "d/new",
        *(f"File number {n}.txt" for n in range(1, 5)),
    ]

    def attempt(files, kind, one, other):
        path, second = f"{MOUNT_POINT}/{paths[one]}", f"{MOUNT_POINT}/{paths[other]}"
        (
            lambda: files.read_file(path),
            lambda: files.write_file(path, b"w" * 3000),
            lambda: files.unlink(path),
            lambda: files.mkdir(path),
            lambda: files.rmdir(path),
            lambda: files.rename(path, second),
            lambda: files.listdir(path),
            lambda: files.statfs(MOUNT_POINT),
        )[kind]()

    try:
        volume.do(lambda files: files.mount("hda", MOUNT_POINT, "vfat", "iocharset=utf8"))
    except FileError:
        return
    for each in asked:
        with suppress(FileError):
            volume.do(lambda files, each=each: attempt(files, *each))
    volume.do(lambda files: files.umount(MOUNT_POINT))
    assert lab.kernel.lsmod()[0].usecount == 0
