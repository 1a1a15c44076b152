"""A scripted station at the far end of a wire."""

from collections.abc import Callable

from nooks_lab.machine.clock import Clock
from nooks_lab.machine.ethernet import line_cycles, pad
from nooks_lab.machine.wire import WireEnd

PeerState = tuple[list[tuple[int, bytes]], int]


class Peer:
    """A station that keeps what it receives and sends what a script tells it to.

    Parameters
    ----------
    name : str
        Its name among the clock's parts.
    clock : Clock
        The clock it lives on.
    on_frame : callable, optional
        Called with the peer and each frame received; it may answer with :meth:`send`.

    Attributes
    ----------
    received : list of (int, bytes)
        Cycle of arrival and contents of each frame.
    """

    def __init__(
        self, name: str, clock: Clock, on_frame: Callable[["Peer", bytes], None] | None = None
    ) -> None:
        self.name = name
        self.clock = clock
        self.on_frame = on_frame
        self.received: list[tuple[int, bytes]] = []
        self.wire_end: WireEnd | None = None
        self.line_free_at = 0
        clock.parts[name] = self

    def connect(self, end: WireEnd) -> None:
        """Take one end of a wire."""
        self.wire_end = end

    def send(self, frame: bytes) -> None:
        """Send a frame as soon as the line is free, padded to the shortest length.

        Raises
        ------
        RuntimeError
            When the peer is not on a wire.
        """
        self.send_unpadded(pad(frame))

    def send_unpadded(self, frame: bytes) -> None:
        """Send a frame as it is; a short one arrives as a runt."""
        if self.wire_end is None:
            raise RuntimeError(f"peer {self.name!r} is not connected to a wire")
        departs = max(self.clock.now, self.line_free_at)
        self.line_free_at = departs + line_cycles(len(frame), self.wire_end.bits_per_second)
        self.wire_end.send(frame, departs)

    def send_at(self, cycle: int, frame: bytes) -> None:
        """Send a frame once the clock has reached ``cycle``."""
        self.clock.at(cycle, self.name, "send", frame)

    def receive(self, frame: bytes) -> None:
        """Keep a frame that has just arrived, and let the script answer."""
        self.received.append((self.clock.now, frame))
        if self.on_frame:
            self.on_frame(self, frame)

    def save(self) -> PeerState:
        """Return what has been received, and until when the line is taken."""
        return list(self.received), self.line_free_at

    def load(self, state: PeerState) -> None:
        """Take back what :meth:`save` returned."""
        received, self.line_free_at = state
        self.received = list(received)
