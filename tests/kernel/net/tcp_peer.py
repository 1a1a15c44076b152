"""A small TCP of its own, on scapy's segments, with which the kernel's has to get along."""

from collections.abc import Callable

from net_station import OURS, THEIRS, Station
from scapy.layers.inet import IP, TCP
from scapy.packet import Packet

WRAP = 1 << 32


def segments(station: Station) -> list[TCP]:
    return [packet[TCP] for packet in station.packets(TCP)]


def payload(packet: Packet) -> bytes:
    """Return a segment's data; scapy takes Ethernet's padding for data, the IP length tells them apart."""
    ip = packet if isinstance(packet, IP) else packet.underlayer
    header = ip.ihl * 4 + ip[TCP].dataofs * 4
    return bytes(ip)[header : ip.len]


class TcpPeer:
    """One end of a connection: acknowledges data in order, and ends it when the other end does.

    Parameters
    ----------
    port, lab_port : int
        Its own port and the lab's.
    data : bytes
        What it sends once the connection is open.
    lost : callable (packet) -> bool
        Which of the lab's segments never arrive.
    end_first : bool
        Whether it ends its half behind its data, or waits for the lab's end.
    """

    def __init__(
        self,
        station: Station,
        port: int,
        lab_port: int,
        data: bytes = b"",
        lost: Callable[[Packet], bool] = lambda packet: False,
        *,
        end_first: bool = False,
        window: int = 65535,
        iss: int = 1000,
        mss: int = 1460,
    ) -> None:
        self.station, self.port, self.lab_port = station, port, lab_port
        self.data, self.lost, self.end_first = data, lost, end_first
        self.window, self.mss, self.seq, self.ack = window, mss, iss, 0
        self.received = b""
        self.open = self.reset = self.peer_ended = self.sent_fin = self.closed = False

    def connect(self) -> None:
        self.send("S", options=[("MSS", self.mss)])
        self.seq += 1

    def send(self, flags: str, data: bytes = b"", **fields: object) -> None:
        header = {"sport": self.port, "dport": self.lab_port, "flags": flags, "seq": self.seq % WRAP}
        header |= {"ack": self.ack % WRAP if "A" in flags else 0, "window": self.window}
        self.station.send(TCP(**(header | fields)) / data)

    def take(self, packet: Packet) -> None:
        """Handle a packet from the lab."""
        if TCP not in packet or packet[TCP].dport != self.port or self.lost(packet):
            return
        segment, data = packet[TCP], payload(packet)
        if segment.flags.R:
            self.reset = True
        elif segment.flags.S:
            self._take_syn(segment)
        elif self.open:
            self._take_data(segment, data)
        if self.sent_fin and segment.flags.A and segment.ack == self.seq % WRAP:
            self.closed = self.peer_ended

    def _take_syn(self, segment: TCP) -> None:
        self.ack = segment.seq + 1
        if segment.flags.A:
            self.send("A")
        else:
            self.send("SA", options=[("MSS", self.mss)])
            self.seq += 1
        if not self.open:
            self.open = True
            self.say(self.data)
            if self.end_first:
                self.end()

    def _take_data(self, segment: TCP, data: bytes) -> None:
        if not data and not segment.flags.F:
            return
        if segment.seq == self.ack % WRAP:
            self.received += data
            self.ack += len(data)
            if segment.flags.F:
                self.ack += 1
                self.peer_ended = True
        self.send("A")
        if self.peer_ended and not self.sent_fin:
            self.end()

    def say(self, data: bytes) -> None:
        """Send data, in segments."""
        for at in range(0, len(data), 1460):
            piece = data[at : at + 1460]
            self.send("PA", piece)
            self.seq += len(piece)

    def end(self) -> None:
        self.send("FA")
        self.seq += 1
        self.sent_fin = True


class RawClient:
    """A client whose every segment the test sends by hand."""

    def __init__(self, station: Station, port: int = 3333, lab_port: int = 80) -> None:
        self.station, self.lab = station, station.lab
        self.port, self.lab_port, self.seq, self.ack = port, lab_port, 5000, 0

    def send(self, flags: str, data: bytes = b"", *, wait: float = 0.001, **fields: object) -> list[TCP]:
        """Send a segment and return the answers."""
        self.station.forget()
        header = {"sport": self.port, "dport": self.lab_port, "flags": flags, "seq": self.seq}
        header |= {"ack": self.ack, "window": 65535}
        self.station.send(TCP(**(header | fields)) / data)
        self.lab.run(wait)
        return segments(self.station)

    def handshake(self, **fields: object) -> TCP:
        """Open the connection; returns the lab's SYN."""
        (answer,) = self.send("S", **fields)
        self.seq, self.ack = self.seq + 1, answer.seq + 1
        self.send("A")
        return answer


__all__ = ["OURS", "THEIRS", "RawClient", "TcpPeer", "payload", "segments"]
