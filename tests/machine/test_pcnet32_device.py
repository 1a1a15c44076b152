"""The Am79C971 on a bare rig: RAM, a clock, a bus; no CPU."""

import copy
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nooks_lab.machine.bus import Bus
from nooks_lab.machine.clock import CPU_HZ, Clock
from nooks_lab.machine.devices import pcnet32_registers as reg
from nooks_lab.machine.devices.pcnet32 import (
    MANAGEMENT_CYCLES,
    NEGOTIATION_CYCLES,
    PHY_ADDRESS,
    Pcnet32,
    aprom_bytes,
)
from nooks_lab.machine.devices.pcnet32_filter import hash_bit
from nooks_lab.machine.devices.pcnet32_transmit import LONGEST_TRANSMIT
from nooks_lab.machine.devices.phy import (
    CTRL_AUTO_NEG_EN,
    CTRL_POWER_DOWN,
    CTRL_RESET,
    CTRL_SPEED_100,
    PHY_CTRL,
    PHY_ID1,
    PHY_ID2,
    PHY_STATUS,
    STATUS_AUTONEG_COMPLETE,
    STATUS_LINK,
)
from nooks_lab.machine.ethernet import (
    BROADCAST,
    FAST_ETHERNET,
    arrival_cycles,
    frame_check_sequence,
    line_cycles,
)
from nooks_lab.machine.interrupts import InterruptController
from nooks_lab.machine.memory import PhysicalMemory
from nooks_lab.machine.pci import COMMAND, COMMAND_IO, COMMAND_MASTER, STATUS, STATUS_MASTER_ABORT, PciBus
from nooks_lab.machine.peer import Peer
from nooks_lab.machine.wire import LATENCY, Wire

MAC = bytes.fromhex("001122334455")
PEER = bytes.fromhex("0200000000aa")
GROUP = bytes.fromhex("01005e000001")
IRQ, PORTS = 11, 0xC000
RX_RING, TX_RING, INIT = 0x1000, 0x2000, 0x3000
RX_BUFFERS, TX_BUFFERS = 0x10000, 0x40000
BUFFER = 2048
MICROSECOND = CPU_HZ // 1_000_000
NOWHERE = 0x00F00000
OWN, ERR, STP, ENP = 1 << 31, 1 << 30, 1 << 25, 1 << 24


def twos_complement(length: int) -> int:
    return 0xF000 | -length & 0xFFF


@dataclass
class Rig:
    """A controller, a peer on its wire, and the driver's half of the two rings."""

    style: int = 2
    memory: PhysicalMemory = field(default_factory=lambda: PhysicalMemory(1 << 20))
    clock: Clock = field(default_factory=Clock)
    pic: InterruptController = field(default_factory=InterruptController)
    nic: Pcnet32 = field(default_factory=lambda: Pcnet32(mac=MAC))

    def __post_init__(self) -> None:
        self.bus = Bus(self.memory, self.clock)
        self.pci = PciBus()
        self.nic.plug(self.bus, self.clock, self.pic, self.pci)
        self.master(True)
        self.peer = Peer("peer", self.clock)
        self.wire = Wire(self.nic, self.peer, bits_per_second=FAST_ETHERNET)
        self.tail = 0
        self.rx_count = self.tx_count = 8

    def master(self, on: bool) -> None:
        self.pci.config_write(3, COMMAND, 2, COMMAND_IO | (COMMAND_MASTER if on else 0))

    # Ports

    def read(self, offset: int, size: int = 4) -> int:
        return self.bus.port_read(PORTS + offset, size)

    def write(self, offset: int, value: int, size: int = 4) -> None:
        self.bus.port_write(PORTS + offset, size, value)

    def wide(self) -> None:
        self.write(reg.DWIO_RDP, 0)

    def csr(self, number: int, value: int | None = None) -> int:
        return self._indexed(reg.DWIO_RDP, number, value)

    def bcr(self, number: int, value: int | None = None) -> int:
        return self._indexed(reg.DWIO_BDP, number, value)

    def _indexed(self, port: int, number: int, value: int | None) -> int:
        self.write(reg.DWIO_RAP, number)
        if value is None:
            return self.read(port)
        self.write(port, value)
        return value

    def mii(self, register: int, value: int | None = None, phy: int = PHY_ADDRESS) -> int:
        self.bcr(reg.BCR33, phy << 5 | register)
        return self.bcr(reg.BCR34, value)

    # Time

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
        self.pump_for(NEGOTIATION_CYCLES + 1)

    # The driver's half

    def init_block(
        self, mode: int = 0, ladrf: bytes = bytes(8), rx: int = RX_RING, tx: int = TX_RING
    ) -> bytes:
        if self.style:
            return struct.pack("<HBB6sxx8sII", mode, 3 << 4, 3 << 4, MAC, ladrf, rx, tx)
        return struct.pack("<H6s8sHHHH", mode, MAC, ladrf, rx, 3 << 13, tx, 3 << 13)

    def initialize(self, block: bytes | None = None, address: int = INIT, start: int = reg.CSR0_STRT) -> None:
        self.bcr(reg.BCR20, self.style)
        if address == INIT:
            self.memory.write(address, self.init_block() if block is None else block)
        self.csr(reg.CSR1, address & 0xFFFF)
        self.csr(reg.CSR2, address >> 16)
        self.csr(reg.CSR0, reg.CSR0_INIT | start)
        self.pump_for(10 * MICROSECOND)

    def start(self, mode: int = 0, ladrf: bytes = bytes(8), csr4: int = reg.CSR4_DPOLL) -> None:
        for index in range(self.rx_count):
            self.offer(index)
        self.csr(reg.CSR4, 0x0115 | csr4)
        self.initialize(self.init_block(mode, ladrf))
        assert self.csr(reg.CSR0) & reg.CSR0_IDON
        self.csr(reg.CSR0, reg.CSR0_CAUSES)

    def put(self, ring: int, index: int, buffer: int, control: int, status: int = 0) -> None:
        """Write a descriptor in the style in use; control as in styles 2 and 3."""
        if not self.style:
            data = struct.pack(
                "<HHHH",
                buffer & 0xFFFF,
                control >> 16 & 0xFF00 | buffer >> 16,
                control & 0xFFFF,
                status >> 16,
            )
            self.memory.write(ring + 8 * index, data)
            return
        first, third = (status, buffer) if self.style == 3 else (buffer, status)
        self.memory.write(ring + 16 * index, struct.pack("<IIII", first, control, third, 0xA5A5A5A5))

    def get(self, ring: int, index: int) -> tuple[int, int]:
        """Return control and status of a descriptor."""
        if not self.style:
            _, high, count, status = struct.unpack("<HHHH", self.memory.read(ring + 8 * index, 8))
            return (high & 0xFF00) << 16 | count, status if ring == RX_RING else status << 16
        first, control, third, user = struct.unpack("<IIII", self.memory.read(ring + 16 * index, 16))
        assert user == 0xA5A5A5A5
        return control, first if self.style == 3 else third

    def offer(self, index: int, length: int = BUFFER, buffer: int | None = None) -> None:
        where = RX_BUFFERS + BUFFER * index if buffer is None else buffer
        self.put(RX_RING, index, where, OWN | twos_complement(length))

    def buffer(self, index: int, length: int) -> bytes:
        return self.memory.read(RX_BUFFERS + BUFFER * index, length)

    def describe(self, frame: bytes, flags: int = OWN | STP | ENP) -> None:
        where = TX_BUFFERS + 0x1000 * self.tail
        self.memory.write(where, frame)
        self.put(TX_RING, self.tail, where, flags | twos_complement(len(frame)))
        self.tail = (self.tail + 1) % self.tx_count

    def demand(self) -> None:
        self.csr(reg.CSR0, reg.CSR0_TDMD | self.csr(reg.CSR0) & reg.CSR0_IENA)

    def transmit(self, *frames: bytes) -> None:
        for frame in frames:
            self.describe(frame)
        self.demand()
        self.pump()

    def sent(self) -> list[bytes]:
        return [data for _, data in self.peer.received]

    def arrive(self, *frames: bytes) -> None:
        for frame in frames:
            self.peer.send_unpadded(frame)
        self.pump()


