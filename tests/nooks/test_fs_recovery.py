"""A filesystem that fails: its callers get EIO, its cache is saved, it is mounted again, and nothing is left over."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from flatfs import PLACES, arm, blocks_in_use, flatfs, mkfs

import nooks_lab as nl
from nooks_lab.faults.census import Census, take
from nooks_lab.kernel.errno import EBUSY, EIO
from nooks_lab.kernel.fs.files import O_RDWR, FileError, Files
from nooks_lab.lab import Lab
from nooks_lab.nooks.recovery.policy import Policy, Rule
from nooks_lab.nooks.tracking.validate import validate

OLD, NEW = b"old " * 1000, b"new " * 1000


def mounted(sync: bool = True) -> Lab:
    """A system with a flatfs on /mnt, which recovery mounts again, and a few files in it."""
    lab = nl.boot(devices=("disk",), disk=mkfs(), nooks=True, policy=Policy(Rule(sync=sync)))
    lab.insmod(flatfs())

    def script() -> None:
        try:
            lab.kernel.files.mount("hda", "/mnt", "flatfs")
        except FileError as error:
            # Somebody has mounted it again already.
            if error.errno != EBUSY:
                raise

    assert lab.nooks is not None
    lab.nooks.recovery.scripts["flatfs"] = [script]
    process(lab, lambda files: script())
    process(lab, lambda files: (files.write_file("/mnt/x", OLD), files.mkdir("/mnt/d"), files.sync()))
    return lab


def process(lab: Lab, work: Callable[[Files], Any]) -> Any:
    return lab.kernel.in_task("test", lambda: work(lab.kernel.files))


def census(lab: Lab) -> Census:
    """Count, when nobody uses anything and the caches are empty."""
    process(lab, lambda files: files.sync())
    process(lab, lambda files: files.shrink_caches())
    lab.run(0.02)
    return take(lab)


def leaks(lab: Lab, before: Census) -> dict[str, int]:
    """Return what there is more of; a new domain may not have used all of the extension's tables yet."""
    return {kind: count for kind, count in census(lab).more_than(before).items() if count > 0}


def errno(work: Callable[[], Any]) -> int:
    """Return the error that a call ends with, 0 for none."""
    try:
        work()
    except FileError as error:
        return int(error.errno or 0)
    return 0


def everything(files: Files) -> list[int]:
    """One of each call, and what each ends with."""
    return [
        errno(lambda: files.exists("/mnt/d/none")),
        errno(lambda: files.listdir("/mnt")),
        errno(lambda: files.write_file("/mnt/n", NEW)),
        errno(lambda: files.read_file("/mnt/n")),
        errno(lambda: files.statfs("/mnt")),
        errno(lambda: files.unlink("/mnt/n")),
        errno(files.sync),
        errno(lambda: files.umount("/mnt")),
        errno(lambda: files.mount("hda", "/mnt", "flatfs")),
        errno(lambda: files.read_file("/mnt/x")),
    ]


@pytest.mark.parametrize("place", PLACES)
def test_a_fault_anywhere_is_recovered_without_a_leak(place: str) -> None:
    with mounted() as lab:
        before = census(lab)
        arm(lab, place)
        process(lab, everything)
        lab.run(0.5)
        assert lab.nooks is not None
        (recovery,) = lab.nooks.recoveries
        assert recovery.ok
        assert recovery.leaked == 0
        assert recovery.blocked == []
        assert f"flat_{place}" in recovery.trigger or "make" in recovery.trigger
        assert process(lab, lambda files: files.read_file("/mnt/x")) == OLD
        process(lab, lambda files: errno(lambda: files.unlink("/mnt/n")))
        assert leaks(lab, before) == {}
        assert validate(lab.nooks) == []
        assert process(lab, everything) == [0] * 10
        assert validate(lab.nooks) == []


