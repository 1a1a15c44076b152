"""The kernel, its domains, and who owns what: a snapshot, its graph, and the picture of both.

Ownership after Swift, Bershad and Levy (SOSP 2003), sections 3 and 4: each domain holds modules, and for
each tracked object that the extension writes there is a kernel version and an extension version.
"""

from collections import Counter
from dataclasses import dataclass

import networkx as nx
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from nooks_lab.lab import Lab
from nooks_lab.nooks.tracking.object_types import TYPES, Transfer
from nooks_lab.nooks.tracking.tracker import TrackedObject
from nooks_lab.views import page_rights, palette
from nooks_lab.views.page_rights import PageRights


@dataclass(frozen=True)
class ObjectShot:
    """A tracked object: its type, the addresses of its two versions (equal, or 0 for the extension's,
    when it is not copied), its lifetime, and how the extension gets at it (``copy``, ``map`` or ``handle``).
    """

    type: str
    kernel: int
    extension: int
    lifetime: str
    transfer: str = "copy"

    @property
    def relation(self) -> str:
        """``copy``: a version on each side; ``shared``: one for both; ``private``: the extension's only."""
        if not self.kernel:
            return "private"
        return "shared" if self.extension in (0, self.kernel) else "copy"


@dataclass(frozen=True)
class DomainShot:
    """A protection domain: its extension's name, its modules, its objects, and why its pages are writable.

    Attributes
    ----------
    writable : dict
        Linear address of each page -> reason.
    """

    name: str
    number: int
    failed: bool
    modules: tuple[str, ...]
    objects: tuple[ObjectShot, ...]
    writable: dict[int, str]
    rights: PageRights


@dataclass(frozen=True)
class DomainsSnapshot:
    """The system at one moment.

    Attributes
    ----------
    modules : tuple of str
        Modules that live in no domain: all of them, natively.
    rights : PageRights
        The kernel's own.
    """

    modules: tuple[str, ...]
    rights: PageRights
    domains: tuple[DomainShot, ...]


def snapshot(lab: Lab) -> DomainsSnapshot:
    """Read kernel and domains of a running system; natively there are no domains."""
    kernel_rights = page_rights.page_rights(lab, "Linux kernel", lab.kernel.page_table.directory)
    shots = []
    if lab.nooks is not None:
        for domain in lab.nooks.domains:
            objects = tuple(_object_shot(item) for item in lab.nooks.tracker.objects(domain))
            rights = page_rights.page_rights(lab, f"domain of {domain.name}", domain.directory)
            modules, writable = tuple(domain.modules), dict(domain.writable)
            shots.append(
                DomainShot(domain.name, domain.number, domain.failed, modules, objects, writable, rights)
            )
    inside = {name for shot in shots for name in shot.modules}
    outside = tuple(name for name in lab.kernel.modules.loaded if name not in inside)
    return DomainsSnapshot(outside, kernel_rights, tuple(shots))


def _object_shot(item: TrackedObject) -> ObjectShot:
    transfer = TYPES[item.type].transfer
    # The tracker also knows objects by handles, such as bus addresses; those are no version of anything.
    extension = 0 if transfer is Transfer.HANDLE else item.extension
    return ObjectShot(item.type, item.kernel, extension, item.lifetime, transfer.value)


def graph(shot: DomainsSnapshot) -> nx.DiGraph:
    """Return who owns what.

    Returns
    -------
    networkx.DiGraph
        Node attribute ``kind``: ``kernel``, ``domain``, ``module``, ``kernel version``, ``extension
        version`` or ``shared`` (one version for both sides); object nodes also have ``type``, ``address``,
        ``lifetime``, ``relation`` and ``transfer``.
        Edge attribute ``kind``: ``holds`` (kernel or domain to module), ``owns`` (to an object), ``uses``
        (domain to a shared object) or ``copy`` (kernel version to extension version).
    """
    made = nx.DiGraph()
    made.add_node("kernel", kind="kernel")
    for name in shot.modules:
        made.add_node(f"module {name}", kind="module")
        made.add_edge("kernel", f"module {name}", kind="holds")
    for domain in shot.domains:
        owner = f"domain {domain.number}"
        made.add_node(owner, kind="domain", name=domain.name, failed=domain.failed)
        for name in domain.modules:
            made.add_node(f"module {name}", kind="module")
            made.add_edge(owner, f"module {name}", kind="holds")
        for item in domain.objects:
            _add_object(made, owner, item)
    return made


