"""The two-wire management interface of a PHY, driven bit by bit.

Source: IEEE 802.3, clause 22.2.4.5 (management frame structure) and 22.3.4.
"""

from dataclasses import dataclass

PREAMBLE_BITS = 32
_HEADER_BITS = 14
_FRAME_BITS = 32
_START, _READ, _WRITE = 0b01, 0b10, 0b01


@dataclass(frozen=True)
class Request:
    """A complete header: what the station asks of which PHY."""

    operation: int
    phy: int
    register: int

    @property
    def reads(self) -> bool:
        """Whether a register is to be read."""
        return self.operation == _READ

    @property
    def writes(self) -> bool:
        """Whether a register is to be written."""
        return self.operation == _WRITE


@dataclass
class ManagementInterface:
    """The PHY's end of MDC and MDIO: what it has seen of a frame, and what it drives.

    Attributes
    ----------
    clock : bool
        The level of MDC.
    ones : int
        Ones in a row while no frame is under way; 32 of them are a preamble.
    count, bits : int
        How many bits of a frame have been seen, and the bits.
    answer : int or None
        The register that is being read out; None when the PHY leaves the wire alone.
    """

    clock: bool = False
    ones: int = 0
    count: int = 0
    bits: int = 0
    answer: int | None = None

    def level(self, station: bool | None) -> bool:
        """Return the level of MDIO; a pull-up makes it high when nobody drives it.

        Parameters
        ----------
        station : bool or None
            What the station drives; None when it listens.
        """
        if station is not None:
            return station
        if self.answer is None or self.count <= _HEADER_BITS:
            return True
        if self.count == _HEADER_BITS + 1:
            return False
        return bool(self.answer >> _FRAME_BITS - 1 - self.count & 1)

    def edge(self, data: bool) -> Request | None:
        """See a rising edge of MDC; returns the request when its header is complete now.

        Parameters
        ----------
        data : bool
            The level of MDIO.
        """
        if not self.count:
            if data:
                self.ones = min(self.ones + 1, PREAMBLE_BITS)
            elif self.ones == PREAMBLE_BITS:
                self.count, self.bits = 1, 0
            else:
                self.ones = 0
            return None
        self.count += 1
        self.bits = self.bits << 1 | data
        if self.count == 2 and self.bits != _START:
            self._end()
        elif self.count == _HEADER_BITS:
            return _request(self.bits)
        return None

    def complete(self) -> tuple[Request, int] | None:
        """Return request and data once the whole frame has been seen, and be ready for the next; else None."""
        if self.count < _FRAME_BITS:
            return None
        frame = _request(self.bits >> _FRAME_BITS - _HEADER_BITS), self.bits & 0xFFFF
        self._end()
        return frame

    def _end(self) -> None:
        self.count = self.bits = self.ones = 0
        self.answer = None


def _request(header: int) -> Request:
    return Request(header >> 10 & 3, header >> 5 & 31, header & 31)
