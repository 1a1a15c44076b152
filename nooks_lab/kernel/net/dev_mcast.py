"""The multicast addresses that a device listens to (Linux 2.4 ``net/core/dev_mcast.c``)."""

from typing import Any

from nooks_lab.kernel.errno import ENOENT, ENOMEM
from nooks_lab.kernel.slab import SlabAllocator
from nooks_lab.kernel.structs import Types
from nooks_lab.machine.linear import LinearMemory

ETH_ALEN = 6


class MulticastLists:
    """``dev->mc_list`` of every device: a chain of ``struct dev_mc_list`` with a count of users each."""

    def __init__(self, types: Types, memory: LinearMemory, slab: SlabAllocator) -> None:
        self._types, self._memory, self._slab = types, memory, slab

    def entries(self, dev: Any) -> list[Any]:
        """Return the entries of a device's list."""
        found = []
        at = dev.mc_list
        while at:
            found.append(self._types.view("dev_mc_list", at))
            at = found[-1].next
        return found

    def add(self, dev: Any, address: bytes) -> int:
        """Add an address, or one more user of it; 0 or an error number, negated.

        Parameters
        ----------
        address : bytes
            6 bytes.
        """
        for entry in self.entries(dev):
            if entry.dmi_addr[:ETH_ALEN] == address:
                entry.dmi_users += 1
                return 0
        new = self._slab.zalloc(self._types.size("dev_mc_list"))
        if not new:
            return -ENOMEM
        entry = self._types.view("dev_mc_list", new)
        entry.dmi_addr, entry.dmi_addrlen, entry.dmi_users = address, ETH_ALEN, 1
        entry.next = dev.mc_list
        dev.mc_list = new
        dev.mc_count += 1
        return 0

    def delete(self, dev: Any, address: bytes) -> int:
        """Take one user of an address away, and with the last one the address; 0 or an error number, negated."""
        link = dev.offset_of("mc_list")
        for entry in self.entries(dev):
            if entry.dmi_addr[:ETH_ALEN] == address:
                entry.dmi_users -= 1
                if not entry.dmi_users:
                    self._memory.set_u32(link, entry.next)
                    dev.mc_count -= 1
                    self._slab.free(entry.address)
                return 0
            link = entry.offset_of("next")
        return -ENOENT

    def discard(self, dev: Any) -> None:
        """``dev_mc_discard``: free the list of a device that vanishes."""
        for entry in self.entries(dev):
            self._slab.free(entry.address)
        dev.mc_list, dev.mc_count = 0, 0
