"""Where the committed wrappers differ from what the generator writes now: read out of its Python, not out of ours."""

import ast
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from nooks_lab.nooks.wrappers.declare import EXTENSION_WRAPPERS, KERNEL_WRAPPERS, KernelWrapper


@dataclass(frozen=True)
class Skeleton:
    """A generated kernel wrapper: its prototype, what its body takes beside manager and domain, its blanks."""

    prototype: str
    takes: tuple[str, ...]
    blanks: frozenset[str]


def kernel_skeletons(text: str) -> dict[str, Skeleton]:
    """Return the kernel wrappers of a generated module by the kernel function that their bodies call."""
    found = {}
    for function, decorator in _wrappers(text, "kernel_wrapper"):
        (prototype,) = decorator.args
        assert isinstance(prototype, ast.Constant)
        assert isinstance(prototype.value, str)
        blanks = {
            each.arg
            for each in decorator.keywords
            if isinstance(each.value, ast.Name) and each.value.id == "BLANK"
        }
        assert len(blanks) == len(decorator.keywords)
        takes = [each.arg for each in function.args.args]
        assert takes[:2] == ["nooks", "domain"]
        found[_called(function)] = Skeleton(prototype.value, tuple(takes[2:]), frozenset(map(str, blanks)))
    return found


def extension_skeletons(text: str) -> dict[str, tuple[str, set[int]]]:
    """Return the type, and how many arguments beside the manager a body may take, by struct and member.

    Where no argument names the struct, the generator gives the body its address first; a person may find the struct
    by another argument.
    """
    found = {}
    for function, decorator in _wrappers(text, "extension_wrapper"):
        kind, prototype = (ast.literal_eval(each) for each in decorator.args)
        takes = [each.arg for each in function.args.args][1:]
        added = takes[:1] == [kind.partition(".")[0] + "_"]
        found[kind] = (prototype, {len(takes), len(takes) - added})
    return found


def _wrappers(text: str, name: str) -> Iterator[tuple[ast.FunctionDef, ast.Call]]:
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef):
            (decorator,) = node.decorator_list
            assert isinstance(decorator, ast.Call)
            assert isinstance(decorator.func, ast.Name)
            if decorator.func.id == name:
                yield node, decorator


def _called(function: ast.FunctionDef) -> str:
    for node in ast.walk(function):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "kernel_function"
        ):
            return str(ast.literal_eval(node.args[0]))
    raise AssertionError(f"the body of {function.name} calls no kernel function")


def drift(text: str) -> list[str]:
    """Compare all committed wrappers with a generated module; a sentence for each difference."""
    kernel, extension = kernel_skeletons(text), extension_skeletons(text)
    found = []
    for name, wrapper in KERNEL_WRAPPERS.items():
        if name not in kernel:
            found.append(f"{name}: no header declares it")
        else:
            found += [f"{name}: {what}" for what in _kernel_drift(wrapper, kernel[name])]
    for kind, entry in EXTENSION_WRAPPERS.items():
        if kind not in extension:
            found.append(f"{kind}: no header has such a function pointer")
        elif entry.prototype != extension[kind][0]:
            found.append(f"{kind}: is declared as {entry.prototype}, and is {extension[kind][0]}")
        else:
            names, rest = _takes(entry.body, 1)
            if not rest and len(names) not in extension[kind][1]:
                found.append(f"{kind}: has a body that takes {names}")
    return found


def _kernel_drift(wrapper: KernelWrapper, skeleton: Skeleton) -> Iterator[str]:
    if wrapper.prototype != skeleton.prototype:
        yield f"is declared as {wrapper.prototype}, and is {skeleton.prototype}"
    # A parameter that is no Python name has a _ behind it in the generated file.
    declared = tuple(mine + "_" if mine + "_" in skeleton.takes else mine for mine in wrapper.parameters)
    fixed = tuple(each for each in skeleton.takes if each != "arguments")
    if declared != fixed:
        yield f"has the parameters {declared}, and there are {fixed}"
    decided = {mine + "_" if mine + "_" in skeleton.takes else mine for mine in wrapper.decisions}
    if not skeleton.blanks <= decided:
        yield f"has no decision about {sorted(skeleton.blanks - decided)}"
    if not decided <= set(fixed):
        yield f"has a decision about {sorted(decided - set(fixed))}, which is no parameter"
    names, rest = _takes(wrapper.body, 2)
    if names != skeleton.takes[: len(names)] or (len(names) < len(skeleton.takes) and not rest):
        yield f"has a body that takes {names}, and the generator's takes {skeleton.takes}"


def _takes(body: Callable[..., Any], leading: int) -> tuple[tuple[str, ...], bool]:
    """Return the parameters of a body behind the first ones, and whether it takes any number more."""
    parameters = list(inspect.signature(body).parameters.values())[leading:]
    names = tuple(each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD)
    return names, any(each.kind is each.VAR_POSITIONAL for each in parameters)
