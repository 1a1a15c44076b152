"""Where does the wild store go?  A control that aims a store and asks both page tables what becomes of it."""

import re
from dataclasses import dataclass
from io import BytesIO
from typing import Any

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


def parse_address(text: str) -> int:
    """Read a linear address as a student types it, in hexadecimal with or without ``0x``.

    Raises
    ------
    ValueError
        With a sentence for the student.
    """
    if re.fullmatch(r"(0x)?[0-9a-f]{1,8}", text.strip(), re.ASCII | re.IGNORECASE) is None:
        raise ValueError(
            "This is no address: write one to eight hexadecimal digits, such as c0123456 or 0xc0123456."
        )
    return int(text, 16)


def wild_store(lab: Lab) -> widgets.VBox:
    """Return the control: choose a target or write an address; see its page's rights, the store's ending."""
    aims = [(f"{target.address:08x}", target.name) for target in targets(lab)]
    known = {at for at, _ in aims}
    choice = widgets.Dropdown(
        options=[("choose a target ...", ""), *((f"{at}  {name}", at) for at, name in aims)],
        description="Store to",
        layout=widgets.Layout(width="34em"),
    )
    # One address, not every digit on the way to it: a map takes half a second.
    field = widgets.Text(
        description="or address",
        placeholder="c0123456, then Enter",
        continuous_update=False,
        layout=widgets.Layout(width="20em"),
    )
    text = widgets.HTML()
    picture = widgets.Image(
        format="png",
        layout=widgets.Layout(
            display="none",
            max_width="100%",
            max_height="62vh",
            align_self="flex-start",
            object_fit="contain",
        ),
    )
    # The field leads: a choice writes its address there, and shows again which target the field names.
    named = ""

    def chosen(change: dict[str, Any]) -> None:
        if change["new"] != named:
            field.value = change["new"]

    def written(change: dict[str, Any]) -> None:
        nonlocal named
        named, verdict, shown = "", "", b""
        if change["new"].strip():
            try:
                address = parse_address(change["new"])
            except ValueError as error:
                verdict = f"<b>{error}</b>"
            else:
                at = f"{address:08x}"
                named = at if at in known else ""
                verdict, shown = _table(answer(lab, address)), _map(snapshot(lab), address)
        choice.value = named
        text.value, picture.value = verdict, shown
        picture.layout.display = None if shown else "none"

    choice.observe(chosen, names="value")
    field.observe(written, names="value")
    return widgets.VBox([widgets.HBox([choice, field]), text, picture])


def _table(rows: list[tuple[str, Rights]]) -> str:
    lines = "".join(
        f"<tr>{_cell(f'<b>{where}</b>')}{_cell(f'page is {rights}')}{_cell(ending(rights))}</tr>"
        for where, rights in rows
    )
    return f"<table style='font-size: 120%'>{lines}</table>"


def _cell(content: str) -> str:
    return f"<td style='padding: 0 1.5em 0.3em 0'>{content}</td>"


def _map(shot: DomainsSnapshot, address: int) -> bytes:
    tables = [shot.rights, *(domain.rights for domain in shot.domains)]
    inside = any(region.start <= address < region.end for region in shot.rights.regions)
    out = BytesIO()
    page_rights.draw(tables, address if inside else None).savefig(out, format="png", dpi=144)
    return out.getvalue()
