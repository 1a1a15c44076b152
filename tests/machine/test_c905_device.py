"""The 3C905C on a bare rig: RAM, a clock, a bus; no CPU."""

import copy
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nooks_lab.machine.bus import Bus
from nooks_lab.machine.clock import Clock
from nooks_lab.machine.devices import c905_registers as reg
from nooks_lab.machine.devices.c905 import (
    C905,
    EEPROM_READ_CYCLES,
    GLOBAL_RESET_CYCLES,
    NEGOTIATION_CYCLES,
    PHY_ADDRESS,
)
from nooks_lab.machine.devices.c905_eeprom import CHECKSUM_WORD, MANUFACTURER_ID, THREE_COM
from nooks_lab.machine.devices.c905_filter import hash_of
from nooks_lab.machine.devices.c905_timing import FAST_TICK_CYCLES, MICROSECOND, TICK_CYCLES
from nooks_lab.machine.devices.c905_transmit import TX_STATUS_ENTRIES
from nooks_lab.machine.devices.phy import PHY_CTRL, PHY_ID1, PHY_ID2, PHY_STATUS, STATUS_LINK
from nooks_lab.machine.ethernet import (
    BROADCAST,
    FAST_ETHERNET,
    frame_check_sequence,
    line_cycles,
    ones_complement_sum,
)
from nooks_lab.machine.interrupts import InterruptController
from nooks_lab.machine.memory import PhysicalMemory
from nooks_lab.machine.pci import COMMAND, COMMAND_IO, COMMAND_MASTER, COMMAND_MEMORY, PciBus
from nooks_lab.machine.peer import Peer
from nooks_lab.machine.wire import Wire

MAC = bytes.fromhex("001122334455")
PEER = bytes.fromhex("0200000000aa")
GROUP = bytes.fromhex("01005e000105")
IRQ, PORTS, BASE = 11, 0xC000, 0xFEBC0000
DPDS, UPDS, TX_BUFFERS, RX_BUFFERS = 0x1000, 0x2000, 0x10000, 0x40000
RAM = 1 << 20
ALL = reg.INDICATIONS | reg.INTERRUPT_LATCH
NO_ROUND = reg.FSH_ROUND_UP_DEFEAT


@dataclass
class Rig:
    """A controller, a peer on its wire, and the driver's half of the two lists."""

    memory: PhysicalMemory = field(default_factory=lambda: PhysicalMemory(RAM))
    clock: Clock = field(default_factory=Clock)
    pic: InterruptController = field(default_factory=InterruptController)
    nic: C905 = field(default_factory=lambda: C905(mac=MAC))

    def __post_init__(self) -> None:
        self.bus = Bus(self.memory, self.clock)
        self.pci = PciBus()
        self.nic.plug(self.bus, self.clock, self.pic, self.pci)
        self.pci.config_write(3, COMMAND, 2, COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER)
        self.peer = Peer("peer", self.clock)
        self.wire = Wire(self.nic, self.peer, bits_per_second=FAST_ETHERNET)

    def read(self, offset: int, size: int = 2, window: int | None = None) -> int:
        self.select(window)
        return self.nic.io_read(0, offset, size)

    def write(self, offset: int, value: int, size: int = 2, window: int | None = None) -> None:
        self.select(window)
        self.nic.io_write(0, offset, size, value)

    def select(self, window: int | None) -> None:
        if window is not None:
            self.command(reg.SELECT_WINDOW, window)

    def command(self, command: int, parameter: int = 0) -> None:
        self.nic.io_write(0, reg.COMMAND, 2, command << 11 | parameter)

    def status(self) -> int:
        return self.read(reg.INT_STATUS)

    def pump(self, until: int | None = None, watch: Callable[[], None] | None = None) -> None:
        """Let events happen, all or those up to a cycle; the clock jumps from one to the next."""
        while (when := self.clock.next_event()) is not None and (until is None or when <= until):
            self.clock.advance(max(0, when - self.clock.now))
            self.clock.run_due()
            if watch:
                watch()
        if until is not None and until > self.clock.now:
            self.clock.advance(until - self.clock.now)

    def pump_for(self, cycles: int) -> None:
        self.pump(self.clock.now + cycles)

    def open(self) -> None:
        """A link, all interrupts, both directions; the upload list is a ring of eight."""
        self.pump_for(NEGOTIATION_CYCLES + 1)
        for index in range(6):
            self.write(index, MAC[index], 1, window=2)
        for index in range(8):
            self.upload(index, (index + 1) % 8)
        self.command(reg.SET_INDICATION_ENABLE, ALL)
        self.command(reg.SET_RX_FILTER, reg.RECEIVE_INDIVIDUAL | reg.RECEIVE_BROADCAST)
        self.write(reg.UP_LIST_PTR, UPDS, 4)
        self.command(reg.STATISTICS_ENABLE)
        self.command(reg.RX_ENABLE)
        self.command(reg.TX_ENABLE)
        self.acknowledge()

    def acknowledge(self) -> None:
        self.command(reg.ACKNOWLEDGE_INTERRUPT, 0x663)

    def upload(self, index: int, following: int | None, *fragments: tuple[int, int], status: int = 0) -> int:
        """Fill an upload descriptor, by default with one buffer of 1,536 bytes; returns its address."""
        address = UPDS + 0x40 * index
        link = 0 if following is None else UPDS + 0x40 * following
        self._describe(address, link, status, fragments or ((RX_BUFFERS + 0x1000 * index, 1536),))
        return address

    def download(
        self, index: int, following: int | None, header: int, *pieces: bytes, offset: int = 0
    ) -> int:
        """Fill a download descriptor with a fragment for each piece; returns its address."""
        address = DPDS + 0x40 * index
        at = TX_BUFFERS + 0x4000 * index + offset
        fragments = []
        for piece in pieces:
            self.memory.write(at, piece)
            fragments.append((at, len(piece)))
            at += len(piece) + 3
        self._describe(address, 0 if following is None else DPDS + 0x40 * following, header, tuple(fragments))
        return address

    def _describe(self, address: int, link: int, word: int, fragments: tuple[tuple[int, int], ...]) -> None:
        data = struct.pack("<II", link, word)
        for at, length in fragments:
            data += struct.pack("<II", at, length)
        if fragments:
            data = data[:-4] + struct.pack("<I", fragments[-1][1] | reg.DN_FRAG_LAST)
        self.memory.write(address, data)

    def word(self, address: int) -> int:
        return int.from_bytes(self.memory.read(address, 4), "little")

    def up_status(self, index: int) -> int:
        return self.word(UPDS + 0x40 * index + 4)

    def received(self, index: int) -> bytes:
        return self.memory.read(RX_BUFFERS + 0x1000 * index, self.up_status(index) & reg.UP_LENGTH)

    def send(self, header: int, *pieces: bytes) -> None:
        """Download one frame and let it leave."""
        self.write(reg.DN_LIST_PTR, self.download(0, None, header, *pieces), 4)
        self.pump()

    def arrived(self) -> list[bytes]:
        return [frame for _, frame in self.peer.received]

    def mdio(self, bits: int, count: int) -> None:
        for position in reversed(range(count)):
            level = reg.MGMT_DIR | (reg.MGMT_DATA if bits >> position & 1 else 0)
            self.write(reg.PHYSICAL_MGMT, level, window=4)
            self.write(reg.PHYSICAL_MGMT, level | reg.MGMT_CLK)

    def read_phy(self, register: int, phy: int = PHY_ADDRESS, preamble: int = 32) -> int:
        """Read a register as a driver does; returns the bit of the turnaround and the 16 data bits."""
        self.mdio((1 << preamble) - 1, preamble)
        self.mdio(0b0110 << 10 | phy << 5 | register, 14)
        result = 0
        for _ in range(18):
            self.write(reg.PHYSICAL_MGMT, 0)
            result = result << 1 | bool(self.read(reg.PHYSICAL_MGMT) & reg.MGMT_DATA)
            self.write(reg.PHYSICAL_MGMT, reg.MGMT_CLK)
        return result & 0x1FFFF

    def write_phy(self, register: int, value: int, phy: int = PHY_ADDRESS) -> None:
        self.mdio((1 << 32) - 1, 32)
        self.mdio(0b0101 << 28 | phy << 23 | register << 18 | 0b10 << 16 | value, 32)


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.open()
    return rig


