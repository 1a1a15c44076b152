"""One run of nbval over one notebook: a worker process that gives the verdict, its kernel in the sandbox."""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from nooks_lab.grading.nbval_report import REPORT_FD
from nooks_lab.grading.reference import notebook_text
from nooks_lab.grading.sandbox import Limits, Sandbox

KERNEL_NAME = "nooks-lab-sandbox"
_CHUNK = 1 << 16
_LARGEST_REPORT = 16 << 20


@dataclass(frozen=True)
class CellRun:
    """What nbval found of one code cell.

    Attributes
    ----------
    grade_id : str
        Empty for a cell without one.
    passed : bool
        It ran without an error and, for a test cell, printed what the reference printed.
    cause : str
        Of a failure: ``wrong``, ``timeout``, ``died`` (the kernel, in this cell), ``dead`` (before it),
        ``setup`` (no kernel came up, which is no fault of the student's).
    ename, message : str
        The error, as the student's kernel told it: not to be trusted.
    """

    grade_id: str
    passed: bool
    cause: str
    ename: str
    message: str


@dataclass(frozen=True)
class NotebookRun:
    """The cells that were run, and what the worker had to say if it did not come to its end."""

    cells: tuple[CellRun, ...]
    complete: bool
    failure: str


def run_nbval(notebook: Any, sandbox: Sandbox, limits: Limits) -> NotebookRun:
    """Run a notebook and compare its test cells with the outputs in it."""
    with tempfile.TemporaryDirectory(prefix="nooks-lab-grade-") as scratch:
        folder = Path(scratch)
        runtime = folder / "runtime"
        runtime.mkdir()
        _write_kernel_spec(folder / "jupyter", sandbox.kernel(_kernel_command(limits), runtime))
        path = folder / "work" / "submission.ipynb"
        path.parent.mkdir()
        path.write_text(notebook_text(notebook), encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-p",
            "nooks_lab.grading.nbval_report",
        ]
        command += ["-c", os.devnull, "--rootdir", str(path.parent), "-q", "--tb=no", "--show-capture=no"]
        command += ["--nbval-lax", "--nbval-kernel-name", KERNEL_NAME]
        command += ["--nbval-cell-timeout", str(limits.cell_seconds), str(path)]
        environment = os.environ | {
            "JUPYTER_PATH": str(folder / "jupyter"),
            # nbval's kernel manager puts the connection file among the temporary files.
            "TMPDIR": str(runtime),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTEST_ADDOPTS": "",
        }
        # nbval is named, so that no other plugin of the instructor's environment has a say in the verdict.
        command[3:3] = ["-p", "nbval.plugin"]
        return _run(sandbox.worker(command), environment, limits, folder / "log")


def _kernel_command(limits: Limits) -> list[str]:
    numbers = [str(limits.memory), str(limits.file_size), str(limits.cpu_seconds)]
    return [sys.executable, "-m", "nooks_lab.grading.limited_kernel", *numbers, "-f", "{connection_file}"]


def _write_kernel_spec(folder: Path, command: list[str]) -> None:
    spec = {
        "argv": command,
        "display_name": "Nooks Lab, sandboxed",
        "language": "python",
        # A signal would end bubblewrap, and with it the kernel; a message interrupts the cell alone.
        "interrupt_mode": "message",
    }
    place = folder / "kernels" / KERNEL_NAME
    place.mkdir(parents=True)
    (place / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")


def _run(command: list[str], environment: dict[str, str], limits: Limits, log: Path) -> NotebookRun:
    reader, writer = os.pipe()
    try:
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                env=environment | {REPORT_FD: str(writer)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(writer,),
                start_new_session=True,
            )
        os.close(writer)
        writer = -1
        try:
            text, in_time = _read_until(reader, monotonic() + limits.submission_seconds)
            if in_time:
                process.wait(limits.cell_seconds)
        except subprocess.TimeoutExpired:
            in_time = False
        finally:
            _kill(process)
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
    # pytest's exit codes: 0 all passed, 1 some failed; anything else means that it did not come to its end.
    complete = in_time and process.returncode in (0, 1)
    failure = "" if complete else _failure(in_time, log)
    return NotebookRun(tuple(_cells(text)), complete, failure)


def _read_until(reader: int, deadline: float) -> tuple[bytes, bool]:
    """Read to the end of the pipe; False when time or size ran out first."""
    chunks: list[bytes] = []
    size = 0
    while True:
        ready, _, _ = select.select([reader], [], [], max(0.0, deadline - monotonic()))
        if not ready or size > _LARGEST_REPORT:
            return b"".join(chunks), False
        chunk = os.read(reader, _CHUNK)
        if not chunk:
            return b"".join(chunks), True
        chunks.append(chunk)
        size += len(chunk)


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _failure(in_time: bool, log: Path) -> str:
    if not in_time:
        return "the submission took too long"
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"nbval stopped: {lines[-1][:200] if lines else 'no message'}"


def _cells(text: bytes) -> list[CellRun]:
    found = []
    for line in text.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break  # the worker was killed in the middle of a line
        data = json.loads(line)
        found.append(
            CellRun(
                data["grade_id"], data["outcome"] == "passed", data["cause"], data["ename"], data["message"]
            )
        )
    return found
