"""The bugs by name, and the drivers that have one."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from nooks_lab import extensions
from nooks_lab.faults.bugs.patch import Patch, read_patch
from nooks_lab.faults.wild_store import PatchError
from nooks_lab.toolchain.elf import ObjectFile

OPERATIONS = (
    "load",
    "unload",
    "open",
    "close",
    "receive",
    "transmit",
    "timer",
    "ioctl",
    "set MTU",
    "play",
    "create",
    "remove",
    "write",
    "list",
    "serve",
    "publish",
)
"""Operations of an extension's interface, in one of which a bug shows."""

MANUAL_KINDS = (
    "null check removed",
    "uninitialised stack variable",
    "uninitialised heap variable",
    "user pointer dereferenced",
    "double free",
)
"""The mistakes that the authors of Nooks made by hand."""

MANUAL_STUDY = "Swift et al., SOSP 2003, section 5.2.4"
"""What the paper's fifteen name as their study."""

_PATCHES = Path(__file__).parent / "patches"
_HEADER = ("Kind", "Fault", "Situation", "Operation", "Study")
_DEFINITION = re.compile(r"[A-Za-z_][^;:]*(?:\(|= \{)[^;]*")


class UnknownBug(LookupError):  # noqa: N818 - the sentence is for the user
    """No bug of that name; the message lists those there are."""


@dataclass(frozen=True)
class Bug:
    """One mistake in one place of an extension.

    Attributes
    ----------
    id : str
        Its name, such as ``null-check-1``: that of its patch.
    extension : str
        Whose bug it is.
    kind : str
        The sort of mistake.
    summary : str
        What the driver does wrong, in one sentence.
    situation : str
        What has to be so for it to show, in one sentence.
    operation : str
        The operation of the driver's interface in which it shows; one of ``OPERATIONS``.
    study : str
        Where this kind of bug was found, or made.
    patch : Patch
    """

    id: str
    extension: str
    kind: str
    summary: str
    situation: str
    operation: str
    study: str
    patch: Patch

    @property
    def manual(self) -> bool:
        """Whether it is one of the paper's fifteen."""
        return self.study == MANUAL_STUDY

    @property
    def function(self) -> str:
        """The function of the source that is changed, or the variable.

        Where the compiler put it into its caller, an oops names that one.
        """
        text = _source(self).read_text(encoding="utf-8")
        above = text.splitlines()[: self.patch.first_changed_line(text)]
        defined = next((line for line in reversed(above) if _DEFINITION.fullmatch(line)), "")
        named = re.search(r"(\w+)(?:\(|(?:\[[^]]*\])? = \{)", defined)
        return named[1] if named else ""

    @property
    def lines(self) -> int:
        """Lines added and removed."""
        return self.patch.added + self.patch.removed


@cache
def catalogue() -> tuple[Bug, ...]:
    """Return all bugs: first the paper's by class, then the others by extension.

    Raises
    ------
    PatchError
        When a patch file cannot be read.
    """
    bugs = [_bug(path) for path in sorted(_PATCHES.glob("*.patch"))]
    order = extensions.names()
    return tuple(
        sorted(
            bugs,
            key=lambda bug: (
                (0, MANUAL_KINDS.index(bug.kind), bug.id)
                if bug.manual
                else (1, order.index(bug.extension), bug.id)
            ),
        )
    )


def manual_bugs() -> tuple[Bug, ...]:
    """Return the paper's, by class (section 5.2.4)."""
    return tuple(bug for bug in catalogue() if bug.manual)


def find_bug(name: str) -> Bug:
    """Return a bug by its id.

    Raises
    ------
    UnknownBug
        When there is none of that id.
    """
    for bug in catalogue():
        if bug.id == name:
            return bug
    raise UnknownBug(f"unknown bug {name!r}; there are: {', '.join(bug.id for bug in catalogue())}")


def make_bug(patch: Patch) -> Bug:
    """Return the bug that a patch makes.

    Raises
    ------
    PatchError
        When its header does not say all that is known of a bug, or it patches no extension.
    """
    for name in _HEADER:
        if not patch.header.get(name):
            raise PatchError(f"{patch.name}: its header has no line {name!r}")
    kind, summary, situation, operation, study = (patch.header[name] for name in _HEADER)
    extension = patch.path.partition("/")[0]
    if extension not in extensions.names():
        raise PatchError(f"{patch.name}: {patch.path} is of no extension")
    if operation not in OPERATIONS:
        raise PatchError(f"{patch.name}: {operation!r} is no operation; there are: {', '.join(OPERATIONS)}")
    return Bug(patch.name, extension, kind, summary, situation, operation, study, patch)


def _bug(path: Path) -> Bug:
    return make_bug(read_patch(path.stem, path.read_text(encoding="utf-8")))


def _source(bug: Bug) -> Path:
    return extensions.source(bug.extension).parent.parent / bug.patch.path


def faulty_source(bug: Bug) -> str:
    """Return an extension's C source with one bug.

    Of an extension in several files it is the main one, with the patched file in the place of its ``#include``.

    Parameters
    ----------
    bug : Bug
        From :func:`catalogue`, or one of your own.

    Raises
    ------
    PatchError
        When the patch does not fit the source.
    """
    main, changed = extensions.source(bug.extension), _source(bug)
    if not changed.is_file():
        raise PatchError(f"{bug.id}: there is no {bug.patch.path}")
    text = bug.patch.apply(changed.read_text(encoding="utf-8"))
    if changed == main:
        return text
    whole, include = main.read_text(encoding="utf-8"), f'#include "{changed.name}"\n'
    before, found, after = whole.partition(include)
    if not found:
        raise PatchError(f"{bug.id}: {main.name} does not include {changed.name}")
    line = before.count("\n") + 2
    return f'{before}#line 1 "{changed.name}"\n{text}#line {line} "{main.name}"\n{after}'


def faulty_driver(bug: Bug) -> ObjectFile:
    """Compile an extension with one bug; the object is called as the extension is.

    Raises
    ------
    PatchError
        See :func:`faulty_source`.
    CompileError
        When what the patch makes is no C.
    """
    main = extensions.source(bug.extension)
    return extensions.build(main.name, faulty_source(bug), include=(main.parent,))
