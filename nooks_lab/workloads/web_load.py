"""The workload of kHTTPd: many clients at once fetch pages (paper, section 5.1 and table 4).

``serve-simple-web-page`` is one page of 1 KB from memory; with ``mixed`` the pages are of many sizes, and some
requests ask only for a head, or for a page that there is not.
"""

import hashlib
import random
from dataclasses import dataclass, field

from nooks_lab.lab import Lab
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.station.connection import Connection
from nooks_lab.station.station import TcpStation
from nooks_lab.web_server import ADDRESS, PORT, Page, WebServer
from nooks_lab.workloads.workload import WorkloadResult

SIMPLE = "/index.html"
SIMPLE_SIZE = 1024
MIXED_SIZES = (0, 1, 100, 512, 1024, 1460, 1461, 5000, 10_000, 30_000, 60_000)
"""Bytes; around one segment's and the socket buffers' sizes too."""

ATTEMPTS = 12
"""For one request; the server may fail under it, and a recovery and a link that comes up take 30 ms."""

_PAUSE = CPU_HZ // 20
PATIENCE = 20.0
"""Simulated seconds after which an attempt has failed."""
_STEP, _LONG_STEP = 0.0005, 0.005
"""Simulated seconds between two looks at the clients: the usual, and in a lull."""
_LULL = CPU_HZ // 100
"""So long without a segment from the server: it may have died, and nothing is urgent."""
_CLOSING_STEP, _CLOSING_CYCLES = 0.05, 21 * CPU_HZ // 10
"""After the last connection: the PC remembers one for a second, this end for two."""


@dataclass(frozen=True)
class Request:
    """One request, and the status and body that must come back."""

    number: int
    method: str
    name: str
    status: int
    body: bytes

    @property
    def text(self) -> bytes:
        """What goes over the wire."""
        version, host = ("1.1", f"Host: {ADDRESS}\r\n") if self.number % 2 else ("1.0", "")
        return f"{self.method} {self.name} HTTP/{version}\r\n{host}\r\n".encode()


@dataclass
class _Client:
    """Who makes a request at the moment: its attempts, its connection, what has come so far."""

    request: Request
    not_before: int = 0
    attempts: int = 0
    started: int = 0
    connection: Connection | None = None
    received: bytearray = field(default_factory=bytearray)


