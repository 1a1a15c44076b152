"""The driver of the IDE disk: requests by bus-master DMA, interrupts, time-outs, errors.

It is part of the kernel, as in most Linux 2.4 systems; its state is ``ide_hwgroup`` in guest memory.
"""

from typing import Any

from nooks_lab.kernel.block.requests import READ, WRITE, Requests
from nooks_lab.kernel.bug import KernelBug
from nooks_lab.kernel.exports import export
from nooks_lab.kernel.fs.parts import FsParts
from nooks_lab.kernel.lists import init_list_head
from nooks_lab.kernel.page_table import virt_to_phys
from nooks_lab.machine.clock import CPU_HZ
from nooks_lab.machine.pci import COMMAND, COMMAND_IO, COMMAND_MASTER

IDE0_MAJOR = 3
PARTITIONS = 4

_CLASS_IDE = 0x0101
_COMMAND_BLOCK, _CONTROL_BLOCK, _IRQ = 0x1F0, 0x3F6, 14
_DATA, _ERROR, _COUNT, _LBA, _DEVICE, _STATUS = 0, 1, 2, 3, 6, 7
_BUSY, _DRDY, _FAULT, _DRQ, _ERR = 0x80, 0x40, 0x20, 0x08, 0x01
_LBA_MODE = 0xE0
_IDENTIFY, _READ_DMA, _WRITE_DMA, _FLUSH = 0xEC, 0xC8, 0xCA, 0xE7
_SRST, _NIEN = 0x04, 0x02
_BM_COMMAND, _BM_STATUS, _BM_TABLE = 0, 2, 4
_START, _TO_MEMORY, _BM_ERROR, _BM_INTERRUPT = 1, 8, 2, 4
_LAST = 0x80000000

WAIT_CMD = 1_000
"""Jiffies until a command that has not ended is given up: ten seconds."""

ERROR_MAX = 3
"""How often a sector is tried."""

_POLL = CPU_HZ // 100_000
_POLLS = 10_000


