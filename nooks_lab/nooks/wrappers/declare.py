"""How a wrapper is declared: the C prototype it stands for, a decision for each pointer, and a body."""

import inspect
import keyword
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nooks_lab.nooks.tracking.object_types import TYPES, Transfer
from nooks_lab.nooks.wrappers.decisions import Blank, Decision, Held, Reads, Writes
from nooks_lab.toolchain.layouts import FunctionType, spell_declaration

if TYPE_CHECKING:
    from nooks_lab.kernel.kernel import Kernel

KernelBody = Callable[..., int | None]
"""Takes the manager, the calling domain and the prototype's arguments, each as its decision gives it."""

ExtensionBody = Callable[..., int]
"""Takes the manager and the arguments that the kernel passes."""


class WrapperError(ValueError):
    """A wrapper that cannot be declared, or stands for no function of the kernel; one sentence that names it."""


@dataclass(frozen=True)
class Deferral:
    """A wrapper's call may wait for a later XPC (paper, section 4.1).

    Attributes
    ----------
    reason : str
        Why nobody notices: no result is needed, and there is no visible side effect.
    result : int or None
        What the caller gets at once, from a function with a result that no caller looks at.
    """

    reason: str
    result: int | None = None


@dataclass(frozen=True)
class KernelWrapper:
    """The wrapper of a kernel function.

    Attributes
    ----------
    prototype : str
        The C declaration, in the compiler's spelling.
    parameters : tuple of str
        Names of its parameters.
    in_place : bool
        The body runs in the extension's domain, without an XPC.
    """

    name: str
    prototype: str
    parameters: tuple[str, ...]
    decisions: dict[str, Decision]
    body: KernelBody
    deferral: Deferral | None = None
    in_place: bool = False


@dataclass(frozen=True)
class ExtensionWrapper:
    """The wrapper of a function pointer ``struct.member``."""

    kind: str
    prototype: str
    body: ExtensionBody


KERNEL_WRAPPERS: dict[str, KernelWrapper] = {}
EXTENSION_WRAPPERS: dict[str, ExtensionWrapper] = {}

RUN_IN_PLACE = frozenset(["memcpy", "memmove", "memset", "memcmp", "strcpy", "strncpy", "strlen", "strcmp"])
"""Machine code that touches nothing but its arguments: the extension runs it in its own domain.

Beside these, the kernel's global variables are linked straight in: the extension can read them where they are
(paper, section 4.2).
"""

_NAME = re.compile(r"[ *(](?P<name>\w+)\(")
_PARAMETER = re.compile(r"\(\*+(\w+)\)|(\w+)$")
_POINTER = re.compile(r"\*\w*$|\(\*+\w+\)")

_TAKEN = frozenset(["nooks", "domain", "arguments", "prototype", "deferral"])
"""What a body and ``kernel_wrapper`` call parameters of their own."""


def python_name(parameter: str) -> str:
    """Return a C parameter's name as a wrapper in Python can use it."""
    return parameter + "_" if keyword.iskeyword(parameter) or parameter in _TAKEN else parameter


@dataclass(frozen=True)
class Prototype:
    """A C prototype taken apart."""

    name: str
    result: str
    parameters: tuple[str, ...] = field(default=())
    pointers: frozenset[str] = field(default=frozenset())
    variadic: bool = False


def parse(prototype: str) -> Prototype:
    """Take a declaration in the compiler's spelling apart.

    Raises
    ------
    WrapperError
        When it is none.
    """
    found = _NAME.search(prototype)
    end = -1 if found is None else _closing(prototype, found.end())
    # What stands behind the parameters belongs to a result that is a pointer to a function.
    behind = prototype[end + 1 :]
    if found is None or end < 0 or (behind and not behind.startswith(")(")):
        raise WrapperError(f"{prototype!r} is no prototype of a C function")
    names, pointers, variadic = [], set(), False
    for parameter in _split(prototype[found.end() : end]):
        if parameter == "...":
            variadic = True
        elif parameter != "void":
            name = _PARAMETER.search(parameter)
            if name is None or name[0] == parameter:
                raise WrapperError(f"{prototype!r}: the parameter {parameter!r} has no name")
            names.append(name[1] or name[2])
            if _POINTER.search(parameter):
                pointers.add(names[-1])
    result = prototype[: found.start("name")].strip() + behind
    return Prototype(found["name"], result, tuple(names), frozenset(pointers), variadic)


