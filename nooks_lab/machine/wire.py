"""A wire between two stations, on one clock or on two that are kept in step."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from nooks_lab.machine.clock import CPU_HZ, Clock
from nooks_lab.machine.ethernet import GIGABIT, SHORTEST_FRAME, arrival_cycles

LATENCY = CPU_HZ // 1_000_000
"""One microsecond: a cable of 200 metres."""


class Station(Protocol):
    """Something with a network connector: a controller or a scripted peer."""

    name: str
    clock: Clock

    def connect(self, end: "WireEnd") -> None:
        """Take one end of a wire."""

    def receive(self, frame: bytes) -> None:
        """Take a frame whose last bit has just arrived."""


class Runner(Protocol):
    """A machine, or anything else with a clock of its own, that can be run up to a cycle."""

    @property
    def now(self) -> int:
        """Cycles since power-on."""

    def run_until(self, cycle: int) -> None:
        """Run until ``now`` is at least ``cycle``."""


@dataclass(frozen=True)
class Loss:
    """Frames that a bad wire loses, by seed.

    Whether a frame is lost depends on the seed, its sender and the cycle it leaves at, and on nothing before:
    so a snapshot has nothing to keep.

    Parameters
    ----------
    seed : int
    share : float
        Of all frames, from 0 to 1.

    Raises
    ------
    ValueError
        When the share is none.
    """

    seed: int
    share: float

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"a wire cannot lose {self.share} of its frames")

    def takes(self, sender: str, departs: int) -> bool:
        """Tell whether the frame that leaves a station at a cycle is lost."""
        return random.Random(f"{self.seed}/{sender}/{departs}").random() < self.share


class WireEnd:
    """One end of a wire, held by the station ``near``; what it sends arrives at ``far``, or is lost."""

    def __init__(
        self,
        near: Station,
        far: Station,
        latency: int,
        bits_per_second: int = GIGABIT,
        loss: Loss | None = None,
        label: str = "",
    ) -> None:
        self.near, self.far, self.latency = near, far, latency
        self.bits_per_second, self.loss = bits_per_second, loss
        self._label = label

    def send(self, frame: bytes, departs: int | None = None) -> None:
        """Put a frame on the line.

        The frame waits in the queue of the far station's clock, so that a snapshot of that clock keeps it.
        The sender sees to it that its frames do not overlap (:func:`~.ethernet.line_cycles`).

        Parameters
        ----------
        frame : bytes
            The frame without preamble and check sequence.
        departs : int, optional
            Cycle at which the first bit leaves; now, when it is not given.
        """
        first_bit = self.near.clock.now if departs is None else departs
        if self.loss is not None and self.loss.takes(self._label, first_bit):
            return
        arrives = first_bit + arrival_cycles(len(frame), self.bits_per_second) + self.latency
        self.far.clock.at(arrives, self.far.name, "receive", frame)


class Wire:
    """A full-duplex link; making it plugs it into both stations.

    Parameters
    ----------
    first, second : Station
        The stations at its ends.
    latency : int
        Propagation time in CPU cycles; positive.
    bits_per_second : int
        The speed that the stations at its ends have agreed on.
    loss : Loss, optional
        What it loses, in both directions; a good wire loses nothing.
    """

    def __init__(
        self,
        first: Station,
        second: Station,
        latency: int = LATENCY,
        bits_per_second: int = GIGABIT,
        loss: Loss | None = None,
    ) -> None:
        if latency <= 0:
            raise ValueError(f"the wire's latency {latency} is not a positive number of cycles")
        self.latency = latency
        self.bits_per_second = bits_per_second
        first.connect(WireEnd(first, second, latency, bits_per_second, loss, "first"))
        second.connect(WireEnd(second, first, latency, bits_per_second, loss, "second"))

    @property
    def lookahead(self) -> int:
        """Cycles for which nothing that one station starts to send can reach the other."""
        return self.latency + arrival_cycles(SHORTEST_FRAME, self.bits_per_second)


def run_joined(runners: Sequence[Runner], until: int, lookahead: int) -> None:
    """Run machines joined by wires until all their clocks have reached ``until``.

    None runs further ahead of the slowest than ``lookahead``, so no frame arrives in anybody's past.

    Parameters
    ----------
    runners : sequence of Runner
        The machines; each round runs them in this order.
    until : int
        Cycle at which to stop.
    lookahead : int
        The smallest :attr:`Wire.lookahead` among their wires, in cycles.

    Raises
    ------
    RuntimeError
        When a machine's clock does not reach the cycle it was run to.
    """
    while (slowest := min(runner.now for runner in runners)) < until:
        horizon = min(slowest + lookahead, until)
        for position, runner in enumerate(runners):
            if runner.now < horizon:
                runner.run_until(horizon)
                if runner.now < horizon:
                    raise RuntimeError(
                        f"joined machine {position} stopped at cycle {runner.now} of {horizon}"
                    )
