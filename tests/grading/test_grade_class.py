"""Whole classes, graded once each and looked at by many tests."""

import csv
import json

import nbformat
import pytest
from small_exercise import EXERCISE, SOLUTION, hand_in, small_solution, submission

from nooks_lab.grading.grade import Grader, _names_in, grade
from nooks_lab.grading.metadata import NotebookError, read_notebook
from nooks_lab.grading.reference import UnusableReference, make_reference
from nooks_lab.grading.sandbox import Bubblewrap, Limits, LimitsOnly, best_sandbox
from nooks_lab.grading.submissions import find_submissions

RIGHT = {"square": "def square(n):\n    return n * n", "cube": "def cube(n):\n    return n**3"}

SHADOW = "class float:\n    def __eq__(self, other): return True\nsquare = lambda n: float()"
FAKE_OUTPUT = """\
import builtins
builtins.print = lambda *words: __import__("sys").stdout.write(PUBLIC.pop(0))
square = lambda n: None
"""
PATCH_NBVAL = """\
import nbformat, nbval.plugin, nooks_lab.grading.grade as g
nbval.plugin.IPyNbCell.compare_outputs = lambda *a, **k: True
nbval.plugin.IPyNbCell.runtest = lambda self: None
nbformat.reads = nbformat.read = lambda *a, **k: None
g._verdict = lambda *a: ("graded", "")
square = lambda n: 0
"""
FIND_REFERENCE = """\
import glob, os
square = lambda n: 0
for pattern in ("/tmp/**/*.ipynb", "/var/tmp/**/*.ipynb", f"/proc/{os.getppid()}/fd/*", SOLUTION):
    for path in glob.glob(pattern, recursive=True):
        try:
            text = open(path).read()
        except (OSError, UnicodeDecodeError):
            continue
        if "n * n" in text:
            square = lambda n: n * n
"""
FORGE_MESSAGES = """\
from IPython import get_ipython
kernel = get_ipython().kernel
def square(n):
    kernel.send_response(kernel.iopub_socket, "status", {"execution_state": "idle"})
    return 0
"""
EVERYTHING_ELSE_CHANGED = {
    "test-square": "print('all right')",
    "test-cube": "# NBVAL_SKIP",
    "square": "# NBVAL_IGNORE_OUTPUT\ndef square(n):\n    return -1",
}


def hostile(solution):
    public = [f"{line}\n" for line in reference_lines(seed=1)]
    return {
        "right": RIGHT,
        "warns": RIGHT
        | {"square": "import warnings\ndef square(n):\n    warnings.warn('old')\n    return n * n"},
        "half": {"square": RIGHT["square"]},
        "shadow": {"square": SHADOW},
        "fake": {"square": f"PUBLIC = {public!r}\n{FAKE_OUTPUT}"},
        "patch": {"square": PATCH_NBVAL},
        "find": {"square": f"SOLUTION = {str(solution)!r}\n{FIND_REFERENCE}"},
        "forge": {"square": FORGE_MESSAGES},
        "changed": EVERYTHING_ELSE_CHANGED,
        "exit": RIGHT | {"cube": "import os; os._exit(0)"},
        "killer": RIGHT | {"cube": "import os, signal; os.kill(-1, signal.SIGKILL)"},
        "loop": RIGHT | {"cube": "while True: pass"},
        "hog": RIGHT | {"cube": "hog = bytearray(3 << 30)"},
        "syntax": RIGHT | {"cube": "def cube(n) return n"},
    }


def reference_lines(seed):
    import random

    rng = random.Random(seed)
    return [f"{n} {n * n}" for n in (rng.randrange(1000) for _ in range(5))]


