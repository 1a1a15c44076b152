"""All that changes in a PCnet controller, as plain values that a snapshot can copy."""

from dataclasses import dataclass, field

from nooks_lab.machine.devices.phy import FastEthernetPhyState

CSRS = 128
BCRS = 64


@dataclass
class Pcnet32State:
    """All that changes in the controller.

    Attributes
    ----------
    aprom : bytes
        16 bytes that the EEPROM holds for software, the station address first.
    dwio : bool
        The registers are 32 bits wide.
    initializing : bool
        An initialization block is being read.
    transmitting : bool
        A frame is on the line, or its descriptors are being fetched.
    suspending : bool
        SPND has been written, and takes effect when the transmitter is done.
    poll_queued : bool
        The next look at the transmit ring is in the clock's queue.
    interrupts : int
        Times the interrupt line has been asserted since power-on.
    """

    aprom: bytes
    csr: list[int] = field(default_factory=lambda: [0] * CSRS)
    bcr: list[int] = field(default_factory=lambda: [0] * BCRS)
    rap: int = 0
    dwio: bool = False
    initializing: bool = False
    transmitting: bool = False
    suspending: bool = False
    poll_queued: bool = False
    asserted: bool = False
    phy: FastEthernetPhyState = field(default_factory=FastEthernetPhyState)
    cable: bool = False
    interrupts: int = 0
