"""What every network card shares beside its place on the bus: the connector that a wire is plugged into."""

from abc import abstractmethod

from nooks_lab.machine.devices.device import PciDevice
from nooks_lab.machine.wire import WireEnd


class NetworkCard(PciDevice):
    """A PCI device on a wire.

    Attributes
    ----------
    wire_end : WireEnd or None
        Its end of the wire; None as long as there is none.
    """

    wire_end: WireEnd | None = None

    def connect(self, end: WireEnd) -> None:
        """Take one end of a wire; negotiation with the other end begins.

        Raises
        ------
        RuntimeError
            When the card is not in a machine yet.
        """
        if not hasattr(self, "clock"):
            raise RuntimeError(f"controller {self.name!r} must be in a machine before it gets a wire")
        self.wire_end = end
        self.set_link(True)

    @abstractmethod
    def set_link(self, up: bool) -> None:
        """Plug the cable in or pull it out; once it is in, the link comes up after negotiation."""
