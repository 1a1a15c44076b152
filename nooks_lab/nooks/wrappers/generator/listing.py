"""The wrappers as plain data: what the headers ask for, and what has been decided."""

from collections.abc import Sequence
from typing import Any

from nooks_lab.nooks.wrappers.declare import EXTENSION_WRAPPERS, KERNEL_WRAPPERS
from nooks_lab.nooks.wrappers.generator.headers import FunctionPointer, KernelFunction


def to_json(functions: Sequence[KernelFunction], pointers: Sequence[FunctionPointer]) -> dict[str, Any]:
    """Return a row for each function and each function pointer; the wrappers' modules must be imported."""
    return {
        "rows": [_function(each) for each in functions],
        "extension_rows": [_pointer(each) for each in pointers],
    }


def _function(function: KernelFunction) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": function.name,
        "prototype": function.prototype,
        "header": function.header,
        "line": function.line,
        "pointers": function.pointers,
    }
    wrapper = KERNEL_WRAPPERS.get(function.name)
    if wrapper is None:
        return row | {"wrapped": False, "decisions": {}, "deferral": None}
    decisions = {name: decision.explain() for name, decision in wrapper.decisions.items()}
    reason = wrapper.deferral.reason if wrapper.deferral else None
    return row | {"wrapped": True, "decisions": decisions, "deferral": reason}


def _pointer(pointer: FunctionPointer) -> dict[str, Any]:
    return {
        "name": pointer.kind,
        "prototype": pointer.prototype,
        "wrapped": pointer.kind in EXTENSION_WRAPPERS,
    }
