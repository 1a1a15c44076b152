"""One simulated PC on a wire, with or without Nooks: what notebooks and commands start from."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import cast

from nooks_lab import cards, extensions
from nooks_lab.kernel.kernel import Kernel
from nooks_lab.kernel.module import Module, Parameters
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.machine.devices.device import PciDevice
from nooks_lab.machine.devices.disk import Disk
from nooks_lab.machine.devices.isa import IsaDevice
from nooks_lab.machine.machine import BLOCK_CLOCK_SOURCE, TLB_SOURCE, Machine
from nooks_lab.machine.paging import Walker
from nooks_lab.machine.peer import Peer
from nooks_lab.machine.wire import Station, Wire
from nooks_lab.nooks.manager import Nooks
from nooks_lab.nooks.recovery.policy import Policy, PolicyError, read_policy
from nooks_lab.toolchain import compiler, elf
from nooks_lab.toolchain.elf import ObjectFile


@dataclass
class Lab:
    """A running system.

    Attributes
    ----------
    machine, kernel
        The PC and its kernel.
    cards : dict of str to PciDevice or IsaDevice
        What the PC is fitted with, by the names that were given to :func:`boot`.
    peers, wires : dict
        For each network card, the station at the other end of its wire, and the wire.
    nooks : Nooks or None
        The isolation manager; None natively.
    substitutes : dict of str to ObjectFile
        Objects that are loaded in place of the extensions of these names.
    """

    machine: Machine
    kernel: Kernel
    cards: dict[str, PciDevice | IsaDevice] = field(default_factory=dict)
    peers: dict[str, Peer] = field(default_factory=dict)
    wires: dict[str, Wire] = field(default_factory=dict)
    nooks: Nooks | None = None
    substitutes: dict[str, ObjectFile] = field(default_factory=dict)

    @property
    def nic(self) -> PciDevice:
        """The first network card; LookupError when the PC has none."""
        return cast(PciDevice, self.cards[self._first_network_card()])

    @property
    def peer(self) -> Peer:
        """The station at the far end of the first network card's wire; LookupError when there is none."""
        return self.peers[self._first_network_card()]

    @property
    def wire(self) -> Wire:
        """The first network card's wire; LookupError when there is none."""
        return self.wires[self._first_network_card()]

    @property
    def disk(self) -> Disk:
        """The disk; LookupError when the PC has none."""
        for card in self.cards.values():
            if isinstance(card, Disk):
                return card
        raise LookupError("this PC has no disk")

    def _first_network_card(self) -> str:
        for name in self.wires:
            return name
        raise LookupError("this PC has no network card")

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
        obj = self._extension(what) if isinstance(what, str) else what
        name = what if isinstance(what, str) else Path(what.name).stem
        if self.nooks is None or domain is None:
            return self.kernel.insmod(name, obj, parameters)
        with self.nooks.placing_in(self.nooks.domain_with(domain)):
            return self.kernel.insmod(name, obj, parameters)

    def _extension(self, name: str) -> ObjectFile:
        return self.substitutes.get(name) or extensions.extension(name)

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
    *,
    nooks: bool = False,
    log_only: bool = False,
    policy: Policy | Path | None = None,
    walker: Walker | None = None,
    devices: Sequence[str] = ("e1000",),
    mac: bytes = cards.MAC,
    disk: bytes | None = None,
) -> Lab:
    """Switch a PC on, each network card with a station at the end of a wire, and boot the kernel.

    Parameters
    ----------
    nooks : bool
        Isolate the extensions.
    log_only : bool
        With Nooks: list the extensions' direct stores to kernel data instead of stopping them.
    policy : Policy or Path, optional
        What recovery does, for each extension; or a file that says so, in TOML.
    walker : Walker, optional
        The CPU's page walk, for instance a student's own.
    devices : sequence of str
        The cards to fit the PC with (:data:`nooks_lab.cards.CARDS`), one of a kind.
    mac : bytes
        The first card's station address, 6 bytes.
    disk : bytes, optional
        What the card ``disk`` holds; blank when not given.

    Raises
    ------
    ValueError
        When log-only mode is asked for without Nooks, there are too many cards or two of a kind, or an image is given
        to a PC without a disk.
    UnknownCard
        When there is no such card.
    PolicyError
        When the policy cannot be used, or nobody would follow it.
    """
    if log_only and not nooks:
        raise ValueError("log-only mode is a mode of Nooks: boot(nooks=True, log_only=True)")
    if isinstance(policy, Path):
        policy = read_policy(policy, extensions.CLASSES)
    if policy is not None and not nooks:
        raise PolicyError("without Nooks nothing is recovered, so that there is no use for a policy")
    kinds = [cards.card(name) for name in devices]
    if len(set(devices)) != len(devices):
        raise ValueError(f"a PC takes one card of a kind, not {', '.join(devices)}")
    if disk is not None and "disk" not in devices:
        raise ValueError("an image is for a PC with a disk: boot(devices=('disk',), disk=...)")
    slots = [cards.slot(position, mac) for position in range(len(devices))]
    machine = make_machine(walker)
    fitted: dict[str, PciDevice | IsaDevice] = {}
    peers: dict[str, Peer] = {}
    wires: dict[str, Wire] = {}
    for name, kind, slot in zip(devices, kinds, slots, strict=True):
        fitted[name] = kind.make(name, slot)
        machine.plug(fitted[name])
        if isinstance(fitted[name], Disk) and disk is not None:
            cast(Disk, fitted[name]).insert(disk)
        if kind.kind == "network":
            peers[name] = Peer(f"peer of {name}", machine.clock)
            wires[name] = Wire(cast(Station, fitted[name]), peers[name], bits_per_second=kind.bits_per_second)
    kernel = Kernel(machine)
    manager = Nooks(kernel, policy, log_only=log_only) if nooks else None
    return Lab(machine, kernel, fitted, peers, wires, manager)


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
