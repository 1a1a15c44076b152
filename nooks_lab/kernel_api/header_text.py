"""What stands in a kernel header, as its author wrote it: structs, functions, macros, and the comments on them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["struct", "enum", "function", "variable", "inline", "macro", "constant", "remark"]

_OF_THEIR_OWN: tuple[Kind, ...] = ("struct", "enum", "inline", "macro")

_COMMENT = re.compile(r"/\*(.*?)\*/", re.DOTALL)
_MACRO = re.compile(r"#\s*define\s+(\w+)(\([^)]*\))?[ \t]*(.*)", re.DOTALL)
_TAGGED = re.compile(r"(?:typedef\s+)?(struct|union|enum)\s*(\w*)\s*\{")
_NAME = re.compile(r"\(\*?\s*(\w+)\)\s*\(|(\w+)\s*\((?!\*?\w+\)\s*\()")
_FORWARD = re.compile(r"(?:struct|union|enum)\s+\w+;")


@dataclass(frozen=True)
class Item:
    """One thing that a header says.

    Attributes
    ----------
    kind : str
        ``remark`` is a comment that belongs to nothing.
    name : str
        Of a struct without a tag, that of its typedef.
    text : str
        The C, without the comments before and behind it; of an inline function its head, of a macro its name and
        parameters, and what it stands for if that is short.
    comment : str
        What the header says about it, on one line.
    """

    kind: Kind
    name: str
    text: str
    comment: str


def read_header(text: str) -> list[Item]:
    """Return what a header says, in its order."""
    return list(_Reader(text).items())


def _plain(comment: str) -> str:
    """Return a comment's words on one line."""
    lines = (line.strip().lstrip("*").strip() for line in comment.splitlines())
    return " ".join(filter(None, lines))


class _Reader:
    """Goes through a header by logical lines; a comment waits for what it is about."""

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        self._at = 0
        self._waiting = ""

    def items(self) -> Iterator[Item]:
        while self._at < len(self._lines):
            line = self._lines[self._at]
            stripped = line.strip()
            if stripped.startswith("/*"):
                yield from self._remark()
                self._waiting = self._comment()
            elif not stripped:
                # What a blank line follows was about the header, or about a group.
                yield from self._remark()
                self._at += 1
            elif stripped.startswith("#"):
                yield from self._directive()
            else:
                yield from self._declaration(stripped)
        yield from self._remark()

    def _remark(self) -> Iterator[Item]:
        if self._waiting:
            yield Item("remark", "", "", self._waiting)
        self._waiting = ""

    def _take_until(self, end: str) -> str:
        """Take lines up to the one that matches."""
        taken = []
        while self._at < len(self._lines):
            taken.append(self._lines[self._at])
            self._at += 1
            if re.search(end, taken[-1]):
                break
        return "\n".join(taken)

    def _comment(self) -> str:
        return _plain(self._take_until(r"\*/").strip().removeprefix("/*").removesuffix("*/"))

    def _directive(self) -> Iterator[Item]:
        text = self._lines[self._at]
        self._at += 1
        while text.endswith("\\") and self._at < len(self._lines):
            text = text[:-1].rstrip() + "\n" + self._lines[self._at]
            self._at += 1
        found = _MACRO.match(text.strip())
        # An include guard stands for nothing.
        if found is None or not (found[3] or found[2]):
            return
        value, behind = _COMMENT.sub("", found[3]).strip(), _COMMENT.findall(found[3])
        short = "\n" not in value
        shown = f"#define {found[1]}{found[2] or ''}" + (f" {value}" if short else "")
        yield from self._made("macro" if found[2] else "constant", found[1], shown, _joined(behind))

    def _declaration(self, stripped: str) -> Iterator[Item]:
        tagged = _TAGGED.match(stripped)
        if _FORWARD.fullmatch(stripped):
            self._at += 1
        elif tagged:
            text = self._take_until(r"^\}")
            name = tagged[2] or _after_brace(text)
            yield from self._made("enum" if tagged[1] == "enum" else "struct", name, text)
        elif stripped.startswith("static inline"):
            head = self._take_until(r"^\{")
            self._take_until(r"^\}")
            text = " ".join(head.rpartition("{")[0].split()).removeprefix("static inline ")
            yield from self._made("inline", _name_of(text), text)
        else:
            whole = self._take_until(r";\s*(/\*.*\*/)?\s*$")
            code = " ".join(_COMMENT.sub("", whole).split()).removeprefix("extern ").rstrip(";")
            code = re.sub(r"\s*__attribute__\(\(.*\)\)", "", code)
            behind = _joined(_COMMENT.findall(whole))
            typedef = code.startswith("typedef ")
            kind: Kind = "function" if code.endswith(")") and not typedef else "variable"
            if typedef and code.endswith(")"):
                # Of a function, or of a pointer to one.
                name = _name_of(re.sub(r"\((\w+)\)(?=\()", r"(*\1)", code))
            else:
                name = _name_of(code) if kind == "function" else code.split("[")[0].split()[-1].lstrip("*")
            yield from self._made(kind, name, code, behind)

    def _made(self, kind: Kind, name: str, text: str, behind: str = "") -> Iterator[Item]:
        before = ""
        if kind in _OF_THEIR_OWN:
            before, self._waiting = self._waiting, ""
        else:
            # A comment over several prototypes or constants in a row is about them all.
            yield from self._remark()
        yield Item(kind, name, text.strip(), " ".join(filter(None, [before, behind])))


def _joined(comments: list[str]) -> str:
    return " ".join(map(_plain, comments))


def _after_brace(text: str) -> str:
    return text.rpartition("}")[2].strip().rstrip(";").split("[")[0].split(" ")[0]


def _name_of(prototype: str) -> str:
    found = _NAME.search(prototype)
    return (found[1] or found[2]) if found else prototype
