"""The reference: what the solution prints on a seed, and the notebook that a submission is run in.

A test cell holds one line ``seed = N``; the grader puts a secret number there, another one for each cell.
"""

import copy
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError

from nooks_lab.grading.metadata import CellMark, Role, marks, read_notebook
from nooks_lab.grading.regions import BEGIN_HIDDEN, END_HIDDEN, replace_regions

CHECK_TAG = "nbval-check-output"
_SEED_LINE = re.compile(r"^seed = \d+\b.*$", re.MULTILINE)
_NBVAL_TAGS = ("nbval-", "raises-exception")
_SECONDS = 120

QUIET = ["--log-level=ERROR"]
"""For a kernel on this machine, which warns on every start that its TCP is not encrypted."""


class UnusableReference(ValueError):  # noqa: N818 - the sentence is for the instructor
    """The instructor's own notebook cannot serve as a reference; the sentence names the cell."""


@dataclass(frozen=True)
class TestCell:
    """A graded test cell.

    Attributes
    ----------
    grade_id : str
    points : float
    hidden : bool
        Whether it holds hidden tests, so that nothing it prints may be shown to students.
    """

    __test__ = False  # pytest would take it for a test

    grade_id: str
    points: float
    hidden: bool


@dataclass(frozen=True)
class Reference:
    """A solution notebook executed on secret seeds; the expected outputs stand in its test cells."""

    name: str
    notebook: Any
    tests: tuple[TestCell, ...]
    answers: tuple[CellMark, ...]
    manual_points: float

    @property
    def max_score(self) -> float:
        """Points that the tests give; those of manually graded cells come later."""
        return sum(test.points for test in self.tests)

    def with_answers(self, sources: dict[str, str]) -> Any:
        """Return the notebook with a student's answers, and nothing else of theirs, in it.

        Parameters
        ----------
        sources : dict of str to str
            Source of each answer cell by grade_id; one that is missing becomes a cell that says so.
        """
        notebook = copy.deepcopy(self.notebook)
        own = {mark.grade_id for mark in self.answers}
        for cell in notebook.cells:
            grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
            if grade_id in own:
                cell.source = sources.get(grade_id, "raise NotImplementedError('the answer cell is missing')")
        return notebook


def make_reference(path: Path, seed: int) -> Reference:
    """Execute a solution notebook on secret seeds.

    Parameters
    ----------
    seed : int
        Every test cell's seed derives from it and the cell's grade_id.

    Raises
    ------
    NotebookError
        When the notebook or its metadata cannot be read.
    UnusableReference
        When a test cell has no seed line, fails, or prints nothing that could be compared.
    """
    notebook = read_notebook(path)
    found = marks(notebook, path.name)
    tests, answers = [], []
    manual_points = 0.0
    for cell, mark in zip(notebook.cells, found, strict=True):
        tags = [tag for tag in cell.metadata.get("tags", []) if not tag.startswith(_NBVAL_TAGS)]
        if mark is not None and mark.role is Role.TEST:
            _, hidden = replace_regions(
                cell.source, BEGIN_HIDDEN, END_HIDDEN, (), f"{path.name}, {mark.grade_id}"
            )
            cell.source = _with_seed(cell.source, seed, mark.grade_id, path.name)
            tags.append(CHECK_TAG)
            tests.append(TestCell(mark.grade_id, mark.points, hidden))
        elif mark is not None and mark.solution:
            answers.append(mark)
        if mark is not None and mark.role is Role.MANUAL:
            manual_points += mark.points
        cell.metadata["tags"] = tags
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    if not tests:
        raise UnusableReference(f"{path.name} has no test cells (grade and locked, not solution)")
    _execute(notebook, found, path.name)
    return Reference(path.stem, notebook, tuple(tests), tuple(answers), manual_points)


def _with_seed(source: str, secret: int, grade_id: str, name: str) -> str:
    seed = int.from_bytes(hashlib.sha256(f"{secret}:{grade_id}".encode()).digest()[:6])
    changed, count = _SEED_LINE.subn(f"seed = {seed}", source)
    if count != 1:
        raise UnusableReference(
            f"{name}: test cell {grade_id} has {count} lines 'seed = N', and must have one"
        )
    return changed


def _execute(notebook: Any, found: list[CellMark | None], name: str) -> None:
    """Run every cell and keep, of the test cells, the standard output alone.

    Warnings of the day go to standard error and must cost nobody marks, so they are no part of a reference.
    """
    client = NotebookClient(
        notebook, timeout=_SECONDS, kernel_name="python3", allow_errors=True, extra_arguments=QUIET
    )
    try:
        client.execute()
    except (CellTimeoutError, DeadKernelError) as error:
        raise UnusableReference(
            f"{name}: the solution does not run to its end ({type(error).__name__})"
        ) from error
    for cell, mark in zip(notebook.cells, found, strict=True):
        if cell.cell_type != "code":
            continue
        label = mark.grade_id if mark is not None else cell.source.partition("\n")[0]
        for output in cell.outputs:
            if output.output_type == "error":
                raise UnusableReference(
                    f"{name}: cell {label!r} of the solution fails: {output.ename}: {output.evalue}"
                )
        if mark is not None and mark.role is Role.TEST:
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            if not cell.outputs:
                raise UnusableReference(
                    f"{name}: test cell {label} prints nothing, so there is nothing to compare"
                )
        else:
            cell.outputs, cell.execution_count = [], None


def notebook_text(notebook: Any) -> str:
    """Return a notebook as the text of its file."""
    return str(nbformat.writes(notebook))
