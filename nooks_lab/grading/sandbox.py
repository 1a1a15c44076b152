"""Where a submission runs: bubblewrap with its own mounts, processes and network, or bare limits.

Two processes are kept apart.  The worker (pytest with nbval) holds the expected outputs and gives the
verdict; the kernel runs the student's code.  With bubblewrap the kernel sees, read-only, the system's
libraries, Python and this package; writable, an empty ``/tmp``.  It does not see the class, the solutions,
the worker's files or its processes, and the network is a loopback that only the worker shares.

Not defended, with bubblewrap: the kernel of the host's operating system; a process that forks without end
(RLIMIT_NPROC does not bind root), which lasts until the submission's time is over; a right answer that
somebody else wrote, the package's own walker included.  The checks run in the student's kernel, so code
there can read them and their seed once they start: it can compute the right output by any means, and cannot
make a wrong one count.

Not defended, with limits alone: the files of the user who grades, the solutions among them, the network,
and other processes.  The worker still removes its notebook before the kernel starts and forbids other
processes to read its memory, so the expected outputs stay out of reach of all but root.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import nooks_lab
from nooks_lab.toolchain.store import cache_dir

_SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/lib32", "/etc/ld.so.cache", "/etc/alternatives")


@dataclass(frozen=True)
class Limits:
    """What one submission may take.

    Attributes
    ----------
    cell_seconds : float
        Wall time of a cell.
    submission_seconds : float
        Wall time of everything.
    memory : int
        Address space in bytes; each simulated PC reserves 1 GiB of it.
    file_size : int
        Bytes of the largest file.
    cpu_seconds : int
        CPU time of the kernel.
    """

    cell_seconds: float = 30.0
    submission_seconds: float = 300.0
    memory: int = 3 << 30
    file_size: int = 16 << 20
    cpu_seconds: int = 240


DEFAULT_LIMITS = Limits()


class Sandbox(Protocol):
    """A way to start the worker, and in it the kernel."""

    notice: str
    """What the instructor must be told about it; empty when nothing."""

    def worker(self, command: list[str]) -> list[str]:
        """Return the command that starts the worker."""

    def kernel(self, command: list[str], runtime: Path) -> list[str]:
        """Return the command that starts the student's kernel.

        Parameters
        ----------
        runtime : Path
            Folder of the kernel's connection file.
        """


class Bubblewrap:
    """Worker and kernel in a bubblewrap of their own each."""

    notice = ""

    def worker(self, command: list[str]) -> list[str]:
        """Cut the worker, and the kernel with it, off the network.

        It keeps the machine's ``/proc``: bubblewrap's own covers parts of it, and under such a one Linux
        refuses the kernel's sandbox another.
        """
        return ["bwrap", "--unshare-net", "--die-with-parent", "--dev-bind", "/", "/", "--", *command]

    def kernel(self, command: list[str], runtime: Path) -> list[str]:
        """Show the kernel no more than it needs; its network is the worker's, which is a loopback."""
        arguments = ["bwrap", "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
        arguments += [
            "--unshare-cgroup-try",
            "--cap-drop",
            "ALL",
            "--die-with-parent",
            "--new-session",
            "--clearenv",
        ]
        for path in _SYSTEM:
            arguments += ["--ro-bind-try", path, path]
        arguments += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
        for path in _own_paths():
            arguments += ["--ro-bind", path, path]
        arguments += ["--ro-bind", str(runtime), str(runtime), "--chdir", "/tmp"]
        for name, value in _environment(runtime).items():
            arguments += ["--setenv", name, value]
        return [*arguments, "--", *command]


class LimitsOnly:
    """No sandbox, only the limits that the kernel process sets for itself."""

    notice = (
        "bubblewrap is missing or does not work here: submissions run with limits on memory, files and time "
        "only, and can read your files and use the network (Debian and Ubuntu: apt install bubblewrap)"
    )

    def worker(self, command: list[str]) -> list[str]:
        """Return the command as it is."""
        return command

    def kernel(self, command: list[str], runtime: Path) -> list[str]:  # noqa: ARG002 - the protocol's
        """Return the command as it is."""
        return command


@cache
def best_sandbox() -> Sandbox:
    """Return bubblewrap when it works on this machine, one inside the other as grading needs it."""
    bubblewrap = Bubblewrap()
    if shutil.which("bwrap") is None:
        return LimitsOnly()
    inner = bubblewrap.kernel([sys.executable, "-c", ""], Path(__file__).parent)
    works = subprocess.run(bubblewrap.worker(inner), capture_output=True, check=False).returncode == 0
    return bubblewrap if works else LimitsOnly()


def _own_paths() -> list[str]:
    """Return Python, its packages, this package and the compiler's cache, each once."""
    package = str(Path(nooks_lab.__file__).parent)
    wanted = [sys.base_prefix, sys.prefix, package, str(cache_dir())]
    # The cache may be that of a first run; what the reference compiled is in it by then.
    cache_dir().mkdir(parents=True, exist_ok=True)
    kept: list[str] = []
    for path in sorted(wanted, key=len):
        if not any(Path(path).is_relative_to(other) for other in (*kept, *_SYSTEM)):
            kept.append(path)
    return kept


def _environment(runtime: Path) -> dict[str, str]:
    return {
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), "/usr/bin", "/bin")),
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(Path(nooks_lab.__file__).parent.parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        "XDG_CACHE_HOME": str(cache_dir().parent),
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "MPLCONFIGDIR": "/tmp/matplotlib",
    }
