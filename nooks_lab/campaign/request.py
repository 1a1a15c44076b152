"""What a user asks of a campaign, checked before the first trial."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from nooks_lab import extensions
from nooks_lab.campaign import paper
from nooks_lab.campaign.errors import CampaignError
from nooks_lab.campaign.files import KeepsFiles
from nooks_lab.campaign.settings import Settings
from nooks_lab.faults.fat_tools import FatToolMissingError, find_tool
from nooks_lab.faults.injector.catalogue import PAPER_CLASSES, fault_class
from nooks_lab.faults.injector.fault_class import DataFault, sites
from nooks_lab.faults.injector.plan import NothingQualifies
from nooks_lab.faults.injector.text import text_of
from nooks_lab.faults.volume_judge import TOOLS
from nooks_lab.workloads import registry


@dataclass(frozen=True)
class Request:
    """A campaign.

    Attributes
    ----------
    extensions : tuple of str
        Their names.
    trials : int
        Numbers to try of each, natively and under Nooks.
    settings : Settings
    results : Path
        The results file.
    jobs : int or None
        Worker processes on this host; as many as it has processors when not given.
    dask : str or None
        A Dask scheduler's address, whose workers run the trials instead.
    until_width : float or None
        Stop with an extension once the 95% interval of its eliminated share is at most this wide.
    csv, parquet : Path or None
        Where to write the trials.
    figures : Path or None
        The folder for figures 6 and 7.
    """

    extensions: tuple[str, ...]
    trials: int
    settings: Settings
    results: Path
    jobs: int | None = None
    dask: str | None = None
    until_width: float | None = None
    csv: Path | None = None
    parquet: Path | None = None
    figures: Path | None = None

    def check(self) -> None:
        """Find what would only come out after hours.

        Raises
        ------
        NothingQualifies
            When an extension has no instruction for any of the fault classes.
        CampaignError
            When something cannot be written where it is to go, a program is missing, or two wishes contradict each
            other.
        """
        if self.dask is not None and self.jobs is not None:
            raise CampaignError("--jobs is for processes on this host, and --dask runs the trials elsewhere")
        if self.until_width is not None and not 0 < self.until_width < 1:
            raise CampaignError(
                f"an interval's width lies between 0 and 1, and --until-width {self.until_width} does not"
            )
        for name in self.extensions:
            check_sites(name, self.settings.classes)
        if self.dask is None:
            check_tools(self.extensions)
        for path in (self.results, self.csv, self.parquet):
            if path is not None:
                check_writable(path)
        if self.figures is not None and self.figures.exists() and not self.figures.is_dir():
            raise CampaignError(f"{self.figures} is not a folder")


def check_sites(extension: str, classes: tuple[str, ...]) -> None:
    """Raise NothingQualifies when an extension has no instruction for any of the fault classes."""
    names = classes or PAPER_CLASSES
    text = text_of(extensions.extension(extension))
    chosen = [fault_class(name) for name in names]
    if not any(isinstance(each, DataFault) or sites(each, text) for each in chosen):
        raise NothingQualifies(f"no instruction of {extension} qualifies for: {', '.join(names)}")


def check_tools(names: Sequence[str]) -> None:
    """Raise CampaignError when a disk is to be judged and this host has not the programs for it."""
    if any(isinstance(registry.trial_workload(name), KeepsFiles) for name in names):
        try:
            for tool in TOOLS:
                find_tool(tool)
        except FatToolMissingError as missing:
            raise CampaignError(str(missing)) from missing


def check_writable(path: Path) -> None:
    """Raise CampaignError when there can be no file of this name."""
    if path.is_dir():
        raise CampaignError(f"{path} is a folder")
    if not path.absolute().parent.is_dir():
        raise CampaignError(f"{path}: there is no folder {path.parent}")


def named_extensions(given: Sequence[str]) -> tuple[str, ...]:
    """Return the extensions that are meant: ``paper`` is the five that the paper measured, ``all`` all there are.

    Raises
    ------
    UnknownExtension
        When there is none of a name.
    """
    groups = {"paper": paper.MEASURED, "all": tuple(extensions.CLASSES)}
    names = [name for each in given for name in groups.get(each, (each,))]
    for name in names:
        extensions.source(name)
    return tuple(dict.fromkeys(names))


def fault_classes(given: str) -> tuple[str, ...]:
    """Return the names in a list with commas, each once; empty for the paper's eight.

    Raises
    ------
    UnknownFaultClass
        When there is no class of a name.
    """
    names = [name.strip() for name in given.split(",") if name.strip()]
    for name in names:
        fault_class(name)
    return tuple(dict.fromkeys(names))


def default_results(settings: Settings) -> Path:
    """Return where a campaign's results go when the user names no file: the same file for the same campaign."""
    folder = Path(platformdirs.user_data_dir("nooks-lab", appauthor=False), "campaigns")
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"seed{settings.seed}-{settings.fingerprint()}.sqlite"
