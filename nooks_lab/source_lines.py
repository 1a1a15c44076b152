"""Lines of source without comments, docstrings and blanks, in C and in Python: the paper's measure (table 2)."""

import io
import re
import tokenize
from collections.abc import Iterator

_C_COMMENT = re.compile(
    r"""/\*.*?\*/ | //[^\n]* | ("(?:\\.|[^"\\])*" | '(?:\\.|[^'\\\n])+')""", re.DOTALL | re.VERBOSE
)
_NO_CODE = frozenset(
    [
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENCODING,
        tokenize.ENDMARKER,
    ]
)


def c_code(text: str) -> dict[int, str]:
    """Return the lines of C that hold more than comments and blanks, by line number, without their comments.

    Parameters
    ----------
    text : str
        A whole file.
    """

    def bare(found: re.Match[str]) -> str:
        return found.group(1) or "\n" * found.group().count("\n")

    lines = _C_COMMENT.sub(bare, text).splitlines()
    return {number: line for number, line in enumerate(lines, 1) if line.strip()}


def c_lines(text: str) -> int:
    """Count the lines of C that hold more than comments and blanks."""
    return len(c_code(text))


def python_code(text: str) -> dict[int, set[str]]:
    """Return the names in each line of Python that holds more than comments, docstrings and blanks.

    A string that is a statement by itself is a docstring, of a module, class, function or variable.

    Parameters
    ----------
    text : str
        A whole file.

    Raises
    ------
    tokenize.TokenError, SyntaxError
        When it is no Python.
    """
    lines = text.splitlines()
    code: dict[int, set[str]] = {}
    for statement in _statements(text):
        if all(token.type == tokenize.STRING for token in statement):
            continue
        for token in statement:
            for number in range(token.start[0], token.end[0] + 1):
                if lines[number - 1].strip():
                    code.setdefault(number, set())
            if token.type == tokenize.NAME:
                code[token.start[0]].add(token.string)
    return code


def python_lines(text: str) -> int:
    """Count the lines of Python that hold more than comments, docstrings and blanks."""
    return len(python_code(text))


def _statements(text: str) -> Iterator[list[tokenize.TokenInfo]]:
    """Yield the tokens of each logical line that are code."""
    statement: list[tokenize.TokenInfo] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NEWLINE:
            yield statement
            statement = []
        elif token.type not in _NO_CODE:
            statement.append(token)