@pytest.fixture(params=[0, 2, 3], ids=["style 0", "style 2", "style 3"])
def rig(request: pytest.FixtureRequest) -> Rig:
    rig = Rig(style=request.param)
    rig.wide()
    rig.link_up()
    return rig


@pytest.fixture
def wide() -> Rig:
    rig = Rig()
    rig.wide()
    rig.link_up()
    return rig


def frame_to(destination: bytes, length: int = 60, fill: int = 0x5A) -> bytes:
    return destination + PEER + b"\x88\xb5" + bytes((fill + i) & 0xFF for i in range(length - 14))


def with_fcs(frame: bytes) -> bytes:
    return frame + frame_check_sequence(frame)


# The registers' window


def test_configuration_space_names_the_device_and_its_regions() -> None:
    rig = Rig()
    assert rig.pci.config_read(3, 0, 4) == 0x20001022
    assert rig.pci.config_read(3, 0x10, 4) == PORTS | 1
    rig.pci.config_write(3, 0x10, 4, 0xFFFFFFFF)
    assert rig.pci.config_read(3, 0x10, 4) == 0xFFFFFFE1
    rig.pci.config_write(3, 0x14, 4, 0xFFFFFFFF)
    assert rig.pci.config_read(3, 0x14, 4) == 0xFFFFFFE0


def test_the_address_prom_holds_the_address_a_checksum_and_a_signature() -> None:
    rig = Rig()
    prom = bytes(rig.read(offset, 1) for offset in range(16))
    assert prom[:6] == MAC
    assert prom[14:] == b"WW"
    assert int.from_bytes(prom[12:14], "little") == sum(prom[:12] + prom[14:])
    assert rig.read(0, 4) == int.from_bytes(MAC[:4], "little")
    with pytest.raises(ValueError, match="5 bytes instead of 6"):
        aprom_bytes(bytes(5))


def test_without_io_space_enabled_nobody_answers() -> None:
    rig = Rig()
    rig.pci.config_write(3, COMMAND, 2, 0)
    assert rig.read(0, 4) == 0xFFFFFFFF
    rig.write(reg.DWIO_RDP, 0)
    assert not rig.nic.state.dwio


def test_the_registers_are_16_bits_wide_until_a_32_bit_write_of_rdp() -> None:
    rig = Rig()
    rig.write(reg.WIO_RAP, 88, 2)
    assert rig.read(reg.WIO_RAP, 2) == 88
    assert rig.read(reg.WIO_RDP, 2) == 0x3003
    rig.write(reg.WIO_RAP, 18, 2)
    assert not rig.read(reg.WIO_BDP, 2) & reg.BCR18_DWIO
    rig.write(reg.WIO_RAP, 0, 2)
    rig.wide()
    assert rig.csr(88) | rig.csr(89) << 16 == 0x02623003
    assert rig.bcr(reg.BCR18) & reg.BCR18_DWIO
    assert rig.read(reg.DWIO_RDP, 2) == 0xFFFF
    # A reset by software does not change the width.
    rig.read(reg.DWIO_RESET)
    assert rig.read(reg.DWIO_RAP) == 0
    assert rig.csr(reg.CSR0) == reg.CSR0_STOP


