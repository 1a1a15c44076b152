"""One simulated PC on a wire, with or without Nooks: what notebooks and commands start from."""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from nooks_lab import extensions
from nooks_lab.kernel.kernel import Kernel
from nooks_lab.kernel.module import Module, Parameters
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.machine.devices.e1000 import E1000
from nooks_lab.machine.machine import BLOCK_CLOCK_SOURCE, TLB_SOURCE, Machine
from nooks_lab.machine.paging import Walker
from nooks_lab.machine.peer import Peer
from nooks_lab.machine.wire import Wire
from nooks_lab.nooks.manager import Nooks
from nooks_lab.toolchain import compiler, elf
from nooks_lab.toolchain.elf import ObjectFile

MAC = bytes.fromhex("000e0c334455")
"""The station address in the NIC's EEPROM; an Intel prefix, and that of host B in the recorded traffic."""

LINK_CYCLES = CPU_HZ // 100
"""Auto-negotiation in 10 ms rather than a second, so that no demo waits for it."""


@dataclass
class Lab:
    """A running system.

    Attributes
    ----------
    machine, kernel
        The PC and its kernel.
    nic : E1000
        The network controller in slot 3.
    peer : Peer
        The station at the other end of the wire.
    nooks : Nooks or None
        The isolation manager; None natively.
    """

    machine: Machine
    kernel: Kernel
    nic: E1000
    wire: Wire
    peer: Peer
    nooks: Nooks | None = None

    def insmod(
        self, what: str | ObjectFile, parameters: Parameters | None = None, domain: str | None = None
    ) -> Module:
        """Load an extension by name, or an object file.

        Parameters
        ----------
        domain : str, optional
            An extension whose protection domain it joins; without Nooks, all share the kernel's anyway.

        Raises
        ------
        UnknownExtension, ModuleError, ElfError, CompileError
            When it cannot be loaded.
        LookupError
            When no extension of the name ``domain`` runs in a domain.
        """
        obj = extensions.extension(what) if isinstance(what, str) else what
        name = what if isinstance(what, str) else Path(what.name).stem
        if self.nooks is None or domain is None:
            return self.kernel.insmod(name, obj, parameters)
        with self.nooks.placing_in(self.nooks.domain_with(domain)):
            return self.kernel.insmod(name, obj, parameters)

    def ifup(self, name: str, address: str, netmask: str) -> int:
        """Bring an interface up with its address, now and after a recovery; returns the driver's result."""

        def script() -> int:
            device = self.kernel.net.by_name(name)
            if device is None:
                raise LookupError(f"no network device {name}")
            result = self.kernel.net.open(device)
            self.kernel.inet.configure(name, address, netmask)
            return result

        if self.nooks is not None:
            for module in self.kernel.modules.loaded:
                self.nooks.recovery.scripts[module] = [script]
        return self.kernel.in_task("ifconfig", script)

    def run(self, seconds: float) -> None:
        """Let simulated time pass."""
        self.kernel.run(int(seconds * CPU_HZ))

    def dmesg(self) -> str:
        """Return the kernel log."""
        return self.kernel.dmesg()

    def close(self) -> None:
        """Give the machine's memory back to the host."""
        self.machine.close()

    def __enter__(self) -> "Lab":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def make_machine(walker: Walker | None = None) -> Machine:
    """Return a PC just switched on, with nothing plugged in."""
    block_clock, tlb = map(compiler.compile_host_library, (BLOCK_CLOCK_SOURCE, TLB_SOURCE))
    return Machine(block_clock, tlb, walker)


def boot(
    *, nooks: bool = False, log_only: bool = False, walker: Walker | None = None, mac: bytes = MAC
) -> Lab:
    """Switch a PC on, with an 82540EM and a wire, and boot the kernel.

    Parameters
    ----------
    nooks : bool
        Isolate the extensions.
    log_only : bool
        With Nooks: list the extensions' direct stores to kernel data instead of stopping them.
    walker : Walker, optional
        The CPU's page walk, for instance a student's own.
    mac : bytes
        The NIC's station address, 6 bytes.

    Raises
    ------
    ValueError
        When log-only mode is asked for without Nooks.
    """
    if log_only and not nooks:
        raise ValueError("log-only mode is a mode of Nooks: boot(nooks=True, log_only=True)")
    machine = make_machine(walker)
    nic = E1000(name="nic", device=3, irq=11, base=0xFEBC0000, mac=mac, negotiation=LINK_CYCLES)
    machine.plug(nic)
    peer = Peer("peer", machine.clock)
    wire = Wire(nic, peer)
    kernel = Kernel(machine)
    manager = Nooks(kernel, log_only=log_only) if nooks else None
    return Lab(machine, kernel, nic, wire, peer, manager)


def read_object_file(path: Path) -> ObjectFile:
    """Read an object file from disk.

    Raises
    ------
    ElfError
        When it is none that the loader can use, or cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise elf.ElfError(f"{path}: {error.strerror}") from error
    return elf.read_object(data, path.name)
