"""Keeping softirqs out while process context works on what they share (Linux 2.4 ``asm/softirq.h``)."""

from types import TracebackType
from typing import Any

from nooks_lab.kernel.bug import KernelBug
from nooks_lab.kernel.softirq import SoftIrqs
from nooks_lab.machine.paging import PageFault


class BottomHalves:
    """``local_bh_disable`` and ``local_bh_enable`` as a ``with`` block; blocks nest, and none may sleep.

    A driver's machine code may be interrupted, so reception would otherwise run into a half-done send.

    Parameters
    ----------
    irq_stat : view of struct irq_cpustat
        Holds the nesting count.
    """

    def __init__(self, irq_stat: Any, softirqs: SoftIrqs) -> None:
        self._stat, self._softirqs = irq_stat, softirqs

    def __enter__(self) -> None:
        self._stat.local_bh_count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, PageFault | KernelBug):
            # The oops happens where the fault was: with bottom halves off, which makes it a panic.
            return
        self._stat.local_bh_count -= 1
        self._softirqs.do_softirq()
