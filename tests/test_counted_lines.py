"""What counts as a line, and to which component of Nooks it belongs."""

import shutil
import tokenize

import pytest

from nooks_lab.component_table import (
    PACKAGE,
    PAPER,
    PAPER_TOTAL,
    ComponentTable,
    hook_lines,
    marked_lines,
    table,
)
from nooks_lab.source_lines import c_code, c_lines, python_code, python_lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('/* a\n * b */\n\nint x; // y\nchar *s = "/* no comment */";\n  \n', 2),
        ("int x; /* a\nb */ int y;\n", 2),
        ("char q = '\"'; /* one */\nchar c = '\\\\'; // two\n", 2),
        ('char *s = "a\\"b"; /* " */\n/* " */\n', 1),
        ("", 0),
    ],
)
def test_comments_and_blank_lines_are_no_lines_of_c(text, lines):
    assert c_lines(text) == lines


def test_lines_of_c_keep_their_numbers():
    assert c_code("/* a\n b */\nint x;\n\nint y; // z\n") == {3: "int x;", 5: "int y; "}


PYTHON = '''"""Module.

Docstring."""

import os  # comment

# comment
LIMIT = 3
"""What it means."""


class Thing:
    """A thing."""

    def method(self):
        """Do."""
        text = """a

b"""
        return (
            text,  # and

            os.sep,
        )
'''


def test_comments_docstrings_and_blank_lines_are_no_lines_of_python():
    assert sorted(python_code(PYTHON)) == [5, 8, 12, 15, 17, 19, 20, 21, 23, 24]
    assert python_lines(PYTHON) == 10


def test_a_line_of_python_has_the_names_in_it():
    assert python_code(PYTHON)[5] == {"import", "os"}


def test_what_is_no_python_is_refused():
    with pytest.raises((tokenize.TokenError, SyntaxError)):
        python_lines('x = """\n')


def test_a_line_that_names_a_hook_is_a_kernel_change_and_one_that_talks_of_it_is_not():
    text = (
        '"""The hooks."""\n'
        "from nooks_lab.kernel.hooks import Hooks\n"
        "def __init__(self, hooks: Hooks):\n"
        "    self._hooks = hooks  # hooks\n"
        "    # self._hooks.exception()\n"
        "    self._hooks.exception(\n"
        "        'hooks', webhooks\n"
        "    )\n"
    )
    assert hook_lines(text) == 4


def test_a_marked_line_of_c_is_a_kernel_change_and_a_mark_by_itself_is_not():
    text = "int a;\t/* Nooks: new */\n/* Nooks: a word\n * more */\nint b;\t/* for Nooks: no */\n"
    assert marked_lines(text) == 1


def test_every_line_of_the_manager_is_counted_once():
    expected = [0, 0]
    for path in (PACKAGE / "nooks").rglob("*"):
        if path.suffix == ".py":
            expected[0] += python_lines(path.read_text())
        elif path.suffix in (".c", ".h"):
            expected[1] += c_lines(path.read_text())
    ours = [row for row in table().rows if row.component != "Linux kernel changes"]
    assert [sum(row.python for row in ours), sum(row.c for row in ours)] == expected


def test_every_component_has_lines_and_wrappers_are_the_largest():
    counted = table()
    assert [row.component for row in counted.rows] == list(PAPER)
    assert min(row.lines for row in counted.rows) > 0
    assert max(counted.rows, key=lambda row: row.lines).component == "wrappers"
    assert max(counted.rows, key=lambda row: row.paper).component == "wrappers"
    assert sum(map(counted.share, counted.rows)) == pytest.approx(1)
    assert sum(map(counted.paper_share, counted.rows)) == pytest.approx(1)
    # The paper's own sum is wrong.
    assert sum(PAPER.values()) == PAPER_TOTAL + 370


def changed(before: ComponentTable, after: ComponentTable) -> dict[str, int]:
    pairs = zip(before.rows, after.rows, strict=True)
    return {new.component: new.lines - old.lines for old, new in pairs if new.lines != old.lines}


@pytest.fixture
def copy(tmp_path):
    for part in ("nooks", "kernel", "extensions/include"):
        shutil.copytree(PACKAGE / part, tmp_path / part)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "line", "component"),
    [
        ("nooks/isolation/new.py", "x = 1", "memory management"),
        ("nooks/tracking/types/new.py", "x = 1", "object tracking"),
        ("nooks/xpc/new.c", "int x;", "extension procedure call"),
        ("nooks/wrappers/new.py", "x = 1", "wrappers"),
        ("nooks/interposition.py", "x = 1", "wrappers"),
        ("nooks/wrappers/generator/new.py", "x = 1", "miscellaneous"),
        ("nooks/recovery/new.py", "x = 1", "recovery"),
        ("nooks/new.py", "x = 1", "miscellaneous"),
        ("kernel/hooks.py", "x = 1", "Linux kernel changes"),
        ("kernel/net/dev.py", "hooks.exception", "Linux kernel changes"),
        ("extensions/include/linux/new.h", "int x;\t/* Nooks: new */", "Linux kernel changes"),
    ],
)
def test_a_new_line_counts_for_its_component(copy, file, line, component):
    before = table(copy)
    with (copy / file).open("a") as out:
        out.write(f"\n{line}\n")
    assert changed(before, table(copy)) == {component: 1}


def test_a_new_line_of_the_kernel_alone_counts_nowhere(copy):
    before = table(copy)
    (copy / "kernel" / "new.py").write_text("x = 1\n")
    (copy / "extensions" / "include" / "linux" / "new.h").write_text("int x;\n")
    assert changed(before, table(copy)) == {}
