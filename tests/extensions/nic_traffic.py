"""Traffic that every network driver must stand: one station, two directions, byte by byte.

A driver takes part by its entry in ``extensions.CLASSES`` and ``cards.CARD_OF``; its device model has ``set_link``.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import ARP, Ether

import nooks_lab as nl
from nooks_lab import extensions
from nooks_lab.cards import CARD_OF, MAC
from nooks_lab.lab import Lab
from nooks_lab.machine.ethernet import BROADCAST
from nooks_lab.machine.pci import COMMAND, COMMAND_MASTER

DRIVERS = sorted(name for name, kind in extensions.CLASSES.items() if kind == "network")
DEVICE, OURS, NETMASK, THEIRS = "eth0", "10.0.0.2", "255.255.255.0", "10.0.0.1"
PEER = bytes.fromhex("020000000001")
STRANGER = bytes.fromhex("020000000077")
GROUP = bytes.fromhex("01005e000105")
SHORTEST, LONGEST = 60, 1514
LINK_WATCH = 2.6
"""Seconds in which every driver must have noticed that the link has come or gone."""

_EXPERIMENTAL = b"\x88\xb5"
"""An EtherType for experiments, which the kernel hands to nobody (IEEE 802)."""


def frame(length: int, number: int = 0, source: bytes = PEER, destination: bytes = MAC) -> bytes:
    """A frame of ``length`` bytes; what it holds depends on its length and number, byte by byte."""
    head = destination + source + _EXPERIMENTAL + number.to_bytes(4, "big")
    seed = length * 2654435761 + number * 40503
    return (head + bytes((seed >> 3) + 7 * at + (at >> 8) & 0xFF for at in range(length)))[:length]


class Traffic:
    """A booted system with one network driver up, and what goes in and out of it."""

    def __init__(self, driver: str, *, nooks: bool) -> None:
        self.driver = driver
        self.lab: Lab = nl.boot(nooks=nooks, devices=(CARD_OF[driver],))
        self.lab.insmod(driver)
        assert self.lab.ifup(DEVICE, OURS, NETMASK) == 0
        self.lab.run(0.05)

    @property
    def device(self) -> Any:
        device = self.lab.kernel.net.by_name(DEVICE)
        assert device is not None
        return device

    def statistics(self) -> dict[str, int]:
        """What the driver has counted; its get_stats runs in a process."""
        stats = self.lab.kernel.in_task("ifconfig", lambda: self.lab.kernel.net.stats(self.device))
        members = self.lab.kernel.layouts.structs["net_device_stats"].fields
        return {name: getattr(stats, name) for name in members}

    def counted(self, before: dict[str, int]) -> dict[str, int]:
        """The growth of the statistics."""
        return {name: value - before[name] for name, value in self.statistics().items()}

    @contextmanager
    def listening(self) -> Iterator[list[bytes]]:
        """Collect what the driver hands to the kernel of others' frames, within a ``with``."""
        arrived: list[bytes] = []

        def tap(_device: Any, data: bytes) -> None:
            if data[6:12] != MAC:
                arrived.append(data)

        with self.lab.kernel.tap(tap):
            yield arrived

    def receive(self, frames: Iterable[bytes], gap: float = 0.0002) -> list[bytes]:
        """Let the peer send frames, a gap (in seconds) between any two; returns what arrived."""
        with self.listening() as arrived:
            for data in frames:
                self.lab.peer.send_unpadded(data)
                self.lab.run(gap)
            self.lab.run(0.02)
        return arrived

    def send(self, frames: Iterable[bytes], gap: float = 0.0) -> tuple[list[int], list[bytes]]:
        """Send frames; returns the kernel's results, and what reached the peer."""
        self.lab.peer.received.clear()
        results = []
        for data in frames:
            results.append(self.lab.kernel.send_frame(DEVICE, data))
            if gap:
                self.lab.run(gap)
        self.lab.run(0.05)
        return results, [data for _, data in self.lab.peer.received]

    def works(self) -> bool:
        """Tell whether a frame passes in each direction."""
        into, out = frame(100, 1), frame(100, 2, MAC, PEER)
        return self.receive([into]) == [into] and out in self.send([out])[1]

    def carrier(self) -> bool:
        """Tell whether the driver has told the kernel of a link."""
        return not self.device.state >> 4 & 1

    def wait_for_carrier(self) -> None:
        self.lab.run(LINK_WATCH)
        assert self.carrier()

    @contextmanager
    def no_bus_master(self) -> Iterator[None]:
        """The device gets no bus within a ``with``: it can reach neither descriptors nor buffers."""
        pci, slot = self.lab.machine.pci, self.lab.nic.function.device
        command = pci.config_read(slot, COMMAND, 2)
        pci.config_write(slot, COMMAND, 2, command & ~COMMAND_MASTER)
        try:
            yield
        finally:
            pci.config_write(slot, COMMAND, 2, command)

    @contextmanager
    def no_interrupts(self) -> Iterator[None]:
        """Nobody serves the device within a ``with``."""
        line = self.lab.nic.function.irq
        self.lab.kernel.irq.disable_irq(line)
        try:
            yield
        finally:
            self.lab.kernel.irq.enable_irq(line)

    # The station at 10.0.0.1

    def ask_for(self, address: str) -> list[Any]:
        """Send an ARP request; returns the replies."""
        request = ARP(op=1, hwsrc=PEER.hex(":"), psrc=THEIRS, pdst=address)
        self.lab.peer.received.clear()
        self.lab.peer.send(bytes(Ether(src=PEER.hex(":"), dst=BROADCAST.hex(":")) / request))
        self.lab.run(0.01)
        answers = [Ether(data) for _, data in self.lab.peer.received]
        return [answer[ARP] for answer in answers if ARP in answer and answer[ARP].op == 2]

    def ping(self, number: int, payload: bytes) -> list[bytes]:
        """Send an echo request; returns what the replies to it echo."""
        echo = IP(src=THEIRS, dst=OURS) / ICMP(type=8, id=7, seq=number) / payload
        self.lab.peer.received.clear()
        self.lab.peer.send(bytes(Ether(src=PEER.hex(":"), dst=MAC.hex(":")) / echo))
        self.lab.run(0.005)
        answers = [Ether(data) for _, data in self.lab.peer.received]
        return [
            bytes(answer[ICMP].payload)[: len(payload)]
            for answer in answers
            if ICMP in answer and (answer[ICMP].type, answer[ICMP].seq) == (0, number)
        ]

    def close(self) -> None:
        self.lab.close()