def test_memory_shows_the_same_registers(wide: Rig) -> None:
    wide.bus.mmio_write(0xFEBC0000 + reg.DWIO_RAP, 4, 88)
    assert wide.bus.mmio_read(0xFEBC0000 + reg.DWIO_RDP, 4) == 0x3003
    assert wide.read(reg.DWIO_RAP) == 88


def test_reset_values(wide: Rig) -> None:
    expected = {0: 0x0004, 3: 0, 4: 0x0115, 5: 0, 15: 0, 100: 0x0200, 112: 0}
    assert {number: wide.csr(number) for number in expected} == expected
    assert b"".join(wide.csr(12 + word).to_bytes(2, "little") for word in range(3)) == MAC
    assert wide.bcr(reg.BCR20) == 0x0200
    assert wide.csr(reg.CSR58) == 0x0200
    assert wide.csr(127) == wide.csr(200) == wide.bcr(200) == 0


def test_the_software_style_says_how_wide_the_structures_are(wide: Rig) -> None:
    wide.csr(reg.CSR58, 2)
    assert wide.bcr(reg.BCR20) == 0x0302
    wide.bcr(reg.BCR20, 3)
    assert wide.csr(reg.CSR58) == 0x0303
    wide.bcr(reg.BCR20, 0x77)
    assert wide.csr(reg.CSR58) == 0x0303


def test_what_configures_the_controller_cannot_be_written_while_it_runs(rig: Rig) -> None:
    rig.start()
    rig.csr(reg.LADRF, 0x1234)
    rig.csr(reg.MODE, reg.MODE_PROM)
    rig.bcr(reg.BCR20, 1)
    assert rig.csr(reg.LADRF) == rig.csr(reg.MODE) == 0
    rig.csr(reg.CSR3, 0x0400)
    assert rig.csr(reg.CSR3) == 0x0400
    rig.csr(reg.CSR5, reg.CSR5_SPND)
    assert rig.csr(reg.CSR5) & reg.CSR5_SPND
    rig.csr(reg.LADRF, 0x1234)
    assert rig.csr(reg.LADRF) == 0x1234
    rig.csr(reg.CSR5, 0)
    assert not rig.csr(reg.CSR5) & reg.CSR5_SPND


# Initialization


def test_initialization_reads_the_block(rig: Rig) -> None:
    ladrf = bytes(range(1, 9))
    rig.initialize(rig.init_block(reg.MODE_DTX, ladrf), start=0)
    assert rig.csr(reg.CSR0) == reg.CSR0_INIT | reg.CSR0_IDON | reg.CSR0_INTR
    assert rig.csr(reg.MODE) == reg.MODE_DTX
    assert b"".join(rig.csr(8 + word).to_bytes(2, "little") for word in range(4)) == ladrf
    assert rig.csr(reg.BADRL) | rig.csr(reg.BADRU) << 16 == RX_RING
    assert rig.csr(reg.BADXL) | rig.csr(reg.BADXU) << 16 == TX_RING
    assert rig.csr(reg.RCVRL) == rig.csr(reg.XMTRL) == 0xFFF8
    rig.csr(reg.CSR0, reg.CSR0_STRT)
    assert rig.csr(reg.CSR0) & (reg.CSR0_RXON | reg.CSR0_TXON) == reg.CSR0_RXON


def test_initialization_interrupts_when_asked_to(wide: Rig) -> None:
    wide.initialize(start=reg.CSR0_IENA)
    assert wide.pic.asserted(IRQ)
    wide.csr(reg.CSR3, reg.CSR0_IDON)
    assert not wide.pic.asserted(IRQ)
    wide.csr(reg.CSR3, 0)
    wide.csr(reg.CSR0, reg.CSR0_IDON | reg.CSR0_IENA)
    assert not wide.pic.asserted(IRQ)
    assert not wide.csr(reg.CSR0) & reg.CSR0_INTR


def test_a_block_that_lies_nowhere_is_a_system_error(wide: Rig) -> None:
    wide.csr(reg.CSR5, reg.CSR5_SINTE)
    wide.initialize(address=NOWHERE)
    assert wide.csr(reg.CSR0) & ~reg.CSR0_INTR == reg.CSR0_STOP
    assert wide.csr(reg.CSR5) & reg.CSR5_SINT
    assert wide.pci.config_read(3, STATUS, 2) & STATUS_MASTER_ABORT
    # IENA is off, and this interrupts all the same.
    assert wide.pic.asserted(IRQ)
    wide.csr(reg.CSR5, reg.CSR5_SINTE | reg.CSR5_SINT)
    assert not wide.pic.asserted(IRQ)
    wide.pci.config_write(3, STATUS, 2, STATUS_MASTER_ABORT)
    assert not wide.pci.config_read(3, STATUS, 2) & STATUS_MASTER_ABORT


def test_without_the_bus_initialization_is_a_memory_error(wide: Rig) -> None:
    wide.master(False)
    wide.initialize()
    assert not wide.csr(reg.CSR0) & reg.CSR0_MERR
    wide.pump_for(60 * MICROSECOND)
    assert wide.csr(reg.CSR0) & (reg.CSR0_MERR | reg.CSR0_ERR) == reg.CSR0_MERR | reg.CSR0_ERR
    assert not wide.csr(reg.CSR0) & reg.CSR0_IDON


def test_ring_lengths_are_cut_off_at_512_descriptors(wide: Rig) -> None:
    block = bytearray(wide.init_block())
    block[2:4] = b"\xf0\xf0"
    wide.initialize(bytes(block))
    assert -wide.csr(reg.RCVRL) & 0xFFFF == -wide.csr(reg.XMTRL) & 0xFFFF == 512


