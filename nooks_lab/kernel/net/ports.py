"""Ports that the kernel chooses (Linux 2.4 ``sysctl_local_port_range``)."""

from collections.abc import Callable

from nooks_lab.kernel.errno import EADDRINUSE
from nooks_lab.kernel.net.parts import Parts
from nooks_lab.kernel.net.sock import SocketError

FIRST, LAST = 32768, 61000


def ephemeral_port(parts: Parts, taken: Callable[[int], bool]) -> int:
    """Return the next free port of the local range.

    Parameters
    ----------
    taken : callable
        Tells whether a port is in use.

    Raises
    ------
    SocketError
        EADDRINUSE when all are.
    """
    for _ in range(FIRST, LAST + 1):
        port = FIRST + parts.next_number("inet_next_port") % (LAST + 1 - FIRST)
        if not taken(port):
            return port
    raise SocketError(EADDRINUSE, f"every port from {FIRST} to {LAST} is in use")
