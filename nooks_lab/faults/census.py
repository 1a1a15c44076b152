"""What the kernel holds at a moment: equal before and after means that nothing leaked."""

from dataclasses import dataclass

from nooks_lab.kernel.irq import NR_IRQS
from nooks_lab.lab import Lab

_PG_SLAB = 1 << 8


@dataclass(frozen=True)
class Census:
    """Everything that a driver can leave behind in the kernel.

    Attributes
    ----------
    objects : dict
        Allocated objects of each slab cache, but the descriptors of slabs: how many slabs the
        same objects take depends on where they lie.
    pages : int
        Free pages and pages of slabs: a slab may be kept by an object that was there before.
    areas : tuple of int
        Sizes of the vmalloc areas.
    tracked : int
        Objects in the object tracker, of all domains.
    inodes, dentries, cached_pages : int
        All in memory, those that nobody uses included: ``files.shrink_caches()`` frees these.
    buffers : int
        Blocks that somebody uses.
    """

    objects: dict[str, int]
    pages: int
    areas: tuple[int, ...]
    timers: int
    irq_actions: tuple[int, ...]
    net_devices: tuple[str, ...]
    regions: tuple[tuple[int, int], ...]
    dma_channels: tuple[int, ...]
    sound_devices: tuple[int, ...]
    pci_drivers: int
    modules: tuple[str, ...]
    tasks: int
    tracked: int = 0
    inodes: int = 0
    dentries: int = 0
    files: int = 0
    buffers: int = 0
    super_blocks: int = 0
    cached_pages: int = 0

    def more_than(self, before: "Census") -> dict[str, int]:
        """Return how much more of each kind there is than before; negative numbers where there is less."""
        return {
            "pages": before.pages - self.pages,
            "slab objects": sum(self.objects.values()) - sum(before.objects.values()),
            "vmalloc areas": len(self.areas) - len(before.areas),
            "timers": self.timers - before.timers,
            "IRQ handlers": sum(self.irq_actions) - sum(before.irq_actions),
            "net devices": len(self.net_devices) - len(before.net_devices),
            "I/O regions": len(self.regions) - len(before.regions),
            "DMA channels": len(self.dma_channels) - len(before.dma_channels),
            "sound devices": len(self.sound_devices) - len(before.sound_devices),
            "PCI drivers": self.pci_drivers - before.pci_drivers,
            "modules": len(self.modules) - len(before.modules),
            "tasks": self.tasks - before.tasks,
            "tracker entries": self.tracked - before.tracked,
            "inodes": self.inodes - before.inodes,
            "dentries": self.dentries - before.dentries,
            "open files": self.files - before.files,
            "buffers in use": self.buffers - before.buffers,
            "super blocks": self.super_blocks - before.super_blocks,
            "pages of files": self.cached_pages - before.cached_pages,
        }


def take(lab: Lab) -> Census:
    """Count everything in a running system."""
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
        regions=tuple(
            region
            for tree in ("iomem_resource", "ioport_resource")
            for region in kernel.resources.claimed(kernel.variable(tree))
        ),
        dma_channels=tuple(kernel.dma.busy()),
        sound_devices=tuple(unit.unit_minor for unit in kernel.sound.units()),
        pci_drivers=len(kernel.pci.drivers()),
        modules=tuple(sorted(kernel.modules.loaded)),
        tasks=len(kernel.sched.threads),
        tracked=sum(len(lab.nooks.tracker.objects(domain)) for domain in lab.nooks.domains)
        if lab.nooks
        else 0,
        inodes=kernel.memory.u32(kernel.variable("nr_inodes")),
        dentries=kernel.memory.u32(kernel.variable("nr_dentry")),
        files=kernel.memory.u32(kernel.variable("nr_files")),
        buffers=kernel.fs.buffers.all_in_use(),
        super_blocks=len(kernel.fs.supers.supers()),
        cached_pages=kernel.memory.u32(kernel.variable("nr_cached_pages")),
    )


def _objects(lab: Lab) -> dict[str, int]:
    slab = lab.kernel.slab
    # The descriptors of the domains' slabs lie in the kernel's memory too.
    allocators = [slab, *(domain.heap for domain in (lab.nooks.domains if lab.nooks else []))]
    counts = slab.active()
    for each in (each for allocator in allocators for each in allocator.slabs()):
        size = slab.size_of(each.address)
        # None: the descriptor lies in the slab itself.
        if size is not None:
            counts[f"size-{size}"] -= 1
    return {name: count for name, count in counts.items() if count}