def frame_to(destination: bytes, length: int = 60, fill: int = 0x5A) -> bytes:
    return destination + PEER + b"\x08\x00" + bytes((fill + i) & 0xFF for i in range(length - 14))


# Registers


def test_pci_says_what_it_is() -> None:
    rig = Rig()
    assert rig.nic.function.read(0, 4) == 0x920010B7
    assert rig.nic.function.read(0x10, 4) == PORTS | 1
    assert rig.nic.function.read(0x14, 4) == BASE


def test_ports_and_memory_lead_to_the_same_registers() -> None:
    rig = Rig()
    rig.bus.port_write(PORTS + reg.COMMAND, 2, reg.SELECT_WINDOW << 11 | 2)
    rig.bus.port_write(PORTS, 4, 0x33221100)
    assert rig.bus.mmio_read(BASE, 4) == 0x33221100
    rig.bus.mmio_write(BASE + reg.COMMAND, 2, reg.SELECT_WINDOW << 11 | 5)
    assert rig.bus.port_read(PORTS + reg.INT_STATUS, 2) >> reg.WINDOW_SHIFT == 5


def test_each_window_has_its_own_bytes() -> None:
    rig = Rig()
    rig.write(0, 0x1234, window=2)
    rig.write(reg.VLAN_ETHER_TYPE, 0x8100, window=7)
    assert rig.read(0, window=2) == 0x1234
    assert rig.read(reg.VLAN_ETHER_TYPE, window=7) == 0x8100
    assert rig.read(reg.MAX_PKT_SIZE, window=3) == 1514
    rig.write(reg.MEDIA_OPTIONS, 0xFFFF, window=3)
    assert rig.read(reg.MEDIA_OPTIONS, window=3) == reg.MEDIA_100BASE_TX | reg.MEDIA_10BASE_T


def test_a_command_wants_both_its_bytes_at_once() -> None:
    rig = Rig()
    rig.nic.io_write(0, reg.COMMAND, 1, 3)
    rig.nic.io_write(0, reg.COMMAND + 1, 1, reg.SELECT_WINDOW << 3)
    assert rig.status() >> reg.WINDOW_SHIFT == 0
    rig.nic.io_write(0, 0x0C, 4, (reg.SELECT_WINDOW << 11 | 3) << 16)
    assert rig.status() >> reg.WINDOW_SHIFT == 3


# EEPROM


def eeprom(rig: Rig, address: int) -> int:
    rig.write(reg.EEPROM_COMMAND, reg.EEPROM_READ | address, window=0)
    assert rig.read(reg.EEPROM_COMMAND) & reg.EEPROM_BUSY
    rig.pump_for(EEPROM_READ_CYCLES)
    assert not rig.read(reg.EEPROM_COMMAND) & reg.EEPROM_BUSY
    return rig.read(reg.EEPROM_DATA)


