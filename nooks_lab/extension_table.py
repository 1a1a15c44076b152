"""The extensions and what Nooks has to do for each: our system's table 3 (paper, section 5)."""

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.cards import CARD_OF, CARDS
from nooks_lab.nooks.wrappers.sharing import Sharing, WrapperUse, sharing, use_of
from nooks_lab.replay import ADDRESS, DEVICE, NETMASK
from nooks_lab.source_lines import c_lines
from nooks_lab.workloads.play_tune import PlayTune
from nooks_lab.workloads.tune import Tune

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
    uses = [_use(name) for name in extensions.names()]
    shared = sharing(uses)
    return [_row(use, shared[use.extension]) for use in uses]


def _use(name: str) -> WrapperUse:
    """Put one extension to use, and see which wrappers it needs."""
    with nl.boot(nooks=True, devices=(CARD_OF[name],)) as lab:
        assert lab.nooks is not None
        module = lab.insmod(name)
        if extensions.CLASSES[name] == "sound":
            PlayTune(name, Tune(seconds=0.1)).run(lab)
        else:
            lab.ifup(DEVICE, ADDRESS, NETMASK)
            lab.run(0.05)
        return use_of(lab.nooks, module, extensions.CLASSES[name])


def _row(use: WrapperUse, shared: Sharing) -> ExtensionRow:
    name = use.extension
    texts = [path.read_text(encoding="utf-8") for path in _sources(name)]
    return ExtensionRow(
        name,
        use.kind,
        CARDS[CARD_OF[name]].title,
        sum(map(c_lines, texts)),
        sum(bool(_NOOKS.search(line)) for text in texts for line in text.splitlines()),
        extensions.extension(name).sha256,
        len(use.kernel),
        len(use.entries),
        len(use.object_types),
        len(shared.unique),
        len(shared.within_class),
        len(shared.across_classes),
    )


def _sources(name: str) -> list[Path]:
    return sorted(extensions.source(name).parent.glob("*.[ch]"))
