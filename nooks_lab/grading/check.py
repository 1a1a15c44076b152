"""A student's own check: the visible tests of a notebook, run as they stand."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError

from nooks_lab.grading.metadata import NotebookError, Role, marks, read_notebook
from nooks_lab.grading.reference import QUIET

CELL_SECONDS = 60


@dataclass(frozen=True)
class CheckedCell:
    """One test cell of the check.

    Attributes
    ----------
    grade_id : str
    points : float
        What the cell is worth.
    passed : bool
    message : str
        What went wrong; empty when nothing did.
    """

    grade_id: str
    points: float
    passed: bool
    message: str


@dataclass(frozen=True)
class CheckReport:
    """The outcome of a check.

    Attributes
    ----------
    cells : tuple of CheckedCell
    broken : tuple of CheckedCell
        Other cells that failed, which often is why a test did.
    manual_points : float
        Points that a reader gives.
    """

    cells: tuple[CheckedCell, ...]
    broken: tuple[CheckedCell, ...]
    manual_points: float

    @property
    def ok(self) -> bool:
        """Whether every test passed and no other cell failed."""
        return not self.broken and all(cell.passed for cell in self.cells)

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {"ok": self.ok, **asdict(self)}

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        for cell in self.broken:
            yield f"FAILED  {cell.grade_id} (no test, but it must run)\n{_indented(cell.message)}"
        for cell in self.cells:
            yield f"{'passed' if cell.passed else 'FAILED'}  {cell.grade_id} ({cell.points:g} points)"
            if cell.message:
                yield _indented(cell.message)
        got = sum(cell.points for cell in self.cells if cell.passed)
        yield f"{got:g} of {sum(cell.points for cell in self.cells):g} points on the seeds in this notebook."
        yield "Grading takes other seeds and may have hidden tests, so these points are no promise."
        if self.manual_points:
            yield f"{self.manual_points:g} more points are given by a reader."


def check(notebook: Path, *, cell_seconds: int = CELL_SECONDS) -> CheckReport:
    """Run a notebook from top to bottom in a fresh kernel and say which tests pass.

    Parameters
    ----------
    notebook : Path
        The student's notebook; it is not changed.
    cell_seconds : int
        Wall time that a cell may take.

    Raises
    ------
    NotebookError
        When it cannot be read, its cells' metadata are damaged, or it has no tests.
    """
    node = read_notebook(notebook)
    found = marks(node, notebook.name)
    if not any(mark is not None and mark.role is Role.TEST for mark in found):
        raise NotebookError(f"{notebook.name} has no test cells, so there is nothing to check")
    messages = _run(node, notebook.parent, cell_seconds)
    cells, broken = [], []
    manual_points = 0.0
    for number, (mark, message) in enumerate(zip(found, messages, strict=True), 1):
        label = mark.grade_id if mark is not None else f"cell {number}"
        points = mark.points if mark is not None else 0.0
        if mark is not None and mark.role is Role.TEST:
            cells.append(CheckedCell(label, points, message == "", message))
            continue
        if mark is not None and mark.role is Role.MANUAL:
            manual_points += points
        if message:
            broken.append(CheckedCell(label, points, False, message))
    return CheckReport(tuple(cells), tuple(broken), manual_points)


def _run(notebook: Any, folder: Path, cell_seconds: int) -> list[str]:
    """Run every code cell; return for each cell what went wrong, or an empty string."""
    messages = ["" for _ in notebook.cells]
    codes = [index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    client = NotebookClient(
        notebook,
        timeout=cell_seconds,
        kernel_name="python3",
        allow_errors=True,
        extra_arguments=QUIET,
        resources={"metadata": {"path": str(folder.resolve())}},
    )
    with client.setup_kernel():
        for place, index in enumerate(codes):
            cell = notebook.cells[index]
            try:
                client.execute_cell(cell, index)
            except CellTimeoutError:
                messages[index] = f"ran longer than {cell_seconds} seconds: an endless loop?"
            except DeadKernelError:
                messages[index] = "the kernel died in this cell"
            if messages[index]:
                for later in codes[place + 1 :]:
                    messages[later] = "not reached"
                break
            errors = [output for output in cell.outputs if output.output_type == "error"]
            messages[index] = "\n".join(f"{error.ename}: {error.evalue}" for error in errors)
    return messages


def _indented(text: str) -> str:
    return "\n".join(f"        {line}" for line in text.splitlines())
