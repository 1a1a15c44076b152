import nbformat
import pytest
from small_exercise import small_solution, submission

from nooks_lab.grading.check import check
from nooks_lab.grading.metadata import NotebookError


def write(folder, notebook):
    path = folder / "powers.ipynb"
    path.write_text(nbformat.writes(notebook), encoding="utf-8")
    return path


def test_a_finished_notebook_passes(tmp_path):
    report = check(write(tmp_path, small_solution()))
    assert report.ok
    assert report.manual_points == 1
    assert "5 of 5 points" in str(report)


def test_a_failure_names_cell_and_error_and_what_runs_is_still_run(tmp_path):
    report = check(write(tmp_path, submission({"cube": "def cube(n):\n    return n**3"})))
    assert not report.ok
    assert [(cell.grade_id, cell.passed) for cell in report.cells] == [
        ("test-square", False),
        ("test-cube", True),
    ]
    assert "FAILED  test-square (2 points)\n        NotImplementedError" in str(report)


def test_a_loop_and_a_dead_kernel_are_said_to_be_so(tmp_path):
    report = check(write(tmp_path, submission({"square": "while True: pass"})), cell_seconds=2)
    assert "ran longer than 2 seconds" in str(report)
    assert not any(cell.passed for cell in report.cells)
    report = check(write(tmp_path, submission({"square": "import os; os._exit(0)"})))
    assert not report.ok
    assert "kernel died" in str(report)


def test_a_notebook_without_tests_is_one_sentence(tmp_path):
    notebook = small_solution()
    notebook.cells = notebook.cells[:1]
    with pytest.raises(NotebookError, match=r"powers\.ipynb has no test cells"):
        check(write(tmp_path, notebook))
