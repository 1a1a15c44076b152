"""Marked regions in a cell's source: solutions, which become stubs, and hidden tests, which vanish."""

from nooks_lab.grading.metadata import NotebookError

BEGIN_SOLUTION, END_SOLUTION = "### BEGIN SOLUTION", "### END SOLUTION"
BEGIN_HIDDEN, END_HIDDEN = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"

CODE_STUB = ("# YOUR CODE HERE", "raise NotImplementedError()")
TEXT_STUB = ("YOUR ANSWER HERE",)


def replace_regions(source: str, begin: str, end: str, stub: tuple[str, ...], where: str) -> tuple[str, bool]:
    """Replace every region between two marker lines, the markers included.

    Parameters
    ----------
    source : str
        A cell's source.
    begin, end : str
        The markers.
    stub : tuple of str
        Lines to put in, indented like the marker; none to remove the region.
    where : str
        Names notebook and cell in the error's sentence.

    Returns
    -------
    str, bool
        The new source, and whether there was a region.

    Raises
    ------
    NotebookError
        When markers do not pair.
    """
    lines: list[str] = []
    inside = found = False
    for line in source.split("\n"):
        if begin in line:
            if inside:
                raise NotebookError(f"{where}: {begin!r} stands inside another such region")
            inside = found = True
            indent = line[: len(line) - len(line.lstrip())]
            lines += [indent + text for text in stub]
        elif end in line:
            if not inside:
                raise NotebookError(f"{where}: {end!r} has no beginning")
            inside = False
        elif not inside:
            lines.append(line)
    if inside:
        raise NotebookError(f"{where}: {begin!r} has no end")
    return "\n".join(lines), found
