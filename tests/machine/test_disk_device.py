"""The disk as a driver sees it: IDENTIFY, PIO, bus-master DMA, errors, resets, hostile registers, snapshots."""

from collections.abc import Iterator

import pytest
from bare_pc import RAM, make_pc
from hypothesis import given, settings
from hypothesis import strategies as st

from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.machine.devices import disk_registers as reg
from nooks_lab.machine.devices.disk import Disk
from nooks_lab.machine.devices.disk_image import CHUNK, SECTOR, DiskImage
from nooks_lab.machine.machine import Machine
from nooks_lab.machine.pci import COMMAND, COMMAND_IO, COMMAND_MASTER

PORTS, SLOT, SECTORS = 0xC000, 3, 300
TABLE, BUFFER = 0x10000, 0x20000
IMAGE = b"".join(number.to_bytes(4, "little") * 128 for number in range(SECTORS))


class Driver:
    """A driver's view of a machine with a disk."""

    def __init__(self, machine: Machine, disk: Disk) -> None:
        self.machine, self.disk = machine, disk

    def read(self, register: int, size: int = 1) -> int:
        return self.machine.bus.port_read(reg.COMMAND_BLOCK + register, size)

    def write(self, register: int, value: int) -> None:
        self.machine.bus.port_write(reg.COMMAND_BLOCK + register, 1, value)

    def bm_read(self, register: int) -> int:
        return self.machine.bus.port_read(PORTS + register, 1)

    def bm_write(self, register: int, value: int, size: int = 1) -> None:
        self.machine.bus.port_write(PORTS + register, size, value)

    def wait(self, seconds: float = 0.05) -> None:
        until = self.machine.clock.now + int(seconds * CPU_HZ)
        while self.machine.clock.now < until:
            self.machine.idle(until)

    def interrupted(self) -> bool:
        return self.machine.pic.asserted(reg.IRQ)

    def command(self, command: int, sector: int = 0, count: int = 1) -> None:
        self.write(reg.SECTOR_COUNT, count & 0xFF)
        for index in range(3):
            self.write(reg.LBA_LOW + index, sector >> 8 * index & 0xFF)
        self.write(reg.DEVICE, reg.DEVICE_LBA | sector >> 24 & 0xF)
        self.write(reg.COMMAND, command)

    def dma(self, command: int, sector: int, count: int, table: bytes) -> None:
        self.machine.memory.write(TABLE, table)
        self.bm_write(reg.BM_TABLE, TABLE, 4)
        self.bm_write(reg.BM_STATUS, reg.BM_ERROR | reg.BM_INTERRUPT)
        direction = reg.BM_TO_MEMORY if command == reg.READ_DMA else 0
        self.bm_write(reg.BM_COMMAND, direction)
        self.command(command, sector, count)
        self.bm_write(reg.BM_COMMAND, direction | reg.BM_START)
        self.wait()

    def data(self) -> bytes:
        return b"".join(self.read(reg.DATA, 2).to_bytes(2, "little") for _ in range(256))


def prd(*regions: tuple[int, int]) -> bytes:
    """A table of physical regions that ends with the last of these."""
    words = [
        address.to_bytes(4, "little") + (size & 0xFFFF).to_bytes(4, "little") for address, size in regions
    ]
    words[-1] = words[-1][:4] + (regions[-1][1] & 0xFFFF | reg.PRD_END << 16).to_bytes(4, "little")
    return b"".join(words)


@pytest.fixture
def driver() -> Iterator[Driver]:
    with make_pc() as machine:
        disk = Disk("disk", SLOT, PORTS, IMAGE)
        machine.plug(disk)
        machine.pci.config_write(SLOT, COMMAND, 2, COMMAND_IO | COMMAND_MASTER)
        yield Driver(machine, disk)


def test_the_function_is_the_piix4s_with_its_bus_master_in_bar_4(driver: Driver) -> None:
    read = driver.machine.pci.config_read
    assert (read(SLOT, 0, 2), read(SLOT, 2, 2), read(SLOT, 8, 4) >> 8) == (0x8086, 0x7111, 0x010180)
    assert [read(SLOT, 0x10 + 4 * bar, 4) for bar in range(5)] == [0, 0, 0, 0, PORTS | 1]


