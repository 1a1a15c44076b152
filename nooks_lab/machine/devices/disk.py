"""A hard disk: the primary channel of a PIIX4's IDE controller, and one ATA drive on it.

LBA28 addressing only (no cylinders and heads), PIO and bus-master DMA, no second drive, no queueing; timings are
a seek that grows with its distance and a constant rate of the medium.

Sources: as in :mod:`nooks_lab.machine.devices.disk_registers`.
"""

import copy
from typing import Any

from nooks_lab.machine.bus import Bus
from nooks_lab.machine.clock import CPU_HZ, Clock
from nooks_lab.machine.devices import disk_registers as reg
from nooks_lab.machine.devices.disk_bus_master import DMA_WRITES, BusMaster
from nooks_lab.machine.devices.disk_identify import identify
from nooks_lab.machine.devices.disk_image import SECTOR, DiskImage
from nooks_lab.machine.devices.disk_state import DiskState
from nooks_lab.machine.interrupts import InterruptController
from nooks_lab.machine.pci import COMMAND_IO, BaseAddress, PciBus, PciFunction

_MICROSECOND = CPU_HZ // 1_000_000

COMMAND_CYCLES = 50 * _MICROSECOND
"""From the write of a command until the drive has taken it in."""

SEEK_CYCLES, STROKE_CYCLES = 1_000 * _MICROSECOND, 7_000 * _MICROSECOND
"""Changing to the next track, and what a seek over the whole disk takes in addition."""

SECTOR_CYCLES = 25 * _MICROSECOND
"""512 bytes at 20 MB/s."""

RESET_CYCLES = 2_000 * _MICROSECOND

_READS = {reg.READ_SECTORS, reg.READ_SECTORS_ONCE}
_WRITES = {reg.WRITE_SECTORS, reg.WRITE_SECTORS_ONCE}
_DMA_READS = {reg.READ_DMA, reg.READ_DMA_ONCE}
_VERIFIES = {reg.READ_VERIFY, reg.READ_VERIFY_ONCE}
_MEDIUM = _READS | _WRITES | _DMA_READS | DMA_WRITES | _VERIFIES
_WITHOUT_DATA = {reg.FLUSH_CACHE, reg.SET_FEATURES, reg.INITIALIZE_PARAMETERS}


