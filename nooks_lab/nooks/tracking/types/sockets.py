"""Sockets, and the kernel's end of them that a server reads and waits on."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nooks_lab.kernel.net.inet_stream import OPERATIONS
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


def _release_socket(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> None:
    """Close the connection, and free both versions."""
    nooks.kernel.sockets.sock_release(tracked.kernel)
    domain.heap.free(tracked.extension)


def _check_socket(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    kernel = nooks.kernel
    if (kernel.slab.size_of(tracked.kernel) or 0) < kernel.types.size("socket"):
        yield f"the kernel's version {tracked.kernel:08x} is no allocated socket"
        return
    if domain.may_write(tracked.kernel):
        yield f"the extension may write the kernel's version {tracked.kernel:08x}"
    if domain.heap.size_of(tracked.extension) is None:
        yield f"the extension's version {tracked.extension:08x} is no block of its heap"
    socket = kernel.types.view("socket", tracked.kernel)
    if socket.ops not in (0, kernel.variable("inet_stream_ops")):
        yield f"its operations at {socket.ops:08x} are no protocol's"
    if socket.sk and nooks.tracker.find(domain, "sock", socket.sk) is None:
        yield f"its sock {socket.sk:08x} is not recorded"


def _check_sock(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    if nooks.kernel.slab.size_of(tracked.kernel) is None:
        yield f"{tracked.kernel:08x} is no allocated sock"
    elif domain.may_write(tracked.kernel):
        yield f"the extension may write the sock {tracked.kernel:08x}"


def _free_operations(_nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> None:
    domain.heap.free(tracked.extension)


def _check_operations(nooks: "Nooks", domain: Domain, tracked: "TrackedObject") -> Iterator[str]:
    if domain.heap.size_of(tracked.extension) is None:
        yield f"the extension's version {tracked.extension:08x} is no block of its heap"
        return
    table = nooks.kernel.types.view("proto_ops", tracked.extension)
    gates = nooks.interposition.kernel_gates
    for member, function in OPERATIONS.items():
        pointer = getattr(table, member)
        if pointer != gates[function]:
            yield f"its {member} is {pointer:08x}, which is no wrapper of {function}"


register(
    ObjectType(
        26,
        "socket",
        Lifetime.EXPLICIT,
        Transfer.COPY,
        _release_socket,
        _check_socket,
        struct="socket",
    ),
    ObjectType(
        27,
        "sock",
        Lifetime.EXPLICIT,
        Transfer.HANDLE,
        nothing_to_release,
        _check_sock,
        struct="sock",
        shared=True,
    ),
    ObjectType(
        28,
        "proto_ops",
        Lifetime.EXPLICIT,
        Transfer.COPY,
        _free_operations,
        _check_operations,
        struct="proto_ops",
    ),
    ObjectType(
        29,
        "msghdr",
        Lifetime.CALL,
        Transfer.COPY,
        nothing_to_release,
        nothing_to_check,
        struct="msghdr",
    ),
)