def test_no_port_answers_before_the_command_register_says_so(driver: Driver) -> None:
    driver.machine.pci.config_write(SLOT, COMMAND, 2, 0)
    assert driver.read(reg.STATUS) == driver.bm_read(reg.BM_STATUS) == 0xFF
    driver.write(reg.SECTOR_COUNT, 7)
    driver.machine.pci.config_write(SLOT, COMMAND, 2, COMMAND_IO)
    assert driver.read(reg.SECTOR_COUNT) == 1


def test_identify_tells_the_size_the_model_and_what_the_drive_can_do(driver: Driver) -> None:
    driver.write(reg.COMMAND, reg.IDENTIFY)
    assert driver.read(reg.STATUS) & reg.STATUS_BSY
    driver.wait()
    assert driver.interrupted()
    assert driver.read(reg.STATUS) == reg.STATUS_DRDY | reg.STATUS_DSC | reg.STATUS_DRQ
    assert not driver.interrupted()
    words = driver.data()
    assert int.from_bytes(words[120:124], "little") == SECTORS
    swapped = b"".join(words[at : at + 2][::-1] for at in range(54, 94, 2))
    assert swapped.rstrip() == b"NOOKS LAB DISK"
    assert words[99] & 3 == 3
    assert not driver.read(reg.STATUS) & reg.STATUS_DRQ


def test_read_sectors_passes_a_sector_for_each_interrupt(driver: Driver) -> None:
    driver.command(reg.READ_SECTORS, 40, 3)
    for sector in range(40, 43):
        driver.wait()
        assert driver.interrupted()
        assert driver.read(reg.STATUS) & reg.STATUS_DRQ
        assert driver.data() == IMAGE[sector * SECTOR : (sector + 1) * SECTOR]
    driver.wait()
    assert not driver.interrupted()
    assert driver.read(reg.STATUS) == reg.STATUS_DRDY | reg.STATUS_DSC
    assert (driver.read(reg.SECTOR_COUNT), driver.read(reg.LBA_LOW)) == (0, 42)


def test_write_sectors_takes_the_first_without_an_interrupt(driver: Driver) -> None:
    new = bytes(range(256)) * 4
    driver.command(reg.WRITE_SECTORS, 5, 2)
    assert driver.read(reg.STATUS) & reg.STATUS_DRQ
    for half in (new[:SECTOR], new[SECTOR:]):
        for at in range(0, SECTOR, 2):
            driver.machine.bus.port_write(reg.COMMAND_BLOCK, 2, int.from_bytes(half[at : at + 2], "little"))
        driver.wait()
        assert driver.interrupted()
        driver.read(reg.STATUS)
    assert driver.disk.contents() == IMAGE[: 5 * SECTOR] + new + IMAGE[7 * SECTOR :]


def test_dma_scatters_what_is_read_and_gathers_what_is_written(driver: Driver) -> None:
    driver.dma(reg.READ_DMA, 10, 4, prd((BUFFER, 512), (BUFFER + 0x3000, 1536)))
    assert driver.interrupted()
    assert driver.bm_read(reg.BM_STATUS) & 7 == reg.BM_INTERRUPT
    got = driver.machine.memory.read(BUFFER, 512) + driver.machine.memory.read(BUFFER + 0x3000, 1536)
    assert got == IMAGE[10 * SECTOR : 14 * SECTOR]
    assert driver.read(reg.STATUS) == reg.STATUS_DRDY | reg.STATUS_DSC
    driver.machine.memory.write(BUFFER, b"A" * 512 + b"B" * 512)
    driver.dma(reg.WRITE_DMA, 20, 2, prd((BUFFER + 512, 512), (BUFFER, 512)))
    assert driver.disk.contents()[20 * SECTOR : 22 * SECTOR] == b"B" * 512 + b"A" * 512


def test_a_descriptor_of_length_0_is_one_of_64_kilobytes(driver: Driver) -> None:
    driver.dma(reg.READ_DMA, 0, 128, prd((BUFFER, 0)))
    assert driver.machine.memory.read(BUFFER, 0x10000) == IMAGE[: 128 * SECTOR]


