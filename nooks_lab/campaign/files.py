"""Files on a disk: what a trial has made of them (paper, section 5.2.3)."""

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from nooks_lab.faults.volume_judge import COMPLAINT, judge_disk
from nooks_lab.lab import Lab
from nooks_lab.workloads.workload import Workload
from nooks_lab.workloads.written_files import WrittenFiles


@runtime_checkable
class KeepsFiles(Protocol):
    """A workload that writes files, and keeps an account of them.

    Attributes
    ----------
    written : WrittenFiles
    mount_point : str
    """

    written: WrittenFiles
    mount_point: str

    def unpack(self, lab: Lab) -> None:
        """Make files anew that are not on the disk yet, so that there is something to lose."""


def have_files(workload: Workload, lab: Lab) -> None:
    """Let a workload that keeps files make some."""
    if isinstance(workload, KeepsFiles):
        workload.unpack(lab)


def judge_files(
    workload: Workload, lab: Lab, *, unmount: bool = False, sync: bool = False
) -> tuple[str, ...]:
    """Return what is wrong on the disk, a sentence each; nothing for a workload without files.

    Parameters
    ----------
    unmount, sync : bool
        Whether the volume is unmounted in good order before, or only all written to it; with neither it is taken as
        after a power failure.

    Raises
    ------
    FatToolMissingError
        When dosfstools or mtools is not installed.
    Panic, Hang, TripleFault, FileError, TaskDied
        When the volume cannot be unmounted or written to.
    """
    if not isinstance(workload, KeepsFiles):
        return ()
    if sync:
        lab.kernel.in_task("sync", lab.kernel.files.sync)
    return judge_disk(lab, workload.written, workload.mount_point if unmount else None).sentences()


def corrupt(sentences: Iterable[str]) -> bool:
    """Tell whether any of these sentences is of a file or directory that is lost or wrong, as the paper counts."""
    return any(not sentence.startswith(COMPLAINT) for sentence in sentences)
