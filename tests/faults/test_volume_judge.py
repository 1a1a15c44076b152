"""What a failure of VFAT leaves on the disk, with and without the cache written back before release."""

import pytest
from broken_function import break_function

import nooks_lab as nl
from nooks_lab.campaign import files
from nooks_lab.campaign.outcome import Outcome
from nooks_lab.campaign.run_trial import run_trial
from nooks_lab.campaign.trial import TrialSpec
from nooks_lab.faults.fat_tools import FatToolMissingError, find_tool
from nooks_lab.faults.volume_judge import VolumeJudgement, judge_disk, judge_volume
from nooks_lab.nooks.recovery.policy import Policy, Rule
from nooks_lab.workloads.compile_local import CompileLocal
from nooks_lab.workloads.fat_volume import format_volume
from nooks_lab.workloads.written_files import WrittenFiles

FUNCTIONS = ("fat_get_block", "vfat_lookup", "vfat_create", "vfat_find", "fat_add_cluster")


def recovered(sync: bool, function: str) -> tuple[VolumeJudgement, WrittenFiles]:
    """Unpack, break a function, compile until the recovery; judge the disk after an orderly umount."""
    work = CompileLocal(files=3, directories=2, size=1500, volume=format_volume(2 << 20, 12, 1), attempts=1)
    with nl.boot(nooks=True, devices=work.devices, policy=Policy(Rule(sync=sync))) as lab:
        assert lab.nooks is not None
        work.set_up(lab)
        work.unpack(lab)
        break_function(lab.kernel, "vfat", function)
        assert not work.run(lab).ok
        lab.run(0.5)
        (recovery,) = lab.nooks.recoveries
        assert (recovery.ok, recovery.leaked) == (True, 0)
        return judge_disk(lab, work.written, "/mnt"), work.written


@pytest.mark.parametrize("function", FUNCTIONS)
def test_without_sync_files_are_corrupt_and_with_it_they_are_not(function: str) -> None:
    without, _ = recovered(False, function)
    judged, written = recovered(True, function)
    assert without.corrupt
    assert without.settled == judged.settled >= 8
    assert not judged.corrupt, judged.sentences()
    assert any(data for data in written.settled.values())


def test_an_empty_volume_is_sound_to_fsck_and_everything_is_lost_to_the_judge() -> None:
    written = WrittenFiles()
    written.settle("dir", None)
    written.settle("dir/a", b"a")
    written.remove("gone")
    with written.changing("b"):
        judged = judge_volume(format_volume(2 << 20, 12, 1), written)
    assert judged == VolumeJudgement((), ("dir", "dir/a"), (), 2)
    assert judged.sentences() == ("dir is lost", "dir/a is lost")


def test_what_is_no_volume_is_a_complaint() -> None:
    judged = judge_volume(bytes(1 << 20), WrittenFiles())
    assert judged.complaints
    assert not judged.corrupt


def test_a_change_that_fails_is_judged_by_nobody() -> None:
    written = WrittenFiles()
    written.settle("a", b"old")
    with pytest.raises(OSError, match="broken"), written.changing("a"):
        raise OSError("broken")
    assert (written.settled, written.under_way) == ({}, {"a"})


def test_a_missing_program_is_said_with_its_package() -> None:
    with pytest.raises(FatToolMissingError, match=r"fsck\.nothing is missing.*install"):
        find_tool("fsck.nothing")


@pytest.mark.parametrize(("sync", "corrupt"), [(False, True), (True, False)])
def test_a_trial_judges_what_the_recovery_has_left_and_not_what_was_written_anew(
    sync: bool, corrupt: bool
) -> None:
    """The same faults, whose recovery comes in the midst of a compilation."""
    result = run_trial(TrialSpec("vfat", seed=1, number=0, nooks=True, sync=sync))
    assert result.outcome is Outcome.RECOVERED
    assert files.corrupt(result.disk) == corrupt, result.disk