def test_a_longer_table_leaves_the_bus_master_active_behind_the_interrupt(driver: Driver) -> None:
    driver.dma(reg.READ_DMA, 0, 1, prd((BUFFER, 1024)))
    assert driver.bm_read(reg.BM_STATUS) & 7 == reg.BM_INTERRUPT | reg.BM_ACTIVE


@pytest.mark.parametrize("table", [prd((BUFFER, 512)), prd((BUFFER, 510), (BUFFER, 512))])
def test_a_shorter_table_leaves_the_drive_waiting(driver: Driver, table: bytes) -> None:
    driver.dma(reg.READ_DMA, 0, 2, table)
    assert driver.bm_read(reg.BM_STATUS) & 7 == 0
    assert driver.read(reg.STATUS) & reg.STATUS_DRQ
    assert not driver.interrupted()


@pytest.mark.parametrize("address", [0xFFFFF000, RAM, RAM - 0x200])
def test_dma_to_where_there_is_no_memory_sets_the_error_bit(driver: Driver, address: int) -> None:
    driver.dma(reg.READ_DMA, 0, 2, prd((address, 1024)))
    assert driver.bm_read(reg.BM_STATUS) & 7 == reg.BM_ERROR
    assert not driver.interrupted()


def test_a_table_where_there_is_no_memory_sets_the_error_bit(driver: Driver) -> None:
    driver.bm_write(reg.BM_TABLE, 0xFFFFFFFC, 4)
    driver.bm_write(reg.BM_COMMAND, reg.BM_TO_MEMORY)
    driver.command(reg.READ_DMA, 0, 1)
    driver.bm_write(reg.BM_COMMAND, reg.BM_TO_MEMORY | reg.BM_START)
    driver.wait()
    assert driver.bm_read(reg.BM_STATUS) & reg.BM_ERROR


def test_nothing_moves_while_the_function_may_not_be_bus_master(driver: Driver) -> None:
    driver.machine.pci.config_write(SLOT, COMMAND, 2, COMMAND_IO)
    driver.dma(reg.READ_DMA, 1, 1, prd((BUFFER, 512)))
    assert driver.bm_read(reg.BM_STATUS) & 7 == reg.BM_ACTIVE
    assert driver.machine.memory.read(BUFFER, 512) == bytes(512)


def test_a_sector_behind_the_end_is_not_found(driver: Driver) -> None:
    driver.command(reg.READ_SECTORS, SECTORS, 1)
    driver.wait()
    assert driver.interrupted()
    assert driver.read(reg.STATUS) & reg.STATUS_ERR
    assert driver.read(reg.ERROR) == reg.ERROR_IDNF
    driver.dma(reg.WRITE_DMA, SECTORS - 1, 2, prd((BUFFER, 1024)))
    assert driver.read(reg.ERROR) == reg.ERROR_IDNF
    assert driver.disk.contents() == IMAGE


def test_a_bad_sector_is_named(driver: Driver) -> None:
    driver.disk.state.bad.add(33)
    driver.dma(reg.READ_DMA, 30, 8, prd((BUFFER, 4096)))
    assert driver.read(reg.STATUS) & reg.STATUS_ERR
    assert (driver.read(reg.ERROR), driver.read(reg.LBA_LOW)) == (reg.ERROR_UNC, 33)


def test_an_unknown_command_and_one_without_lba_are_aborted(driver: Driver) -> None:
    driver.command(0xF3)
    driver.wait()
    assert (driver.read(reg.STATUS) & 1, driver.read(reg.ERROR)) == (1, reg.ERROR_ABRT)
    driver.write(reg.DEVICE, 0)
    driver.write(reg.COMMAND, reg.READ_SECTORS)
    driver.wait()
    assert (driver.read(reg.STATUS) & 1, driver.read(reg.ERROR)) == (1, reg.ERROR_ABRT)


def test_the_second_drive_is_not_there(driver: Driver) -> None:
    driver.write(reg.DEVICE, reg.DEVICE_DEV)
    assert driver.read(reg.STATUS) == 0
    driver.write(reg.COMMAND, reg.IDENTIFY)
    driver.wait()
    assert not driver.interrupted()
    driver.write(reg.DEVICE, 0)
    assert driver.read(reg.STATUS) == reg.STATUS_DRDY | reg.STATUS_DSC


