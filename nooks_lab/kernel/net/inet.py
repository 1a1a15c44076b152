"""The Internet protocols put together, and what a user calls (Linux 2.4 ``net/ipv4/af_inet.c``)."""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network

from nooks_lab.kernel.exports import export
from nooks_lab.kernel.net.arp import ETH_P_ARP, ETH_P_IP, Arp
from nooks_lab.kernel.net.icmp import Icmp
from nooks_lab.kernel.net.ipv4 import Ipv4
from nooks_lab.kernel.net.parts import Parts
from nooks_lab.kernel.net.route import Routes
from nooks_lab.kernel.net.sock import Socks
from nooks_lab.kernel.net.sockets import TcpSocket, UdpSocket
from nooks_lab.kernel.net.tcp import Tcp
from nooks_lab.kernel.net.udp import Udp

_TIMER_FUNCTIONS = ("neigh_timer_handler", "tcp_write_timer")
_COUNTERS = {
    "Ip": "ip",
    "Icmp": "icmp",
    "Tcp": "tcp",
    "Udp": "udp",
    "Arp": "arp",
}


class Inet:
    """ARP, IP, ICMP, UDP and TCP above the network devices.

    Attributes
    ----------
    routes, arp, ip, icmp, udp, tcp
        The protocols, for those who look closer.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts, self._net, self._timer_bh = parts, parts.net, parts.timer_bh
        self.routes = Routes(parts)
        self.arp = Arp(parts, self.routes)
        self.ip = Ipv4(parts, self.routes, self.arp)
        self.socks = Socks(parts)
        self.icmp = Icmp(parts, self.ip, self.socks)
        self.udp = Udp(parts, self.ip, self.icmp, self.socks)
        self.tcp = Tcp(parts, self.ip, self.socks)

    def boot(self, entry_points: Mapping[str, int]) -> None:
        """Empty every table and take ARP and IP packets from the devices.

        Parameters
        ----------
        entry_points : mapping
            Addresses of the exported functions, by name.
        """
        self._parts.timer_functions.update((name, entry_points[name]) for name in _TIMER_FUNCTIONS)
        self._timer_bh.boot()
        self.arp.boot(self.ip.report_error)
        self.icmp.boot()
        self.udp.boot()
        self.tcp.boot()
        self._net.add_protocol(ETH_P_ARP, self.arp.receive)
        self._net.add_protocol(ETH_P_IP, self.ip.receive)

    @export(cycles=100)
    def neigh_timer_handler(self, data: int) -> None:
        """A neighbour has not answered for a second."""
        self.arp.timer_expired(data)

    @export(cycles=100)
    def tcp_write_timer(self, data: int) -> None:
        """A TCP socket's time has come."""
        self.tcp.timer.expired(data)

    # What a user does

    def configure(self, name: str, address: str, netmask: str, gateway: str | None = None) -> None:
        """Give a network device its address, as ``ifconfig`` does; it keeps it when its driver is reloaded.

        Parameters
        ----------
        name : str
            For instance ``"eth0"``.
        address, netmask, gateway : str
            In dotted notation.

        Raises
        ------
        LookupError
            When there is no such device.
        ValueError
            When an address or the netmask is none.
        """
        dev = self._net.by_name(name)
        if dev is None:
            raise LookupError(f"no network device {name}")
        mask = int(IPv4Network(f"0.0.0.0/{netmask}").netmask)
        router = int(IPv4Address(gateway)) if gateway else 0
        self.routes.set_address(dev, int(IPv4Address(address)), mask, router)

    def ping(self, address: str, size: int = 56, sequence: int = 1, timeout: float = 1.0) -> int | None:
        """Send an ICMP echo request and wait for its reply; call it in a process.

        Parameters
        ----------
        address : str
            In dotted notation.
        size : int
            Bytes of data.
        timeout : float
            Simulated seconds to wait.

        Returns
        -------
        int or None
            Cycles from request to reply, or None when no reply came.

        Raises
        ------
        SocketError
            When the request cannot be sent: no route, too large, device down.
        """
        return self.icmp.ping(int(IPv4Address(address)), size, sequence, timeout)

    def tcp_socket(self) -> TcpSocket:
        """Return a new TCP socket."""
        return TcpSocket(self.tcp, self.socks, self.routes)

    def udp_socket(self) -> UdpSocket:
        """Return a new UDP socket."""
        return UdpSocket(self.udp, self.socks, self.routes)

    def snmp(self) -> dict[str, dict[str, int]]:
        """Return the counters of ``/proc/net/snmp``, and ARP's, by protocol and name."""
        return {name: self._counters(prefix) for name, prefix in _COUNTERS.items()}

    def _counters(self, prefix: str) -> dict[str, int]:
        struct = f"{prefix}_mib"
        mib = self._parts.global_view(struct, f"{prefix}_statistics")
        return {name: getattr(mib, name) for name in self._parts.types.layouts.structs[struct].fields}