def test_the_eeprom_holds_address_maker_and_checksum() -> None:
    rig = Rig()
    words = [eeprom(rig, address) for address in range(CHECKSUM_WORD + 1)]
    assert b"".join(word.to_bytes(2, "big") for word in words[:3]) == MAC
    assert words[MANUFACTURER_ID] == THREE_COM
    folded = 0
    for word in words:
        folded ^= word ^ word >> 8
    assert folded & 0xFF == 0


def test_the_eeprom_is_written_only_after_it_was_allowed() -> None:
    rig = Rig()

    def do(command: int) -> None:
        rig.write(reg.EEPROM_COMMAND, command, window=0)
        rig.pump_for(EEPROM_READ_CYCLES)

    rig.write(reg.EEPROM_DATA, 0, window=0)
    do(reg.EEPROM_WRITE | 5)
    do(reg.EEPROM_ERASE | 5)
    assert eeprom(rig, 5) == 0
    do(reg.EEPROM_WRITE_ENABLE)
    do(reg.EEPROM_ERASE | 5)
    assert eeprom(rig, 5) == 0xFFFF
    rig.write(reg.EEPROM_DATA, 0xBEEF, window=0)
    do(reg.EEPROM_WRITE | 5)
    do(reg.EEPROM_WRITE_DISABLE)
    rig.write(reg.EEPROM_DATA, 0, window=0)
    do(reg.EEPROM_WRITE | 5)
    assert eeprom(rig, 5) == 0xBEEF


# PHY


def test_the_phy_is_read_and_written_bit_by_bit(rig: Rig) -> None:
    assert rig.read_phy(PHY_ID1) << 16 | rig.read_phy(PHY_ID2) == 0x00416800
    rig.write_phy(4, 0x0181)
    assert rig.read_phy(4) == 0x0181


def test_where_no_phy_is_the_wire_stays_high(rig: Rig) -> None:
    assert rig.read_phy(PHY_STATUS, phy=3) == 0x1FFFF
    rig.write_phy(4, 0, phy=3)
    assert rig.read_phy(4) != 0


def test_without_a_preamble_there_is_no_answer(rig: Rig) -> None:
    # The header's own ones are no preamble; a frame that came before has used up its own.
    rig.read_phy(PHY_STATUS)
    assert rig.read_phy(PHY_STATUS, preamble=8) == 0x1FFFF
    rig.mdio((1 << 32) - 1, 32)
    assert rig.read_phy(PHY_ID1, preamble=32) == 0x0041


def test_a_lost_link_is_an_event_and_stays_visible_once(rig: Rig) -> None:
    rig.nic.set_link(False)
    assert rig.status() & reg.LINK_EVENT
    assert not rig.read(reg.MEDIA_STATUS, window=4) & reg.MEDIA_LINK_DETECT
    rig.command(reg.ACKNOWLEDGE_INTERRUPT, reg.LINK_EVENT_ACK)
    rig.nic.set_link(True)
    rig.pump_for(NEGOTIATION_CYCLES + 1)
    assert rig.status() & reg.LINK_EVENT
    assert rig.read(reg.MEDIA_STATUS, window=4) & reg.MEDIA_LINK_DETECT
    assert not rig.read_phy(PHY_STATUS) & STATUS_LINK
    assert rig.read_phy(PHY_STATUS) & STATUS_LINK


def test_new_negotiation_takes_the_link_away(rig: Rig) -> None:
    rig.write_phy(PHY_CTRL, 0x1200)
    assert not rig.nic.state.link
    rig.pump_for(NEGOTIATION_CYCLES + 1)
    assert rig.nic.state.link


# Download


def test_fragments_make_one_frame(rig: Rig) -> None:
    whole = frame_to(PEER, 301)
    rig.send(NO_ROUND, whole[:14], whole[14:15], b"", whole[15:])
    assert rig.arrived() == [whole]
    assert rig.word(DPDS + 4) == NO_ROUND | reg.FSH_DN_COMPLETE
    assert rig.read(reg.DN_LIST_PTR, 4) == 0


def test_a_short_frame_is_padded(rig: Rig) -> None:
    rig.send(NO_ROUND, frame_to(PEER, 40))
    assert rig.arrived() == [frame_to(PEER, 40).ljust(60, b"\0")]


@pytest.mark.parametrize(
    ("header", "length"), [(0, 72), (2, 70), (1, 69), (3, 69), (NO_ROUND, 69), (NO_ROUND | 2, 69)]
)
def test_lengths_are_rounded_up_as_the_header_says(rig: Rig, header: int, length: int) -> None:
    rig.send(header, frame_to(PEER, 69))
    assert rig.arrived() == [frame_to(PEER, 69).ljust(length, b"\0")]


def test_a_frame_may_bring_its_own_check_sequence(rig: Rig) -> None:
    good = frame_to(PEER, 80)
    rig.send(NO_ROUND | reg.FSH_CRC_APPEND_DISABLE, good, frame_check_sequence(good))
    rig.send(NO_ROUND | reg.FSH_CRC_APPEND_DISABLE, good, bytes(4))
    assert rig.arrived() == [good]


@pytest.mark.parametrize(("protocol", "at"), [(6, 16), (17, 6)])
def test_checksums_are_filled_in(rig: Rig, protocol: int, at: int) -> None:
    payload = bytearray(range(41))
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 61, 1, 0, 64, protocol, 0, b"\x0a\0\0\1", b"\x0a\0\0\2")
    frame = PEER + MAC + b"\x08\x00" + header + payload
    all_three = reg.FSH_ADD_IP_CHECKSUM | reg.FSH_ADD_TCP_CHECKSUM | reg.FSH_ADD_UDP_CHECKSUM
    rig.send(NO_ROUND | all_three, frame)
    (sent,) = rig.arrived()
    packet = sent[14:75]
    assert ones_complement_sum(packet[:20]) == 0xFFFF
    pseudo = packet[12:20] + bytes((0, protocol)) + (41).to_bytes(2, "big")
    assert ones_complement_sum(pseudo + packet[20:]) == 0xFFFF
    untouched = [index for index in range(41) if index not in (at, at + 1)]
    assert [packet[20 + index] for index in untouched] == untouched


