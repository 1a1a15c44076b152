"""PCI drivers, the devices that they hold, and memory for DMA."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nooks_lab.kernel.lists import list_del
from nooks_lab.kernel.page_table import virt_to_phys
from nooks_lab.nooks.isolation.domain import Domain
from nooks_lab.nooks.tracking.object_types import (
    Lifetime,
    ObjectType,
    Transfer,
    nothing_to_check,
    nothing_to_release,
    register,
)

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks
    from nooks_lab.nooks.tracking.tracker import TrackedObject


def _drop_driver(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> None:
    """Take a dead driver from its devices without calling it."""
    kernel = nooks.kernel
    list_del(kernel.memory, kernel.types.view("pci_driver", tracked.kernel).node.address)
    for dev in kernel.pci.devices():
        if dev.driver == tracked.kernel:
            dev.driver = dev.driver_data = 0
    free_driver(nooks, domain, tracked)


def free_driver(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> None:
    """Free the kernel's version of a driver that is no longer registered, and its wrappers."""
    nooks.release_entry_points(tracked.kernel)
    nooks.kernel.slab.free(tracked.kernel)


def _check_driver(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    if tracked.kernel not in nooks.kernel.pci.drivers():
        yield f"{tracked.kernel:08x} is not in the kernel's list of drivers"
        return
    driver = nooks.kernel.types.view("pci_driver", tracked.kernel)
    for member in ("probe", "remove"):
        gate = nooks.kernel.execution.gates.get(getattr(driver, member))
        if gate is None or gate.name != f"nooks_pci_driver.{member}":
            yield f"the kernel's {member} is {getattr(driver, member):08x}, which is no wrapper"
    if domain.may_write(tracked.kernel):
        yield f"the extension may write the kernel's version {tracked.kernel:08x}"


def _check_device(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    if tracked.kernel not in [dev.address for dev in nooks.kernel.pci.devices()]:
        yield f"{tracked.kernel:08x} is no PCI device"


def _check_mapping(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    if tracked.kernel + tracked.detail[0] > nooks.kernel.machine.memory.size:
        yield f"its {tracked.detail[0]} bytes at bus address {tracked.kernel:08x} are not all RAM"


def _release_regions(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> None:
    nooks.kernel.pci.pci_release_regions(tracked.kernel)


def _free_consistent(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> None:
    size, device, _ = tracked.detail
    domain.revoke(tracked.kernel, size)
    nooks.kernel.pci.pci_free_consistent(device, size, tracked.kernel, virt_to_phys(tracked.kernel))


def _check_consistent(_nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    if not domain.may_write(tracked.kernel, tracked.detail[0]):
        yield f"its {tracked.detail[0]} bytes at {tracked.kernel:08x} are not all granted"


register(
    ObjectType(
        20,
        "pci_driver",
        Lifetime.EXPLICIT,
        Transfer.COPY,
        _drop_driver,
        _check_driver,
        struct="pci_driver",
        shared=True,
    ),
    ObjectType(
        21,
        "pci_dev",
        Lifetime.EXPLICIT,
        Transfer.HANDLE,
        nothing_to_release,
        _check_device,
        struct="pci_dev",
        shared=True,
    ),
    ObjectType(
        22, "pci regions", Lifetime.EXPLICIT, Transfer.HANDLE, _release_regions, _check_device, dma=True
    ),
    ObjectType(
        23,
        "consistent memory",
        Lifetime.EXPLICIT,
        Transfer.MAP,
        _free_consistent,
        _check_consistent,
        dma=True,
    ),
    ObjectType(
        24, "dma mapping", Lifetime.EXPLICIT, Transfer.HANDLE, nothing_to_release, _check_mapping, dma=True
    ),
    ObjectType(
        25,
        "pci_device_id",
        Lifetime.CALL,
        Transfer.HANDLE,
        nothing_to_release,
        nothing_to_check,
        struct="pci_device_id",
    ),
)