def test_stop_forgets_causes_and_keeps_the_configuration(rig: Rig) -> None:
    rig.start()
    rig.csr(reg.CSR0, reg.CSR0_IENA)
    rig.arrive(frame_to(MAC))
    assert rig.pic.asserted(IRQ)
    rig.csr(reg.CSR0, reg.CSR0_STOP | reg.CSR0_INIT | reg.CSR0_STRT)
    assert rig.csr(reg.CSR0) == reg.CSR0_STOP
    assert not rig.pic.asserted(IRQ)
    assert rig.csr(reg.RCVRL) == 0xFFF8
    rig.arrive(frame_to(MAC))
    assert rig.get(RX_RING, 1)[0] & OWN


# Transmit


def test_frames_leave_in_order_and_their_descriptors_come_back(rig: Rig) -> None:
    rig.start()
    frames = [frame_to(PEER, length) for length in (60, 61, 1000, 1514, 200)]
    rig.transmit(*frames)
    assert rig.sent() == frames
    assert [rig.get(TX_RING, index)[0] & (OWN | ERR) for index in range(5)] == [0] * 5
    assert rig.csr(reg.CSR0) & reg.CSR0_TINT
    rig.transmit(*frames)
    assert rig.sent() == frames * 2


def test_the_line_is_taken_at_100_megabits(wide: Rig) -> None:
    wide.start()
    wide.transmit(*(frame_to(PEER, 1514) for _ in range(3)))
    first, second, third = (when for when, _ in wide.peer.received)
    gap = line_cycles(1514, FAST_ETHERNET)
    assert gap == 1538 * 8 * 17
    assert gap < second - first < gap + 2 * MICROSECOND
    assert third - second == second - first


def test_a_frame_is_gathered_from_its_buffers(rig: Rig) -> None:
    rig.start()
    rig.describe(frame_to(PEER, 100)[:20], OWN | STP)
    rig.describe(frame_to(PEER, 100)[20:21], OWN)
    rig.describe(frame_to(PEER, 100)[21:], OWN | ENP)
    rig.demand()
    rig.pump()
    assert rig.sent() == [frame_to(PEER, 100)]
    assert not any(rig.get(TX_RING, index)[0] & OWN for index in range(3))


def test_a_chain_without_an_end_is_an_underflow_and_turns_the_transmitter_off(rig: Rig) -> None:
    rig.start()
    rig.describe(frame_to(PEER), OWN | STP)
    rig.demand()
    rig.pump()
    control, status = rig.get(TX_RING, 0)
    assert control & (OWN | ERR) == ERR
    assert status >> 30 == 3
    assert rig.sent() == []
    assert rig.csr(reg.CSR0) & (reg.CSR0_TXON | reg.CSR0_TINT) == reg.CSR0_TINT


def test_with_dxsuflo_the_transmitter_goes_on_after_an_underflow(wide: Rig) -> None:
    wide.csr(reg.CSR3, reg.CSR3_DXSUFLO)
    wide.start()
    wide.describe(frame_to(PEER), OWN | STP)
    wide.demand()
    wide.pump()
    assert wide.csr(reg.CSR0) & reg.CSR0_TXON
    wide.transmit(frame_to(PEER, 70))
    assert wide.sent() == [frame_to(PEER, 70)]


def test_a_whole_ring_without_an_end_ends(wide: Rig) -> None:
    wide.start()
    for _ in range(8):
        wide.describe(bytes(4000), OWN | STP)
    wide.demand()
    wide.pump()
    assert wide.sent() == []
    assert wide.csr(reg.CSR0) & reg.CSR0_BABL
    assert sum(not wide.get(TX_RING, index)[0] & OWN for index in range(8)) == LONGEST_TRANSMIT // 4000


def test_descriptors_that_begin_no_frame_are_given_back(rig: Rig) -> None:
    rig.start()
    rig.describe(frame_to(PEER), OWN | ENP)
    rig.describe(frame_to(PEER), OWN)
    rig.transmit(frame_to(PEER, 99))
    assert rig.sent() == [frame_to(PEER, 99)]
    assert not any(rig.get(TX_RING, index)[0] & OWN for index in range(3))


def test_a_long_frame_babbles_and_leaves(rig: Rig) -> None:
    rig.start()
    rig.transmit(frame_to(PEER, 1514))
    assert not rig.csr(reg.CSR0) & reg.CSR0_BABL
    rig.transmit(frame_to(PEER, 1515))
    assert rig.csr(reg.CSR0) & (reg.CSR0_BABL | reg.CSR0_ERR) == reg.CSR0_BABL | reg.CSR0_ERR
    assert rig.sent()[1] == frame_to(PEER, 1515)


def test_short_frames_are_padded_when_asked_to(rig: Rig) -> None:
    rig.start(csr4=reg.CSR4_DPOLL)
    rig.transmit(frame_to(PEER, 20))
    rig.csr(reg.CSR4, 0x0115 | reg.CSR4_DPOLL | reg.CSR4_APAD_XMT)
    rig.transmit(frame_to(PEER, 20))
    assert rig.sent() == [frame_to(PEER, 20), frame_to(PEER, 20).ljust(60, b"\0")]


@pytest.mark.parametrize("add", [0, 1 << 29])
def test_a_check_sequence_of_softwares_own_must_be_right(wide: Rig, add: int) -> None:
    wide.start(mode=reg.MODE_DXMTFCS)
    frame = frame_to(PEER, 80)
    for data in (with_fcs(frame), frame + b"\0\0\0\0"):
        wide.describe(data, OWN | STP | ENP | add)
    wide.demand()
    wide.pump()
    assert wide.sent() == ([with_fcs(frame), frame + b"\0\0\0\0"] if add else [frame])


