"""The PHY of a network controller, as its MII management registers show it.

Each knows one speed, full duplex, and has a partner that does too.

Source: IEEE 802.3, clauses 22.2.4, 28.2.4 and 40.5.1; Intel 8254x Software Developer's Manual, section 13.5
(PHY registers); AMD publication 22235 (Am79C874 NetPHY-1LP).
"""

from dataclasses import dataclass, field
from typing import ClassVar

PHY_CTRL = 0
PHY_STATUS = 1
PHY_ID1 = 2
PHY_ID2 = 3
PHY_AUTONEG_ADV = 4
PHY_LP_ABILITY = 5
PHY_AUTONEG_EXP = 6
PHY_1000T_CTRL = 9
PHY_1000T_STATUS = 10
PHY_EXT_STATUS = 15
PHY_SPEC_CTRL = 16
PHY_SPEC_STATUS = 17

CTRL_RESTART_AUTO_NEG = 0x0200
CTRL_POWER_DOWN = 0x0800
CTRL_AUTO_NEG_EN = 0x1000
CTRL_SPEED_100 = 0x2000
CTRL_RESET = 0x8000

STATUS_LINK = 0x0004
STATUS_AUTONEG_COMPLETE = 0x0020


@dataclass
class PhyState:
    """A 1000BASE-T PHY: the registers that can be written, the link, and its latched copy in the status register."""

    RESET: ClassVar[dict[int, int]] = {
        PHY_CTRL: CTRL_AUTO_NEG_EN | 0x0140,
        PHY_STATUS: 0x7949,
        PHY_ID1: 0x0141,
        PHY_ID2: 0x0C20,
        PHY_AUTONEG_ADV: 0x0DE1,
        PHY_1000T_CTRL: 0x0E00,
        PHY_EXT_STATUS: 0x3000,
        PHY_SPEC_CTRL: 0x0360,
    }
    LINKED: ClassVar[dict[int, int]] = {
        PHY_STATUS: STATUS_AUTONEG_COMPLETE,
        PHY_LP_ABILITY: 0x45E1,
        PHY_AUTONEG_EXP: 0x0001,
        PHY_1000T_STATUS: 0x3C00,
        PHY_SPEC_STATUS: 0xAC00,
    }
    WRITABLE: ClassVar[dict[int, int]] = {
        PHY_CTRL: 0x7DC0,
        PHY_AUTONEG_ADV: 0xBFFF,
        PHY_1000T_CTRL: 0xFF00,
        PHY_SPEC_CTRL: 0xFFFF,
    }

    registers: dict[int, int] = field(default_factory=dict)
    link: bool = False
    link_latched: bool = False

    def __post_init__(self) -> None:
        self.registers = self.registers or dict(self.RESET)

    def set_link(self, up: bool) -> None:
        """Tell the PHY that the link has come or gone."""
        self.link = up
        self.link_latched = self.link_latched and up

    def negotiates(self) -> bool:
        """Tell whether the PHY looks for a partner: powered up, with auto-negotiation."""
        return self.registers[PHY_CTRL] & (CTRL_POWER_DOWN | CTRL_AUTO_NEG_EN) == CTRL_AUTO_NEG_EN

    def read(self, register: int) -> int:
        """Return a register; a lost link stays visible in the status register until it has been read once."""
        value = self.registers.get(register, 0)
        if self.link and self.registers[PHY_CTRL] & CTRL_AUTO_NEG_EN:
            value |= self.LINKED.get(register, 0)
        if register == PHY_STATUS:
            if self.link_latched:
                value |= STATUS_LINK
            self.link_latched = self.link
        return value

    def write(self, register: int, value: int) -> bool:
        """Write a register; returns whether that takes the link down and starts over."""
        if register == PHY_CTRL and value & CTRL_RESET:
            self.registers = dict(self.RESET)
            return True
        before = self.registers[PHY_CTRL]
        if register in self.WRITABLE:
            mask = self.WRITABLE[register]
            self.registers[register] = self.registers[register] & ~mask | value & mask
        if register != PHY_CTRL:
            return False
        changed = before ^ self.registers[PHY_CTRL]
        return bool(value & CTRL_RESTART_AUTO_NEG or changed & self._starts_over())

    def _starts_over(self) -> int:
        """Return the bits of the control register that break the link when they change."""
        return CTRL_POWER_DOWN | CTRL_AUTO_NEG_EN


@dataclass
class FastEthernetPhyState(PhyState):
    """A 100BASE-TX PHY, the Am79C874: without auto-negotiation it links when it is set to 100 Mbit/s."""

    RESET: ClassVar[dict[int, int]] = {
        PHY_CTRL: CTRL_AUTO_NEG_EN | CTRL_SPEED_100 | 0x0100,
        PHY_STATUS: 0x7849,
        PHY_ID1: 0x0022,
        PHY_ID2: 0x561B,
        PHY_AUTONEG_ADV: 0x01E1,
    }
    LINKED: ClassVar[dict[int, int]] = {
        PHY_STATUS: STATUS_AUTONEG_COMPLETE,
        PHY_LP_ABILITY: 0x45E1,
        PHY_AUTONEG_EXP: 0x0001,
    }
    WRITABLE: ClassVar[dict[int, int]] = {PHY_CTRL: 0x7D80, PHY_AUTONEG_ADV: 0xA3FF}

    def negotiates(self) -> bool:
        """Tell whether the PHY can get a link with a partner that knows only 100 Mbit/s."""
        control = self.registers[PHY_CTRL]
        return not control & CTRL_POWER_DOWN and bool(control & (CTRL_AUTO_NEG_EN | CTRL_SPEED_100))

    def _starts_over(self) -> int:
        return CTRL_POWER_DOWN | CTRL_AUTO_NEG_EN | CTRL_SPEED_100
