"""compile-local: the same result natively and under Nooks, and through recoveries."""

import fat_peers
import pytest
from undefined_opcode import UndefinedOpcode

import nooks_lab as nl
from nooks_lab.faults import census
from nooks_lab.nooks.recovery.policy import Policy, Rule
from nooks_lab.nooks.tracking.validate import validate
from nooks_lab.workloads.build_programs import MOUNT_POINT, TREE_PATH, Programs, SomeTrouble, Tally
from nooks_lab.workloads.compile_local import CompileLocal
from nooks_lab.workloads.fat_volume import format_volume
from nooks_lab.workloads.source_tree import digest
from nooks_lab.workloads.written_files import WrittenFiles

BUSY = (
    "fat_scan_byte",
    "fat_scan_get",
    "fat_get_cluster",
    "fat_get_block",
    "fat_get_entry",
    "fat_walk_next",
    "fat_write_inode",
    "vfat_find",
    "vfat_hash",
    "vfat_lookup",
    "vfat_create",
    "vfat_add_entry",
)
"""Functions that the workload calls all the time."""


def small(**changes: int) -> CompileLocal:
    options = {"files": 5, "directories": 2, "size": 1500, "cycles_a_byte": 100} | changes
    return CompileLocal(volume=format_volume(2 << 20, 12, 1), **options)


@pytest.mark.parametrize("nooks", [False, True], ids=["native", "nooks"])
def test_the_tree_compiles_and_the_volume_is_sound(nooks):
    work = small()
    with nl.boot(nooks=nooks, devices=work.devices) as lab:
        work.set_up(lab)
        result = work.run(lab)
        work.unmount(lab)
        image = lab.disk.contents()
        assert lab.nooks is None or lab.nooks.recoveries == []
    assert result.ok, result.wrong
    assert result.digest == digest(work.expected)
    assert result.counts["attempts"] == 1
    assert fat_peers.fsck(image) == ""
    files = {path: data for path, data in fat_peers.tree(image).items() if data is not None}
    assert files == {f"linux/{path}": data for path, data in work.expected.items()}


def test_another_seed_is_another_tree():
    assert small(seed=1).expected == small(seed=1).expected
    assert small(seed=1).expected.keys() == small(seed=2).expected.keys()
    assert digest(small(seed=1).expected) != digest(small(seed=2).expected)


class Spoiled(CompileLocal):
    """Somebody edits a file while the tree compiles, and leaves another one."""

    def _make(self, kernel, tally):
        super()._make(kernel, tally)
        kernel.files.write_file("/mnt/linux/Makefile", b"all: vmlinuz\n")
        kernel.files.write_file("/mnt/linux/stray", b"")


def test_what_is_wrong_on_the_disk_is_seen():
    work = Spoiled(files=2, size=900, volume=format_volume(2 << 20, 12, 1), attempts=1)
    with nl.boot(devices=work.devices) as lab:
        work.set_up(lab)
        result = work.run(lab)
    assert not result.ok
    assert result.wrong == ("Makefile is not what was written", "stray is not of this tree")
    assert result.digest != digest(work.expected)


def test_the_same_work_can_be_done_again():
    work = small(files=2)
    with nl.boot(devices=work.devices) as lab:
        work.set_up(lab)
        first, second = work.run(lab), work.run(lab)
        work.unmount(lab)
        assert fat_peers.fsck(lab.disk.contents()) == ""
    assert first.ok
    assert first == second


def test_twenty_recoveries_in_a_row_leave_nothing_and_the_tree_still_compiles():
    work = small(files=2, directories=1, size=900)
    with nl.boot(nooks=True, devices=work.devices, policy=Policy(default=Rule(sync=True))) as lab:
        assert lab.nooks is not None
        work.set_up(lab)
        start = lab.machine.clock.now
        assert work.run(lab).ok
        busy = (lab.machine.clock.now - start) // 2
        fault = UndefinedOpcode(lab, "vfat", BUSY)
        before, runs = None, 0
        while len(lab.nooks.recoveries) < 23:
            runs += 1
            assert runs < 80
            lab.kernel.in_task("umount", lambda: lab.kernel.files.umount("/mnt"))
            lab.disk.insert(work.volume)
            lab.kernel.in_task(
                "mount", lambda: lab.kernel.files.mount("hda", "/mnt", "vfat", "iocharset=utf8")
            )
            recoveries = len(lab.nooks.recoveries)
            fault.arm(f"compile-local/{runs}", busy)
            result = work.run(lab)
            fault.disarm()
            assert result.ok, result.wrong
            assert result.digest == digest(work.expected)
            assert all(each.ok and not each.leaked for each in lab.nooks.recoveries[recoveries:])
            assert list(validate(lab.nooks)) == []
            if len(lab.nooks.recoveries) >= 3 and before is None:
                before = quiet_census(lab)
        assert before is not None
        assert not any(quiet_census(lab).more_than(before).values())
        work.unmount(lab)
        image = lab.disk.contents()
    found = {path: data for path, data in fat_peers.tree(image).items() if data is not None}
    assert found == {f"linux/{path}": data for path, data in work.expected.items()}


def quiet_census(lab: nl.Lab) -> census.Census:
    """Count what there is when nothing is mounted and nothing is cached."""
    files = lab.kernel.files
    lab.kernel.in_task("umount", lambda: files.umount("/mnt"))
    lab.kernel.in_task("sync", files.shrink_caches)
    lab.run(0.1)
    counted = census.take(lab)
    lab.kernel.in_task("mount", lambda: files.mount("hda", "/mnt", "vfat", "iocharset=utf8"))
    return counted


def in_itself(image: bytes) -> bytes:
    """Return a volume whose directory linux/inner has the clusters of linux: it lies in itself."""
    image = fat_peers.put(image, {}, ("linux", "linux/inner"))
    outer, inner = image.index(b"LINUX      \x10"), image.index(b"INNER      \x10")
    first_cluster = 26  # DIR_FstClusLO
    found = image[outer + first_cluster : outer + first_cluster + 2]
    return image[: inner + first_cluster] + found + image[inner + first_cluster + 2 :]


@pytest.mark.parametrize("program", ["find", "remove_tree"])
def test_a_directory_that_lies_in_itself_ends_the_program_and_not_the_test(program):
    volume = in_itself(format_volume(2 << 20, 12, 1))
    assert fat_peers.fsck(volume) != ""
    with nl.boot(nooks=False, devices=("disk",), disk=volume) as lab:
        lab.insmod("vfat")
        files = lab.kernel.files
        lab.kernel.in_task("mount", lambda: files.mount("hda", MOUNT_POINT, "vfat"))
        programs = Programs(lab.kernel, Tally(), 0, WrittenFiles())

        def walk():
            with pytest.raises(SomeTrouble, match=r"^/mnt/linux/inner.*: file system loop detected$"):
                getattr(programs, program)(TREE_PATH)

        lab.kernel.in_task(program, walk)
