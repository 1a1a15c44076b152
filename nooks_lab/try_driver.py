"""A user's own driver on the simulated PC: compiled, loaded, put to work; and what came of it.

A network driver gets recorded traffic (:mod:`~nooks_lab.replay`); any other extension takes the place of the course's
own for the same device, and gets that one's workload.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nooks_lab as nl
from nooks_lab import cards, extensions
from nooks_lab.kernel import errno
from nooks_lab.kernel.module import InitFailed
from nooks_lab.lab import Lab, read_object_file
from nooks_lab.nooks.log_only import DirectStore
from nooks_lab.nooks.recovery.policy import Policy
from nooks_lab.replay import DEVICE, SYSTEM_ENDS, Replay, end_of, read_capture, replay, survived
from nooks_lab.toolchain.elf import ObjectFile
from nooks_lab.workloads import registry
from nooks_lab.workloads.workload import Workload, WorkloadResult


@dataclass(frozen=True)
class Trial:
    """What came of a driver.

    Attributes
    ----------
    outcome : str
        As :class:`~nooks_lab.replay.Replay` has it; or ``init failed`` when its init returned an error, ``no device``
        when it registered none, ``wrong`` when its workload did not come out right.
    end : str
        What the system said when it died, or why it did not get that far; empty otherwise.
    traffic : Replay or None
        What came of the traffic; None when the driver did not get that far, or is no network driver.
    result : WorkloadResult or None
        What came of the workload of another extension.
    messages : tuple of str
        The kernel log since the driver was loaded, and what set off each recovery.
    stores : tuple of DirectStore, or None
        Its direct stores to kernel data; None when they were not logged.
    """

    name: str
    device: str
    object_sha256: str
    nooks: bool
    outcome: str
    end: str
    traffic: Replay | None
    messages: tuple[str, ...]
    stores: tuple[DirectStore, ...] | None = None
    result: WorkloadResult | None = None

    @property
    def workload_ok(self) -> bool:
        """Whether every packet arrived, or every other thing came out right, and nothing failed."""
        done = self.traffic.lost == 0 if self.traffic else self.result is not None and self.result.ok
        return self.outcome == "ok" and done

    def to_json(self) -> dict[str, Any]:
        """Return the trial as plain data."""
        result: dict[str, Any] = {"outcome": self.outcome, "end": self.end}
        if self.traffic is not None:
            result |= {"packets_sent": self.traffic.sent, "packets_lost": self.traffic.lost}
        if self.result is not None:
            result |= {"digest": self.result.digest, "counts": self.result.counts}
            result |= {"wrong": list(self.result.wrong)}
        trial = {
            "file": self.name,
            "device": self.device,
            "object_sha256": self.object_sha256,
            "nooks" if self.nooks else "native": result,
            "workload_ok": self.workload_ok,
            "messages": list(self.messages),
        }
        if self.stores is not None:
            trial["stores"] = [asdict(store) for store in self.stores]
        return trial


def read_driver(path: Path) -> ObjectFile:
    """Compile a C file, or read an object file.

    Raises
    ------
    CompileError, ElfError
        When it cannot be used.
    """
    return read_object_file(path) if path.suffix == ".o" else extensions.build(path)


def try_driver(
    obj: ObjectFile, device: str, *, nooks: bool, log_only: bool = False, policy: Policy | None = None
) -> Trial:
    """Load a driver into a fresh system and put it to work.

    Parameters
    ----------
    device : str
        A card, or an extension that drives none (a service): what it stands in for.
    log_only : bool
        With Nooks: let its direct stores to kernel data through, and list them.
    policy : Policy, optional
        What recovery does; it needs Nooks.

    Raises
    ------
    UnknownCard
        When there is no such device, or nothing to do for it.
    ModuleError, ElfError
        When the kernel refuses to load the driver.
    PolicyError
        When there is a policy without Nooks.
    """
    work = _work(obj, device)
    with nl.boot(nooks=nooks, log_only=log_only, policy=policy, devices=work.devices) as lab:
        before = lab.dmesg()
        outcome = work.do(lab)
        messages = lab.dmesg().removeprefix(before).splitlines()
        messages += [recovery.trigger for recovery in lab.nooks.recoveries] if lab.nooks else []
        stores = tuple(lab.nooks.stores) if lab.nooks and log_only else None
        return Trial(
            obj.name,
            device,
            obj.sha256,
            nooks,
            outcome.outcome,
            outcome.end,
            outcome.traffic,
            tuple(messages),
            stores,
            outcome.result,
        )


@dataclass
class _Outcome:
    outcome: str
    end: str = ""
    traffic: Replay | None = None
    result: WorkloadResult | None = None


class _Traffic:
    """What a network driver is put to."""

    def __init__(self, obj: ObjectFile, device: str) -> None:
        self._obj, self._frames = obj, read_capture()
        self.devices: tuple[str, ...] = (device,)

    def do(self, lab: Lab) -> _Outcome:
        failed = _guarded(lambda: lab.insmod(self._obj))
        if failed is not None:
            return failed
        if lab.kernel.net.by_name(DEVICE) is None:
            return _Outcome("no device", f"the driver registered no network device {DEVICE}")
        traffic = replay(lab, self._frames)
        return _Outcome(traffic.outcome, traffic.end, traffic)


class _Place:
    """What the extension is put to whose place a driver takes."""

    def __init__(self, obj: ObjectFile, extension: str) -> None:
        self._obj, self._extension = obj, extension
        self._workload: Workload = registry.brief_workload(extension)
        self.devices = self._workload.devices

    def do(self, lab: Lab) -> _Outcome:
        lab.substitutes[self._extension] = self._obj
        failed = _guarded(lambda: self._workload.set_up(lab))
        if failed is not None:
            return failed
        result: list[WorkloadResult] = []
        failed = _guarded(lambda: result.append(self._workload.run(lab)))
        if failed is not None:
            return failed
        recoveries = [recovery.ok for recovery in lab.nooks.recoveries] if lab.nooks else []
        killed = sum("was killed by" in sentence for sentence in result[0].wrong)
        outcome = survived(killed, recoveries)
        if outcome == "ok" and not result[0].ok:
            outcome = "wrong"
        return _Outcome(outcome, "", None, result[0])


def _guarded(body: Any) -> _Outcome | None:
    """Do something of the user's driver; returns how it ended, or None when it did not."""
    try:
        body()
    except SYSTEM_ENDS as event:
        return _Outcome(*end_of(event))
    except InitFailed as failure:
        return _Outcome("init failed", f"{failure} ({_error_name(failure.error)})")
    except (LookupError, OSError) as missing:
        return _Outcome("no device", str(missing))
    return None


def _error_name(number: int) -> str:
    names = {value: name for name, value in vars(errno).items() if name.startswith("E")}
    return names.get(number, "no error number that the kernel knows")


def _work(obj: ObjectFile, device: str) -> _Traffic | _Place:
    """Choose what to do by the kind of device."""
    if device in cards.CARDS:
        if cards.CARDS[device].kind == "network":
            return _Traffic(obj, device)
        for extension in registry.names():
            if registry.brief_workload(extension).devices[:1] == (device,):
                return _Place(obj, extension)
        raise cards.UnknownCard(f"there is no workload for the device {device!r}")
    services = [name for name in registry.names() if name not in cards.CARD_OF]
    if device in services:
        return _Place(obj, device)
    raise cards.UnknownCard(f"unknown device {device!r}; there are: {', '.join([*cards.CARDS, *services])}")
