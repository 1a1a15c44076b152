"""``nooks-lab serve``: pages made by kHTTPd's machine code, for browsers on the host.

Here, and only here, the host's time drives the simulated time.
"""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.bridge.host import Bridge
from nooks_lab.faults import text_fault
from nooks_lab.faults.text_fault import NoSuchFault
from nooks_lab.kernel.kernel import FATAL
from nooks_lab.kernel.traps import TAINT_DIE
from nooks_lab.lab import Lab
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.station.station import TcpStation
from nooks_lab.web_server import ADDRESS, PORT, Page, WebServer

LONGEST_STEP = 0.02
"""Simulated seconds in one go, so that the host's side is looked at often enough."""

_BUSY_WAIT, _IDLE_WAIT = 0.001, 0.05
_FALLEN_BEHIND = 0.25
"""A simulation that is slower than the host's time by more than this many seconds does not catch up any more."""

_PROBE = b"GET / HTTP/1.0\r\n\r\n"
_PROBE_SECONDS = 10
"""Simulated seconds that the extension gets to run into its fault and to come back."""

_LAST_WORDS = 14

_HEAD = (
    "<!DOCTYPE html><html><head><meta charset=utf-8><title>{title}</title>{refresh}<style>"
    "body{{font:16px/1.5 sans-serif;max-width:42em;margin:3em auto;padding:0 1em}}"
    "td{{padding:.1em 1.5em .1em 0}}td+td{{text-align:right;font-variant-numeric:tabular-nums}}"
    "</style></head><body>"
)


@dataclass(frozen=True)
class Served:
    """What became of it: how many connections there were, how many faults and recoveries, and why it ended.

    Attributes
    ----------
    died : str
        What the simulated system said when it died; empty when it lived to the end.
    """

    connections: int
    faults: int
    recoveries: int
    died: str = ""


class Service:
    """A simulated PC whose web server answers the host.

    Parameters
    ----------
    nooks : bool
        Isolate the extensions.
    fault : str
        The extension that a fault is injected into.
    say : callable (line)
        Prints a line for the user; nobody is told anything when it is not given.

    Raises
    ------
    NoSuchFault
        When there is no fault for that extension.
    OSError
        When the host's port cannot be had.
    """

    def __init__(
        self,
        port: int,
        *,
        nooks: bool = True,
        fault: str = "khttpd",
        address: str = "127.0.0.1",
        say: Callable[[str], object] = str,
    ) -> None:
        if fault not in text_fault.FUNCTIONS:
            there = ", ".join(text_fault.FUNCTIONS)
            raise NoSuchFault(f"there is no fault for {fault!r}; there are faults for: {there}")
        extensions.source(fault)
        self._say, self._fault, self._address = say, fault, address
        self.faults, self._reported = 0, 0
        self._wanted = False
        self.lab: Lab = nl.boot(nooks=nooks)
        try:
            self.station = TcpStation(self.lab.peer)
            self.bridge = Bridge(
                self.station, address, port, (ADDRESS, PORT), self._first_line, self._answered
            )
            self.server = WebServer(self.lab, _pages(nooks, fault))
            self.server.start()
        except BaseException:
            self.close()
            raise
        self._started = time.monotonic() - self.lab.machine.clock.now / CPU_HZ

    @property
    def url(self) -> str:
        """Where the pages are."""
        return f"http://{self._address}:{self.bridge.port}/"

    @property
    def recoveries(self) -> int:
        """How many recoveries there were."""
        return len(self.lab.nooks.recoveries) if self.lab.nooks else 0

    def close(self) -> None:
        """Listen no more, and switch the PC off."""
        if hasattr(self, "bridge"):
            self.bridge.close()
        self.lab.close()

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def step(self) -> set[int]:
        """Carry on both sides once; returns the descriptors of others that can be read.

        Raises
        ------
        SystemDied
            When the simulated system, or what serves the pages, has died.
        """
        others = self.bridge.wait(_BUSY_WAIT if self.bridge.busy else _IDLE_WAIT)
        self._let_time_pass()
        self.bridge.move()
        if self._wanted:
            self._wanted = False
            self.inject()
            self.bridge.resume()
        elif not self.bridge.busy:
            self.bridge.resume()
        return others

    def _let_time_pass(self) -> None:
        due = time.monotonic() - self._started - self.lab.machine.clock.now / CPU_HZ
        if due > _FALLEN_BEHIND:
            self._started += due - _FALLEN_BEHIND
            due = _FALLEN_BEHIND
        while due > 0:
            self._run(min(due, LONGEST_STEP))
            due -= LONGEST_STEP

    def _run(self, seconds: float) -> None:
        try:
            self.lab.run(seconds)
        except FATAL as death:
            raise SystemDied(f"{type(death).__name__.lower()}: {death}", self._last_words()) from death
        kernel = self.lab.kernel
        if kernel.memory.u32(kernel.variable("tainted")) & TAINT_DIE:
            raise SystemDied("oops: the kernel has killed a thread", self._last_words())
        self._report()

    def _last_words(self) -> str:
        return "\n".join(self.lab.dmesg().rstrip().splitlines()[-_LAST_WORDS:])

    def _report(self) -> None:
        recoveries = self.lab.nooks.recoveries if self.lab.nooks else []
        for recovery in recoveries[self._reported :]:
            milliseconds = recovery.cycles / CPU_HZ * 1000
            outcome = f"recovered in {milliseconds:.2f} ms" if recovery.ok else "not recovered"
            self._say(f"{recovery.extension} failed ({recovery.trigger}): {outcome}")
        self._reported = len(recoveries)

    # Faults

    def want_fault(self) -> None:
        """Have a fault injected at the next step."""
        self._wanted = True

    def inject(self) -> None:
        """Overwrite an instruction, and make a request of our own that runs into it."""
        try:
            fault = text_fault.inject(self.lab, self._fault)
        except NoSuchFault as error:
            self._say(str(error))
            return
        self.faults += 1
        self._say(f"fault injected: the first instruction of {fault.function} in {fault.extension}")
        before = self.recoveries
        probe = self.station.connect(ADDRESS, PORT)
        probe.send(_PROBE)
        until = self.lab.machine.clock.now + _PROBE_SECONDS * CPU_HZ
        while self.recoveries == before and self.lab.machine.clock.now < until:
            self._run(0.001)
        probe.abort()

    # What the bridge sees go by

    def _first_line(self, line: bytes) -> None:
        if _path(line) == b"/_fault":
            # Who comes next shall meet the recovered server, not the fault.
            self.bridge.pause()
        if _path(line) in (b"/_counters", b"/_counters.json"):
            counters = self.counters()
            self.server.publish("/_counters", _counters_page(counters))
            self.server.publish(
                "/_counters.json", Page("application/json", json.dumps(counters).encode() + b"\n")
            )

    def _answered(self, line: bytes) -> None:
        if line.startswith(b"GET ") and _path(line) == b"/_fault":
            self.want_fault()

    def counters(self) -> dict[str, int | float]:
        """Return what the page of counters shows."""
        nooks, clock = self.lab.nooks, self.lab.machine.clock
        return {
            "connections": self.bridge.total,
            **{f"khttpd_{name}": value for name, value in self.server.statistics().items()},
            "faults": self.faults,
            "recoveries": self.recoveries,
            "xpcs": nooks.xpc.total if nooks else 0,
            "simulated_seconds": round(clock.now / CPU_HZ, 3),
            "instructions": clock.instructions,
        }