def _add_object(made: nx.DiGraph, owner: str, item: ObjectShot) -> None:
    facts = {
        "type": item.type,
        "lifetime": item.lifetime,
        "relation": item.relation,
        "transfer": item.transfer,
    }
    theirs, ours = f"{item.type} {item.kernel:08x}", f"{item.type} {item.extension:08x}"
    if item.relation != "private":
        kind = "shared" if item.relation == "shared" else "kernel version"
        made.add_node(theirs, kind=kind, address=item.kernel, **facts)
        made.add_edge("kernel", theirs, kind="owns")
    if item.relation == "shared":
        made.add_edge(owner, theirs, kind="uses")
        return
    made.add_node(ours, kind="extension version", address=item.extension, **facts)
    made.add_edge(owner, ours, kind="owns")
    if item.relation == "copy":
        made.add_edge(theirs, ours, kind="copy")


def draw(what: Lab | DomainsSnapshot) -> Figure:
    """Draw domains and ownership on the left, page rights on the right."""
    shot = what if isinstance(what, DomainsSnapshot) else snapshot(what)
    tables = [shot.rights, *(domain.rights for domain in shot.domains)]
    figure = Figure(figsize=(7.2 + _TABLE * len(tables), _MAP_INCHES), layout="constrained")
    grid = figure.add_gridspec(1, 2, width_ratios=[7.2, _TABLE * len(tables)])
    left, right = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    figure.set_figheight(max(_MAP_INCHES, _draw_ownership(left.subplots(), shot)))
    page_rights.draw_into(right, tables)
    return figure


def draw_ownership(what: Lab | DomainsSnapshot) -> Figure:
    """Draw the kernel, the domains, their modules and the tracked objects, counted by type."""
    shot = what if isinstance(what, DomainsSnapshot) else snapshot(what)
    figure = Figure(layout="constrained")
    figure.set_size_inches(9, _draw_ownership(figure.subplots(), shot))
    return figure


_KERNEL_X, _DOMAIN_X, _WIDTH = 0.0, 6.0, 4.2
_HEAD = 1.2
_ROW = 1.0
_FOOT = 0.7
_GAP = 0.5
_TABLE = 5.0
_TEXT_LINE = 0.42
_ROW_INCHES = 0.5
_MAP_INCHES = 7.6


@dataclass(frozen=True)
class _Row:
    type: str
    lifetime: str
    relation: str
    transfer: str
    count: int

    @property
    def label(self) -> str:
        """What the line between both sides stands for."""
        if self.relation == "copy":
            return "copy" if self.transfer == "copy" else "copy+map"
        return "mapped" if self.transfer == "map" else self.transfer

    @property
    def text(self) -> str:
        return f"{self.type} × {self.count}" if self.count > 1 else self.type


def _rows(made: nx.DiGraph, owner: str) -> list[_Row]:
    """Count a domain's objects by type, lifetime and relation."""
    found: Counter[tuple[str, str, str, str]] = Counter()
    for _, node, edge in made.out_edges(owner, data="kind"):
        if edge in ("owns", "uses"):
            facts = made.nodes[node]
            found[facts["type"], facts["lifetime"], facts["relation"], facts["transfer"]] += 1
    rows = [_Row(*key, count) for key, count in found.items()]
    order = ("copy", "private", "shared")
    return sorted(rows, key=lambda row: (order.index(row.relation), row.type, row.lifetime))


def _draw_ownership(ax: Axes, shot: DomainsSnapshot) -> float:
    """Draw the kernel on the left, its domains on the right; return the height in inches."""
    made = graph(shot)
    y = bottom = 0.0
    for domain in shot.domains:
        bottom = _draw_domain(ax, made, domain, y)
        y = bottom - _GAP - _HEAD
    for name in made.successors("kernel"):
        if made.nodes[name]["kind"] == "module":
            _box(ax, _KERNEL_X, y, name, "white")
            bottom = y - _FOOT
            y -= _ROW
    bottom = min(bottom, -1.0)
    _frame(ax, _KERNEL_X, _HEAD, bottom, "Linux kernel", palette.KERNEL)
    if not shot.domains:
        ax.text(
            _KERNEL_X + _WIDTH / 2,
            bottom - 0.6,
            "No domains: every module can write all of the kernel.",
            ha="center",
            fontsize=13,
            color=palette.INK,
        )
        bottom -= 1
    right = _DOMAIN_X + _WIDTH if shot.domains else _WIDTH
    ax.set_xlim(_KERNEL_X - 0.5, right + 0.5)
    lower, upper = bottom - 0.3, _HEAD + 0.3
    ax.set_ylim(lower, upper)
    ax.axis("off")
    return _ROW_INCHES * (upper - lower)


