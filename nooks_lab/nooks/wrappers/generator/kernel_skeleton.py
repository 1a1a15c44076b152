"""The skeleton of a kernel wrapper: declaration with blanks, and a body that calls the kernel's function."""

from nooks_lab.nooks.wrappers.declare import RUN_IN_PLACE, python_name
from nooks_lab.nooks.wrappers.generator.headers import KernelFunction
from nooks_lab.nooks.wrappers.generator.questions import QUESTIONS, deferral, known_about, object_types
from nooks_lab.nooks.wrappers.generator.source_text import (
    INDENT,
    call,
    comment,
    definition,
    quoted,
    string_lines,
)
from nooks_lab.toolchain.layouts import CType


def kernel_skeleton(function: KernelFunction, name: str) -> str:
    """Return the declaration and the body, which is called ``name``."""
    return "\n".join([*_declaration(function), *_body(function, name)]) + "\n"


def _declaration(function: KernelFunction) -> list[str]:
    lines = ["@kernel_wrapper(", *string_lines(function.prototype)]
    if function.name in RUN_IN_PLACE:
        lines += comment("It runs in place, in the extension's own domain: it needs no wrapper.")
    lines += comment(deferral(function))
    for index, (parameter, ctype) in enumerate(function.type.params):
        if ctype.kind == "pointer":
            lines += comment(f"{parameter}, {ctype.name}: {QUESTIONS}")
            for sentence in known_about(function, index):
                lines += comment(sentence)
            lines.append(f"{INDENT}{python_name(parameter)}=BLANK,")
    return [*lines, ")"]


def _body(function: KernelFunction, name: str) -> list[str]:
    takes = ['nooks: "Nooks"', "domain: Domain"]
    takes += [f"{python_name(each)}: {_annotation(ctype)}" for each, ctype in function.type.params]
    takes += ["arguments: VaList"] if function.type.variadic else []
    nothing = function.type.result.kind == "void"
    lines = definition(name, takes, "None" if nothing else "int")
    lines.append(f'{INDENT}"""{function.header}, line {function.line}."""')
    gives = [
        f"{python_name(each)}.kernel" if is_object(ctype) else python_name(each)
        for each, ctype in function.type.params
    ]
    gives += ["arguments"] if function.type.variadic else []
    target = f"nooks.kernel_function({quoted(function.name)})"
    return lines + (call(target, gives) if nothing else call(f"return int({target}", gives, ")"))


def is_object(ctype: CType) -> bool:
    """Tell whether a parameter's struct is a tracked one, of which the body gets the tracked object."""
    return (
        ctype.kind == "pointer" and ctype.target is not None and bool(object_types(ctype.target.struct or ""))
    )


def _annotation(ctype: CType) -> str:
    return "TrackedObject" if is_object(ctype) else "int"
