"""VFAT: long and odd names, and what becomes of them as short ones."""

from collections.abc import Iterator

import fat_peers
import pytest
from fat_lab import mounted

import nooks_lab as nl
from nooks_lab.kernel import errno
from nooks_lab.kernel.fs.file_error import FileError
from nooks_lab.lab import Lab

EMPTY = 1440 << 10

NAMES = [
    "two words.txt",
    " leading space",
    "many.dots.in.it.tar.gz",
    ".hidden",
    "..two dots",
    "x" * 255,
    "+,;=[].c",
    "UPPER.TXT",
    "lower.txt",
    "MixedCase.Txt",
    "no extension",
    "~tilde~1",
    "Grüße aus Köln.txt",
    "日本語のファイル",
    "Привет, мир.doc",
    "smile 😀.png",
    "コンソール.con",
    "COM10",
    "auxiliary",
]

FORBIDDEN = [
    "a*b",
    "a?b",
    "a<b",
    "a|b",
    'a"b',
    "a:b",
    "a\\b",
    "a\x07b",
    "ends with a space ",
    "CON",
    "aux.h",
    "Lpt1",
    "nul",
]


@pytest.fixture(scope="module", params=[False, True], ids=["native", "nooks"])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    with nl.boot(devices=("disk",), nooks=request.param) as booted:
        booted.insmod("vfat")
        yield booted
        assert booted.nooks is None or booted.nooks.recoveries == []


@pytest.fixture(scope="module")
def empty() -> bytes:
    return fat_peers.mkfs(EMPTY, 12)


def test_odd_names_are_kept_and_mtools_reads_them(lab, empty):
    with mounted(lab, empty) as volume:
        for name in NAMES:
            volume.write(name, name.encode())
        volume.forget()
        assert volume.names() == sorted(NAMES)
        assert {name: volume.read(name) for name in NAMES} == {name: name.encode() for name in NAMES}
    assert fat_peers.fsck(lab.disk.contents()) == ""
    # mtools has no characters beyond the first 65,536: it shows two of its own for each.
    shown = {name.replace("😀", "__"): name.encode() for name in NAMES}
    assert fat_peers.tree(lab.disk.contents()) == shown


@pytest.mark.parametrize("name", FORBIDDEN)
def test_names_that_no_dos_could_use_are_refused(lab, empty, name):
    with mounted(lab, empty) as volume:
        with pytest.raises(FileError) as refused:
            volume.write(name, b"")
        assert refused.value.errno == errno.EINVAL
        assert volume.names() == []


def test_a_name_that_is_too_long_is_refused(lab, empty):
    with mounted(lab, empty) as volume:
        with pytest.raises(FileError) as refused:
            volume.write("x" * 256, b"")
        assert refused.value.errno == errno.ENAMETOOLONG


def test_upper_and_lower_case_are_one_name(lab, empty):
    with mounted(lab, empty) as volume:
        volume.write("Straße nach Süden.TXT", b"1")
        assert volume.read("STRAßE NACH SÜDEN.txt") == b"1"
        volume.write("strAße nach süden.txt", b"2")
        assert volume.names() == ["Straße nach Süden.TXT"]
        volume.do(lambda files: files.mkdir("/mnt/Dir"))
        with pytest.raises(FileError) as refused:
            volume.do(lambda files: files.mkdir("/mnt/DIR"))
        assert refused.value.errno == errno.EEXIST


def test_trailing_dots_do_not_count(lab, empty):
    with mounted(lab, empty) as volume:
        volume.write("name...", b"1")
        assert volume.names() == ["name"]
        assert volume.read("NAME.") == b"1"


def test_a_new_name_has_the_case_in_which_it_was_asked_for(lab, empty):
    with mounted(lab, empty) as volume:
        assert not volume.do(lambda files: files.exists("/mnt/readme"))
        volume.write("ReadMe", b"")
        assert volume.names() == ["ReadMe"]
        volume.do(lambda files: files.unlink("/mnt/README"))
        volume.write("README", b"")
        assert volume.names() == ["README"]


def test_a_long_name_is_found_by_its_short_one_too(lab, empty):
    with mounted(lab, empty) as volume:
        for number in range(1, 8):
            volume.write(f"A long name, number {number}.text", b"%d" % number)
        assert [volume.read(f"ALONGN~{number}.TEX") for number in range(1, 5)] == [b"1", b"2", b"3", b"4"]
        # From the fifth on the short name has four digits out of the long one.
        assert len(volume.names()) == 7
        volume.do(lambda files: files.unlink("/mnt/alongn~2.tex"))
        assert "A long name, number 2.text" not in volume.names()
    assert fat_peers.fsck(lab.disk.contents()) == ""


@pytest.mark.parametrize(
    ("shortname", "shown"),
    [
        ("lower", ["Mixed.txt", "lower.txt", "upper.txt"]),
        ("win95", ["Mixed.txt", "UPPER.TXT", "lower.txt"]),
        ("winnt", ["Mixed.txt", "UPPER.TXT", "lower.txt"]),
        ("mixed", ["Mixed.txt", "UPPER.TXT", "lower.txt"]),
    ],
)
def test_short_names_are_shown_as_the_mount_option_says(lab, empty, shortname, shown):
    with mounted(lab, empty, f"shortname={shortname}") as volume:
        for name in ("UPPER.TXT", "lower.txt", "Mixed.txt"):
            volume.write(name, b"")
        assert volume.names() == shown
    assert fat_peers.fsck(lab.disk.contents()) == ""
    # winnt keeps an all-lower name in two bits, and needs no slot for it.
    root = lab.disk.contents()[512 * 19 :][: 32 * 16]
    entries = [root[at : at + 32] for at in range(0, 32 * 16, 32) if root[at] and root[at + 11] != 8]
    assert sum(entry[11] == 0x0F for entry in entries) == (1 if shortname == "winnt" else 2)


def test_iso8859_1_is_the_character_set_unless_another_is_asked_for(lab, empty):
    image = fat_peers.put(empty, {"Grün.txt": b"g", "日本.txt": b"j"})
    with mounted(lab, image, "") as volume:
        # The one byte of ü is no UTF-8; what Latin-1 does not have is a question mark.
        assert volume.names() == ["??.txt", "Gr\ufffdn.txt"]


def test_short_names_of_another_system_are_read_in_code_page_437(lab):
    image = bytearray(fat_peers.put(fat_peers.mkfs(EMPTY, 12), {"ABC.TXT": b"x"}))
    at = image.index(b"ABC     TXT")
    image[at : at + 3] = b"\x05\x8e\xe1"
    with mounted(lab, bytes(image)) as volume:
        assert volume.names() == ["σÄß.TXT"]
        assert volume.read("σäß.txt") == b"x"


def test_slots_left_behind_by_a_system_without_long_names_are_passed_over(lab, empty):
    image = bytearray(fat_peers.put(empty, {"A long name of old.txt": b"x"}))
    at = image.index(b"ALONGN~1TXT")
    image[at : at + 11] = b"RENAMED TXT"
    with mounted(lab, bytes(image)) as volume:
        assert volume.names() == ["RENAMED.TXT"]
        volume.write("A long name of old.txt", b"new")
        assert volume.names() == ["A long name of old.txt", "RENAMED.TXT"]
