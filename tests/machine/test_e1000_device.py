"""The 82540EM on a bare rig: RAM, a clock, a bus; no CPU."""

import copy
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nooks_lab.machine.bus import Bus
from nooks_lab.machine.clock import CPU_HZ, Clock
from nooks_lab.machine.devices import e1000_registers as reg
from nooks_lab.machine.devices.e1000 import E1000, NEGOTIATION_CYCLES
from nooks_lab.machine.devices.e1000_transmit import DESCRIPTOR_CACHE, FETCH_CYCLES
from nooks_lab.machine.devices.eeprom import CHECKSUM, WORDS, eeprom_words
from nooks_lab.machine.devices.phy import CTRL_RESET, PHY_CTRL, PHY_ID1, PHY_ID2, PHY_STATUS, STATUS_LINK
from nooks_lab.machine.ethernet import (
    BROADCAST,
    arrival_cycles,
    frame_check_sequence,
    line_cycles,
    ones_complement_sum,
)
from nooks_lab.machine.interrupts import InterruptController
from nooks_lab.machine.memory import PhysicalMemory
from nooks_lab.machine.pci import COMMAND, COMMAND_MASTER, COMMAND_MEMORY, PciBus
from nooks_lab.machine.peer import Peer
from nooks_lab.machine.wire import LATENCY, Wire

MAC = bytes.fromhex("001122334455")
PEER = bytes.fromhex("0200000000aa")
IRQ = 11
TX_RING, RX_RING = 0x1000, 0x2000
TX_BUFFERS, RX_BUFFERS = 0x10000, 0x40000
EOP, IFCS, IC, RS, DEXT, VLE, IDE = 0x1, 0x2, 0x4, 0x8, 0x20, 0x40, 0x80
DD, RX_EOP = 1, 2
MICROSECOND = CPU_HZ // 1_000_000


@dataclass
class Rig:
    """A controller, a peer on its wire, and the driver's half of the two rings."""

    memory: PhysicalMemory = field(default_factory=lambda: PhysicalMemory(1 << 20))
    clock: Clock = field(default_factory=Clock)
    pic: InterruptController = field(default_factory=InterruptController)
    nic: E1000 = field(default_factory=lambda: E1000(mac=MAC))

    def __post_init__(self) -> None:
        self.bus = Bus(self.memory, self.clock)
        self.pci = PciBus()
        self.nic.plug(self.bus, self.clock, self.pic, self.pci)
        self.pci.config_write(3, COMMAND, 2, COMMAND_MEMORY | COMMAND_MASTER)
        self.peer = Peer("peer", self.clock)
        self.wire = Wire(self.nic, self.peer)
        self.tail = 0

    def read(self, offset: int, size: int = 4) -> int:
        return self.nic.mmio_read(0, offset, size)

    def write(self, offset: int, value: int, size: int = 4) -> None:
        self.nic.mmio_write(0, offset, size, value)

    def pump(self, until: int | None = None, watch: Callable[[], None] | None = None) -> None:
        """Let events happen, all or those up to a cycle; the clock jumps from one to the next."""
        while (when := self.clock.next_event()) is not None and (until is None or when <= until):
            self.clock.advance(max(0, when - self.clock.now))
            self.clock.run_due()
            if watch:
                watch()
        if until is not None and until > self.clock.now:
            self.clock.advance(until - self.clock.now)

    def pump_for(self, cycles: int, watch: Callable[[], None] | None = None) -> None:
        self.pump(self.clock.now + cycles, watch)

    def link_up(self) -> None:
        self.write(reg.CTRL, self.read(reg.CTRL) | reg.CTRL_SLU)
        self.pump_for(NEGOTIATION_CYCLES + 1)
        self.read(reg.ICR)

    def open_transmit(self, count: int = 8) -> None:
        self.write(reg.TDBAL, TX_RING)
        self.write(reg.TDLEN, count * 16)
        self.write(reg.TCTL, reg.TCTL_EN | reg.TCTL_PSP)

    def open_receive(self, count: int = 8, control: int = 0) -> None:
        for index in range(count):
            self.memory.write(RX_RING + 16 * index, struct.pack("<QQ", RX_BUFFERS + 2048 * index, 0))
        self.write(reg.RDBAL, RX_RING)
        self.write(reg.RDLEN, count * 16)
        self.write(reg.RDT, count - 1)
        self.write(reg.RCTL, reg.RCTL_EN | reg.RCTL_BAM | reg.RCTL_SECRC | control)

    def describe(self, index: int, frame: bytes, command: int, **fields: int) -> None:
        """Fill a transmit descriptor and its buffer."""
        buffer = TX_BUFFERS + 0x4000 * index
        self.memory.write(buffer, frame)
        descriptor = struct.pack(
            "<QHBBBBH",
            buffer,
            len(frame),
            fields.get("cso", 0),
            command,
            0,
            fields.get("css", 0),
            fields.get("special", 0),
        )
        self.memory.write(TX_RING + 16 * index, descriptor)

    def transmit(self, *frames: bytes) -> None:
        count = self.read(reg.TDLEN) // 16
        for frame in frames:
            self.describe(self.tail, frame, EOP | IFCS | RS)
            self.tail = (self.tail + 1) % count
        self.write(reg.TDT, self.tail)

    def transmit_status(self, index: int) -> int:
        return self.memory.bytes[TX_RING + 16 * index + 12]

    def received(self, index: int) -> tuple[int, int, int, int]:
        """Return length, checksum, status and special of a receive descriptor."""
        length, checksum, status, _, special = struct.unpack(
            "<HHBBH", self.memory.read(RX_RING + 16 * index + 8, 8)
        )
        return length, checksum, status, special

    def buffer(self, index: int, length: int) -> bytes:
        return self.memory.read(RX_BUFFERS + 2048 * index, length)

    def mdi(self, operation: int, register: int, data: int = 0, phy: int = 1, extra: int = 0) -> int:
        self.write(
            reg.MDIC,
            operation | extra | phy << reg.MDIC_PHYADD_SHIFT | register << reg.MDIC_REGADD_SHIFT | data,
        )
        assert not self.read(reg.MDIC) & reg.MDIC_R
        self.pump_for(64 * MICROSECOND)
        assert self.read(reg.MDIC) & reg.MDIC_R
        return self.read(reg.MDIC)


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.link_up()
    return rig


