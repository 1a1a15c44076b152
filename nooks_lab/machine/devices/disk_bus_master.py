"""The bus master of a PIIX4's IDE channel: physical region descriptors, and a transfer by DMA.

Source: Intel 82371AB (PIIX4) datasheet, and "Programming Interface for Bus Master IDE Controller", revision 1.0.
"""

from abc import abstractmethod

from nooks_lab.machine.devices import disk_registers as reg
from nooks_lab.machine.devices.device import PciDevice
from nooks_lab.machine.devices.disk_image import SECTOR, DiskImage
from nooks_lab.machine.devices.disk_state import DiskState

DMA_WRITES = {reg.WRITE_DMA, reg.WRITE_DMA_ONCE}


class _Regions(list[tuple[int, int]]):
    """Addresses and lengths of a transfer; ``ended``: with the last byte the table ended too."""

    ended = False


class BusMaster(PciDevice):
    """Its three registers, and what starting it does."""

    state: DiskState
    image: DiskImage

    @abstractmethod
    def _advance(self, count: int) -> None:
        """So many sectors of the command have been done."""

    @abstractmethod
    def _end(self, error: int = 0) -> None:
        """The command is done."""

    def _read_bus_master(self, offset: int) -> int:
        state = self.state
        if offset == reg.BM_COMMAND:
            return state.bm_command
        if offset == reg.BM_STATUS:
            return state.bm_status
        if reg.BM_TABLE <= offset < reg.BM_TABLE + 4:
            return state.bm_table >> 8 * (offset - reg.BM_TABLE) & 0xFF
        return 0

    def _write_bus_master(self, offset: int, value: int) -> None:
        state = self.state
        if offset == reg.BM_COMMAND:
            before, state.bm_command = state.bm_command, value & (reg.BM_START | reg.BM_TO_MEMORY)
            if not value & reg.BM_START:
                state.bm_status &= ~reg.BM_ACTIVE
            elif not before & reg.BM_START:
                state.bm_status |= reg.BM_ACTIVE
                self._transfer()
        elif offset == reg.BM_STATUS:
            kept = state.bm_status & ~(value & (reg.BM_ERROR | reg.BM_INTERRUPT))
            state.bm_status = kept & ~reg.BM_DRIVE_CAPABLE | value & reg.BM_DRIVE_CAPABLE
        elif reg.BM_TABLE <= offset < reg.BM_TABLE + 4:
            shift = 8 * (offset - reg.BM_TABLE)
            state.bm_table = (state.bm_table & ~(0xFF << shift) | value << shift) & ~3

    def _transfer(self) -> None:
        """Move the data, once the drive asks for it and the bus master has been started."""
        state = self.state
        if not (state.dma_wanted and state.bm_status & reg.BM_ACTIVE and self.may_master()):
            return
        inward = state.command in DMA_WRITES
        if inward == bool(state.bm_command & reg.BM_TO_MEMORY):
            # The other direction than the command's: nobody gets a word across.
            return
        size = state.left * SECTOR
        regions = self._regions(size)
        if regions is None:
            state.bm_status = state.bm_status & ~reg.BM_ACTIVE | reg.BM_ERROR
            return
        room, last = sum(length for _, length in regions), regions.ended
        if room < size:
            # The table ends before the transfer: the drive goes on waiting.
            state.bm_status &= ~reg.BM_ACTIVE
            return
        if inward:
            data = b"".join(self.bus.dma_read(address, length) for address, length in regions)
            self.image.write(state.sector, data[:size])
        else:
            data = self.image.read(state.sector, state.left)
            for address, length in regions:
                self.bus.dma_write(address, data[:length])
                data = data[length:]
        if last and room == size:
            state.bm_status &= ~reg.BM_ACTIVE
        self._advance(state.left)
        self._end()

    def _regions(self, size: int) -> _Regions | None:
        """Read physical region descriptors for ``size`` bytes; None when one leads nowhere."""
        state, ram = self.state, self.bus.memory.size
        regions = _Regions()
        at, left = state.bm_table, size
        while left > 0:
            if at + reg.PRD_BYTES > ram:
                return None
            entry = self.bus.dma_read(at, reg.PRD_BYTES)
            address = int.from_bytes(entry[:4], "little") & ~1
            length = int.from_bytes(entry[4:6], "little") & ~1 or 0x10000
            take = min(length, left)
            if address + take > ram:
                return None
            regions.append((address, take))
            left -= take
            if int.from_bytes(entry[6:8], "little") & reg.PRD_END:
                regions.ended = take == length
                break
            at += reg.PRD_BYTES
        return regions
