import copy

import nbformat
import pytest
from small_exercise import EXERCISE, SOLUTION, SQUARE, small_solution

from nooks_lab.grading.metadata import NotebookError, Role, marks, parse_mark, read_notebook
from nooks_lab.grading.release import exercise_of, release

TEST_MARK = {
    "schema_version": 3,
    "grade": True,
    "locked": True,
    "solution": False,
    "grade_id": "t",
    "points": 2,
}


def sources(notebook):
    return {
        cell.metadata.nbgrader.grade_id: cell.source for cell in notebook.cells if "nbgrader" in cell.metadata
    }


def test_solutions_become_stubs_and_hidden_tests_vanish():
    found = sources(exercise_of(small_solution(), "powers.ipynb"))
    assert found["square"] == "def square(n):\n    # YOUR CODE HERE\n    raise NotImplementedError()"
    assert found["why"] == "YOUR ANSWER HERE"
    assert "veiled" not in found["test-cube"]
    assert "HIDDEN" not in found["test-cube"]


def test_an_answer_without_markers_is_replaced_whole():
    solution = small_solution()
    solution.cells[1].source = "square = lambda n: n * n"
    assert sources(exercise_of(solution, "x"))["square"] == "# YOUR CODE HERE\nraise NotImplementedError()"


def test_the_committed_exercise_is_what_its_solution_releases(tmp_path):
    path = release(SOLUTION, tmp_path)
    assert path == tmp_path / SOLUTION.name
    assert path.read_bytes() == EXERCISE.read_bytes()


def test_the_committed_exercise_holds_no_solution_and_no_output():
    exercise = read_notebook(EXERCISE)
    text = nbformat.writes(exercise)
    assert "### BEGIN" not in text
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in exercise.cells)
    roles = [mark.role for mark in marks(exercise, "x") if mark]
    assert (roles.count(Role.ANSWER), roles.count(Role.TEST), roles.count(Role.MANUAL)) == (4, 7, 1)


def test_the_solution_was_run_and_its_tests_print_facts():
    solution = read_notebook(SOLUTION)
    for cell, mark in zip(solution.cells, marks(solution, "x"), strict=True):
        if mark and mark.role is Role.TEST:
            assert [output.name for output in cell.outputs] == ["stdout"], mark.grade_id


def test_checksums_are_nbgraders():
    # Computed by nbgrader 0.9.6's own compute_checksum for these cells.
    exercise = exercise_of(small_solution(), "powers.ipynb")
    found = {cell.metadata.nbgrader.grade_id: cell.metadata.nbgrader.checksum for cell in exercise.cells[1:]}
    assert found == CHECKSUMS


CHECKSUMS = {
    "square": "016854b6efa44ba03ea83c4417caed47",
    "test-square": "b7543322270f0147f0379519a10df715",
    "cube": "37cf6005ec2b598c38ed9c13f0b3a671",
    "test-cube": "de2d55ecad0b766d7f48c160edc1bdbd",
    "why": "07e591c1be902671db27cce6ed9dcbd1",
}


def test_the_solution_is_not_overwritten(solutions):
    with pytest.raises(NotebookError, match=r"powers.ipynb: the exercise would overwrite its solution"):
        release(solutions / "powers.ipynb", solutions)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"schema_version": 1}, "schema_version is 1"),
        ({"grade": 1}, "'grade' is 1"),
        ({"grade_id": "two words"}, "grade_id 'two words' is not a name"),
        ({"points": -1}, "points -1"),
        ({"points": float("nan")}, "points nan"),
        ({"points": True}, "points True"),
    ],
)
def test_bad_metadata_is_one_sentence_with_the_place(change, sentence):
    with pytest.raises(NotebookError, match=r"a\.ipynb, cell 4") as caught:
        parse_mark({"nbgrader": TEST_MARK | change}, "code", "a.ipynb, cell 4")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_grade_id_may_stand_once():
    notebook = small_solution()
    notebook.cells.append(copy.deepcopy(notebook.cells[1]))
    with pytest.raises(NotebookError, match=r"p.ipynb, cell 7: grade_id square is already that of cell 2"):
        marks(notebook, "p.ipynb")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (SQUARE.replace("    ### END SOLUTION", ""), "has no end"),
        (SQUARE.replace("    ### BEGIN SOLUTION\n", ""), "has no beginning"),
    ],
)
def test_markers_must_pair(source, sentence):
    notebook = small_solution()
    notebook.cells[1].source = source
    with pytest.raises(NotebookError, match=f"p.ipynb, cell 2: .*{sentence}"):
        exercise_of(notebook, "p.ipynb")