def test_without_a_link_the_carrier_is_lost(rig: Rig) -> None:
    rig.start()
    rig.nic.set_link(False)
    rig.transmit(frame_to(PEER))
    control, status = rig.get(TX_RING, 0)
    assert control & (OWN | ERR) == ERR
    assert status == 1 << 27
    assert rig.sent() == []
    assert rig.csr(reg.CSR0) & reg.CSR0_TXON


def test_the_ring_is_polled_unless_software_forbids_it(wide: Rig) -> None:
    wide.start(csr4=0)
    wide.describe(frame_to(PEER))
    wide.pump_for(2100 * MICROSECOND)
    assert wide.sent() == [frame_to(PEER)]
    wide.csr(reg.CSR4, 0x0115 | reg.CSR4_DPOLL)
    wide.pump()
    wide.describe(frame_to(PEER, 61))
    wide.pump_for(10_000 * MICROSECOND)
    assert len(wide.sent()) == 1
    wide.demand()
    wide.pump()
    assert wide.sent() == [frame_to(PEER), frame_to(PEER, 61)]


def test_the_polling_interval_is_csr47s(wide: Rig) -> None:
    wide.csr(reg.POLLINT, 0x10000 - 3296)
    wide.start(csr4=0)
    wide.pump_for(5 * MICROSECOND)
    wide.describe(frame_to(PEER))
    wide.pump_for(130 * MICROSECOND)
    assert wide.sent() == [frame_to(PEER)]


def test_interrupts_of_the_transmitter_can_be_thinned_out(wide: Rig) -> None:
    wide.start()
    wide.csr(reg.CSR5, reg.CSR5_LTINTEN)
    wide.transmit(frame_to(PEER))
    assert not wide.csr(reg.CSR0) & reg.CSR0_TINT
    wide.describe(frame_to(PEER), OWN | STP | ENP | 1 << 28)
    wide.demand()
    wide.pump()
    assert wide.csr(reg.CSR0) & reg.CSR0_TINT
    wide.csr(reg.CSR0, reg.CSR0_TINT)
    wide.csr(reg.CSR5, reg.CSR5_TOKINTD)
    wide.transmit(frame_to(PEER))
    assert not wide.csr(reg.CSR0) & reg.CSR0_TINT
    wide.nic.set_link(False)
    wide.transmit(frame_to(PEER))
    assert wide.csr(reg.CSR0) & reg.CSR0_TINT


def test_txstrt_interrupts_when_it_is_not_masked(wide: Rig) -> None:
    wide.start()
    wide.csr(reg.CSR0, reg.CSR0_IENA)
    wide.csr(reg.CSR4, 0x0111 | reg.CSR4_DPOLL)
    wide.csr(reg.CSR3, reg.CSR0_TINT)
    wide.transmit(frame_to(PEER))
    assert wide.pic.asserted(IRQ)
    wide.csr(reg.CSR4, 0x0111 | reg.CSR4_DPOLL | reg.CSR4_TXSTRT)
    assert not wide.pic.asserted(IRQ)
    wide.csr(reg.CSR4, 0x0115 | reg.CSR4_UINTCMD)
    assert wide.csr(reg.CSR4) & reg.CSR4_UINT
    assert wide.pic.asserted(IRQ)


def test_suspension_waits_for_the_frame_on_the_line(wide: Rig) -> None:
    wide.start()
    wide.describe(frame_to(PEER, 1514))
    wide.describe(frame_to(PEER, 61))
    wide.demand()
    wide.pump_for(20 * MICROSECOND)
    wide.csr(reg.CSR5, reg.CSR5_SPND)
    assert not wide.csr(reg.CSR5) & reg.CSR5_SPND
    wide.pump()
    assert wide.csr(reg.CSR5) & reg.CSR5_SPND
    assert wide.sent() == [frame_to(PEER, 1514)]
    wide.csr(reg.CSR5, 0)
    wide.pump()
    assert wide.sent()[1:] == [frame_to(PEER, 61)]


@pytest.mark.parametrize("what", ["ring", "buffer", "write back"])
def test_a_transmit_address_that_is_nowhere_is_a_system_error(rig: Rig, what: str) -> None:
    rig.start()
    if what == "ring":
        rig.csr(reg.CSR0, reg.CSR0_STOP)
        rig.csr(reg.BADXU, NOWHERE >> 16)
        rig.csr(reg.CSR0, reg.CSR0_STRT)
        rig.demand()
    elif what == "buffer":
        rig.put(TX_RING, 0, NOWHERE, OWN | STP | ENP | twos_complement(60))
        rig.demand()
    else:
        rig.describe(frame_to(PEER, 1514))
        rig.demand()
        rig.pump_for(20 * MICROSECOND)
        # Whatever writes there: CSR31 moves only by a reset, so the ring is moved from inside.
        rig.nic.state.csr[reg.BADXU] = NOWHERE >> 16
    rig.pump()
    assert rig.csr(reg.CSR0) & ~reg.CSR0_INTR == reg.CSR0_STOP
    assert rig.csr(reg.CSR5) & reg.CSR5_SINT


def test_without_the_bus_a_demand_is_a_memory_error(wide: Rig) -> None:
    wide.start()
    wide.csr(reg.CSR0, reg.CSR0_IENA)
    wide.master(False)
    wide.transmit(frame_to(PEER))
    assert wide.csr(reg.CSR0) & reg.CSR0_MERR
    assert wide.pic.asserted(IRQ)
    assert wide.get(TX_RING, 0)[0] & OWN
    wide.master(True)
    wide.demand()
    wide.pump()
    assert wide.sent() == [frame_to(PEER)]


