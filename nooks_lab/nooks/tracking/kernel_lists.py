"""The kernel's lists that the checks of objects walk.

A damaged list may run in a circle, so each is looked at before a check relies on it.
"""

from collections.abc import Callable, Iterator

from nooks_lab.kernel.irq import NR_IRQS
from nooks_lab.kernel.kernel import Kernel
from nooks_lab.kernel.sound.sound_core import STEP
from nooks_lab.machine.paging import PageFault

Walk = Callable[[Kernel], Iterator[int]]


def _circular(head: str) -> Walk:
    """A ``struct list_head`` in a variable of the kernel."""

    def walk(kernel: Kernel) -> Iterator[int]:
        first = kernel.variable(head)
        at = kernel.memory.u32(first)
        while at != first:
            yield at
            at = kernel.memory.u32(at)

    return walk


def _chained(kernel: Kernel, at: int, struct: str, link: str) -> Iterator[int]:
    """Structs that point to the next one, the last to NULL."""
    offset = kernel.types.offset(struct, link)
    while at:
        yield at
        at = kernel.memory.u32(at + offset)


def _from_variable(head: str, struct: str) -> Walk:
    return lambda kernel: _chained(kernel, kernel.memory.u32(kernel.variable(head)), struct, "next")


def _regions(tree: str) -> Walk:
    def walk(kernel: Kernel) -> Iterator[int]:
        return _chained(
            kernel, kernel.types.view("resource", kernel.variable(tree)).child, "resource", "sibling"
        )

    return walk


def _sound_chain(kind: int) -> Walk:
    def walk(kernel: Kernel) -> Iterator[int]:
        first = kernel.memory.u32(kernel.variable("sound_chains") + 4 * kind)
        return _chained(kernel, first, "sound_unit", "next")

    return walk


def _handlers(line: int) -> Walk:
    def walk(kernel: Kernel) -> Iterator[int]:
        desc = kernel.layouts.typedefs["irq_desc_t"]
        assert desc.struct is not None
        action = kernel.variable("irq_desc") + line * desc.size + kernel.types.offset(desc.struct, "action")
        return _chained(kernel, kernel.memory.u32(action), "irqaction", "next")

    return walk


_LISTS: tuple[tuple[str, Walk, tuple[str, ...]], ...] = (
    ("the list of timers", _circular("timer_list_head"), ("timer_list",)),
    ("the list of PCI devices", _circular("pci_devices"), ("pci_dev", "pci regions")),
    ("the list of PCI drivers", _circular("pci_drivers"), ("pci_driver",)),
    ("the list of network devices", _from_variable("dev_base", "net_device"), ("registered_netdev",)),
    ("the list of areas", _from_variable("vmlist", "vm_struct"), ("vmalloc area", "ioremap area")),
    ("the tree of I/O ports", _regions("ioport_resource"), ("resource",)),
    ("the tree of I/O memory", _regions("iomem_resource"), ("resource",)),
    *((f"chain {kind} of sound devices", _sound_chain(kind), ("sound device",)) for kind in range(STEP)),
    *((f"the list of handlers of line {line}", _handlers(line), ("irqaction",)) for line in range(NR_IRQS)),
)


def broken_lists(kernel: Kernel) -> tuple[list[str], set[str]]:
    """Look whether every list ends.

    Returns
    -------
    list of str
        A sentence for each list that does not.
    set of str
        The object types that cannot be checked for it.
    """
    findings: list[str] = []
    unchecked: set[str] = set()
    for name, walk, types in _LISTS:
        problem = _problem(walk(kernel))
        if problem:
            findings.append(f"kernel: {name} {problem}")
            unchecked.update(types)
    return findings, unchecked


def _problem(entries: Iterator[int]) -> str:
    seen: set[int] = set()
    try:
        for entry in entries:
            if entry in seen:
                return f"comes to {entry:08x} again"
            seen.add(entry)
    except PageFault as fault:
        return f"leads to {fault.address:08x}, which is not mapped"
    return ""