def test_an_open_file_of_the_old_mount_ends_with_eio_and_the_new_mount_works() -> None:
    with mounted() as lab:
        before = census(lab)

        def work(files: Files) -> None:
            fd = files.open("/mnt/x", O_RDWR)
            files.chdir("/mnt/d")
            arm(lab, "statfs")
            assert errno(lambda: files.statfs("/mnt")) == EIO
            arm(lab, "")
            for _ in range(50):
                lab.kernel.sched.schedule()
            while not lab.nooks or not lab.nooks.recoveries:
                lab.kernel.sched.set_task_state(lab.kernel.sched.current.address, 1)
                lab.kernel.sched.schedule_timeout(1)
            for call in (
                lambda: files.read(fd, 1),
                lambda: files.write(fd, b"x"),
                lambda: files.fsync(fd),
                lambda: files.lseek(fd, 0),
                lambda: files.ioctl(fd, 1),
            ):
                assert errno(call) == EIO
            assert errno(lambda: files.open("relative")) != 0
            assert files.read_file("/mnt/x") == OLD
            files.close(fd)

        process(lab, work)
        assert leaks(lab, before) == {}


@pytest.mark.parametrize(("sync", "kept"), [(True, NEW), (False, OLD)])
def test_what_was_written_before_the_failure_is_kept_when_policy_says_sync(sync: bool, kept: bytes) -> None:
    with mounted(sync) as lab:

        def work(files: Files) -> None:
            fd = files.open("/mnt/x", O_RDWR)
            files.write(fd, NEW)
            files.close(fd)
            arm(lab, "statfs")
            assert errno(lambda: files.statfs("/mnt")) == EIO

        process(lab, work)
        lab.run(0.5)
        assert process(lab, lambda files: files.read_file("/mnt/x")) == kept


def test_a_process_asleep_in_the_filesystem_leaves_it_with_eio() -> None:
    """One process waits for the disk beneath the extension while another makes the extension fail."""
    with mounted() as lab:
        before = census(lab)
        ends: list[int] = []

        def reader() -> None:
            ends.append(errno(lambda: lab.kernel.files.read_file("/mnt/x")))

        def killer() -> None:
            arm(lab, "statfs")
            ends.append(errno(lambda: lab.kernel.files.statfs("/")))
            ends.append(errno(lambda: lab.kernel.files.statfs("/mnt")))

        process(lab, lambda files: files.shrink_caches())
        threads = [lab.kernel.start("reader", reader), lab.kernel.start("killer", killer)]
        for thread in threads:
            lab.kernel.wait(thread)
        lab.run(0.5)
        assert lab.nooks is not None
        (recovery,) = lab.nooks.recoveries
        assert (recovery.ok, recovery.blocked, recovery.leaked) == (True, [], 0)
        assert sorted(ends) == [0, EIO, EIO]
        assert leaks(lab, before) == {}


def test_many_recoveries_at_random_places_leak_nothing_and_corrupt_no_other_file() -> None:
    chance = random.Random(18)
    with mounted() as lab:
        process(lab, lambda files: files.write_file("/ours", OLD))
        before = census(lab)
        for _ in range(30):
            arm(lab, chance.choice(PLACES))
            process(lab, everything)
            lab.run(0.5)
            arm(lab, "")
            process(lab, lambda files: errno(lambda: files.unlink("/mnt/n")))
        assert lab.nooks is not None
        assert len(lab.nooks.recoveries) == 30
        assert all(recovery.ok and not recovery.leaked for recovery in lab.nooks.recoveries)
        assert leaks(lab, before) == {}
        assert process(lab, lambda files: files.read_file("/ours")) == OLD
        process(lab, lambda files: files.umount("/mnt"))
        assert blocks_in_use(lab.disk.contents()) >= 10


def test_the_module_is_unloaded_when_nothing_is_mounted() -> None:
    with mounted() as lab:
        with pytest.raises(Exception, match="in use"):
            lab.kernel.rmmod("flatfs")
        process(lab, lambda files: files.umount("/mnt"))
        lab.kernel.rmmod("flatfs")
        assert lab.nooks is not None
        assert lab.nooks.domains == []
