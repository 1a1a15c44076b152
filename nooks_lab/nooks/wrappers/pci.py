"""PCI: drivers, configuration space, regions, DMA memory.

A ``pci_dev`` is handed out as it is: the domain can read it, and changes it only through functions.
"""

from typing import TYPE_CHECKING

from nooks_lab.kernel.errno import EBUSY, EIO, ENOMEM
from nooks_lab.machine.memory import PAGE_SIZE
from nooks_lab.nooks.isolation.domain import BadParameter, Domain
from nooks_lab.nooks.isolation.page_tracker import Grant
from nooks_lab.nooks.tracking.tracker import TrackedObject
from nooks_lab.nooks.tracking.types.pci import free_driver
from nooks_lab.nooks.wrappers.decisions import Body, Cookie, Reads, Text, Writes, held
from nooks_lab.nooks.wrappers.declare import (
    Deferral,
    declare_wrapper,
    extension_wrapper,
    kernel_wrapper,
    parse,
)
from nooks_lab.nooks.wrappers.memory import end

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks

_DEVICE = held("pci_dev")


@kernel_wrapper("int pci_register_driver(struct pci_driver *drv)", drv=Reads("pci_driver"))
def pci_register_driver(nooks: "Nooks", domain: Domain, drv: int) -> int:
    """Register the kernel's version of the driver struct, its pointers replaced by wrappers."""
    kernel, types = nooks.kernel, nooks.kernel.types
    if nooks.tracker.find(domain, "pci_driver", drv) is not None:
        raise BadParameter(f"pci_register_driver: {drv:08x} is registered already")
    size = types.size("pci_driver")
    version = kernel.slab.zalloc(size)
    if not version:
        return -ENOMEM
    kernel.memory.write(version, kernel.memory.read(drv, size))
    driver = types.view("pci_driver", version)
    driver.probe = nooks.object_entry_point("pci_driver.probe", version)
    driver.remove = nooks.object_entry_point("pci_driver.remove", version)
    nooks.tracker.add(domain, "pci_driver", version, drv)
    return kernel.pci.pci_register_driver(version)


@kernel_wrapper("void pci_unregister_driver(struct pci_driver *drv)", drv=held("pci_driver", ends=True))
def pci_unregister_driver(nooks: "Nooks", domain: Domain, drv: TrackedObject) -> None:
    """Unregister; the driver's remove is called for its devices."""
    nooks.kernel.pci.pci_unregister_driver(drv.kernel)
    nooks.tracker.remove(drv)
    free_driver(nooks, domain, drv)


@extension_wrapper("pci_driver.probe", "int (*)(struct pci_dev *, struct pci_device_id *)")
def probe(nooks: "Nooks", driver: int, dev: int, id_: int) -> int:
    """Offer a device to a driver; while it has it, the device is one of its objects."""
    held_by = nooks.tracker.by_kernel("pci_driver", driver)
    if held_by is None or held_by[0].failed:
        return -EIO
    domain, tracked = held_by
    handed = nooks.tracker.add(domain, "pci_dev", dev, dev)
    function = nooks.kernel.types.view("pci_driver", tracked.extension).probe
    with nooks.tracker.call_object(domain, "pci_device_id", id_, id_):
        result = nooks.call_extension(domain, -EIO, function, dev, id_)
    if result and not domain.failed and nooks.tracker.find(domain, "pci_dev", dev) == handed:
        nooks.tracker.remove(handed)
    return result


@extension_wrapper("pci_driver.remove", "void (*)(struct pci_dev *)")
def remove(nooks: "Nooks", driver: int, dev: int) -> int:
    """Take a device from its driver."""
    held_by = nooks.tracker.by_kernel("pci_driver", driver)
    if held_by is None or held_by[0].failed:
        return 0
    domain, tracked = held_by
    function = nooks.kernel.types.view("pci_driver", tracked.extension).remove
    result = nooks.call_extension(domain, 0, function, dev)
    handed = nooks.tracker.find(domain, "pci_dev", dev)
    if handed is not None and not domain.failed:
        nooks.tracker.remove(handed)
    return result


def _on_device(prototype: str) -> None:
    """A function whose only object is the device."""
    parsed = parse(prototype)

    def body(nooks: "Nooks", domain: Domain, dev: TrackedObject, *arguments: int) -> int | None:
        result: int | None = nooks.kernel_function(parsed.name)(dev.kernel, *arguments)
        return result

    declare_wrapper(prototype, {parsed.parameters[0]: _DEVICE})(body)


_on_device("int pci_enable_device(struct pci_dev *dev)")
_on_device("void pci_disable_device(struct pci_dev *dev)")
_on_device("void pci_set_master(struct pci_dev *dev)")
_on_device("int pci_set_dma_mask(struct pci_dev *dev, unsigned int mask)")
_on_device("int pci_write_config_byte(struct pci_dev *dev, int where, unsigned char val)")
_on_device("int pci_write_config_word(struct pci_dev *dev, int where, unsigned short val)")
_on_device("int pci_write_config_dword(struct pci_dev *dev, int where, unsigned int val)")


@kernel_wrapper("void pci_set_drvdata(struct pci_dev *pdev, void *data)", pdev=_DEVICE, data=Cookie())
def pci_set_drvdata(nooks: "Nooks", domain: Domain, pdev: TrackedObject, data: int) -> None:
    """Keep the driver's pointer with its device."""
    nooks.kernel.pci.pci_set_drvdata(pdev.kernel, data)


