"""Sound devices, the files that processes have open on them, and channels of the ISA DMA controllers."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

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

OPERATIONS = ("open", "release", "write", "ioctl")
"""Members of a sound driver's ``struct file_operations`` that have wrappers."""


def drop_device(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> None:
    """Take a device out of the system, and its operations from the files that are still open on it."""
    nooks.kernel.sound.unregister_sound_special(tracked.detail[0])
    for file in nooks.tracker.objects(domain):
        if file.type == "device file" and file.detail[0] == tracked.kernel:
            nooks.tracker.remove(file)
            _revoke(nooks, domain, file)
    nooks.kernel.slab.free(tracked.kernel)


def _check_device(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    if nooks.kernel.sound.fops(tracked.detail[0]) != tracked.kernel:
        yield f"{tracked.kernel:08x} is not registered under minor number {tracked.detail[0]}"
        return
    if domain.may_write(tracked.kernel):
        yield f"the extension may write the kernel's version {tracked.kernel:08x}"
    fops = nooks.kernel.types.view("file_operations", tracked.kernel)
    for member in OPERATIONS:
        pointer = getattr(fops, member)
        gate = nooks.kernel.execution.gates.get(pointer)
        if pointer and (gate is None or gate.name != f"nooks_file_operations.{member}"):
            yield f"the kernel's {member} is {pointer:08x}, which is no wrapper"


def _revoke(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> None:
    """The driver is gone: what the process does with its file from now on is an error, and closing it calls nobody."""
    nooks.kernel.device_files.view(tracked.kernel).f_op = 0
    domain.heap.free(tracked.extension)


def _check_file(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    if nooks.kernel.slab.size_of(tracked.kernel) is None:
        yield f"the kernel's version {tracked.kernel:08x} is no allocated file"
        return
    if nooks.kernel.device_files.view(tracked.kernel).f_op != tracked.detail[0]:
        yield f"the kernel's version {tracked.kernel:08x} is not open on the domain's device"
    if domain.may_write(tracked.kernel):
        yield f"the extension may write the kernel's version {tracked.kernel:08x}"
    if domain.heap.size_of(tracked.extension) is None:
        yield f"the extension's version {tracked.extension:08x} is no block of its heap"


def free_channel(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> None:
    """Mask a channel, which its driver may have left running, and give it back."""
    channel = tracked.kernel
    nooks.kernel.machine.bus.port_write(0x0A if channel < 4 else 0xD4, 1, 4 | channel & 3)
    nooks.kernel.dma.free_dma(channel)


def _check_channel(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    if tracked.kernel not in nooks.kernel.dma.busy():
        yield f"DMA channel {tracked.kernel} is not taken"


register(
    ObjectType(
        6,
        "sound device",
        Lifetime.EXPLICIT,
        Transfer.COPY,
        drop_device,
        _check_device,
        struct="file_operations",
        shared=True,
    ),
    ObjectType(
        7,
        "device file",
        Lifetime.EXPLICIT,
        Transfer.COPY,
        _revoke,
        _check_file,
        struct="file",
        shared=True,
    ),
    ObjectType(
        8,
        "device inode",
        Lifetime.CALL,
        Transfer.HANDLE,
        nothing_to_release,
        nothing_to_check,
        struct="inode",
    ),
    ObjectType(
        9,
        "dma channel",
        Lifetime.EXPLICIT,
        Transfer.HANDLE,
        free_channel,
        _check_channel,
        dma=True,
    ),
)
