"""Two simulated machines on one wire, each with its own clock and kernel: the netperf pair (paper, section 6).

The two run in turns, and neither gets further ahead of the other than a frame needs for the wire.  A machine that
is ahead waits in the middle of whatever it does, machine code included; the waiting is a switch of greenlets, and
the CPU has always stopped by then.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any

import greenlet

from nooks_lab import cards
from nooks_lab.kernel.kernel import FATAL
from nooks_lab.lab import Lab, boot
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.machine.machine import NEVER
from nooks_lab.machine.wire import LATENCY, Loss, Wire

DEVICE, NETMASK = "eth0", "255.255.255.0"
NEAR, FAR = "10.0.0.2", "10.0.0.1"
FAR_MAC = bytes.fromhex("000e0c334466")
"""The far machine's station address."""

LINK_SECONDS = 0.05

_STEP = CPU_HZ // 1000
"""How long a machine that has nothing more to do lives on before it looks whether the other has."""


class DeadMachine(RuntimeError):  # noqa: N818 - an event of the guest
    """A machine of the pair that is asked to do something, and has died before."""


@dataclass
class Side:
    """One machine of a pair.

    Attributes
    ----------
    name : str
        ``near`` or ``far``.
    lab : Lab
    address : str
        Its IP address.
    end : BaseException or None
        What the system died of: a panic, a hang, a triple fault.
    """

    name: str
    lab: Lab
    address: str
    end: BaseException | None = None
    _run: greenlet.greenlet | None = field(default=None, repr=False)
    _waiting: greenlet.greenlet | None = field(default=None, repr=False)
    _busy: bool = field(default=False, repr=False)

    @property
    def alive(self) -> bool:
        """The system has not died."""
        return self.end is None