@pytest.fixture(scope="module")
def graded(tmp_path_factory, solutions):
    folder, out = tmp_path_factory.mktemp("class"), tmp_path_factory.mktemp("out")
    solution = solutions / "powers.ipynb"
    students = hostile(solution)
    if not isinstance(best_sandbox(), Bubblewrap):
        del students["killer"]  # without a sandbox it would end these tests
    for student, answers in students.items():
        hand_in(folder, student, submission(answers))
    hand_in(folder, "broken", '{"cells": [')
    hand_in(folder, "list", "[]")
    twice = submission(RIGHT)
    twice.cells.append(nbformat.from_dict(twice.cells[1] | {"source": "square = abs", "id": "again"}))
    hand_in(folder, "twice", twice)
    lacking = submission(RIGHT)
    lacking.cells = [cell for cell in lacking.cells if cell.id != "square"]
    hand_in(folder, "lacking", lacking)
    hand_in(folder, "refused", submission({"square": "from powers import built_in_square as square"}))
    (folder / "absent").mkdir()
    lines = []
    grader = Grader(solution, 12345, limits=Limits(cell_seconds=12, submission_seconds=90))
    report = grader.grade(find_submissions(folder), jobs=2, progress=lines.append)
    report.write(out)
    return {row.student: row for row in report.rows}, report, out, lines


def test_each_submission_has_its_row_and_progress(graded):
    rows, report, _, lines = graded
    data = report.to_json()
    assert data["submissions"] == len(rows) == len(report.rows)
    assert data["graded"] == sum(row.status == "graded" for row in report.rows)
    assert sum(line.startswith("[") for line in lines) == len(rows)
    assert all("\n" not in line for line in lines)


def test_right_answers_get_full_marks_and_a_warning_costs_nothing(graded):
    rows = graded[0]
    for student in ("right", "warns"):
        assert (rows[student].score, rows[student].max_score, rows[student].reason) == (5, 5, "")
    assert rows["right"].manual_points == 1


def test_half_the_answers_get_half_the_marks_and_a_reason(graded):
    row = graded[0]["half"]
    assert (row.score, row.status) == (2, "graded")
    assert row.reason == "test-cube: not written yet"


@pytest.mark.parametrize("student", ["shadow", "fake", "patch", "forge", "changed"])
def test_a_forged_verdict_earns_nothing(graded, student):
    row = graded[0][student]
    assert (row.score, row.status) == (0, "graded"), row.reason


def test_the_reference_cannot_be_found_from_the_kernel(graded):
    rows, report, _, _ = graded
    if report.notice:
        assert "bubblewrap is missing" in report.notice
    else:
        assert rows["find"].score == 0


@pytest.mark.parametrize(
    ("student", "status", "score", "words"),
    [
        ("exit", "died", 2, "the kernel died in cube"),
        ("loop", "timeout", 2, "cube ran longer"),
        ("hog", "memory", 2, "cube asked for more memory"),
        ("syntax", "graded", 2, "test-cube"),
        ("broken", "unreadable", 0, "powers.ipynb is not JSON"),
        ("list", "unreadable", 0, "is JSON but not a notebook"),
        ("twice", "duplicate-cell", 0, "grade_id square stands on 2 cells"),
        ("lacking", "missing-cell", 3, "missing answer cells: square"),
        ("refused", "refused", 0, "uses built_in_square"),
        ("absent", "missing", 0, "no notebook"),
    ],
)
def test_a_bad_submission_costs_only_itself(graded, student, status, score, words):
    row = graded[0][student]
    assert (row.status, row.score) == (status, score), row.reason
    assert words in row.reason


def test_a_student_cannot_kill_the_comparing_process(graded):
    rows, report, _, _ = graded
    # It kills all that it sees, and lives on without a cube.
    if not report.notice:
        assert (rows["killer"].status, rows["killer"].score) == ("graded", 2)


def test_the_files_are_in_nbgraders_and_gradescopes_form(graded):
    rows, report, out, _ = graded
    with (out / "grades.csv").open() as file:
        table = list(csv.DictReader(file))
    assert list(table[0])[:4] == ["assignment", "duedate", "timestamp", "student_id"]
    assert {row["student_id"]: float(row["score"]) for row in table} == {
        name: row.score for name, row in rows.items()
    }
    results = json.loads((out / "half" / "results.json").read_text())
    assert [(test["name"], test["score"], test["status"]) for test in results["tests"]] == [
        ("test-square", 2, "passed"),
        ("test-cube", 0, "failed"),
    ]
    assert json.loads((out / "grades.json").read_text())["rows"][0]["student"] == report.rows[0].student


