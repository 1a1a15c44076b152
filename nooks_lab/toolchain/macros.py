"""The integer constants that headers define as macros (GFP_KERNEL, ...), evaluated by the compiler."""

import dataclasses
import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from nooks_lab.toolchain import compiler, elf
from nooks_lab.toolchain.header_layouts import headers_source
from nooks_lab.toolchain.layouts import read_layouts

_DEFINITION = re.compile(r"#define (\w+) (.+)")
_REFUSED = re.compile(r"^headers\.c:(\d+):\d+: error:", re.MULTILINE)
_VALUE = "__nooks_lab_value_"


def read_macros(
    headers: Sequence[str], include: Sequence[Path], defines: Sequence[str] = ()
) -> dict[str, int]:
    """The macros without parameters whose text is an integer constant expression, by name.

    headers: as one would include them; include and defines: see compile_c. Raises CompileError.
    """
    source = headers_source(headers, include, defines)

    def make() -> tuple[bytes, list[Path]]:
        predefined, _ = _definitions(dataclasses.replace(source, text=""))
        defined, read = _definitions(source)
        names = [name for name, text in defined.items() if predefined.get(name) != text]
        return json.dumps(_evaluate(source, _expressions(source, names))).encode(), read

    values: dict[str, int] = json.loads(compiler.cached("macros 1", source, make))
    return values


def _definitions(source: compiler.Source) -> tuple[dict[str, str], list[Path]]:
    text, read = _preprocess(source, "-dM")
    return dict(_DEFINITION.findall(text)), read


def _preprocess(source: compiler.Source, *flags: str) -> tuple[str, list[Path]]:
    with tempfile.TemporaryDirectory(dir=compiler.scratch_dir()) as scratch:
        output = Path(scratch, "preprocessed")
        # A later -E takes the place of -c.
        arguments = ["cc", *compiler.I386_FLAGS, "-E", "-P", *flags]
        _, read = compiler.run_clang(arguments, source, output=output)
        return output.read_text(encoding="utf-8"), read


def _expressions(source: compiler.Source, names: Sequence[str]) -> list[str]:
    """The names of the macros that may be expressions: the others would upset the parser."""
    lines = "".join(f"{_VALUE}{index} {name}\n" for index, name in enumerate(names))
    text, _ = _preprocess(dataclasses.replace(source, text=source.text + lines))
    found = re.findall(rf"^{_VALUE}(\d+) (.+)$", text, re.MULTILINE)
    return [names[int(index)] for index, text in found if _may_be_expression(text)]


def _may_be_expression(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if depth < 0 or character in '{};"':
            return False
    return depth == 0


def _evaluate(source: compiler.Source, names: Sequence[str]) -> dict[str, int]:
    """The values of those that are integer constant expressions; the compiler's errors tell which are not."""
    rows = {f"{_VALUE}{index}": name for index, name in enumerate(names)}
    above = source.text.count("\n")
    tolerant = dataclasses.replace(source, flags=(*source.flags, "-ferror-limit=0"))
    while True:
        lines = "".join(f"enum {{ {row} = ({name}) }};\n" for row, name in rows.items())
        try:
            compiled, _ = compiler.compile_uncached(dataclasses.replace(tolerant, text=source.text + lines))
        except compiler.CompileError as problem:
            refused = {int(line) for line in _REFUSED.findall(str(problem))}
            kept = {row: rows[row] for line, row in enumerate(rows, above + 1) if line not in refused}
            if len(kept) == len(rows):
                raise
            rows = kept
        else:
            enums = read_layouts(elf.read_object(compiled.data, source.name)).enums
            return {name: enums[row] for row, name in rows.items()}