def frame_to(destination: bytes, length: int = 60, fill: int = 0x5A) -> bytes:
    return destination + PEER + b"\x08\x00" + bytes((fill + i) & 0xFF for i in range(length - 14))


# Registers


def test_reset_values() -> None:
    rig = Rig()
    assert rig.read(reg.STATUS) == reg.STATUS_FD | reg.STATUS_SPEED_1000
    assert rig.read(reg.EECD) & reg.EECD_EE_PRES
    assert rig.read(reg.RAL) == int.from_bytes(MAC[:4], "little")
    assert rig.read(reg.RAL + 4) == int.from_bytes(MAC[4:], "little") | reg.RAH_AV
    for offset in (reg.RCTL, reg.TCTL, reg.IMS, reg.ICR, reg.RDH, reg.RDT, reg.TDH, reg.TDT, reg.ITR):
        assert rig.read(offset) == 0
    assert rig.nic.function.read(0, 4) == 0x100E8086


def test_ctrl_rst_clears_itself_and_the_registers_but_not_the_phys_link(rig: Rig) -> None:
    rig.open_receive()
    rig.write(reg.IMS, 0xFF)
    rig.write(reg.MTA, 5)
    rig.write(reg.ICS, reg.ICR_RXT0)
    assert rig.pic.asserted(IRQ)
    rig.write(reg.CTRL, reg.CTRL_RST | reg.CTRL_SLU)
    assert not rig.read(reg.CTRL) & (reg.CTRL_RST | reg.CTRL_SLU)
    assert not rig.pic.asserted(IRQ)
    for offset in (reg.RCTL, reg.IMS, reg.MTA, reg.RDLEN, reg.ICR):
        assert rig.read(offset) == 0
    rig.write(reg.CTRL, rig.read(reg.CTRL) | reg.CTRL_SLU)
    assert rig.read(reg.STATUS) & reg.STATUS_LU


def test_registers_keep_only_their_writable_bits(rig: Rig) -> None:
    rig.write(reg.RDBAL, 0xFFFFFFFF)
    rig.write(reg.RDLEN, 0xFFFFFFFF)
    rig.write(reg.STATUS, 0)
    assert rig.read(reg.RDBAL) == 0xFFFFFFF0
    assert rig.read(reg.RDLEN) == 0x000FFF80
    assert rig.read(reg.STATUS) & reg.STATUS_LU
    rig.write(0x0004, 0x1234)
    assert rig.read(0x0004) == 0


def test_parts_of_a_register_can_be_read_but_not_written(rig: Rig) -> None:
    assert rig.read(reg.RAL + 1, 1) == MAC[1]
    assert rig.read(reg.RAL + 2, 2) == int.from_bytes(MAC[2:4], "little")
    rig.write(reg.RAL, 0xFF, size=1)
    assert rig.read(reg.RAL, 1) == MAC[0]


# EEPROM and PHY


def read_eeprom(rig: Rig, word: int) -> int:
    rig.write(reg.EERD, word << reg.EERD_ADDR_SHIFT | reg.EERD_START)
    assert not rig.read(reg.EERD) & reg.EERD_DONE
    rig.clock.advance(100 * MICROSECOND)
    value = rig.read(reg.EERD)
    assert value & reg.EERD_DONE
    return value >> reg.EERD_DATA_SHIFT


