"""The skeleton of an extension wrapper: whose function it is, and the call; what is left to decide, in comments."""

import keyword
from collections.abc import Iterator

from nooks_lab.nooks.wrappers.declare import python_name
from nooks_lab.nooks.wrappers.generator.headers import FunctionPointer
from nooks_lab.nooks.wrappers.generator.questions import HANDED_OUT, handed_out, object_types
from nooks_lab.nooks.wrappers.generator.source_text import (
    INDENT,
    WIDTH,
    call,
    comment,
    definition,
    quoted,
    string_lines,
)
from nooks_lab.toolchain.layouts import CType

_LOCALS = frozenset(["held_by", "tracked", "function"])
"""Names in the body."""


def fails_with_error(pointer: FunctionPointer) -> bool:
    """Tell whether the caller understands an error number, as it does from a function that gives an int."""
    return pointer.type.result.kind == "int"


def extension_skeleton(pointer: FunctionPointer, name: str) -> str:
    """Return the declaration and the body, which is called ``name``."""
    names = _names(pointer)
    struct = next(
        (index for index, each in enumerate(pointer.type.params) if _points_to(each[1], pointer)), None
    )
    if struct is None:
        # The address that an entry point of one object's own gives its body first.
        address, takes = f"{pointer.struct}_", [f"{pointer.struct}_", *names]
    else:
        address, takes = names[struct], names
    gives = ["tracked.extension" if index == struct else each for index, each in enumerate(names)]
    lines = _declaration(pointer)
    lines += definition(name, ['nooks: "Nooks"', *(f"{each}: int" for each in takes)], "int")
    lines.append(f'{INDENT}"""struct {pointer.struct}, {pointer.member}."""')
    lines += [line for blank in _blanks(pointer, names, struct) for line in comment(blank)]
    return "\n".join(lines + _body(pointer, address, gives)) + "\n"


def _declaration(pointer: FunctionPointer) -> list[str]:
    line = f"@extension_wrapper({quoted(pointer.kind)}, {quoted(pointer.prototype)})"
    if len(line) <= WIDTH:
        return [line]
    return ["@extension_wrapper(", *string_lines(pointer.kind), *string_lines(pointer.prototype), ")"]


def _blanks(pointer: FunctionPointer, names: list[str], struct: int | None) -> Iterator[str]:
    """Say what a person must decide; ``struct`` is which parameter points to the struct itself."""
    yield f"BLANK: the caller gets {_failed(pointer)} from a function that has failed. Can it go on with it?"
    if struct is None:
        yield (
            f"BLANK: no argument names the struct {pointer.struct}. Its kernel version can point to a wrapper of "
            "its own (object_entry_point), which gives its address first; or another argument tells whose it is."
        )
    for index, (_, ctype) in enumerate(pointer.type.params):
        if ctype.kind == "pointer" and index != struct:
            yield f"BLANK: {names[index]}, {ctype.name}: {HANDED_OUT}"
            yield from handed_out(pointer, index)
    if not object_types(pointer.struct):
        yield (
            f"BLANK: no object type is registered for struct {pointer.struct}: nobody can tell whose function it is."
        )


def _failed(pointer: FunctionPointer) -> str:
    return "-EIO" if fails_with_error(pointer) else "0"


def _body(pointer: FunctionPointer, address: str, gives: list[str]) -> list[str]:
    kinds, failed = object_types(pointer.struct), _failed(pointer)
    if not kinds:
        return [f"{INDENT}return {failed}"]
    view = f"nooks.kernel.types.view({quoted(pointer.struct)}, tracked.extension)"
    member = pointer.member
    function = f"getattr({view}, {quoted(member)})" if keyword.iskeyword(member) else f"{view}.{member}"
    return [
        f"{INDENT}held_by = nooks.tracker.by_kernel({quoted(kinds[0].name)}, {address})",
        f"{INDENT}if held_by is None or held_by[0].failed:",
        f"{INDENT * 2}return {failed}",
        f"{INDENT}domain, tracked = held_by",
        f"{INDENT}function = {function}",
        *call("return nooks.call_extension", ["domain", failed, "function", *gives]),
    ]


def _points_to(ctype: CType, pointer: FunctionPointer) -> bool:
    return ctype.kind == "pointer" and ctype.target is not None and ctype.target.struct == pointer.struct


def _names(pointer: FunctionPointer) -> list[str]:
    """Name the parameters after the structs they point to: the compiler knows no names in a pointer's type."""
    names: list[str] = []
    for unnamed, ctype in pointer.type.params:
        struct = ctype.target.struct if ctype.kind == "pointer" and ctype.target is not None else None
        name = python_name(struct or unnamed)
        names.append(unnamed if name in names or name in _LOCALS or not name.isidentifier() else name)
    return names
