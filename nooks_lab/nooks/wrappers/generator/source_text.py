"""Lines of Python source, laid out as the formatter would have them."""

import textwrap
from collections.abc import Sequence

WIDTH = 110
INDENT = "    "


def quoted(text: str) -> str:
    """Return a string literal in double quotes; C types hold nothing that would need a backslash."""
    return f'"{text}"'


def string_lines(text: str) -> list[str]:
    """Return the line of an argument that is a string, or several lines if it is too long for one."""
    # Beside the text a line has two quotes, and a space within them or a comma behind.
    *pieces, last = wrapped(text, WIDTH - len(INDENT) - 3)
    return [*(f"{INDENT}{quoted(piece + ' ')}" for piece in pieces), f"{INDENT}{quoted(last)},"]


def comment(text: str) -> list[str]:
    """Return the lines of a comment, indented once."""
    return [f"{INDENT}# {line}" for line in wrapped(text, WIDTH - len(INDENT) - 2)]


def wrapped(text: str, width: int) -> list[str]:
    """Break a text between words."""
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def definition(name: str, takes: Sequence[str], result: str) -> list[str]:
    """Return the first lines of a function."""
    return _bracketed(f"def {name}(", takes, f") -> {result}:", 0)


def call(function: str, gives: Sequence[str], behind: str = "") -> list[str]:
    """Return the lines of a call, indented once; ``function`` begins with what stands before it."""
    return _bracketed(f"{function}(", gives, f"){behind}", 1)


def _bracketed(start: str, items: Sequence[str], end: str, depth: int) -> list[str]:
    """Return a bracket on one line, or its content on one of its own, or an item on each."""
    indent, inner = INDENT * depth, INDENT * (depth + 1)
    content = ", ".join(items)
    if len(indent + start + content + end) <= WIDTH:
        return [indent + start + content + end]
    if len(inner + content) <= WIDTH:
        return [indent + start, inner + content, indent + end]
    return [indent + start, *(f"{inner}{item}," for item in items), indent + end]
