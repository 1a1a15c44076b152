"""Measure, print tables, and write ``results.json`` beside this file: ``python benchmarks/run.py``."""

import json
import os
import platform
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import deferred_packets
import kernel_call
import native_code
import thousand_recoveries
import unicorn
import whole_machine
import xpc_cost
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Result:
    """One measured number and what it should be."""

    what: str
    value: float
    unit: str
    target: str
    met: bool


def at_most(what: str, value: float, unit: str, limit: float) -> Result:
    return Result(what, round(value, 3), unit, f"<= {limit:g} {unit}", value <= limit)


def at_least(what: str, value: float, limit: float) -> Result:
    return Result(what, round(value, 3), "", f">= {limit:g}", value >= limit)


def measure() -> list[Result]:
    code = native_code.speed(25)
    return [
        Result("driver code, bare Unicorn", round(code.bare, 4), "s", "", True),
        Result("driver code, our machine", round(code.ours, 4), "s", "", True),
        at_least("speed of driver code relative to bare Unicorn", code.relative, 0.9),
        Result("the same with an empty block hook instead", round(code.empty_hook, 3), "", "", True),
        at_most("kernel call C -> Python -> C", kernel_call.microseconds(5), "us", 10),
        at_most("XPC round trip", kernel_call.microseconds(5, nooks=True), "us", 60),
        at_most("boot to a loaded e1000", whole_machine.boot_seconds(7), "s", 0.3),
        at_most("snapshot restore, 16 MiB", whole_machine.restore_milliseconds(51), "ms", 2),
        at_most(
            "growth over 1,000 machines", whole_machine.growth_bytes(1000) / 1000 / 1024, "KiB a machine", 1
        ),
    ]


def machine_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    cpu = models[0] if models else platform.processor()
    return (
        f"{cpu}, {os.cpu_count()} cores, {platform.system()}, "
        f"Python {platform.python_version()}, Unicorn {unicorn.__version__}"
    )


def main() -> None:
    console = Console()
    results = measure()
    table = Table("measured", "median", "target", "met", title=machine_name())
    for result in results:
        met = "" if not result.target else "yes" if result.met else "NO"
        table.add_row(result.what, f"{result.value:g} {result.unit}", result.target, met)
    console.print(table)
    costs = xpc_cost.measure()
    console.print(xpc_cost.show(costs))
    deliveries = deferred_packets.measure()
    console.print(deferred_packets.show(deliveries))
    soak = thousand_recoveries.measure(console=console)
    console.print(thousand_recoveries.show(soak))
    if soak.interrupted:
        sys.exit(130)
    written = {
        "machine": machine_name(),
        "results": [asdict(result) for result in results],
        "xpc_cost": xpc_cost.to_json(costs),
        "deferred_packets": deferred_packets.to_json(deliveries),
        "thousand_recoveries": {
            "seed": thousand_recoveries.SEED,
            "seconds": round(soak.seconds, 1),
            **soak.findings.to_json(),
        },
    }
    Path(__file__).with_name("results.json").write_text(json.dumps(written, indent=2) + "\n")


if __name__ == "__main__":
    main()
