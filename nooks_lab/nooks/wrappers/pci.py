"""PCI: drivers, configuration space, regions, DMA memory.

A ``pci_dev`` is handed out as it is: the domain can read it, and changes it only through functions.
"""

from typing import TYPE_CHECKING

from nooks_lab.kernel.errno import EBUSY, EIO, ENOMEM
from nooks_lab.kernel.lists import list_del
from nooks_lab.kernel.page_table import virt_to_phys
from nooks_lab.machine.memory import PAGE_SIZE
from nooks_lab.nooks.domain import BadParameter, Domain
from nooks_lab.nooks.tracker import TrackedObject
from nooks_lab.nooks.wrappers.declare import extension_wrapper, kernel_wrapper

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks


@kernel_wrapper("pci_register_driver")
def pci_register_driver(nooks: "Nooks", domain: Domain, drv: int) -> int:
    """Register the kernel's version of the driver struct, its pointers replaced by wrappers."""
    kernel, types = nooks.kernel, nooks.kernel.types
    size = types.size("pci_driver")
    data = domain.read(drv, size, "pci_register_driver")
    version = kernel.slab.zalloc(size)
    if not version:
        return -ENOMEM
    kernel.memory.write(version, data)
    driver, own = types.view("pci_driver", version), types.view("pci_driver", drv)
    detail = own.probe, own.remove
    driver.probe = nooks.object_entry_point("pci_driver.probe", version)
    driver.remove = nooks.object_entry_point("pci_driver.remove", version)
    nooks.tracker.add(domain, "pci_driver", version, drv, lambda o: _drop_driver(nooks, o), detail)
    return kernel.pci.pci_register_driver(version)


def _drop_driver(nooks: "Nooks", tracked: TrackedObject) -> None:
    """Take a dead driver from its devices without calling it."""
    kernel = nooks.kernel
    driver = kernel.types.view("pci_driver", tracked.kernel)
    list_del(kernel.memory, driver.node.address)
    for dev in kernel.pci.devices():
        if dev.driver == tracked.kernel:
            dev.driver = dev.driver_data = 0
    _free_driver(nooks, tracked)


def _free_driver(nooks: "Nooks", tracked: TrackedObject) -> None:
    nooks.release_entry_points(tracked.kernel)
    nooks.kernel.slab.free(tracked.kernel)


@kernel_wrapper("pci_unregister_driver")
def pci_unregister_driver(nooks: "Nooks", domain: Domain, drv: int) -> None:
    """Unregister; the driver's remove is called for its devices."""
    tracked = nooks.tracker.check(domain, "pci_driver", drv, "pci_unregister_driver")
    nooks.kernel.pci.pci_unregister_driver(tracked.kernel)
    nooks.tracker.remove(domain, tracked)
    _free_driver(nooks, tracked)


def _nothing_to_undo(_tracked: TrackedObject) -> None:
    """To hold a device, or a DMA mapping without an IOMMU, takes nothing that could be given back."""


@extension_wrapper("pci_driver.probe")
def probe(nooks: "Nooks", driver: int, dev: int, id_: int) -> int:
    """Offer a device to a driver; while it has it, the device is one of its objects."""
    held = nooks.tracker.by_kernel("pci_driver", driver)
    if held is None:
        return -EIO
    domain, tracked = held
    handed = nooks.tracker.add(domain, "pci_dev", dev, dev, _nothing_to_undo)
    result = nooks.call_extension(domain, -EIO, tracked.detail[0], dev, id_)
    if result and nooks.tracker.find(domain, "pci_dev", dev) is handed and not domain.failed:
        nooks.tracker.remove(domain, handed)
    return result


@extension_wrapper("pci_driver.remove")
def remove(nooks: "Nooks", driver: int, dev: int) -> int:
    """Take a device from its driver."""
    held = nooks.tracker.by_kernel("pci_driver", driver)
    if held is None:
        return 0
    domain, tracked = held
    result = nooks.call_extension(domain, 0, tracked.detail[1], dev)
    handed = nooks.tracker.find(domain, "pci_dev", dev)
    if handed is not None and not domain.failed:
        nooks.tracker.remove(domain, handed)
    return result


def _checked(function: str) -> None:
    """A function whose only pointer is the device."""

    @kernel_wrapper(function)
    def body(nooks: "Nooks", domain: Domain, dev: int, *arguments: int) -> int | None:
        nooks.tracker.check(domain, "pci_dev", dev, function)
        result: int | None = nooks.kernel_function(function)(dev, *arguments)
        return result