def _reads_config(size: int, prototype: str) -> None:
    function = parse(prototype).name

    def body(nooks: "Nooks", domain: Domain, dev: TrackedObject, where: int, val: int) -> int:
        return int(nooks.kernel_function(function)(dev.kernel, where, val))

    kernel_wrapper(prototype, dev=_DEVICE, val=Writes(size))(body)


_reads_config(1, "int pci_read_config_byte(struct pci_dev *dev, int where, unsigned char *val)")
_reads_config(2, "int pci_read_config_word(struct pci_dev *dev, int where, unsigned short *val)")
_reads_config(4, "int pci_read_config_dword(struct pci_dev *dev, int where, unsigned int *val)")


@kernel_wrapper(
    "int pci_request_regions(struct pci_dev *pdev, char *res_name)", pdev=_DEVICE, res_name=Text()
)
def pci_request_regions(nooks: "Nooks", domain: Domain, pdev: TrackedObject, res_name: int) -> int:
    """Claim a device's regions; what a failed domain still holds of it passes to its successor."""
    result = nooks.kernel.pci.pci_request_regions(pdev.kernel, res_name)
    if result == -EBUSY:
        held_by = nooks.tracker.by_kernel("pci regions", pdev.kernel)
        if held_by is None or not held_by[0].failed:
            return result
        nooks.tracker.remove(held_by[1])
        result = 0
    if result == 0:
        nooks.tracker.add(domain, "pci regions", pdev.kernel, pdev.extension)
    return result


@kernel_wrapper("void pci_release_regions(struct pci_dev *pdev)", pdev=held("pci regions", ends=True))
def pci_release_regions(nooks: "Nooks", domain: Domain, pdev: TrackedObject) -> None:
    """Give a device's regions back."""
    end(nooks, domain, pdev)


@kernel_wrapper(
    "void *pci_alloc_consistent(struct pci_dev *hwdev, unsigned int size, unsigned int *dma_handle)",
    hwdev=_DEVICE,
    dma_handle=Writes(4),
)
def pci_alloc_consistent(
    nooks: "Nooks", domain: Domain, hwdev: TrackedObject, size: int, dma_handle: int
) -> int:
    """Allocate memory for a device and grant it."""
    address = nooks.kernel.pci.pci_alloc_consistent(hwdev.kernel, size, dma_handle)
    if address:
        domain.grant(address, size, Grant.DMA)
        nooks.tracker.add(domain, "consistent memory", address, address, size, hwdev.kernel)
    return address


@kernel_wrapper(
    "void pci_free_consistent(struct pci_dev *hwdev, unsigned int size, void *vaddr, unsigned int dma_handle)",
    hwdev=_DEVICE,
    vaddr=held("consistent memory", ends=True),
)
def pci_free_consistent(
    nooks: "Nooks", domain: Domain, hwdev: TrackedObject, size: int, vaddr: TrackedObject, dma_handle: int
) -> None:
    """Free memory of a device's; the size must be the one it was allocated with."""
    if vaddr.detail[0] != size:
        raise BadParameter(f"pci_free_consistent: {vaddr.kernel:08x} has {vaddr.detail[0]} bytes, not {size}")
    end(nooks, domain, vaddr)


@kernel_wrapper(
    "unsigned int pci_map_single(struct pci_dev *hwdev, void *ptr, unsigned int size, int direction)",
    hwdev=_DEVICE,
    ptr=Body("the whole buffer must be the domain's"),
)
def pci_map_single(
    nooks: "Nooks", domain: Domain, hwdev: TrackedObject, ptr: int, size: int, direction: int
) -> int:
    """Give the bus address of a buffer that the extension holds."""
    if not domain.may_write(ptr, min(size, PAGE_SIZE << 5)):
        raise BadParameter(f"pci_map_single: {ptr:08x} is no buffer of domain {domain.name}")
    bus = nooks.kernel.pci.pci_map_single(hwdev.kernel, ptr, size, direction)
    nooks.tracker.add(domain, "dma mapping", bus, bus, size)
    return bus


@kernel_wrapper(
    "void pci_unmap_single(struct pci_dev *hwdev, unsigned int dma_addr, unsigned int size, int direction)",
    deferral=Deferral("without an IOMMU it changes nothing that anybody could see"),
    hwdev=_DEVICE,
    dma_addr=held("dma mapping", ends=True),
)
def pci_unmap_single(
    nooks: "Nooks", domain: Domain, hwdev: TrackedObject, dma_addr: TrackedObject, size: int, direction: int
) -> None:
    """End a DMA mapping."""
    nooks.tracker.remove(dma_addr)


@kernel_wrapper(
    "void pci_dma_sync_single(struct pci_dev *hwdev, unsigned int dma_handle, unsigned int size, int direction)",
    deferral=Deferral("caches are coherent on a PC, so that it changes nothing that anybody could see"),
    hwdev=_DEVICE,
    dma_handle=held("dma mapping"),
)
def pci_dma_sync_single(
    nooks: "Nooks", domain: Domain, hwdev: TrackedObject, dma_handle: TrackedObject, size: int, direction: int
) -> None:
    """Let the CPU look into a buffer that stays mapped."""
    nooks.kernel.pci.pci_dma_sync_single(hwdev.kernel, dma_handle.kernel, size, direction)
