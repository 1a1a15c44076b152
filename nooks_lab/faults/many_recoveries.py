"""Recoveries in a row, at random points of the e1000's traffic; after each, what is left behind and what is damaged.

A strike is a wild store: at one of four places of the driver, to an address of one of four kinds, after a random
number of frames.  It is seeded, so that the same seed gives the same strikes on any machine.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import nooks_lab as nl
from nooks_lab.cards import MAC
from nooks_lab.faults import census, idle_extension
from nooks_lab.faults.armed_e1000 import (
    DEVICE,
    PEER,
    arm,
    armed_driver,
    disarm,
    module,
    numbered_frame,
)
from nooks_lab.faults.checksums import kernel_checksums
from nooks_lab.kernel.kernel import Hang, Panic, TaskDied, TripleFault
from nooks_lab.lab import Lab
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.nooks.manager import Nooks
from nooks_lab.nooks.tracking.validate import validate

PLACES = ("interrupt", "transmit", "timer", "open")
TARGETS = ("NULL", "kernel data", "own text", "random")

MOST_FRAMES = 20
"""Frames each way before a strike."""

PROBE_FRAMES = 3
"""Frames each way after a recovery, all of which must arrive."""

_ADDRESS, _NETMASK = "10.0.0.2", "255.255.255.0"
_TICK = CPU_HZ // 100
_PATIENCE = 300
"""Ticks that the driver gets to run into its bug: the watchdog runs every 2 seconds."""


@dataclass(frozen=True)
class Strike:
    """One wild store.

    Attributes
    ----------
    place, target : str
        One of ``PLACES`` and of ``TARGETS``.
    offset : int
        Which word of the target, as far as it has so many.
    frames : int
        Frames sent each way before.
    gap : int
        Cycles between the last of them and the arming.
    """

    place: str
    target: str
    offset: int
    frames: int
    gap: int


def plan(seed: int, number: int) -> Strike:
    """Return a strike of a run, which depends on nothing but the two numbers."""
    dice = random.Random(f"{seed}/{number}")
    return Strike(
        dice.choice(PLACES),
        dice.choice(TARGETS),
        dice.randrange(0, 1 << 32, 4),
        dice.randint(0, MOST_FRAMES),
        dice.randrange(CPU_HZ // 1000),
    )


@dataclass
class Findings:
    """What came of the strikes so far.

    Attributes
    ----------
    recoveries : int
        Those that ended with the driver running again.
    unnoticed : int
        Strikes after which nothing failed: the store hit memory that the driver may write.
    not_recovered, lost_frames : int
        Recoveries that failed, and frames after a recovery that did not arrive.
    by_place, by_target : Counter
        Recoveries by where the store was, and whereto.
    left_behind : dict
        The most that was ever left of each kind after a recovery; all 0 when nothing leaks.
    unequal : int
        Recoveries after which the census was not the one before the first.
    damaged : Counter
        How often the checksum of each part was another than before; empty when nothing was damaged.
    validations : int
        How often the tracker was validated.
    problems : list of str
        What validation found.
    cycles : list of int
        Of each recovery.
    """

    recoveries: int = 0
    unnoticed: int = 0
    not_recovered: int = 0
    lost_frames: int = 0
    frames: int = 0
    by_place: Counter[str] = field(default_factory=Counter)
    by_target: Counter[str] = field(default_factory=Counter)
    left_behind: dict[str, int] = field(default_factory=dict)
    unequal: int = 0
    damaged: Counter[str] = field(default_factory=Counter)
    validations: int = 0
    problems: list[str] = field(default_factory=list)
    cycles: list[int] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Every recovery succeeded, and nothing leaked, was damaged or lost."""
        return not (
            self.not_recovered
            or self.lost_frames
            or any(self.left_behind.values())
            or self.unequal
            or self.damaged
            or self.problems
        )

    def to_json(self) -> dict[str, Any]:
        """Return the findings as plain data."""
        return {
            "recoveries": self.recoveries,
            "unnoticed": self.unnoticed,
            "not_recovered": self.not_recovered,
            "frames": self.frames,
            "lost_frames": self.lost_frames,
            "by_place": dict(self.by_place),
            "by_target": dict(self.by_target),
            "left_behind": dict(self.left_behind),
            "unequal": self.unequal,
            "damaged": dict(self.damaged),
            "validations": self.validations,
            "problems": list(self.problems),
            "median_cycles": sorted(self.cycles)[len(self.cycles) // 2] if self.cycles else 0,
        }


class ManyRecoveries:
    """A system with an armed e1000 under traffic and an idle extension beside it; strike by strike.

    Parameters
    ----------
    seed : int
        Of the strikes.
    validate_every : int
        After how many strikes the tracker is validated.

    Attributes
    ----------
    findings : Findings
    lab : Lab
    """

    def __init__(self, seed: int, validate_every: int = 25) -> None:
        self._seed, self._validate_every = seed, validate_every
        self.findings = Findings()
        self.lab: Lab = nl.boot(nooks=True)
        self.lab.insmod(armed_driver())
        self.lab.ifup(DEVICE, _ADDRESS, _NETMASK)
        self.lab.run(0.05)
        self._idle = idle_extension.load(self.lab)
        self._number = 0
        self._frame = 0
        # The first recovery from each place sets up what stays: page tables of the kernel, wrappers, stacks.
        for place in PLACES:
            self._strike(place, 0)
            self._settle()
        self._probe()
        self.findings = Findings()
        self._census = census.take(self.lab)
        self._checksums = self._take_checksums()

    @property
    def nooks(self) -> Nooks:
        """The isolation manager."""
        assert self.lab.nooks is not None
        return self.lab.nooks

    def run(self, count: int, tick: Callable[[Findings], object] = lambda _: None) -> Findings:
        """Strike until there have been so many recoveries, or the driver or the system is gone for good.

        Parameters
        ----------
        tick : callable (Findings)
            Called after every strike.
        """
        while self.findings.recoveries < count:
            try:
                self.step()
            except (Panic, Hang, TripleFault, TaskDied) as end:
                self.findings.problems.append(f"strike {self._number}: {type(end).__name__}: {end}")
                break
            tick(self.findings)
            if "e1000" not in self.lab.kernel.modules.loaded:
                self.findings.problems.append(f"strike {self._number}: the driver is not loaded any more")
                break
        return self.findings

    def step(self) -> Strike:
        """Make one strike, wait for the recovery, and look at what it has left.

        Raises
        ------
        Panic, Hang, TripleFault, TaskDied
            When the system or a process dies of it.
        """
        strike = plan(self._seed, self._number)
        self._number += 1
        self._traffic(strike.frames)
        self.lab.kernel.run(strike.gap)
        done = len(self.nooks.recoveries)
        self._strike(strike.place, self._address(strike))
        self._settle()
        self._judge(strike, done)
        return strike

    # The strike

    def _address(self, strike: Strike) -> int:
        if strike.target == "NULL":
            return strike.offset % 4096
        if strike.target == "kernel data":
            start, end = self.lab.kernel.image.writable
            return start + strike.offset % (end - start) & ~3
        if strike.target == "own text":
            image = module(self.lab).image
            assert image is not None
            start, end = image.text
            return start + strike.offset % (end - start) & ~3
        return strike.offset

    def _traffic(self, frames: int) -> None:
        for _ in range(frames):
            self._send()

    def _send(self) -> None:
        """Send a frame each way, as far as there is an interface."""
        self._frame += 1
        self.lab.peer.send(numbered_frame(PEER, self._frame))
        if self.lab.kernel.net.by_name(DEVICE) is not None:
            self.lab.kernel.send_frame(DEVICE, numbered_frame(MAC, self._frame))

    def _strike(self, place: str, address: int) -> None:
        """Arm the bug, and let the driver run into it."""
        lab, done = self.lab, len(self.nooks.recoveries)
        arm(lab, place, address)
        if place == "open":
            lab.kernel.ifconfig_down(DEVICE)
            lab.kernel.ifconfig_up(DEVICE)
        elif place != "timer":
            self._send()
        for _ in range(_PATIENCE if place == "timer" else 1):
            lab.kernel.run(_TICK)
            if len(self.nooks.recoveries) > done:
                return
        if not self.nooks.recovery.running and "e1000" in lab.kernel.modules.loaded:
            disarm(lab)

    def _settle(self) -> None:
        """Let the recovery end, the link come up, and what is under way arrive."""
        for _ in range(_PATIENCE):
            self.lab.kernel.run(_TICK)
            if not self.nooks.recovery.running:
                break
        self.lab.kernel.run(4 * _TICK)

    # The judgement

    def _judge(self, strike: Strike, done: int) -> None:
        findings, new = self.findings, self.nooks.recoveries[done:]
        for recovery in new:
            findings.cycles.append(recovery.cycles)
            if not recovery.ok or recovery.leaked:
                findings.not_recovered += 1
                continue
            findings.recoveries += 1
            findings.by_place[strike.place] += 1
            findings.by_target[strike.target] += 1
        findings.unnoticed += not new
        self._probe()
        now = census.take(self.lab)
        for kind, more in now.more_than(self._census).items():
            findings.left_behind[kind] = max(findings.left_behind.get(kind, 0), more, key=abs)
        findings.unequal += now != self._census
        for part, checksum in self._take_checksums().items():
            if checksum != self._checksums[part]:
                findings.damaged[part] += 1
        if self._number % self._validate_every == 0:
            findings.validations += 1
            findings.problems += validate(self.nooks)

    def _probe(self) -> None:
        """Send a few frames each way; all must arrive."""
        arrived: list[bytes] = []
        sent: set[bytes] = set()
        self.lab.peer.received.clear()
        with self.lab.kernel.tap(lambda _device, frame: arrived.append(frame)):
            for _ in range(PROBE_FRAMES):
                self._send()
                sent |= {numbered_frame(PEER, self._frame), numbered_frame(MAC, self._frame)}
            self.lab.kernel.run(2 * _TICK)
        received = {frame for _, frame in self.lab.peer.received} | {
            frame for frame in arrived if frame[6:12] == PEER
        }
        self.findings.frames += len(sent)
        self.findings.lost_frames += len(sent - received)

    def _take_checksums(self) -> dict[str, int]:
        return kernel_checksums(self.lab) | idle_extension.checksums(self.lab, self._idle)

    def close(self) -> None:
        """Give the machine back."""
        self.lab.close()

    def __enter__(self) -> "ManyRecoveries":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
