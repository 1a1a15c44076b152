"""Interface addresses, and routes over them (Linux 2.4 ``net/ipv4/devinet.c``, ``net/ipv4/route.c``)."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from nooks_lab.kernel.net.parts import Parts

INADDR_BROADCAST = 0xFFFFFFFF


class Route(NamedTuple):
    """How a packet leaves.

    Attributes
    ----------
    ifa, dev : views of struct in_ifaddr and struct net_device
    source : int
        Our own address there.
    next_hop : int
        The station that gets the packet.
    kind : str
        ``"unicast"``, ``"broadcast"`` or ``"local"``.
    """

    ifa: Any
    dev: Any
    source: int
    next_hop: int
    kind: str


class Routes:
    """The list of interface addresses: one for each device, each with an optional gateway."""

    def __init__(self, parts: Parts) -> None:
        self._types, self._memory, self._slab, self._net = parts.types, parts.memory, parts.slab, parts.net
        self._list = parts.variables["inet_ifaddr_list"]
        self._dev_base = parts.variables["dev_base"]

    def addresses(self) -> Iterator[Any]:
        """Yield every interface address, as a view of ``struct in_ifaddr``."""
        at = self._memory.u32(self._list)
        while at:
            ifa = self._types.view("in_ifaddr", at)
            yield ifa
            at = ifa.ifa_next

    def set_address(self, dev: Any, address: int, netmask: int, gateway: int) -> None:
        """Give a device its address; a former one is replaced.

        Raises
        ------
        MemoryError
            When the kernel has no memory for it.
        """
        ifa = self.of_device(dev)
        if ifa is None:
            new = self._slab.zalloc(self._types.size("in_ifaddr"))
            if not new:
                raise MemoryError(f"no memory for the address of {dev.name.decode('latin-1')}")
            ifa = self._types.view("in_ifaddr", new)
            ifa.ifa_dev, ifa.ifa_label = dev.address, dev.name
            ifa.ifa_next = self._memory.u32(self._list)
            self._memory.set_u32(self._list, new)
        ifa.ifa_local, ifa.ifa_mask, ifa.ifa_gateway = address, netmask, gateway

    def of_device(self, dev: Any) -> Any:
        """Return a device's address, or None; a device that has come back under its name has its old one."""
        name = dev.name
        for ifa in self.addresses():
            if ifa.ifa_label == name:
                ifa.ifa_dev = dev.address
                return ifa
        return None

    def device(self, ifa: Any) -> Any:
        """Return the registered device of an address, or None while its driver is not loaded."""
        address = ifa.ifa_dev
        at = self._memory.u32(self._dev_base)
        while at:
            if at == address:
                return self._net.view(at)
            at = self._net.view(at).next
        dev = self._net.by_name(ifa.ifa_label.decode("latin-1"))
        if dev is not None:
            ifa.ifa_dev = dev.address
        return dev

    def is_local(self, address: int) -> bool:
        """Tell whether an address is one of ours."""
        return any(ifa.ifa_local == address for ifa in self.addresses())

    def is_broadcast(self, address: int) -> bool:
        """Tell whether every station of a network of ours is meant."""
        return address == INADDR_BROADCAST or any(
            address | ifa.ifa_mask == INADDR_BROADCAST and self.is_on_link(ifa, address)
            for ifa in self.addresses()
        )

    def is_on_link(self, ifa: Any, address: int) -> bool:
        """Tell whether an address belongs to the network of an interface."""
        return bool((address ^ ifa.ifa_local) & ifa.ifa_mask == 0)

    def lookup(self, destination: int) -> Route | None:
        """Return how a packet reaches its destination, or None."""
        through_gateway = None
        for ifa in self.addresses():
            local, mask, gateway = ifa.ifa_local, ifa.ifa_mask, ifa.ifa_gateway
            if destination == local:
                return self._route(ifa, local, local, "local")
            if destination == INADDR_BROADCAST or (destination ^ local) & mask == 0:
                broadcast = destination | mask == INADDR_BROADCAST
                return self._route(ifa, local, destination, "broadcast" if broadcast else "unicast")
            if gateway and through_gateway is None:
                through_gateway = (ifa, local, gateway)
        if through_gateway is None:
            return None
        return self._route(*through_gateway, "unicast")

    def _route(self, ifa: Any, source: int, next_hop: int, kind: str) -> Route | None:
        dev = self.device(ifa)
        return None if dev is None else Route(ifa, dev, source, next_hop, kind)