class Pair:
    """Two booted machines, ``near`` and ``far``.

    Parameters
    ----------
    near, far : Lab
        Each with a network card; they are taken off the stations at the other ends of their wires.
    latency : int
        The wire's, in cycles.
    loss : Loss, optional
        What the wire loses.

    Raises
    ------
    ValueError
        When the cards are of different speeds.
    """

    def __init__(self, near: Lab, far: Lab, latency: int = LATENCY, loss: Loss | None = None) -> None:
        self.near, self.far = Side("near", near, NEAR), Side("far", far, FAR)
        self.sides = (self.near, self.far)
        near_speed, far_speed = near.wire.bits_per_second, far.wire.bits_per_second
        if near_speed != far_speed:
            raise ValueError(
                f"cards for {near_speed:,} and {far_speed:,} bits a second do not fit on one wire"
            )
        self.wire = Wire(_station(near), _station(far), latency, near_speed, loss)
        for lab in (near, far):
            lab.peers.clear()
            lab.wires = dict.fromkeys(list(lab.wires)[:1], self.wire)
        self._coordinator = greenlet.getcurrent()
        for side in self.sides:
            side.lab.machine.at_horizon = partial(self._wait, side)

    def set_up(self, near: str, far: str | None = None) -> None:
        """Load a driver on each side, and bring the interfaces up.

        Parameters
        ----------
        near, far : str
            Extensions; the same on both sides when only one is given.

        Raises
        ------
        UnknownExtension, ModuleError
            When one cannot be loaded.
        """
        for side, extension in zip(self.sides, (near, far or near), strict=True):
            side.lab.insmod(extension)
            side.lab.ifup(DEVICE, side.address, NETMASK)
        self.run(LINK_SECONDS)

    def run(self, seconds: float) -> None:
        """Let simulated time pass on both sides."""
        until = max(side.lab.machine.clock.now for side in self.sides) + int(seconds * CPU_HZ)

        def live(lab: Lab) -> None:
            lab.kernel.run(max(0, until - lab.machine.clock.now))

        self.do(live, live)

    def do(self, near: Callable[[Lab], Any], far: Callable[[Lab], Any]) -> tuple[Any, Any]:
        """Do something on each side at the same simulated time, until both are done.

        A system that dies of it is done; its ``end`` says so, and its result is None.

        Parameters
        ----------
        near, far : callable (lab)
            What to do; usually it starts processes and waits for them.

        Raises
        ------
        DeadMachine
            When both have died before.
        """
        if not any(side.alive for side in self.sides):
            raise DeadMachine("both machines of the pair have died")
        self._coordinator = greenlet.getcurrent()
        results: dict[str, Any] = {}
        for side, body in zip(self.sides, (near, far), strict=True):
            side._busy = side.alive
            side._run = greenlet.greenlet(partial(self._live, side, body, results))
        while runnable := self._runnable():
            self._turn(runnable)
        return results.get("near"), results.get("far")

    def _live(self, side: Side, body: Callable[[Lab], Any], results: dict[str, Any]) -> None:
        """Do one side's work, and live on as long as the other has some."""
        try:
            results[side.name] = body(side.lab)
            side._busy = False
            while any(other._busy for other in self.sides):
                side.lab.kernel.run(_STEP)
        except FATAL as end:
            side.end = end
        finally:
            side._busy = False
            # Until the next time it may be run alone, too.
            side.lab.machine.horizon = NEVER

    def _runnable(self) -> list[Side]:
        return [each for each in self.sides if each.alive and each._run is not None and not each._run.dead]

    def _turn(self, runnable: list[Side]) -> None:
        """Run the side that is behind, up to where the other could be heard."""
        first = min(runnable, key=self._earliest)
        first.lab.machine.horizon = self._bound(runnable)
        goes_on = first._run if first._waiting is None else first._waiting
        first._waiting = None
        assert goes_on is not None
        goes_on.switch()

    def _bound(self, runnable: list[Side]) -> int:
        """Return the cycle before which nothing that anybody sends from now on can arrive."""
        if len(runnable) == 1:
            return NEVER
        return min(map(self._earliest, runnable)) + self.wire.lookahead

    def _earliest(self, side: Side) -> int:
        """Return the earliest cycle at which a side can do anything: a halted CPU waits for its next event."""
        machine = side.lab.machine
        now = machine.clock.now
        if machine.idle_until is None:
            return now
        event = machine.clock.next_event()
        return max(now, machine.idle_until if event is None else min(event, machine.idle_until))

    def _wait(self, side: Side) -> None:
        """A side has reached its horizon; it goes on when the other has caught up."""
        machine = side.lab.machine
        while True:
            runnable = self._runnable()
            if side not in runnable:
                machine.horizon = NEVER
                return
            bound = self._bound(runnable)
            if machine.clock.now < bound:
                machine.horizon = bound
                return
            # Perhaps in the middle of a task, which has a greenlet of its own: that is where it goes on.
            side._waiting = greenlet.getcurrent()
            self._coordinator.switch()

    def close(self) -> None:
        """Give both machines back."""
        for side in self.sides:
            side.lab.close()

    def __enter__(self) -> "Pair":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _station(lab: Lab) -> Any:
    return lab.nic


def boot_pair(
    *,
    nooks: bool | tuple[bool, bool] = False,
    device: str = "e1000",
    far_device: str | None = None,
    latency: int = LATENCY,
    loss: Loss | None = None,
) -> Pair:
    """Switch two PCs on, and join their network cards.

    Parameters
    ----------
    nooks : bool or (bool, bool)
        Whether extensions are isolated, on both sides or on the near and the far one.
    device, far_device : str
        Their cards; the same on both sides when only one is given.
    latency, loss
        Of the wire; see :class:`~nooks_lab.machine.wire.Wire`.

    Raises
    ------
    UnknownCard
        When there is no such card.
    ValueError
        When it is no network card, or the cards are of different speeds.
    """
    isolated = (nooks, nooks) if isinstance(nooks, bool) else nooks
    devices = (device, far_device or device)
    for name in devices:
        if cards.card(name).kind != "network":
            raise ValueError(f"{name} is no network card: it cannot be joined to another by a wire")
    near = boot(nooks=isolated[0], devices=devices[:1])
    try:
        far = boot(nooks=isolated[1], devices=devices[1:], mac=FAR_MAC)
    except BaseException:
        near.close()
        raise
    try:
        return Pair(near, far, latency, loss)
    except ValueError:
        near.close()
        far.close()
        raise
