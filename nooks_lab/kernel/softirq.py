"""Software interrupts (Linux 2.4 ``kernel/softirq.c``)."""

from collections.abc import Callable
from typing import Any

NET_TX_SOFTIRQ, NET_RX_SOFTIRQ = 1, 2
_MAX_RESTART = 10


class SoftIrqs:
    """Work that interrupt handlers put off until the last of them has ended.

    Parameters
    ----------
    irq_stat : view of struct irq_cpustat
        Holds the pending bits and the nesting counts.
    """

    def __init__(self, irq_stat: Any) -> None:
        self._stat = irq_stat
        self._actions: dict[int, Callable[[], None]] = {}

    def open(self, number: int, action: Callable[[], None]) -> None:
        """Say what a softirq does."""
        self._actions[number] = action

    def raise_softirq(self, number: int) -> None:
        """Mark a softirq pending."""
        self._stat.softirq_pending |= 1 << number

    def in_hard_irq(self) -> bool:
        """Tell whether an interrupt handler runs."""
        return bool(self._stat.local_irq_count)

    def do_softirq(self) -> None:
        """Run what is pending; what is raised meanwhile runs too, a bounded number of times."""
        stat = self._stat
        for _ in range(_MAX_RESTART):
            pending = stat.softirq_pending
            if not pending or stat.local_bh_count or stat.local_irq_count:
                return
            stat.softirq_pending = 0
            stat.local_bh_count += 1
            for number, action in self._actions.items():
                if pending >> number & 1:
                    action()
            stat.local_bh_count -= 1
