"""Names for what lies at an address of the kernel: a variable, an object in use, a module's data, a slab object."""

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from nooks_lab.kernel.kernel import kernel_image
from nooks_lab.machine.memory import PAGE_MASK
from nooks_lab.nooks.isolation.domain import Domain
from nooks_lab.nooks.tracking.object_types import TYPES
from nooks_lab.nooks.tracking.tracker import TrackedObject
from nooks_lab.toolchain.layouts import CType, Layouts, place_in, read_layouts

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks


def name_kernel_data(nooks: "Nooks", domain: Domain, address: int) -> str:
    """Say what a domain meets at an address.

    Returns
    -------
    str
        ``pci_dev.irq`` for a member of an object in use (of this domain's objects first), ``jiffies`` or
        ``irq_desc[3].status`` for a variable of the kernel, ``buffer [module]``, ``heap of domain x``,
        ``size-64 object``, or ``page c0200000`` when nothing more is known.
    """
    return (
        _variable(nooks, address)
        or _member(nooks, domain, address)
        or _module_data(nooks, address)
        or _granted_page(nooks, address)
        or _slab_object(nooks, address)
        or f"page {address & PAGE_MASK:08x}"
    )


@cache
def _image_layouts() -> Layouts:
    """Return the types of all variables of the kernel; its headers declare only those that extensions may use."""
    return read_layouts(kernel_image().object)


def _objects(nooks: "Nooks", domain: Domain) -> Iterator[TrackedObject]:
    yield from nooks.tracker.call_objects(nooks.kernel.sched.current.address)
    for each in [domain, *(other for other in nooks.domains if other is not domain)]:
        yield from nooks.tracker.objects(each)


def _member(nooks: "Nooks", domain: Domain, address: int) -> str | None:
    layouts = nooks.kernel.layouts
    for tracked in _objects(nooks, domain):
        layout = layouts.structs.get(TYPES[tracked.type].struct)
        if layout is not None and tracked.kernel <= address < tracked.kernel + layout.size:
            ctype = CType("struct", f"struct {layout.name}", layout.size, struct=layout.name)
            return layout.name + place_in(layouts, ctype, address - tracked.kernel)
    return None


def _variable(nooks: "Nooks", address: int) -> str | None:
    image = nooks.kernel.image
    for name, start in image.symbols.items():
        if start <= address < start + image.sizes[name]:
            layouts = _image_layouts()
            variable = layouts.variables.get(name)
            return name + (place_in(layouts, variable.type, address - start) if variable else "")
    return None


def _module_data(nooks: "Nooks", address: int) -> str | None:
    for module in nooks.kernel.modules.loaded.values():
        if module.image is not None and module.holds(address):
            before = [(at, name) for name, at in module.image.symbols.items() if at <= address]
            return f"{max(before)[1] if before else 'image'} [{module.name}]"
    return None


def _granted_page(nooks: "Nooks", address: int) -> str | None:
    for domain in nooks.domains:
        reason = domain.writable.get(address & PAGE_MASK)
        if reason is not None:
            return f"{reason} of domain {domain.name}"
    return None


def _slab_object(nooks: "Nooks", address: int) -> str | None:
    size = nooks.kernel.slab.size_around(address)
    return None if size is None else f"size-{size} object"
