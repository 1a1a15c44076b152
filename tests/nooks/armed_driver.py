"""The e1000 with a wild store that a test arms from outside, and a lab that runs it."""

from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import ARP, Ether

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.kernel.modules import Module
from nooks_lab.lab import MAC, Lab
from nooks_lab.machine.peer import Peer
from nooks_lab.toolchain.elf import ObjectFile

OURS, OUR_MAC = "10.0.0.2", ":".join(f"{byte:02x}" for byte in MAC)
THEIRS, THEIR_MAC = "10.0.0.1", "02:00:00:00:00:01"
NETMASK = "255.255.255.0"
BROADCAST = bytes(Ether(src=THEIR_MAC, dst="ff:ff:ff:ff:ff:ff", type=0x88B5) / bytes(46))

_PLACES = {
    "interrupt": ("static void e1000_intr(", "\twhile (work-- > 0) {\n"),
    "transmit": ("static int e1000_xmit_frame(", "\tif (skb->len == 0"),
    "timer": ("static void e1000_watchdog(", "\tif (status & E1000_STATUS_LU) {\n"),
    "open": ("static int e1000_open(", "\terr = e1000_setup_ring("),
    "probe": ("static int __devinit e1000_probe(", "\terr = pci_enable_device("),
}
NUMBERS = {"interrupt": 1, "transmit": 2, "timer": 3, "open": 4, "probe": 5}
_BUG = (
    'volatile int bug_place = 0;\nMODULE_PARM(bug_place, "i");\nvolatile unsigned long bug_address = 0;\n\n'
)


def armed_source() -> str:
    """Return the driver's source with a dormant bug in five places."""
    text = extensions.source("e1000").read_text()
    for place, number in NUMBERS.items():
        function, before = _PLACES[place]
        at = text.index(before, text.index(function))
        bug = f"\tif (bug_place == {number})\n\t\t*(volatile int *)bug_address = 0x0badf00d;\n"
        text = text[:at] + bug + text[at:]
    at = text.index("static void e1000_watchdog(unsigned long data)\n{")
    return text[:at] + _BUG + text[at:]


def armed_driver() -> ObjectFile:
    """Compile it; the object is called e1000."""
    path = extensions.source("e1000")
    return extensions.build("e1000.c", armed_source(), include=(path.parent,))


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


def module(lab: Lab) -> Module:
    """Return the driver as it is loaded now."""
    return lab.kernel.modules.loaded["e1000"]


def symbol(lab: Lab, name: str) -> int:
    """Return the address of one of the driver's symbols."""
    image = module(lab).image
    assert image is not None
    return image.symbols[name]


def arm(lab: Lab, place: str, address: int) -> None:
    """Wake a bug; reloading the driver puts it to sleep again, unless its parameter says otherwise."""
    lab.kernel.memory.set_u32(symbol(lab, "bug_address"), address)
    lab.kernel.memory.set_u32(symbol(lab, "bug_place"), NUMBERS[place])


def provoke(lab: Lab, place: str) -> None:
    """Make the driver run the code where the bug is, and let it recover."""
    if place == "interrupt":
        lab.peer.send(BROADCAST)
    elif place == "transmit":
        lab.kernel.send_frame("eth0", BROADCAST)
    lab.run(2.5 if place == "timer" else 0.1)


def strike(lab: Lab, place: str, address: int) -> None:
    """Arm and provoke."""
    arm(lab, place, address)
    provoke(lab, place)


def ping(lab: Lab) -> bool:
    """Tell whether the peer answers, and let the answer's traces vanish."""
    answered = lab.kernel.in_task("ping", lambda: lab.kernel.inet.ping(THEIRS, timeout=0.2)) is not None
    lab.run(0.02)
    return answered