# Receive


def test_frames_are_stored_with_their_check_sequence(rig: Rig) -> None:
    rig.start()
    frames = [frame_to(MAC, length) for length in (60, 61, 700, 1514)]
    rig.arrive(*frames)
    for index, frame in enumerate(frames):
        control, count = rig.get(RX_RING, index)
        assert control & (OWN | ERR | STP | ENP) == STP | ENP
        assert count == len(frame) + 4
        assert rig.buffer(index, count) == with_fcs(frame)
    assert rig.csr(reg.CSR0) & reg.CSR0_RINT
    assert rig.get(RX_RING, 4)[0] & OWN


def test_a_frame_is_spread_over_buffers(rig: Rig) -> None:
    rig.start()
    for index in range(3):
        rig.offer(index, 600)
    rig.arrive(frame_to(MAC, 1514))
    flags = [rig.get(RX_RING, index)[0] & (OWN | ERR | STP | ENP) for index in range(4)]
    assert flags == [STP, 0, ENP, OWN]
    assert rig.get(RX_RING, 2)[1] == 1518
    stored = rig.buffer(0, 600) + rig.buffer(1, 600) + rig.buffer(2, 318)
    assert stored == with_fcs(frame_to(MAC, 1514))


def test_a_frame_that_finds_too_few_buffers_is_cut_off(rig: Rig) -> None:
    rig.start()
    rig.offer(0, 600)
    rig.put(RX_RING, 1, RX_BUFFERS, twos_complement(600))
    rig.arrive(frame_to(MAC, 1000))
    control, count = rig.get(RX_RING, 0)
    assert control & (OWN | ERR | 1 << 26 | STP | ENP) == ERR | 1 << 26 | STP
    assert count == 0
    assert rig.csr(reg.CSR0) & (reg.CSR0_RINT | reg.CSR0_MISS) == reg.CSR0_RINT


def test_a_frame_without_any_buffer_is_missed_and_counted(rig: Rig) -> None:
    rig.start()
    rig.csr(reg.CSR0, reg.CSR0_IENA)
    rig.arrive(*(frame_to(MAC) for _ in range(10)))
    assert rig.csr(reg.CSR0) & reg.CSR0_MISS
    assert rig.csr(reg.MFC) == 2
    rig.offer(0)
    rig.arrive(frame_to(MAC, 77))
    assert rig.get(RX_RING, 0)[1] == 81


def test_the_counter_of_missed_frames_wraps_and_says_so(wide: Rig) -> None:
    wide.csr(reg.MFC, 0xFFFF)
    wide.start()
    for index in range(8):
        wide.put(RX_RING, index, 0, 0)
    wide.arrive(frame_to(MAC))
    assert wide.csr(reg.MFC) == 0
    assert wide.csr(reg.CSR4) & reg.CSR4_MFCO


def test_the_match_bits_tell_why_a_frame_was_accepted(wide: Rig) -> None:
    ladrf = bytearray(8)
    ladrf[hash_bit(GROUP) >> 3] |= 1 << (hash_bit(GROUP) & 7)
    wide.start(ladrf=bytes(ladrf))
    wide.arrive(frame_to(MAC), frame_to(GROUP), frame_to(BROADCAST), frame_to(PEER), frame_to(b"\x03" * 6))
    bits = [wide.get(RX_RING, index)[0] >> 20 & 7 for index in range(3)]
    assert bits == [4, 2, 1]
    assert wide.get(RX_RING, 3)[0] & OWN


def test_the_hash_of_a_known_address() -> None:
    # The all-hosts group by hand: CRC-32 of 01005E000001, least significant bit first, not inverted.
    crc = 0xFFFFFFFF
    for byte in GROUP:
        for bit in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if (crc ^ byte >> bit) & 1 else 0)
    assert hash_bit(GROUP) == crc >> 26


@pytest.mark.parametrize(
    ("mode", "heard"),
    [
        (0, [MAC, BROADCAST]),
        (reg.MODE_DRCVBC, [MAC]),
        (reg.MODE_DRCVPA, [BROADCAST]),
        (reg.MODE_DRCVBC | reg.MODE_DRCVPA, []),
        (reg.MODE_PROM, [MAC, PEER, GROUP, BROADCAST]),
        (reg.MODE_DRX, []),
    ],
)
def test_the_mode_says_who_is_heard(wide: Rig, mode: int, heard: list[bytes]) -> None:
    wide.start(mode)
    wide.arrive(*(frame_to(destination) for destination in (MAC, PEER, GROUP, BROADCAST)))
    got = [wide.buffer(index, 6) for index in range(8) if not wide.get(RX_RING, index)[0] & OWN]
    assert got == heard


def test_runts_are_rejected_unless_they_are_wanted(wide: Rig) -> None:
    wide.start()
    wide.arrive(frame_to(MAC, 59), b"", b"\xff" * 6, frame_to(MAC, 60))
    assert wide.get(RX_RING, 0)[1] == 64
    assert wide.get(RX_RING, 1)[0] & OWN
    wide.csr(reg.CSR0, reg.CSR0_STOP)
    wide.csr(reg.CSR124, reg.CSR124_RPA)
    wide.csr(reg.CSR0, reg.CSR0_STRT)
    wide.arrive(frame_to(MAC, 30))
    assert wide.get(RX_RING, 1)[1] == 34


