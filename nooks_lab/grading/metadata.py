"""nbgrader's cell metadata, version 3: read, validated, written, and its checksum.

Source: the format that nbgrader documents for ``cell.metadata.nbgrader`` with ``schema_version`` 3.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import nbformat

SCHEMA_VERSION = 3
LARGEST_NOTEBOOK = 64 << 20
"""Bytes; a larger file is a notebook full of output, and reading it would cost the whole class memory."""

_GRADE_ID = re.compile(r"[a-zA-Z0-9_\-]+")
_FLAGS = ("grade", "locked", "solution")


class NotebookError(ValueError):
    """A notebook that cannot be used; the sentence names the file and the cell."""


class Role(Enum):
    """What a marked cell is for."""

    ANSWER = "answer"
    TEST = "test"
    MANUAL = "manual"
    READ_ONLY = "read-only"


@dataclass(frozen=True)
class CellMark:
    """The nbgrader metadata of one cell.

    Attributes
    ----------
    grade_id : str
        Name of the cell, unique in its notebook.
    grade, locked, solution, task : bool
        nbgrader's flags.
    points : float
        Points of a graded cell; 0 for the others.
    cell_type : str
        ``code`` or ``markdown``.
    """

    grade_id: str
    grade: bool
    locked: bool
    solution: bool
    cell_type: str
    points: float = 0.0
    task: bool = False

    @property
    def role(self) -> Role:
        """The cell's role, which the flags spell out."""
        if self.solution:
            return Role.MANUAL if self.grade else Role.ANSWER
        if self.task:
            return Role.MANUAL
        return Role.TEST if self.grade else Role.READ_ONLY

    def to_metadata(self, source: str) -> dict[str, Any]:
        """Return the metadata with the checksum of a cell that holds ``source``."""
        metadata: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "grade": self.grade,
            "locked": self.locked,
            "solution": self.solution,
            "task": self.task,
            "grade_id": self.grade_id,
            "cell_type": self.cell_type,
            "checksum": self.checksum(source),
        }
        if self.grade or self.task:
            # nbgrader writes 3, not 3.0, and keeps halves.
            metadata["points"] = int(self.points) if self.points == int(self.points) else self.points
        return metadata

    def checksum(self, source: str) -> str:
        """Return nbgrader's checksum: MD5 of source, type, flags, grade_id and, for graded cells, points."""
        locked = not self.solution and (self.grade or self.locked)
        parts = [source, self.cell_type, str(self.grade), str(self.solution), str(locked), self.grade_id]
        if self.grade:
            parts.append(str(self.points))
        return hashlib.md5("".join(parts).encode(), usedforsecurity=False).hexdigest()


def parse_mark(metadata: Any, cell_type: str, where: str) -> CellMark | None:
    """Return the mark in a cell's metadata, None when the cell is not marked.

    Parameters
    ----------
    metadata : object
        ``cell.metadata`` as it stands in the file.
    where : str
        Names notebook and cell in the error's sentence.

    Raises
    ------
    NotebookError
        When the mark breaks the format.
    """
    mark = metadata.get("nbgrader") if isinstance(metadata, Mapping) else None
    if mark is None:
        return None
    if not isinstance(mark, Mapping):
        raise NotebookError(f"{where}: its nbgrader metadata is not an object")
    version = mark.get("schema_version")
    if version != SCHEMA_VERSION:
        raise NotebookError(f"{where}: nbgrader schema_version is {version!r}, and must be {SCHEMA_VERSION}")
    flags: dict[str, Any] = {name: mark.get(name) for name in _FLAGS} | {"task": mark.get("task", False)}
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise NotebookError(f"{where}: nbgrader's {name!r} is {value!r}, and must be true or false")
    if not any(flags.values()):
        return None
    grade_id = mark.get("grade_id")
    if not isinstance(grade_id, str) or not _GRADE_ID.fullmatch(grade_id):
        raise NotebookError(
            f"{where}: grade_id {grade_id!r} is not a name of letters, digits, hyphens and underscores"
        )
    points = mark.get("points", 0)
    if isinstance(points, bool) or not isinstance(points, int | float) or not 0 <= points < float("inf"):
        raise NotebookError(f"{where}: cell {grade_id} has points {points!r}, and must have a number >= 0")
    if flags["grade"] and "points" not in mark:
        raise NotebookError(f"{where}: cell {grade_id} is graded but has no points")
    return CellMark(
        grade_id=grade_id,
        grade=flags["grade"],
        locked=flags["locked"],
        solution=flags["solution"],
        cell_type=cell_type,
        points=float(points) if flags["grade"] or flags["task"] else 0.0,
        task=flags["task"],
    )


def marks(notebook: Any, name: str) -> list[CellMark | None]:
    """Return the mark of each cell, None for those without.

    Parameters
    ----------
    notebook : NotebookNode
        An nbformat 4 notebook.
    name : str
        Its file name, for the error's sentence.

    Raises
    ------
    NotebookError
        When a mark breaks the format, or two cells have the same grade_id.
    """
    found: list[CellMark | None] = []
    places: dict[str, int] = {}
    for number, cell in enumerate(notebook.cells, 1):
        mark = parse_mark(cell.metadata, cell.cell_type, f"{name}, cell {number}")
        found.append(mark)
        if mark is None:
            continue
        first = places.setdefault(mark.grade_id, number)
        if first != number:
            raise NotebookError(
                f"{name}, cell {number}: grade_id {mark.grade_id} is already that of cell {first}"
            )
        if mark.role is Role.TEST and mark.cell_type != "code":
            raise NotebookError(f"{name}, cell {number}: test cell {mark.grade_id} is not a code cell")
    return found


def read_notebook(path: Path) -> Any:
    """Read a notebook as nbformat 4.

    Raises
    ------
    NotebookError
        When it cannot be read, or is no valid notebook.
    """
    raw = read_raw_notebook(path)
    try:
        nbformat.validate(raw)
    except nbformat.ValidationError as error:
        raise NotebookError(
            f"{path.name} is not a valid notebook: {error.message.splitlines()[0]}"
        ) from error
    # Validated above and not by nbformat's reader, which only logs what is wrong.
    return nbformat.v4.reads(json.dumps(raw))


def read_raw_notebook(path: Path) -> dict[str, Any]:
    """Read a notebook's JSON and check no more than that it is a list of cells, nbformat 4.

    Raises
    ------
    NotebookError
        When it cannot be read, or has another shape.
    """
    try:
        if path.stat().st_size > LARGEST_NOTEBOOK:
            raise NotebookError(f"{path.name} is larger than {LARGEST_NOTEBOOK >> 20} MB")
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NotebookError(f"{path.name} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, NotebookError):
            raise
        raise NotebookError(f"{path.name} is not JSON ({_first_line(str(error))})") from error
    if not isinstance(raw, dict) or not isinstance(raw.get("cells"), list):
        raise NotebookError(f"{path.name} is JSON but not a notebook: it has no list of cells")
    if raw.get("nbformat") != 4:
        raise NotebookError(f"{path.name} has nbformat {raw.get('nbformat')!r}, and must have 4")
    for number, cell in enumerate(raw["cells"], 1):
        if not isinstance(cell, dict) or not isinstance(cell.get("cell_type"), str):
            raise NotebookError(f"{path.name}: cell {number} is not a cell")
    return raw


def _first_line(text: str) -> str:
    return text.splitlines()[0] if text else "nested too deeply"
