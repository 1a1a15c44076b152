"""The option ``--policy``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from nooks_lab.nooks.recovery.policy import Policy

PolicyFile = Annotated[Path | None, typer.Option(help="What recovery does, for each extension (TOML).")]


def read_policy_file(path: Path | None) -> "Policy | None":
    """Return the policy, None without a file."""
    from nooks_lab.extensions import CLASSES
    from nooks_lab.nooks.recovery.policy import read_policy

    return None if path is None else read_policy(path, CLASSES)
