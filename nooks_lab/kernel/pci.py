"""PCI devices and drivers (Linux 2.4 ``drivers/pci``)."""

from collections.abc import Callable
from typing import Any

from nooks_lab.kernel.errno import EBUSY, EINVAL, EIO
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.lists import init_list_head, list_add_tail, list_del, list_for_each
from nooks_lab.kernel.page_alloc import PageAllocator
from nooks_lab.kernel.page_table import virt_to_phys
from nooks_lab.kernel.resource import Resources
from nooks_lab.kernel.slab import SlabAllocator
from nooks_lab.kernel.structs import Types
from nooks_lab.machine import pci as config
from nooks_lab.machine.linear import LinearMemory
from nooks_lab.machine.memory import PAGE_SIZE

_ANY = 0xFFFFFFFF
_BARS = 6
_IO_SPACE = 1
_IORESOURCE_IO, _IORESOURCE_MEM = 0x100, 0x200
CONFIG_CYCLES = 2_000
"""Two port accesses to configuration space."""


class Pci:
    """The device list, driver matching, configuration space and DMA mappings.

    Parameters
    ----------
    devices, drivers, root_bus : int
        Addresses of the two list heads and of the bus.
    iomem, ioport : int
        Addresses of the root resources.
    call : callable
        Calls a driver's function.
    """

    def __init__(
        self,
        types: Types,
        memory: LinearMemory,
        bus: config.PciBus,
        slab: SlabAllocator,
        pages: PageAllocator,
        resources: Resources,
        variables: dict[str, int],
        call: Callable[..., int],
    ) -> None:
        self._types, self._memory, self._bus = types, memory, bus
        self._slab, self._pages, self._resources = slab, pages, resources
        self._devices, self._drivers = variables["pci_devices"], variables["pci_drivers"]
        self._root, self._call = variables["pci_root_bus"], call
        self._roots = {
            _IORESOURCE_IO: variables["ioport_resource"],
            _IORESOURCE_MEM: variables["iomem_resource"],
        }
        self._node = types.offset("pci_driver", "node")
        self._global = types.offset("pci_dev", "global_list")

    def boot(self) -> None:
        """Find every function on bus 0."""
        init_list_head(self._memory, self._devices)
        init_list_head(self._memory, self._drivers)
        root = self._types.view("pci_bus", self._root)
        init_list_head(self._memory, root.devices.address)
        for number in range(32):
            vendor = self._bus.config_read(number, 0, 2)
            if vendor != 0xFFFF:
                self._scan_function(root, number, vendor)

    def _scan_function(self, root: Any, number: int, vendor: int) -> None:
        read = self._bus.config_read
        dev = self._types.view("pci_dev", self._slab.zalloc(self._types.size("pci_dev")))
        dev.bus, dev.devfn, dev.vendor, dev.device = root.address, number << 3, vendor, read(number, 2, 2)
        dev.subsystem_vendor, dev.subsystem_device = read(number, 0x2C, 2), read(number, 0x2E, 2)
        setattr(dev, "class", read(number, 8, 4) >> 8)
        dev.irq, dev.dma_mask = read(number, config.INTERRUPT_LINE, 1), 0xFFFFFFFF
        dev.slot_name = f"00:{number:02x}.0".encode()
        dev.name = f"PCI device {vendor:04x}:{dev.device:04x}".encode()
        for bar in range(_BARS):
            self._size_bar(dev, number, bar)
        list_add_tail(self._memory, dev.global_list.address, self._devices)
        list_add_tail(self._memory, dev.bus_list.address, root.devices.address)

    def _size_bar(self, dev: Any, number: int, bar: int) -> None:
        """Learn a region's size by the probe of the PCI specification, section 6.2.5.1."""
        offset = config.BASE_ADDRESS_0 + 4 * bar
        old = self._bus.config_read(number, offset, 4)
        self._bus.config_write(number, offset, 4, 0xFFFFFFFF)
        probed = self._bus.config_read(number, offset, 4)
        self._bus.config_write(number, offset, 4, old)
        mask = probed & (~3 if probed & _IO_SPACE else ~15) & 0xFFFFFFFF
        if not mask or probed == 0xFFFFFFFF:
            return
        start = old & (~3 if old & _IO_SPACE else ~15) & 0xFFFFFFFF
        region = dev.resource[bar]
        region.start, region.end = start, start + (-mask & 0xFFFFFFFF) - 1
        region.flags = _IORESOURCE_IO if old & _IO_SPACE else _IORESOURCE_MEM
        region.name = dev.offset_of("name")

    def devices(self) -> list[Any]:
        """Return every ``struct pci_dev``."""
        return [self._dev(at - self._global) for at in list_for_each(self._memory, self._devices)]

    def _dev(self, address: int) -> Any:
        return self._types.view("pci_dev", address)

    def drivers(self) -> list[int]:
        """Return the addresses of the registered drivers."""
        return [at - self._node for at in list_for_each(self._memory, self._drivers)]

    @export(cycles=500)
    def pci_register_driver(self, drv: int) -> int:
        """Register a driver and offer it every device without one; returns how many it took."""
        driver = self._types.view("pci_driver", drv)
        list_add_tail(self._memory, driver.node.address, self._drivers)
        return sum(self._probe(driver, dev) for dev in self.devices() if not dev.driver)

    def _probe(self, driver: Any, dev: Any) -> bool:
        entry = self._match(driver.id_table, dev)
        if entry is None:
            return False
        result = self._call(driver.probe, dev.address, entry.address)
        if result == 0:
            dev.driver = driver.address
        return result == 0

    def _match(self, table: int, dev: Any) -> Any:
        size = self._types.size("pci_device_id")
        while table:
            entry = self._types.view("pci_device_id", table)
            if not entry.vendor and not entry.subvendor and not entry.class_mask:
                return None
            wanted = (entry.vendor, entry.device, entry.subvendor, entry.subdevice)
            has = (dev.vendor, dev.device, dev.subsystem_vendor, dev.subsystem_device)
            fits = all(want in (_ANY, have) for want, have in zip(wanted, has, strict=True))
            if fits and not (getattr(entry, "class") ^ getattr(dev, "class")) & entry.class_mask:
                return entry
            table += size
        return None

    @export(cycles=500)
    def pci_unregister_driver(self, drv: int) -> None:
        """Take a driver from its devices and out of the list."""
        driver = self._types.view("pci_driver", drv)
        list_del(self._memory, driver.node.address)
        for dev in self.devices():
            if dev.driver == drv:
                if driver.remove:
                    self._call(driver.remove, dev.address)
                dev.driver = 0

    def _slot(self, dev: int) -> int:
        return int(self._dev(dev).devfn >> 3)

    def _command(self, dev: int, set_bits: int, clear_bits: int = 0) -> None:
        slot = self._slot(dev)
        value = self._bus.config_read(slot, config.COMMAND, 2) & ~clear_bits | set_bits
        self._bus.config_write(slot, config.COMMAND, 2, value)

    @export(cycles=CONFIG_CYCLES)
    def pci_enable_device(self, dev: int) -> int:
        """Let the device answer its memory and I/O regions."""
        flags = [region.flags for region in self._dev(dev).resource]
        memory = config.COMMAND_MEMORY if _IORESOURCE_MEM in flags else 0
        self._command(dev, memory | (config.COMMAND_IO if _IORESOURCE_IO in flags else 0))
        return 0

    @export(cycles=CONFIG_CYCLES)
    def pci_disable_device(self, dev: int) -> None:
        """Take bus mastering from the device."""
        self._command(dev, 0, config.COMMAND_MASTER)

    @export(cycles=CONFIG_CYCLES)
    def pci_set_master(self, dev: int) -> None:
        """Let the device do DMA."""
        self._command(dev, config.COMMAND_MASTER)

    @export()
    def pci_set_dma_mask(self, dev: int, mask: int) -> int:
        """Say which addresses the device can reach; all of our RAM lies low."""
        if mask < 0x00FFFFFF:
            return -EIO
        self._dev(dev).dma_mask = mask
        return 0

    @export()
    def pci_set_drvdata(self, pdev: int, data: int) -> None:
        """Remember the driver's own pointer."""
        self._dev(pdev).driver_data = data

    @export(cycles=500)
    def pci_request_regions(self, pdev: int, res_name: int) -> int:
        """Claim all regions of a device, or none."""
        done: list[tuple[int, int, int]] = []
        for region in self._regions(pdev):
            root = self._roots[region.flags]
            size = region.end - region.start + 1
            if not self._resources.request_region(root, region.start, size, res_name):
                for root, start, size in done:
                    self._resources.release_region(root, start, size)
                return -EBUSY
            done.append((root, region.start, size))
        return 0

    @export(cycles=500)
    def pci_release_regions(self, pdev: int) -> None:
        """Give all regions of a device back."""
        for region in self._regions(pdev):
            size = region.end - region.start + 1
            self._resources.release_region(self._roots[region.flags], region.start, size)

    def tree(self, region: Any) -> int:
        """Return the root resource of a device's region: I/O or memory; 0 when there is no such region."""
        return self._roots.get(region.flags, 0)

    def _regions(self, pdev: int) -> list[Any]:
        return [region for region in self._dev(pdev).resource if region.flags in self._roots]

    def _read(self, dev: int, where: int, size: int, val: int) -> int:
        if where < 0 or where + size > 256:
            return -EINVAL
        value = self._bus.config_read(self._slot(dev), where, size)
        self._memory.write(val, value.to_bytes(size, "little"))
        return 0

    def _write(self, dev: int, where: int, size: int, val: int) -> int:
        if where < 0 or where + size > 256:
            return -EINVAL
        self._bus.config_write(self._slot(dev), where, size, val)
        return 0

    @export(cycles=CONFIG_CYCLES)
    def pci_read_config_byte(self, dev: int, where: int, val: int) -> int:
        """Read configuration space into ``*val``."""
        return self._read(dev, where, 1, val)

    @export(cycles=CONFIG_CYCLES)
    def pci_read_config_word(self, dev: int, where: int, val: int) -> int:
        """Read configuration space into ``*val``."""
        return self._read(dev, where, 2, val)

    @export(cycles=CONFIG_CYCLES)
    def pci_read_config_dword(self, dev: int, where: int, val: int) -> int:
        """Read configuration space into ``*val``."""
        return self._read(dev, where, 4, val)

    @export(cycles=CONFIG_CYCLES)
    def pci_write_config_byte(self, dev: int, where: int, val: int) -> int:
        """Write configuration space."""
        return self._write(dev, where, 1, val)

    @export(cycles=CONFIG_CYCLES)
    def pci_write_config_word(self, dev: int, where: int, val: int) -> int:
        """Write configuration space."""
        return self._write(dev, where, 2, val)

    @export(cycles=CONFIG_CYCLES)
    def pci_write_config_dword(self, dev: int, where: int, val: int) -> int:
        """Write configuration space."""
        return self._write(dev, where, 4, val)

    @export(cycles=400)
    def pci_alloc_consistent(self, hwdev: int, size: int, dma_handle: int) -> int:
        """Allocate whole pages that the device may read and write; ``*dma_handle`` gets their bus address."""
        address = self._pages.alloc(_order(size))
        if address:
            self._memory.fill(address, PAGE_SIZE << _order(size), 0)
            self._memory.set_u32(dma_handle, virt_to_phys(address))
        return address

    @export(cycles=300)
    def pci_free_consistent(self, hwdev: int, size: int, vaddr: int, dma_handle: int) -> None:
        """Free what ``pci_alloc_consistent`` returned."""
        self._pages.free(vaddr, _order(size))

    @export()
    def pci_map_single(self, hwdev: int, ptr: int, size: int, direction: int) -> int:
        """Return the bus address of a buffer; no IOMMU stands between."""
        return virt_to_phys(ptr) & 0xFFFFFFFF

    @export()
    def pci_unmap_single(self, hwdev: int, dma_addr: int, size: int, direction: int) -> None:
        """End a DMA mapping; nothing to undo without an IOMMU."""

    @export()
    def pci_dma_sync_single(self, hwdev: int, dma_handle: int, size: int, direction: int) -> None:
        """Let the CPU look into a mapped buffer; caches are coherent on a PC, so that nothing is to be done."""


def _order(size: int) -> int:
    return max(0, (size - 1 >> 12).bit_length())
