"""The workload of a network driver: pings and TCP streams, both ways (paper, section 5.1).

The streams are those of netperf as the paper used it: messages of 32 KB, a socket buffer of 256 KB.
"""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from nooks_lab.cards import CARD_OF
from nooks_lab.kernel.kernel import TaskDied
from nooks_lab.kernel.net.sock import SocketError
from nooks_lab.lab import Lab
from nooks_lab.station.station import TcpStation
from nooks_lab.workloads import stream_services
from nooks_lab.workloads.stream_services import SINK, SOURCE, Sink, Source
from nooks_lab.workloads.workload import WorkloadResult

DEVICE, ADDRESS, NETMASK, FAR = "eth0", "10.0.0.2", "255.255.255.0", "10.0.0.1"
MESSAGE, BUFFER = 32 << 10, 256 << 10
"""Bytes of a message and of a socket's buffers (paper, table 4)."""

LINK_SECONDS = 0.05
"""Until the link is up."""

_LARGEST_PING = 1472
ATTEMPTS = 5
_PAUSE = 0.25
"""Seconds before something is tried again: a recovery and the new driver's link take 30 ms."""
PATIENCE = 30.0
"""Seconds that a socket call may take; a retransmission waits for 13 at most."""
_CLOSING = 2.1
"""Seconds after the last byte: the connections are forgotten after one (TIME-WAIT), a driver's timer runs in two."""


@dataclass
class _Run:
    """What has come of a run so far."""

    wrong: list[str] = field(default_factory=list)
    unnoticed: list[str] = field(default_factory=list)
    arrived: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, what: str, number: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + number

    def result(self) -> WorkloadResult:
        return WorkloadResult(
            not self.wrong, self.arrived.hexdigest(), tuple(self.wrong), self.counts, tuple(self.unnoticed)
        )