for _name in (
    "pci_enable_device",
    "pci_disable_device",
    "pci_set_master",
    "pci_set_dma_mask",
    "pci_set_drvdata",
    "pci_write_config_byte",
    "pci_write_config_word",
    "pci_write_config_dword",
):
    _checked(_name)


def _config_read(function: str, size: int) -> None:
    @kernel_wrapper(function)
    def body(nooks: "Nooks", domain: Domain, dev: int, where: int, val: int) -> int:
        nooks.tracker.check(domain, "pci_dev", dev, function)
        domain.check_writable(val, size, function)
        return int(nooks.kernel_function(function)(dev, where, val))


for _name, _size in (("byte", 1), ("word", 2), ("dword", 4)):
    _config_read(f"pci_read_config_{_name}", _size)


@kernel_wrapper("pci_request_regions")
def pci_request_regions(nooks: "Nooks", domain: Domain, pdev: int, res_name: int) -> int:
    """Claim a device's regions; what a failed domain still holds of it passes to its successor."""
    nooks.tracker.check(domain, "pci_dev", pdev, "pci_request_regions")
    domain.read(res_name, 1, "pci_request_regions")
    result = nooks.kernel.pci.pci_request_regions(pdev, res_name)
    if result == -EBUSY:
        held = nooks.tracker.by_kernel("pci regions", pdev)
        if held is None or not held[0].failed:
            return result
        nooks.tracker.remove(*held)
        result = 0
    if result == 0:
        nooks.tracker.add(
            domain, "pci regions", pdev, pdev, lambda o: nooks.kernel.pci.pci_release_regions(o.kernel)
        )
    return result


@kernel_wrapper("pci_release_regions")
def pci_release_regions(nooks: "Nooks", domain: Domain, pdev: int) -> None:
    """Give a device's regions back."""
    tracked = nooks.tracker.check(domain, "pci regions", pdev, "pci_release_regions")
    nooks.tracker.remove(domain, tracked)
    tracked.release(tracked)


@kernel_wrapper("pci_alloc_consistent")
def pci_alloc_consistent(nooks: "Nooks", domain: Domain, hwdev: int, size: int, dma_handle: int) -> int:
    """Allocate memory for a device and grant it."""
    nooks.tracker.check(domain, "pci_dev", hwdev, "pci_alloc_consistent")
    domain.check_writable(dma_handle, 4, "pci_alloc_consistent")
    address = nooks.kernel.pci.pci_alloc_consistent(hwdev, size, dma_handle)
    if address:
        domain.grant(address, size, "dma")

        def release(tracked: TrackedObject) -> None:
            domain.revoke(address, size)
            nooks.kernel.pci.pci_free_consistent(hwdev, size, address, virt_to_phys(address))

        nooks.tracker.add(domain, "consistent memory", address, address, release, size)
    return address


@kernel_wrapper("pci_free_consistent")
def pci_free_consistent(
    nooks: "Nooks", domain: Domain, hwdev: int, size: int, vaddr: int, dma_handle: int
) -> None:
    """Free memory of a device's; the size must be the one it was allocated with."""
    tracked = nooks.tracker.check(domain, "consistent memory", vaddr, "pci_free_consistent")
    if tracked.detail != size:
        raise BadParameter(f"pci_free_consistent: {vaddr:08x} has {tracked.detail} bytes, not {size}")
    nooks.tracker.remove(domain, tracked)
    tracked.release(tracked)


@kernel_wrapper("pci_map_single")
def pci_map_single(nooks: "Nooks", domain: Domain, hwdev: int, ptr: int, size: int, direction: int) -> int:
    """Give the bus address of a buffer that the extension holds."""
    nooks.tracker.check(domain, "pci_dev", hwdev, "pci_map_single")
    if not domain.may_write(ptr, min(size, PAGE_SIZE << 5)):
        raise BadParameter(f"pci_map_single: {ptr:08x} is no buffer of domain {domain.name}")
    bus = nooks.kernel.pci.pci_map_single(hwdev, ptr, size, direction)
    nooks.tracker.add(domain, "dma mapping", bus, bus, _nothing_to_undo, size)
    return bus


@kernel_wrapper("pci_unmap_single")
def pci_unmap_single(
    nooks: "Nooks", domain: Domain, hwdev: int, dma_addr: int, size: int, direction: int
) -> None:
    """End a DMA mapping."""
    nooks.tracker.remove(domain, nooks.tracker.check(domain, "dma mapping", dma_addr, "pci_unmap_single"))
