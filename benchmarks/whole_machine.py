"""Boot, snapshot, and what a thousand machines leave behind."""

import resource
import time
from pathlib import Path

import nooks_lab as nl
from nooks_lab.lab import make_machine


def boot_seconds(repeats: int) -> float:
    """Return the time from nothing to a loaded e1000, headers and driver compiled before."""
    times = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        with nl.boot() as lab:
            lab.insmod("e1000")
            times.append(time.perf_counter() - begin)
    # The first one reads the compiled files and the layouts.
    return sorted(times[1:])[repeats // 2]


def restore_milliseconds(repeats: int) -> float:
    """Return the time of going back to a snapshot of 16 MiB."""
    times = []
    with nl.boot() as lab:
        lab.insmod("e1000")
        snapshot = lab.machine.save()
        for _ in range(repeats):
            begin = time.perf_counter()
            lab.machine.load(snapshot)
            times.append(time.perf_counter() - begin)
    return sorted(times)[repeats // 2] * 1e3


def growth_bytes(machines: int) -> int:
    """Return by how much the process grows while machines are made, run and closed.

    Twice as many are made before: for the first 1,500 or so the host's allocator is still growing its own pools.
    """
    for _ in range(2 * machines):
        _use_one()
    before = _resident()
    for _ in range(machines):
        _use_one()
    return _resident() - before


def _use_one() -> None:
    with make_machine() as machine:
        machine.memory.write(0x1000, b"\xb9\x64\0\0\0\x49\x75\xfd\xf4")
        machine.run(0x1000, machine.clock.now + 10_000)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
