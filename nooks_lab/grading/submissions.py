"""Submissions on disk: found, and read with suspicion."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nooks_lab.grading.metadata import CellMark, NotebookError, read_raw_notebook


class BadSubmission(Exception):  # noqa: N818 - an event in the class, not an error of ours
    """A submission that cannot be graded.

    Parameters
    ----------
    status : str
        One word for the row.
    reason : str
        One sentence for the row.
    """

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass(frozen=True)
class Submission:
    """One notebook that was handed in, or the folder where one should have been.

    Attributes
    ----------
    student, assignment : str
        From the folders' names.
    path : Path
        The notebook; None when the student handed in none.
    """

    student: str
    assignment: str
    path: Path | None


def find_submissions(folder: Path) -> list[Submission]:
    """Return what stands in a class folder, by student.

    Two layouts: nbgrader's ``{student_id}/{assignment_id}/{notebook_id}.ipynb``, and a flat folder of
    ``{student_id}.ipynb``.  A student's folder without any notebook counts as a submission too.

    Raises
    ------
    NotebookError
        When the folder is missing, or nothing in it looks like a submission.
    """
    if not folder.is_dir():
        raise NotebookError(f"{folder} is not a folder")
    found = [Submission(path.stem, "", path) for path in sorted(folder.glob("*.ipynb")) if path.is_file()]
    for student in sorted(
        path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
    ):
        own = sorted(path for path in student.glob("*/*.ipynb") if not path.parent.name.startswith("."))
        found += [Submission(student.name, path.parent.name, path) for path in own]
        if not own:
            found.append(Submission(student.name, "", None))
    if not found:
        raise NotebookError(
            f"{folder} holds no notebooks: neither STUDENT/ASSIGNMENT/NOTEBOOK.ipynb nor *.ipynb"
        )
    return found


def read_cells(path: Path) -> list[tuple[str, str]]:
    """Return grade_id and source of every marked cell of a student's notebook, in order.

    Raises
    ------
    BadSubmission
        When the file is no notebook.
    """
    try:
        raw = read_raw_notebook(path)
    except NotebookError as error:
        raise BadSubmission("unreadable", str(error)) from error
    cells = []
    for cell in raw["cells"]:
        metadata = cell.get("metadata")
        mark = metadata.get("nbgrader") if isinstance(metadata, Mapping) else None
        grade_id = mark.get("grade_id") if isinstance(mark, Mapping) else None
        source = cell.get("source", "")
        if isinstance(source, list) and all(isinstance(line, str) for line in source):
            source = "".join(source)
        if isinstance(grade_id, str) and isinstance(source, str):
            cells.append((grade_id, source))
    return cells


def answers_of(
    cells: list[tuple[str, str]], wanted: tuple[CellMark, ...]
) -> tuple[dict[str, str], list[str]]:
    """Return the answers by grade_id, and the grade_ids that are missing.

    Raises
    ------
    BadSubmission
        When two cells claim to be the same answer and differ: which one is meant cannot be known.
    """
    ids = {mark.grade_id for mark in wanted}
    answers: dict[str, str] = {}
    for grade_id, source in cells:
        if grade_id not in ids:
            continue
        if answers.setdefault(grade_id, source) != source:
            count = sum(other == grade_id for other, _ in cells)
            raise BadSubmission(
                "duplicate-cell",
                f"grade_id {grade_id} stands on {count} cells that differ; keep the one that is meant",
            )
    return answers, [mark.grade_id for mark in wanted if mark.grade_id not in answers]