def _draw_domain(ax: Axes, made: nx.DiGraph, domain: DomainShot, top: float) -> float:
    """Draw a domain from ``top`` down, its objects facing their kernel versions; return its lower end."""
    y = top
    for name in domain.modules:
        _box(ax, _DOMAIN_X, y, f"module {name}", "white", bold=True)
        y -= _ROW
    rows = _rows(made, f"domain {domain.number}")
    for row in rows:
        _draw_row(ax, row, y)
        y -= _ROW
    # A shared object leaves the domain's side of its row empty: room for the list.
    own_end = y + _ROW * sum(row.relation == "shared" for row in rows)
    bottom = min(y + _ROW - _FOOT, _draw_reasons(ax, domain, own_end))
    title = f"domain {domain.number}: {domain.name}" + (" (failed)" if domain.failed else "")
    _frame(ax, _DOMAIN_X, top + _HEAD, bottom, title, palette.FAILED if domain.failed else palette.DOMAIN)
    return bottom


def _draw_row(ax: Axes, row: _Row, y: float) -> None:
    if row.relation != "private":
        _box(ax, _KERNEL_X, y, row.text, "white", note=row.lifetime)
    if row.relation != "shared":
        note = "extension version" if row.relation == "copy" else f"{row.lifetime}, its own"
        _box(ax, _DOMAIN_X, y, row.text, "white", note=note)
    if row.relation == "private":
        return
    copied = row.relation == "copy"
    end = _DOMAIN_X + 0.2 if copied else _DOMAIN_X - 0.3
    style, line = ("<->", "solid") if copied else ("-", "dotted")
    arrow = {"arrowstyle": style, "linestyle": line, "lw": 2, "color": palette.INK}
    ax.annotate("", (end, y), (_KERNEL_X + _WIDTH - 0.2, y), arrowprops=arrow)
    middle = (_KERNEL_X + _WIDTH + _DOMAIN_X) / 2
    ax.text(middle, y + 0.12, row.label, ha="center", fontsize=11, color=palette.INK)


def _draw_reasons(ax: Axes, domain: DomainShot, y: float) -> float:
    """List why the domain may write what it may, and return the list's lower end."""
    counts = sorted(Counter(domain.writable.values()).items(), key=lambda item: (-item[1], item[0]))
    if not counts:
        return y
    lines = ["writable pages:", *(f"{count} {reason}" for reason, count in counts)]
    ax.text(
        _DOMAIN_X + 0.3, y + 0.35, "\n".join(lines), va="top", fontsize=11, color=palette.INK, linespacing=1.3
    )
    return y + 0.35 - _TEXT_LINE * len(lines) - 0.2


def _frame(ax: Axes, x: float, top: float, bottom: float, title: str, colour: str) -> None:
    ax.add_patch(
        FancyBboxPatch(
            (x - 0.2, bottom),
            _WIDTH + 0.4,
            top - bottom,
            boxstyle="round,pad=0.1,rounding_size=0.25",
            facecolor=colour,
            edgecolor=palette.INK,
            linewidth=1.5,
            zorder=0,
        )
    )
    ax.text(
        x + _WIDTH / 2, top - 0.35, title, ha="center", va="center", fontsize=15, fontweight="bold", zorder=3
    )


def _box(ax: Axes, x: float, y: float, text: str, colour: str, *, note: str = "", bold: bool = False) -> None:
    ax.add_patch(
        FancyBboxPatch(
            (x + 0.2, y - 0.36),
            _WIDTH - 0.4,
            0.72,
            boxstyle="round,pad=0,rounding_size=0.12",
            facecolor=colour,
            edgecolor=palette.FAINT,
            zorder=1,
        )
    )
    middle, upper = x + _WIDTH / 2, y + (0.14 if note else 0)
    weight = "bold" if bold else "normal"
    ax.text(middle, upper, text, ha="center", va="center", fontsize=12, weight=weight, zorder=2)
    if note:
        ax.text(middle, y - 0.19, note, ha="center", va="center", fontsize=10, color=palette.FAINT, zorder=2)
