"""A small exercise of two functions, quick to run, and ways to hand it in."""

import copy
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from nooks_lab.grading.metadata import CellMark
from nooks_lab.grading.release import exercise_of

ROOT = Path(__file__).parents[2]
SOLUTION = ROOT / "solutions" / "02-page-walk.ipynb"
EXERCISE = ROOT / "exercises" / "02-page-walk.ipynb"

SQUARE = "def square(n):\n    ### BEGIN SOLUTION\n    return n * n\n    ### END SOLUTION"
CUBE = "def cube(n):\n    ### BEGIN SOLUTION\n    return n**3\n    ### END SOLUTION"
FACTS = """\
seed = 1
import random
rng = random.Random(seed)
for _ in range(5):
    n = rng.randrange(1000)
    """
TEST_SQUARE = FACTS + "print(n, square(n))"
TEST_CUBE = (
    FACTS + "print(n, cube(n))\n### BEGIN HIDDEN TESTS\nprint('veiled', cube(seed))\n### END HIDDEN TESTS"
)


def marked(source, grade_id, *, grade=False, locked=False, solution=False, points=0.0, text=False):
    cell = (new_markdown_cell if text else new_code_cell)(source, id=grade_id)
    mark = CellMark(grade_id, grade, locked, solution, cell.cell_type, points)
    cell.metadata["nbgrader"] = mark.to_metadata(source)
    return cell


def small_solution():
    return new_notebook(
        cells=[
            new_markdown_cell("# Powers", id="title"),
            marked(SQUARE, "square", solution=True),
            marked(TEST_SQUARE, "test-square", grade=True, locked=True, points=2),
            marked(CUBE, "cube", solution=True),
            marked(TEST_CUBE, "test-cube", grade=True, locked=True, points=3),
            marked("Because.", "why", grade=True, solution=True, points=1, text=True),
        ],
        metadata={"nooks_lab": {"refused_names": ["built_in_square"]}},
    )


def submission(answers, base=None):
    """Return the small exercise, or ``base``, with sources by grade_id."""
    notebook = copy.deepcopy(base) if base is not None else exercise_of(small_solution(), "powers.ipynb")
    for cell in notebook.cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
        if grade_id in answers:
            cell.source = answers[grade_id]
    return notebook


def hand_in(folder, student, notebook, assignment="unit", name="powers"):
    path = folder / student / assignment / f"{name}.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(notebook if isinstance(notebook, str) else nbformat.writes(notebook), encoding="utf-8")
    return path