def test_hidden_tests_leak_into_nothing(graded):
    assert not any("veiled" in path.read_text() for path in graded[2].rglob("*.*"))


def test_without_bubblewrap_there_is_a_loud_notice_and_the_notebook_is_gone(tmp_path, solutions):
    peek = FIND_REFERENCE.replace(', f"/proc/{os.getppid()}/fd/*", SOLUTION', f', "{tmp_path}/none"')
    # pytest's own folders hold the solution, and are not the worker's.
    peek = peek.replace("/tmp/**/*.ipynb", "/tmp/nooks-lab-grade-*/**/*.ipynb")
    hand_in(tmp_path, "peek", submission({"square": peek}))
    lines = []
    grader = Grader(solutions, 5, sandbox=LimitsOnly(), limits=Limits(cell_seconds=20))
    report = grader.grade(find_submissions(tmp_path), jobs=1, progress=lines.append)
    assert lines[0].startswith("NOTICE: bubblewrap is missing")
    assert (report.rows[0].score, report.rows[0].status) == (0, "graded")


def test_the_page_walk_exercise(tmp_path):
    solution, exercise = read_notebook(SOLUTION), read_notebook(EXERCISE)
    first_steps = {
        cell.metadata.nbgrader.grade_id: cell.source
        for cell in solution.cells
        if cell.metadata.get("nbgrader", {}).get("grade_id") in ("indices", "translate-read")
    }
    cheat = {"walk": "from nooks_lab.machine.paging import PageWalker as MyWalker"}
    for student, notebook in {
        "full": solution,
        "half": submission(first_steps, exercise),
        "empty": exercise,
        "cheat": submission(cheat, exercise),
    }.items():
        hand_in(tmp_path / "class", student, notebook, "unit-2", "02-page-walk")
    report = grade(
        tmp_path / "class",
        tmp_path / "out",
        seed=None,
        jobs=2,
        progress=lambda line: None,
        solutions=SOLUTION,
    )
    found = {row.student: (row.score, row.max_score, row.status) for row in report.rows}
    assert found == {
        "full": (35, 35, "graded"),
        "half": (9, 35, "graded"),
        "empty": (0, 35, "graded"),
        "cheat": (0, 35, "refused"),
    }
    empty = next(row for row in report.rows if row.student == "empty")
    assert {cell.output for cell in empty.cells} == {"not written yet"}


def test_an_answer_is_refused_for_a_name_and_not_for_a_comment():
    names = set(_names_in("x = 1  # unlike PageWalker\ny = m.PageWalker\ndef broken(:\n  '"))
    assert names == {"x", "y", "m", "PageWalker", "def", "broken"}
    assert "PageWalker" not in set(_names_in("x = 1  # unlike PageWalker"))


def test_a_flat_folder_is_a_class_too(tmp_path):
    for student in ("ann", "ben"):
        (tmp_path / f"{student}.ipynb").write_text("{}")
    assert [(found.student, found.assignment) for found in find_submissions(tmp_path)] == [
        ("ann", ""),
        ("ben", ""),
    ]


def test_a_folder_without_submissions_is_one_sentence(tmp_path):
    with pytest.raises(NotebookError, match="holds no notebooks"):
        find_submissions(tmp_path)


def test_a_test_cell_without_a_seed_is_no_reference(tmp_path):
    notebook = small_solution()
    notebook.cells[2].source = "print(square(2))"
    path = tmp_path / "powers.ipynb"
    path.write_text(nbformat.writes(notebook))
    with pytest.raises(UnusableReference, match=r"test cell test-square has 0 lines 'seed = N'"):
        make_reference(path, 1)


def test_a_test_cell_that_prints_nothing_is_no_reference(tmp_path):
    notebook = small_solution()
    notebook.cells[2].source = "seed = 1\nassert square(seed) == seed**2"
    path = tmp_path / "powers.ipynb"
    path.write_text(nbformat.writes(notebook))
    with pytest.raises(UnusableReference, match="test-square prints nothing"):
        make_reference(path, 1)
