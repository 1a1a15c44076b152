"""A PHY for 10BASE-T and 100BASE-TX, as its MII management registers show it; its partner knows all that it knows.

Source: IEEE 802.3, clauses 22.2.4 and 28.2.4.
"""

from dataclasses import dataclass, field

BMCR, BMSR, PHYSID1, PHYSID2, ADVERTISE, LPA, EXPANSION = range(7)

BMCR_FULL_DUPLEX = 0x0100
BMCR_RESTART = 0x0200
BMCR_ISOLATE = 0x0400
BMCR_POWER_DOWN = 0x0800
BMCR_AUTO_NEGOTIATION = 0x1000
BMCR_100 = 0x2000
BMCR_LOOPBACK = 0x4000
BMCR_RESET = 0x8000

BMSR_LINK = 0x0004
BMSR_NEGOTIATED = 0x0020

ABILITIES = 0x01E0
"""In registers 4 and 5: 100BASE-TX and 10BASE-T, each with full and with half duplex."""

_SELECTOR = 0x0001
_ACKNOWLEDGE = 0x4000
_BMSR = 0x7809
_RESET = {BMCR: BMCR_AUTO_NEGOTIATION | BMCR_100, ADVERTISE: ABILITIES | _SELECTOR}
_WRITABLE = {BMCR: 0x7D80, ADVERTISE: 0x05FF}


@dataclass
class FastEthernetPhy:
    """The registers that can be written, the link, and the latched copy of it in the status register.

    Attributes
    ----------
    identifier : int
        Registers 2 and 3, the first one high.
    """

    identifier: int = 0x00406351
    registers: dict[int, int] = field(default_factory=lambda: dict(_RESET))
    link: bool = False
    link_latched: bool = False

    @property
    def common(self) -> int:
        """The abilities that both ends offer, as bits of register 4."""
        return self.registers[ADVERTISE] & ABILITIES

    @property
    def full_duplex(self) -> bool:
        """Whether the best ability that both ends offer, or the forced mode, is full duplex."""
        if not self.registers[BMCR] & BMCR_AUTO_NEGOTIATION:
            return bool(self.registers[BMCR] & BMCR_FULL_DUPLEX)
        best = 1 << max(self.common.bit_length() - 1, 0)
        return best in (0x100, 0x40)

    @property
    def megabits(self) -> int:
        """Megabits a second of the best ability that both ends offer, or of the forced mode."""
        if not self.registers[BMCR] & BMCR_AUTO_NEGOTIATION:
            return 100 if self.registers[BMCR] & BMCR_100 else 10
        return 100 if self.common & 0x180 else 10

    def reset(self) -> None:
        """Take all registers back to their defaults; the link is gone."""
        self.registers = dict(_RESET)
        self.set_link(False)

    def set_link(self, up: bool) -> None:
        """Tell the PHY that the link has come or gone."""
        self.link = up
        self.link_latched = self.link_latched and up

    def finds_partner(self) -> bool:
        """Tell whether a link comes about once there is a cable."""
        control = self.registers[BMCR]
        if control & (BMCR_POWER_DOWN | BMCR_ISOLATE | BMCR_LOOPBACK):
            return False
        return not control & BMCR_AUTO_NEGOTIATION or bool(self.common)

    def read(self, register: int) -> int:
        """Return a register; a lost link stays visible in the status register until it has been read once."""
        negotiated = self.link and bool(self.registers[BMCR] & BMCR_AUTO_NEGOTIATION)
        match register:
            case 1:
                value = _BMSR | (BMSR_NEGOTIATED if negotiated else 0)
                value |= BMSR_LINK if self.link_latched else 0
                self.link_latched = self.link
                return value
            case 2:
                return self.identifier >> 16
            case 3:
                return self.identifier & 0xFFFF
            case 5:
                return _ACKNOWLEDGE | ABILITIES | _SELECTOR if negotiated else 0
            case 6:
                return 1 if negotiated else 0
        return self.registers.get(register, 0)

    def write(self, register: int, value: int) -> bool:
        """Write a register; returns whether that takes the link down and starts over."""
        if register == BMCR and value & BMCR_RESET:
            self.reset()
            return True
        before = self.registers[BMCR]
        if register in _WRITABLE:
            mask = _WRITABLE[register]
            self.registers[register] = self.registers[register] & ~mask | value & mask
        if register != BMCR:
            return False
        return bool(value & BMCR_RESTART) or before != self.registers[BMCR]