def test_eeprom_holds_the_address_and_sums_to_the_checksum(rig: Rig) -> None:
    words = [read_eeprom(rig, word) for word in range(WORDS)]
    assert b"".join(word.to_bytes(2, "little") for word in words[:3]) == MAC
    assert sum(words) & 0xFFFF == CHECKSUM


def test_an_address_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="5 bytes instead of 6"):
        eeprom_words(bytes(5), 0x8086, 0x100E)


def test_mdic_reaches_the_phy(rig: Rig) -> None:
    assert rig.mdi(reg.MDIC_OP_READ, PHY_ID1) & 0xFFFF == 0x0141
    assert rig.mdi(reg.MDIC_OP_READ, PHY_ID2) & 0xFFFF == 0x0C20
    rig.mdi(reg.MDIC_OP_READ, PHY_STATUS)
    assert rig.mdi(reg.MDIC_OP_READ, PHY_STATUS) & STATUS_LINK
    assert rig.mdi(reg.MDIC_OP_READ, PHY_ID1, phy=2) & reg.MDIC_E
    assert not rig.mdi(reg.MDIC_OP_READ, PHY_ID1) & reg.MDIC_E


def test_mdic_interrupts_when_asked_to(rig: Rig) -> None:
    rig.mdi(reg.MDIC_OP_READ, PHY_ID1, extra=reg.MDIC_I)
    assert rig.read(reg.ICR) == reg.ICR_MDAC


def test_phy_reset_negotiates_again(rig: Rig) -> None:
    rig.mdi(reg.MDIC_OP_WRITE, PHY_CTRL, CTRL_RESET)
    assert not rig.read(reg.STATUS) & reg.STATUS_LU
    assert rig.read(reg.ICR) == reg.ICR_LSC
    rig.pump_for(NEGOTIATION_CYCLES)
    assert rig.read(reg.STATUS) & reg.STATUS_LU
    assert rig.read(reg.ICR) == reg.ICR_LSC


# Link


def test_a_controller_outside_a_machine_gets_no_wire() -> None:
    with pytest.raises(RuntimeError, match="'eth0nic' must be in a machine"):
        Wire(E1000(), Peer("peer", Clock()))


def test_link_needs_slu_and_negotiation() -> None:
    rig = Rig()
    rig.write(reg.CTRL, reg.CTRL_SLU)
    rig.pump_for(NEGOTIATION_CYCLES - 1)
    assert not rig.read(reg.STATUS) & reg.STATUS_LU
    rig.pump_for(1)
    assert rig.read(reg.STATUS) & reg.STATUS_LU
    assert rig.read(reg.ICR) == reg.ICR_LSC


def test_without_slu_there_is_no_link() -> None:
    rig = Rig()
    rig.pump_for(2 * NEGOTIATION_CYCLES)
    assert not rig.read(reg.STATUS) & reg.STATUS_LU
    assert rig.read(reg.ICR) == 0


def test_a_pulled_cable_stops_traffic_until_it_is_back(rig: Rig) -> None:
    rig.open_transmit()
    rig.open_receive()
    rig.nic.set_link(False)
    assert rig.read(reg.ICR) == reg.ICR_LSC
    assert not rig.read(reg.STATUS) & reg.STATUS_LU
    rig.transmit(frame_to(PEER))
    rig.peer.send(frame_to(MAC))
    rig.pump()
    assert rig.peer.received == []
    assert rig.read(reg.RDH) == 0
    assert rig.read(reg.TDH) == 0
    rig.nic.set_link(True)
    rig.pump()
    assert rig.read(reg.STATUS) & reg.STATUS_LU
    assert [frame for _, frame in rig.peer.received] == [frame_to(PEER)]


# Transmit


def test_frames_arrive_byte_exact_in_order_and_at_line_rate(rig: Rig) -> None:
    rig.open_transmit()
    frames = [frame_to(PEER, length, length) for length in (60, 1514, 61, 777)]
    start = rig.clock.now
    rig.transmit(*frames)
    assert rig.read(reg.TDH) == 0
    rig.pump()
    assert [frame for _, frame in rig.peer.received] == frames
    departs = start + FETCH_CYCLES
    for when, frame in rig.peer.received:
        assert when == departs + arrival_cycles(len(frame)) + LATENCY
        departs += line_cycles(len(frame))
    assert line_cycles(1514) == 1538 * 8 * 17 // 10
    assert rig.read(reg.TDH) == 4
    assert [rig.transmit_status(index) for index in range(5)] == [DD] * 4 + [0]
    assert rig.read(reg.ICR) == reg.ICR_TXDW | reg.ICR_TXQE


