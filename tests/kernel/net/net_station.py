"""The station at the wire's other end, which speaks scapy."""

from collections.abc import Callable
from typing import TypeVar

from scapy.layers.inet import IP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from nooks_lab.cards import MAC
from nooks_lab.kernel.net.sock import SocketError
from nooks_lab.lab import Lab
from nooks_lab.machine.peer import Peer

T = TypeVar("T")

OURS, OUR_MAC = "10.0.0.2", ":".join(f"{byte:02x}" for byte in MAC)
THEIRS, THEIR_MAC = "10.0.0.1", "02:00:00:00:00:01"


def in_process(lab: Lab, body: Callable[[], T]) -> T:
    """Run ``body`` in a process; a SocketError ends the process in good order before it comes out here."""

    def guarded() -> T | SocketError:
        try:
            return body()
        except SocketError as error:
            return error

    result = lab.kernel.in_task("test", guarded)
    if isinstance(result, SocketError):
        raise result
    return result


class Station:
    """The peer at 10.0.0.1: answers ARP and hands everything else to ``script``."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.arp = True
        self.script: Callable[[Packet], None] = lambda packet: None
        self.received: list[Packet] = []
        lab.peer.on_frame = self._on_frame

    def _on_frame(self, _peer: Peer, data: bytes) -> None:
        frame = Ether(data)
        self.received.append(frame)
        if ARP in frame and frame[ARP].op == 1 and frame[ARP].pdst == THEIRS:
            if self.arp:
                reply = ARP(op=2, hwsrc=THEIR_MAC, psrc=THEIRS, hwdst=frame.src, pdst=frame[ARP].psrc)
                self.send_frame(Ether(src=THEIR_MAC, dst=frame.src) / reply)
        elif IP in frame:
            self.script(frame[IP])

    def send_frame(self, frame: Packet) -> None:
        self.lab.peer.send(bytes(frame))

    def send(self, payload: Packet, **fields: object) -> None:
        """Send an IP packet to the lab; ``fields`` override the IP header's."""
        header = IP(**({"src": THEIRS, "dst": OURS} | fields))
        self.send_frame(Ether(src=THEIR_MAC, dst=OUR_MAC) / header / payload)

    def ask_for(self, address: str, **fields: object) -> None:
        """Send an ARP request; ``fields`` override the ARP packet's."""
        request = {"op": 1, "hwsrc": THEIR_MAC, "psrc": THEIRS, "pdst": address} | fields
        self.send_frame(Ether(src=THEIR_MAC, dst="ff:ff:ff:ff:ff:ff") / ARP(**request))

    def packets(self, layer: type) -> list[Packet]:
        """Return what was received of a protocol, without Ethernet's padding."""
        return [frame[IP] for frame in self.received if IP in frame and layer in frame]

    def forget(self) -> None:
        self.received.clear()
        self.lab.peer.received.clear()
