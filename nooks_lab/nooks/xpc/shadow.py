"""Shadow copies of kernel data that inlines write (paper, section 4.2).

Where a call for each access would cost too much, the extension gets a copy of the kernel's variable in its domain,
and the loader links the symbol to it.  Copy and variable are synchronised before and after XPCs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from nooks_lab.nooks.isolation.domain import BadParameter, Domain

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks

_SOFTIRQS = 0xF
_LONGEST_LIST = 4096


class ShadowType(Protocol):
    """A kernel variable that extensions write through inlines.

    Attributes
    ----------
    size : int
        Bytes of the variable.
    """

    size: int

    def show(self, kernel: int, shadow: int) -> None:
        """Before the extension runs; gets the addresses of the kernel's variable and of the shadow."""

    def take(self, domain: Domain, kernel: int, shadow: int) -> None:
        """After it has run.

        Raises
        ------
        BadParameter
            When it has put something there that the kernel cannot take.
        """


class Softnet:
    """``softnet_data``: where ``dev_kfree_skb_irq`` pushes packets that are to be freed later."""

    def __init__(self, nooks: "Nooks") -> None:
        types = nooks.kernel.types
        self._nooks, self._memory = nooks, nooks.kernel.memory
        self.size = types.size("softnet_data")
        self._empty = bytes(self.size)
        self._queue = types.offset("softnet_data", "completion_queue")

    def show(self, kernel: int, shadow: int) -> None:
        """The extension sees an empty queue: it only ever pushes."""
        self._memory.write(shadow, self._empty)

    def take(self, domain: Domain, kernel: int, shadow: int) -> None:
        """Packets that the extension has pushed go to the kernel's queue, as their kernel versions."""
        first = self._memory.u32(shadow + self._queue)
        if first:
            self._take_packets(domain, shadow, first)

    def _take_packets(self, domain: Domain, shadow: int, first: int) -> None:
        nooks, at, pushed = self._nooks, first, []
        while at:
            packet = nooks.tracker.check(domain, "sk_buff", at, "dev_kfree_skb_irq")
            pushed.append(packet)
            at = nooks.kernel.skbs.view(at).next
            if len(pushed) > _LONGEST_LIST:
                raise BadParameter("dev_kfree_skb_irq: the completion queue runs in a circle")
        self._memory.set_u32(shadow + self._queue, 0)
        for packet in reversed(pushed):
            if nooks.tracker.find(domain, "sk_buff", packet.extension) != packet:
                raise BadParameter(f"dev_kfree_skb_irq: packet {packet.extension:08x} was pushed twice")
            nooks.tracker.remove(packet)
            nooks.take_packet_back(domain, packet)
            version = nooks.kernel.skbs.view(packet.kernel)
            version.users.counter -= 1
            if not version.users.counter:
                nooks.kernel.net.complete(packet.kernel)


class IrqStat:
    """``irq_stat``: what runs, and which softirqs wait."""

    def __init__(self, nooks: "Nooks") -> None:
        types = nooks.kernel.types
        self._memory = nooks.kernel.memory
        self.size = types.size("irq_cpustat")
        self._pending = types.offset("irq_cpustat", "softirq_pending")

    def show(self, kernel: int, shadow: int) -> None:
        """The extension sees what runs and what waits."""
        self._memory.write(shadow, self._memory.read(kernel, self.size))

    def take(self, domain: Domain, kernel: int, shadow: int) -> None:
        """Softirqs that the extension has raised wait in the kernel too; nothing else is its to change."""
        pending = self._memory.u32(kernel + self._pending)
        raised = self._memory.u32(shadow + self._pending) & _SOFTIRQS & ~pending
        if raised:
            self._memory.set_u32(kernel + self._pending, pending | raised)


SHADOWS: dict[str, Callable[["Nooks"], ShadowType]] = {"softnet_data": Softnet, "irq_stat": IrqStat}
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
        self._types = {symbol: make(nooks) for symbol, make in SHADOWS.items()}
        self._of: dict[int, dict[str, Shadow]] = {}
        self.synchronised = 0

    def bind(self, domain: Domain, symbol: str, variable: int) -> int | None:
        """Return the domain's shadow of a variable, made at its first use; None when it needs none.

        Raises
        ------
        MemoryError
            When there is no memory for it.
        """
        kind = self._types.get(symbol)
        if kind is None:
            return None
        shadows = self._of.setdefault(domain.number, {})
        if symbol not in shadows:
            address = domain.heap.zalloc(kind.size)
            if not address:
                raise MemoryError(f"no memory for a shadow copy of {symbol}")
            shadows[symbol] = Shadow(kind, variable, address)
        return shadows[symbol].address

    def to_extension(self, domain: Domain) -> None:
        """Before the extension runs."""
        for shadow in self._of.get(domain.number, {}).values():
            shadow.type.show(shadow.kernel, shadow.address)
            self.synchronised += 1

    def to_kernel(self, domain: Domain) -> None:
        """After the extension has run.

        Raises
        ------
        BadParameter
            When it has put something into a shadow that the kernel cannot take.
        """
        for shadow in self._of.get(domain.number, {}).values():
            shadow.type.take(domain, shadow.kernel, shadow.address)
            self.synchronised += 1

    def forget(self, domain: Domain) -> None:
        """A domain has ended; its heap took the shadows with it."""
        self._of.pop(domain.number, None)
