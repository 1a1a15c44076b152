"""The reference page: a hand-written beginning, then each header with what the declarations know about it."""

import inspect
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import nooks_lab as nl
from nooks_lab.kernel.kernel import Kernel
from nooks_lab.kernel.timers import HZ
from nooks_lab.kernel_api.header_text import Item, read_header
from nooks_lab.nooks import interposition  # noqa: F401 - it declares the wrappers
from nooks_lab.nooks.wrappers.declare import EXTENSION_WRAPPERS, KERNEL_WRAPPERS, RUN_IN_PLACE
from nooks_lab.nooks.wrappers.generator.headers import all_headers
from nooks_lab.toolchain import compiler

_HERE = Path(__file__).parent
_SKELETONS = ("module.c", "network_driver.c")
_INTERNAL = "__"
_BULLETS = ("function", "inline", "macro", "variable")


def page() -> str:
    """Return the page, in Markdown."""
    with nl.boot(devices=()) as lab:
        reference = _Reference(lab.kernel)
        return _preface(reference) + "".join(map(reference.header, all_headers()))


def skeleton(name: str) -> Path:
    """Return where one of the skeletons on the page lies: ``module.c`` or ``network_driver.c``."""
    return _HERE / name


def _preface(reference: "_Reference") -> str:
    text = (_HERE / "preface.md").read_text(encoding="utf-8")
    filled = {name: skeleton(name).read_text(encoding="utf-8") for name in _SKELETONS}
    filled |= {"sleeping": ", ".join(f"`{name}`" for name in reference.sleeping()), "hz": str(HZ)}
    for name, value in filled.items():
        text = text.replace(f"{{{name}}}", value)
    return text


class _Reference:
    """What a booted kernel and the wrappers' declarations know about the names in the headers."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def sleeping(self) -> list[str]:
        """Return the functions that may sleep."""
        return sorted(name for name, (_, mark, _) in self._kernel.functions.items() if mark.sleeps)

    def header(self, name: str) -> str:
        """Return the section of one header; an empty string when it says nothing of its own."""
        text = (compiler.headers_dir() / name).read_text(encoding="utf-8")
        items = [item for item in read_header(text) if not _is_internal(item)]
        if not items:
            return ""
        return f"\n## `<{name}>`\n" + "".join(self._blocks(items))

    def _blocks(self, items: list[Item]) -> Iterator[str]:
        for kind, group in groupby(items, lambda item: "bullet" if item.kind in _BULLETS else item.kind):
            if kind == "constant":
                lines = [item.text + (f"\t/* {item.comment} */" if item.comment else "") for item in group]
                yield "\n```c\n" + "\n".join(lines) + "\n```\n"
            elif kind == "bullet":
                yield "\n" + "".join(map(self._bullet, group))
            else:
                yield from map(self._block, group)

    def _block(self, item: Item) -> str:
        comment = f"\n{_sentence(item.comment)}\n" if item.comment else ""
        if item.kind == "remark":
            return comment
        wrapped = [kind.partition(".")[2] for kind in EXTENSION_WRAPPERS if kind.startswith(f"{item.name}.")]
        calls = ", ".join(f"`{member}`" for member in sorted(wrapped))
        behind = f"\nUnder Nooks the kernel calls through a wrapper: {calls}.\n" if calls else ""
        return f"{comment}\n```c\n{item.text}\n```\n{behind}"

    def _bullet(self, item: Item) -> str:
        words = [self._purpose(item.name), _sentence(item.comment)]
        if item.kind == "function":
            words += self._context(item.name)
        said = " ".join(filter(None, words))
        return f"- `{' '.join(item.text.split())}`" + (f": {said}\n" if said else "\n")

    def _purpose(self, name: str) -> str:
        """Return what the declaration of an exported function says."""
        function = self._kernel.functions.get(name)
        if function is None:
            return ""
        text = inspect.getdoc(function[0]) or ""
        # Behind these headings, numpy's style speaks to callers in Python.
        for heading in ("Parameters", "Returns", "Raises"):
            text = text.partition(f"\n\n{heading}\n---")[0]
        return " ".join(text.split()).replace("``", "`")

    def _context(self, name: str) -> Iterator[str]:
        function, wrapper = self._kernel.functions.get(name), KERNEL_WRAPPERS.get(name)
        if function is not None and function[1].sleeps:
            yield "**May sleep.**"
        if name in RUN_IN_PLACE or (wrapper is not None and wrapper.in_place):
            yield "Nooks: runs in the domain."
        if wrapper is None:
            return
        decisions = [f"`{each}` {decision.explain()}" for each, decision in wrapper.decisions.items()]
        if decisions:
            yield f"Nooks: {'; '.join(decisions)}."
        if wrapper.deferral is not None:
            yield f"**Deferred**: {wrapper.deferral.reason}."


def _is_internal(item: Item) -> bool:
    """Tell whether only the headers themselves need it."""
    return item.kind in ("macro", "constant") and item.name.startswith(_INTERNAL) and not item.comment


def _sentence(text: str) -> str:
    """Return a comment as a sentence."""
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".:?!" else ".")
