"""Shadow copies of kernel data that inlines write (paper, section 4.2).

Where a call for each access would cost too much, the extension gets a copy of the kernel's variable in its domain,
and the loader links the symbol to it.  Copy and variable are synchronised before and after XPCs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nooks_lab.nooks.isolation.domain import BadParameter, Domain

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks

Synchronise = Callable[["Nooks", Domain, int, int], None]
"""Takes manager, domain, and the addresses of the kernel's variable and of the shadow."""

_SOFTIRQS = 0xF
_LONGEST_LIST = 4096


@dataclass(frozen=True)
class ShadowType:
    """A kernel variable that extensions write through inlines.

    Attributes
    ----------
    struct : str
        The C struct of the variable.
    to_shadow, to_kernel : callable
        What happens before the extension runs, and after.
    """

    struct: str
    to_shadow: Synchronise
    to_kernel: Synchronise


def _show_softnet(nooks: "Nooks", domain: Domain, kernel: int, shadow: int) -> None:
    """The extension sees an empty queue: it only ever pushes."""
    nooks.kernel.memory.write(shadow, bytes(nooks.kernel.types.size("softnet_data")))


def _take_softnet(nooks: "Nooks", domain: Domain, kernel: int, shadow: int) -> None:
    """Packets that the extension has pushed go to the kernel's queue, as their kernel versions."""
    queue = nooks.kernel.types.view("softnet_data", shadow)
    at, pushed = queue.completion_queue, []
    while at:
        packet = nooks.tracker.check(domain, "sk_buff", at, "dev_kfree_skb_irq")
        pushed.append(packet)
        at = nooks.kernel.skbs.view(at).next
        if len(pushed) > _LONGEST_LIST:
            raise BadParameter("dev_kfree_skb_irq: the completion queue runs in a circle")
    queue.completion_queue = 0
    for packet in reversed(pushed):
        if nooks.tracker.find(domain, "sk_buff", packet.extension) != packet:
            raise BadParameter(f"dev_kfree_skb_irq: packet {packet.extension:08x} was pushed twice")
        nooks.tracker.remove(packet)
        nooks.take_packet_back(domain, packet)
        version = nooks.kernel.skbs.view(packet.kernel)
        version.users.counter -= 1
        if not version.users.counter:
            nooks.kernel.net.complete(packet.kernel)


def _show_irq_stat(nooks: "Nooks", domain: Domain, kernel: int, shadow: int) -> None:
    """The extension sees what runs and what waits."""
    nooks.kernel.memory.write(
        shadow, nooks.kernel.memory.read(kernel, nooks.kernel.types.size("irq_cpustat"))
    )


def _take_irq_stat(nooks: "Nooks", domain: Domain, kernel: int, shadow: int) -> None:
    """Softirqs that the extension has raised wait in the kernel too; nothing else is its to change."""
    own, stat = (nooks.kernel.types.view("irq_cpustat", at) for at in (shadow, kernel))
    pending = stat.softirq_pending
    raised = own.softirq_pending & _SOFTIRQS & ~pending
    if raised:
        stat.softirq_pending = pending | raised


SHADOWS = {
    "softnet_data": ShadowType("softnet_data", _show_softnet, _take_softnet),
    "irq_stat": ShadowType("irq_cpustat", _show_irq_stat, _take_irq_stat),
}
"""By the symbol that extensions import."""


@dataclass(frozen=True)
class Shadow:
    """One domain's shadow of one variable."""

    type: ShadowType
    kernel: int
    address: int


class Shadows:
    """The shadow copies of all domains.

    Attributes
    ----------
    synchronised : int
        How often a shadow was synchronised, one way.
    """

    def __init__(self, nooks: "Nooks") -> None:
        self._nooks = nooks
        self._of: dict[int, dict[str, Shadow]] = {}
        self.synchronised = 0

    def bind(self, domain: Domain, symbol: str, variable: int) -> int | None:
        """Return the domain's shadow of a variable, made at its first use; None when it needs none.

        Raises
        ------
        MemoryError
            When there is no memory for it.
        """
        kind = SHADOWS.get(symbol)
        if kind is None:
            return None
        shadows = self._of.setdefault(domain.number, {})
        if symbol not in shadows:
            address = domain.heap.zalloc(self._nooks.kernel.types.size(kind.struct))
            if not address:
                raise MemoryError(f"no memory for a shadow copy of {symbol}")
            shadows[symbol] = Shadow(kind, variable, address)
        return shadows[symbol].address

    def to_extension(self, domain: Domain) -> None:
        """Before the extension runs."""
        for shadow in self._of.get(domain.number, {}).values():
            shadow.type.to_shadow(self._nooks, domain, shadow.kernel, shadow.address)
            self.synchronised += 1

    def to_kernel(self, domain: Domain) -> None:
        """After the extension has run.

        Raises
        ------
        BadParameter
            When it has put something into a shadow that the kernel cannot take.
        """
        for shadow in self._of.get(domain.number, {}).values():
            shadow.type.to_kernel(self._nooks, domain, shadow.kernel, shadow.address)
            self.synchronised += 1

    def forget(self, domain: Domain) -> None:
        """A domain has ended; its heap took the shadows with it."""
        self._of.pop(domain.number, None)
