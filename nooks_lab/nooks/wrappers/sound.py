"""Sound: devices by minor number, and channels of the ISA DMA controllers.

The files of sound devices are those of character devices: their operations have the wrappers of
``struct file_operations`` (``fs_operations.py``).
"""

from typing import TYPE_CHECKING

from nooks_lab.kernel.errno import EBUSY
from nooks_lab.nooks.isolation.domain import BadParameter, Domain
from nooks_lab.nooks.wrappers.decisions import Reads, Text
from nooks_lab.nooks.wrappers.declare import kernel_wrapper, parse
from nooks_lab.nooks.wrappers.memory import end

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks


# Devices


def _registers(prototype: str) -> None:
    """A function that registers the kernel's version of a driver's operations; its result is a minor number."""
    function = parse(prototype).name

    def body(nooks: "Nooks", domain: Domain, fops: int, *number: int) -> int:
        table = nooks.fs.table(domain, "file_operations", fops)
        minor = int(nooks.kernel_function(function)(table, *number))
        if minor >= 0:
            nooks.tracker.add(domain, "sound device", minor, minor)
        return minor

    kernel_wrapper(prototype, fops=Reads("file_operations"))(body)


_registers("int register_sound_special(struct file_operations *fops, int unit)")
_registers("int register_sound_mixer(struct file_operations *fops, int dev)")
_registers("int register_sound_dsp(struct file_operations *fops, int dev)")


def _unregisters(prototype: str) -> None:
    function = parse(prototype).name

    def body(nooks: "Nooks", domain: Domain, unit: int) -> None:
        device = nooks.tracker.find(domain, "sound device", unit & 0xFFFFFFFF)
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
