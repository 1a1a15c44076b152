"""The whole PC: made, run, saved, restored, closed."""

import ctypes
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, cast

from nooks_lab.machine import exceptions
from nooks_lab.machine.bus import Bus
from nooks_lab.machine.clock import CPU_HZ, Clock
from nooks_lab.machine.cpu import EFLAGS_IF, Cpu, Stop
from nooks_lab.machine.devices.device import PciDevice
from nooks_lab.machine.devices.isa import IsaDevice
from nooks_lab.machine.dma import DmaController
from nooks_lab.machine.interrupts import (
    MASTER_COMMAND,
    MASTER_DATA,
    SLAVE_COMMAND,
    SLAVE_DATA,
    InterruptController,
)
from nooks_lab.machine.linear import LinearMemory
from nooks_lab.machine.memory import PAGE_SHIFT, PhysicalMemory
from nooks_lab.machine.paging import PageWalker, Walker
from nooks_lab.machine.pci import CONFIG_ADDRESS, CONFIG_DATA, PciBus
from nooks_lab.machine.timer import IntervalTimer
from nooks_lab.machine.tlb import Tlb

RAM_SIZE = 16 << 20
NEVER = 1 << 63
"""A cycle that no machine reaches."""

BLOCK_CLOCK_SOURCE = Path(__file__).with_name("block_clock.c")
TLB_SOURCE = Path(__file__).with_name("tlb.c")


class Part(Protocol):
    """What a part of the machine offers to snapshots."""

    def save(self) -> Any:
        """Return the state as plain data."""

    def load(self, state: Any) -> None:
        """Take the state back."""


@dataclass(frozen=True)
class Snapshot:
    """Everything that the machine's future depends on."""

    ram: bytes
    cpu: Any
    clock: Any
    parts: dict[str, Any]