def test_padding_is_stripped_when_asked_to(wide: Rig) -> None:
    wide.start(csr4=reg.CSR4_DPOLL | reg.CSR4_ASTRP_RCV)
    padded = MAC + PEER + (5).to_bytes(2, "big") + b"hello"
    wide.arrive(padded.ljust(60, b"\0"), frame_to(MAC))
    assert wide.get(RX_RING, 0)[1] == 19
    assert wide.buffer(0, 19) == padded
    assert wide.get(RX_RING, 1)[1] == 64


@pytest.mark.parametrize("mode", [reg.MODE_LOOP, reg.MODE_LOOP | reg.MODE_PROM])
def test_in_loopback_a_frame_comes_back_and_none_leaves(wide: Rig, mode: int) -> None:
    wide.start(mode)
    wide.nic.set_link(False)
    wide.transmit(frame_to(MAC, 90))
    assert wide.buffer(0, 94) == with_fcs(frame_to(MAC, 90))
    assert wide.sent() == []
    wide.arrive(frame_to(MAC))
    assert wide.get(RX_RING, 1)[0] & OWN


@pytest.mark.parametrize("what", ["ring", "buffer"])
def test_a_receive_address_that_is_nowhere_is_a_system_error(rig: Rig, what: str) -> None:
    rig.start()
    if what == "ring":
        rig.csr(reg.CSR0, reg.CSR0_STOP)
        rig.csr(reg.BADRU, NOWHERE >> 16)
        rig.csr(reg.CSR0, reg.CSR0_STRT)
    else:
        rig.offer(0, 2048, NOWHERE)
    rig.arrive(frame_to(MAC))
    assert rig.csr(reg.CSR0) & ~reg.CSR0_INTR == reg.CSR0_STOP
    assert rig.csr(reg.CSR5) & reg.CSR5_SINT
    assert rig.pci.config_read(3, STATUS, 2) & STATUS_MASTER_ABORT


def test_a_frame_during_suspension_or_without_the_bus_is_missed(wide: Rig) -> None:
    wide.start()
    wide.csr(reg.CSR5, reg.CSR5_SPND)
    wide.arrive(frame_to(MAC))
    wide.csr(reg.CSR5, 0)
    wide.master(False)
    wide.arrive(frame_to(MAC))
    assert wide.csr(reg.MFC) == 2
    assert wide.get(RX_RING, 0)[0] & OWN


def test_software_can_set_the_rings_up_without_a_block(wide: Rig) -> None:
    wide.bcr(reg.BCR20, 2)
    for index in range(3):
        wide.offer(index)
    for number, value in {
        reg.BADRL: RX_RING,
        reg.BADRU: 0,
        reg.RCVRL: 0x10000 - 3,
        reg.RCVRC: 0x10000 - 3,
        reg.MODE: reg.MODE_DTX,
    }.items():
        wide.csr(number, value)
    wide.csr(reg.CSR0, reg.CSR0_STRT)
    wide.arrive(*(frame_to(MAC, 60 + index) for index in range(3)))
    assert [wide.get(RX_RING, index)[1] for index in range(3)] == [64, 65, 66]
    wide.offer(0)
    wide.arrive(frame_to(MAC, 70))
    assert wide.get(RX_RING, 0)[1] == 74


# PHY and link


def test_the_management_interface_reaches_the_phy_and_nobody_else(wide: Rig) -> None:
    before = wide.clock.now
    assert wide.mii(PHY_ID1) == 0x0022
    assert wide.clock.now - before > MANAGEMENT_CYCLES
    assert wide.mii(PHY_ID2) == 0x561B
    assert wide.mii(PHY_ID1, phy=2) == 0xFFFF
    wide.mii(PHY_CTRL, 0, phy=2)
    assert wide.mii(PHY_CTRL) & CTRL_AUTO_NEG_EN
    assert wide.bcr(reg.BCR32) & reg.BCR32_MIIPD


def test_a_lost_link_shows_until_it_has_been_read(wide: Rig) -> None:
    wide.mii(PHY_STATUS)
    assert (
        wide.mii(PHY_STATUS) & (STATUS_LINK | STATUS_AUTONEG_COMPLETE)
        == STATUS_LINK | STATUS_AUTONEG_COMPLETE
    )
    assert wide.bcr(reg.BCR4) & reg.BCR4_LEDOUT
    wide.nic.set_link(False)
    assert not wide.bcr(reg.BCR4) & reg.BCR4_LEDOUT
    wide.nic.set_link(True)
    wide.link_up()
    assert not wide.mii(PHY_STATUS) & STATUS_LINK
    assert wide.mii(PHY_STATUS) & STATUS_LINK


@pytest.mark.parametrize(
    ("control", "linked"),
    [
        (CTRL_RESET, True),
        (CTRL_AUTO_NEG_EN, True),
        (CTRL_SPEED_100, True),
        (0, False),
        (CTRL_POWER_DOWN | CTRL_AUTO_NEG_EN, False),
    ],
)
def test_the_phy_links_at_100_megabits_only(wide: Rig, control: int, linked: bool) -> None:
    wide.mii(PHY_CTRL, control)
    wide.link_up()
    wide.mii(PHY_STATUS)
    status = wide.mii(PHY_STATUS)
    assert bool(status & STATUS_LINK) is linked
    assert bool(status & STATUS_AUTONEG_COMPLETE) is (linked and control != CTRL_SPEED_100)


def test_a_change_of_the_link_interrupts_while_the_phy_is_polled(wide: Rig) -> None:
    wide.bcr(reg.BCR32, reg.BCR32_APEP)
    wide.csr(reg.CSR7, reg.CSR7_MAPINT >> 1)
    wide.csr(reg.CSR0, reg.CSR0_IENA)
    assert not wide.pic.asserted(IRQ)
    wide.nic.set_link(False)
    assert wide.pic.asserted(IRQ)
    wide.csr(reg.CSR7, reg.CSR7_MAPINT >> 1 | reg.CSR7_MAPINT)
    assert not wide.pic.asserted(IRQ)


