"""The result of grading a class: rows, nbgrader's CSV, Gradescope's ``results.json``."""

import csv
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

GRADED = "graded"

_CSV_COLUMNS = (
    "assignment",
    "duedate",
    "timestamp",
    "student_id",
    "last_name",
    "first_name",
    "email",
    "raw_score",
    "late_submission_penalty",
    "score",
    "max_score",
)


@dataclass(frozen=True)
class CellGrade:
    """What one test cell gave.

    Attributes
    ----------
    grade_id : str
    score, max_score : float
    output : str
        What the student may read about it; nothing of hidden tests.
    """

    grade_id: str
    score: float
    max_score: float
    output: str


@dataclass(frozen=True)
class Row:
    """One submission.

    Attributes
    ----------
    student, assignment, notebook : str
    score, max_score : float
        Points of the tests.
    status : str
        ``graded`` when every cell ran to an answer; else what happened, in a word.
    reason : str
        Why points are missing, in a sentence; empty when none are.
    manual_points : float
        Points that wait for a reader.
    cells : tuple of CellGrade
    """

    student: str
    score: float
    max_score: float
    status: str
    reason: str
    assignment: str = ""
    notebook: str = ""
    manual_points: float = 0.0
    cells: tuple[CellGrade, ...] = ()


@dataclass(frozen=True)
class GradeReport:
    """A graded class.

    Attributes
    ----------
    rows : tuple of Row
    seed : int
        The secret seed; with it the same grading can be done again.
    notice : str
        What the instructor must know about the sandbox; empty when nothing.
    """

    rows: tuple[Row, ...]
    seed: int
    notice: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "submissions": len(self.rows),
            "graded": sum(row.status == GRADED for row in self.rows),
            "rows": [asdict(row) for row in self.rows],
            "seed": self.seed,
            "notice": self.notice,
        }

    def write(self, out: Path) -> None:
        """Write ``grades.json``, ``grades.csv`` and each student's ``results.json`` into a folder."""
        out.mkdir(parents=True, exist_ok=True)
        (out / "grades.json").write_text(json.dumps(self.to_json(), indent=2) + "\n", encoding="utf-8")
        with (out / "grades.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, _CSV_COLUMNS, restval="")
            writer.writeheader()
            writer.writerows(_csv_row(row) for row in self.rows)
        by_student: dict[str, list[Row]] = {}
        for row in self.rows:
            by_student.setdefault(row.student, []).append(row)
        for student, rows in by_student.items():
            (out / student).mkdir(exist_ok=True)
            text = json.dumps(gradescope_results(rows), indent=2)
            (out / student / "results.json").write_text(text + "\n", encoding="utf-8")


def _csv_row(row: Row) -> dict[str, object]:
    return {
        "assignment": row.assignment or row.notebook,
        "student_id": row.student,
        "raw_score": row.score,
        "late_submission_penalty": 0.0,
        "score": row.score,
        "max_score": row.max_score,
    }


def gradescope_results(rows: Iterable[Row]) -> dict[str, Any]:
    """Return one student's rows in Gradescope's format."""
    rows = list(rows)
    tests = [
        {
            "name": f"{row.notebook}: {cell.grade_id}" if len(rows) > 1 else cell.grade_id,
            "score": cell.score,
            "max_score": cell.max_score,
            "visibility": "visible",
            "output": cell.output,
            "status": "passed" if cell.score == cell.max_score else "failed",
        }
        for row in rows
        for cell in row.cells
    ]
    return {
        "score": sum(row.score for row in rows),
        "output": "\n".join(f"{row.status}: {row.reason}" if row.reason else row.status for row in rows),
        "tests": tests,
    }
