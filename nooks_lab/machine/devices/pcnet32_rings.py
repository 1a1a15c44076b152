"""A descriptor ring of the PCnet controllers: where it lies, whose turn it is, reading and writing back.

Source: AMD publication 20550 (Am79C971), section "Descriptor Rings" and CSR24 to CSR78.
"""

from dataclasses import dataclass

from nooks_lab.machine.devices.device import PciDevice
from nooks_lab.machine.devices.pcnet32_descriptors import (
    Descriptor,
    descriptor_bytes,
    read_descriptor,
    write_back,
)
from nooks_lab.machine.devices.pcnet32_registers import (
    BADRL,
    BADRU,
    BADXL,
    BADXU,
    RCVRC,
    RCVRL,
    XMTRC,
    XMTRL,
)


@dataclass(frozen=True)
class RingRegisters:
    """The numbers of the CSRs that describe one ring."""

    base_low: int
    base_high: int
    length: int
    counter: int
    transmit: bool


RECEIVE = RingRegisters(BADRL, BADRU, RCVRL, RCVRC, transmit=False)
TRANSMIT = RingRegisters(BADXL, BADXU, XMTRL, XMTRC, transmit=True)


class Ring:
    """One ring, as it stands in the CSRs.

    The length is stored as two's complement.  The counter starts from the same value at the first descriptor and
    counts up to FFFFh at the last.

    Parameters
    ----------
    device : PciDevice
        Who does the DMA.
    csr : list of int
        All control and status registers; the counter moves.
    registers : RingRegisters
        ``RECEIVE`` or ``TRANSMIT``.
    style : int
        The software style.
    """

    def __init__(self, device: PciDevice, csr: list[int], registers: RingRegisters, style: int) -> None:
        self._device, self._csr, self._registers, self._style = device, csr, registers, style
        self.count = -csr[registers.length] & 0xFFFF or 0x10000
        self._base = csr[registers.base_low] | csr[registers.base_high] << 16

    @property
    def current(self) -> int:
        """Number of the descriptor whose turn it is; a counter outside the ring stands for the first."""
        number = self._csr[self._registers.counter] - self._csr[self._registers.length] & 0xFFFF
        return number if number < self.count else 0

    def address(self, number: int) -> int:
        """Return the bus address of a descriptor; behind the last comes the first."""
        return self._base + number % self.count * descriptor_bytes(self._style) & 0xFFFFFFFF

    def read(self, number: int) -> Descriptor:
        """Fetch a descriptor.

        Raises
        ------
        MasterAbort
            When it lies nowhere.
        """
        data = self._device.dma_read(self.address(number), descriptor_bytes(self._style))
        return read_descriptor(data, self._style)

    def write_back(self, number: int, descriptor: Descriptor) -> None:
        """Store a descriptor's status, its OWN bit last.

        Raises
        ------
        MasterAbort
            When it lies nowhere.
        """
        for offset, data in write_back(descriptor, self._style, self._registers.transmit):
            self._device.dma_write(self.address(number) + offset, data)

    def advance(self, by: int = 1) -> None:
        """Go on to a later descriptor."""
        number = (self.current + by) % self.count
        self._csr[self._registers.counter] = self._csr[self._registers.length] + number & 0xFFFF
