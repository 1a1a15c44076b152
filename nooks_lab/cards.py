"""The expansion cards that a PC can be fitted with, and what each extension drives."""

from collections.abc import Callable
from dataclasses import dataclass

from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.machine.devices.c905 import C905
from nooks_lab.machine.devices.device import PciDevice
from nooks_lab.machine.devices.disk import Disk
from nooks_lab.machine.devices.e1000 import E1000
from nooks_lab.machine.devices.es1371 import Es1371
from nooks_lab.machine.devices.isa import IsaDevice
from nooks_lab.machine.devices.pcnet32 import Pcnet32
from nooks_lab.machine.devices.sb16 import Sb16
from nooks_lab.machine.ethernet import FAST_ETHERNET, GIGABIT

MAC = bytes.fromhex("000e0c334455")
"""The station address of the first network card; an Intel prefix, and that of host B in the recorded traffic."""

LINK_CYCLES = CPU_HZ // 100
"""Auto-negotiation in 10 ms rather than a second, so that no demo waits for it."""

_FIRST_DEVICE = 3
# Line 5 is the Sound Blaster's: an ISA card shares with nobody.
_LINES = (11, 10, 9, 12)
_MEMORY, _MEMORY_STEP = 0xFEBC0000, 0x20000
_PORTS, _PORTS_STEP = 0xC000, 0x100


class UnknownCard(LookupError):  # noqa: N818 - the sentence is for the user
    """No card of that name; the message lists those there are."""


@dataclass(frozen=True)
class Slot:
    """Where a card sits, and what the firmware gave it.

    Attributes
    ----------
    device : int
        Its device number on the PCI bus.
    irq : int
        Its interrupt line.
    memory, ports : int
        Where its memory window and its ports may begin.
    mac : bytes
        The station address of a network card, 6 bytes.
    """

    device: int
    irq: int
    memory: int
    ports: int
    mac: bytes


@dataclass(frozen=True)
class Card:
    """A kind of card: its full name, its class (``network``, ``sound``, ``disk``), and how one is made.

    A network card also has the speed of its wire, in bits per second.
    """

    title: str
    kind: str
    make: Callable[[str, Slot], PciDevice | IsaDevice]
    bits_per_second: int = GIGABIT


def _e1000(name: str, slot: Slot) -> PciDevice:
    return E1000(
        name=name,
        device=slot.device,
        irq=slot.irq,
        base=slot.memory,
        mac=slot.mac,
        negotiation=LINK_CYCLES,
    )


def _sb16(name: str, slot: Slot) -> IsaDevice:  # noqa: ARG001 - jumpers say where an ISA card is, not its slot
    return Sb16(name)


def _es1371(name: str, slot: Slot) -> PciDevice:
    return Es1371(name=name, device=slot.device, irq=slot.irq, base=slot.ports)


DISK_BYTES = 8 << 20
"""The disk that a PC has when nobody gives it one: blank."""


def _disk(name: str, slot: Slot) -> PciDevice:
    return Disk(name, slot.device, slot.ports, bytes(DISK_BYTES))


def _c905(name: str, slot: Slot) -> PciDevice:
    return C905(
        name=name,
        device=slot.device,
        irq=slot.irq,
        ports=slot.ports,
        base=slot.memory,
        mac=slot.mac,
        negotiation=LINK_CYCLES,
    )


def _pcnet32(name: str, slot: Slot) -> PciDevice:
    return Pcnet32(
        name=name,
        device=slot.device,
        irq=slot.irq,
        ports=slot.ports,
        base=slot.memory,
        mac=slot.mac,
        negotiation=LINK_CYCLES,
    )


CARDS = {
    "e1000": Card("Intel 82540EM (PRO/1000 MT Desktop)", "network", _e1000),
    "pcnet32": Card("AMD Am79C971 (PCnet-FAST)", "network", _pcnet32, FAST_ETHERNET),
    "3c905": Card("3Com 3C905C-TX (Fast EtherLink XL)", "network", _c905, FAST_ETHERNET),
    "sb16": Card("Creative Sound Blaster 16", "sound", _sb16),
    "es1371": Card("Ensoniq AudioPCI 97 (ES1371)", "sound", _es1371),
    "disk": Card("ATA disk on an Intel 82371AB (PIIX4)", "disk", _disk),
}
"""Every card, by the name that ``--device`` and :func:`nooks_lab.boot` take."""

CARD_OF = {
    "e1000": "e1000",
    "pcnet32": "pcnet32",
    "3c59x": "3c905",
    "3c90x": "3c905",
    "sb": "sb16",
    "es1371": "es1371",
}
"""Which card an extension drives; an extension that drives none is not in it."""


def card(name: str) -> Card:
    """Return a kind of card.

    Raises
    ------
    UnknownCard
        When there is none of that name.
    """
    if name not in CARDS:
        raise UnknownCard(f"unknown device {name!r}; there are: {', '.join(CARDS)}")
    return CARDS[name]


def slot(position: int, mac: bytes = MAC) -> Slot:
    """Return the slot of the card plugged in ``position``-th, counted from 0.

    Parameters
    ----------
    mac : bytes
        The station address for position 0; the following ones count up from it.

    Raises
    ------
    ValueError
        When the PC has no such slot.
    """
    if not 0 <= position < len(_LINES):
        raise ValueError(f"the PC has {len(_LINES)} slots, and no slot {position}")
    address = int.from_bytes(mac, "big") + position
    return Slot(
        _FIRST_DEVICE + position,
        _LINES[position],
        _MEMORY + position * _MEMORY_STEP,
        _PORTS + position * _PORTS_STEP,
        address.to_bytes(6, "big"),
    )
