"""The statistics of a 3C905C: counts that clear when they are read, and ask to be read before they overflow.

Source: 3Com 3C90xC NICs Technical Reference, chapter 10 (statistics), windows 4 and 6.
"""

from nooks_lab.machine.devices import c905_registers as reg

_FRAME_BITS, _BYTE_BITS, _BYTE_BITS_WITH_UPPER, _ERROR_BITS = 10, 16, 20, 8
_FRAMES = (reg.FRAMES_XMITTED_OK, reg.FRAMES_RCVD_OK)
_BYTES = (reg.BYTES_XMITTED_OK, reg.BYTES_RCVD_OK)
_NEARLY_FULL = {
    **dict.fromkeys(range(reg.WINDOW_BYTES), 1 << _ERROR_BITS - 1),
    **dict.fromkeys(_FRAMES, 1 << _FRAME_BITS - 1),
    **dict.fromkeys(_BYTES, 1 << _BYTE_BITS - 1),
}
"""Half of what a count holds: UpdateStats asks for it to be read."""


class Statistics:
    """A view of the counts.

    Parameters
    ----------
    counts : dict of int to int
        By the offset of each count's lowest byte in window 6; it is changed.
    """

    def __init__(self, counts: dict[int, int]) -> None:
        self._counts = counts

    def add(self, offset: int, amount: int, upper_bytes: bool) -> None:
        """Count; an overflow starts again at zero.

        Parameters
        ----------
        upper_bytes : bool
            Whether the counts of bytes have four bits more, in UpperBytesOk.
        """
        bits = _ERROR_BITS
        if offset in _FRAMES:
            bits = _FRAME_BITS
        elif offset in _BYTES:
            bits = _BYTE_BITS_WITH_UPPER if upper_bytes else _BYTE_BITS
        self._counts[offset] = (self._counts.get(offset, 0) + amount) & (1 << bits) - 1

    def nearly_full(self) -> bool:
        """Tell whether a count has come to half of what it holds."""
        return any(count >= _NEARLY_FULL[offset] for offset, count in self._counts.items())

    def _take(self, offset: int, mask: int) -> int:
        """Return the bits of a count that a register shows, and clear them."""
        value = self._counts.get(offset, 0)
        if value:
            self._counts[offset] = value & ~mask
        return value & mask

    def read(self, window: int, offset: int) -> int:
        """Read and clear one byte of window 6, or UpperBytesOk of window 4."""
        if window == 4:
            received = self._take(reg.BYTES_RCVD_OK, 0xF0000) >> 16
            return received | self._take(reg.BYTES_XMITTED_OK, 0xF0000) >> 12
        if offset == reg.UPPER_FRAMES_OK:
            received = self._take(reg.FRAMES_RCVD_OK, 0x300) >> 8
            return received | self._take(reg.FRAMES_XMITTED_OK, 0x300) >> 4
        if offset - 1 in _BYTES:
            return self._take(offset - 1, 0xFF00) >> 8
        return self._take(offset, 0xFF)
