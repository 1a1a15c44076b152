"""The block layer and the filesystem layer, put together."""

from nooks_lab.kernel.block.buffer_cache import BufferCache
from nooks_lab.kernel.block.devices import BlockDevices
from nooks_lab.kernel.block.ide import Ide
from nooks_lab.kernel.block.requests import Requests
from nooks_lab.kernel.fs.attributes import Attributes
from nooks_lab.kernel.fs.bad_inode import BadInodes
from nooks_lab.kernel.fs.block_pages import BlockPages
from nooks_lab.kernel.fs.chrdev import CharacterDevices
from nooks_lab.kernel.fs.dcache import Dcache
from nooks_lab.kernel.fs.file_table import FileTable
from nooks_lab.kernel.fs.filemap import FileMap
from nooks_lab.kernel.fs.files import Files
from nooks_lab.kernel.fs.inodes import Inodes
from nooks_lab.kernel.fs.kupdate import Kupdate
from nooks_lab.kernel.fs.namei import Names
from nooks_lab.kernel.fs.page_cache import PageCache
from nooks_lab.kernel.fs.parts import FsParts
from nooks_lab.kernel.fs.ramfs import Ramfs
from nooks_lab.kernel.fs.select import Select
from nooks_lab.kernel.fs.supers import Supers
from nooks_lab.kernel.fs.user_buffers import UserBuffers
from nooks_lab.kernel.page_table import PageTable

BOOT_TIME = 1_033_898_400
"""What the clock shows when the PC is switched on: 6 October 2002, 10:00 UTC."""

RECLAIM = 32
"""Pages to free when there is none left."""


class FileSystems:
    """All parts of both layers, by their names."""

    def __init__(self, parts: FsParts, table: PageTable) -> None:
        self.parts = parts
        self.requests = Requests(parts)
        self.ide = Ide(parts, self.requests)
        self.buffers = BufferCache(parts, self.requests)
        self.devices = BlockDevices(parts, self.requests, self.buffers, self.ide)
        self.pages = PageCache(parts, self.buffers)
        self.inodes = Inodes(parts, self.buffers, self.pages)
        self.dcache = Dcache(parts, self.inodes)
        self.block_pages = BlockPages(
            parts,
            self.requests,
            self.buffers,
            self.pages,
            lambda inode, flags: self.inodes.mark_dirty(self.inodes.view(inode), flags),
        )
        self.supers = Supers(parts, self.buffers, self.devices, self.pages, self.inodes, self.dcache)
        self.attributes = Attributes(parts, self.inodes, self.pages)
        self.names = Names(parts, self.supers, self.inodes, self.dcache, self.attributes)
        self.table = FileTable(parts, self.supers, self.inodes, self.dcache)
        self.select = Select(parts, self.table)
        self.filemap = FileMap(parts, self.supers, self.inodes, self.pages, self.attributes)
        self.chrdevs = CharacterDevices(parts)
        self.bad_inodes = BadInodes(parts)
        self.ramfs = Ramfs(parts, self.inodes, self.dcache, self.pages)
        self.kupdate = Kupdate(parts, self.supers, self.buffers)
        self.files = Files(
            parts,
            self.names,
            self.table,
            self.supers,
            self.inodes,
            self.dcache,
            self.pages,
            self.buffers,
            self.attributes,
            self.select,
            UserBuffers(parts, table),
            self.kupdate.start,
        )

    @property
    def exporting(self) -> tuple[object, ...]:
        """The parts that have exported functions."""
        return (
            self.ide,
            self.buffers,
            self.devices,
            self.pages,
            self.block_pages,
            self.inodes,
            self.dcache,
            self.supers,
            self.attributes,
            self.select,
            self.filemap,
            self.chrdevs,
            self.bad_inodes,
            self.ramfs,
            self.files,
        )

    def boot(self, entry: dict[str, int]) -> None:
        """Find the disk, and mount the root filesystem with a directory for devices."""
        self.parts.entry.update(entry)
        parts = self.parts
        parts.memory.set_u32(parts.variables["xtime"], BOOT_TIME)
        for part in (self.buffers, self.devices, self.pages, self.inodes, self.dcache, self.supers):
            part.boot()
        self.bad_inodes.boot()
        self.chrdevs.boot()
        self.ide.boot()
        kind = self.ramfs.boot()
        self.supers.register_filesystem(kind)
        root = self.supers.read(parts.view("file_system_type", kind), "rootfs", 0, 0)
        self.supers.attach(root, "rootfs", None, None)
        for directory in ("/dev", "/mnt"):
            self.names.mkdir(directory, 0o755)

    def reclaim(self) -> int:
        """``try_to_free_pages``: give up what is in memory only for speed; returns how many pages."""
        return self.pages.shrink(RECLAIM) + self.buffers.shrink(RECLAIM)
