"""A patch of a driver: a header that says what is wrong, and a unified diff."""

from dataclasses import dataclass
from email import message_from_string

from unidiff.errors import UnidiffParseError
from unidiff.patch import Hunk, PatchSet

from nooks_lab.faults.wild_store import PatchError


@dataclass(frozen=True)
class Patch:
    """One patch file, read.

    Attributes
    ----------
    name : str
        The file's, without its ending.
    header : dict of str to str
        What stands before the diff, line by line ``Name: text``; a line that begins with a space goes on.
    path : str
        The source that it changes, such as ``vfat/fatent.c``.
    hunks : tuple of (str, str)
        The text that stands there, context included, and what it becomes.
    diff : str
        The diff as it stands in the file.
    added, removed : int
        Lines.
    """

    name: str
    header: dict[str, str]
    path: str
    hunks: tuple[tuple[str, str], ...]
    diff: str
    added: int
    removed: int

    def apply(self, text: str) -> str:
        """Return a source with the patch.

        Every line of context must be there as it is in the patch, and at one place only; the line numbers do not
        matter.

        Raises
        ------
        PatchError
            When a hunk has no place, or several.
        """
        for number, (before, after) in enumerate(self.hunks, 1):
            count = text.count(before)
            if count != 1:
                raise PatchError(f"{self.name}: hunk {number} fits {count} places of {self.path}, not one")
            text = text.replace(before, after)
        return text

    def first_changed_line(self, text: str) -> int:
        """Return the number of the first line of a source that differs with the patch, from 1."""
        lines, changed = text.splitlines(), self.apply(text).splitlines()
        return next(
            (number for number, (old, new) in enumerate(zip(lines, changed, strict=False), 1) if old != new),
            min(len(lines), len(changed)),
        )


def read_patch(name: str, text: str) -> Patch:
    """Read a patch of one source.

    Parameters
    ----------
    name : str
        What to call it.
    text : str
        The file's contents.

    Raises
    ------
    PatchError
        When it is no unified diff, of one file.
    """
    start = text.find("--- ")
    if start < 0:
        raise PatchError(f"{name}: there is no diff in it")
    try:
        files = PatchSet(text[start:])
    except UnidiffParseError as error:
        raise PatchError(f"{name}: the diff cannot be read: {error}") from error
    if len(files) != 1 or not files[0].is_modified_file:
        raise PatchError(f"{name}: a patch changes one file, and this one {len(files)}")
    message = message_from_string(text[:start])
    header = {key: " ".join(str(value).split()) for key, value in message.items()}
    (changed,) = files
    hunks = tuple((_text(hunk, "source"), _text(hunk, "target")) for hunk in changed)
    return Patch(name, header, changed.path, hunks, text[start:], changed.added, changed.removed)


def _text(hunk: Hunk, side: str) -> str:
    lines = hunk.source_lines() if side == "source" else hunk.target_lines()
    return "".join(line.value for line in lines)
