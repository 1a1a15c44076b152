"""The far ends of the network workload's streams: a sink that keeps what comes, and a source of given data.

Their ports are those of the discard and character generator protocols (RFC 863, RFC 864).
"""

from nooks_lab.station.connection import UNLIMITED, Connection
from nooks_lab.station.station import TcpStation

SINK, SOURCE = 9, 19


class Sink:
    """Takes whatever comes, and ends when the other end does.

    Attributes
    ----------
    streams : list of bytes
        What came on each connection that has ended, the latest last.
    """

    def __init__(self) -> None:
        self.streams: list[bytes] = []

    def accepted(self, connection: Connection) -> None:
        """Let the window stay open."""
        connection.limit = UNLIMITED

    def changed(self, connection: Connection) -> None:
        """Keep a stream that is complete."""
        if connection.ended and not connection.ending:
            self.streams.append(connection.read())
            connection.end()

    def save(self) -> list[bytes]:
        """Return the streams."""
        return list(self.streams)

    def load(self, state: list[bytes]) -> None:
        """Take back what :meth:`save` returned."""
        self.streams = list(state)


class Source:
    """Sends each who connects the same, and ends.

    Attributes
    ----------
    data : bytes
    """

    def __init__(self) -> None:
        self.data = b""

    def accepted(self, connection: Connection) -> None:
        """Queue everything."""
        connection.send(self.data)
        connection.end()

    def changed(self, connection: Connection) -> None:
        """Wait for nothing."""

    def save(self) -> bytes:
        """Return the data."""
        return self.data

    def load(self, state: bytes) -> None:
        """Take back what :meth:`save` returned."""
        self.data = state


def listen(station: TcpStation) -> tuple[Sink, Source]:
    """Return the two services of a station; it gets them the first time."""
    sink, source = station.services.get(SINK), station.services.get(SOURCE)
    if not isinstance(sink, Sink) or not isinstance(source, Source):
        sink, source = Sink(), Source()
        station.listen(SINK, sink)
        station.listen(SOURCE, source)
    return sink, source