def test_a_list_is_worked_through_in_order_at_line_rate(rig: Rig) -> None:
    frames = [frame_to(PEER, 200 + index, index) for index in range(5)]
    for index, frame in enumerate(frames):
        rig.download(index, index + 1 if index < 4 else None, NO_ROUND, frame)
    rig.write(reg.DN_LIST_PTR, DPDS, 4)
    rig.pump()
    assert rig.arrived() == frames
    times = [when for when, _ in rig.peer.received]
    assert times[-1] - times[0] >= sum(line_cycles(len(frame), FAST_ETHERNET) for frame in frames[:-1])


def test_an_empty_descriptor_sends_nothing_and_is_marked(rig: Rig) -> None:
    rig.send(NO_ROUND | reg.FSH_EMPTY | reg.FSH_DN_INDICATE)
    assert rig.arrived() == []
    assert rig.word(DPDS + 4) & reg.FSH_DN_COMPLETE
    assert rig.status() & reg.DN_COMPLETE


def test_a_list_that_bites_its_tail_ends_with_the_stall(rig: Rig) -> None:
    rig.write(reg.DN_LIST_PTR, rig.download(0, 0, NO_ROUND, frame_to(PEER)), 4)
    rig.pump_for(1000 * MICROSECOND)
    assert 100 < len(rig.arrived()) < 160
    rig.command(reg.STALL, reg.DN_STALL)
    rig.pump_for(2000 * MICROSECOND)
    assert rig.clock.next_event() is None


def test_polling_finds_what_is_linked_behind_the_end(rig: Rig) -> None:
    first, second = frame_to(PEER, 100), frame_to(PEER, 101)
    rig.write(reg.DN_POLL, 20, 1)
    rig.write(reg.DN_LIST_PTR, rig.download(0, None, NO_ROUND, first), 4)
    rig.pump_for(100 * MICROSECOND)
    assert rig.read(reg.DN_LIST_PTR, 4) == DPDS
    rig.download(1, None, NO_ROUND, second)
    rig.download(0, 1, NO_ROUND, first)
    rig.pump_for(100 * MICROSECOND)
    assert rig.arrived() == [first, second]
    rig.write(reg.DN_POLL, 0, 1)
    assert rig.read(reg.DN_LIST_PTR, 4) == 0
    rig.pump()


def test_a_stall_lasts_until_the_transfer_is_over_and_holds_the_list(rig: Rig) -> None:
    rig.download(0, None, NO_ROUND, frame_to(PEER, 1000))
    rig.write(reg.DN_LIST_PTR, DPDS, 4)
    rig.command(reg.STALL, reg.DN_STALL)
    assert rig.status() & reg.CMD_IN_PROGRESS
    assert rig.read(reg.DMA_CTRL, 4) & reg.DMA_DN_IN_PROG
    rig.pump_for(20 * MICROSECOND)
    assert not rig.status() & reg.CMD_IN_PROGRESS
    assert rig.read(reg.DMA_CTRL, 4) & reg.DMA_DN_STALLED
    rig.write(reg.DN_LIST_PTR, rig.download(1, None, NO_ROUND, frame_to(PEER, 77)), 4)
    rig.pump()
    assert rig.arrived() == [frame_to(PEER, 1000)]
    rig.command(reg.STALL, reg.DN_UNSTALL)
    rig.pump()
    assert rig.arrived() == [frame_to(PEER, 1000), frame_to(PEER, 77)]


def test_transmit_status_is_a_stack_with_packet_numbers(rig: Rig) -> None:
    for number in (7, 8):
        rig.send(NO_ROUND | reg.FSH_TX_INDICATE | number << reg.FSH_PKT_ID_SHIFT, frame_to(PEER))
    for number in (7, 8):
        assert rig.status() & reg.TX_COMPLETE
        assert rig.read(reg.TX_STATUS, 1) == reg.TX_STATUS_COMPLETE | reg.TX_INTERRUPT_REQUESTED
        assert rig.read(reg.TX_PKT_ID, 1) == number
        rig.write(reg.TX_STATUS, 0, 1)
    assert not rig.status() & reg.TX_COMPLETE


def test_a_full_stack_stops_the_transmitter(rig: Rig) -> None:
    for _ in range(TX_STATUS_ENTRIES + 1):
        rig.send(NO_ROUND | reg.FSH_TX_INDICATE, frame_to(PEER))
    assert not rig.read(reg.NETWORK_DIAGNOSTIC, window=4) & reg.NET_TX_ENABLED
    statuses = []
    while (status := rig.read(reg.TX_STATUS, 1)) & reg.TX_STATUS_COMPLETE:
        statuses.append(status)
        rig.write(reg.TX_STATUS, 0, 1)
    assert len(statuses) == TX_STATUS_ENTRIES
    assert statuses[-1] & reg.TX_STATUS_OVERFLOW
    rig.send(NO_ROUND, frame_to(PEER, 99))
    assert len(rig.arrived()) == TX_STATUS_ENTRIES + 1
    rig.command(reg.TX_ENABLE)
    rig.pump()
    assert rig.arrived()[-1] == frame_to(PEER, 99)


