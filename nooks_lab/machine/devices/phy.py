"""The PHY inside the controller, as its MII management registers show it.

It knows one speed, 1000BASE-T full duplex, and a partner that does too.

Source: IEEE 802.3, clauses 22.2.4, 28.2.4 and 40.5.1; Intel 8254x Software Developer's Manual, section 13.5
(PHY registers).
"""

from dataclasses import dataclass, field

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
CTRL_RESET = 0x8000

STATUS_LINK = 0x0004
STATUS_AUTONEG_COMPLETE = 0x0020

_RESET = {
    PHY_CTRL: CTRL_AUTO_NEG_EN | 0x0140,
    PHY_STATUS: 0x7949,
    PHY_ID1: 0x0141,
    PHY_ID2: 0x0C20,
    PHY_AUTONEG_ADV: 0x0DE1,
    PHY_1000T_CTRL: 0x0E00,
    PHY_EXT_STATUS: 0x3000,
    PHY_SPEC_CTRL: 0x0360,
}
_LINKED = {
    PHY_STATUS: STATUS_AUTONEG_COMPLETE,
    PHY_LP_ABILITY: 0x45E1,
    PHY_AUTONEG_EXP: 0x0001,
    PHY_1000T_STATUS: 0x3C00,
    PHY_SPEC_STATUS: 0xAC00,
}
_WRITABLE = {
    PHY_CTRL: 0x7DC0,
    PHY_AUTONEG_ADV: 0xBFFF,
    PHY_1000T_CTRL: 0xFF00,
    PHY_SPEC_CTRL: 0xFFFF,
}


@dataclass
class PhyState:
    """The registers that can be written, the link, and the latched copy of it in the status register."""

    registers: dict[int, int] = field(default_factory=lambda: dict(_RESET))
    link: bool = False
    link_latched: bool = False

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
        if self.link:
            value |= _LINKED.get(register, 0)
        if register == PHY_STATUS:
            if self.link_latched:
                value |= STATUS_LINK
            self.link_latched = self.link
        return value

    def write(self, register: int, value: int) -> bool:
        """Write a register; returns whether that takes the link down and starts over."""
        if register == PHY_CTRL and value & CTRL_RESET:
            self.registers = dict(_RESET)
            return True
        before = self.registers[PHY_CTRL]
        if register in _WRITABLE:
            mask = _WRITABLE[register]
            self.registers[register] = self.registers[register] & ~mask | value & mask
        if register != PHY_CTRL:
            return False
        changed = before ^ self.registers[PHY_CTRL]
        return bool(value & CTRL_RESTART_AUTO_NEG or changed & (CTRL_POWER_DOWN | CTRL_AUTO_NEG_EN))