class Ide:
    """``hda``, the master of the first channel.

    Parameters
    ----------
    requests : Requests
        Gives the work.
    """

    def __init__(self, parts: FsParts, requests: Requests) -> None:
        self._parts, self._requests = parts, requests
        self._group = parts.global_view("ide_hwgroup", "ide_hwgroup")
        self.queue = self._group.queue.address
        self._timer = self._group.timer.address
        self._pci = parts.machine.pci

    def boot(self) -> None:
        """Look for the controller; without one there is no disk."""
        init_list_head(self._parts.memory, self.queue)
        for slot, function in self._pci.functions.items():
            if function.class_code >> 8 == _CLASS_IDE:
                self._attach(slot)
                return

    def _attach(self, slot: int) -> None:
        parts, group = self._parts, self._group
        command = self._pci.config_read(slot, COMMAND, 2)
        self._pci.config_write(slot, COMMAND, 2, command | COMMAND_IO | COMMAND_MASTER)
        table = parts.pages.get_zeroed_page()
        if not table:
            return
        group.dma_table = table
        group.bm_base = self._pci.config_read(slot, 0x20, 4) & 0xFFFC
        group.timer.function = parts.entry["ide_timer_expiry"]
        parts.irq.request_irq(_IRQ, parts.entry["ide_intr"], 0, 0, group.address)
        self._requests.drives[IDE0_MAJOR] = self
        parts.log(f"ide0: bus-master DMA at {group.bm_base:#06x}, irq {_IRQ}\n")

    # Ports

    def _in(self, register: int) -> int:
        return self._parts.machine.bus.port_read(_COMMAND_BLOCK + register, 1)

    def _out(self, register: int, value: int) -> None:
        self._parts.machine.bus.port_write(_COMMAND_BLOCK + register, 1, value)

    def _control(self, value: int) -> None:
        self._parts.machine.bus.port_write(_CONTROL_BLOCK, 1, value)

    def _bm_in(self, register: int) -> int:
        return self._parts.machine.bus.port_read(self._group.bm_base + register, 1)

    def _bm_out(self, register: int, value: int, size: int = 1) -> None:
        self._parts.machine.bus.port_write(self._group.bm_base + register, size, value)

    # Sizes

    def _minor(self, minor: int) -> Any:
        return self._parts.view(
            "hd_struct", self._parts.variables["ide_hd"] + minor * self._parts.types.size("hd_struct")
        )

    def extent(self, minor: int) -> tuple[int, int] | None:
        """Return first sector and sectors of the disk (minor 0) or a partition, None when there is none."""
        if not self._group.bm_base or minor > PARTITIONS:
            return None
        part = self._minor(minor)
        return (part.start_sect, part.nr_sects) if part.nr_sects else None

    def blocksize(self, minor: int) -> Any:
        """Return the view that holds a minor device's block size."""
        return self._minor(minor)

    def revalidate(self) -> bool:
        """Ask the drive what it is; False when it does not say.  Nothing may be using it."""
        words = self._identify()
        capacity = 0 if words is None else int.from_bytes(words[120:124], "little")
        self._group.capacity = capacity
        disk = self._minor(0)
        disk.start_sect, disk.nr_sects = 0, capacity
        for minor in range(1, PARTITIONS + 1):
            self._minor(minor).nr_sects = 0
        return bool(capacity)

    def set_partition(self, minor: int, start: int, sectors: int) -> None:
        """Take over an entry of the partition table that lies on the disk."""
        if start and sectors and start + sectors <= self._group.capacity:
            part = self._minor(minor)
            part.start_sect, part.nr_sects = start, sectors

    def _identify(self) -> bytes | None:
        self._control(_NIEN)
        try:
            self._out(_DEVICE, _LBA_MODE)
            self._out(_STATUS, _IDENTIFY)
            if not self._poll() & _DRQ:
                return None
            read = self._parts.machine.bus.port_read
            return b"".join(read(_COMMAND_BLOCK, 2).to_bytes(2, "little") for _ in range(256))
        finally:
            self._in(_STATUS)
            self._bm_out(_BM_STATUS, _BM_INTERRUPT | _BM_ERROR)
            self._control(0)

    def _poll(self) -> int:
        """Wait until the drive is no longer busy; returns its status, or no bit of it."""
        machine = self._parts.machine
        for _ in range(_POLLS):
            status = self._in(_STATUS)
            if not status & _BUSY:
                return status
            machine.idle(machine.clock.now + _POLL)
        return 0

    # Requests

    def start(self) -> None:
        """Give the drive the next request, unless it has one."""
        group = self._group
        if group.rq:
            return
        rq = self._requests.take(self)
        if rq is None:
            return
        group.rq, group.errors = rq.address, 0
        self._issue(rq)

    def _issue(self, rq: Any) -> None:
        group, sector = self._group, rq.sector
        self._build_table(rq)
        self._bm_out(_BM_TABLE, virt_to_phys(group.dma_table), 4)
        self._bm_out(_BM_COMMAND, _TO_MEMORY if rq.cmd == READ else 0)
        self._bm_out(_BM_STATUS, _BM_INTERRUPT | _BM_ERROR)
        self._out(_DEVICE, _LBA_MODE | sector >> 24 & 0xF)
        self._out(_COUNT, rq.nr_sectors & 0xFF)
        for index in range(3):
            self._out(_LBA + index, sector >> 8 * index & 0xFF)
        self._parts.timers.mod_timer(self._timer, self._parts.timers.jiffies + WAIT_CMD)
        self._out(_STATUS, _WRITE_DMA if rq.cmd == WRITE else _READ_DMA)
        self._bm_out(_BM_COMMAND, self._bm_in(_BM_COMMAND) | _START)

    def _build_table(self, rq: Any) -> None:
        """Describe the buffers' memory to the bus master; neighbours share a descriptor."""
        regions: list[list[int]] = []
        for bh in self._requests.buffers(rq):
            address, size = virt_to_phys(bh.b_data) & 0xFFFFFFFF, bh.b_size
            last = regions[-1] if regions else None
            if last and last[0] + last[1] == address and last[0] >> 16 == address + size - 1 >> 16:
                last[1] += size
            else:
                regions.append([address, size])
        if not regions:
            raise KernelBug(f"request {rq.address:08x} has no buffer")
        table = b"".join(
            address.to_bytes(4, "little") + (size & 0xFFFF).to_bytes(4, "little") for address, size in regions
        )
        end = (regions[-1][1] & 0xFFFF | _LAST).to_bytes(4, "little")
        self._parts.memory.write(self._group.dma_table, table[:-4] + end)

    @export(cycles=800)
    def ide_intr(self, irq: int, dev_id: int, regs: int) -> None:
        """The drive has ended its command, well or not."""
        group = self._group
        bus_status = self._bm_in(_BM_STATUS)
        if not bus_status & _BM_INTERRUPT:
            return
        self._bm_out(_BM_COMMAND, self._bm_in(_BM_COMMAND) & ~_START)
        status = self._in(_STATUS)
        self._bm_out(_BM_STATUS, _BM_INTERRUPT | _BM_ERROR)
        if not group.rq:
            return
        self._parts.timers.del_timer(self._timer)
        if status & (_BUSY | _ERR | _FAULT | _DRQ) or bus_status & _BM_ERROR:
            error = self._in(_ERROR)
            self._parts.log(f"hda: dma_intr: status={status:#04x}, error={error:#04x}\n")
            self._failed()
        else:
            self._done(1)

    @export(cycles=800)
    def ide_timer_expiry(self, data: int) -> None:
        """A command has not ended in time: reset the drive."""
        if not self._group.rq:
            return
        bus_status = self._bm_in(_BM_STATUS)
        self._parts.log(f"hda: timeout waiting for DMA, bus master status={bus_status:#04x}\n")
        self._bm_out(_BM_COMMAND, 0)
        self._bm_out(_BM_STATUS, _BM_INTERRUPT | _BM_ERROR)
        self._control(_SRST)
        self._parts.machine.clock.advance(_POLL)
        self._control(0)
        self._poll()
        self._failed()

    def _done(self, uptodate: int) -> None:
        group = self._group
        rq = self._parts.view("request", group.rq)
        group.rq = 0
        self._requests.end_request(rq, uptodate)
        self.start()

    def _failed(self) -> None:
        """Try again: first each buffer alone, so that one bad sector spoils only its own."""
        group = self._group
        rq = self._parts.view("request", group.rq)
        if rq.bh != rq.bhtail:
            group.rq = 0
            self._requests.split(rq, self.queue)
            self.start()
            return
        group.errors += 1
        if group.errors < ERROR_MAX:
            self._issue(rq)
            return
        dev = rq.rq_dev
        self._parts.log(
            f"end_request: I/O error, dev {dev >> 8:02x}:{dev & 0xFF:02x} (hda), sector {rq.sector}\n"
        )
        self._done(0)

    def idle(self) -> bool:
        """Tell whether the drive has nothing to do."""
        return not self._group.rq

    @property
    def table(self) -> int:
        """Address of the table of physical regions."""
        return int(self._group.dma_table)
