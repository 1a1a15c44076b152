"""The extensions and what Nooks has to do for each: our system's table 3 (paper, section 5)."""

import re
import struct
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.lab import Lab
from nooks_lab.replay import ADDRESS, DEVICE, NETMASK
from nooks_lab.source_lines import c_lines
from nooks_lab.toolchain.elf import ObjectFile

_CLASS_AND_DEVICE = {"e1000": ("network", "Intel 82540EM (PRO/1000 MT Desktop)")}
_NOOKS = re.compile(r"\bnooks_\w|\bCONFIG_NOOKS")


@dataclass(frozen=True)
class ExtensionRow:
    """One extension.

    Attributes
    ----------
    name, device : str
    kind : str
        The paper's class of extension; ``class`` in JSON.
    c_lines : int
        Lines of C of its own, headers included, without comments and blank lines (the paper's count).
    changed_lines : int
        Those of them that name anything of Nooks (``nooks_...``, ``CONFIG_NOOKS``).
    object_sha256 : str
        Of the object file that is loaded natively and under Nooks.
    kernel_wrappers : int
        Kernel functions that it calls through a wrapper.
    extension_wrappers : int
        Functions of its own that the kernel can call, each through a wrapper.
    object_types : int
        Types of the kernel objects tracked for it while it runs.
    """

    name: str
    kind: str
    device: str
    c_lines: int
    changed_lines: int
    object_sha256: str
    kernel_wrappers: int
    extension_wrappers: int
    object_types: int

    def to_json(self) -> dict[str, Any]:
        """Return the row as plain data."""
        row = asdict(self)
        return {"name": row.pop("name"), "class": row.pop("kind"), **row}


def table() -> list[ExtensionRow]:
    """Load every extension under Nooks, put it to use, and return its row.

    Raises
    ------
    CompileError, ModuleError
        When one cannot be loaded.
    """
    return [_row(name) for name in extensions.names()]


def _row(name: str) -> ExtensionRow:
    obj = extensions.extension(name)
    texts = [path.read_text(encoding="utf-8") for path in _sources(name)]
    kind, device = _CLASS_AND_DEVICE[name]
    # The module's own two functions are found by name, not through a pointer.
    entries = functions_given_away(obj) | {"init_module", "cleanup_module"} & obj.defined().keys()
    with nl.boot(nooks=True) as lab:
        module = lab.insmod(obj)
        lab.ifup(DEVICE, ADDRESS, NETMASK)
        lab.run(0.05)
        exported = lab.kernel.exported
        wrapped = [name for name, address in module.bindings.items() if exported.get(name) != address]
        return ExtensionRow(
            name,
            kind,
            device,
            sum(map(c_lines, texts)),
            sum(bool(_NOOKS.search(line)) for text in texts for line in text.splitlines()),
            obj.sha256,
            len(wrapped),
            len(entries),
            len(_tracked_types(lab)),
        )


def _sources(name: str) -> list[Path]:
    return sorted(extensions.source(name).parent.glob("*.[ch]"))


def _tracked_types(lab: Lab) -> set[str]:
    manager = lab.nooks
    if manager is None:
        return set()
    return {tracked.type for domain in manager.domains for tracked in manager.tracker.objects(domain)}


def functions_given_away(obj: ObjectFile) -> set[str]:
    """Return the functions whose address an object takes: those that the kernel comes to call by pointer."""
    starts = {(symbol.section, symbol.value): symbol.name for symbol in obj.symbols if symbol.kind == "FUNC"}
    names = set()
    for place in obj.relocations:
        section, target = obj.sections[place.section], obj.symbols[place.symbol]
        if place.kind != "R_386_32" or section.nobits:
            continue
        (addend,) = struct.unpack_from("<I", section.data, place.offset)
        names.add(starts.get((target.section, target.value + addend)))
    return {name for name in names if name is not None}
