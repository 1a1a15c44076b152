"""What makes two campaigns the same one: their trials may share a results file."""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from nooks_lab.campaign.trial import Placement, TrialSpec

_PACKAGE = Path(__file__).parent.parent
_DECIDING = (
    "machine",
    "toolchain",
    "kernel",
    "nooks",
    "extensions",
    "workloads",
    "station",
    "faults",
    "lab.py",
    "cards.py",
    "campaign/outcome.py",
    "campaign/trial.py",
    "campaign/run_trial.py",
    "campaign/system.py",
    "campaign/files.py",
)
"""The parts of the package that a trial's outcome can depend on; pictures and notebooks are none of them."""


@cache
def package_version() -> str:
    """Return the package's version, and a hash of the sources that decide what comes of a trial.

    Between two releases the version says nothing, so that the sources have to.
    """
    digest = hashlib.sha256()
    for part in _DECIDING:
        path = _PACKAGE / part
        files = (file for ending in ("py", "c", "h") for file in path.rglob(f"*.{ending}"))
        for file in sorted(files) if path.is_dir() else [path]:
            name = file.relative_to(_PACKAGE).as_posix().encode()
            content = file.read_bytes() if file.is_file() else b""
            digest.update(b"%d %s %d " % (len(name), name, len(content)) + content)
    return f"{metadata.version('nooks-lab')}+{digest.hexdigest()[:12]}"


@dataclass(frozen=True)
class Settings:
    """What all trials of a campaign have in common; attributes and defaults are those of :class:`TrialSpec`."""

    seed: int
    faults: int = TrialSpec.faults
    classes: tuple[str, ...] = TrialSpec.classes
    placement: Placement = TrialSpec.placement
    panic_on_oops: bool = TrialSpec.panic_on_oops
    nanny: bool = TrialSpec.nanny
    sync: bool = TrialSpec.sync

    def spec(self, extension: str, number: int, nooks: bool) -> TrialSpec:
        """Return one trial's specification."""
        return TrialSpec(
            extension,
            self.seed,
            number,
            nooks,
            self.faults,
            self.classes,
            self.placement,
            self.panic_on_oops,
            self.nanny,
            self.sync,
        )

    def described(self) -> dict[str, Any]:
        """Return the settings by the words that a message uses for them."""
        return {
            "seed": self.seed,
            "number of faults": self.faults,
            "list of fault classes": list(self.classes),
            "placement": self.placement,
            "panic_on_oops": self.panic_on_oops,
            "nanny": self.nanny,
            "sync before release": self.sync,
        }

    def fingerprint(self) -> str:
        """Return eight hexadecimal digits that differ for other settings and another version."""
        text = repr((package_version(), sorted(self.described().items())))
        return hashlib.sha256(text.encode()).hexdigest()[:8]
