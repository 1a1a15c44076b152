"""Every struct, function and variable that a set of headers declares, without any driver that uses them."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nooks_lab.toolchain import compiler, elf
from nooks_lab.toolchain.declarations import Declaration, find_declarations
from nooks_lab.toolchain.layouts import (
    VOID,
    CType,
    Field,
    FunctionType,
    Layouts,
    StructLayout,
    Variable,
    array_of,
    function_ctype,
    pointer_to,
    read_layouts,
)

# The debug information describes no function that is only declared, but it describes a pointer to one.
# The variable of just this name is for headers of nothing but macros, which would have no debug information.
_PROBE = "__nooks_lab_probe_"


def read_header_layouts(
    headers: Sequence[str], include: Sequence[Path], defines: Sequence[str] = ()
) -> Layouts:
    """All that headers declare: structs, typedefs, enumerators, extern variables and functions.

    headers: as one would include them ('linux/slab.h'); include and defines: see compile_c.
    Raises CompileError.
    """
    source = headers_source(headers, include, defines)

    def make() -> tuple[bytes, list[Path]]:
        declarations = find_declarations(source)
        layouts, read = _probe(source, declarations)
        return json.dumps(_pack(layouts)).encode(), read

    return _unpack(json.loads(compiler.cached("layouts 1", source, make)))


def headers_source(
    headers: Sequence[str], include: Sequence[Path], defines: Sequence[str]
) -> compiler.Source:
    """A source that does nothing but include headers."""
    text = "".join(f"#include <{header}>\n" for header in headers)
    return compiler.open_source(
        "headers.c", text=text, include=include, defines=defines, flags=compiler.ALL_TYPES_FLAGS
    )


def _probe(source: compiler.Source, declarations: Sequence[Declaration]) -> tuple[Layouts, list[Path]]:
    probes = "".join(f"__typeof__({each.name}) *{_PROBE}{each.name};\n" for each in declarations)
    probes += f"char {_PROBE};\n"
    compiled, read = compiler.compile_uncached(dataclasses.replace(source, text=source.text + probes))
    layouts = read_layouts(elf.read_object(compiled.data, source.name))
    del layouts.variables[_PROBE]
    for declaration in declarations:
        pointer = layouts.variables.pop(_PROBE + declaration.name).type
        target = pointer.target or VOID
        if declaration.params is None:
            layouts.variables[declaration.name] = Variable(declaration.name, target)
        elif target.function:
            layouts.functions[declaration.name] = _with_names(target.function, declaration.params)
    return layouts, read


def _with_names(function: FunctionType, names: Sequence[str]) -> FunctionType:
    params = tuple(
        (name or unnamed, ctype) for name, (unnamed, ctype) in zip(names, function.params, strict=True)
    )
    return dataclasses.replace(function, params=params)


def _pack(layouts: Layouts) -> dict[str, Any]:
    return {
        "structs": [_pack_struct(each) for each in layouts.structs.values()],
        "variables": {name: _pack_type(each.type) for name, each in layouts.variables.items()},
        "functions": {name: _pack_function(each) for name, each in layouts.functions.items()},
        "typedefs": {name: _pack_type(each) for name, each in layouts.typedefs.items()},
        "enums": layouts.enums,
    }


def _unpack(packed: dict[str, Any]) -> Layouts:
    structs = {}
    for name, size, is_union, members in packed["structs"]:
        fields = {member: Field(member, offset, _unpack_type(ctype)) for member, offset, ctype in members}
        structs[name] = StructLayout(name, size, fields, is_union)
    return Layouts(
        structs=structs,
        variables={name: Variable(name, _unpack_type(each)) for name, each in packed["variables"].items()},
        functions={name: _unpack_function(each) for name, each in packed["functions"].items()},
        typedefs={name: _unpack_type(each) for name, each in packed["typedefs"].items()},
        enums=packed["enums"],
    )


def _pack_struct(struct: StructLayout) -> list[Any]:
    members = [[each.name, each.offset, _pack_type(each.type)] for each in struct.fields.values()]
    return [struct.name, struct.size, struct.is_union, members]


def _pack_type(ctype: CType) -> list[Any]:
    if ctype.function:
        return ["function", _pack_function(ctype.function)]
    if ctype.kind == "pointer":
        return ["pointer", _pack_type(ctype.target or VOID)]
    if ctype.kind == "array":
        return ["array", _pack_type(ctype.target or VOID), ctype.count]
    return [ctype.kind, ctype.name, ctype.size, ctype.struct]


def _unpack_type(packed: list[Any]) -> CType:
    if packed[0] == "function":
        return function_ctype(_unpack_function(packed[1]))
    if packed[0] == "pointer":
        return pointer_to(_unpack_type(packed[1]))
    if packed[0] == "array":
        return array_of(_unpack_type(packed[1]), packed[2])
    kind, name, size, struct = packed
    return CType(kind, name, size, struct=struct)


def _pack_function(function: FunctionType) -> list[Any]:
    params = [[name, _pack_type(ctype)] for name, ctype in function.params]
    return [_pack_type(function.result), params, function.variadic]


def _unpack_function(packed: list[Any]) -> FunctionType:
    result, params, variadic = packed
    return FunctionType(
        _unpack_type(result), tuple((name, _unpack_type(ctype)) for name, ctype in params), variadic
    )