class WebLoad:
    """Clients that fetch pages, check every byte, and try again what a failure has cut off.

    Parameters
    ----------
    seed : int
        Of the pages' contents and of the order of requests.
    requests : int
        How many there are in a run.
    clients : int
        How many are made at once.
    mixed : bool
        Pages of many sizes, instead of one of 1 KB.
    card : str
        The network card.
    attempts : int
        For one request.
    patience : float
        Simulated seconds after which an attempt has failed.
    """

    def __init__(
        self,
        seed: int = 0,
        requests: int = 100,
        clients: int = 16,
        mixed: bool = False,
        card: str = "e1000",
        attempts: int = ATTEMPTS,
        patience: float = PATIENCE,
    ) -> None:
        self.seed, self.requests, self.clients, self.mixed = seed, requests, clients, mixed
        self._attempts, self._patience = attempts, int(patience * CPU_HZ)
        self.name = "serve-mixed-web-pages" if mixed else "serve-simple-web-page"
        self.devices: tuple[str, ...] = (card,)
        dice = random.Random(f"{seed}/pages")
        sizes = MIXED_SIZES if mixed else (SIMPLE_SIZE,)
        names = [f"/pages/{size}.html" for size in sizes] if mixed else [SIMPLE]
        self.pages = {
            name: Page("text/html", dice.randbytes(size)) for name, size in zip(names, sizes, strict=True)
        }

    def set_up(self, lab: Lab) -> None:
        """Load the network driver and kHTTPd, and publish the pages; recovery publishes them again."""
        self.station(lab)
        WebServer(lab, dict(self.pages)).start()

    def station(self, lab: Lab) -> TcpStation:
        """Return the clients' host, which stands at the far end of the card's wire from the first use on."""
        return TcpStation.on(lab.peers[self.devices[0]])

    def plan(self) -> list[Request]:
        """Return the requests of a run, in their order."""
        dice = random.Random(f"{self.seed}/requests")
        names = list(self.pages)
        planned = []
        for number in range(self.requests):
            name = dice.choice(names)
            body, kind = self.pages[name].data, dice.random() if self.mixed else 1.0
            if kind < 0.1:
                planned.append(Request(number, "HEAD", name, 200, b""))
            elif kind < 0.2:
                planned.append(Request(number, "GET", f"{name}.gone", 404, _NOT_FOUND))
            else:
                planned.append(Request(number, "GET", name, 200, body))
        return planned

    def run(self, lab: Lab) -> WorkloadResult:
        """Make all requests.

        Raises
        ------
        Panic, Hang, TripleFault
            When the system dies of it.
        """
        station = self.station(lab)
        waiting = [_Client(request) for request in reversed(self.plan())]
        active: list[_Client] = []
        arrived: dict[int, bytes] = {}
        wrong: list[str] = []
        unnoticed: list[str] = []
        begun = station.now
        counts = {"pages": 0, "bytes": 0, "connections": 0, "retries": 0}
        while waiting or active:
            while waiting and len(active) < self.clients:
                active.append(waiting.pop())
            for client in active:
                if client.connection is None and station.now >= client.not_before:
                    self._begin(client, station)
                    begun = station.now
                    counts["connections"] += 1
            lab.run(_STEP if station.now - max(begun, station.heard_at) < _LULL else _LONG_STEP)
            for client in list(active):
                answer = self._look(client, station)
                if answer is None:
                    continue
                problem = _judge(client.request, answer) if isinstance(answer, bytes) else answer
                if isinstance(answer, bytes) and not problem:
                    body = arrived[client.request.number] = answer.partition(b"\r\n\r\n")[2]
                    counts["pages"] += 1
                    counts["bytes"] += len(body)
                elif not isinstance(answer, bytes) and client.attempts < self._attempts:
                    counts["retries"] += 1
                    client.not_before = station.now + _PAUSE
                    continue
                else:
                    wrong.append(f"{client.request.method} {client.request.name}: {problem}")
                    if isinstance(answer, bytes) and _status(answer) == str(client.request.status).encode():
                        unnoticed.append(wrong[-1])
                active.remove(client)
        digest = hashlib.sha256()
        for number in sorted(arrived):
            digest.update(number.to_bytes(4, "big") + len(arrived[number]).to_bytes(4, "big"))
            digest.update(arrived[number])
        return WorkloadResult(not wrong, digest.hexdigest(), tuple(wrong), counts, tuple(unnoticed))

    def rest(self, lab: Lab) -> None:
        """Let every connection come to its end, also one whose last segments were lost, and be forgotten."""
        station = self.station(lab)
        until = station.now + self._patience
        while station.connections and station.now < until:
            lab.run(_CLOSING_STEP)
        until = station.now + _CLOSING_CYCLES
        while station.now < until:
            lab.run(_CLOSING_STEP)

    def _begin(self, client: _Client, station: TcpStation) -> None:
        client.attempts += 1
        client.started = station.now
        client.received.clear()
        client.connection = station.connect(ADDRESS, PORT)
        client.connection.send(client.request.text)

    def _look(self, client: _Client, station: TcpStation) -> bytes | str | None:
        """Return a whole answer, what cut it off, or None while it goes on."""
        connection = client.connection
        if connection is None:
            return None
        client.received += connection.read()
        if connection.error:
            client.connection = None
            return connection.error
        if connection.ended and not connection.available:
            connection.end()
            client.connection = None
            answer = bytes(client.received)
            return answer if _whole(client.request, answer) else "the answer was cut off"
        if station.now - client.started > self._patience:
            connection.abort()
            client.connection = None
            return "no answer in time"
        return None


_NOT_FOUND = b"<html><title>404 Not Found</title><h1>404 Not Found</h1></html>\n"


def _head(answer: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """Return status line and header of an answer whose head is complete."""
    status, *lines = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
    header = {}
    for line in lines:
        name, _, value = line.partition(b": ")
        header[name.lower()] = value
    return status, header


def _status(answer: bytes) -> bytes:
    """Return the status of an answer, as the client reads it."""
    return answer.partition(b"\r\n")[0].partition(b" ")[2].partition(b" ")[0]


def _whole(request: Request, answer: bytes) -> bool:
    """Tell whether as much has come as the head has promised."""
    if b"\r\n\r\n" not in answer:
        return False
    length = _head(answer)[1].get(b"content-length", b"0")
    promised = int(length) if length.isdigit() and request.method != "HEAD" else 0
    return len(answer.partition(b"\r\n\r\n")[2]) >= promised


def _judge(request: Request, answer: bytes) -> str:
    """Return what is wrong with a whole answer; empty when nothing is."""
    status, header = _head(answer)
    body = answer.partition(b"\r\n\r\n")[2]
    if status.split(b" ")[1:2] != [str(request.status).encode()]:
        return f"the answer is {status.decode('latin-1')!r}, not {request.status}"
    for name in (b"date", b"server", b"content-type", b"content-length", b"connection"):
        if name not in header:
            return f"the answer has no {name.decode()}"
    if header[b"connection"] != b"close":
        return "the answer keeps the connection"
    if body != request.body:
        return f"{len(body)} bytes came that are not the {len(request.body)} of the page"
    return ""
