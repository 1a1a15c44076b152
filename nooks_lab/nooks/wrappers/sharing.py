"""Which wrapper is used by which extension, and how many extensions share it (paper, section 4.3.1, figure 5).

Read from a running system: what the loader bound the extension's symbols to, and which wrappers the kernel's structs
point to on behalf of its functions.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nooks_lab.kernel.module import Module
from nooks_lab.kernel.net.inet_stream import OPERATIONS
from nooks_lab.nooks.tracking.object_types import TYPES
from nooks_lab.nooks.tracking.tracker import TrackedObject

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks


@dataclass(frozen=True)
class WrapperUse:
    """The wrappers that one extension uses.

    Attributes
    ----------
    extension : str
    kind : str
        Its class: network, sound, ...
    kernel : frozenset of str
        Names of the kernel functions that its symbols are bound to wrappers of.
    entries : frozenset of str
        The function pointers, ``struct.member``, through whose wrappers the kernel can call it.
    object_types : frozenset of str
        Types of the kernel objects that its domain holds.
    """

    extension: str
    kind: str
    kernel: frozenset[str]
    entries: frozenset[str]
    object_types: frozenset[str]

    @property
    def wrappers(self) -> frozenset[str]:
        """Kernel wrappers and extension wrappers."""
        return self.kernel | self.entries


@dataclass(frozen=True)
class Sharing:
    """The wrappers of one extension by who else uses them.

    Attributes
    ----------
    unique : frozenset of str
        Nobody else.
    within_class : frozenset of str
        Others, all of the same class.
    across_classes : frozenset of str
        Also an extension of another class.
    """

    extension: str
    unique: frozenset[str]
    within_class: frozenset[str]
    across_classes: frozenset[str]


def use_of(nooks: "Nooks", module: Module, kind: str) -> WrapperUse:
    """Return the wrappers that a loaded extension uses at this moment.

    Parameters
    ----------
    kind : str
        The extension's class.

    Raises
    ------
    LookupError
        When the module runs in no domain.
    """
    domain = nooks.domain_of(module.name)
    if domain is None:
        raise LookupError(f"module {module.name} runs in no domain")
    gates = nooks.interposition.kernel_gates
    objects = nooks.tracker.objects(domain)
    called = {name for name, address in module.bindings.items() if gates.get(name) == address}
    # These it finds in the operations of its sockets, not by name.
    if any(tracked.type == "proto_ops" for tracked in objects):
        called |= set(OPERATIONS.values())
    entries = {
        entry
        for tracked in objects
        for entry, function in _entries(nooks, tracked)
        if module.base <= function < module.base + module.size
    }
    # The loader finds these two by name, and calls them by the kernel's struct module.
    entries |= {f"module.{member}" for member in ("init", "cleanup") if getattr(module.struct, member)}
    return WrapperUse(
        module.name,
        kind,
        frozenset(called),
        frozenset(entries),
        frozenset(tracked.type for tracked in objects),
    )


def _entries(nooks: "Nooks", tracked: TrackedObject) -> Iterator[tuple[str, int]]:
    """Yield the wrappers that the kernel has for one object, each with the extension's function behind it."""
    kernel, struct = nooks.kernel, TYPES[tracked.type].struct
    for version, own in _versions(nooks, tracked):
        for name, field in kernel.layouts.structs[struct].fields.items():
            if field.type.target is None or field.type.target.function is None:
                continue
            gate = kernel.execution.gates.get(kernel.memory.u32(version + field.offset))
            if gate is not None and gate.name == f"nooks_{struct}.{name}":
                function = own.get(name) or kernel.memory.u32(tracked.extension + field.offset)
                yield f"{struct}.{name}", function


def _versions(nooks: "Nooks", tracked: TrackedObject) -> Iterator[tuple[int, dict[str, int]]]:
    """Yield the structs that stand for an object in the kernel, with the extension's functions by member.

    A function that is not named there stands in the extension's version.
    """
    kernel, types = nooks.kernel, nooks.kernel.types
    if tracked.type == "irqaction":
        # Its kernel version is the cookie of the struct that the kernel made itself.
        line, handler, _ = tracked.detail
        for action in kernel.irq.actions(line):
            if action.dev_id == tracked.kernel:
                yield action.address, {"handler": handler}
    elif tracked.type == "kernel thread":
        yield tracked.kernel, {"fn": tracked.detail[0]}
    elif tracked.type == "sysctl table":
        table, count, _ = tracked.detail
        for offset in range(0, count * types.size("ctl_table"), types.size("ctl_table")):
            handler = types.view("ctl_table", table + offset).proc_handler
            yield tracked.kernel + offset, {"proc_handler": handler}
    elif TYPES[tracked.type].struct:
        yield tracked.kernel, {}


def users(uses: Iterable[WrapperUse]) -> dict[str, list[WrapperUse]]:
    """Return who uses each wrapper."""
    found: dict[str, list[WrapperUse]] = {}
    for use in uses:
        for wrapper in sorted(use.wrappers):
            found.setdefault(wrapper, []).append(use)
    return found


def sharing(uses: Iterable[WrapperUse]) -> dict[str, Sharing]:
    """Return for each extension which of its wrappers others use too.

    Parameters
    ----------
    uses : iterable of WrapperUse
        One for each extension.

    Raises
    ------
    ValueError
        When an extension stands there twice.
    """
    rows = list(uses)
    by_wrapper = users(rows)
    shared: dict[str, Sharing] = {}
    for use in rows:
        if use.extension in shared:
            raise ValueError(f"the extension {use.extension} is given twice")
        unique = {wrapper for wrapper in use.wrappers if len(by_wrapper[wrapper]) == 1}
        own_class = {
            wrapper for wrapper in use.wrappers if {each.kind for each in by_wrapper[wrapper]} == {use.kind}
        }
        shared[use.extension] = Sharing(
            use.extension,
            frozenset(unique),
            frozenset(own_class - unique),
            use.wrappers - own_class,
        )
    return shared
