"""An extension that loops for ever is stopped by nobody, in a nook neither (a limit of the paper's): the system hangs."""

import pytest
from fat_lab import mounted
from web_clients import web

import nooks_lab as nl
from nooks_lab.kernel.kernel import Hang, Kernel
from nooks_lab.lab import Lab
from nooks_lab.workloads.fat_volume import format_volume

JUMP_TO_ITSELF = b"\xeb\xfe"


def loop_in(kernel: Kernel, extension: str, function: str) -> None:
    image = kernel.modules.loaded[extension].image
    assert image is not None
    kernel.memory.write(image.symbols[function], JUMP_TO_ITSELF)


def read_a_file(lab: Lab) -> None:
    with mounted(lab, format_volume(2 << 20, 12, 1)) as volume:
        loop_in(lab.kernel, "vfat", "vfat_lookup")
        volume.read("name")


@pytest.mark.parametrize("nooks", [False, True], ids=["native", "nooks"])
def test_vfat_loops_and_the_system_hangs(nooks: bool) -> None:
    with nl.boot(nooks=nooks, devices=("disk",)) as lab:
        lab.insmod("vfat")
        with pytest.raises(Hang):
            read_a_file(lab)
        assert lab.nooks is None or not lab.nooks.recoveries


@pytest.mark.parametrize("nooks", [False, True], ids=["native", "nooks"])
def test_khttpd_loops_and_the_system_hangs(nooks: bool) -> None:
    with web(nooks=nooks) as site:
        loop_in(site.lab.kernel, "khttpd", "khttpd_close")
        with pytest.raises(Hang):
            site.get("/")
