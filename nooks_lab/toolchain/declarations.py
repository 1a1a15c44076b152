"""Which functions and variables headers declare for others to supply, and where: clang's syntax tree."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nooks_lab.toolchain import compiler


@dataclass(frozen=True)
class Declaration:
    """A function or variable that a header declares and does not define.

    params: the names of a function's parameters ('' if not given), None for a variable.
    written: the types of the parameters as the header has them, with qualifiers and typedefs.
    header: as one would include it ('linux/slab.h'); line: counted from 1.
    """

    name: str
    params: tuple[str, ...] | None
    written: tuple[str, ...]
    header: str
    line: int


def find_declarations(source: compiler.Source) -> list[Declaration]:
    """The declarations in a source and all it includes; of repeated ones the first. Raises CompileError."""

    def make() -> tuple[bytes, list[Path]]:
        tree, headers = _syntax_tree(source)
        found: dict[str, Declaration] = {}
        for declaration in _Walk(source).declarations(tree):
            found.setdefault(declaration.name, declaration)
        return json.dumps([asdict(each) for each in found.values()]).encode(), headers

    rows = json.loads(compiler.cached("declarations 2", source, make))
    return [
        Declaration(
            row["name"],
            None if row["params"] is None else tuple(row["params"]),
            tuple(row["written"]),
            row["header"],
            row["line"],
        )
        for row in rows
    ]


def _syntax_tree(source: compiler.Source) -> tuple[Any, list[Path]]:
    # Not through "zig cc", which fails when clang leaves no object behind.
    arguments = ["clang", "-target", "i386-unknown-unknown", "-march=i686", "-ffreestanding", "-fno-builtin"]
    arguments += ["-isystem", str(compiler.compiler_headers_dir())]
    arguments += ["-fsyntax-only", "-Xclang", "-ast-dump=json"]
    with tempfile.TemporaryDirectory(dir=compiler.scratch_dir()) as scratch:
        dump = Path(scratch, "tree.json")
        _, headers = compiler.run_clang(arguments, source, output=dump)
        return json.loads(dump.read_bytes()), headers


class _Walk:
    """Goes through the tree in the text's order: clang names a file and a line only where they change."""

    def __init__(self, source: compiler.Source) -> None:
        self.source = source
        self.file = ""
        self.line = 0

    def declarations(self, unit: dict[str, Any]) -> Iterator[Declaration]:
        for node in unit["inner"]:
            header, line = self._place(node.get("loc", {}))
            for key, value in node.items():
                if key != "loc":
                    self._pass(value)
            if node.get("isImplicit") or node.get("storageClass") == "static":
                continue
            children = node.get("inner", [])
            if node["kind"] == "FunctionDecl":
                if all(child["kind"] != "CompoundStmt" for child in children):
                    params = [child for child in children if child["kind"] == "ParmVarDecl"]
                    names = tuple(child.get("name", "") for child in params)
                    written = tuple(child["type"]["qualType"] for child in params)
                    yield Declaration(node["name"], names, written, header, line)
            elif node["kind"] == "VarDecl" and node.get("storageClass") == "extern":
                yield Declaration(node["name"], None, (), header, line)

    def _place(self, location: dict[str, Any]) -> tuple[str, int]:
        """Where something stands; if a macro made it, where the macro was used."""
        self._pass(location.get("spellingLoc", {}))
        self._pass(location.get("expansionLoc", location))
        return self._portable(self.file), self.line

    def _pass(self, value: Any) -> None:
        if isinstance(value, dict):
            self.file = value.get("file", self.file)
            self.line = value.get("line", self.line)
            for key, each in value.items():
                # It says where the file of this place was included, which is another place.
                if key != "includedFrom":
                    self._pass(each)
        elif isinstance(value, list):
            for each in value:
                self._pass(each)

    def _portable(self, file: str) -> str:
        path = Path(file)
        for folder in self.source.include:
            if path.is_relative_to(folder):
                return path.relative_to(folder).as_posix()
        return path.as_posix()
