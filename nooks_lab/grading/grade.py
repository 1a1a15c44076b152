"""Grading a class: the verdict is given by nbval, outside the student's process.

The instructor's notebook is taken; the student's answer cells, and nothing else of theirs, go into it; each
test cell gets a secret seed; the expected outputs come from the reference solution on the same seed; nbval
compares.  What a student's code patches or writes does not matter: to print the right output it has to be
right.  What the sandbox holds and what it does not, :mod:`~nooks_lab.grading.sandbox` says.
"""

import io
import secrets
import tokenize
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nooks_lab.grading.grade_report import GRADED, CellGrade, GradeReport, Row
from nooks_lab.grading.metadata import NotebookError, marks, read_notebook
from nooks_lab.grading.nbval_run import CellRun, NotebookRun, run_nbval
from nooks_lab.grading.problems.facts import NotWrittenYet
from nooks_lab.grading.reference import Reference, TestCell, make_reference
from nooks_lab.grading.sandbox import DEFAULT_LIMITS, Limits, Sandbox, best_sandbox
from nooks_lab.grading.submissions import (
    BadSubmission,
    Submission,
    answers_of,
    find_submissions,
    read_cells,
)

SOLUTIONS = Path("solutions")

_LONGEST_REASON = 300
_HIDDEN = "not right on the grader's seed (this cell holds hidden tests)"


