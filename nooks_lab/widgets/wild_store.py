"""Where does the wild store go?  A control that aims a store and asks both page tables what becomes of it."""

from dataclasses import dataclass
from io import BytesIO

import ipywidgets as widgets

from nooks_lab.kernel.page_table import phys_to_virt
from nooks_lab.lab import Lab
from nooks_lab.machine.memory import PAGE_SIZE
from nooks_lab.machine.paging import PF_PRESENT, PF_WRITE
from nooks_lab.views import page_rights
from nooks_lab.views.domains import DomainsSnapshot, snapshot
from nooks_lab.views.page_rights import Rights


@dataclass(frozen=True)
class Target:
    """Something a wild pointer may hit: what it is, and its linear address."""

    name: str
    address: int


def targets(lab: Lab) -> list[Target]:
    """Return places worth hitting, in the kernel and in the loaded modules."""
    kernel = lab.kernel
    found = [
        Target("NULL", 0),
        Target("the kernel's clock, jiffies", kernel.variable("jiffies")),
        Target("the table of interrupt handlers, irq_desc", kernel.variable("irq_desc")),
        Target("the kernel's page directory", phys_to_virt(kernel.page_table.directory)),
    ]
    for name, module in kernel.modules.loaded.items():
        if module.image is not None:
            found.append(Target(f"{name}'s own code", module.image.text[0]))
            found.append(Target(f"{name}'s own data", module.image.writable[0]))
    areas = kernel.vmalloc.areas()
    if areas:
        guard = areas[0].addr + areas[0].size - PAGE_SIZE
        found.append(Target("the guard page behind the first vmalloc area", guard))
    return found


def ending(rights: Rights) -> str:
    """Return what becomes of a store to a page (error codes: Intel SDM volume 3A, section 4.7)."""
    if rights is Rights.WRITABLE:
        return "the store lands; nobody is told"
    error_code = PF_WRITE | (PF_PRESENT if rights is Rights.READ_ONLY else 0)
    return f"page fault, error code {error_code:04x}; no byte changes"


def answer(lab: Lab, address: int) -> list[tuple[str, Rights]]:
    """Return the rights of an address on the kernel's page table, where a native driver runs, and on each
    domain's.
    """
    directories = [("natively", lab.kernel.page_table.directory)]
    if lab.nooks is not None:
        directories += [(f"under Nooks, in the domain of {d.name}", d.directory) for d in lab.nooks.domains]
    memory = lab.machine.memory.bytes
    return [(where, page_rights.rights(memory, directory, address)) for where, directory in directories]


def wild_store(lab: Lab) -> widgets.VBox:
    """Return the control: choose a target, see the rights of its page and the store's ending."""
    choice = widgets.Dropdown(
        options=[(f"{target.address:08x}  {target.name}", target.address) for target in targets(lab)],
        description="Store to",
        layout=widgets.Layout(width="34em"),
    )
    text, picture = widgets.HTML(), widgets.Image(format="png", layout=widgets.Layout(max_width="100%"))

    def aim(address: int) -> None:
        text.value = _table(answer(lab, address))
        picture.value = _map(snapshot(lab), address)

    choice.observe(lambda change: aim(change["new"]), names="value")
    aim(choice.value)
    return widgets.VBox([choice, text, picture])


def _table(rows: list[tuple[str, Rights]]) -> str:
    space = "style='padding: 0 1.5em 0.3em 0'"
    cells = "".join(
        f"<tr><td {space}><b>{where}</b></td><td {space}>page is {rights}</td><td>{ending(rights)}</td></tr>"
        for where, rights in rows
    )
    return f"<table style='font-size: 120%'>{cells}</table>"


def _map(shot: DomainsSnapshot, address: int) -> bytes:
    tables = [shot.rights, *(domain.rights for domain in shot.domains)]
    inside = any(region.start <= address < region.end for region in shot.rights.regions)
    out = BytesIO()
    page_rights.draw(tables, address if inside else None).savefig(out, format="png", dpi=72)
    return out.getvalue()
