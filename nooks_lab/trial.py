"""A user's own driver on the simulated PC: compiled, loaded, put to work; and what came of it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nooks_lab as nl
from nooks_lab import cards, extensions
from nooks_lab.lab import read_object_file
from nooks_lab.nooks.log_only import DirectStore
from nooks_lab.nooks.recovery.policy import Policy
from nooks_lab.replay import DEVICE, SYSTEM_ENDS, Replay, end_of, read_capture, replay
from nooks_lab.toolchain.elf import ObjectFile


@dataclass(frozen=True)
class Trial:
    """What came of a driver.

    Attributes
    ----------
    outcome : str
        As :class:`~nooks_lab.replay.Replay` has it, or ``no device`` when the driver registered none.
    end : str
        What the system said when it died; empty when it lived.
    traffic : Replay or None
        The workload; None when the driver did not get that far.
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

    @property
    def workload_ok(self) -> bool:
        """Whether every packet arrived and nothing failed."""
        return self.outcome == "ok" and self.traffic is not None and self.traffic.lost == 0

    def to_json(self) -> dict[str, Any]:
        """Return the trial as plain data."""
        result: dict[str, Any] = {"outcome": self.outcome, "end": self.end}
        if self.traffic is not None:
            result |= {"packets_sent": self.traffic.sent, "packets_lost": self.traffic.lost}
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
    """Load a driver into a fresh system and replay the device's traffic through it.

    Parameters
    ----------
    log_only : bool
        With Nooks: let its direct stores to kernel data through, and list them.
    policy : Policy, optional
        What recovery does; it needs Nooks.

    Raises
    ------
    UnknownCard
        When there is no such device.
    ModuleError, ElfError
        When the kernel refuses to load the driver.
    PolicyError
        When there is a policy without Nooks.
    """
    cards.card(device)
    frames = read_capture()
    with nl.boot(nooks=nooks, log_only=log_only, policy=policy, devices=(device,)) as lab:
        before = lab.dmesg()
        outcome, end = "", ""
        traffic = None
        try:
            lab.insmod(obj)
        except SYSTEM_ENDS as event:
            outcome, end = end_of(event)
        if not outcome and lab.kernel.net.by_name(DEVICE) is None:
            outcome, end = "no device", f"the driver registered no network device {DEVICE}"
        if not outcome:
            traffic = replay(lab, frames)
            outcome, end = traffic.outcome, traffic.end
        messages = lab.dmesg().removeprefix(before).splitlines()
        messages += [recovery.trigger for recovery in lab.nooks.recoveries] if lab.nooks else []
        stores = tuple(lab.nooks.stores) if lab.nooks and log_only else None
        return Trial(obj.name, device, obj.sha256, nooks, outcome, end, traffic, tuple(messages), stores)
