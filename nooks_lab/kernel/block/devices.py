"""Block devices: names, sizes, opening, block sizes (Linux 2.4 ``fs/block_dev.c``, ``drivers/block``)."""

from typing import Any

from nooks_lab.kernel.block.buffer_cache import SIZES, BufferCache
from nooks_lab.kernel.block.ide import IDE0_MAJOR, PARTITIONS, Ide
from nooks_lab.kernel.block.requests import Requests
from nooks_lab.kernel.errno import EINVAL, ENXIO
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.fs.parts import FsParts
from nooks_lab.kernel.lists import init_list_head, list_add, list_for_each
from nooks_lab.kernel.sched import TASK_UNINTERRUPTIBLE

_SECTOR = 512
_TABLE, _ENTRY, _SIGNATURE = 446, 16, b"\x55\xaa"


class BlockDevices:
    """``struct block_device``, one for each device that is open."""

    def __init__(self, parts: FsParts, requests: Requests, buffers: BufferCache, ide: Ide) -> None:
        self._parts, self._requests, self._buffers, self._ide = parts, requests, buffers, ide
        self._list = parts.variables["bdev_list"]
        self._link = parts.types.offset("block_device", "bd_hash")

    def boot(self) -> None:
        """No device is open."""
        init_list_head(self._parts.memory, self._list)

    def open_devices(self) -> list[Any]:
        """Return the block devices that are open."""
        links = list_for_each(self._parts.memory, self._list)
        return [self._parts.view("block_device", at - self._link) for at in links]

    def name(self, dev: int) -> str:
        """Return a device's name, as ``hda1``."""
        if dev >> 8 == IDE0_MAJOR:
            return f"hda{dev & 0xFF or ''}"
        return f"{dev >> 8:02x}:{dev & 0xFF:02x}"

    def number(self, name: str) -> int:
        """Return the number of the device with a name; 0 when there is none."""
        names = {"hda": 0} | {f"hda{minor}": minor for minor in range(1, PARTITIONS + 1)}
        return IDE0_MAJOR << 8 | names[name] if name in names else 0

    def get(self, dev: int) -> Any:
        """``blkdev_get``: open a device; a view of its struct, or a negative error number."""
        for device in self.open_devices():
            if device.bd_dev == dev:
                device.bd_openers += 1
                device.bd_count.counter += 1
                return device
        if dev >> 8 not in self._requests.drives:
            return -ENXIO
        in_use = [device for device in self.open_devices() if device.bd_dev >> 8 == dev >> 8]
        if not in_use and not self._revalidate(dev & 0xFF00):
            return -ENXIO
        if not self._requests.size(dev):
            return -ENXIO
        address = self._parts.slab.zalloc(self._parts.types.size("block_device"))
        if not address:
            return -ENXIO
        device = self._parts.view("block_device", address)
        device.bd_dev, device.bd_openers, device.bd_count.counter = dev, 1, 1
        self._parts.semaphores.init(device.bd_sem.address)
        list_add(self._parts.memory, address + self._link, self._list)
        return device

    def put(self, device: Any) -> None:
        """``blkdev_put``: close a device; with its last user its blocks are written and forgotten."""
        device.bd_openers -= 1
        device.bd_count.counter -= 1
        if device.bd_openers:
            return
        self._buffers.sync_buffers(device.bd_dev)
        self._buffers.invalidate(device.bd_dev, destroy_dirty=True)
        self._parts.list_del_init(device.address + self._link)
        self._parts.slab.free(device.address)

    def _revalidate(self, dev: int) -> bool:
        """Ask for the disk's size, and read its partition table."""
        while not self._ide.idle():
            # What somebody has begun before the device was closed comes to its end first.
            sched = self._parts.sched
            sched.must_be_process()
            sched.set_task_state(sched.current.address, TASK_UNINTERRUPTIBLE)
            sched.schedule_timeout(1)
        if not self._ide.revalidate():
            return False
        self._ide.blocksize(0).blocksize = _SECTOR
        address = self._buffers.bread(dev, 0, _SECTOR)
        if not address:
            return True
        bh = self._buffers.view(address)
        sector = self._parts.memory.read(bh.b_data, _SECTOR)
        self._buffers.release(bh)
        self._buffers.invalidate(dev)
        if sector[510:] == _SIGNATURE:
            for minor in range(1, PARTITIONS + 1):
                entry = sector[_TABLE + _ENTRY * (minor - 1) :][:_ENTRY]
                start, count = (int.from_bytes(entry[at : at + 4], "little") for at in (8, 12))
                if entry[4] and entry[0] in (0, 0x80):
                    self._ide.set_partition(minor, start, count)
                    self._ide.blocksize(minor).blocksize = _SECTOR
        return True

    @export(cycles=300)
    def set_blocksize(self, dev: int, size: int) -> int:
        """Say in which blocks a device is used from now on; those of another size are written and forgotten."""
        if size not in SIZES or not self._requests.size(dev):
            return -EINVAL
        device = self._ide.blocksize(dev & 0xFF)
        if device.blocksize != size:
            self._buffers.sync_buffers(dev)
            self._buffers.invalidate(dev)
            device.blocksize = size
        return 0

    @export()
    def get_hardsect_size(self, dev: int) -> int:
        """Return the size of a device's sectors, bytes."""
        return _SECTOR

    @export()
    def is_read_only(self, dev: int) -> int:
        """Tell whether a device cannot be written: no disk of ours."""
        return 0

    def _text(self, variable: str, text: str) -> int:
        address = self._parts.variables[variable]
        self._parts.memory.write(address, text.encode() + b"\0")
        return address

    @export()
    def kdevname(self, dev: int) -> int:
        """Return a device's number as text."""
        return self._text("kdevname_buf", f"{dev >> 8 & 0xFF:02x}:{dev & 0xFF:02x}")

    @export()
    def bdevname(self, dev: int) -> int:
        """Return a block device's name."""
        return self._text("bdevname_buf", self.name(dev & 0xFFFF))
