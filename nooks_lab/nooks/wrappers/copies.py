"""Kernel and extension versions of a struct, and what is copied between them (call-by-value-result).

The fields that an extension may write are a person's decision (paper, section 4.3); everything else flows
only from the kernel to the extension.
"""

import struct
from collections.abc import Callable, Iterable

from nooks_lab.kernel.structs import Types
from nooks_lab.machine.clock import Clock
from nooks_lab.machine.linear import LinearMemory

NET_DEVICE_WRITABLE = (
    "mem_end",
    "mem_start",
    "base_addr",
    "irq",
    "if_port",
    "dma",
    "trans_start",
    "last_rx",
    "flags",
    "mtu",
    "type",
    "hard_header_len",
    "broadcast",
    "dev_addr",
    "addr_len",
    "watchdog_timeo",
    "tx_queue_len",
    "features",
    "owner",
)
NET_DEVICE_PRIVATE = ("priv",)
NET_DEVICE_OPS = (
    "init",
    "get_stats",
    "open",
    "stop",
    "hard_start_xmit",
    "set_multicast_list",
    "set_mac_address",
    "do_ioctl",
    "change_mtu",
    "tx_timeout",
)
SK_BUFF_WRITABLE = (
    "len",
    "csum",
    "pkt_type",
    "ip_summed",
    "priority",
    "protocol",
    "data",
    "tail",
    "h",
    "nh",
    "mac",
    "cb",
)


_POINTER, _NULL = struct.Struct("<I"), bytes(4)

COPY_START_CYCLES, BYTES_A_CYCLE = 20, 3
"""``rep movsl`` on a Pentium 4: some cycles to start, then most of a word in each."""


class StructCopy:
    """Copies between the two versions of one struct type.

    Parameters
    ----------
    writable : fields that flow back from the extension.
    private : fields that are the extension's own and flow neither way.
    """

    def __init__(
        self,
        types: Types,
        memory: LinearMemory,
        clock: Clock,
        name: str,
        writable: Iterable[str],
        private: Iterable[str] = (),
    ) -> None:
        self._memory, self._clock = memory, clock
        layout = types.layouts.structs[name]
        self.name, self.size = name, layout.size
        spans = {f.name: (f.offset, f.offset + f.type.size) for f in layout.fields.values()}
        self._back = _merged([spans[field] for field in writable])
        self._to = _gaps(sorted(spans[field] for field in private), self.size)
        self.bytes_to_extension = sum(end - start for start, end in self._to)
        self.bytes_to_kernel = sum(end - start for start, end in self._back)

    def to_extension(self, kernel: int, extension: int) -> None:
        """Bring the extension's version up to date."""
        self._clock.advance(COPY_START_CYCLES + self.bytes_to_extension // BYTES_A_CYCLE)
        data = self._memory.read(kernel, self.size)
        for start, end in self._to:
            self._memory.write(extension + start, data[start:end])

    def to_kernel(self, kernel: int, extension: int) -> bytes:
        """Bring the extension's changes back, as far as they are its to make; returns the extension's version."""
        own, version = self._brought_back(kernel, extension)
        self._memory.write(kernel, bytes(version))
        return own

    def _brought_back(self, kernel: int, extension: int) -> tuple[bytes, bytearray]:
        """Return the extension's version, and what the kernel's becomes with its changes.

        The kernel's is then written as a whole: it is a slab object, in one page.
        """
        self._clock.advance(COPY_START_CYCLES + self.bytes_to_kernel // BYTES_A_CYCLE)
        own = self._memory.read(extension, self.size)
        version = bytearray(self._memory.read(kernel, self.size))
        for start, end in self._back:
            version[start:end] = own[start:end]
        return own, version


class OperationsCopy(StructCopy):
    """A struct with function pointers: the kernel's version points to wrappers wherever the extension's points.

    Parameters
    ----------
    operations : names of the members that are function pointers.
    entry_point : callable (struct.member) -> address of its wrapper.
    """

    def __init__(
        self,
        types: Types,
        memory: LinearMemory,
        clock: Clock,
        name: str,
        writable: Iterable[str],
        private: Iterable[str],
        operations: Iterable[str],
        entry_point: Callable[[str], int],
    ) -> None:
        self.operations = tuple(operations)
        super().__init__(types, memory, clock, name, writable, (*private, *self.operations))
        self._offsets = {member: types.offset(name, member) for member in self.operations}
        self._entry_point = entry_point

    def to_kernel(self, kernel: int, extension: int) -> bytes:
        """As of any struct; then set or clear the kernel's function pointers."""
        own, version = self._brought_back(kernel, extension)
        for member, offset in self._offsets.items():
            is_set = own[offset : offset + 4] != _NULL
            if is_set != (version[offset : offset + 4] != _NULL):
                wrapper = self._entry_point(f"{self.name}.{member}") if is_set else 0
                _POINTER.pack_into(version, offset, wrapper)
        self._memory.write(kernel, bytes(version))
        return own

    def function(self, own: bytes, member: str) -> int:
        """Return where a member of the extension's version points."""
        return int(_POINTER.unpack_from(own, self._offsets[member])[0])


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _gaps(spans: list[tuple[int, int]], size: int) -> list[tuple[int, int]]:
    gaps, at = [], 0
    for start, end in spans:
        if start > at:
            gaps.append((at, start))
        at = end
    if at < size:
        gaps.append((at, size))
    return gaps
