"""What a person must decide about a pointer, and what is known already that helps (paper, section 4.3)."""

import re
from collections.abc import Iterator

from nooks_lab.nooks.tracking.object_types import TYPES, Lifetime, ObjectType, Transfer
from nooks_lab.nooks.wrappers.generator.headers import FunctionPointer, KernelFunction
from nooks_lab.nooks.wrappers.generator.source_text import quoted
from nooks_lab.toolchain.layouts import CType, FunctionType

QUESTIONS = (
    "Held, read or written by the kernel? Until when does it live? "
    "Is it written by the extension? Do other threads use it?"
)
"""The paper's: lifetime, writability, other threads."""

HANDED_OUT = (
    "Does the extension get a copy, the granted pages or a handle? Until when? "
    "What of its changes flows back? Do other threads use it?"
)
"""The same for what the kernel hands to an extension."""

_LENGTH = re.compile(r"^(n|len|length|size|sz|count|cnt|bytes|nbytes|.*_(len|size|count))$")
_CONST = re.compile(r"^const\b.*\*$")

_LIFETIMES = {
    Lifetime.CALL: "lives for one call",
    Lifetime.EXPLICIT: "lives from its allocation to its release",
    Lifetime.TIMER: "lives from add_timer until it fires",
}
_TRANSFERS = {
    Transfer.COPY: "the extension has a copy",
    Transfer.MAP: "its pages are granted",
    Transfer.HANDLE: "the extension has a handle",
}


def object_types(struct: str) -> list[ObjectType]:
    """Return the object types that are registered for a C struct."""
    return [each for each in TYPES.values() if struct and each.struct == struct]


def known_about(function: KernelFunction, index: int) -> list[str]:
    """Return what the headers and the registry tell about a pointer parameter, a sentence each.

    They are hints: what holds is for a person to find out.
    """
    return list(_known_about(function, index))


def _known_about(function: KernelFunction, index: int) -> Iterator[str]:
    target = function.type.params[index][1].target
    const = _CONST.match(function.written[index]) is not None
    length = _length(function.type, index) if target is None or target.name == "char" else None
    if const:
        yield "It points to const: the kernel only reads it."
    if target is None:
        yield from _void(function, index, length, const)
    elif target.function is not None:
        yield "It points to a function of the extension's: Callback()."
    elif target.struct:
        yield from _struct(target, const)
    elif length is not None:
        yield f"{length} looks like its length: {_use(const, quoted(length))}."
    elif target.name == "char":
        yield f"It looks like a string: Text(){'' if const else ', if the kernel only reads it'}."
    else:
        yield f"It points to {target.name}, {target.size} bytes: {_use(const, str(target.size))}."


def _void(function: KernelFunction, index: int, length: str | None, const: bool) -> Iterator[str]:
    if length is not None:
        yield f"{length} looks like its length: {_use(const, quoted(length))}."
        return
    memory = ", ".join(quoted(each.name) for each in TYPES.values() if not each.struct)
    yield (
        f"void * may name an object that has no struct ({memory}): held(...). "
        "If the kernel follows it nowhere: Cookie()."
    )


def _struct(target: CType, const: bool) -> Iterator[str]:
    name = target.struct or ""
    kinds = object_types(name)
    if not kinds:
        yield (
            f"No object type is registered for {target.name}: register one, "
            f"or {_use(const, quoted(name))} if it is used during the call only."
        )
    for kind in kinds:
        yield f"{_describe(kind)}: held({quoted(kind.name)}), with ends=True if it lives no longer."


def _describe(kind: ObjectType) -> str:
    words = [f"Object type {quoted(kind.name)}", _TRANSFERS[kind.transfer], _LIFETIMES[kind.lifetime]]
    words += ["other threads use it"] if kind.shared else []
    words += ["devices can reach it"] if kind.dma else []
    return ", ".join(words)


def handed_out(pointer: FunctionPointer, index: int) -> list[str]:
    """Return what is known about a pointer that the kernel gives to a function of an extension's."""
    target = pointer.type.params[index][1].target
    kinds = object_types(target.struct or "") if target is not None else []
    if kinds:
        return [f"{_describe(kind)}." for kind in kinds]
    return [f"No object type is registered for {target.name if target is not None else 'void'}."]


def deferral(function: KernelFunction) -> str:
    """Return the question whether the call may wait, or why it may not (see :class:`Deferral`)."""
    kind = function.type.result
    if function.type.variadic or len(function.type.params) > 4:
        return "It cannot be deferred: a queue has room for four arguments."
    if kind.kind == "void":
        return 'May the call be deferred? deferral=Deferral("why nobody notices")'
    # Words on both sides: where the line is broken, nothing of it may look like code that is commented out.
    return (
        f"May the call be deferred? Only if no caller looks at the {kind.name}: "
        'then deferral=Deferral("why", 0) says so.'
    )


def _use(const: bool, size: str) -> str:
    return f"Reads({size})" if const else f"Reads({size}) or Writes({size})"


def _length(function: FunctionType, index: int) -> str | None:
    """Return the integer behind a pointer, other pointers in between, that looks like its length."""
    for name, ctype in function.params[index + 1 :]:
        if ctype.kind in ("int", "uint"):
            return name if _LENGTH.match(name) else None
        if ctype.kind != "pointer":
            return None
    return None
