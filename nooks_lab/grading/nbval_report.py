"""A pytest plugin for nbval: one JSON line for each marked cell, through a pipe that only the grader reads.

Loaded with ``-p nooks_lab.grading.nbval_report``; the pipe's number stands in ``NOOKS_LAB_REPORT_FD``.
Cells are told apart by the grade_id in their metadata, never by nbval's numbers.
"""

import ctypes
import json
import os
import resource
import sys
from collections.abc import Generator
from queue import Empty
from time import monotonic
from typing import Any

import pytest

REPORT_FD = "NOOKS_LAB_REPORT_FD"

_PR_SET_DUMPABLE = 4
_POLL_SECONDS = 0.5
_LONGEST_MESSAGE = 4000
_LONGEST_WAIT = 3600.0
_WORKER_MEMORY = 3 << 30


class KernelDied(RuntimeError):  # noqa: N818 - an event of the submission
    """The student's kernel ended in the middle of a cell."""


def pytest_configure() -> None:
    """Forbid other processes of the user to read this one's memory, and limit it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    # Soft only, so that the kernel, a child, can set its own; what a student prints is kept here.
    resource.setrlimit(resource.RLIMIT_AS, (_WORKER_MEMORY, hard))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Remove the notebook, which nbval has read by now: the kernel that starts next must not find it."""
    for path in {item.path for item in session.items}:
        path.unlink(missing_ok=True)


@pytest.hookimpl(trylast=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let nbval notice a dead kernel at once, and let it not compare standard error."""
    file: Any = item.parent
    if "stderr" not in file.skip_compare:
        file.skip_compare = (*file.skip_compare, "stderr")
        _watch_kernel(file.kernel)


def _watch_kernel(kernel: Any) -> None:
    """Replace nbval's wait for a message, which outlasts the kernel by the whole time-out."""
    wait = kernel.get_message

    def get_message(stream: str, timeout: float | None = None) -> Any:
        deadline = monotonic() + (_LONGEST_WAIT if timeout is None else timeout)
        while True:
            left = deadline - monotonic()
            try:
                return wait(stream, timeout=max(0.0, min(left, _POLL_SECONDS)))
            except Empty:
                if not kernel.is_alive():
                    raise KernelDied("the kernel died") from None
                if left <= _POLL_SECONDS:
                    raise

    kernel.get_message = get_message


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Report a cell's outcome."""
    report = yield
    if call.when == "call" or (call.when == "setup" and report.outcome != "passed"):
        _send(_describe(item, call, report))
    return report


def _describe(item: pytest.Item, call: pytest.CallInfo[None], report: Any) -> dict[str, str]:
    cell: Any = getattr(item, "cell")  # noqa: B009 - nbval's item, which has no types
    outputs = getattr(item, "test_outputs", None) or ()
    error = next((output for output in outputs if output.output_type == "error"), None)
    message = str(call.excinfo.value) if call.excinfo is not None else ""
    return {
        "grade_id": str(cell.metadata.get("nbgrader", {}).get("grade_id", "")),
        # nbval marks all that follows a time-out as an expected failure; what passes all the same has passed.
        "outcome": "passed" if report.outcome == "passed" else "failed",
        "cause": "setup" if call.when == "setup" else _cause(call.excinfo, message),
        "ename": str(error.ename)[:100] if error is not None else "",
        "message": (str(error.evalue) if error is not None else message)[:_LONGEST_MESSAGE],
    }


def _cause(excinfo: pytest.ExceptionInfo[BaseException] | None, message: str) -> str:
    if excinfo is None:
        return ""
    if isinstance(excinfo.value, KernelDied):
        return "died"
    if message.startswith("Kernel dead"):
        return "dead"
    return "timeout" if message.startswith("Timeout") else "wrong"


def _send(line: dict[str, str]) -> None:
    os.write(int(os.environ[REPORT_FD]), (json.dumps(line) + "\n").encode())