def test_jabber_needs_a_reset(rig: Rig) -> None:
    rig.send(NO_ROUND, frame_to(PEER, 5000), frame_to(PEER, 5000))
    assert rig.read(reg.TX_STATUS, 1) & reg.TX_JABBER
    rig.command(reg.TX_ENABLE)
    rig.send(NO_ROUND, frame_to(PEER))
    assert rig.arrived() == []
    rig.command(reg.TX_RESET)
    assert rig.status() & reg.CMD_IN_PROGRESS
    rig.pump_for(100 * MICROSECOND)
    assert not rig.status() & (reg.CMD_IN_PROGRESS | reg.TX_COMPLETE)
    rig.command(reg.TX_ENABLE)
    rig.send(NO_ROUND, frame_to(PEER, 90))
    assert rig.arrived() == [frame_to(PEER, 90)]


def test_without_a_link_frames_are_lost_and_counted(rig: Rig) -> None:
    rig.nic.set_link(False)
    rig.send(NO_ROUND, frame_to(PEER))
    assert rig.arrived() == []
    assert rig.read(reg.CARRIER_LOST, 1, window=6) == 1


def test_without_bus_mastering_nothing_is_fetched(rig: Rig) -> None:
    rig.pci.config_write(3, COMMAND, 2, COMMAND_IO)
    rig.send(NO_ROUND, frame_to(PEER))
    rig.peer.send(frame_to(MAC))
    rig.pump()
    assert rig.arrived() == []
    assert rig.up_status(0) == 0


# Upload


def test_a_frame_goes_into_the_descriptors_buffer(rig: Rig) -> None:
    frame = frame_to(MAC, 333)
    rig.peer.send(frame)
    rig.pump()
    assert rig.up_status(0) == 333 | reg.UP_PKT_COMPLETE
    assert rig.read(reg.UP_PKT_STATUS, 4) == 333 | reg.UP_PKT_COMPLETE
    assert rig.received(0) == frame
    assert rig.read(reg.UP_LIST_PTR, 4) == UPDS + 0x40
    assert rig.status() & reg.UP_COMPLETE


def test_a_frame_is_spread_over_fragments(rig: Rig) -> None:
    rig.upload(0, 1, (RX_BUFFERS, 10), (RX_BUFFERS + 100, 0), (RX_BUFFERS + 200, 50), (RX_BUFFERS + 300, 500))
    frame = frame_to(MAC, 200)
    rig.peer.send(frame)
    rig.pump()
    pieces = ((0, 10), (200, 50), (300, 140))
    assert b"".join(rig.memory.read(RX_BUFFERS + at, size) for at, size in pieces) == frame


def test_what_finds_no_room_is_an_overflow(rig: Rig) -> None:
    rig.upload(0, 1, (RX_BUFFERS, 100))
    rig.peer.send(frame_to(MAC, 200))
    rig.pump()
    assert rig.up_status(0) == 200 | reg.UP_PKT_COMPLETE | reg.UP_ERROR | reg.UP_OVERFLOW
    assert rig.memory.read(RX_BUFFERS + 100, 4) == bytes(4)


def test_a_descriptor_in_use_halts_the_upload_until_it_is_told(rig: Rig) -> None:
    rig.upload(1, 2, status=reg.UP_PKT_COMPLETE)
    for length in (60, 61):
        rig.peer.send(frame_to(MAC, length))
    rig.pump()
    assert rig.up_status(1) == reg.UP_PKT_COMPLETE
    assert rig.read(reg.UP_PKT_STATUS, 4) & reg.UP_STALLED
    rig.upload(1, 2)
    rig.pump()
    assert rig.up_status(1) == 0
    rig.command(reg.STALL, reg.UP_UNSTALL)
    rig.pump()
    assert rig.received(1) == frame_to(MAC, 61)


def test_upload_polling_finds_a_descriptor_that_has_become_free(rig: Rig) -> None:
    rig.write(reg.UP_POLL, 10, 1)
    rig.upload(0, 1, status=reg.UP_PKT_COMPLETE)
    rig.peer.send(frame_to(MAC, 64))
    rig.pump_for(200 * MICROSECOND)
    assert rig.up_status(0) == reg.UP_PKT_COMPLETE
    rig.upload(0, 1)
    rig.pump_for(10 * FAST_TICK_CYCLES + 10 * MICROSECOND)
    assert rig.received(0) == frame_to(MAC, 64)


def test_the_end_of_the_list_leaves_frames_in_the_fifo_until_it_overruns(rig: Rig) -> None:
    rig.upload(0, None)
    for _ in range(10):
        rig.peer.send(frame_to(MAC, 1500))
    rig.pump()
    assert rig.read(reg.UP_LIST_PTR, 4) == 0
    assert rig.status() & reg.RX_COMPLETE
    kept = 10 - 1 - rig.read(reg.RX_OVERRUNS, 1, window=6)
    assert kept == 5 * 1024 // 1500
    assert rig.read(reg.RX_FREE, window=3) == 5 * 1024 - kept * 1500
    rig.write(reg.UP_LIST_PTR, UPDS + 0x40, 4)
    rig.pump()
    assert [rig.up_status(index) & reg.UP_LENGTH for index in range(1, 6)] == [1500] * kept + [0] * (5 - kept)


@pytest.mark.parametrize(("length", "flag"), [(59, reg.UP_RUNT_FRAME), (1515, reg.UP_OVERSIZED_FRAME)])
def test_frames_of_wrong_length_are_marked(rig: Rig, length: int, flag: int) -> None:
    rig.peer.send_unpadded(frame_to(MAC, length))
    rig.pump()
    assert rig.up_status(0) == length | reg.UP_PKT_COMPLETE | reg.UP_ERROR | flag
    assert rig.read(reg.FRAMES_RCVD_OK, 1, window=6) == 0


