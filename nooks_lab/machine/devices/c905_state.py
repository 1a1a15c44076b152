"""All that changes in a 3C905C, as plain values that a snapshot can copy."""

from dataclasses import dataclass, field
from typing import ClassVar

from nooks_lab.machine.devices import c905_registers as reg
from nooks_lab.machine.devices.mdio import ManagementInterface
from nooks_lab.machine.devices.phy import PHY_ID1, PHY_ID2, PHY_STATUS, FastEthernetPhyState


def _windows() -> list[bytearray]:
    return [bytearray(reg.WINDOW_BYTES) for _ in range(reg.WINDOWS)]


@dataclass
class TornadoPhyState(FastEthernetPhyState):
    """The PHY inside; its identifier is made of 3Com's OUI, 00-10-5A, and it wants a preamble before each frame."""

    RESET: ClassVar[dict[int, int]] = {
        **FastEthernetPhyState.RESET,
        PHY_STATUS: 0x7809,
        PHY_ID1: 0x0041,
        PHY_ID2: 0x6800,
    }


@dataclass
class Outgoing:
    """A frame that has been downloaded and waits for the line."""

    frame: bytes
    intact: bool
    pkt_id: int
    indicate: bool


@dataclass
class C905State:
    """All that changes in the controller.

    Attributes
    ----------
    windows : list of bytearray
        The bytes of the eight register windows that are plain memory.
    fixed : bytearray
        The same of what lies outside them.
    status : int
        Bits of IntStatus that wait for their acknowledgement; TxComplete and UpdateStats follow from elsewhere.
    tx_status : list of (int, int)
        The stack of TxStatus, the oldest first, each with its TxPktId.
    received : list of bytes
        The receive FIFO, the oldest frame first.
    command_done_at : int
        Until which cycle CmdInProgress is set, but for a stall that waits for the transfer under way.
    """

    eeprom: list[int]
    windows: list[bytearray] = field(default_factory=_windows)
    fixed: bytearray = field(default_factory=lambda: bytearray(reg.REGISTER_BYTES))
    window: int = 0

    status: int = 0
    latch: bool = False
    latched_at: int = 0
    interrupt_enable: int = 0
    indication_enable: int = 0
    interrupts: int = 0
    """Times the interrupt line has been asserted since power-on."""

    command_done_at: int = 0
    eeprom_done_at: int = 0
    eeprom_writable: bool = False

    rx_enabled: bool = False
    rx_filter: int = 0
    hash_filter: int = 0
    received: list[bytes] = field(default_factory=list)
    uploading: bool = False
    up_stalled: bool = False
    up_halted: bool = False
    """The current descriptor was in use still: upload waits for UpUnStall or a poll."""

    tx_enabled: bool = False
    tx_failed: bool = False
    """Transmission has stopped after a jabber until TxReset."""
    outgoing: list[Outgoing] = field(default_factory=list)
    transmitting: bool = False
    tx_status: list[tuple[int, int]] = field(default_factory=list)
    downloading: bool = False
    dn_stalled: bool = False
    dn_at_end: bool = False
    """The current descriptor has been downloaded and named no next one; DnPoll looks again."""

    statistics_enabled: bool = False
    statistics: dict[int, int] = field(default_factory=dict)
    """By the offset of the count's lowest byte in window 6; BadSSD by its own in window 4, plus 100h."""

    countdown_due: int = 0
    """Cycle at which CountDown runs out; 0 when it does not run."""

    phy: TornadoPhyState = field(default_factory=TornadoPhyState)
    mdio: ManagementInterface = field(default_factory=ManagementInterface)
    cable: bool = False
    link: bool = False
