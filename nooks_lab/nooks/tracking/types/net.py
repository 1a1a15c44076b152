"""Network devices and packets."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nooks_lab.nooks.isolation.domain import Domain
from nooks_lab.nooks.tracking.object_types import (
    Lifetime,
    ObjectType,
    Transfer,
    nothing_to_release,
    register,
)

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks
    from nooks_lab.nooks.tracking.tracker import TrackedObject


def _free_device(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> None:
    nooks.kernel.slab.free(tracked.kernel)
    domain.heap.free(tracked.extension)


def _check_device(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    size = nooks.kernel.types.size("net_device")
    if (nooks.kernel.slab.size_of(tracked.kernel) or 0) < size:
        yield f"the kernel's version {tracked.kernel:08x} is no allocated net_device"
        return
    if domain.may_write(tracked.kernel):
        yield f"the extension may write the kernel's version {tracked.kernel:08x}"
    if domain.heap.size_of(tracked.extension) is None:
        yield f"the extension's version {tracked.extension:08x} is no block of its heap"
    device = nooks.kernel.net.view(tracked.kernel)
    for member in nooks.net_device.operations:
        pointer = getattr(device, member)
        gate = nooks.kernel.execution.gates.get(pointer)
        if pointer and (gate is None or gate.name != f"nooks_net_device.{member}"):
            yield f"the kernel's {member} is {pointer:08x}, which is no wrapper"


def _forget_device(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> None:
    nooks.kernel.net.forget(tracked.kernel)


def _check_registered(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    if tracked.kernel not in [device.address for device in nooks.kernel.net.devices()]:
        yield f"{tracked.kernel:08x} is not in the kernel's list of devices"
    device = nooks.tracker.find(domain, "net_device", tracked.extension)
    if device is None:
        yield f"{tracked.extension:08x} is registered and yet no net_device of the domain"
    elif device.kernel != tracked.kernel:
        yield (
            f"{tracked.kernel:08x} is registered, "
            f"and the kernel's version of the domain's net_device is {device.kernel:08x}"
        )


def _free_statistics(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> None:
    nooks.kernel.slab.free(tracked.kernel)


def _check_statistics(nooks: "Nooks", _domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    if (nooks.kernel.slab.size_of(tracked.kernel) or 0) < nooks.kernel.types.size("net_device_stats"):
        yield f"the kernel's copy {tracked.kernel:08x} is no allocated net_device_stats"


def _free_packet(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> None:
    nooks.take_packet_back(domain, tracked)
    nooks.kernel.skbs.release(tracked.kernel)


def _check_packet(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    head, end, _ = tracked.detail
    if nooks.kernel.slab.size_of(tracked.kernel) is None:
        yield f"the kernel's version {tracked.kernel:08x} is no allocated sk_buff"
        return
    packet = nooks.kernel.skbs.view(tracked.kernel)
    if (packet.head, packet.end) != (head, end):
        yield f"its buffer is {packet.head:08x} to {packet.end:08x}, {head:08x} to {end:08x} was granted"
    if domain.may_write(tracked.kernel):
        yield f"the extension may write the kernel's version {tracked.kernel:08x}"
    if not domain.may_write(head, end - head):
        yield f"its buffer {head:08x} to {end:08x} is not granted"
    if domain.heap.size_of(tracked.extension) is None:
        yield f"the extension's version {tracked.extension:08x} is no block of its heap"


def _check_copy(_nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    if domain.heap.size_of(tracked.extension) is None:
        yield f"the extension's version {tracked.extension:08x} is no block of its heap"
    if domain.may_write(tracked.kernel):
        yield f"the extension may write the kernel's version {tracked.kernel:08x}"


register(
    ObjectType(
        10,
        "net_device",
        Lifetime.EXPLICIT,
        Transfer.COPY,
        _free_device,
        _check_device,
        struct="net_device",
        shared=True,
    ),
    ObjectType(
        11,
        "registered_netdev",
        Lifetime.EXPLICIT,
        Transfer.HANDLE,
        _forget_device,
        _check_registered,
        shared=True,
    ),
    ObjectType(
        12,
        "net_device_stats",
        Lifetime.EXPLICIT,
        Transfer.COPY,
        _free_statistics,
        _check_statistics,
        struct="net_device_stats",
    ),
    ObjectType(
        13,
        "sk_buff",
        Lifetime.EXPLICIT,
        Transfer.MAP,
        _free_packet,
        _check_packet,
        struct="sk_buff",
        dma=True,
    ),
    ObjectType(14, "ifreq", Lifetime.CALL, Transfer.COPY, nothing_to_release, _check_copy, struct="ifreq"),
    ObjectType(
        15, "sockaddr", Lifetime.CALL, Transfer.COPY, nothing_to_release, _check_copy, struct="sockaddr"
    ),
)
