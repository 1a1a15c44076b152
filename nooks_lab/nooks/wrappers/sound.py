"""Sound: devices, the files that are open on them, and DMA channels.

A driver's ``struct file_operations`` is copied, its functions replaced by wrappers.  A ``struct file`` is copied,
too: the driver keeps its own pointer in it, from open to release, and reads and changes flags and position.  An
inode is only read, where it is, during the call.  What a process writes comes by ``copy_from_user``.
"""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from nooks_lab.kernel.errno import EBUSY, EIO, ENOMEM
from nooks_lab.nooks.isolation.domain import BadParameter, Domain
from nooks_lab.nooks.tracking.tracker import TrackedObject
from nooks_lab.nooks.tracking.types.sound import OPERATIONS
from nooks_lab.nooks.wrappers.copies import StructCopy
from nooks_lab.nooks.wrappers.decisions import Reads, Text
from nooks_lab.nooks.wrappers.declare import kernel_wrapper, parse
from nooks_lab.nooks.wrappers.memory import end

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks

FILE_WRITABLE = ("f_flags", "f_pos", "f_error", "f_version")
FILE_PRIVATE = ("private_data", "f_op")
"""The driver's own: the kernel never follows its pointer, and its operations are not the kernel's."""


# Devices


def _register(nooks: "Nooks", domain: Domain, function: str, fops: int, number: int) -> int:
    """Register the kernel's version of a driver's operations, its pointers replaced by wrappers."""
    kernel, types = nooks.kernel, nooks.kernel.types
    own = types.view("file_operations", fops)
    if own.owner and own.owner not in [module.struct.address for module in nooks.loaded(domain)]:
        raise BadParameter(f"{function}: {own.owner:08x} is no module of domain {domain.name}")
    version = kernel.slab.zalloc(types.size("file_operations"))
    if not version:
        return -ENOMEM
    operations = types.view("file_operations", version)
    operations.owner = own.owner
    for member in OPERATIONS:
        if getattr(own, member):
            setattr(operations, member, nooks.entry_point(f"file_operations.{member}"))
    unit = int(nooks.kernel_function(function)(version, number))
    if unit < 0:
        kernel.slab.free(version)
        return unit
    nooks.tracker.add(domain, "sound device", version, fops, unit)
    return unit


def _registers(prototype: str) -> None:
    function = parse(prototype).name

    def body(nooks: "Nooks", domain: Domain, fops: int, *number: int) -> int:
        return _register(nooks, domain, function, fops, *number)

    kernel_wrapper(prototype, fops=Reads("file_operations"))(body)


_registers("int register_sound_special(struct file_operations *fops, int unit)")
_registers("int register_sound_mixer(struct file_operations *fops, int dev)")
_registers("int register_sound_dsp(struct file_operations *fops, int dev)")


def _unregisters(prototype: str) -> None:
    function = parse(prototype).name

    def body(nooks: "Nooks", domain: Domain, unit: int) -> None:
        devices = (each for each in nooks.tracker.objects(domain) if each.type == "sound device")
        device = next((each for each in devices if each.detail[0] == unit & 0xFFFFFFFF), None)
        if device is None:
            raise BadParameter(f"{function}: {unit} is no sound device of domain {domain.name}")
        end(nooks, domain, device)

    kernel_wrapper(prototype)(body)


_unregisters("void unregister_sound_special(int unit)")
_unregisters("void unregister_sound_mixer(int unit)")
_unregisters("void unregister_sound_dsp(int unit)")


# DMA channels: to program one takes port accesses, which ring 0 is free to make; the table of owners is the kernel's.


@kernel_wrapper("int request_dma(unsigned int dmanr, char *device_id)", device_id=Text())
def request_dma(nooks: "Nooks", domain: Domain, dmanr: int, device_id: int) -> int:
    """Claim a channel; one that a failed domain still holds passes to its successor."""
    request = nooks.kernel.dma.request_dma
    result = request(dmanr, device_id)
    if result == -EBUSY and _take_channel_from_failed(nooks, dmanr):
        result = request(dmanr, device_id)
    if result == 0:
        nooks.tracker.add(domain, "dma channel", dmanr, dmanr)
    return result


def _take_channel_from_failed(nooks: "Nooks", dmanr: int) -> bool:
    held_by = nooks.tracker.by_kernel("dma channel", dmanr)
    if held_by is None or not held_by[0].failed:
        return False
    end(nooks, *held_by)
    return True


