"""The e1000 with a dormant wild store in five places, armed from outside while it runs."""

from nooks_lab import extensions
from nooks_lab.cards import MAC
from nooks_lab.faults.wild_store import PatchError
from nooks_lab.kernel.module import Module
from nooks_lab.lab import Lab
from nooks_lab.machine.ethernet import BROADCAST, SHORTEST_FRAME
from nooks_lab.toolchain.elf import ObjectFile

DEVICE = "eth0"
PEER = bytes.fromhex("020000000001")
"""The peer's station address."""

_PLACES = {
    "interrupt": ("static void e1000_intr(", "\twhile (work-- > 0) {\n"),
    "transmit": ("static int e1000_xmit_frame(", "\tif (skb->len == 0"),
    "timer": ("static void e1000_watchdog(", "\tif (status & E1000_STATUS_LU) {\n"),
    "open": ("static int e1000_open(", "\terr = e1000_setup_ring("),
    "probe": ("static int __devinit e1000_probe(", "\terr = pci_enable_device("),
}
"""The function of each place, and the text before which the bug stands."""

NUMBERS = {place: number for number, place in enumerate(_PLACES, 1)}
"""What the module parameter ``bug_place`` calls each place; 0 is none."""

_BUG = (
    'volatile int bug_place = 0;\nMODULE_PARM(bug_place, "i");\nvolatile unsigned long bug_address = 0;\n\n'
)
_FIRST_USE = "static void e1000_watchdog(unsigned long data)\n{"

_EXPERIMENTAL = b"\x88\xb5"
"""An EtherType for experiments, which the kernel hands to nobody (IEEE 802)."""


def armed_source() -> str:
    """Return the driver's source with a dormant bug in five places.

    Raises
    ------
    PatchError
        When the driver lacks one of them.
    """
    text = extensions.source("e1000").read_text()
    for place, number in NUMBERS.items():
        function, before = _PLACES[place]
        at = text.find(before, max(text.find(function), 0))
        if function not in text or at < 0:
            raise PatchError(f"e1000.c has no place for a bug in {place}")
        bug = f"\tif (bug_place == {number})\n\t\t*(volatile int *)bug_address = 0x0badf00d;\n"
        text = text[:at] + bug + text[at:]
    at = text.find(_FIRST_USE)
    if at < 0:
        raise PatchError("e1000.c has no e1000_watchdog")
    return text[:at] + _BUG + text[at:]


def armed_driver() -> ObjectFile:
    """Compile it; the object is called e1000."""
    path = extensions.source("e1000")
    return extensions.build("e1000.c", armed_source(), include=(path.parent,))


def module(lab: Lab) -> Module:
    """Return the driver as it is loaded now."""
    return lab.kernel.modules.loaded["e1000"]


def symbol(lab: Lab, name: str) -> int:
    """Return the address of one of the driver's symbols."""
    image = module(lab).image
    assert image is not None
    return image.symbols[name]


def arm(lab: Lab, place: str, address: int) -> None:
    """Wake a bug; reloading the driver puts it to sleep again, unless its parameter says otherwise.

    Parameters
    ----------
    place : str
        One of ``NUMBERS``.
    address : int
        Where the wild store goes.
    """
    lab.kernel.memory.set_u32(symbol(lab, "bug_address"), address)
    lab.kernel.memory.set_u32(symbol(lab, "bug_place"), NUMBERS[place])


def disarm(lab: Lab) -> None:
    """Put a bug to sleep that has not struck, or whose store went unnoticed."""
    lab.kernel.memory.set_u32(symbol(lab, "bug_place"), 0)


def numbered_frame(source: bytes, number: int = 0) -> bytes:
    """Return a broadcast frame that no protocol takes; its number tells it from others.

    Parameters
    ----------
    source : bytes
        The sender's station address, 6 bytes.
    """
    return (BROADCAST + source + _EXPERIMENTAL + number.to_bytes(4, "big")).ljust(SHORTEST_FRAME, b"\0")


def provoke(lab: Lab, place: str) -> None:
    """Make the driver run the code where the bug is, and give it time to recover."""
    if place == "interrupt":
        lab.peer.send(numbered_frame(PEER))
    elif place == "transmit":
        lab.kernel.send_frame(DEVICE, numbered_frame(MAC))
    elif place == "open":
        lab.kernel.ifconfig_down(DEVICE)
        lab.kernel.ifconfig_up(DEVICE)
    lab.run(2.5 if place == "timer" else 0.1)