def test_large_packets_may_be_allowed(rig: Rig) -> None:
    rig.write(reg.MAC_CONTROL, reg.MAC_ALLOW_LARGE_PACKETS, window=3)
    rig.upload(0, 1, (RX_BUFFERS, 5000))
    rig.peer.send(frame_to(MAC, 4491))
    rig.pump()
    assert rig.up_status(0) == 4491 | reg.UP_PKT_COMPLETE


def test_a_disabled_receiver_hears_nothing(rig: Rig) -> None:
    rig.command(reg.RX_DISABLE)
    rig.peer.send(frame_to(MAC))
    rig.pump()
    assert rig.up_status(0) == 0


# Filter


@pytest.mark.parametrize(
    ("rx_filter", "heard"),
    [
        (0, []),
        (reg.RECEIVE_INDIVIDUAL, [MAC]),
        (reg.RECEIVE_BROADCAST, [BROADCAST]),
        (reg.RECEIVE_MULTICAST, [GROUP, BROADCAST]),
        (reg.RECEIVE_MULTICAST_HASH, []),
        (reg.RECEIVE_ALL_FRAMES, [MAC, PEER, GROUP, BROADCAST]),
    ],
)
def test_the_filter_takes_what_it_is_set_to(rig: Rig, rx_filter: int, heard: list[bytes]) -> None:
    rig.command(reg.SET_RX_FILTER, rx_filter)
    for destination in (MAC, PEER, GROUP, BROADCAST):
        rig.peer.send(frame_to(destination))
    rig.pump()
    frames = [rig.received(index)[:6] for index in range(8) if rig.up_status(index)]
    assert frames == heard


def test_the_hash_filter_lets_a_group_through(rig: Rig) -> None:
    rig.command(reg.SET_RX_FILTER, reg.RECEIVE_MULTICAST_HASH)
    rig.command(reg.SET_HASH_FILTER_BIT, reg.HASH_BIT_VALUE | hash_of(GROUP))
    rig.peer.send(frame_to(GROUP))
    rig.pump()
    rig.command(reg.SET_HASH_FILTER_BIT, hash_of(GROUP))
    rig.peer.send(frame_to(GROUP))
    rig.pump()
    assert (rig.up_status(0) != 0, rig.up_status(1)) == (True, 0)


@given(address=st.binary(min_size=6, max_size=6))
def test_the_hash_is_the_end_of_the_address_crc(address: bytes) -> None:
    # zlib's remainder is the other way round, and inverted.
    mirrored = int(f"{zlib.crc32(address) ^ 0xFFFFFFFF:032b}"[::-1], 2)
    assert hash_of(address) == mirrored & 0xFF


def test_masked_bits_of_the_station_address_are_not_compared(rig: Rig) -> None:
    rig.write(reg.STATION_MASK + 5, 0x0F, 1, window=2)
    for last in (0x45, 0x50, 0x5F):
        rig.peer.send(frame_to(MAC[:5] + bytes((last,))))
    rig.pump()
    assert [rig.received(index)[5] for index in range(3) if rig.up_status(index)] == [0x50, 0x5F]


# Pointers that lead nowhere


def dangling_descriptor(rig: Rig) -> None:
    rig.write(reg.DN_LIST_PTR, 0xFFFF0000, 4)


def dangling_fragment(rig: Rig) -> None:
    rig.download(0, None, NO_ROUND, b"x")
    rig.memory.write(DPDS + 8, struct.pack("<II", RAM - 10, 60 | reg.DN_FRAG_LAST))
    rig.write(reg.DN_LIST_PTR, DPDS, 4)


def dangling_link(rig: Rig) -> None:
    rig.download(0, None, NO_ROUND, frame_to(PEER))
    rig.memory.write(DPDS, (RAM + 8).to_bytes(4, "little"))
    rig.write(reg.DN_LIST_PTR, DPDS, 4)


def dangling_upload(rig: Rig) -> None:
    rig.write(reg.UP_LIST_PTR, 0x80000000, 4)
    rig.peer.send(frame_to(MAC))


def dangling_buffer(rig: Rig) -> None:
    rig.upload(0, 1, (RAM - 4, 1536))
    rig.peer.send(frame_to(MAC))


@pytest.mark.parametrize(
    "dangle", [dangling_descriptor, dangling_fragment, dangling_link, dangling_upload, dangling_buffer]
)
def test_a_pointer_to_nowhere_is_a_host_error_until_the_lists_are_reset(
    rig: Rig, dangle: Callable[[Rig], None]
) -> None:
    rig.command(reg.SET_INTERRUPT_ENABLE, reg.HOST_ERROR)
    dangle(rig)
    rig.pump()
    assert rig.status() & reg.HOST_ERROR
    assert rig.read(reg.DMA_CTRL, 4) & reg.DMA_MASTER_ABORT
    assert rig.pic.asserted(IRQ)
    rig.acknowledge()
    assert rig.pic.asserted(IRQ)
    before = len(rig.arrived())
    rig.send(NO_ROUND, frame_to(PEER, 70))
    assert len(rig.arrived()) == before
    rig.command(reg.GLOBAL_RESET, 0xFF)
    rig.pump_for(GLOBAL_RESET_CYCLES)
    rig.acknowledge()
    assert not rig.status() & (reg.HOST_ERROR | reg.INTERRUPT_LATCH)
    assert not rig.read(reg.DMA_CTRL, 4) & reg.DMA_MASTER_ABORT
    rig.send(NO_ROUND, frame_to(PEER, 71))
    assert rig.arrived()[before:] == [frame_to(PEER, 71)]