def _path(line: bytes) -> bytes:
    """Return the path in a request's first line, or nothing."""
    return b"".join(line.split(b" ")[1:2])


class SystemDied(Exception):  # noqa: N818 - an event of the guest
    """The simulated system serves no more; what it said last stands in ``last_words``."""

    def __init__(self, reason: str, last_words: str) -> None:
        super().__init__(reason)
        self.last_words = last_words


def _pages(nooks: bool, fault: str) -> dict[str, Page]:
    where = "in a nook" if nooks else "natively, without Nooks"
    start = _HEAD.format(title="kHTTPd", refresh="") + (
        f"<h1>kHTTPd</h1><p>This page was made by i386 machine code: a web server inside a small kernel, {where}, "
        "on a simulated PC. It reached you through a simulated network card and its driver.</p>"
        "<p><a href=/_counters>Counters</a>: requests, cross-domain calls, recoveries.</p>"
        f"<p><a href=/_fault>Inject a fault</a> into {fault}: one of its instructions is overwritten.</p>"
        "</body></html>\n"
    )
    struck = _HEAD.format(title="Fault", refresh="<meta http-equiv=refresh content='2;url=/_counters'>") + (
        f"<h1>A fault goes into {fault}</h1><p>As soon as this page has reached you, one of the instructions of "
        f"{fault} is overwritten.</p><p>The <a href=/_counters>counters</a> follow, if anybody is left to send them."
        "</p></body></html>\n"
    )
    return {
        "/": Page("text/html", start.encode()),
        "/_fault": Page("text/html", struck.encode()),
        "/favicon.ico": Page("image/gif", _DOT),
    }


_DOT = bytes.fromhex("47494638396101000100800000336699ffffff21f90400000000002c00000000010001000002024401003b")
"""A GIF of one pixel, for browsers that ask for an icon."""


def _counters_page(counters: dict[str, int | float]) -> Page:
    rows = "".join(
        f"<tr><td>{name.replace('_', ' ')}</td><td>{value:,}</td></tr>" for name, value in counters.items()
    )
    refresh = "<meta http-equiv=refresh content=2>"
    text = _HEAD.format(title="Counters", refresh=refresh) + (
        f"<h1>Counters</h1><table>{rows}</table>"
        "<p><a href=/_fault>Inject a fault</a> &middot; <a href=/>Start page</a></p></body></html>\n"
    )
    return Page("text/html", text.encode())


@contextlib.contextmanager
def key_presses() -> Iterator[int | None]:
    """Make a terminal deliver each key at once; gives its descriptor, None when there is no terminal."""
    try:
        import termios
        import tty
    except ImportError:
        yield None
        return
    if not sys.stdin.isatty():
        yield None
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def serve(
    port: int, *, nooks: bool, fault: str, address: str = "127.0.0.1", say: Callable[[str], None]
) -> Served:
    """Serve until Ctrl-C, or until the simulated system dies.

    Parameters
    ----------
    port : int
        Of the host; 0 lets it choose.

    Raises
    ------
    NoSuchFault, OSError
        As of :class:`Service`.
    """
    with Service(port, nooks=nooks, fault=fault, address=address, say=say) as service, key_presses() as keys:
        where = "in a nook" if nooks else "natively"
        key = ", press f or" if keys is not None else ","
        say(
            f"kHTTPd serves {service.url} {where}{key} open {service.url}_fault for a fault in {fault}; Ctrl-C ends"
        )
        if keys is not None:
            service.bridge.also_wait_for(keys)
        died = ""
        try:
            while True:
                if service.step() and keys is not None and sys.stdin.read(1) in ("f", "F"):
                    service.want_fault()
        except KeyboardInterrupt:
            pass
        except SystemDied as death:
            died = str(death)
            say(death.last_words)
            say(f"The simulated system is dead ({died}), and nobody serves {service.url} any more.")
        return Served(service.bridge.total, service.faults, service.recoveries, died)