class Grader:
    """Grades submissions against a folder of solutions.

    Parameters
    ----------
    solutions : Path
        Folder of the instructor's notebooks, or one of them.
    seed : int
        The secret seed.
    sandbox : Sandbox, optional
        Where submissions run; the best one of this machine when not given.
    limits : Limits
        What each submission may take.
    """

    def __init__(
        self, solutions: Path, seed: int, *, sandbox: Sandbox | None = None, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        paths = [solutions] if solutions.suffix == ".ipynb" else sorted(solutions.glob("*.ipynb"))
        if not paths:
            raise NotebookError(f"{solutions} holds no solution notebooks")
        self.seed, self.limits = seed, limits
        self.sandbox = sandbox or best_sandbox()
        self._paths = {path.stem: path for path in paths}
        self._ids = {path.stem: _grade_ids(path) for path in paths}
        self._references: dict[str, Reference] = {}

    def grade(
        self, submissions: Sequence[Submission], *, jobs: int, progress: Callable[[str], None]
    ) -> GradeReport:
        """Grade submissions, ``jobs`` at a time, and report each as it is done.

        Raises
        ------
        NotebookError, UnusableReference
            When an instructor's notebook cannot serve; whatever a submission does only costs that submission.
        """
        if self.sandbox.notice:
            progress(f"NOTICE: {self.sandbox.notice}")
        for name in sorted({name for name in map(self._notebook_of, submissions) if name}):
            progress(f"running the reference {name}")
            self._references[name] = make_reference(self._paths[name], self.seed)
        rows = []
        with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
            for number, row in enumerate(pool.map(self._row, submissions), 1):
                rows.append(row)
                score = f"{row.score:g}/{row.max_score:g} {row.status}"
                reason = f" ({row.reason})" if row.reason else ""
                progress(f"[{number}/{len(submissions)}] {row.student}: {score}{reason}")
        return GradeReport(tuple(rows), self.seed, self.sandbox.notice)

    def _notebook_of(self, submission: Submission) -> str | None:
        """Return the name of the notebook that a submission answers, from its file or its cells."""
        if submission.path is not None and submission.path.stem in self._paths:
            return submission.path.stem
        if submission.assignment in self._paths:
            return submission.assignment
        if len(self._paths) == 1:
            return next(iter(self._paths))
        try:
            ids = {grade_id for grade_id, _ in read_cells(submission.path)} if submission.path else set()
        except BadSubmission:
            return None
        return max(
            (name for name in self._ids if ids & self._ids[name]),
            key=lambda n: len(ids & self._ids[n]),
            default=None,
        )

    def _row(self, submission: Submission) -> Row:
        name = self._notebook_of(submission)
        if name is None:
            return Row(
                submission.student, 0.0, 0.0, *_unmatched(submission), assignment=submission.assignment
            )
        reference = self._references[name]
        try:
            status, reason, cells = self._judge(submission, reference)
        except BadSubmission as bad:
            status, reason, cells = bad.status, bad.reason, _nothing(reference, bad.reason)
        return Row(
            submission.student,
            sum(cell.score for cell in cells),
            reference.max_score,
            status,
            reason,
            assignment=submission.assignment,
            notebook=name,
            manual_points=reference.manual_points,
            cells=cells,
        )

    def _judge(self, submission: Submission, reference: Reference) -> tuple[str, str, tuple[CellGrade, ...]]:
        if submission.path is None:
            raise BadSubmission("missing", "there is no notebook in the student's folder")
        answers, missing = answers_of(read_cells(submission.path), reference.answers)
        if len(missing) == len(reference.answers):
            raise BadSubmission(
                "missing-cell", f"none of the answer cells of {reference.name} is in the notebook"
            )
        _refuse_names(answers, reference.notebook.metadata.get("nooks_lab", {}).get("refused_names", ()))
        run = run_nbval(reference.with_answers(answers), self.sandbox, self.limits)
        cells = tuple(_cell_grade(test, run) for test in reference.tests)
        status, reason = _verdict(run, cells)
        if missing:
            text = f"missing answer cells: {', '.join(missing)}"
            return "missing-cell", "; ".join(part for part in (text, reason) if part)[:_LONGEST_REASON], cells
        return status, reason, cells


def grade(
    folder: Path,
    out: Path,
    *,
    seed: int | None,
    jobs: int,
    progress: Callable[[str], None],
    solutions: Path = SOLUTIONS,
) -> GradeReport:
    """Grade every submission in a folder and write the results.

    Parameters
    ----------
    folder : Path
        ``{student_id}/{assignment_id}/{notebook_id}.ipynb``, or a flat folder of ``{student_id}.ipynb``.
    out : Path
        Folder for ``grades.json``, ``grades.csv`` and ``{student_id}/results.json``.
    seed : int, optional
        The secret seed; a random one when not given.
    jobs : int
        Submissions at a time.
    progress : callable
        Called with a line for each step.
    solutions : Path
        Folder of the solution notebooks, or one of them.

    Raises
    ------
    NotebookError, UnusableReference
        When the folder, or an instructor's notebook, cannot be used.
    """
    submissions = find_submissions(folder)
    grader = Grader(solutions, secrets.randbits(64) if seed is None else seed)
    report = grader.grade(submissions, jobs=jobs, progress=progress)
    report.write(out)
    return report


def _grade_ids(path: Path) -> set[str]:
    return {mark.grade_id for mark in marks(read_notebook(path), path.name) if mark is not None}


def _unmatched(submission: Submission) -> tuple[str, str]:
    if submission.path is None:
        return "missing", "there is no notebook in the student's folder"
    try:
        read_cells(submission.path)
    except BadSubmission as bad:
        return bad.status, bad.reason
    return "unknown", f"{submission.path.name} answers none of the solution notebooks"


def _refuse_names(answers: dict[str, str], names: Sequence[str]) -> None:
    """Refuse answers that name the built-in part which they were to write.

    This catches the plain import, no more; a copied answer is for a reader to find.
    """
    for grade_id, source in answers.items():
        used = set(_names_in(source)) & set(names)
        if used:
            raise BadSubmission("refused", f"answer cell {grade_id} uses {min(used)}, the built-in part")


def _names_in(source: str) -> Iterator[str]:
    """Yield the names in a cell's code, up to where it stops being Python.

    By tokens and not by ``ast``, whose depth counter CPython 3.11 shares between threads.
    """
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.NAME:
                yield token.string
    except (tokenize.TokenError, SyntaxError):
        return


def _cell_grade(test: TestCell, run: NotebookRun) -> CellGrade:
    found = [cell for cell in run.cells if cell.grade_id == test.grade_id]
    passed = len(found) == 1 and found[0].passed
    if passed:
        output = "right on the grader's seed"
    elif not found:
        output = "not reached"
    else:
        output = _explain(found[0], test.hidden)
    return CellGrade(test.grade_id, test.points if passed else 0.0, test.points, output)


def _explain(cell: CellRun, hidden: bool) -> str:
    """Say what went wrong in a cell; its own words only where it holds no hidden tests."""
    if cell.cause == "timeout":
        return "ran longer than a cell may"
    if cell.cause == "died":
        return "the kernel died in this cell (it exited, crashed, or met a resource limit)"
    if cell.cause == "dead":
        return "not reached: the kernel had died"
    if cell.ename in ("NotImplementedError", NotWrittenYet.__name__):
        return "not written yet"
    if hidden:
        return _HIDDEN
    if cell.ename:
        return f"{cell.ename}: {_printable(cell.message)}"
    return "it ran, and what it printed differs from the reference on the grader's seed"


def _printable(text: str) -> str:
    return "".join(char for char in text if char.isprintable() or char == "\n")


def _verdict(run: NotebookRun, cells: Sequence[CellGrade]) -> tuple[str, str]:
    """Return status and reason of a run; the first accident names it."""
    for cell in run.cells:
        label = cell.grade_id or "a cell of the notebook"
        if cell.cause == "setup":
            return "error", f"the sandboxed kernel did not start: {_printable(cell.message)[:200]}"
        if cell.cause == "timeout":
            return "timeout", f"{label} ran longer than a cell may"
        if cell.ename == "MemoryError":
            return "memory", f"{label} asked for more memory than a submission may have"
        if cell.cause in ("died", "dead"):
            return "died", f"the kernel died in {label} (it exited, crashed, or met a resource limit)"
    if not run.complete:
        return ("timeout" if "too long" in run.failure else "error"), run.failure
    lost = [
        f"{cell.grade_id}: {cell.output.splitlines()[0]}" for cell in cells if cell.score < cell.max_score
    ]
    return GRADED, "; ".join(lost)[:_LONGEST_REASON]


def _nothing(reference: Reference, reason: str) -> tuple[CellGrade, ...]:
    return tuple(CellGrade(test.grade_id, 0.0, test.points, reason) for test in reference.tests)
