"""Interrupt lines and their handlers (Linux 2.4 ``arch/i386/kernel/irq.c``)."""

from collections.abc import Callable
from typing import Any

from nooks_lab.kernel.errno import EBUSY, EINVAL, ENOMEM
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.slab import SlabAllocator
from nooks_lab.kernel.structs import Array, Types
from nooks_lab.machine.bus import PORT_CYCLES
from nooks_lab.machine.clock import Clock
from nooks_lab.machine.interrupts import InterruptController
from nooks_lab.machine.linear import LinearMemory
from nooks_lab.machine.timer import TIMER_LINE

NR_IRQS = 16
SA_SHIRQ = 0x04000000

MASK_AND_ACK_CYCLES = 3 * PORT_CYCLES
"""``mask_and_ack_8259A``: read and write the mask register, and tell the controller that the line has been served."""

SLAVE_CYCLES = PORT_CYCLES
"""For a line of the second controller: the first one is told too."""

UNMASK_CYCLES = PORT_CYCLES
"""``enable_8259A_irq``: write the mask register."""

_IRQ_DISABLED = 2
_FIRST_OF_SLAVE = 8


class Interrupts:
    """``irq_desc`` and the path from an interrupt to its handlers.

    Parameters
    ----------
    irq_desc : Array of irq_desc_t views
    irq_stat : view of struct irq_cpustat
    call : callable (handler, irq, dev_id, regs)
        Calls a handler.
    tick : callable
        The timer interrupt's own work.
    softirq : callable
        Runs pending softirqs when the last interrupt has ended.
    """

    def __init__(
        self,
        types: Types,
        memory: LinearMemory,
        slab: SlabAllocator,
        pic: InterruptController,
        clock: Clock,
        irq_desc: Array,
        irq_stat: Any,
        call: Callable[..., int],
        tick: Callable[[], None],
        softirq: Callable[[], None],
    ) -> None:
        self._types, self._memory, self._slab, self._pic, self._clock = types, memory, slab, pic, clock
        self._desc, self._stat = irq_desc, irq_stat
        self._call, self._tick, self._softirq = call, tick, softirq

    def boot(self) -> None:
        """Disable every line but the timer's, as long as nobody wants it."""
        for irq in range(NR_IRQS):
            desc = self._desc[irq]
            desc.status, desc.depth, desc.action = _IRQ_DISABLED, 1, 0
            if irq != 2:
                self._pic.mask(irq)
        self._pic.unmask(TIMER_LINE)

    def do_irq(self, irq: int, regs: int) -> None:
        """Serve one interrupt: mask and acknowledge, run the handlers, unmask; then softirqs."""
        self._clock.advance(MASK_AND_ACK_CYCLES + (SLAVE_CYCLES if irq >= _FIRST_OF_SLAVE else 0))
        self._pic.mask(irq)
        self._pic.end_of_interrupt(irq)
        self._stat.local_irq_count += 1
        if irq == TIMER_LINE:
            self._tick()
        else:
            for action in self.actions(irq):
                self._call(action.handler, irq, action.dev_id, regs)
        self._stat.local_irq_count -= 1
        if irq == TIMER_LINE or not self._desc[irq].status & _IRQ_DISABLED:
            self._clock.advance(UNMASK_CYCLES)
            self._pic.unmask(irq)
        if not self._stat.local_irq_count and not self._stat.local_bh_count:
            self._softirq()

    def actions(self, irq: int) -> list[Any]:
        """Return the ``irqaction`` chain of a line."""
        chain = []
        at = self._desc[irq].action
        while at:
            chain.append(self._types.view("irqaction", at))
            at = chain[-1].next
        return chain

    @export(cycles=500)
    def request_irq(self, irq: int, handler: int, irqflags: int, devname: int, dev_id: int) -> int:
        """Register a handler; a line is shared only when all its handlers agree to it."""
        if irq >= NR_IRQS or not handler or (irqflags & SA_SHIRQ and not dev_id):
            return -EINVAL
        chain = self.actions(irq)
        if chain and not (irqflags & SA_SHIRQ and chain[0].flags & SA_SHIRQ):
            return -EBUSY
        new = self._slab.alloc(self._types.size("irqaction"))
        if not new:
            return -ENOMEM
        action = self._types.view("irqaction", new)
        action.handler, action.flags, action.mask = handler, irqflags, 0
        action.name, action.dev_id, action.next = devname, dev_id, 0
        if chain:
            chain[-1].next = new
        else:
            desc = self._desc[irq]
            desc.action, desc.depth, desc.status = new, 0, 0
            self._pic.unmask(irq)
        return 0

    @export(cycles=500)
    def free_irq(self, irq: int, dev_id: int) -> None:
        """Remove the handler that was registered with ``dev_id``."""
        if irq >= NR_IRQS:
            return
        desc = self._desc[irq]
        before = None
        for action in self.actions(irq):
            if action.dev_id == dev_id:
                if before is None:
                    desc.action = action.next
                else:
                    before.next = action.next
                self._slab.free(action.address)
                if not desc.action:
                    desc.status |= _IRQ_DISABLED
                    self._pic.mask(irq)
                return
            before = action

    @export(cycles=300)
    def disable_irq(self, irq: int) -> None:
        """Mask a line; calls nest."""
        if irq < NR_IRQS:
            desc = self._desc[irq]
            desc.depth += 1
            desc.status |= _IRQ_DISABLED
            self._pic.mask(irq)

    @export(cycles=300)
    def enable_irq(self, irq: int) -> None:
        """Undo one ``disable_irq``."""
        if irq < NR_IRQS:
            desc = self._desc[irq]
            if desc.depth:
                desc.depth -= 1
            if not desc.depth:
                desc.status &= ~_IRQ_DISABLED
                self._pic.unmask(irq)
