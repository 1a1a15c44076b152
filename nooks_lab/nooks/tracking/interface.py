"""Is every object that crosses the kernel's interface of a registered type?"""

from collections.abc import Iterator

from nooks_lab.kernel.kernel import Kernel
from nooks_lab.nooks.tracking.object_types import TYPES
from nooks_lab.nooks.wrappers.declare import EXTENSION_WRAPPERS
from nooks_lab.toolchain.layouts import CType, Layouts

UNTRACKED: dict[str, str] = {}
"""Structs that cross the interface and need no tracking, each with the reason; at present there is none.

A struct belongs here when no extension holds on to it and the kernel checks it anew in each call.
"""


def untracked_types(kernel: Kernel) -> list[str]:
    """Return a sentence for every pointer to a struct that the interface passes and no object type stands for.

    The interface is every exported function, every function pointer of a struct that such a function takes or
    returns, and every one of a struct with extension wrappers; results count as parameters do.
    """
    known = {kind.struct for kind in TYPES.values()} | UNTRACKED.keys()
    wrapped = {kind.partition(".")[0] for kind in EXTENSION_WRAPPERS}
    passed: dict[tuple[str, str], None] = {}
    for name, (_, _, prototype) in kernel.functions.items():
        for where, ctype in (*prototype.params, ("its result", prototype.result)):
            passed |= {(f"{name}, {where}", struct): None for struct in _structs(ctype)}
    for struct in sorted(wrapped | {struct for _, struct in passed}):
        passed |= dict.fromkeys(_operations(kernel.layouts, struct))
    return [
        f"{where}: struct {struct} is of no registered object type"
        for where, struct in passed
        if struct not in known
    ]


def _operations(layouts: Layouts, struct: str) -> Iterator[tuple[str, str]]:
    """Yield what the function pointers in a struct pass; a struct that is only declared has none."""
    layout = layouts.structs.get(struct)
    for member in layout.fields.values() if layout else ():
        pointer = member.type
        if pointer.kind == "pointer" and pointer.target is not None and pointer.target.kind == "function":
            for passed in _structs(pointer):
                yield f"{struct}.{member.name}", passed


def _structs(ctype: CType) -> Iterator[str]:
    """Yield the structs that a parameter's type points to, through pointers to pointers and to functions too."""
    target = ctype.target
    if ctype.kind == "pointer" and target is not None:
        if target.kind in ("struct", "union") and target.struct is not None:
            yield target.struct
        yield from _structs(target)
    elif ctype.function is not None:
        yield from _structs(ctype.function.result)
        for _, parameter in ctype.function.params:
            yield from _structs(parameter)