def test_transmit_ring_wraps(rig: Rig) -> None:
    rig.open_transmit(8)
    frames = [frame_to(PEER, 60 + index) for index in range(20)]
    for first in range(0, 20, 5):
        rig.transmit(*frames[first : first + 5])
        rig.pump()
    assert [frame for _, frame in rig.peer.received] == frames
    assert rig.read(reg.TDH) == 20 % 8


def test_a_frame_is_gathered_from_several_descriptors(rig: Rig) -> None:
    rig.open_transmit()
    frame = frame_to(PEER, 900)
    rig.describe(0, frame[:14], 0)
    rig.describe(1, frame[14:600], RS)
    rig.describe(2, frame[600:], EOP | IFCS | RS)
    rig.write(reg.TDT, 2)
    rig.pump()
    assert rig.peer.received == []
    rig.write(reg.TDT, 3)
    rig.pump()
    assert [received for _, received in rig.peer.received] == [frame]
    assert [rig.transmit_status(index) for index in range(3)] == [0, DD, DD]


def test_short_frames_are_padded_when_psp_is_set(rig: Rig) -> None:
    rig.open_transmit()
    rig.transmit(b"\xff" * 20)
    rig.pump()
    assert rig.peer.received[0][1] == b"\xff" * 20 + bytes(40)


def test_a_frame_without_ifcs_brings_its_own_check_sequence(rig: Rig) -> None:
    rig.open_transmit()
    good = frame_to(PEER)
    rig.describe(0, good + frame_check_sequence(good), EOP | RS)
    rig.describe(1, good + b"oops", EOP | RS)
    rig.write(reg.TDT, 2)
    rig.pump()
    assert [frame for _, frame in rig.peer.received] == [good]
    assert rig.transmit_status(1) == DD


def test_checksum_is_inserted(rig: Rig) -> None:
    rig.open_transmit()
    frame = frame_to(PEER, 101)
    rig.describe(0, frame, EOP | IFCS | RS | IC, css=14, cso=24)
    rig.write(reg.TDT, 1)
    rig.pump()
    sent = rig.peer.received[0][1]
    expected = ~ones_complement_sum(frame[14:]) & 0xFFFF
    assert sent == frame[:24] + expected.to_bytes(2, "big") + frame[26:]


def test_vlan_tag_is_inserted(rig: Rig) -> None:
    rig.write(reg.CTRL, rig.read(reg.CTRL) | reg.CTRL_VME)
    rig.open_transmit()
    frame = frame_to(PEER, 100)
    rig.describe(0, frame, EOP | IFCS | RS | VLE, special=0x2005)
    rig.write(reg.TDT, 1)
    rig.pump()
    assert rig.peer.received[0][1] == frame[:12] + bytes.fromhex("81002005") + frame[12:]


def test_extended_descriptors_are_consumed(rig: Rig) -> None:
    rig.open_transmit()
    rig.describe(0, b"", DEXT | RS)
    rig.describe(1, frame_to(PEER), EOP | IFCS | RS)
    rig.write(reg.TDT, 2)
    rig.pump()
    assert rig.transmit_status(0) == DD
    assert len(rig.peer.received) == 1


def test_an_oversized_frame_is_dropped(rig: Rig) -> None:
    rig.open_transmit()
    rig.describe(0, bytes(16_000), 0)
    rig.describe(1, bytes(289), EOP | IFCS | RS)
    rig.describe(2, frame_to(PEER), EOP | IFCS | RS)
    rig.write(reg.TDT, 3)
    rig.pump()
    assert rig.transmit_status(1) == DD
    assert [frame for _, frame in rig.peer.received] == [frame_to(PEER)]


@pytest.mark.parametrize(("length", "tail"), [(0, 1), (128, 8), (128, 0xFFFF)])
def test_a_tail_outside_the_ring_stops_the_transmitter(rig: Rig, length: int, tail: int) -> None:
    rig.open_transmit()
    rig.write(reg.TDLEN, length)
    rig.write(reg.TDT, tail)
    rig.pump()
    assert rig.read(reg.TDH) == 0
    assert rig.peer.received == []