class Network:
    """Pings and streams through one network driver.

    Parameters
    ----------
    extension : str
        The driver; its card is that of :data:`~nooks_lab.cards.CARD_OF`.
    seed : int
        Of all data sent, and of the pings' sizes.
    messages : int
        Messages of 32 KB in each stream.
    pings : int
        Echo requests, each way.
    attempts : int
        How often something is tried before it counts as failed.
    patience : float
        Simulated seconds that a socket call may take.
    message : int
        Bytes of a message, when it is not netperf's.
    """

    name = "network-streams"

    def __init__(
        self,
        extension: str,
        seed: int = 0,
        messages: int = 2,
        pings: int = 4,
        attempts: int = ATTEMPTS,
        patience: float = PATIENCE,
        message: int = MESSAGE,
    ) -> None:
        self.extension, self.seed, self.messages, self.pings = extension, seed, messages, pings
        self.attempts, self.patience, self.message = attempts, patience, message
        self.devices: tuple[str, ...] = (CARD_OF[extension],)

    def set_up(self, lab: Lab) -> None:
        """Load the driver and bring its interface up; recovery does the latter again."""
        lab.insmod(self.extension)
        self.bring_up(lab)

    def bring_up(self, lab: Lab) -> None:
        """Bring the interface of a loaded driver up, and put the station at the far end of its wire."""
        lab.ifup(DEVICE, ADDRESS, NETMASK)
        self._station(lab)
        lab.run(LINK_SECONDS)

    def _station(self, lab: Lab) -> TcpStation:
        station = TcpStation.on(lab.peers[self.devices[0]], FAR)
        stream_services.listen(station)
        return station

    def run(self, lab: Lab) -> WorkloadResult:
        """Ping both ways, send a stream, receive a stream.

        Raises
        ------
        Panic, Hang, TripleFault
            When the system dies of it.
        """
        station, run = self._station(lab), _Run()
        sink, source = stream_services.listen(station)
        before = station.retransmitted + _retransmitted(lab)
        dice = random.Random(f"{self.seed}/network")
        station.forget()
        sink.streams.clear()
        self._ping_station(lab, run, dice)
        self._ping_lab(lab, station, run, dice)
        self._send_stream(lab, sink, run, dice.randbytes(self.messages * self.message))
        self._receive_stream(lab, source, run, dice.randbytes(self.messages * self.message))
        run.count("retransmitted", station.retransmitted + _retransmitted(lab) - before)
        return run.result()

    def rest(self, lab: Lab) -> None:
        """Let the connections be forgotten, and a driver's timer run."""
        lab.run(_CLOSING)

    def _ping_station(self, lab: Lab, run: _Run, dice: random.Random) -> None:
        inet = lab.kernel.inet
        for number in range(1, self.pings + 1):
            size = dice.randint(0, _LARGEST_PING)

            def ping(size: int = size, number: int = number) -> str:
                return "no answer" if inet.ping(FAR, size, number) is None else ""

            if self._again(lab, run, f"ping {number} to the station", ping):
                run.count("pings answered")
                run.arrived.update(b"ping %d" % size)

    def _ping_lab(self, lab: Lab, station: TcpStation, run: _Run, dice: random.Random) -> None:
        for number in range(1, self.pings + 1):
            data = dice.randbytes(dice.randint(0, _LARGEST_PING))
            for _ in range(self.attempts):
                station.ping(ADDRESS, number, data)
                lab.run(0.002)
                if data in station.echoes:
                    run.count("pings answered")
                    run.arrived.update(data)
                    break
                run.count("retries")
                lab.run(_PAUSE)
            else:
                run.wrong.append(f"ping {number} from the station was not answered with its own data")

    def _send_stream(self, lab: Lab, sink: Sink, run: _Run, data: bytes) -> None:
        def send() -> str:
            with lab.kernel.inet.tcp_socket() as socket:
                socket.set_buffers(BUFFER)
                socket.connect(FAR, SINK, self.patience)
                for at in range(0, len(data), self.message):
                    message = data[at : at + self.message]
                    if socket.send(message, self.patience) < len(message):
                        return "it was cut short"
                socket.shutdown()
                return "the station sent data" if socket.recv(1, self.patience) else ""

        if self._again(lab, run, "send-stream", send):
            self._judge(run, "send-stream", data, sink.streams[-1] if sink.streams else b"")

    def _receive_stream(self, lab: Lab, source: Source, run: _Run, data: bytes) -> None:
        received = bytearray()
        source.data = data

        def receive() -> str:
            received.clear()
            with lab.kernel.inet.tcp_socket() as socket:
                socket.set_buffers(BUFFER)
                socket.connect(FAR, SOURCE, self.patience)
                while piece := socket.recv(self.message, self.patience):
                    received.extend(piece)
                return ""

        if self._again(lab, run, "receive-stream", receive):
            self._judge(run, "receive-stream", data, bytes(received))

    def _judge(self, run: _Run, stream: str, data: bytes, arrived: bytes) -> None:
        run.count("bytes", len(arrived))
        run.arrived.update(arrived)
        if arrived != data:
            # Both ends have closed their connection in good order.
            run.unnoticed.append(f"{stream}: {_difference(data, arrived)}")
            run.wrong.append(run.unnoticed[-1])

    def _again(self, lab: Lab, run: _Run, what: str, body: Callable[[], str]) -> bool:
        """Do something in a process until it succeeds, a few times at most: recovery may be in its way.

        ``body`` returns what was wrong, or an empty string.
        """

        def process() -> str:
            try:
                return body()
            except SocketError as error:
                return str(error.strerror)

        wrong = ""
        for attempt in range(self.attempts):
            if attempt:
                run.count("retries")
                lab.run(_PAUSE)
            try:
                wrong = lab.kernel.in_task("netperf", process)
            except TaskDied as death:
                run.wrong.append(f"{what}: {death}")
                return False
            if not wrong:
                return True
        run.wrong.append(f"{what}: {wrong}, {self.attempts} times")
        return False


def _retransmitted(lab: Lab) -> int:
    """Return how many segments the lab's TCP has sent again since boot."""
    return lab.kernel.inet.snmp()["Tcp"]["RetransSegs"]


def _difference(data: bytes, arrived: bytes) -> str:
    if len(data) != len(arrived):
        return f"{len(arrived):,} bytes of {len(data):,} arrived"
    first = next(at for at, (one, other) in enumerate(zip(data, arrived, strict=True)) if one != other)
    return f"byte {first:,} arrived as {arrived[first]:#04x} and was {data[first]:#04x}"
