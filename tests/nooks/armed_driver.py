"""A lab that runs the armed e1000, and a peer that answers it."""

from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import ARP, Ether

import nooks_lab as nl
from nooks_lab.cards import MAC
from nooks_lab.faults.armed_e1000 import (
    NUMBERS,
    PEER,
    arm,
    armed_driver,
    armed_source,
    module,
    numbered_frame,
    provoke,
    symbol,
)
from nooks_lab.lab import Lab
from nooks_lab.machine.peer import Peer
from nooks_lab.toolchain.elf import ObjectFile

OURS, OUR_MAC = "10.0.0.2", MAC.hex(":")
THEIRS, THEIR_MAC = "10.0.0.1", PEER.hex(":")
NETMASK = "255.255.255.0"
BROADCAST = numbered_frame(PEER)

__all__ = ["NUMBERS", "arm", "armed_driver", "armed_source", "module", "provoke", "symbol"]


def answer(peer: Peer, data: bytes) -> None:
    """The peer at 10.0.0.1 answers ARP and ping."""
    frame = Ether(data)
    if ARP in frame and frame[ARP].op == 1 and frame[ARP].pdst == THEIRS:
        reply = ARP(op=2, hwsrc=THEIR_MAC, psrc=THEIRS, hwdst=frame.src, pdst=frame[ARP].psrc)
        peer.send(bytes(Ether(src=THEIR_MAC, dst=frame.src) / reply))
    elif ICMP in frame and frame[ICMP].type == 8:
        echo = ICMP(type=0, id=frame[ICMP].id, seq=frame[ICMP].seq) / bytes(frame[ICMP].payload)
        peer.send(bytes(Ether(src=THEIR_MAC, dst=frame.src) / IP(src=THEIRS, dst=OURS) / echo))


def boot_up(obj: ObjectFile | str) -> Lab:
    """Boot with Nooks, load the driver, bring the interface up, and let everything settle."""
    lab = nl.boot(nooks=True)
    lab.peer.on_frame = answer
    lab.insmod(obj)
    assert lab.ifup("eth0", OURS, NETMASK) == 0
    lab.run(0.05)
    assert ping(lab)
    return lab


def strike(lab: Lab, place: str, address: int) -> None:
    """Arm and provoke."""
    arm(lab, place, address)
    provoke(lab, place)


def ping(lab: Lab) -> bool:
    """Tell whether the peer answers, and let the answer's traces vanish."""
    answered = lab.kernel.in_task("ping", lambda: lab.kernel.inet.ping(THEIRS, timeout=0.2)) is not None
    lab.run(0.02)
    return answered
