"""Sound devices, and channels of the ISA DMA controllers."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nooks_lab.nooks.isolation.domain import Domain
from nooks_lab.nooks.tracking.object_types import Lifetime, ObjectType, Transfer, register

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks
    from nooks_lab.nooks.tracking.tracker import TrackedObject


def _unregister(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> None:
    """Take a device out of the system: from now on there is none of its number to open."""
    nooks.kernel.sound.unregister_sound_special(tracked.kernel)


def _check_device(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    operations = nooks.tracker.by_kernel("file_operations", nooks.kernel.sound.fops(tracked.kernel))
    if operations is None or operations[0] is not domain:
        yield f"minor number {tracked.kernel} has no operations of the domain's"


def free_channel(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> None:
    """Mask a channel, which its driver may have left running, and give it back."""
    channel = tracked.kernel
    nooks.kernel.machine.bus.port_write(0x0A if channel < 4 else 0xD4, 1, 4 | channel & 3)
    nooks.kernel.dma.free_dma(channel)


def _check_channel(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    if tracked.kernel not in nooks.kernel.dma.busy():
        yield f"DMA channel {tracked.kernel} is not taken"


register(
    ObjectType(6, "sound device", Lifetime.EXPLICIT, Transfer.HANDLE, _unregister, _check_device),
    ObjectType(9, "dma channel", Lifetime.EXPLICIT, Transfer.HANDLE, free_channel, _check_channel, dma=True),
)