def test_nien_keeps_the_line_down_and_srst_ends_the_command(driver: Driver) -> None:
    driver.machine.bus.port_write(reg.CONTROL_BLOCK, 1, reg.CONTROL_NIEN)
    driver.command(reg.READ_SECTORS, 0, 1)
    driver.wait()
    assert not driver.interrupted()
    assert driver.machine.bus.port_read(reg.CONTROL_BLOCK, 1) & reg.STATUS_DRQ
    driver.machine.bus.port_write(reg.CONTROL_BLOCK, 1, reg.CONTROL_SRST)
    assert driver.read(reg.STATUS) == reg.STATUS_BSY
    driver.machine.bus.port_write(reg.CONTROL_BLOCK, 1, 0)
    driver.wait()
    assert driver.read(reg.STATUS) == reg.STATUS_DRDY | reg.STATUS_DSC
    assert [driver.read(register) for register in (1, 2, 3, 4, 5)] == [1, 1, 1, 0, 0]


def test_a_far_sector_takes_longer_than_the_next(driver: Driver) -> None:
    def taken(sector: int) -> int:
        begun = driver.machine.clock.now
        driver.command(reg.READ_VERIFY, sector, 1)
        while not driver.interrupted():
            driver.machine.idle(driver.machine.clock.now + CPU_HZ)
        driver.read(reg.STATUS)
        return driver.machine.clock.now - begun

    taken(0)
    assert taken(1) < taken(50) < taken(299)


def test_a_snapshot_holds_registers_and_medium(driver: Driver) -> None:
    driver.command(reg.READ_SECTORS, 7, 2)
    before = driver.machine.save()
    driver.wait()
    first = driver.data()
    driver.disk.image.write(7, b"x" * SECTOR)
    driver.machine.load(before)
    assert driver.disk.contents() == IMAGE
    driver.wait()
    assert driver.data() == first


def test_another_disk_is_put_in(driver: Driver) -> None:
    driver.command(reg.READ_SECTORS, 7, 2)
    driver.wait()
    driver.disk.insert(b"new")
    assert not driver.interrupted()
    assert driver.disk.contents() == b"new".ljust(SECTOR, b"\0")
    with pytest.raises(ValueError, match="at least one sector"):
        driver.disk.insert(b"")


@given(st.data())
def test_an_image_is_what_was_written_over_what_was_given(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 3 * CHUNK))
    model = bytearray(bytes(i * 7 & 255 for i in range(size)).ljust(-(-size // SECTOR) * SECTOR, b"\0"))
    image = DiskImage(bytes(model[:size]))
    saved = image.save(), bytes(model)
    for _ in range(data.draw(st.integers(0, 8))):
        sector = data.draw(st.integers(0, image.sectors - 1))
        count = data.draw(st.integers(1, image.sectors - sector))
        new = bytes((data.draw(st.integers(0, 255)),)) * (count * SECTOR)
        image.write(sector, new)
        model[sector * SECTOR : (sector + count) * SECTOR] = new
        assert image.read(sector, count) == new
        assert image.contents() == bytes(model)
    image.load(saved[0])
    assert image.contents() == saved[1]


PORT = st.sampled_from([*range(0x1F0, 0x1F8), 0x3F6, *range(PORTS, PORTS + 16)])
ACCESS = st.tuples(
    PORT,
    st.sampled_from([1, 2, 4]),
    st.integers(0, 2**32 - 1) | st.sampled_from([0x20, 0x30, 0xC8, 0xCA, 0xEC, 0xE0, 9, 1]),
)


@settings(max_examples=40)
@given(st.lists(ACCESS, max_size=40))
def test_no_register_access_breaks_the_model(accesses: list[tuple[int, int, int]]) -> None:
    with make_pc() as machine:
        disk = Disk("disk", SLOT, PORTS, IMAGE)
        machine.plug(disk)
        machine.pci.config_write(SLOT, COMMAND, 2, COMMAND_IO | COMMAND_MASTER)
        for port, size, value in accesses:
            machine.bus.port_write(port, size, value)
            assert 0 <= machine.bus.port_read(port, size) < 1 << 8 * size
            machine.idle(machine.clock.now + CPU_HZ // 50)
        assert len(disk.contents()) == len(IMAGE)