# Snapshots


@pytest.mark.parametrize("microseconds", [0, 3, 60, 400, 900])
def test_load_amid_traffic_continues_identically(wide: Rig, microseconds: int) -> None:
    wide.start(csr4=0)
    wide.csr(reg.CSR0, reg.CSR0_IENA)
    for index in range(6):
        wide.describe(frame_to(PEER, 60 + 200 * index))
    wide.demand()
    for index in range(12):
        wide.peer.send(frame_to(MAC, 60 + 100 * index))
    wide.pump_for(microseconds * MICROSECOND)

    parts = (wide.nic, wide.peer, wide.clock)
    saved = [part.save() for part in parts]
    ram = bytes(wide.memory.bytes)
    lines = copy.deepcopy(wide.pic.state)

    def outcome() -> tuple[object, ...]:
        line: list[tuple[int, bool]] = []
        wide.pump_for(5_000 * MICROSECOND, lambda: line.append((wide.clock.now, wide.pic.asserted(IRQ))))
        return line, wide.nic.save(), wide.peer.save(), wide.clock.now, bytes(wide.memory.bytes)

    first = outcome()
    for part, state in zip(parts, saved, strict=True):
        part.load(state)
    wide.memory.bytes[:] = ram
    wide.pic.state = lines
    assert outcome() == first
    assert len(wide.peer.received) == 6


def test_a_frame_arrives_when_the_wire_brings_it(wide: Rig) -> None:
    wide.start()
    start = wide.clock.now
    wide.peer.send(frame_to(MAC, 100))
    wide.pump_for(arrival_cycles(100, FAST_ETHERNET) + LATENCY - 1)
    assert wide.get(RX_RING, 0)[0] & OWN
    wide.pump()
    assert wide.clock.now - start < arrival_cycles(100, FAST_ETHERNET) + LATENCY + 20 * MICROSECOND
    assert not wide.get(RX_RING, 0)[0] & OWN


# Whatever software does


NUMBERS = st.one_of(
    st.sampled_from(sorted({*reg.CSR_STOPPED, 0, 3, 4, 5, 7, 16, 17, 58, 112})), st.integers(0, 255)
)
VALUES = st.one_of(st.integers(0, 0xFFFF), st.sampled_from((0x41, 0x4A, 0x43, 0x02, 0x04, 0x102, 0x1F)))
ACTIONS = st.one_of(
    st.tuples(st.just("csr"), NUMBERS, VALUES),
    st.tuples(st.just("csr"), st.just(0), VALUES),
    st.tuples(st.just("bcr"), st.one_of(st.sampled_from((18, 20, 32, 33, 34)), st.integers(0, 63)), VALUES),
    st.tuples(st.just("read"), st.integers(0, 0x1F), st.sampled_from((1, 2, 4))),
    st.tuples(st.just("write"), st.integers(0, 0x1F), st.integers(0, 0xFFFFFFFF), st.sampled_from((1, 2, 4))),
    st.tuples(st.just("run"), st.integers(0, 3000 * MICROSECOND)),
    st.tuples(st.just("frame"), st.binary(max_size=2000)),
    st.tuples(st.just("cable"), st.booleans()),
    st.tuples(st.just("master"), st.booleans()),
    st.tuples(st.just("ram"), st.sampled_from((INIT, RX_RING, TX_RING)), st.binary(min_size=4, max_size=64)),
)


@settings(max_examples=150, deadline=None)
@given(actions=st.lists(ACTIONS, max_size=40), style=st.sampled_from((0, 2, 3)), started=st.booleans())
def test_no_access_is_an_error(actions: list[tuple], style: int, started: bool) -> None:
    rig = Rig(style=style)
    rig.wide()
    rig.link_up()
    if started:
        rig.start(csr4=0)
        rig.describe(frame_to(PEER))
        rig.demand()
    for action, *arguments in actions:
        if action == "csr":
            rig.csr(*arguments)
        elif action == "bcr":
            rig.bcr(*arguments)
        elif action == "read":
            offset, size = arguments
            assert 0 <= rig.read(offset, size) < 1 << 8 * size
        elif action == "write":
            rig.write(*arguments)
        elif action == "run":
            rig.pump_for(arguments[0])
        elif action == "frame":
            rig.peer.send_unpadded(arguments[0])
        elif action == "cable":
            rig.nic.set_link(arguments[0])
        elif action == "master":
            rig.master(arguments[0])
        else:
            rig.memory.write(*arguments)
    rig.pump_for(10_000 * MICROSECOND)
    rig.memory.close()


@settings(max_examples=100, deadline=None)
@given(
    ram=st.binary(min_size=64, max_size=512),
    block=st.binary(min_size=28, max_size=28),
    style=st.sampled_from((0, 2, 3)),
    address=st.one_of(st.just(INIT), st.integers(0, 0xFFFFFFFF)),
)
def test_no_ring_is_an_error(ram: bytes, block: bytes, style: int, address: int) -> None:
    rig = Rig(style=style)
    rig.wide()
    rig.link_up()
    rig.memory.bytes[:] = (ram * (rig.memory.size // len(ram) + 1))[: rig.memory.size]
    rig.initialize(block, address)
    rig.csr(reg.CSR0, reg.CSR0_STRT | reg.CSR0_TDMD)
    for _ in range(3):
        rig.peer.send(frame_to(BROADCAST))
    rig.pump_for(5_000 * MICROSECOND)
    rig.memory.close()