class Disk(BusMaster):
    """A PIIX4 with a hard disk as master of its primary channel.

    Parameters
    ----------
    name : str
        Its name among the clock's parts.
    device : int
        PCI device number.
    ports : int
        Where the firmware put the bus master's registers (BAR 4).
    image : bytes
        What the disk holds.
    """

    state: DiskState

    def __init__(self, name: str, device: int, ports: int, image: bytes) -> None:
        none = BaseAddress(0, 0)
        function = PciFunction(
            device=device,
            vendor_id=reg.VENDOR_ID,
            device_id=reg.DEVICE_ID,
            class_code=reg.CLASS_IDE,
            revision=reg.REVISION,
            irq=reg.IRQ,
            bars=(none, none, none, none, BaseAddress(ports, reg.BM_BYTES, io=True)),
        )
        super().__init__(name, function)
        self._ports = ports
        self.image = DiskImage(image)
        self.state = DiskState()

    def plug(self, bus: Bus, clock: Clock, pic: InterruptController, pci: PciBus) -> None:
        """Connect the controller: all of its registers are I/O ports."""
        self.bus, self.clock, self.pic = bus, clock, pic
        pci.add(self.function)
        clock.parts[self.name] = self
        bus.add_ports(self, *range(reg.COMMAND_BLOCK, reg.COMMAND_BLOCK + 8), reg.CONTROL_BLOCK)
        bus.add_ports(self, *range(self._ports, self._ports + reg.BM_BYTES))

    def insert(self, image: bytes) -> None:
        """Change the disk for another, as somebody with a screwdriver would; the PC must not be using it.

        Raises
        ------
        ValueError
            When there is not one byte in it, or more than LBA28 can address.
        """
        if len(image) > reg.LBA28_SECTORS * SECTOR:
            raise ValueError(f"a disk of {len(image)} bytes has more sectors than LBA28 can address")
        self.image = DiskImage(image)
        self.state = DiskState()
        self.set_interrupt(False)
        self.clock.cancel(self.name, "command_done")
        self.clock.cancel(self.name, "reset_done")

    def contents(self) -> bytes:
        """Return every sector as it is on the medium now."""
        return self.image.contents()

    # Ports

    def mmio_read(self, bar: int, offset: int, size: int) -> int:  # noqa: ARG002
        """There is no memory region."""
        return (1 << 8 * size) - 1

    def mmio_write(self, _bar: int, _offset: int, _size: int, _value: int) -> None:
        """There is no memory region."""

    def port_read(self, port: int, size: int) -> int:
        """Read a register; ones as long as the command register does not let the controller decode ports."""
        if not self.function.command() & COMMAND_IO:
            return (1 << 8 * size) - 1
        if port == reg.COMMAND_BLOCK:
            return self._read_data(size)
        value = 0
        for index in range(size):
            value |= self._read_byte(port + index) << 8 * index
        return value

    def port_write(self, port: int, size: int, value: int) -> None:
        """Write a register."""
        if not self.function.command() & COMMAND_IO:
            return
        value &= (1 << 8 * size) - 1
        if port == reg.COMMAND_BLOCK:
            self._write_data(value, size)
            return
        for index in range(size):
            self._write_byte(port + index, value >> 8 * index & 0xFF)

    def _read_byte(self, port: int) -> int:
        state = self.state
        if 0 <= port - self._ports < reg.BM_BYTES:
            return self._read_bus_master(port - self._ports)
        if port == reg.CONTROL_BLOCK:
            return self._status()
        offset = port - reg.COMMAND_BLOCK
        if not reg.DATA < offset <= reg.STATUS:
            return 0xFF
        if offset == reg.STATUS:
            if not self._absent():
                self._interrupt(False)
            return self._status()
        if self._absent():
            return 0
        lba = state.lba
        return (0, state.error, state.count, lba[0], lba[1], lba[2], state.device)[offset]

    def _absent(self) -> bool:
        """The second drive is selected, and there is none."""
        return bool(self.state.device & reg.DEVICE_DEV)

    def _status(self) -> int:
        return 0 if self._absent() else self.state.status

    def _write_byte(self, port: int, value: int) -> None:
        state = self.state
        if 0 <= port - self._ports < reg.BM_BYTES:
            self._write_bus_master(port - self._ports, value)
        elif port == reg.CONTROL_BLOCK:
            self._control(value)
        else:
            offset = port - reg.COMMAND_BLOCK
            if offset == reg.COMMAND:
                self._start(value)
            elif state.status & (reg.STATUS_BSY | reg.STATUS_DRQ):
                return
            elif offset == reg.FEATURES:
                state.features = value
            elif offset == reg.SECTOR_COUNT:
                state.count = value
            elif offset in (reg.LBA_LOW, reg.LBA_MID, reg.LBA_HIGH):
                state.lba[offset - reg.LBA_LOW] = value
            elif offset == reg.DEVICE:
                state.device = value | reg.DEVICE_OBSOLETE

    def _control(self, value: int) -> None:
        state = self.state
        before, state.control = state.control, value
        if value & reg.CONTROL_SRST and not before & reg.CONTROL_SRST:
            self._forget_command()
            state.status = reg.STATUS_BSY
            self._interrupt(False)
        elif before & reg.CONTROL_SRST and not value & reg.CONTROL_SRST:
            self.clock.after(RESET_CYCLES, self.name, "reset_done")
        self.set_interrupt(state.interrupt and not value & reg.CONTROL_NIEN)

    def _forget_command(self) -> None:
        state = self.state
        self.clock.cancel(self.name, "command_done")
        self.clock.cancel(self.name, "reset_done")
        state.buffer, state.taken, state.left, state.dma_wanted = bytearray(), 0, 0, False

    def reset_done(self) -> None:
        """The drive has come up again, with its signature in the registers."""
        state = self.state
        state.error, state.count, state.lba, state.device = 1, 1, [1, 0, 0], reg.DEVICE_OBSOLETE
        state.status = reg.STATUS_DRDY | reg.STATUS_DSC

    def _interrupt(self, asserted: bool) -> None:
        state = self.state
        state.interrupt = asserted
        if asserted:
            state.bm_status |= reg.BM_INTERRUPT
        self.set_interrupt(asserted and not state.control & reg.CONTROL_NIEN)

    # Commands

    def _start(self, command: int) -> None:
        state = self.state
        if self._absent() or state.status & reg.STATUS_BSY or state.control & reg.CONTROL_SRST:
            return
        self._forget_command()
        self._interrupt(False)
        state.command, state.error = command, 0
        state.status = reg.STATUS_DRDY | reg.STATUS_DSC | reg.STATUS_BSY
        delay = COMMAND_CYCLES
        if command in _MEDIUM:
            state.sector = state.lba[0] | state.lba[1] << 8 | state.lba[2] << 16 | (state.device & 0xF) << 24
            state.left = state.count or 256
            if command in _WRITES:
                # The first sector is taken in without an interrupt.
                self._want_sector()
                return
            delay += self._reach(state.sector)
            transferred = 1 if command in _READS else state.left
            delay += transferred * SECTOR_CYCLES
        self.clock.after(delay, self.name, "command_done")

    def _reach(self, sector: int) -> int:
        """Return the cycles that the heads need to come to a sector."""
        distance = abs(sector - self.state.position)
        return (
            0 if not distance else SEEK_CYCLES + STROKE_CYCLES * distance // (self.image.sectors + distance)
        )

    def command_done(self) -> None:
        """The mechanics have done their part."""
        state = self.state
        command = state.command
        state.status &= ~reg.STATUS_BSY
        if command in _READS:
            if self._check_sectors(1):
                self._offer(self.image.read(state.sector, 1))
        elif command in _WRITES:
            self._store_sector()
        elif command in _DMA_READS | DMA_WRITES:
            if self._check_sectors(state.left):
                state.status |= reg.STATUS_DRQ
                state.dma_wanted = True
                self._transfer()
        elif command in _VERIFIES:
            if self._check_sectors(state.left):
                self._advance(state.left)
                self._end()
        elif command == reg.IDENTIFY:
            self._offer(identify(self.image.sectors, "NOOKS LAB DISK", "NL0001"))
        elif command == reg.EXECUTE_DIAGNOSTIC:
            self.reset_done()
            self._end(error=1)
        elif command in _WITHOUT_DATA or command == reg.SEEK:
            self._end()
        else:
            self._fail(reg.ERROR_ABRT)

    def _check_sectors(self, count: int) -> bool:
        """Look whether the next sectors can be used; when not, the command ends with an error."""
        state = self.state
        if not state.device & reg.DEVICE_LBA:
            self._fail(reg.ERROR_ABRT)
            return False
        if state.sector + count > self.image.sectors:
            self._locate(max(state.sector, self.image.sectors))
            self._fail(reg.ERROR_IDNF)
            return False
        bad = [sector for sector in range(state.sector, state.sector + count) if sector in state.bad]
        if bad:
            self._locate(bad[0])
            reads = state.command in _READS | _DMA_READS | _VERIFIES
            self._fail(reg.ERROR_UNC if reads else reg.ERROR_ABRT)
        return not bad

    def _locate(self, sector: int) -> None:
        """Put a sector's address into the registers."""
        state = self.state
        state.lba = [sector & 0xFF, sector >> 8 & 0xFF, sector >> 16 & 0xFF]
        state.device = state.device & 0xF0 | sector >> 24 & 0xF

    def _end(self, error: int = 0) -> None:
        state = self.state
        state.status, state.error = reg.STATUS_DRDY | reg.STATUS_DSC, error
        state.dma_wanted = False
        self._interrupt(True)

    def _fail(self, error: int) -> None:
        state = self.state
        state.buffer, state.left, state.dma_wanted = bytearray(), 0, False
        state.status, state.error = reg.STATUS_DRDY | reg.STATUS_DSC | reg.STATUS_ERR, error
        self._interrupt(True)

    def _advance(self, count: int) -> None:
        state = self.state
        state.sector += count
        state.left -= count
        state.position = state.sector
        state.count = state.left & 0xFF
        self._locate(state.sector - 1)

    # PIO

    def _offer(self, data: bytes) -> None:
        """Let the CPU read a block through the data register."""
        state = self.state
        state.buffer, state.taken = bytearray(data), 0
        state.status |= reg.STATUS_DRQ
        self._interrupt(True)

    def _want_sector(self) -> None:
        state = self.state
        state.buffer, state.taken = bytearray(SECTOR), 0
        state.status = reg.STATUS_DRDY | reg.STATUS_DSC | reg.STATUS_DRQ

    def _read_data(self, size: int) -> int:
        state = self.state
        outward = state.command in _READS or state.command == reg.IDENTIFY
        if self._absent() or not state.status & reg.STATUS_DRQ or not outward or state.dma_wanted:
            return 0
        data = state.buffer[state.taken : state.taken + max(size, 2)]
        state.taken += max(size, 2)
        if state.taken >= len(state.buffer):
            self._block_read()
        return int.from_bytes(data[:size], "little")

    def _block_read(self) -> None:
        """The CPU has the whole block: the next sector, or the end of the command."""
        state = self.state
        state.status &= ~reg.STATUS_DRQ
        state.buffer, state.taken = bytearray(), 0
        if state.command == reg.IDENTIFY:
            return
        self._advance(1)
        if state.left:
            state.status |= reg.STATUS_BSY
            self.clock.after(SECTOR_CYCLES, self.name, "command_done")

    def _write_data(self, value: int, size: int) -> None:
        state = self.state
        inward = state.command in _WRITES and state.status & reg.STATUS_DRQ
        if self._absent() or not inward:
            return
        data = value.to_bytes(max(size, 2), "little")
        state.buffer[state.taken : state.taken + len(data)] = data
        state.taken += len(data)
        if state.taken >= SECTOR:
            del state.buffer[SECTOR:]
            state.status = reg.STATUS_DRDY | reg.STATUS_DSC | reg.STATUS_BSY
            delay = self._reach(state.sector) + SECTOR_CYCLES
            self.clock.after(delay, self.name, "command_done")

    def _store_sector(self) -> None:
        state = self.state
        if not self._check_sectors(1):
            return
        self.image.write(state.sector, bytes(state.buffer))
        self._advance(1)
        if state.left:
            self._want_sector()
            self._interrupt(True)
        else:
            self._end()

    def save(self) -> tuple[Any, Any]:
        """Return registers, configuration space and what is on the medium."""
        return copy.deepcopy(self.state), (bytes(self.function.space), self.image.save())

    def load(self, saved: tuple[Any, Any]) -> None:
        """Take back what :meth:`save` returned."""
        self.state = copy.deepcopy(saved[0])
        self.function.space[:] = saved[1][0]
        self.image.load(saved[1][1])
