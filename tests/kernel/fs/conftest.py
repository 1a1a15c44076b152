"""Filesystems to run the same tests on: one in memory, and one on a disk, natively and under Nooks."""

from collections.abc import Iterator

import pytest
from flatfs import flatfs, mkfs

import nooks_lab as nl
from nooks_lab.lab import Lab

KINDS = ("ramfs", "flatfs", "flatfs under Nooks")


@pytest.fixture(scope="module", params=KINDS)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A system with a filesystem mounted on /mnt."""
    with nl.boot(devices=("disk",), disk=mkfs(), nooks="Nooks" in request.param) as booted:
        files = booted.kernel.files
        if request.param != "ramfs":
            booted.insmod(flatfs())
        kind = request.param.partition(" ")[0]
        booted.kernel.in_task("mount", lambda: files.mount("hda", "/mnt", kind))
        yield booted
        assert booted.nooks is None or booted.nooks.recoveries == []
