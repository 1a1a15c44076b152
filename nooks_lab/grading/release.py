"""From an instructor's solution notebook to the exercise that students get."""

import copy
from pathlib import Path
from typing import Any

import nbformat

from nooks_lab.grading.metadata import NotebookError, Role, marks, read_notebook
from nooks_lab.grading.regions import (
    BEGIN_HIDDEN,
    BEGIN_SOLUTION,
    CODE_STUB,
    END_HIDDEN,
    END_SOLUTION,
    TEXT_STUB,
    replace_regions,
)

_SHOWN_ONLY_WITH_OUTPUT = ("collapsed", "scrolled", "execution")


def release(solution: Path, out: Path) -> Path:
    """Write the exercise of a solution notebook.

    Parameters
    ----------
    solution : Path
        The instructor's notebook.
    out : Path
        The folder for the exercise, which keeps the solution's file name; or, ending in ``.ipynb``, the file.

    Returns
    -------
    Path
        The exercise written.

    Raises
    ------
    NotebookError
        When the solution's metadata or markers are wrong, or the exercise would overwrite it.
    """
    target = out if out.suffix == ".ipynb" else out / solution.name
    if target.resolve() == solution.resolve():
        raise NotebookError(f"{solution.name}: the exercise would overwrite its solution")
    exercise = exercise_of(read_notebook(solution), solution.name)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(nbformat.writes(exercise) + "\n", encoding="utf-8")
    return target


def exercise_of(solution: Any, name: str) -> Any:
    """Return a copy of a solution notebook without solutions, hidden tests and outputs, with checksums.

    Raises
    ------
    NotebookError
        When the metadata or the markers are wrong.
    """
    exercise = copy.deepcopy(solution)
    for number, (cell, mark) in enumerate(zip(exercise.cells, marks(exercise, name), strict=True), 1):
        where = f"{name}, cell {number}"
        for key in _SHOWN_ONLY_WITH_OUTPUT:
            cell.metadata.pop(key, None)
        if cell.cell_type == "code":
            cell.outputs = []
            cell.execution_count = None
        stub = CODE_STUB if cell.cell_type == "code" else TEXT_STUB
        source, found = replace_regions(cell.source, BEGIN_SOLUTION, END_SOLUTION, stub, where)
        if mark is None or not mark.solution:
            if found:
                raise NotebookError(f"{where}: a solution stands in a cell that is not an answer")
        elif not found:
            source = "\n".join(stub)
        cell.source, hidden = replace_regions(source, BEGIN_HIDDEN, END_HIDDEN, (), where)
        if mark is None:
            if hidden:
                raise NotebookError(f"{where}: hidden tests stand in a cell that is not a test")
            continue
        cell.metadata["deletable"] = False
        if mark.role in (Role.TEST, Role.READ_ONLY):
            cell.metadata["editable"] = False
        cell.metadata["nbgrader"] = mark.to_metadata(cell.source)
    return exercise