# Interrupts


def test_indications_show_and_enabled_ones_interrupt(rig: Rig) -> None:
    rig.command(reg.SET_INDICATION_ENABLE, 0)
    rig.command(reg.REQUEST_INTERRUPT)
    assert not rig.status() & reg.INT_REQUESTED
    rig.command(reg.SET_INDICATION_ENABLE, reg.INT_REQUESTED)
    assert rig.status() & reg.INT_REQUESTED
    assert not rig.pic.asserted(IRQ)
    rig.command(reg.SET_INTERRUPT_ENABLE, reg.INT_REQUESTED)
    assert rig.status() & reg.INTERRUPT_LATCH
    assert rig.pic.asserted(IRQ)


def test_the_latch_comes_back_as_long_as_there_is_a_cause(rig: Rig) -> None:
    rig.command(reg.SET_INTERRUPT_ENABLE, ALL)
    rig.command(reg.REQUEST_INTERRUPT)
    rig.command(reg.ACKNOWLEDGE_INTERRUPT, reg.LATCH_ACK)
    assert rig.pic.asserted(IRQ)
    rig.command(reg.ACKNOWLEDGE_INTERRUPT, reg.INT_REQUESTED)
    assert rig.pic.asserted(IRQ)
    rig.command(reg.ACKNOWLEDGE_INTERRUPT, reg.LATCH_ACK)
    assert not rig.pic.asserted(IRQ)


def test_masking_all_takes_the_line_down(rig: Rig) -> None:
    rig.command(reg.SET_INTERRUPT_ENABLE, ALL)
    rig.command(reg.REQUEST_INTERRUPT)
    rig.command(reg.SET_INTERRUPT_ENABLE, 0)
    assert not rig.pic.asserted(IRQ)
    rig.command(reg.SET_INTERRUPT_ENABLE, ALL)
    assert rig.pic.asserted(IRQ)


def test_the_automatic_status_acknowledges_and_masks(rig: Rig) -> None:
    rig.command(reg.SET_INTERRUPT_ENABLE, ALL)
    rig.command(reg.REQUEST_INTERRUPT)
    assert rig.read(reg.INT_STATUS_AUTO) & (reg.INT_REQUESTED | reg.INTERRUPT_LATCH)
    assert not rig.pic.asserted(IRQ)
    assert not rig.status() & (reg.INT_REQUESTED | reg.INTERRUPT_LATCH)
    assert rig.read(reg.INTERRUPT_ENABLE, window=5) == 0


def test_countdown_runs_once_written_and_stops_at_zero(rig: Rig) -> None:
    rig.write(reg.COUNTDOWN, 100)
    rig.pump_for(99 * TICK_CYCLES)
    assert rig.read(reg.COUNTDOWN) == 1
    assert not rig.status() & reg.INT_REQUESTED
    rig.pump_for(TICK_CYCLES)
    assert rig.status() & reg.INT_REQUESTED
    assert rig.read(reg.COUNTDOWN) == 0


def test_in_countdown_mode_a_download_starts_it(rig: Rig) -> None:
    rig.write(reg.DMA_CTRL, reg.DMA_COUNTDOWN_MODE | reg.DMA_COUNTER_SPEED, 4)
    rig.write(reg.COUNTDOWN, 1000)
    rig.pump_for(10_000 * FAST_TICK_CYCLES)
    assert not rig.status() & reg.INT_REQUESTED
    for _ in range(2):
        rig.write(reg.DN_LIST_PTR, rig.download(0, None, NO_ROUND, frame_to(PEER)), 4)
        rig.pump_for(900 * FAST_TICK_CYCLES)
        assert rig.read(reg.DMA_CTRL, 4) & reg.DMA_ARM_COUNTDOWN
        assert not rig.status() & reg.INT_REQUESTED
        rig.pump_for(200 * FAST_TICK_CYCLES)
        assert rig.status() & reg.INT_REQUESTED
        rig.acknowledge()


# Statistics


def test_counts_clear_when_they_are_read(rig: Rig) -> None:
    for _ in range(3):
        rig.send(NO_ROUND, frame_to(PEER, 1000))
    rig.peer.send(frame_to(MAC, 500))
    rig.pump()
    assert rig.read(reg.FRAMES_XMITTED_OK, 1, window=6) == 3
    assert rig.read(reg.BYTES_XMITTED_OK) == 3000
    assert rig.read(reg.FRAMES_RCVD_OK, 1) == 1
    assert rig.read(reg.BYTES_RCVD_OK) == 500
    for offset in range(reg.WINDOW_BYTES):
        assert rig.read(offset, 1) == 0


def test_large_counts_have_upper_bits(rig: Rig) -> None:
    rig.write(reg.NETWORK_DIAGNOSTIC, reg.NET_UPPER_BYTES_ENABLE, window=4)
    for _ in range(300):
        rig.send(NO_ROUND, frame_to(PEER, 1000))
    assert rig.read(reg.UPPER_FRAMES_OK, 1, window=6) >> 4 << 8 | rig.read(reg.FRAMES_XMITTED_OK, 1) == 300
    low = rig.read(reg.BYTES_XMITTED_OK)
    assert rig.read(reg.UPPER_BYTES_OK, 1, window=4) >> 4 << 16 | low == 300_000


def test_a_count_that_is_half_full_asks_to_be_read(rig: Rig) -> None:
    rig.nic.set_link(False)
    for _ in range(128):
        assert not rig.status() & reg.UPDATE_STATS
        rig.send(NO_ROUND, frame_to(PEER))
    assert rig.status() & reg.UPDATE_STATS
    assert rig.read(reg.CARRIER_LOST, 1, window=6) == 128
    assert not rig.status() & reg.UPDATE_STATS


