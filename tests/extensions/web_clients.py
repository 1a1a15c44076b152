"""Clients of kHTTPd for tests: whole exchanges over the simulated wire, without a host's socket."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import nooks_lab as nl
from nooks_lab.kernel.module import Parameters
from nooks_lab.lab import Lab
from nooks_lab.station.connection import Connection
from nooks_lab.station.station import TcpStation
from nooks_lab.web_server import ADDRESS, PORT, Page, WebServer

PAGES = {
    "/": Page("text/html", b"<h1>start</h1>\n"),
    "/page.txt": Page("text/plain", bytes(range(256)) * 4),
    "/dir/deep.txt": Page("text/plain", b"deep\n"),
    "/dir/index.html": Page("text/html", b"index of dir\n"),
    "/empty": Page("text/plain", b""),
    "/large": Page("application/octet-stream", bytes(range(250)) * 200),
    "/a?c%.txt": Page("text/plain", b"odd name\n"),
}


@dataclass
class Answer:
    """What came back: all bytes, and how the connection ended."""

    raw: bytes
    error: str

    @property
    def status(self) -> int:
        return int(self.raw.split(b" ", 2)[1])

    @property
    def header(self) -> dict[str, str]:
        lines = self.raw.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        return dict(line.split(": ", 1) for line in lines)

    @property
    def body(self) -> bytes:
        return self.raw.partition(b"\r\n\r\n")[2]


class Web:
    """A PC with kHTTPd, and a host on its wire."""

    def __init__(self, lab: Lab, parameters: Parameters | None = None) -> None:
        self.lab = lab
        self.station = TcpStation(lab.peer)
        self.server = WebServer(lab, dict(PAGES))
        self.server.start(parameters)

    def run(self, seconds: float, step: float = 0.001) -> None:
        until = self.lab.machine.clock.now + int(seconds * 1_700_000_000)
        while self.lab.machine.clock.now < until:
            self.lab.run(step)

    def connect(self) -> Connection:
        return self.station.connect(ADDRESS, PORT)

    def finish(self, connection: Connection, seconds: float = 20) -> Answer:
        """Read to the end of the answer."""
        received = b""
        until = self.lab.machine.clock.now + int(seconds * 1_700_000_000)
        while not connection.closed and self.lab.machine.clock.now < until:
            self.lab.run(0.0005)
            received += connection.read()
            if connection.ended:
                received += connection.read()
                connection.end()
        return Answer(received + connection.read(), connection.error)

    def ask(self, raw: bytes, *, end: bool = False) -> Answer:
        """Send bytes over a connection of their own; ``end`` ends this half behind them."""
        connection = self.connect()
        connection.send(raw)
        if end:
            connection.end()
        return self.finish(connection)

    def get(self, name: str) -> Answer:
        return self.ask(f"GET {name} HTTP/1.0\r\n\r\n".encode())

    def settle(self) -> None:
        """Let every connection be forgotten."""
        self.run(2.2, 0.05)


@contextmanager
def web(*, nooks: bool, parameters: Parameters | None = None) -> Iterator[Web]:
    with nl.boot(nooks=nooks) as lab:
        yield Web(lab, parameters)
