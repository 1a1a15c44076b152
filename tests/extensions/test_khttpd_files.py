"""kHTTPd and VFAT, each in a nook of its own: pages from a FAT32 volume on the disk, by way of the page cache."""

import random
from collections.abc import Iterator

import pytest
from fat_lab import MOUNT_POINT, Volume, mounted
from web_clients import Web

import nooks_lab as nl
from nooks_lab.faults import text_fault
from nooks_lab.lab import Lab
from nooks_lab.workloads.fat_volume import format_volume

DISK_LINE = 14

FILES = {
    "index.html": b"<h1>from the disk</h1>\n",
    "A long name with capitals.TXT": random.Random(1).randbytes(5000),
    "large.bin": random.Random(2).randbytes(150_000),
}


@pytest.fixture(scope="module", params=[False, True], ids=["native", "nooks"])
def site(request) -> Iterator[Web]:
    with nl.boot(nooks=request.param, devices=("e1000", "disk")) as lab:
        lab.insmod("vfat")
        with mounted(lab, format_volume(40 << 20, 32)) as volume:
            fill(volume)
            running = Web(lab, {"docroot": MOUNT_POINT})
            yield running
            lab.kernel.rmmod("khttpd")


def fill(volume: Volume) -> None:
    for name, data in FILES.items():
        volume.write(name, data)
    volume.do(lambda files: files.mkdir(f"{MOUNT_POINT}/sub"))
    volume.write("sub/index.html", b"sub\n")
    volume.forget()


def test_files_come_from_the_volume(site):
    for uri, name in (
        ("/A%20long%20name%20with%20capitals.TXT", "A long name with capitals.TXT"),
        ("/a%20LONG%20name%20with%20capitals.txt", "A long name with capitals.TXT"),
        ("/large.bin", "large.bin"),
        ("/index.html", "index.html"),
    ):
        answer = site.get(uri)
        assert (answer.status, answer.body) == (200, FILES[name])
    assert site.get("/sub/").body == b"sub\n"
    assert site.get("/none").status == site.get("/sub/none").status == 404
    assert site.get("/../mnt/index.html").status == 400


def test_a_directory_without_its_slash_is_elsewhere(site):
    answer = site.get("/sub")
    assert (answer.status, answer.header["Location"]) == (301, "/sub/")
    assert site.get(answer.header["Location"]).body == b"sub\n"
    assert site.get("//sub").header["Location"] in ("/sub/", "/.//sub/")


def test_a_file_is_read_again_from_the_page_cache(site):
    Volume(site.lab).forget()
    before = interrupts(site.lab)
    assert site.get("/large.bin").body == FILES["large.bin"]
    once = interrupts(site.lab)
    assert once > before
    assert site.get("/large.bin").body == FILES["large.bin"]
    assert interrupts(site.lab) == once


def interrupts(lab: Lab) -> int:
    """Return how often the disk has interrupted: once or more for each request."""
    return lab.machine.interrupts_delivered.get(DISK_LINE, 0)


def test_the_server_recovers_and_the_files_go_on(site):
    if site.lab.nooks is None:
        assert site.get("/large.bin").body == FILES["large.bin"]
        return
    text_fault.inject(site.lab, "khttpd")
    site.get("/large.bin")
    site.run(0.1)
    (recovery,) = site.lab.nooks.recoveries
    assert (recovery.extension, recovery.ok, recovery.leaked) == ("khttpd", True, 0)
    assert site.get("/large.bin").body == FILES["large.bin"]
