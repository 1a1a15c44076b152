"""Who uses which channel of the DMA controllers (Linux 2.4 ``kernel/dma.c``)."""

from typing import Any

from nooks_lab.kernel.errno import EBUSY, EINVAL
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.structs import Types

MAX_DMA_CHANNELS = 8
CASCADE = 4


class DmaChannels:
    """The table of channels; to program one is the driver's own business.

    Parameters
    ----------
    dma_chan_busy : int
        Address of the table.
    """

    def __init__(self, types: Types, dma_chan_busy: int) -> None:
        self._types, self._table = types, dma_chan_busy

    def boot(self) -> None:
        """Take the cascade's channel away."""
        self.channel(CASCADE).lock = 1

    def channel(self, dmanr: int) -> Any:
        """Return a channel's entry."""
        return self._types.view("dma_chan", self._table + dmanr * self._types.size("dma_chan"))

    def busy(self) -> list[int]:
        """Return the channels that drivers use."""
        return [nr for nr in range(MAX_DMA_CHANNELS) if nr != CASCADE and self.channel(nr).lock]

    @export(cycles=200)
    def request_dma(self, dmanr: int, device_id: int) -> int:
        """Claim a channel."""
        if dmanr >= MAX_DMA_CHANNELS:
            return -EINVAL
        entry = self.channel(dmanr)
        if entry.lock:
            return -EBUSY
        entry.lock, entry.device_id = 1, device_id
        return 0

    @export(cycles=200)
    def free_dma(self, dmanr: int) -> None:
        """Give a channel back."""
        if dmanr < MAX_DMA_CHANNELS and dmanr != CASCADE:
            entry = self.channel(dmanr)
            entry.lock, entry.device_id = 0, 0