def _closing(text: str, start: int) -> int:
    """Return where the parenthesis closes that was opened just before ``start``; -1 when it does not."""
    depth = 1
    for index in range(start, len(text)):
        depth += (text[index] == "(") - (text[index] == ")")
        if not depth:
            return index
    return -1


def _split(parameters: str) -> list[str]:
    """Split at the commas that are not within parentheses."""
    parts, depth, start = [], 0, 0
    for index, character in enumerate(parameters):
        depth += (character == "(") - (character == ")")
        if character == "," and not depth:
            parts.append(parameters[start:index].strip())
            start = index + 1
    return [part for part in [*parts, parameters[start:].strip()] if part]


def spell_prototype(name: str, function: FunctionType) -> str:
    """Return the declaration of a kernel function in the spelling that wrappers use."""
    parameters = [spell_declaration(ctype, parameter) for parameter, ctype in function.params]
    parameters += ["..."] if function.variadic else []
    return spell_declaration(function.result, f"{name}({', '.join(parameters) or 'void'})")


def kernel_wrapper(
    prototype: str, *, deferral: Deferral | None = None, **decisions: Decision
) -> Callable[[KernelBody], KernelBody]:
    """Declare the wrapper of a kernel function.

    Parameters
    ----------
    prototype : str
        Its C declaration, as ``nooks-lab wrappers`` prints it.
    deferral : Deferral, optional
        That the call may wait, and why.
    decisions
        One for each parameter that is a pointer, by the parameter's name.

    Raises
    ------
    WrapperError
        When decisions and pointers do not match, the body has other parameters, or the deferral would change a
        result.
    """
    return declare_wrapper(prototype, decisions, deferral)


def declare_wrapper(
    prototype: str,
    decisions: Mapping[str, Decision],
    deferral: Deferral | None = None,
    in_place: bool = False,
) -> Callable[[KernelBody], KernelBody]:
    """As :func:`kernel_wrapper`, with the decisions in a dict; for wrappers that are declared in a loop."""
    parsed = parse(prototype)
    by_name = {name: decisions.get(python_name(name)) for name in parsed.parameters}
    strange = set(decisions) - {python_name(name) for name in parsed.parameters}
    missing = [name for name in parsed.pointers if by_name[name] is None]
    if strange or missing:
        problem = (
            f"there is no parameter {min(strange)}"
            if strange
            else f"the pointer {missing[0]} lacks a decision"
        )
        raise WrapperError(f"wrapper of {parsed.name}: {problem}")
    for name, decision in by_name.items():
        if isinstance(decision, Blank):
            raise WrapperError(
                f"wrapper of {parsed.name}: the decision about its pointer {name} is still blank"
            )
    decided = {name: decision for name, decision in by_name.items() if decision is not None}
    if deferral is not None:
        _check_deferral(parsed, decided, deferral)
    if in_place and parsed.pointers:
        raise WrapperError(
            f"wrapper of {parsed.name}: it cannot run in place, since its pointers are checked"
        )

    def declare(body: KernelBody) -> KernelBody:
        _check_body(parsed, body)
        KERNEL_WRAPPERS[parsed.name] = KernelWrapper(
            parsed.name, prototype, parsed.parameters, decided, body, deferral, in_place
        )
        return body

    return declare


