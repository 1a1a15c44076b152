"""Requests: what drivers of disks are given, made of buffers (Linux 2.4 ``drivers/block/ll_rw_blk.c``)."""

from typing import Any, Protocol

from nooks_lab.kernel.fs.parts import FsParts
from nooks_lab.kernel.lists import list_add_tail, list_del, list_for_each

READ, WRITE, READA = 0, 1, 2
MAX_SECTORS = 128
"""Longest request, in sectors of 512 bytes."""

REQUEST_CYCLES = 600
"""Finding a place in the queue for a buffer, and making the request."""


class Drive(Protocol):
    """A driver with a queue."""

    queue: int
    """Address of the list of waiting requests."""

    def extent(self, minor: int) -> tuple[int, int] | None:
        """Return first sector and sectors of a minor device, None when there is none."""

    def start(self) -> None:
        """The queue has grown."""


class Requests:
    """Puts buffers into the queue of the disk that they belong to; neighbours are merged."""

    def __init__(self, parts: FsParts) -> None:
        self._parts = parts
        self.drives: dict[int, Drive] = {}

    def drive(self, dev: int) -> Drive | None:
        """Return the driver of a device number, or None."""
        return self.drives.get(dev >> 8)

    def size(self, dev: int) -> int:
        """Return a device's size in sectors, 0 when there is no such device."""
        drive = self.drive(dev)
        extent = None if drive is None else drive.extent(dev & 0xFF)
        return 0 if extent is None else extent[1]

    def submit(self, rw: int, bh: Any) -> None:
        """``submit_bh``: queue a locked buffer; its ``b_end_io`` is called when it is done."""
        parts = self._parts
        parts.machine.clock.advance(REQUEST_CYCLES)
        drive = self.drive(bh.b_dev)
        extent = None if drive is None else drive.extent(bh.b_dev & 0xFF)
        count = bh.b_size >> 9
        sector = bh.b_blocknr * count
        if drive is None or extent is None or sector + count > extent[1]:
            want = f"rw={rw & 1}, want={sector + count}, limit={extent[1] if extent else 0}"
            parts.log(
                f"attempt to access beyond end of device\n{bh.b_dev >> 8:02x}:{bh.b_dev & 255:02x}: {want}\n"
            )
            self.end(bh, 0)
            return
        bh.b_rsector = extent[0] + sector
        bh.b_reqnext = 0
        if not self._merge(drive, rw & WRITE, bh, count) and not self._new(drive, rw & WRITE, bh, count):
            self.end(bh, 0)
            return
        drive.start()

    def _merge(self, drive: Drive, cmd: int, bh: Any, count: int) -> bool:
        """Add a buffer to a request that it continues or precedes."""
        types = self._parts.types
        sector = bh.b_rsector
        for at in list_for_each(self._parts.memory, drive.queue):
            rq = types.view("request", at)
            nr = rq.nr_sectors
            if rq.cmd != cmd or nr + count > MAX_SECTORS:
                continue
            if rq.sector + nr == sector:
                types.view("buffer_head", rq.bhtail).b_reqnext = bh.address
                rq.bhtail = bh.address
            elif sector + count == rq.sector:
                bh.b_reqnext = rq.bh
                rq.bh, rq.sector = bh.address, sector
            else:
                continue
            rq.nr_sectors = nr + count
            return True
        return False

    def _new(self, drive: Drive, cmd: int, bh: Any, count: int) -> bool:
        parts = self._parts
        address = parts.slab.zalloc(parts.types.size("request"))
        if not address:
            return False
        rq = parts.view("request", address)
        rq.rq_dev, rq.cmd, rq.sector, rq.nr_sectors = bh.b_dev, cmd, bh.b_rsector, count
        rq.bh = rq.bhtail = bh.address
        list_add_tail(parts.memory, address, drive.queue)
        return True

    def buffers(self, rq: Any) -> list[Any]:
        """Return a request's buffers in order."""
        found: list[Any] = []
        at = rq.bh
        while at and len(found) <= MAX_SECTORS:
            found.append(self._parts.view("buffer_head", at))
            at = found[-1].b_reqnext
        return found

    def split(self, rq: Any, queue: int) -> None:
        """Put each buffer of a request into a request of its own, first in the queue; the request is freed."""
        parts = self._parts
        waiting = self._parts.memory.u32(queue)
        for bh in self.buffers(rq):
            bh.b_reqnext = 0
            address = parts.slab.zalloc(parts.types.size("request"))
            if not address:
                self.end(bh, 0)
                continue
            single = parts.view("request", address)
            single.rq_dev, single.cmd, single.sector = rq.rq_dev, rq.cmd, bh.b_rsector
            single.nr_sectors = bh.b_size >> 9
            single.bh = single.bhtail = bh.address
            list_add_tail(parts.memory, address, waiting)
        parts.slab.free(rq.address)

    def end_request(self, rq: Any, uptodate: int) -> None:
        """A request that is in no queue any more is done."""
        for bh in self.buffers(rq):
            bh.b_reqnext = 0
            self.end(bh, uptodate)
        self._parts.slab.free(rq.address)

    def end(self, bh: Any, uptodate: int) -> None:
        """Tell a buffer's owner."""
        self._parts.raw_call(bh.b_end_io, bh.address, uptodate)

    def take(self, drive: Drive) -> Any:
        """Take the first request out of a queue, or None."""
        memory = self._parts.memory
        first = memory.u32(drive.queue)
        if first == drive.queue:
            return None
        list_del(memory, first)
        return self._parts.view("request", first)
