"""All that changes in a disk, but for what the medium holds, as plain values that a snapshot can copy."""

from dataclasses import dataclass, field

from nooks_lab.machine.devices import disk_registers as reg


@dataclass
class DiskState:
    """Registers, the sector buffer, and where the heads are.

    Attributes
    ----------
    position : int
        Sector behind the last one that was read or written.
    sector, left : int
        The next sector of the command, and how many it still has.
    buffer, taken : bytes, int
        PIO: a sector on its way, and how many of its bytes have passed the data register.
    dma_wanted : bool
        The drive asks for DMA and waits for the bus master.
    bad : set of int
        Sectors that can no longer be read or written.
    """

    features: int = 0
    error: int = 1
    count: int = 1
    lba: list[int] = field(default_factory=lambda: [1, 0, 0])
    device: int = reg.DEVICE_OBSOLETE
    status: int = reg.STATUS_DRDY | reg.STATUS_DSC
    control: int = 0
    command: int = 0
    interrupt: bool = False
    position: int = 0
    sector: int = 0
    left: int = 0
    buffer: bytearray = field(default_factory=bytearray)
    taken: int = 0
    dma_wanted: bool = False
    bm_command: int = 0
    bm_status: int = reg.BM_DRIVE_CAPABLE & 0x20
    bm_table: int = 0
    bad: set[int] = field(default_factory=set)
