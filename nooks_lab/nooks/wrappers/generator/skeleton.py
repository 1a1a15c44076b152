"""The Python file that the generator writes: wrapper declarations, each with its blanks, and body skeletons."""

from collections.abc import Sequence

from nooks_lab.nooks.wrappers.declare import python_name
from nooks_lab.nooks.wrappers.generator.extension_skeleton import extension_skeleton, fails_with_error
from nooks_lab.nooks.wrappers.generator.headers import FunctionPointer, KernelFunction
from nooks_lab.nooks.wrappers.generator.kernel_skeleton import is_object, kernel_skeleton
from nooks_lab.nooks.wrappers.generator.source_text import INDENT, WIDTH, wrapped

_IMPORTED = (
    "BLANK",
    "Domain",
    "EIO",
    "Nooks",
    "TrackedObject",
    "VaList",
    "extension_wrapper",
    "kernel_wrapper",
)


def skeletons(functions: Sequence[KernelFunction], pointers: Sequence[FunctionPointer] = ()) -> str:
    """Return a Python module with a wrapper for each function and function pointer.

    It is in the form of the wrappers beside it, but no wrapper with a blank can be declared
    (:class:`~nooks_lab.nooks.wrappers.declare.WrapperError`).
    """
    taken = set(_IMPORTED)
    parts = [kernel_skeleton(each, _free_name(each.name, taken)) for each in functions]
    parts += [
        extension_skeleton(each, _free_name(f"{each.struct}_{each.member}", taken)) for each in pointers
    ]
    return "\n\n".join([_head(functions, pointers), *parts])


def _free_name(name: str, taken: set[str]) -> str:
    """Return a function's name in Python's way, or as it is if that name is taken."""
    short = name.lstrip("_").lower()
    free = python_name(name if short in taken or not short.isidentifier() else short)
    while free in taken:
        free += "_"
    taken.add(free)
    return free


def _head(functions: Sequence[KernelFunction], pointers: Sequence[FunctionPointer]) -> str:
    headers = list(dict.fromkeys(each.header for each in functions))
    structs = list(dict.fromkeys(f"struct {each.struct}" for each in pointers))
    what = ", ".join([*headers, *structs]) or "headers that declare no function"
    lines = wrapped(f'"""Wrappers of {what}.', WIDTH)
    lines += ["", *wrapped(_ADVICE, WIDTH), '"""']
    imports = _imports(functions, pointers)
    if imports:
        lines += ["", "from typing import TYPE_CHECKING", "", *imports]
        lines += ["", "if TYPE_CHECKING:", f"{INDENT}from nooks_lab.nooks.manager import Nooks"]
    return "\n".join(lines) + "\n"


_ADVICE = (
    "Skeletons, as nooks-lab wrappers writes them.  A person decides about each BLANK and about deferral, adds a "
    "decision for a number that names an object, and writes the bodies (paper, section 4.3)."
)


def _imports(functions: Sequence[KernelFunction], pointers: Sequence[FunctionPointer]) -> list[str]:
    if not functions and not pointers:
        return []
    declare = (["extension_wrapper"] if pointers else []) + (["kernel_wrapper"] if functions else [])
    wanted = {
        "from nooks_lab.kernel.errno import EIO": any(fails_with_error(each) for each in pointers),
        "from nooks_lab.kernel.exports import VaList": any(each.type.variadic for each in functions),
        "from nooks_lab.nooks.isolation.domain import Domain": bool(functions),
        "from nooks_lab.nooks.tracking.tracker import TrackedObject": any(
            is_object(ctype) for each in functions for _, ctype in each.type.params
        ),
        "from nooks_lab.nooks.wrappers.decisions import BLANK": any(each.pointers for each in functions),
        f"from nooks_lab.nooks.wrappers.declare import {', '.join(declare)}": True,
    }
    return [line for line, needed in wanted.items() if needed]
