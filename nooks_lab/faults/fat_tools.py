"""The programs of dosfstools and mtools, run on a volume in a file: somebody else's opinion of what is on a disk."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PACKAGES = {"mkfs.fat": "dosfstools", "fsck.fat": "dosfstools"}
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
_ENVIRONMENT = os.environ | {"LC_ALL": "C.UTF-8", "MTOOLS_SKIP_CHECK": "1", "TZ": "UTC"}
_PATIENCE = 30
"""Seconds of the host's that a program gets: on a volume with a loop in it mtools may go round for ever."""

_PAGE = 4096
_ZEROS = bytes(_PAGE)


class FatToolMissingError(RuntimeError):
    """A program that judges FAT volumes is not installed."""


def find_tool(name: str) -> str:
    """Return the path of a program.

    Raises
    ------
    FatToolMissingError
        When it is not installed; says which package has it.
    """
    found = shutil.which(name, path=_PATH)
    if found is None:
        package = _PACKAGES.get(name, "mtools")
        raise FatToolMissingError(
            f"{name} is missing, so that nobody can say what is on a FAT volume: install {package} "
            f"(`make peers`, or `apt install {package}` on Debian and Ubuntu)"
        )
    return found


@contextmanager
def volume_file(image: bytes) -> Iterator[Path]:
    """Yield a file with a volume in it, in a directory of its own; both go afterwards."""
    with tempfile.TemporaryDirectory(prefix="nooks-lab-fat-") as folder:
        path = Path(folder, "volume.img")
        with path.open("wb") as file:
            # Most of a volume is empty: a file with holes is made in a tenth of the time.
            file.truncate(len(image))
            for at in range(0, len(image), _PAGE):
                if image[at : at + _PAGE] != _ZEROS:
                    file.seek(at)
                    file.write(image[at : at + _PAGE])
        yield path


def run_tool(name: str, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    """Run a program to its end.

    Raises
    ------
    FatToolMissingError
        When it is not installed.
    subprocess.TimeoutExpired
        When it does not come to an end.
    """
    return subprocess.run(
        [find_tool(name), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=_ENVIRONMENT,
        check=False,
        timeout=_PATIENCE,
    )
