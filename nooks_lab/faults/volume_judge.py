"""What a failure and its recovery have left on a disk (paper, section 5.2.3: lost or corrupt files or directories).

Two judges: ``fsck.fat`` says whether the structure of the volume is sound, and the files that the workload had
settled before (:class:`.WrittenFiles`) are read off it with mtools and compared.  Neither alone is enough.  A volume
from which everything has vanished is sound to ``fsck.fat``; and lost clusters, of a file that was being written, are a
complaint although no file that anybody counted on has changed.
"""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nooks_lab.faults.fat_tools import run_tool, volume_file
from nooks_lab.lab import Lab
from nooks_lab.workloads.written_files import WrittenFiles

_CHATTER = ("fsck.fat ", "Leaving filesystem unchanged.", "Checking ", "Auto-", "Logical sector")

TOOLS = ("fsck.fat", "mcopy")
"""The judges."""

COMPLAINT = "fsck.fat: "
"""How a sentence begins that tells of the volume's structure, not of a file."""


@dataclass(frozen=True)
class VolumeJudgement:
    """What is wrong with a volume.

    Attributes
    ----------
    complaints : tuple of str
        Of ``fsck.fat -n``, a line each.
    lost : tuple of str
        Settled files and directories that are not there, by path.
    wrong : tuple of str
        Settled files that hold something else, and what was removed and is there again.
    settled : int
        How many files and directories were to be there.
    """

    complaints: tuple[str, ...]
    lost: tuple[str, ...]
    wrong: tuple[str, ...]
    settled: int

    @property
    def corrupt(self) -> bool:
        """Files or directories were lost or corrupted: what the paper counts."""
        return bool(self.lost or self.wrong)

    def sentences(self) -> tuple[str, ...]:
        """Return all of it, a sentence each."""
        return (
            *(f"{COMPLAINT}{line}" for line in self.complaints),
            *(f"{path} is lost" for path in self.lost),
            *(f"{path} is not what was written" for path in self.wrong),
        )


def judge_volume(image: bytes, written: WrittenFiles) -> VolumeJudgement:
    """Judge the image of a FAT volume.

    Raises
    ------
    FatToolMissingError
        When dosfstools or mtools is not installed.
    """
    with volume_file(image) as path:
        complaints = tuple(_fsck(path))
        found, problem = _tree(path)
    if problem:
        complaints = (*complaints, problem)
    lost = tuple(sorted(name for name in written.settled if name not in found))
    wrong = [name for name, data in written.settled.items() if name in found and found[name] != data]
    wrong += written.removed & found.keys()
    return VolumeJudgement(complaints, lost, tuple(sorted(wrong)), len(written.settled))


def judge_disk(lab: Lab, written: WrittenFiles, mount_point: str | None = None) -> VolumeJudgement:
    """Judge what is on a PC's disk.

    Parameters
    ----------
    lab : Lab
        After a trial; it may be dead.
    mount_point : str, optional
        Unmount this first: then what is still in memory counts too.  Without, as after a power failure: the medium as
        it is.

    Raises
    ------
    FatToolMissingError
        As :func:`judge_volume`.
    Panic, Hang, TripleFault
        When the system does not survive the unmounting.
    FileError
        When it refuses it.
    """
    if mount_point is not None:
        lab.kernel.in_task("umount", lambda: lab.kernel.files.umount(mount_point))
    return judge_volume(lab.disk.contents(), written)


def _fsck(path: Path) -> Iterator[str]:
    try:
        done = run_tool("fsck.fat", "-n", str(path))
    except subprocess.TimeoutExpired:
        yield "fsck.fat does not come to an end"
        return
    if done.returncode == 0:
        return
    lines = (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()
    said = [line.strip() for line in lines if line.strip() and not line.startswith(_CHATTER)]
    # The last line is the summary: "volume.img: 3 files, 4/4076 clusters".
    said = [line for line in said if not line.startswith(str(path))]
    yield from said or [f"fsck.fat ends with {done.returncode}"]


def _tree(path: Path) -> tuple[dict[str, bytes | None], str]:
    """Return everything on a volume, contents by path and None for a directory, and what hindered it."""
    target = path.with_name("copy")
    target.mkdir()
    problem = ""
    try:
        done = run_tool("mcopy", "-s", "-n", "-i", str(path), "::", str(target))
    except subprocess.TimeoutExpired:
        problem = "mcopy does not come to an end"
    else:
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
            # Where the copy lies is another place every time, and of a long path mcopy shows as much as has room.
            problem = f"mcopy: {said.replace(str(target), '')[:100]}"
    found = {
        str(each.relative_to(target)): each.read_bytes() if each.is_file() else None
        for each in target.rglob("*")
    }
    return found, problem
