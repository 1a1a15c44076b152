"""A bug is brought out, natively or under Nooks, and what comes of it is looked at from outside."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.campaign.outcome import Outcome
from nooks_lab.faults import census
from nooks_lab.faults.bugs.library import Bug, faulty_driver
from nooks_lab.faults.bugs.scene import Scene
from nooks_lab.faults.bugs.services import service
from nooks_lab.faults.bugs.situations import situation
from nooks_lab.faults.checksums import kernel_checksums
from nooks_lab.kernel.bug import KernelBug
from nooks_lab.kernel.kernel import FATAL, Hang, Panic, TaskDied, TripleFault
from nooks_lab.kernel.module import Module, ModuleError
from nooks_lab.lab import Lab
from nooks_lab.machine.exceptions import NAMES
from nooks_lab.machine.paging import PageFault
from nooks_lab.nooks.recovery.record import Recovery

REST = 0.3
"""Simulated seconds for a recovery to come to its end."""

_FATAL_WORDS = {Panic: "Kernel panic", Hang: "hang", TripleFault: "triple fault"}


@dataclass(frozen=True)
class Provoked:
    """What came of a bug.

    Attributes
    ----------
    bug : str
        Its id.
    nooks : bool
        Under Nooks, or natively.
    outcome : Outcome
    reason : str
        What decided it; empty when there is nothing to say.
    detection : str
        What found the failure under Nooks: ``exception``, ``parameter check``, ``livelock``; empty when nothing did.
    triggers : tuple of str
        What set off each recovery, in Nooks' words.
    leaked : dict
        Kind of object to how many more there are at the end than before.
    failed, wrong, killed : tuple of str
        See :class:`~nooks_lab.faults.bugs.scene.Scene`.
    damaged : tuple of str
        Parts of the kernel that no driver may change, and that are changed.
    object_sha256 : str
        Of the faulty extension's object.
    """

    bug: str
    nooks: bool
    outcome: Outcome
    reason: str
    detection: str
    triggers: tuple[str, ...]
    leaked: dict[str, int]
    failed: tuple[str, ...]
    wrong: tuple[str, ...]
    killed: tuple[str, ...]
    damaged: tuple[str, ...]
    object_sha256: str

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def provoke(bug: Bug, *, nooks: bool) -> Provoked:
    """Boot a system, put the faulty extension into service, and bring its bug out.

    The good driver is in service first, so that memory has been used before.

    Raises
    ------
    LookupError
        When nobody has said what brings this bug out.
    """
    what = situation(bug.id)
    driver, served = faulty_driver(bug), service(bug.extension)
    with nl.boot(nooks=nooks, devices=served.devices) as lab:
        scene = Scene(lab, served, extensions.extension(bug.extension))
        scene.load()
        served.use(scene)
        scene.unload()
        if scene.notes:
            raise RuntimeError(f"the good {bug.extension} fails: {scene.notes[0]}")
        scene.driver, scene.parameters = driver, what.parameters
        return _judge(bug, scene, _play(scene, what.act))


@dataclass
class _Play:
    """What is known when the curtain falls.

    Attributes
    ----------
    ended : str
        What the whole system died of.
    served : bool
        After the act the service was used, and all came out right.
    """

    ended: str = ""
    served: bool = False
    leaked: dict[str, int] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()


def _play(scene: Scene, act: Callable[[Scene], None]) -> _Play:
    """Load the driver, have it work, bring the bug out, have it work again."""
    lab, play = scene.lab, _Play()
    try:
        scene.load()
        scene.service.use(scene)
        lab.run(REST)
        module = lab.kernel.modules.loaded.get(scene.name)
        before, checksums = census.take(lab), _checksums(scene, module)
        act(scene)
        lab.run(REST)
        noted = scene.notes
        scene.service.resume(scene)
        scene.service.use(scene)
        play.served = scene.notes == noted
        lab.run(REST)
        if not scene.killed and not _oops(lab):
            after = _checksums(scene, module)
            play.damaged = tuple(part for part in after if checksums.get(part, after[part]) != after[part])
        more = census.take(lab).more_than(before)
        play.leaked = {kind: number for kind, number in more.items() if number > 0}
    except FATAL as end:
        play.ended = f"{_FATAL_WORDS[type(end)]}: {end}"
    except (PageFault, KernelBug) as met:
        # The census itself has gone astray: the kernel's own lists are not what they were.
        play.damaged += (f"the kernel's lists ({met})",)
    except TaskDied as death:
        scene.killed.append(str(death))
    except ModuleError as error:
        scene.failed.append(str(error))
    return play


def _checksums(scene: Scene, first: Module | None = None) -> dict[str, int]:
    """Return checksums of what nobody may change: parts of the kernel, and the text of a module as first loaded."""
    lab, name = scene.lab, scene.name
    module = lab.kernel.modules.loaded.get(name)
    sums = kernel_checksums(lab)
    if module is not None and module is first and module.image is not None:
        start, end = module.image.text
        text = lab.kernel.memory.read(start, end - start)
        sums[f"text of {name}"] = zlib.crc32(text)
    return sums


def _judge(bug: Bug, scene: Scene, play: _Play) -> Provoked:
    nooks = scene.lab.nooks
    recoveries = nooks.recoveries if nooks else []
    triggers = tuple(recovery.trigger for recovery in recoveries)
    if play.ended:
        outcome, reason = Outcome.CRASH, play.ended
    elif recoveries:
        outcome, reason = _recovered(recoveries, play)
    else:
        outcome, reason = _unnoticed(scene, play)
    return Provoked(
        bug.id,
        nooks is not None,
        outcome,
        reason,
        _detection(triggers[0]) if triggers else "",
        triggers,
        play.leaked,
        tuple(scene.failed),
        tuple(scene.wrong),
        tuple(scene.killed),
        play.damaged,
        scene.driver.sha256,
    )


def _recovered(recoveries: Sequence[Recovery], play: _Play) -> tuple[Outcome, str]:
    """Return the outcome of a system in which Nooks has recovered, or tried to."""
    if any(not recovery.ok for recovery in recoveries):
        return Outcome.RECOVERY_FAILED, f"{recoveries[0].trigger}; the extension did not come back"
    tracked = sum(recovery.leaked for recovery in recoveries)
    if tracked or play.leaked:
        return Outcome.RECOVERY_FAILED, f"{recoveries[0].trigger}; leaked: {_counted(play.leaked, tracked)}"
    if play.damaged:
        return Outcome.RECOVERY_FAILED, f"{recoveries[0].trigger}; damaged: {', '.join(play.damaged)}"
    if not play.served:
        return Outcome.RECOVERY_FAILED, f"{recoveries[0].trigger}; the service does not work"
    return Outcome.RECOVERED, recoveries[0].trigger


def _unnoticed(scene: Scene, play: _Play) -> tuple[Outcome, str]:
    """Return the outcome of a system that lives, and in which nobody has recovered anything."""
    oops = _oops(scene.lab)
    if scene.killed or oops:
        return Outcome.PROCESS_KILLED, oops or scene.killed[0]
    if scene.failed:
        return Outcome.FAILURE, scene.failed[0]
    if scene.wrong or play.damaged:
        return Outcome.SILENT_CORRUPTION, (*scene.wrong, *(f"{part} is damaged" for part in play.damaged))[0]
    return Outcome.NO_EFFECT, f"leaked: {_counted(play.leaked)}" if play.leaked else ""


def _counted(leaked: dict[str, int], tracked: int = 0) -> str:
    objects = leaked | ({"objects of the failed domain": tracked} if tracked else {})
    return ", ".join(f"{number} {kind}" for kind, number in objects.items())


def _oops(lab: Lab) -> str:
    """Return what the log says of the first oops; empty when there was none."""
    lines = lab.dmesg().splitlines()
    for number, line in enumerate(lines):
        if "kernel BUG" in line:
            return line
        if "EIP is at" in line:
            what = next((each for each in reversed(lines[:number]) if each.startswith("Unable")), "an oops")
            return f"{what}; {line}"
    return ""


def _detection(trigger: str) -> str:
    """Name what found a failure: the CPU by an exception, Nooks by a check of a parameter or by a time-out."""
    first = trigger.split(":")[0]
    if first == "livelock":
        return "livelock"
    return "exception" if first in NAMES.values() else "parameter check"