class Machine:
    """A PC with one CPU, 16 MiB of RAM, an 8259 pair, an 8237 pair, an interval timer, a PCI bus and ISA.

    Parameters
    ----------
    block_clock, tlb : Path
        Shared libraries compiled from ``BLOCK_CLOCK_SOURCE`` and ``TLB_SOURCE`` for this host.
    walker : Walker, optional
        The page walk; the built-in one when not given.
    ram_size : int
        Bytes of RAM.

    Attributes
    ----------
    idle_cycles : int
        Cycles that the CPU has spent halted.
    horizon : int
        The cycle at which the machine calls ``at_horizon``, which must move it: where a joined machine has to
        wait for the others.
    idle_until : int or None
        While ``at_horizon`` runs: the cycle up to which the CPU stays halted if no device does anything; None
        when it is not halted.
    """

    def __init__(
        self, block_clock: Path, tlb: Path, walker: Walker | None = None, ram_size: int = RAM_SIZE
    ) -> None:
        self.memory = PhysicalMemory(ram_size)
        self.clock = Clock()
        self.bus = Bus(self.memory, self.clock)
        self.pic = InterruptController(self.clock.set_intr)
        self.pci = PciBus()
        self.dma = DmaController(self.bus)
        self.timer = IntervalTimer(self.clock, self.pic)
        self.tlb = Tlb(self.memory, self.clock, walker or PageWalker(), tlb)
        self.cpu = Cpu(self.memory, self.clock, self.bus, self.tlb, block_clock)
        self.linear = LinearMemory(self.memory, self.tlb, self.bus)
        self.bus.add_ports(self.pic, MASTER_COMMAND, MASTER_DATA, SLAVE_COMMAND, SLAVE_DATA)
        self.bus.add_ports(self.pci, *range(CONFIG_ADDRESS, CONFIG_ADDRESS + 4))
        self.bus.add_ports(self.pci, *range(CONFIG_DATA, CONFIG_DATA + 4))
        for part in (self.pic, self.pci, self.dma, self.timer, self.bus):
            self.clock.parts[part.name] = part
        self.idle_cycles = 0
        self.horizon = NEVER
        self.at_horizon: Callable[[], None] = self._no_horizon
        self.idle_until: int | None = None
        self.exceptions_delivered: dict[int, int] = {}
        self.interrupts_delivered: dict[int, int] = {}

    def plug(self, device: PciDevice | IsaDevice) -> None:
        """Put a device into the machine, on the bus that it is made for."""
        if isinstance(device, IsaDevice):
            device.plug(self.bus, self.clock, self.pic, self.dma)
        else:
            device.plug(self.bus, self.clock, self.pic, self.pci)

    def run(self, eip: int, budget_end: int) -> Stop:
        """Run from ``eip``, delivering interrupts and exceptions, until ``hlt`` or the end of the budget.

        Parameters
        ----------
        eip : int
            Linear address to go on from.
        budget_end : int
            Cycle at which to stop with ``Stop.DEADLINE``.

        Raises
        ------
        TripleFault
            When an exception can be delivered neither to its handler nor as a double fault.
        """
        cpu, clock, block = self.cpu, self.clock, self.clock.block
        while True:
            if block.now >= self.horizon:
                self.at_horizon()
            if clock.queue and clock.queue[0][0] <= block.now:
                clock.run_due()
            # Before the interrupts, so that a storm of them cannot outrun the budget.
            if block.now >= budget_end:
                cpu.set("eip", eip)
                return Stop.DEADLINE
            if cpu.eflags & EFLAGS_IF:
                line = self.pic.pending()
                if line is not None:
                    vector = self.pic.acknowledge(line)
                    exceptions.deliver_interrupt(cpu, self.linear, vector, eip)
                    self.interrupts_delivered[line] = self.interrupts_delivered.get(line, 0) + 1
                    # Delivery takes time too: the handler's first instruction may lie behind the budget.
                    if block.now >= budget_end:
                        return Stop.DEADLINE
                    eip = cpu.eip
            queue = clock.queue
            deadline = queue[0][0] if queue and queue[0][0] < budget_end else budget_end
            stop = cpu.run(eip, deadline if deadline < self.horizon else self.horizon)
            eip = cpu.eip
            if stop is Stop.HLT:
                return stop
            if stop is Stop.EXCEPTION:
                vector, error_code = cast(tuple[int, int | None], cpu.exception)
                delivered = exceptions.deliver(cpu, self.linear, vector, error_code, eip)
                self.exceptions_delivered[delivered] = self.exceptions_delivered.get(delivered, 0) + 1
                eip = cpu.eip

    def idle(self, limit: int) -> None:
        """Let time pass to the next event, or to ``limit`` cycles, as a halted CPU does."""
        until = self._next_moment(limit)
        while until > self.horizon:
            self._halt(self.horizon)
            self.idle_until = limit
            self.at_horizon()
            self.idle_until = None
            # A frame of another machine may have come.
            until = self._next_moment(limit)
        self._halt(until)
        self.clock.run_due()

    def _next_moment(self, limit: int) -> int:
        event = self.clock.next_event()
        return limit if event is None else min(event, limit)

    def _halt(self, until: int) -> None:
        cycles = max(0, until - self.clock.now)
        self.idle_cycles += cycles
        self.clock.advance(cycles)

    def _no_horizon(self) -> None:
        self.horizon = NEVER

    def counters(self) -> dict[str, int]:
        """Return the performance counters since power-on."""
        return {
            "cycles": self.clock.now,
            "idle_cycles": self.idle_cycles,
            "instructions": self.clock.instructions,
            "tlb_misses": self.cpu.tlb_misses,
            "cr3_loads": self.cpu.cr3_loads,
            "mmio_accesses": self.bus.mmio_accesses,
            "exceptions": sum(self.exceptions_delivered.values()),
            "interrupts": sum(self.interrupts_delivered.values()),
        }

    def seconds(self) -> float:
        """Return simulated seconds since power-on."""
        return self.clock.now / CPU_HZ

    def save(self) -> Snapshot:
        """Return a snapshot: RAM, registers, TLB, clock and queue, every device."""
        parts = {name: cast(Part, part).save() for name, part in self.clock.parts.items()}
        parts["machine"] = (
            dict(self.exceptions_delivered),
            dict(self.interrupts_delivered),
            self.idle_cycles,
        )
        return Snapshot(bytes(self.memory.bytes), self.cpu.save(), self.clock.save(), parts)

    def load(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot of this machine, or of one made alike.

        Raises
        ------
        ValueError
            When the snapshot has other devices or another size of RAM.
        """
        own = set(self.clock.parts)
        if len(snapshot.ram) != self.memory.size or set(snapshot.parts) - {"machine"} != own:
            raise ValueError("the snapshot is of a machine with other parts")
        code_changes = self._has_other_code(snapshot.ram)
        ctypes.memmove(self.memory.address, snapshot.ram, len(snapshot.ram))
        self.cpu.load(snapshot.cpu)
        self.clock.load(snapshot.clock)
        for name, part in self.clock.parts.items():
            cast(Part, part).load(snapshot.parts[name])
        exceptions_delivered, interrupts_delivered, self.idle_cycles = snapshot.parts["machine"]
        self.exceptions_delivered = dict(exceptions_delivered)
        self.interrupts_delivered = dict(interrupts_delivered)
        if code_changes:
            self.cpu.flush_code()

    def _has_other_code(self, ram: bytes) -> bool:
        """Tell whether RAM differs from ``ram`` in a frame that code was fetched from; run by run of frames."""
        for run in re.finditer(rb"[^\0]+", bytes(self.memory.code_frames)):
            start, end = run.start() << PAGE_SHIFT, run.end() << PAGE_SHIFT
            if self.memory.read(start, end - start) != ram[start:end]:
                return True
        return False

    def close(self) -> None:
        """Give everything back to the host."""
        self.cpu.close()
        self.linear.close()
        self.tlb.close()
        self.memory.close()

    def __enter__(self) -> "Machine":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
