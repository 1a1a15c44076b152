"""The extensions and what Nooks has to do for each: our system's table 3 (paper, section 5)."""

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.cards import CARD_OF, CARDS
from nooks_lab.lab import Lab
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.nooks.wrappers.sharing import Sharing, WrapperUse, sharing, use_of
from nooks_lab.source_lines import c_lines
from nooks_lab.views.wrapper_sharing import Bar, Split
from nooks_lab.workloads import registry

FIRST_LOOK, LOOKS = CPU_HZ // 2000, 16
"""Half a millisecond into the workload; each look waits twice as long as the one before."""

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
        Function pointers through whose wrappers the kernel can call it, its init and cleanup included.
    object_types : int
        Types of the kernel objects tracked for it while it runs.
    unique_wrappers, class_wrappers, shared_wrappers : int
        Those of its wrappers that no other extension of the table uses; that others use, but only of its
        class; and that an extension of another class uses too (the paper's figure 5).
    kernel_sharing, extension_sharing : Split
        The same for its kernel wrappers and its extension wrappers apart.
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
    unique_wrappers: int
    class_wrappers: int
    shared_wrappers: int
    kernel_sharing: Split
    extension_sharing: Split

    @property
    def bar(self) -> Bar:
        """What the picture of figure 5 shows of it."""
        return Bar(self.name, self.kind, self.kernel_sharing, self.extension_sharing)

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
    NoWorkload
        When there is nothing to put one to.
    """
    uses = [_use(name) for name in extensions.names()]
    shared = sharing(uses)
    return [_row(use, shared[use.extension]) for use in uses]


class _Observer:
    """Looks at an extension while it works: objects come and go, and with them the kernel's ways into it."""

    name = "observer"

    def __init__(self, lab: Lab, extension: str) -> None:
        self._lab, self._extension = lab, extension
        self._uses: list[WrapperUse] = []
        lab.machine.clock.parts[self.name] = self

    def begin(self) -> None:
        for number in range(LOOKS):
            self._lab.machine.clock.after(FIRST_LOOK << number, self.name, "look")

    def look(self) -> None:
        assert self._lab.nooks is not None
        module = self._lab.kernel.modules.loaded[self._extension]
        self._uses.append(use_of(self._lab.nooks, module, extensions.CLASSES[self._extension]))

    def save(self) -> None:
        """Nothing of it belongs to the machine's state."""

    def load(self, state: None) -> None:
        """As :meth:`save`."""

    @property
    def seen(self) -> WrapperUse:
        """All that was seen in any look."""
        first = self._uses[0]
        return WrapperUse(
            first.extension,
            first.kind,
            first.kernel,
            frozenset().union(*(use.entries for use in self._uses)),
            frozenset().union(*(use.object_types for use in self._uses)),
        )


def _use(name: str) -> WrapperUse:
    """Put one extension to use, and see which wrappers it needs."""
    workload = registry.brief_workload(name)
    with nl.boot(nooks=True, devices=workload.devices) as lab:
        workload.set_up(lab)
        observer = _Observer(lab, name)
        observer.look()
        observer.begin()
        workload.run(lab)
        return observer.seen


def _row(use: WrapperUse, shared: Sharing) -> ExtensionRow:
    name = use.extension
    texts = [path.read_text(encoding="utf-8") for path in _sources(name)]
    return ExtensionRow(
        name,
        use.kind,
        CARDS[CARD_OF[name]].title if name in CARD_OF else "none",
        sum(map(c_lines, texts)),
        sum(bool(_NOOKS.search(line)) for text in texts for line in text.splitlines()),
        extensions.extension(name).sha256,
        len(use.kernel),
        len(use.entries),
        len(use.object_types),
        len(shared.unique),
        len(shared.within_class),
        len(shared.across_classes),
        _split(use.kernel, shared),
        _split(use.entries, shared),
    )


def _split(wrappers: frozenset[str], shared: Sharing) -> Split:
    parts = (shared.unique, shared.within_class, shared.across_classes)
    return Split(*(len(wrappers & part) for part in parts))


def _sources(name: str) -> list[Path]:
    return sorted(extensions.source(name).parent.glob("*.[ch]"))