def test_a_long_ring_of_descriptors_without_a_frame_is_taken_in_portions(rig: Rig) -> None:
    rig.open_transmit(1024)
    rig.write(reg.TDBAL, 0x80000)
    start = rig.clock.now
    rig.write(reg.TDT, 1000)
    rig.pump()
    assert rig.read(reg.TDH) == 1000
    assert rig.clock.now - start == FETCH_CYCLES * -(-1000 // DESCRIPTOR_CACHE)


def test_nothing_is_sent_without_bus_mastering(rig: Rig) -> None:
    rig.open_transmit()
    rig.pci.config_write(3, COMMAND, 2, COMMAND_MEMORY)
    rig.transmit(frame_to(PEER))
    rig.pump()
    assert rig.peer.received == []
    assert rig.transmit_status(0) == 0


def test_reset_amid_a_frame_cancels_its_write_back(rig: Rig) -> None:
    rig.open_transmit()
    rig.transmit(frame_to(PEER, 1514))
    rig.pump_for(FETCH_CYCLES)
    rig.write(reg.CTRL, reg.CTRL_RST)
    rig.pump()
    assert rig.transmit_status(0) == 0


def test_ide_delays_txdw_until_tidv_or_tadv(rig: Rig) -> None:
    rig.open_transmit()
    rig.write(reg.TIDV, 100)
    rig.write(reg.TADV, 150)
    for index in range(2):
        rig.describe(index, frame_to(PEER), EOP | IFCS | RS | IDE)
    rig.write(reg.TDT, 1)
    sent = FETCH_CYCLES + line_cycles(60)
    rig.pump_for(sent + 90 * 1024 * CPU_HZ // 10**9)
    rig.write(reg.TDT, 2)
    rig.pump_for(55 * 1024 * CPU_HZ // 10**9)
    assert not rig.read(reg.ICR) & reg.ICR_TXDW
    rig.pump_for(6 * 1024 * CPU_HZ // 10**9)
    assert rig.read(reg.ICR) == reg.ICR_TXDW


# Receive


def test_a_frame_is_received_into_the_ring(rig: Rig) -> None:
    rig.open_receive()
    frame = frame_to(MAC, 777)
    rig.peer.send(frame)
    rig.pump()
    length, checksum, status, special = rig.received(0)
    assert (length, status & 3, special) == (777, DD | RX_EOP, 0)
    assert checksum == ones_complement_sum(frame)
    assert rig.buffer(0, 777) == frame
    assert rig.read(reg.RDH) == 1
    assert rig.read(reg.ICR) == reg.ICR_RXT0


def test_without_secrc_the_check_sequence_is_stored_too(rig: Rig) -> None:
    rig.open_receive()
    rig.write(reg.RCTL, rig.read(reg.RCTL) & ~reg.RCTL_SECRC)
    frame = frame_to(MAC, 100)
    rig.peer.send(frame)
    rig.pump()
    assert rig.received(0)[0] == 104
    assert rig.buffer(0, 104) == frame + frame_check_sequence(frame)


def test_short_frames_are_padded_on_reception(rig: Rig) -> None:
    rig.open_receive()
    rig.peer.send(MAC + PEER + b"hi")
    rig.pump()
    assert rig.received(0)[0] == 60
    assert rig.buffer(0, 60) == (MAC + PEER + b"hi").ljust(60, b"\0")


def test_receive_ring_wraps(rig: Rig) -> None:
    rig.open_receive(8)
    for index in range(20):
        rig.peer.send(frame_to(MAC, 60 + index))
        rig.pump()
        assert rig.received(index % 8)[0] == 60 + index
        rig.memory.write(RX_RING + 16 * (index % 8) + 8, bytes(8))
        rig.write(reg.RDT, index % 8)
    assert rig.read(reg.GPRC) == 20
    assert rig.read(reg.MPC) == 0


def test_a_full_ring_misses_frames_and_counts_them(rig: Rig) -> None:
    rig.open_receive(8)
    for _ in range(10):
        rig.peer.send(frame_to(MAC))
    rig.pump()
    assert rig.read(reg.ICR) & reg.ICR_RXO
    assert [rig.read(offset) for offset in (reg.RNBC, reg.MPC, reg.GPRC, reg.TPR)] == [3, 3, 7, 10]
    assert [rig.read(offset) for offset in (reg.RNBC, reg.MPC, reg.GPRC, reg.TPR)] == [0, 0, 0, 0]


def test_rxdmt0_when_half_of_the_ring_is_left(rig: Rig) -> None:
    rig.open_receive(8)
    for index in range(4):
        rig.peer.send(frame_to(MAC))
        rig.pump()
        assert bool(rig.read(reg.ICR) & reg.ICR_RXDMT0) == (index == 2)


def test_a_long_frame_spans_descriptors_with_eop_on_the_last(rig: Rig) -> None:
    rig.open_receive(8, reg.RCTL_LPE)
    frame = frame_to(MAC, 5000)
    rig.peer.send(frame)
    rig.pump()
    assert [rig.received(index)[0] for index in range(4)] == [2048, 2048, 904, 0]
    assert [rig.received(index)[2] & 3 for index in range(4)] == [DD, DD, DD | RX_EOP, 0]
    assert rig.buffer(0, 5000) == frame


def test_a_long_frame_without_lpe_is_counted_and_dropped(rig: Rig) -> None:
    rig.open_receive()
    rig.peer.send(frame_to(MAC, 1519))
    rig.peer.send(frame_to(MAC, 1518))
    rig.pump()
    assert rig.read(reg.ROC) == 1
    assert rig.read(reg.RDH) == 1


@pytest.mark.parametrize(
    ("bsex", "bsize", "size"),
    [(0, 0, 2048), (0, 1, 1024), (0, 2, 512), (0, 3, 256), (1, 1, 16384), (1, 2, 8192), (1, 3, 4096)],
)
def test_buffer_sizes(rig: Rig, bsex: int, bsize: int, size: int) -> None:
    rig.open_receive(128, reg.RCTL_LPE | bsex * reg.RCTL_BSEX | bsize << reg.RCTL_BSIZE_SHIFT)
    rig.peer.send(frame_to(MAC, 16_380))
    rig.pump()
    assert rig.received(0)[0] == min(size, 16_380)
    assert rig.read(reg.RDH) == -(-16_380 // size)


def test_a_null_buffer_address_is_passed_over(rig: Rig) -> None:
    rig.open_receive()
    rig.memory.write(RX_RING, bytes(8))
    rig.peer.send(frame_to(MAC))
    rig.pump()
    assert rig.memory.read(0, 60) == bytes(60)
    assert rig.received(1)[0] == 60


def test_address_filters(rig: Rig) -> None:
    rig.open_receive(128)
    other = bytes.fromhex("001122334456")
    group = bytes.fromhex("01005e010203")

    def accepted(destination: bytes) -> bool:
        before = rig.read(reg.RDH)
        rig.peer.send(frame_to(destination))
        rig.pump()
        return rig.read(reg.RDH) != before

    assert accepted(MAC)
    assert accepted(BROADCAST)
    assert not accepted(other)
    assert not accepted(group)
    control = rig.read(reg.RCTL)
    rig.write(reg.RCTL, control | reg.RCTL_UPE)
    assert accepted(other)
    assert not accepted(group)
    rig.write(reg.RCTL, control | reg.RCTL_MPE)
    assert not accepted(other)
    assert accepted(group)
    rig.write(reg.RCTL, control & ~reg.RCTL_BAM)
    assert not accepted(BROADCAST)
    for offset, shift in enumerate((4, 3, 2, 0)):
        rig.write(reg.RCTL, control | offset << reg.RCTL_MO_SHIFT)
        bits = 0x0302 >> shift & 0xFFF
        rig.write(reg.MTA + 4 * (bits >> 5), 1 << (bits & 31))
        assert accepted(group)
        rig.write(reg.MTA + 4 * (bits >> 5), 0)
        assert not accepted(group)
    rig.write(reg.RAL + 8 * 15, int.from_bytes(other[:4], "little"))
    assert not accepted(other)
    rig.write(reg.RAL + 8 * 15 + 4, int.from_bytes(other[4:], "little") | reg.RAH_AV)
    assert accepted(other)
    rig.write(reg.RCTL, control & ~reg.RCTL_EN)
    assert not accepted(MAC)


def test_vlan_filter_and_stripping(rig: Rig) -> None:
    rig.open_receive(8, reg.RCTL_VFE)
    rig.write(reg.CTRL, rig.read(reg.CTRL) | reg.CTRL_VME)
    plain = frame_to(MAC, 100)
    tagged = plain[:12] + bytes.fromhex("81002021") + plain[12:]
    rig.peer.send(tagged)
    rig.pump()
    assert rig.read(reg.RDH) == 0
    rig.write(reg.VFTA + 4, 1 << 1)
    rig.peer.send(tagged)
    rig.pump()
    length, _, status, special = rig.received(0)
    assert (length, status >> 3 & 1, special) == (100, 1, 0x2021)
    assert rig.buffer(0, 100) == plain


def test_statistics_by_size_and_kind(rig: Rig) -> None:
    rig.open_receive(128)
    rig.open_transmit()
    group = bytes.fromhex("01005e010203")
    rig.write(reg.RCTL, rig.read(reg.RCTL) | reg.RCTL_MPE)
    for destination, length in ((MAC, 60), (BROADCAST, 123), (group, 124), (MAC, 1514)):
        rig.peer.send(frame_to(destination, length))
    rig.transmit(frame_to(BROADCAST, 60), frame_to(PEER, 1020))
    rig.pump()
    assert [rig.read(reg.PRC64 + 4 * index) for index in range(6)] == [1, 1, 1, 0, 0, 1]
    assert [rig.read(offset) for offset in (reg.GPRC, reg.BPRC, reg.MPRC)] == [4, 1, 1]
    assert [rig.read(reg.PTC64 + 4 * index) for index in range(6)] == [1, 0, 0, 0, 0, 1]
    assert [rig.read(offset) for offset in (reg.GPTC, reg.BPTC, reg.MPTC, reg.TPT)] == [2, 1, 0, 2]
    octets = 60 + 123 + 124 + 1514 + 4 * 4
    assert [rig.read(offset) for offset in (reg.GORCL, reg.GORCL, reg.GORCH, reg.GORCL)] == [
        octets,
        octets,
        0,
        0,
    ]
    assert rig.read(reg.GOTCL) == 60 + 1020 + 8
    assert rig.read(reg.TORL) == octets


# Interrupts


def test_icr_is_cleared_by_reading_and_by_writing_ones(rig: Rig) -> None:
    rig.write(reg.ICS, reg.ICR_RXT0 | reg.ICR_TXDW)
    assert rig.read(reg.ICR) == reg.ICR_RXT0 | reg.ICR_TXDW
    assert rig.read(reg.ICR) == 0
    rig.write(reg.ICS, reg.ICR_RXT0 | reg.ICR_TXDW)
    rig.write(reg.ICR, reg.ICR_TXDW)
    assert rig.read(reg.ICR) == reg.ICR_RXT0


def test_the_line_is_up_iff_an_unmasked_cause_is_set(rig: Rig) -> None:
    rig.write(reg.ICS, reg.ICR_RXT0)
    assert not rig.pic.asserted(IRQ)
    rig.write(reg.IMS, reg.ICR_TXDW)
    assert not rig.pic.asserted(IRQ)
    rig.write(reg.IMS, reg.ICR_RXT0)
    assert rig.read(reg.IMS) == reg.ICR_TXDW | reg.ICR_RXT0
    assert rig.pic.asserted(IRQ)
    rig.write(reg.IMC, reg.ICR_RXT0)
    assert not rig.pic.asserted(IRQ)
    rig.write(reg.IMS, reg.ICR_RXT0)
    assert rig.pic.asserted(IRQ)
    rig.read(reg.ICR)
    assert not rig.pic.asserted(IRQ)


def test_itr_limits_assertions_in_a_time(rig: Rig) -> None:
    rig.open_receive(128)
    rig.write(reg.IMS, reg.ICR_RXT0)
    rig.write(reg.ITR, 488)
    interval = 488 * 256 * CPU_HZ // 10**9
    assertions: list[int] = []

    def service() -> None:
        if rig.pic.asserted(IRQ):
            assertions.append(rig.clock.now)
            rig.read(reg.ICR)
            rig.write(reg.RDT, (rig.read(reg.RDH) - 1) % 128)

    for _ in range(1000):
        rig.peer.send(frame_to(MAC, 60))
    rig.pump(watch=service)
    assert rig.read(reg.GPRC) + rig.read(reg.MPC) == 1000
    gaps = [later - earlier for earlier, later in pairwise(assertions)]
    assert len(gaps) >= 4
    assert min(gaps) >= interval
    assert len(assertions) <= 1000 * line_cycles(60) // interval + 2


def test_without_itr_every_frame_interrupts(rig: Rig) -> None:
    rig.open_receive(128)
    rig.write(reg.IMS, reg.ICR_RXT0)
    before = rig.nic.state.interrupts
    for _ in range(50):
        rig.peer.send(frame_to(MAC))
    rig.pump(watch=lambda: rig.read(reg.ICR) and None)
    assert rig.nic.state.interrupts - before == 50


def test_rdtr_restarts_with_each_frame_up_to_radv(rig: Rig) -> None:
    rig.open_receive(128)
    rig.write(reg.RDTR, 20)
    rig.write(reg.RADV, 50)
    fired: list[int] = []

    def service() -> None:
        if rig.read(reg.ICR) & reg.ICR_RXT0:
            fired.append(rig.clock.now)

    start = rig.clock.now
    for index in range(10):
        rig.peer.send_at(start + index * 15 * MICROSECOND, frame_to(MAC))
    rig.pump(watch=service)
    first = start + arrival_cycles(60) + LATENCY
    assert fired[0] == first + 50 * 1024 * CPU_HZ // 10**9
    assert len(fired) == 3
    last = first + 9 * 15 * MICROSECOND
    assert fired[-1] <= last + 20 * 1024 * CPU_HZ // 10**9


def test_rdtr_fpd_flushes_the_delay(rig: Rig) -> None:
    rig.open_receive()
    rig.write(reg.RDTR, 0xFFFF)
    rig.peer.send(frame_to(MAC))
    rig.pump_for(10 * MICROSECOND)
    assert rig.read(reg.ICR) == 0
    rig.write(reg.RDTR, 0xFFFF | reg.RDTR_FPD)
    assert rig.read(reg.ICR) == reg.ICR_RXT0
    assert rig.clock.next_event() is None


def test_small_packet_detection(rig: Rig) -> None:
    rig.open_receive()
    rig.write(reg.RSRPD, 64)
    rig.peer.send(frame_to(MAC, 61))
    rig.pump()
    assert rig.read(reg.ICR) == reg.ICR_RXT0
    rig.peer.send(frame_to(MAC, 60))
    rig.pump()
    assert rig.read(reg.ICR) == reg.ICR_RXT0 | reg.ICR_SRPD


# Snapshots


@pytest.mark.parametrize("microseconds", [0, 3, 6, 40, 90])
def test_load_amid_traffic_continues_identically(rig: Rig, microseconds: int) -> None:
    rig.open_transmit(128)
    rig.open_receive(128)
    rig.write(reg.ITR, 200)
    rig.write(reg.RDTR, 10)
    rig.write(reg.IMS, 0xFF)
    rig.transmit(*(frame_to(PEER, 60 + 7 * index) for index in range(6)))
    for index in range(30):
        rig.peer.send(frame_to(MAC, 60 + 31 * index))
    rig.pump_for(microseconds * MICROSECOND)
    assert rig.clock.next_event() is not None

    parts = (rig.nic, rig.peer, rig.clock)
    saved = [part.save() for part in parts]
    ram = bytes(rig.memory.bytes)
    lines = copy.deepcopy(rig.pic.state)

    def outcome() -> tuple[object, ...]:
        line: list[tuple[int, bool]] = []
        rig.pump(watch=lambda: line.append((rig.clock.now, rig.pic.asserted(IRQ))))
        return line, rig.nic.save(), rig.peer.save(), rig.clock.now, bytes(rig.memory.bytes)

    first = outcome()
    for part, state in zip(parts, saved, strict=True):
        part.load(state)
    rig.memory.bytes[:] = ram
    rig.pic.state = lines
    assert outcome() == first
    assert len(rig.peer.received) == 6


# Whatever software does


SPECIAL = sorted({*reg.WRITABLE, reg.ICR, reg.ICS, reg.IMS, reg.IMC, reg.EERD, reg.MDIC, reg.STATUS})
OFFSETS = st.one_of(st.sampled_from(SPECIAL), st.integers(0, 0x1FFFF))
VALUES = st.one_of(st.integers(0, 0xFFFFFFFF), st.integers(0, 0x3FF), st.just(0xFFFFFFFF))
SIZES = st.sampled_from((1, 2, 4, 4, 4, 4))
ACTIONS = st.one_of(
    st.tuples(st.just("read"), OFFSETS, SIZES),
    st.tuples(st.just("write"), OFFSETS, VALUES, SIZES),
    st.tuples(st.just("run"), st.integers(0, 1000 * MICROSECOND)),
    st.tuples(st.just("frame"), st.binary(max_size=2000)),
    st.tuples(st.just("cable"), st.booleans()),
    st.tuples(st.just("ram"), st.integers(0, (1 << 20) - 4096), st.binary(max_size=256)),
)


@settings(max_examples=120, deadline=None)
@given(actions=st.lists(ACTIONS, max_size=40), opened=st.booleans())
def test_no_access_is_an_error(actions: list[tuple], opened: bool) -> None:
    rig = Rig()
    if opened:
        rig.link_up()
        rig.open_receive()
        rig.open_transmit()
        rig.transmit(frame_to(PEER))
    for action, *arguments in actions:
        if action == "read":
            offset, size = arguments
            assert 0 <= rig.read(offset, size) < 1 << 8 * size
        elif action == "write":
            offset, value, size = arguments
            rig.write(offset, value, size)
        elif action == "run":
            rig.pump_for(arguments[0])
        elif action == "frame":
            rig.peer.send(arguments[0])
        elif action == "cable":
            rig.nic.set_link(arguments[0])
        else:
            rig.memory.write(*arguments)
    rig.pump_for(10_000 * MICROSECOND)
    rig.memory.close()


@settings(max_examples=60, deadline=None)
@given(
    ram=st.binary(min_size=128, max_size=512),
    length=st.integers(0, 0xFFFFFFFF),
    tail=st.integers(0, 0xFFFF),
    low=st.integers(0, 0xFFFFFFFF),
    high=st.sampled_from((0, 0, 1, 0xFFFFFFFF)),
)
def test_no_ring_is_an_error(ram: bytes, length: int, tail: int, low: int, high: int) -> None:
    rig = Rig()
    rig.link_up()
    rig.memory.bytes[:] = (ram * (rig.memory.size // len(ram) + 1))[: rig.memory.size]
    for base, size, end in ((reg.TDBAL, reg.TDLEN, reg.TDT), (reg.RDBAL, reg.RDLEN, reg.RDT)):
        rig.write(base, low)
        rig.write(base + 4, high)
        rig.write(size, length)
        rig.write(end, tail)
    rig.write(reg.TCTL, 0xFFFFFFFF)
    rig.write(reg.RCTL, 0xFFFFFFFF)
    for _ in range(5):
        rig.peer.send(frame_to(MAC))
    rig.pump_for(2_000 * MICROSECOND)
    rig.memory.close()