def test_disabled_statistics_do_not_count(rig: Rig) -> None:
    rig.command(reg.STATISTICS_DISABLE)
    rig.send(NO_ROUND, frame_to(PEER))
    assert rig.read(reg.FRAMES_XMITTED_OK, 1, window=6) == 0


# Reset


def test_a_global_reset_takes_everything_back(rig: Rig) -> None:
    rig.command(reg.SET_INTERRUPT_ENABLE, ALL)
    rig.command(reg.REQUEST_INTERRUPT)
    rig.command(reg.GLOBAL_RESET)
    assert rig.status() & reg.CMD_IN_PROGRESS
    rig.pump_for(GLOBAL_RESET_CYCLES)
    assert rig.status() == 0
    assert rig.read(reg.UP_LIST_PTR, 4) == 0
    assert rig.read(0, 4, window=2) == 0
    assert rig.read(reg.NETWORK_DIAGNOSTIC, window=4) == 0
    assert not rig.nic.state.link
    assert not rig.pic.asserted(IRQ)


def test_a_reset_leaves_alone_what_it_is_told_to(rig: Rig) -> None:
    rig.command(reg.GLOBAL_RESET, reg.KEEP_NETWORK | reg.KEEP_AISM)
    rig.pump_for(GLOBAL_RESET_CYCLES)
    assert rig.nic.state.link
    assert rig.read(reg.UP_LIST_PTR, 4) == 0


def test_a_receiver_reset_while_a_frame_is_moved_loses_it(rig: Rig) -> None:
    rig.peer.send(frame_to(MAC, 1500))
    while not rig.nic.state.uploading:
        rig.pump_for(MICROSECOND // 2)
    rig.command(reg.RX_RESET, reg.KEEP_UP_DOWN)
    rig.pump()
    assert rig.up_status(0) == 0


# Snapshots


@pytest.mark.parametrize("microseconds", [0, 3, 20, 90, 300])
def test_load_amid_traffic_continues_identically(rig: Rig, microseconds: int) -> None:
    rig.command(reg.SET_INTERRUPT_ENABLE, ALL)
    for index in range(6):
        header = NO_ROUND | reg.FSH_DN_INDICATE | reg.FSH_TX_INDICATE
        rig.download(index, index + 1 if index < 5 else None, header, frame_to(PEER, 60 + 71 * index))
    rig.write(reg.DN_LIST_PTR, DPDS, 4)
    for index in range(12):
        rig.peer.send(frame_to(MAC, 60 + 31 * index))
    rig.pump_for(microseconds * MICROSECOND)

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


OFFSETS = st.integers(0, reg.REGISTER_BYTES - 1)
VALUES = st.one_of(st.integers(0, 0xFFFFFFFF), st.integers(0, RAM), st.just(0xFFFFFFFF))
SIZES = st.sampled_from((1, 2, 2, 4, 4))
ACTIONS = st.one_of(
    st.tuples(st.just("read"), OFFSETS, SIZES),
    st.tuples(st.just("write"), OFFSETS, VALUES, SIZES),
    st.tuples(st.just("command"), st.integers(0, 31), st.integers(0, 0x7FF)),
    st.tuples(st.just("run"), st.integers(0, 1000 * MICROSECOND)),
    st.tuples(st.just("frame"), st.binary(max_size=2000)),
    st.tuples(st.just("cable"), st.booleans()),
    st.tuples(st.just("ram"), st.integers(0, RAM - 4096), st.binary(max_size=256)),
)


@settings(max_examples=150, deadline=None)
@given(actions=st.lists(ACTIONS, max_size=40), opened=st.booleans())
def test_no_access_is_an_error(actions: list[tuple], opened: bool) -> None:
    rig = Rig()
    if opened:
        rig.open()
        rig.write(reg.DN_LIST_PTR, rig.download(0, None, NO_ROUND, frame_to(PEER)), 4)
    for action, *arguments in actions:
        if action == "read":
            offset, size = arguments
            assert 0 <= rig.read(offset, size) < 1 << 8 * size
        elif action == "write":
            offset, value, size = arguments
            rig.write(offset, value & (1 << 8 * size) - 1, size)
        elif action == "command":
            rig.command(*arguments)
        elif action == "run":
            rig.pump_for(arguments[0])
        elif action == "frame":
            rig.peer.send_unpadded(arguments[0])
        elif action == "cable":
            rig.nic.set_link(arguments[0])
        else:
            rig.memory.write(*arguments)
    rig.pump_for(5_000 * MICROSECOND)
    rig.memory.close()


@settings(max_examples=80, deadline=None)
@given(
    ram=st.binary(min_size=128, max_size=512),
    down=st.one_of(st.integers(0, RAM), st.integers(0, 0xFFFFFFFF)),
    up=st.one_of(st.integers(0, RAM), st.integers(0, 0xFFFFFFFF)),
    poll=st.sampled_from((0, 1, 127)),
)
def test_no_list_is_an_error(ram: bytes, down: int, up: int, poll: int) -> None:
    rig = Rig()
    rig.open()
    rig.memory.bytes[:] = (ram * (RAM // len(ram) + 1))[:RAM]
    rig.write(reg.DN_POLL, poll, 1)
    rig.write(reg.UP_POLL, poll, 1)
    rig.write(reg.UP_LIST_PTR, up, 4)
    rig.write(reg.DN_LIST_PTR, down, 4)
    for _ in range(5):
        rig.peer.send(frame_to(MAC))
    rig.pump_for(2_000 * MICROSECOND)
    rig.memory.close()
