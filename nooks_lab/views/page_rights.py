"""The page-rights map: what each page table lets its owner do, page by page.

Read from the page tables themselves, in physical memory (Intel SDM volume 3A, sections 4.3 and 4.6).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure, FigureBase
from matplotlib.patches import Patch

from nooks_lab.kernel.page_table import PAGE_OFFSET
from nooks_lab.kernel.vmalloc import VMALLOC_START
from nooks_lab.lab import Lab
from nooks_lab.machine.memory import PAGE_MASK, PAGE_SHIFT, PAGE_SIZE
from nooks_lab.machine.paging import RW, P
from nooks_lab.views import palette

COLUMNS = 64
"""Pages in a row of the map: a row is 256 KB."""


class Rights(IntEnum):
    """What a page table says of a page, to code at ring 0 with CR0.WP set."""

    NOT_MAPPED = 0
    READ_ONLY = 1
    WRITABLE = 2

    def __str__(self) -> str:
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True)
class Region:
    """A half-open range of linear addresses; whole pages."""

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class PageRights:
    """One page table's rights over some regions.

    Attributes
    ----------
    owner : str
        Whose table it is.
    cells : tuple of bytes
        For each region, one byte per page: a :class:`Rights`.
    """

    owner: str
    regions: tuple[Region, ...]
    cells: tuple[bytes, ...]

    def count(self, rights: Rights) -> int:
        """Return the number of pages with these rights."""
        return sum(cells.count(rights) for cells in self.cells)


def rights(memory: bytes | memoryview, directory: int, address: int) -> Rights:
    """Walk a page table in physical memory; entries that lead out of it map nothing.

    Parameters
    ----------
    memory : bytes
        Physical memory from address 0.
    directory : int
        Physical address of the page directory.
    address : int
        Linear address.
    """
    pde = _entry(memory, directory, address >> 22)
    if not pde & P:
        return Rights.NOT_MAPPED
    return _of(pde, _entry(memory, pde & PAGE_MASK, address >> 12 & 0x3FF))


def region_rights(memory: bytes | memoryview, directory: int, region: Region) -> bytes:
    """Return the rights of every page of a region, a byte each; see :func:`rights`."""
    return bytes(rights(memory, directory, page) for page in range(region.start, region.end, PAGE_SIZE))


def _entry(memory: bytes | memoryview, table: int, index: int) -> int:
    at = table + 4 * index
    return int.from_bytes(memory[at : at + 4], "little")


def _of(pde: int, pte: int) -> Rights:
    if not pte & P:
        return Rights.NOT_MAPPED
    return Rights.WRITABLE if pde & pte & RW else Rights.READ_ONLY


def regions(lab: Lab) -> tuple[Region, ...]:
    """Return the direct map, and the vmalloc area as far as it is in use (at least a row of the map)."""
    areas = lab.kernel.vmalloc.areas()
    used = areas[-1].addr + areas[-1].size if areas else VMALLOC_START
    row = COLUMNS * PAGE_SIZE
    end = VMALLOC_START + max(1, -(-(used - VMALLOC_START) // row)) * row
    return (
        Region("direct map", PAGE_OFFSET, PAGE_OFFSET + lab.machine.memory.size),
        Region("vmalloc area", VMALLOC_START, end),
    )


def page_rights(lab: Lab, owner: str, directory: int) -> PageRights:
    """Read a page table of a running system.

    Parameters
    ----------
    owner : str
        What to call it.
    directory : int
        Physical address of its page directory.
    """
    memory, shown = lab.machine.memory.bytes, regions(lab)
    return PageRights(owner, shown, tuple(region_rights(memory, directory, region) for region in shown))


def draw(tables: Sequence[PageRights], mark: int | None = None) -> Figure:
    """Draw page tables side by side.

    Parameters
    ----------
    tables : sequence of PageRights
        At least one; all of the same regions.
    mark : int, optional
        A linear address whose page gets a ring.
    """
    figure = Figure(figsize=(1.2 + 5.4 * len(tables), 7.6), layout="constrained")
    draw_into(figure, tables, mark)
    return figure


def draw_into(figure: FigureBase, tables: Sequence[PageRights], mark: int | None = None) -> None:
    """Draw page tables side by side into a figure with a constrained layout (or a part of one)."""
    shown = tables[0].regions
    rows = [-(-(region.end - region.start) // (COLUMNS * PAGE_SIZE)) for region in shown]
    heights = [max(count, 5) for count in rows]
    axes = figure.subplots(len(shown), len(tables), squeeze=False, gridspec_kw={"height_ratios": heights})
    for column, table in enumerate(tables):
        for row, (region, cells) in enumerate(zip(table.regions, table.cells, strict=True)):
            ax = axes[row][column]
            _draw_region(ax, region, cells, mark)
            ax.set_title(f"{region.name}: {_summary(cells)}", fontsize=11, color=palette.FAINT)
        top = axes[0][column]
        summary = top.get_title()
        top.set_title(f"{table.owner}\n", fontsize=15, fontweight="bold", color=palette.INK)
        top.text(0.5, 1.012, summary, transform=top.transAxes, ha="center", fontsize=11, color=palette.FAINT)
    handles = [
        Patch(facecolor=_COLOURS[value], edgecolor=palette.FAINT, label=f"{value}") for value in Rights
    ]
    if mark is not None:
        handles.append(Patch(facecolor="none", edgecolor=palette.MARK, linewidth=2, label=f"{mark:08x}"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=13, frameon=False)


_COLOURS = {
    Rights.NOT_MAPPED: palette.NOT_MAPPED,
    Rights.READ_ONLY: palette.READ_ONLY,
    Rights.WRITABLE: palette.WRITABLE,
}
_ROWS_WITH_LINES = 8
_COLOUR_MAP = ListedColormap([_COLOURS[value] for value in Rights])


def _summary(cells: bytes) -> str:
    return f"{cells.count(Rights.WRITABLE):,} of {len(cells):,} pages writable"


def _draw_region(ax: Axes, region: Region, cells: bytes, mark: int | None) -> None:
    padded = cells + bytes(-len(cells) % COLUMNS)
    grid = [list(padded[at : at + COLUMNS]) for at in range(0, len(padded), COLUMNS)]
    width = 0.5 if len(grid) <= _ROWS_WITH_LINES else 0
    ax.pcolormesh(
        grid, cmap=_COLOUR_MAP, vmin=-0.5, vmax=2.5, edgecolors="white" if width else "none", lw=width
    )
    ax.invert_yaxis()
    ax.set_xticks([])
    step = max(1, len(grid) // 8)
    ax.set_yticks(
        [row + 0.5 for row in range(0, len(grid), step)],
        [f"{region.start + row * COLUMNS * PAGE_SIZE:08x}" for row in range(0, len(grid), step)],
        fontsize=10,
        family="monospace",
    )
    ax.tick_params(length=0)
    if mark is not None and region.start <= mark < region.end:
        page = mark - region.start >> PAGE_SHIFT
        ax.plot(
            page % COLUMNS + 0.5,
            page // COLUMNS + 0.5,
            "o",
            markersize=16,
            markerfacecolor="none",
            markeredgecolor=palette.MARK,
            markeredgewidth=2.5,
            clip_on=False,
        )