@kernel_wrapper("void free_dma(unsigned int dmanr)")
def free_dma(nooks: "Nooks", domain: Domain, dmanr: int) -> None:
    """Give a channel back that the domain has claimed."""
    tracked = nooks.tracker.find(domain, "dma channel", dmanr)
    if tracked is None:
        raise BadParameter(f"free_dma: {dmanr} is no DMA channel of domain {domain.name}")
    end(nooks, domain, tracked)


# Files.  The wrappers of ``struct file_operations`` (fs_operations.py) come here with the files of sound devices.


def has(nooks: "Nooks", file: int) -> bool:
    """Tell whether a file is one that is, or is about to be, open on a sound device of an extension's."""
    fops = nooks.kernel.device_files.view(file).f_op
    return bool(fops) and nooks.tracker.by_kernel("sound device", fops) is not None


def _file_copy(nooks: "Nooks") -> StructCopy:
    kernel = nooks.kernel
    return StructCopy(kernel.types, kernel.memory, kernel.machine.clock, "file", FILE_WRITABLE, FILE_PRIVATE)


def _device(nooks: "Nooks", file: int) -> tuple[Domain, TrackedObject] | None:
    """Return the device that a file is open on, and whose it is; None when its driver has failed."""
    fops = nooks.kernel.device_files.view(file).f_op
    held_by = nooks.tracker.by_kernel("sound device", fops) if fops else None
    return None if held_by is None or held_by[0].failed else held_by


def _lent_inode(nooks: "Nooks", domain: Domain, inode: int) -> AbstractContextManager[TrackedObject]:
    return nooks.tracker.call_object(domain, "device inode", inode, inode)


def open_(nooks: "Nooks", inode: int, file: int) -> int:
    """Open a device; from now on the driver has a version of the file, unless it refuses."""
    held_by = _device(nooks, file)
    if held_by is None:
        return -EIO
    domain, device = held_by
    copy = _file_copy(nooks)
    version = domain.heap.zalloc(copy.size)
    if not version:
        return -ENOMEM
    tracked = nooks.tracker.add(domain, "device file", file, version, device.kernel)
    copy.to_extension(file, version)
    nooks.kernel.device_files.view(version).f_op = device.extension
    function = nooks.kernel.types.view("file_operations", device.extension).open
    with _lent_inode(nooks, domain, inode):
        result = nooks.call_extension(domain, -EIO, function, inode, version)
    if domain.failed:
        return -EIO
    copy.to_kernel(file, version)
    if result:
        nooks.tracker.remove(tracked)
        domain.heap.free(version)
    return result


def _call_file(nooks: "Nooks", file: int, operation: str, inode: int, *arguments: int) -> int:
    """Call a function on an open file; the versions are kept in step.

    Parameters
    ----------
    inode : int
        The file's inode when the function takes it first; 0 when it does not.
    """
    held_by = _device(nooks, file)
    tracked = None if held_by is None else nooks.tracker.by_kernel("device file", file)
    if held_by is None or tracked is None or tracked[0] is not held_by[0]:
        return -EIO
    domain, device = held_by
    copy, version = _file_copy(nooks), tracked[1].extension
    copy.to_extension(file, version)
    function = getattr(nooks.kernel.types.view("file_operations", device.extension), operation)
    if inode:
        with _lent_inode(nooks, domain, inode):
            result = nooks.call_extension(domain, -EIO, function, inode, version, *arguments)
    else:
        result = nooks.call_extension(domain, -EIO, function, version, *arguments)
    if domain.failed:
        return -EIO
    if nooks.tracker.find(domain, "device file", version) == tracked[1]:
        copy.to_kernel(file, version)
    return result


def write(nooks: "Nooks", file: int, buf: int, count: int, ppos: int) -> int:
    """Write from user memory, which the driver reaches by ``copy_from_user``; the position is in its version."""
    tracked = nooks.tracker.by_kernel("device file", file)
    if tracked is None or ppos != nooks.kernel.device_files.view(file).offset_of("f_pos"):
        return -EIO
    position = nooks.kernel.device_files.view(tracked[1].extension).offset_of("f_pos")
    return _call_file(nooks, file, "write", 0, buf, count, position)


def ioctl(nooks: "Nooks", inode: int, file: int, cmd: int, arg: int) -> int:
    """Control a device; where the argument points is the user's business."""
    return _call_file(nooks, file, "ioctl", inode, cmd, arg)


def release(nooks: "Nooks", inode: int, file: int) -> int:
    """Close a file: the driver's version ends with the call."""
    result = _call_file(nooks, file, "release", inode)
    held_by = nooks.tracker.by_kernel("device file", file)
    if held_by is not None and not held_by[0].failed:
        domain, tracked = held_by
        nooks.tracker.remove(tracked)
        domain.heap.free(tracked.extension)
    return result