def _check_deferral(parsed: Prototype, decisions: dict[str, Decision], deferral: Deferral) -> None:
    where = f"wrapper of {parsed.name}: it cannot be deferred, since"
    if parsed.result != "void" and deferral.result is None:
        raise WrapperError(
            f"{where} its caller gets the {parsed.result} that it returns, which is not known before"
        )
    if parsed.variadic or len(parsed.parameters) > 4:
        raise WrapperError(f"{where} a queue has room for four arguments")
    for name, decision in decisions.items():
        if isinstance(decision, Writes):
            raise WrapperError(f"{where} its caller sees what is written to {name}")
        if isinstance(decision, Held) and not decision.ends and any(map(_copied, decision.kinds)):
            raise WrapperError(f"{where} its caller sees what becomes of {name}")


def _copied(kind: str) -> bool:
    return TYPES[kind].transfer is not Transfer.HANDLE


def _check_body(parsed: Prototype, body: KernelBody) -> None:
    takes = list(inspect.signature(body).parameters.values())
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in takes):
        return
    expected = 2 + len(parsed.parameters) + parsed.variadic
    if len(takes) != expected:
        raise WrapperError(
            f"wrapper of {parsed.name}: its body takes {len(takes)} arguments, the prototype makes it {expected}"
        )


def extension_wrapper(kind: str, prototype: str) -> Callable[[ExtensionBody], ExtensionBody]:
    """Declare the wrapper of a function pointer.

    Parameters
    ----------
    kind : str
        ``struct.member``.
    prototype : str
        The pointer's C type, as ``nooks-lab wrappers`` prints it.
    """

    def declare(body: ExtensionBody) -> ExtensionBody:
        EXTENSION_WRAPPERS[kind] = ExtensionWrapper(kind, prototype, body)
        return body

    return declare


def check_declarations(kernel: "Kernel") -> None:
    """Compare every declared wrapper with the kernel's headers and the registry of object types.

    Raises
    ------
    WrapperError
        When a wrapper stands for a function or function pointer that does not exist or has another signature, or
        decides by an object type or a size that there is not.
    """
    for name, wrapper in KERNEL_WRAPPERS.items():
        if name not in kernel.functions:
            raise WrapperError(f"wrapper of {name}: the kernel has no such function")
        prototype = spell_prototype(name, kernel.functions[name][2])
        if wrapper.prototype != prototype:
            raise WrapperError(
                f"wrapper of {name}: it is declared as {wrapper.prototype!r}, and is {prototype!r}"
            )
        for parameter, decision in wrapper.decisions.items():
            problem = _problem(kernel, wrapper, decision)
            if problem:
                raise WrapperError(f"wrapper of {name}: {parameter} is decided by {problem}")
    for kind, entry in EXTENSION_WRAPPERS.items():
        struct, _, member = kind.partition(".")
        layout = kernel.layouts.structs.get(struct)
        pointer = None if layout is None or member not in layout.fields else layout.fields[member].type
        if pointer is None or pointer.target is None or pointer.target.function is None:
            raise WrapperError(f"wrapper of {kind}: the kernel's headers have no such function pointer")
        if entry.prototype != pointer.name:
            raise WrapperError(
                f"wrapper of {kind}: it is declared as {entry.prototype!r}, and is {pointer.name!r}"
            )


def _problem(kernel: "Kernel", wrapper: KernelWrapper, decision: Decision) -> str:
    if isinstance(decision, Held):
        unknown = [kind for kind in decision.kinds if kind not in TYPES]
        return f"{unknown[0]!r}, which is no object type" if unknown else ""
    if isinstance(decision, Reads | Writes) and isinstance(decision.size, str):
        known = decision.size in wrapper.parameters or decision.size in kernel.layouts.structs
        return "" if known else f"{decision.size!r}, which is neither a parameter nor a struct"
    return ""


def pass_through(prototype: str, *, in_place: bool = False, **decisions: Decision) -> None:
    """Declare a wrapper whose body is the kernel function itself.

    Parameters
    ----------
    in_place : bool
        It writes nothing of the kernel's, so that it can run in the extension's domain, without an XPC.
    """
    function = parse(prototype).name

    def body(nooks: Any, _domain: Any, *arguments: Any) -> int | None:
        result: int | None = nooks.kernel_function(function)(*arguments)
        return result

    declare_wrapper(prototype, decisions, in_place=in_place)(body)
