"""The main job in one run: the same faulty driver natively and under Nooks, side by side."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.faults.wild_store import wild_store
from nooks_lab.lab import Lab
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.nooks.recovery.policy import Policy
from nooks_lab.replay import Frame, Replay, read_capture, replay
from nooks_lab.toolchain.elf import ObjectFile

FAULTY = "e1000"
"""The extension that has a faulty version."""

SEEDS = 1 << 32

_LOG_LINES = 14


class DemoError(ValueError):
    """A demo that cannot be given; one sentence for the user."""


@dataclass(frozen=True)
class RecoverySummary:
    """One recovery: what set it off and what each phase took, in cycles."""

    trigger: str
    ok: bool
    phases: tuple[tuple[str, int], ...]
    leaked: int

    @property
    def cycles(self) -> int:
        """Cycles of all phases."""
        return sum(cycles for _, cycles in self.phases)


@dataclass(frozen=True)
class Side:
    """What one of the two systems did with the faulty driver.

    Attributes
    ----------
    replay : Replay
        The traffic, and how it ended.
    said : str
        What the kernel logged from the start of the traffic on.
    recoveries : tuple of RecoverySummary
    xpcs : int
        Calls across a protection domain's border, both ways.
    """

    replay: Replay
    said: str
    recoveries: tuple[RecoverySummary, ...] = ()
    xpcs: int = 0

    @property
    def leaked(self) -> int:
        """Kernel objects that no recovery gave back."""
        return sum(recovery.leaked for recovery in self.recoveries)


@dataclass(frozen=True)
class Demo:
    """Both sides, and the hash of the object file that both loaded."""

    extension: str
    seed: int
    object_sha256: str
    native: Side
    nooks: Side

    def to_json(self) -> dict[str, Any]:
        """Return the demo as plain data; two runs with one seed give the same."""
        phases = [
            {"phase": name, "cycles": cycles}
            for recovery in self.nooks.recoveries
            for name, cycles in recovery.phases
        ]
        recovered = {"xpcs": self.nooks.xpcs, "leaked": self.nooks.leaked, "phases": phases}
        recovered["trigger"] = self.nooks.recoveries[0].trigger if self.nooks.recoveries else ""
        recovered["packets_after_recovery"] = self.nooks.replay.arrived_after
        return {
            "extension": self.extension,
            "seed": self.seed,
            "object_sha256": self.object_sha256,
            "native": _traffic(self.native.replay) | {"panic": self.native.replay.end},
            "nooks": _traffic(self.nooks.replay) | recovered,
        }


def _traffic(traffic: Replay) -> dict[str, Any]:
    return {"outcome": traffic.outcome, "packets_sent": traffic.sent, "packets_lost": traffic.lost}


def demo(
    extension: str,
    seed: int,
    look: Callable[[Lab], None] | None = None,
    policy: Policy | None = None,
) -> Demo:
    """Load one faulty object into a native system and into one with Nooks, and replay the recorded traffic.

    Parameters
    ----------
    extension : str
        Whose faulty version; ``e1000``.
    seed : int
        Chooses the bug.
    look : callable (lab), optional
        Is shown the system with Nooks after the traffic, before it is switched off.
    policy : Policy, optional
        What recovery does there.

    Raises
    ------
    UnknownExtension, DemoError
        When there is no such extension, no faulty version of it, or no such seed.
    """
    extensions.source(extension)
    if extension != FAULTY:
        raise DemoError(f"there is no faulty version of {extension}; there is one of {FAULTY}")
    if not 0 <= seed < SEEDS:
        raise DemoError(f"the seed {seed} is not between 0 and {SEEDS - 1}")
    obj, frames = wild_store(seed), read_capture()
    with nl.boot() as lab:
        native = _run(lab, obj, frames, None)
    with nl.boot(nooks=True, policy=policy) as lab:
        nooks = _run(lab, obj, frames, look)
    return Demo(extension, seed, obj.sha256, native, nooks)


def _run(lab: Lab, obj: ObjectFile, frames: tuple[Frame, ...], look: Callable[[Lab], None] | None) -> Side:
    lab.insmod(obj)
    before = lab.dmesg()
    traffic = replay(lab, frames)
    if look is not None:
        look(lab)
    said = lab.dmesg().removeprefix(before)
    if lab.nooks is None:
        return Side(traffic, said)
    recoveries = tuple(
        RecoverySummary(recovery.trigger, recovery.ok, tuple(recovery.phases), recovery.leaked)
        for recovery in lab.nooks.recoveries
    )
    return Side(traffic, said, recoveries, lab.nooks.xpc.total)


def show(demo: Demo) -> RenderableType:
    """Return the demo as it is printed in a terminal."""
    native, nooks = demo.native, demo.nooks
    head = Text.assemble(
        ("One object file, loaded twice: ", "bold"), f"{demo.extension} with bug number {demo.seed}\n"
    )
    head.append(f"SHA-256 {demo.object_sha256}")
    table = Table(title="The recorded traffic through both systems", title_justify="left")
    table.add_column("")
    table.add_column("native", justify="right")
    table.add_column("Nooks", justify="right")
    rows = (
        ("outcome", native.replay.outcome, nooks.replay.outcome),
        ("packets sent", native.replay.sent, nooks.replay.sent),
        ("packets lost", native.replay.lost, nooks.replay.lost),
        ("arrived after the recovery", "-", nooks.replay.arrived_after if nooks.recoveries else "-"),
        ("cross-domain calls (XPC)", "-", nooks.xpcs),
        ("kernel objects leaked", "-", nooks.leaked),
    )
    for name, left, right in rows:
        table.add_row(name, str(left), str(right))
    return Group(head, _native_panel(native), _nooks_panel(nooks), table)


def _native_panel(side: Side) -> Panel:
    lines = side.said.strip().splitlines()
    kept = lines if len(lines) <= _LOG_LINES else [*lines[: _LOG_LINES - 3], "[...]", *lines[-2:]]
    return Panel(Text("\n".join(kept) or "nothing"), title="native: the kernel's last words", expand=False)


def _nooks_panel(side: Side) -> Panel:
    text = Text()
    for recovery in side.recoveries:
        text.append(f"{recovery.trigger}\n")
        for name, cycles in recovery.phases:
            text.append(f"  {name:<40} {cycles:>12,} cycles\n")
        text.append(f"  {'all of the recovery':<40} {recovery.cycles:>12,} cycles\n")
        text.append(f"  which is {recovery.cycles / CPU_HZ * 1000:.2f} ms at {CPU_HZ / 1e9:.1f} GHz; ")
        text.append("the extension runs again\n" if recovery.ok else "the extension did not come back\n")
    text.rstrip()
    return Panel(
        text or Text("no fault was noticed"), title="Nooks: the same fault, the recovery", expand=False
    )
