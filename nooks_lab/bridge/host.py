"""Connections of the host's network, each carried on by one of the simulated network."""

import contextlib
import selectors
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from nooks_lab.station.connection import Connection
from nooks_lab.station.station import TcpStation

CHUNK = 65536
_MOST_UNSENT = 4 * CHUNK
"""Bytes for the simulated network that wait here; the host's peer is not read from while there are more."""
_FIRST_LINE = 4096

FirstLine = Callable[[bytes], None]
"""Told the first line of what a host connection sends, before any of it goes on."""


@dataclass
class _Carried:
    """One connection of the host's, and the one that carries it on."""

    host: socket.socket
    simulated: Connection
    first_line: bytes | None = b""
    to_host: bytearray = field(default_factory=bytearray)
    host_ended: bool = False
    told_host: bool = False


class Bridge:
    """Listens on a port of the host's and carries every connection to a port of the simulated PC.

    Parameters
    ----------
    station : TcpStation
        The host's place on the simulated network.
    address, port
        Where to listen; port 0 lets the host choose.
    inner : (str, int)
        The simulated PC's address and port.
    first_line : callable
        See ``FirstLine``.
    done : callable (first line)
        Told when a connection has come to its good end.

    Raises
    ------
    OSError
        When the host does not let it listen there.
    """

    def __init__(
        self,
        station: TcpStation,
        address: str,
        port: int,
        inner: tuple[str, int],
        first_line: FirstLine,
        done: FirstLine,
    ) -> None:
        self._station, self._inner = station, inner
        self._first_line, self._done = first_line, done
        self._selector = selectors.DefaultSelector()
        self._carried: dict[socket.socket, _Carried] = {}
        self.total = self.failed = 0
        self._listener = socket.create_server((address, port), backlog=128)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)

    @property
    def port(self) -> int:
        """The port of the host's that it listens on."""
        return int(self._listener.getsockname()[1])

    @property
    def busy(self) -> int:
        """How many connections there are."""
        return len(self._carried)

    def also_wait_for(self, file: int) -> None:
        """Let :meth:`wait` also end when something can be read from another file descriptor."""
        self._selector.register(file, selectors.EVENT_READ)

    def pause(self) -> None:
        """Let new connections wait in the host's queue; those there are go on."""
        if self._listener in self._selector.get_map():
            self._selector.unregister(self._listener)

    def resume(self) -> None:
        """Undo :meth:`pause`."""
        if self._listener not in self._selector.get_map():
            self._selector.register(self._listener, selectors.EVENT_READ)

    def wait(self, seconds: float) -> set[int]:
        """Wait for the host's side at most so long, and take what it has; returns the descriptors of others."""
        others = set()
        for key, events in self._selector.select(seconds):
            if key.fileobj is self._listener:
                self._accept()
            elif isinstance(key.fileobj, int):
                others.add(key.fileobj)
            elif events & selectors.EVENT_READ and key.fileobj in self._carried:
                self._read(self._carried[key.fileobj])
        return others

    def move(self) -> None:
        """Carry on what either side has, and close what has ended."""
        for carried in list(self._carried.values()):
            self._move(carried)

    def close(self) -> None:
        """Break every connection off and listen no more."""
        for carried in list(self._carried.values()):
            carried.simulated.abort()
            self._drop(carried)
        self._listener.close()
        self._selector.close()

    def _accept(self) -> None:
        while True:
            try:
                host, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                # The peer has gone already, or the host has no descriptor left; the others go on.
                return
            host.setblocking(False)
            self.total += 1
            self._carried[host] = _Carried(host, self._station.connect(*self._inner))
            self._selector.register(host, selectors.EVENT_READ)

    def _read(self, carried: _Carried) -> None:
        try:
            data = carried.host.recv(CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            carried.simulated.abort()
            self._drop(carried)
            return
        if not data:
            carried.host_ended = True
            carried.simulated.end()
            self._watch(carried)
            return
        if carried.first_line is not None and b"\n" not in carried.first_line:
            carried.first_line = (carried.first_line + data)[:_FIRST_LINE]
            if b"\n" in carried.first_line:
                self._first_line(carried.first_line)
        carried.simulated.send(data)
        self._watch(carried)

    def _watch(self, carried: _Carried) -> None:
        """Wait for what can be used: nothing more from an end of stream, or while too much waits."""
        wants_data = not carried.host_ended and carried.simulated.unsent < _MOST_UNSENT
        events = (selectors.EVENT_READ if wants_data else 0) | (
            selectors.EVENT_WRITE if carried.to_host else 0
        )
        known = self._selector.get_map().get(carried.host)
        if known is None and events:
            self._selector.register(carried.host, events)
        elif known is not None and not events:
            self._selector.unregister(carried.host)
        elif known is not None and known.events != events:
            self._selector.modify(carried.host, events)

    def _move(self, carried: _Carried) -> None:
        simulated = carried.simulated
        if len(carried.to_host) < CHUNK:
            carried.to_host += simulated.read()
        try:
            while carried.to_host:
                sent = carried.host.send(carried.to_host)
                del carried.to_host[:sent]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            simulated.abort()
            self._drop(carried)
            return
        if simulated.error:
            self.failed += 1
            # The host's peer sees what was seen here: a connection broken off.
            with contextlib.suppress(OSError):
                carried.host.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self._drop(carried)
            return
        if simulated.ended and not simulated.available and not carried.to_host:
            self._end(carried)
            return
        self._watch(carried)

    def _end(self, carried: _Carried) -> None:
        """The simulated end has sent all it had: so has this one.  It closes when the host's peer does."""
        if not carried.told_host:
            carried.told_host = True
            carried.simulated.end()
            with contextlib.suppress(OSError):
                carried.host.shutdown(socket.SHUT_WR)
        if carried.simulated.closed:
            if carried.first_line:
                self._done(carried.first_line)
            self._drop(carried)
            return
        self._watch(carried)

    def _drop(self, carried: _Carried) -> None:
        if carried.host in self._selector.get_map():
            self._selector.unregister(carried.host)
        self._carried.pop(carried.host, None)
        carried.host.close()
