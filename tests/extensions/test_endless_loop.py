"""VFAT and kHTTPd loop for ever: natively the system hangs, in a nook the watchdog makes it a failure of theirs."""

import pytest
from fat_lab import MOUNT_POINT
from web_clients import web

import nooks_lab as nl
from nooks_lab.kernel.errno import EIO
from nooks_lab.kernel.fs.files import FileError
from nooks_lab.kernel.kernel import Hang, Kernel
from nooks_lab.lab import Lab
from nooks_lab.workloads.fat_volume import format_volume

JUMP_TO_ITSELF = b"\xeb\xfe"


def loop_in(kernel: Kernel, extension: str, function: str) -> None:
    image = kernel.modules.loaded[extension].image
    assert image is not None
    kernel.memory.write(image.symbols[function], JUMP_TO_ITSELF)


def looping_vfat(nooks: bool) -> Lab:
    lab = nl.boot(nooks=nooks, devices=("disk",), disk=format_volume(2 << 20, 12, 1))
    lab.insmod("vfat")
    lab.kernel.in_task("mount", lambda: lab.kernel.files.mount("hda", MOUNT_POINT, "vfat"))
    loop_in(lab.kernel, "vfat", "vfat_lookup")
    return lab


def read_a_file(lab: Lab) -> None:
    lab.kernel.in_task("cat", lambda: lab.kernel.files.read_file(f"{MOUNT_POINT}/name"))


def test_natively_vfat_hangs_the_system() -> None:
    with looping_vfat(nooks=False) as lab, pytest.raises(Hang):
        read_a_file(lab)


def test_in_a_nook_vfat_is_recovered() -> None:
    with looping_vfat(nooks=True) as lab:
        with pytest.raises(FileError) as caught:
            read_a_file(lab)
        assert caught.value.errno == EIO
        lab.run(0.2)
        assert lab.nooks is not None
        (recovery,) = lab.nooks.recoveries
        assert ("livelock" in recovery.trigger, recovery.ok, recovery.leaked) == (True, True, 0)


def test_natively_khttpd_hangs_the_system() -> None:
    with web(nooks=False) as site:
        loop_in(site.lab.kernel, "khttpd", "khttpd_close")
        with pytest.raises(Hang):
            site.get("/")


def test_in_a_nook_khttpd_is_recovered() -> None:
    with web(nooks=True) as site:
        loop_in(site.lab.kernel, "khttpd", "khttpd_close")
        site.get("/")
        site.run(1.5)
        assert site.get("/").status == 200
        assert [each.ok for each in site.lab.nooks.recoveries] == [True]
