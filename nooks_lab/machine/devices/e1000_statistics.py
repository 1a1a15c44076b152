"""The statistics registers of the 82540EM: counts that clear when they are read.

Source: Intel 8254x Software Developer's Manual, section 13.7 (Statistics Registers).
"""

import bisect

from nooks_lab.machine.devices import e1000_registers as reg
from nooks_lab.machine.devices.e1000_state import E1000State
from nooks_lab.machine.devices.network_card import NetworkCard
from nooks_lab.machine.ethernet import BROADCAST, FCS_BYTES

_SIZE_CLASSES = (64, 127, 255, 511, 1023)


class Statistics(NetworkCard):
    """Counts frames and bytes."""

    state: E1000State

    def _read_statistic(self, offset: int) -> int:
        counts = self.state.statistics
        index = (offset - reg.STATISTICS) >> 2
        if offset in reg.OCTET_COUNTS_LOW:
            return counts[index] & 0xFFFFFFFF
        if offset in reg.OCTET_COUNTS_HIGH:
            value = counts[index - 1] >> 32
            counts[index - 1] = 0
            return value
        value = min(counts[index], 0xFFFFFFFF)
        counts[index] = 0
        return value

    def _count(self, offset: int, amount: int = 1) -> None:
        self.state.statistics[(offset - reg.STATISTICS) >> 2] += amount

    def _count_frame(self, frame: bytes, good: int, size: int, multicast: int, broadcast: int) -> None:
        self._count(good)
        self._count(size + 4 * bisect.bisect_left(_SIZE_CLASSES, len(frame) + FCS_BYTES))
        if frame[:1] and frame[0] & 1:
            self._count(broadcast if frame[:6] == BROADCAST else multicast)
