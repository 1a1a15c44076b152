"""Shadow copies of kernel data that inlines write (paper, section 4.2).

Where a call for each access would cost too much, the extension gets a copy of the kernel's variable in its domain,
and the loader links the symbol to it.  Copy and variable are synchronised before and after XPCs.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from nooks_lab.nooks.isolation.domain import BadParameter, Domain

if TYPE_CHECKING:
    from nooks_lab.nooks.manager import Nooks

_SOFTIRQS = 0xF
_LONGEST_LIST = 4096


class Shadow(ABC):
    """One domain's copy of a kernel variable that extensions write through inlines.

    Parameters
    ----------
    kernel : int
        Address of the kernel's variable.
    address : int
        Of the copy.

    Attributes
    ----------
    struct : str
        The C struct of the variable.
    """

    struct: str

    def __init__(self, nooks: "Nooks", domain: Domain, kernel: int, address: int) -> None:
        self._nooks, self._domain, self._memory = nooks, domain, nooks.kernel.memory
        self.kernel, self.address = kernel, address
        self._size = nooks.kernel.types.size(self.struct)

    @abstractmethod
    def show(self) -> None:
        """Bring the copy up to date before the extension runs."""

    @abstractmethod
    def take(self) -> None:
        """Bring to the kernel what the extension has written.

        Raises
        ------
        BadParameter
            When the kernel cannot take it.
        """


class Softnet(Shadow):
    """Where ``dev_kfree_skb_irq`` pushes packets that are to be freed later."""

    struct = "softnet_data"

    def __init__(self, nooks: "Nooks", domain: Domain, kernel: int, address: int) -> None:
        super().__init__(nooks, domain, kernel, address)
        self._queue = address + nooks.kernel.types.offset(self.struct, "completion_queue")
        self._empty = bytes(self._size)

    def show(self) -> None:
        """The extension sees an empty queue: it only ever pushes."""
        self._memory.write(self.address, self._empty)

    def take(self) -> None:
        """Packets that the extension has pushed go to the kernel's queue, as their kernel versions."""
        first = self._memory.u32(self._queue)
        if first:
            self._take_packets(first)

    def _take_packets(self, first: int) -> None:
        nooks, domain = self._nooks, self._domain
        at, pushed = first, []
        while at:
            packet = nooks.tracker.check(domain, "sk_buff", at, "dev_kfree_skb_irq")
            pushed.append(packet)
            at = nooks.kernel.skbs.view(at).next
            if len(pushed) > _LONGEST_LIST:
                raise BadParameter("dev_kfree_skb_irq: the completion queue runs in a circle")
        self._memory.set_u32(self._queue, 0)
        for packet in reversed(pushed):
            if nooks.tracker.find(domain, "sk_buff", packet.extension) != packet:
                raise BadParameter(f"dev_kfree_skb_irq: packet {packet.extension:08x} was pushed twice")
            nooks.tracker.remove(packet)
            nooks.take_packet_back(domain, packet)
            version = nooks.kernel.skbs.view(packet.kernel)
            version.users.counter -= 1
            if not version.users.counter:
                nooks.kernel.net.complete(packet.kernel)


class IrqStat(Shadow):
    """What runs, and which softirqs wait."""

    struct = "irq_cpustat"

    def __init__(self, nooks: "Nooks", domain: Domain, kernel: int, address: int) -> None:
        super().__init__(nooks, domain, kernel, address)
        offset = nooks.kernel.types.offset(self.struct, "softirq_pending")
        self._pending, self._own_pending = kernel + offset, address + offset

    def show(self) -> None:
        """The extension sees what runs and what waits."""
        self._memory.write(self.address, self._memory.read(self.kernel, self._size))

    def take(self) -> None:
        """Softirqs that the extension has raised wait in the kernel too; nothing else is its to change."""
        pending = self._memory.u32(self._pending)
        raised = self._memory.u32(self._own_pending) & _SOFTIRQS & ~pending
        if raised:
            self._memory.set_u32(self._pending, pending | raised)


SHADOWS: dict[str, type[Shadow]] = {"softnet_data": Softnet, "irq_stat": IrqStat}
"""By the symbol that extensions import."""


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
            shadows[symbol] = kind(self._nooks, domain, variable, address)
        return shadows[symbol].address

    def to_extension(self, domain: Domain) -> None:
        """Before the extension runs."""
        shadows = self._of.get(domain.number)
        if shadows:
            for shadow in shadows.values():
                shadow.show()
            self.synchronised += len(shadows)

    def to_kernel(self, domain: Domain) -> None:
        """After the extension has run.

        Raises
        ------
        BadParameter
            When it has put something into a shadow that the kernel cannot take.
        """
        shadows = self._of.get(domain.number)
        if shadows:
            for shadow in shadows.values():
                shadow.take()
            self.synchronised += len(shadows)

    def forget(self, domain: Domain) -> None:
        """A domain has ended; its heap took the shadows with it."""
        self._of.pop(domain.number, None)
