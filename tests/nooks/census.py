"""What the kernel holds at a moment: equal before and after means that nothing leaked."""

from dataclasses import dataclass

from nooks_lab.kernel.irq import NR_IRQS
from nooks_lab.lab import Lab

_PG_SLAB = 1 << 8


@dataclass(frozen=True)
class Census:
    """Everything that a driver can leave behind in the kernel.

    ``pages`` are free pages and pages of slabs: a slab may be kept by an object that was there before.  For the same
    reason ``objects`` are without the descriptors of slabs: how many slabs the objects lie in is fragmentation.
    """

    objects: dict[str, int]
    pages: int
    areas: tuple[int, ...]
    timers: int
    irq_actions: tuple[int, ...]
    net_devices: tuple[str, ...]
    regions: tuple[tuple[int, int], ...]
    pci_drivers: int
    modules: tuple[str, ...]
    tasks: int


def _objects(lab: Lab) -> dict[str, int]:
    slab = lab.kernel.slab
    allocators = [slab, *(domain.heap for domain in (lab.nooks.domains if lab.nooks else []))]
    counts = slab.active()
    for each in (each for allocator in allocators for each in allocator.slabs()):
        size = slab.size_of(each.address)
        # None: the descriptor lies in the slab itself.
        if size is not None:
            counts[f"size-{size}"] -= 1
    return {name: count for name, count in counts.items() if count}


def take(lab: Lab) -> Census:
    """Count."""
    kernel = lab.kernel
    size, flags = kernel.types.size("page"), kernel.types.offset("page", "flags")
    mem_map = kernel.memory.read(kernel.pages.mem_map, size * kernel.memory.u32(kernel.variable("max_mapnr")))
    slabs = sum(1 for at in range(flags, len(mem_map), size) if mem_map[at + 1] & _PG_SLAB >> 8)
    return Census(
        objects=_objects(lab),
        pages=kernel.pages.nr_free_pages + slabs,
        areas=tuple(sorted(area.size for area in kernel.vmalloc.areas())),
        timers=len(kernel.timers.pending()),
        irq_actions=tuple(len(kernel.irq.actions(irq)) for irq in range(NR_IRQS)),
        net_devices=tuple(device.name.decode() for device in kernel.net.devices()),
        regions=tuple(kernel.resources.claimed(kernel.variable("iomem_resource"))),
        pci_drivers=len(kernel.pci.drivers()),
        modules=tuple(sorted(kernel.modules.loaded)),
        tasks=len(kernel.sched.threads),
    )
