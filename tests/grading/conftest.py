import nbformat
import pytest
from small_exercise import small_solution


@pytest.fixture(scope="session")
def solutions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("solutions")
    (folder / "powers.ipynb").write_text(nbformat.writes(small_solution()), encoding="utf-8")
    return folder
