"""Character devices: which driver has which major number (Linux 2.4 ``fs/devices.c``)."""

from typing import Any

from nooks_lab.kernel.errno import EBUSY, EINVAL, ENODEV
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.fs.fops import fops_get
from nooks_lab.kernel.fs.parts import FsParts

MAX_CHRDEV = 255


class CharacterDevices:
    """``chrdevs``, and the open that hands a file over to its driver."""

    def __init__(self, parts: FsParts) -> None:
        self._parts = parts

    def boot(self) -> None:
        """Files of devices are opened by :meth:`chrdev_open`."""
        self._parts.global_view("file_operations", "def_chr_fops").open = self._parts.entry["chrdev_open"]

    def _device(self, major: int) -> Any:
        size = self._parts.types.size("char_device")
        return self._parts.view("char_device", self._parts.variables["chrdevs"] + major * size)

    @export(cycles=150)
    def register_chrdev(self, major: int, name: int, fops: int) -> int:
        """Take a major number, any free one for 0, which is returned then."""
        if major == 0:
            for candidate in range(MAX_CHRDEV - 1, 0, -1):
                if not self._device(candidate).fops:
                    self._take(candidate, name, fops)
                    return candidate
            return -EBUSY
        if major >= MAX_CHRDEV:
            return -EINVAL
        device = self._device(major)
        if device.fops and device.fops != fops:
            return -EBUSY
        self._take(major, name, fops)
        return 0

    def _take(self, major: int, name: int, fops: int) -> None:
        device = self._device(major)
        device.name, device.fops = name, fops

    @export(cycles=150)
    def unregister_chrdev(self, major: int, name: int) -> int:
        """Give a major number back."""
        if not 0 < major < MAX_CHRDEV or not self._device(major).fops:
            return -EINVAL
        self._take(major, 0, 0)
        return 0

    def operations(self, major: int) -> int:
        """Return the operations of a major number, 0 when nobody has it."""
        return int(self._device(major).fops) if major < MAX_CHRDEV else 0

    @export(cycles=120)
    def chrdev_open(self, inode: int, file: int) -> int:
        """Hand a file over to the driver of its device."""
        struct = self._parts.view("file", file)
        operations = self.operations(self._parts.view("inode", inode).i_rdev >> 8)
        if not operations:
            return -ENODEV
        struct.f_op = fops_get(self._parts, operations)
        function = self._parts.view("file_operations", operations).open
        return self._parts.call(function, inode, file) if function else 0
