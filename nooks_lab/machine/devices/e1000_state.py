"""All that changes in an 82540EM, as plain values that a snapshot can copy."""

import array
from dataclasses import dataclass, field

from nooks_lab.machine.devices.phy import PhyState


@dataclass
class DelayTimer:
    """An interrupt delay that each packet restarts, up to an absolute limit."""

    running: bool = False
    due: int = 0
    limit: int | None = None


@dataclass
class E1000State:
    """All that changes in the controller."""

    eeprom: list[int]
    registers: "array.array[int]"
    """By offset / 4; the statistics are apart."""

    statistics: "array.array[int]" = field(default_factory=lambda: array.array("Q", bytes(8 * 64)))
    """By (offset - 4000h) / 4; a 64-bit count is whole in the place of its low half."""

    exact: frozenset[bytes] = frozenset()
    causes: int = 0
    mask: int = 0
    asserted: bool = False
    throttled_until: int = 0
    throttle_pending: bool = False
    transmitting: bool = False
    outgoing: bytes = b""
    receive_delay: DelayTimer = field(default_factory=DelayTimer)
    transmit_delay: DelayTimer = field(default_factory=DelayTimer)
    eeprom_ready_at: int = 0
    mdi_ready_at: int = 0
    phy: PhyState = field(default_factory=PhyState)
    cable: bool = False
    link: bool = False
    interrupts: int = 0
    """Times the interrupt line has been asserted since power-on."""
